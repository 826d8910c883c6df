package tenancy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	// DefaultMaxEndpoints is how many endpoints an organisation may have.
	DefaultMaxEndpoints = 100
	// MaxEndpointRate bounds an endpoint's rate limit: what is above is no limit any more.
	MaxEndpointRate = 10_000

	maxDescription = 500 // characters
)

// CreateEndpoint registers a destination. Name and URL of change are required; it is enabled
// unless change says otherwise. Errors: ErrInvalid, ErrNotFound for the organisation,
// ErrConflict when the name is taken or there are too many.
func (s *Service) CreateEndpoint(ctx context.Context, organisationID string, change kinora.EndpointChange) (*kinora.Endpoint, error) {
	now := s.instant()
	if change.Name == nil {
		change.Name = new(string) // refused by apply
	}
	if change.URL == nil {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "url", "url is required")
	}
	if change.ReplayMissed {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "replay_missed", "replay_missed: a new endpoint has missed nothing")
	}
	e := &kinora.Endpoint{ID: id.New(id.Endpoint, now), OrganisationID: organisationID, EventTypes: []kinora.EventType{}, HeaderNames: []string{},
		CreatedAt: now, UpdatedAt: now}
	err := s.change(ctx, func(tx *store.Tx) error {
		org, err := lock(tx, organisationID)
		if err != nil {
			return err
		}
		n, err := tx.CountEndpoints(organisationID)
		if err != nil {
			return err
		}
		if n >= s.maxEndpoints {
			return kinora.Errorf(kinora.ErrConflict, "the organisation has %d endpoints, the most it may have", n)
		}
		if err := s.applyEndpoint(tx, org, e, change); err != nil {
			return err
		}
		if err := tx.InsertEndpoint(e); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditEndpointCreate, organisationID, e.ID, map[string]any{"name": e.Name, "url": kinora.AuditURL(e.URL),
			"event_types": e.EventTypes, "headers": e.HeaderNames, "rate_per_second": e.Rate, "enabled": e.Enabled()})
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Endpoints lists an organisation's endpoints, oldest first, and its default callback URL, where
// it has one, before them. Errors: ErrNotFound.
func (s *Service) Endpoints(ctx context.Context, organisationID string) ([]*kinora.Endpoint, error) {
	var list []*kinora.Endpoint
	err := s.db.View(ctx, func(tx *store.Tx) error {
		org, all, err := tx.Audience(organisationID)
		if err != nil {
			return absent(err, noOrganisation)
		}
		list = withDefault(org, all)
		return nil
	})
	return list, err
}

// withDefault puts the default callback URL in front, whether it has a row or not, and leaves
// its row out when there is no such URL.
func withDefault(org *kinora.Organisation, all []*kinora.Endpoint) []*kinora.Endpoint {
	preset := &kinora.Endpoint{ID: kinora.DefaultEndpointID(org.ID), OrganisationID: org.ID, Name: kinora.DefaultEndpointName,
		URL: org.DefaultWebhook, EventTypes: []kinora.EventType{}, HeaderNames: []string{}, CreatedAt: org.CreatedAt, UpdatedAt: org.CreatedAt}
	rest := slices.DeleteFunc(all, func(e *kinora.Endpoint) bool {
		if e.Default() {
			preset = e
		}
		return e.Default()
	})
	if org.DefaultWebhook == "" {
		return rest
	}
	return append([]*kinora.Endpoint{preset}, rest...)
}

// Endpoint reads one endpoint. Errors: ErrNotFound, also for another organisation's.
func (s *Service) Endpoint(ctx context.Context, organisationID, endpointID string) (*kinora.Endpoint, error) {
	list, err := s.Endpoints(ctx, organisationID)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.ID == endpointID {
			return e, nil
		}
	}
	return nil, noEndpoint()
}

func noEndpoint() error { return kinora.Errorf(kinora.ErrNotFound, "endpoint not found") }

