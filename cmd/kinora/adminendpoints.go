package main

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

// endpointBody is the admin API's endpoint.
type endpointBody struct {
	ID             string                `json:"id"`
	OrganisationID string                `json:"organisation_id"`
	Name           string                `json:"name"`
	URL            string                `json:"url"`
	Description    string                `json:"description"`
	EventTypes     []kinora.EventType    `json:"event_types"`
	Headers        map[string]string     `json:"headers"`
	Rate           int                   `json:"rate_per_second"`
	DisabledAt     time.Time             `json:"disabled_at"`
	DisabledReason *kinora.DisableReason `json:"disabled_reason"`
	FailingSince   time.Time             `json:"failing_since"`
	Failures       int                   `json:"failures"`
	MissedSince    time.Time             `json:"missed_since"`
	Replaying      bool                  `json:"replaying"`
	CreatedAt      time.Time             `json:"created_at"`
	UpdatedAt      time.Time             `json:"updated_at"`
}

func (b endpointBody) endpoint() *kinora.Endpoint {
	e := &kinora.Endpoint{ID: b.ID, OrganisationID: b.OrganisationID, Name: b.Name, URL: b.URL, Description: b.Description, EventTypes: b.EventTypes,
		HeaderNames: slices.Sorted(maps.Keys(b.Headers)), Rate: b.Rate, CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt,
		EndpointHealth: kinora.EndpointHealth{DisabledAt: b.DisabledAt, FailingSince: b.FailingSince, Failures: b.Failures, MissedSince: b.MissedSince}}
	if b.DisabledReason != nil {
		e.Reason = *b.DisabledReason
	}
	if b.Replaying { // since when is the server's own knowledge
		e.ReplayFrom = b.UpdatedAt
	}
	return e
}

// endpointChangeBody is a change as the admin API takes it.
type endpointChangeBody struct {
	Name         *string            `json:"name,omitempty"`
	URL          *string            `json:"url,omitempty"`
	Description  *string            `json:"description,omitempty"`
	EventTypes   *[]string          `json:"event_types,omitempty"`
	Headers      map[string]*string `json:"headers,omitempty"`
	Rate         *int               `json:"rate_per_second,omitempty"`
	Enabled      *bool              `json:"enabled,omitempty"`
	ReplayMissed bool               `json:"replay_missed,omitempty"`
}

func endpointsPath(organisationID string) string {
	return organisationPath(organisationID) + "/endpoints"
}

func (a *adminAPI) Endpoints(ctx context.Context, organisationID string) ([]*kinora.Endpoint, error) {
	var b struct {
		Endpoints []endpointBody `json:"endpoints"`
		Truncated bool           `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, endpointsPath(organisationID), nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]*kinora.Endpoint, len(b.Endpoints))
	for i, e := range b.Endpoints {
		list[i] = e.endpoint()
	}
	return list, nil
}

func (a *adminAPI) CreateEndpoint(ctx context.Context, organisationID string, change kinora.EndpointChange) (*kinora.Endpoint, error) {
	var b endpointBody
	if err := a.call(ctx, http.MethodPost, endpointsPath(organisationID), endpointChangeBody(change), &b); err != nil {
		return nil, err
	}
	return b.endpoint(), nil
}

func (a *adminAPI) UpdateEndpoint(ctx context.Context, organisationID, endpointID string, change kinora.EndpointChange) (*kinora.Endpoint, error) {
	var b endpointBody
	err := a.call(ctx, http.MethodPatch, endpointsPath(organisationID)+"/"+url.PathEscape(endpointID), endpointChangeBody(change), &b)
	if err != nil {
		return nil, err
	}
	return b.endpoint(), nil
}

func (a *adminAPI) DeleteEndpoint(ctx context.Context, organisationID, endpointID string) error {
	return a.call(ctx, http.MethodDelete, endpointsPath(organisationID)+"/"+url.PathEscape(endpointID), nil, nil)
}
