package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

func (s *Server) adminEndpointRoutes(on func(method, pattern string, h handlerFunc) route, organisation string) []route {
	const one = "/{endpoint_id}"
	endpoints := organisation + "/endpoints"
	return []route{
		on(http.MethodGet, endpoints, s.adminEndpoints),
		on(http.MethodPost, endpoints, s.adminCreateEndpoint),
		on(http.MethodGet, endpoints+one, s.adminEndpoint),
		on(http.MethodPatch, endpoints+one, s.adminUpdateEndpoint),
		on(http.MethodDelete, endpoints+one, s.adminDeleteEndpoint),
	}
}

func (s *Server) adminEndpoints(ctx context.Context, x *exchange, r *http.Request) error {
	list, err := s.cfg.Admin.Endpoints(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := endpointList{Endpoints: make([]endpointView, len(shown)), Truncated: truncated}
	for i, e := range shown {
		answer.Endpoints[i] = viewEndpoint(e)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminCreateEndpoint(ctx context.Context, x *exchange, r *http.Request) error {
	var c kinora.EndpointChange
	if err := s.adminBody(x, r, &c); err != nil {
		return err
	}
	e, err := s.cfg.Admin.CreateEndpoint(ctx, r.PathValue("organisation_id"), c)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, viewEndpoint(e))
	return nil
}

func (s *Server) adminEndpoint(ctx context.Context, x *exchange, r *http.Request) error {
	e, err := s.cfg.Admin.Endpoint(ctx, r.PathValue("organisation_id"), r.PathValue("endpoint_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewEndpoint(e))
	return nil
}

func (s *Server) adminUpdateEndpoint(ctx context.Context, x *exchange, r *http.Request) error {
	var c kinora.EndpointChange
	if err := s.adminBody(x, r, &c); err != nil {
		return err
	}
	if c.IsZero() {
		return refuse(kinora.ErrInvalid, "the body sets nothing; give name, url, description, event_types, headers, rate_per_second, enabled or replay_missed")
	}
	e, err := s.cfg.Admin.UpdateEndpoint(ctx, r.PathValue("organisation_id"), r.PathValue("endpoint_id"), c)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewEndpoint(e))
	return nil
}

func (s *Server) adminDeleteEndpoint(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.cfg.Admin.DeleteEndpoint(ctx, r.PathValue("organisation_id"), r.PathValue("endpoint_id")); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

type endpointList struct {
	Endpoints []endpointView `json:"endpoints"`
	Truncated bool           `json:"truncated"`
}

type endpointView struct {
	ID             string                `json:"id"`
	OrganisationID string                `json:"organisation_id"`
	Name           string                `json:"name"`
	Default        bool                  `json:"default"` // the organisation's default callback URL
	URL            string                `json:"url"`
	Description    string                `json:"description"`
	EventTypes     []kinora.EventType    `json:"event_types"` // empty = all
	Headers        map[string]string     `json:"headers"`     // names; no value is shown
	Rate           int                   `json:"rate_per_second"`
	Enabled        bool                  `json:"enabled"`
	DisabledAt     *string               `json:"disabled_at"`     // null = enabled
	DisabledReason *kinora.DisableReason `json:"disabled_reason"` // null = enabled
	FailingSince   *string               `json:"failing_since"`   // null = it does not fail
	Failures       int                   `json:"failures"`        // since then, counted up to webhooks.disable_attempts
	MissedSince    *string               `json:"missed_since"`    // null = nothing was missed, or it was replayed
	Replaying      bool                  `json:"replaying"`
	CreatedAt      *string               `json:"created_at"`
	UpdatedAt      *string               `json:"updated_at"`
}

func viewEndpoint(e *kinora.Endpoint) endpointView {
	v := endpointView{
		ID: e.ID, OrganisationID: e.OrganisationID, Name: e.Name, Default: e.Default(), URL: e.URL, Description: e.Description,
		EventTypes: append([]kinora.EventType{}, e.EventTypes...), Headers: make(map[string]string, len(e.HeaderNames)), Rate: e.Rate,
		Enabled: e.Enabled(), DisabledAt: apiTime(e.DisabledAt), FailingSince: apiTime(e.FailingSince), Failures: e.Failures,
		MissedSince: apiTime(e.MissedSince), Replaying: !e.ReplayFrom.IsZero(), CreatedAt: apiTime(e.CreatedAt), UpdatedAt: apiTime(e.UpdatedAt),
	}
	if !e.Enabled() {
		v.DisabledReason = &e.Reason
	}
	for _, name := range e.HeaderNames {
		v.Headers[name] = kinora.HiddenHeader // they are secrets
	}
	return v
}