// UpdateEndpoint changes an endpoint and returns it as it then is. Of the default callback URL
// only Enabled and ReplayMissed can be set: its URL is the organisation's. What waits for an
// endpoint follows it to a new URL. Errors: ErrInvalid, ErrNotFound, ErrConflict when the
// name is taken.
func (s *Service) UpdateEndpoint(ctx context.Context, organisationID, endpointID string, change kinora.EndpointChange) (*kinora.Endpoint, error) {
	var e *kinora.Endpoint
	err := s.change(ctx, func(tx *store.Tx) error {
		org, err := lock(tx, organisationID)
		if err != nil {
			return err
		}
		if e, err = s.lockEndpoint(tx, org, endpointID); err != nil {
			return err
		}
		old := *e
		if err := s.applyEndpoint(tx, org, e, change); err != nil {
			return err
		}
		if err := tx.SaveEndpoint(e); err != nil {
			return err
		}
		return auditEndpoint(tx, &old, e, change)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (s *Service) lockEndpoint(tx *store.Tx, org *kinora.Organisation, endpointID string) (*kinora.Endpoint, error) {
	if endpointID == kinora.DefaultEndpointID(org.ID) {
		if org.DefaultWebhook == "" {
			return nil, noEndpoint()
		}
		if err := tx.MakeDefaultEndpoints([]string{org.ID}, s.instant()); err != nil {
			return nil, err
		}
	}
	e, err := tx.LockEndpoint(endpointID)
	if errors.Is(err, store.ErrNotFound) || err == nil && e.OrganisationID != org.ID {
		return nil, noEndpoint()
	}
	return e, err
}

// DeleteEndpoint removes an endpoint. Deliveries that wait for it end as dead when their turn
// comes, with a text that says why; its log stays. Errors: ErrNotFound, also for another
// organisation's; ErrInvalid for the default callback URL, which is the organisation's.
func (s *Service) DeleteEndpoint(ctx context.Context, organisationID, endpointID string) error {
	return s.change(ctx, func(tx *store.Tx) error {
		if _, err := lock(tx, organisationID); err != nil {
			return err
		}
		if endpointID == kinora.DefaultEndpointID(organisationID) {
			return kinora.Errorf(kinora.ErrInvalid, `the default callback URL is removed by setting the organisation's default_webhook to ""`)
		}
		e, err := tx.Endpoint(organisationID, endpointID)
		if err != nil {
			return absent(err, "endpoint not found")
		}
		if err := tx.DeleteEndpoint(organisationID, endpointID); err != nil {
			return absent(err, "endpoint not found")
		}
		return tx.Audit(kinora.AuditEndpointDelete, organisationID, endpointID, map[string]any{"name": e.Name, "url": kinora.AuditURL(e.URL)})
	})
}

// applyEndpoint puts a change into e after checking it.
func (s *Service) applyEndpoint(tx *store.Tx, org *kinora.Organisation, e *kinora.Endpoint, c kinora.EndpointChange) error {
	if e.Default() && (c.Name != nil || c.URL != nil || c.Description != nil || c.EventTypes != nil || c.Headers != nil || c.Rate != nil) {
		return kinora.Errorf(kinora.ErrInvalid, "of the default callback URL only enabled and replay_missed can be set; its URL is the organisation's default_webhook")
	}
	for _, apply := range []func() error{
		func() error { return applyName(tx, e, c.Name) },
		func() error { return s.applyURL(org, e, c.URL) },
		func() error { return applyDescription(e, c.Description) },
		func() error { return applyEventTypes(e, c.EventTypes) },
		func() error { return applyRate(e, c.Rate) },
		func() error { return s.changeHeaders(e, c.Headers) },
		func() error { return s.applyEnabled(tx, e, c.Enabled, c.ReplayMissed) },
	} {
		if err := apply(); err != nil {
			return err
		}
	}
	e.UpdatedAt = s.instant()
	return nil
}

func applyName(tx *store.Tx, e *kinora.Endpoint, text *string) error {
	if text == nil {
		return nil
	}
	name, err := checkName(*text)
	if err != nil {
		return err
	}
	if name == kinora.DefaultEndpointName {
		return kinora.FieldErrorf(kinora.ErrConflict, "name", "the name %q is that of the default callback URL", name)
	}
	others, err := tx.Endpoints(e.OrganisationID)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.Name == name && other.ID != e.ID {
			return kinora.FieldErrorf(kinora.ErrConflict, "name", "another endpoint of the organisation is called %q", name)
		}
	}
	e.Name = name
	return nil
}

func (s *Service) applyURL(org *kinora.Organisation, e *kinora.Endpoint, url *string) error {
	if url == nil {
		return nil
	}
	if err := s.checkURL(org, "url", *url); err != nil {
		return err
	}
	if *url != e.URL {
		e.URL, e.EndpointHealth = *url, e.Moved()
	}
	return nil
}

// checkURL refuses a URL that events cannot go to, in the name of the field that it was given in.
func (s *Service) checkURL(org *kinora.Organisation, field, url string) error {
	if len(url) > maxURL {
		return kinora.FieldErrorf(kinora.ErrInvalid, field, "%s is longer than %d bytes", field, maxURL)
	}
	if err := s.check(org, url); err != nil {
		// The check names the field of a generation's request, where it is used too.
		message := strings.TrimPrefix(messageOf(err), "webhook.url: ")
		refused := kinora.FieldErrorf(kinora.ErrInvalid, field, "%s: %s", field, message)
		refused.Err = err
		return refused
	}
	return nil
}

func applyDescription(e *kinora.Endpoint, text *string) error {
	if text == nil {
		return nil
	}
	if !utf8.ValidString(*text) || strings.ContainsFunc(*text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		return kinora.FieldErrorf(kinora.ErrInvalid, "description", "description must be text without control characters")
	}
	if utf8.RuneCountInString(*text) > maxDescription {
		return kinora.FieldErrorf(kinora.ErrInvalid, "description", "description is longer than %d characters", maxDescription)
	}
	e.Description = strings.TrimSpace(*text)
	return nil
}

func applyEventTypes(e *kinora.Endpoint, names *[]string) error {
	if names == nil {
		return nil
	}
	types := []kinora.EventType{}
	for i, name := range *names {
		t := kinora.EventType(name)
		if !slices.Contains(kinora.EndpointEventTypes(), t) {
			return kinora.FieldErrorf(kinora.ErrInvalid, "event_types", "event_types[%d] must be one of %s and %s", i, kinora.EventCompleted, kinora.EventFailed)
		}
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	e.EventTypes = types
	return nil
}

func applyRate(e *kinora.Endpoint, rate *int) error {
	if rate == nil {
		return nil
	}
	if *rate < 0 || *rate > MaxEndpointRate {
		return kinora.FieldErrorf(kinora.ErrInvalid, "rate_per_second", "rate_per_second must be between 0, for no limit, and %d", MaxEndpointRate)
	}
	e.Rate = *rate
	return nil
}

func (s *Service) applyEnabled(tx *store.Tx, e *kinora.Endpoint, enabled *bool, replay bool) error {
	now := s.instant()
	on := e.Enabled()
	if enabled != nil {
		on = *enabled
	}
	switch {
	case replay && !on:
		return kinora.FieldErrorf(kinora.ErrInvalid, "replay_missed", "replay_missed: the endpoint is disabled; set enabled with it")
	case on && (!e.Enabled() || replay):
		until := now
		if replay {
			// A node whose clock is ahead may have noted later times. The lock on the endpoint keeps more from coming.
			last, err := tx.LastMissed(e.ID)
			if err != nil {
				return err
			}
			if last.After(until) {
				until = last
			}
		}
		e.EndpointHealth = e.Enable(replay, until)
	case !on:
		e.EndpointHealth = e.Disable(kinora.DisabledByOperator, now)
	}
	return nil
}
