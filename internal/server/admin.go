package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

// Admin is what the operator's API does. An organisation's id that does not exist, and an id that belongs to another
// organisation, are kinora.ErrNotFound in every method; kinora.ErrUnavailable says that the database is out of reach.
type Admin interface {
	// Organisations lists all organisations, oldest first.
	Organisations(ctx context.Context) ([]*kinora.Organisation, error)
	Organisation(ctx context.Context, organisationID string) (*kinora.Organisation, error)
	// CreateOrganisation makes an organisation and its first webhook secret. Errors: kinora.ErrInvalid.
	CreateOrganisation(ctx context.Context, c OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error)
	// UpdateOrganisation changes what c sets. Errors: kinora.ErrInvalid.
	UpdateOrganisation(ctx context.Context, organisationID string, c OrganisationChange) (*kinora.Organisation, error)

	// Keys lists an organisation's keys, those that have ended too, oldest first.
	Keys(ctx context.Context, organisationID string) ([]*kinora.Key, error)
	// CreateKey makes a key of kind "sk" or "kat_live", which ends at expires (zero = never), and returns its text this once.
	// Errors: kinora.ErrInvalid.
	CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (key *kinora.Key, text string, err error)
	// ImportKey makes a key of an existing text. Errors: kinora.ErrInvalid, kinora.ErrConflict when it is known already.
	ImportKey(ctx context.Context, organisationID, name, text string, expires time.Time) (*kinora.Key, error)
	// RotateKey makes a key in the place of another one, which ends after overlap, and returns the new one's text this once.
	// Errors: kinora.ErrInvalid, kinora.ErrConflict when the old one has ended or been rotated.
	RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (key *kinora.Key, text string, err error)
	RevokeKey(ctx context.Context, organisationID, keyID string) error

	// Endpoints lists an organisation's endpoints, its default callback URL first.
	Endpoints(ctx context.Context, organisationID string) ([]*kinora.Endpoint, error)
	Endpoint(ctx context.Context, organisationID, endpointID string) (*kinora.Endpoint, error)
	// CreateEndpoint registers a destination. Errors: kinora.ErrInvalid, kinora.ErrConflict when the name is taken.
	CreateEndpoint(ctx context.Context, organisationID string, c kinora.EndpointChange) (*kinora.Endpoint, error)
	// UpdateEndpoint changes what c sets. Errors: kinora.ErrInvalid, kinora.ErrConflict when the name is taken.
	UpdateEndpoint(ctx context.Context, organisationID, endpointID string, c kinora.EndpointChange) (*kinora.Endpoint, error)
	DeleteEndpoint(ctx context.Context, organisationID, endpointID string) error

	// WebhookSecrets lists the secrets that sign now, the current one first.
	WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error)
	// RotateWebhookSecret makes a new secret, or takes text where it is not empty; the one before signs beside it for
	// overlap. Errors: kinora.ErrInvalid.
	RotateWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error)

	// Generation reads any organisation's generation, with what its caller sees of its outputs.
	Generation(ctx context.Context, generationID string) (*kinora.Generation, []kinora.Output, error)
	// History reads all that is kept about any organisation's generation.
	History(ctx context.Context, generationID string) (*kinora.History, error)
	// Origin tells where a generation came from, and what was made anew from it.
	Origin(ctx context.Context, g *kinora.Generation) (*kinora.Origin, error)
	// Deliveries lists the deliveries of a generation's event; none before its end.
	Deliveries(ctx context.Context, generationID string) ([]*kinora.Delivery, error)
	// DeliveryAttempts is the log of a delivery, oldest first: the newest hundred of its attempts.
	DeliveryAttempts(ctx context.Context, deliveryID string) ([]kinora.DeliveryAttempt, error)
}

// OrganisationChange says what of an organisation is to be set; nil leaves a field as it is. It is the body of the
// requests too.
type OrganisationChange struct {
	Name           *string   `json:"name"`
	DefaultWebhook *string   `json:"default_webhook"` // "" = none
	WebhookHosts   *[]string `json:"webhook_hosts"`   // empty = any public host
	OperatorHook   *string   `json:"operator_hook"`   // "" = none
	Disabled       *bool     `json:"disabled"`

	Allowance *kinora.AllowanceChange `json:"allowance"`
}

const (
	// maxAdminList bounds every list of the admin API. What lies beyond it is not shown, and the answer says so.
	maxAdminList = 1000
	// defaultOverlap is how long the secret before a rotation signs on (generations API contract 10.3), and a key goes on.
	defaultOverlap    = 24 * time.Hour
	maxOverlapSeconds = 30 * 24 * 60 * 60 // as tenancy has it
)

// The operator's API. It has a token of its own, bodies that are closed (an unknown field is an error), and answers that
// show a secret only where it has just been made.
func (s *Server) adminRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.AdminToken == "" {
		return nil
	}
	const (
		organisations = "/admin/v1/organisations"
		organisation  = organisations + "/{organisation_id}"
		generation    = "/admin/v1/generations/{generation_id}"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	ledger := on(http.MethodGet, organisation+"/billing-events", s.adminBillingEvents)
	ledger.load = holding // as CSV it lasts as long as the client needs
	list := []route{
		on(http.MethodGet, organisations, s.adminOrganisations),
		on(http.MethodPost, organisations, s.adminCreateOrganisation),
		on(http.MethodGet, organisation, s.adminOrganisation),
		on(http.MethodPatch, organisation, s.adminUpdateOrganisation),
		on(http.MethodGet, organisation+"/keys", s.adminKeys),
		on(http.MethodPost, organisation+"/keys", s.adminCreateKey),
		on(http.MethodDelete, organisation+"/keys/{key_id}", s.adminRevokeKey),
		on(http.MethodPost, organisation+"/keys/{key_id}/rotate", s.adminRotateKey),
		on(http.MethodGet, organisation+"/webhook-secrets", s.adminSecrets),
		on(http.MethodPost, organisation+"/webhook-secrets", s.adminRotateSecret),
		on(http.MethodGet, generation, s.adminGeneration),
		on(http.MethodGet, generation+"/deliveries", s.adminDeliveries),
	}
	if s.cfg.Usage != nil {
		list = append(list,
			on(http.MethodGet, organisation+"/usage", s.adminUsage),
			on(http.MethodGet, organisation+"/usage/series", s.adminUsageOverTime),
			ledger)
	}
	return append(list, s.adminEndpointRoutes(on, organisation)...)
}

// adminBody decodes a closed JSON body.
func (s *Server) adminBody(x *exchange, r *http.Request, into any) error {
	doc, err := s.readJSON(x, r)
	if err != nil {
		return err
	}
	return doc.decode(into)
}

func (s *Server) adminOrganisations(ctx context.Context, x *exchange, _ *http.Request) error {
	list, err := s.cfg.Admin.Organisations(ctx)
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := organisationList{Organisations: make([]organisationView, len(shown)), Truncated: truncated}
	for i, o := range shown {
		answer.Organisations[i] = viewOrganisation(o)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// bounded cuts a list, and says whether it did.
func bounded[T any](list []T) ([]T, bool) {
	if len(list) > maxAdminList {
		return list[:maxAdminList], true
	}
	return list, false
}

func (s *Server) adminCreateOrganisation(ctx context.Context, x *exchange, r *http.Request) error {
	var c OrganisationChange
	if err := s.adminBody(x, r, &c); err != nil {
		return err
	}
	if c.Disabled != nil {
		return refuse(kinora.ErrInvalid, "disabled cannot be set on a new organisation")
	}
	o, secret, err := s.cfg.Admin.CreateOrganisation(ctx, c)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, newOrganisationView{organisationView: viewOrganisation(o), WebhookSecret: viewSecret(secret, true)})
	return nil
}

func (s *Server) adminOrganisation(ctx context.Context, x *exchange, r *http.Request) error {
	o, err := s.cfg.Admin.Organisation(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewOrganisation(o))
	return nil
}

func (s *Server) adminUpdateOrganisation(ctx context.Context, x *exchange, r *http.Request) error {
	var c OrganisationChange
	if err := s.adminBody(x, r, &c); err != nil {
		return err
	}
	if c == (OrganisationChange{}) {
		return refuse(kinora.ErrInvalid, "the body sets nothing; give name, default_webhook, webhook_hosts, operator_hook, disabled or allowance")
	}
	o, err := s.cfg.Admin.UpdateOrganisation(ctx, r.PathValue("organisation_id"), c)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewOrganisation(o))
	return nil
}

func (s *Server) adminSecrets(ctx context.Context, x *exchange, r *http.Request) error {
	list, err := s.cfg.Admin.WebhookSecrets(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := secretList{WebhookSecrets: make([]secretView, len(shown)), Truncated: truncated}
	for i := range shown {
		answer.WebhookSecrets[i] = viewSecret(&shown[i], false)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// adminRotateSecret makes a new webhook secret, or imports one where the body has its text.
func (s *Server) adminRotateSecret(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		OverlapSeconds *int64  `json:"overlap_seconds"` // default: a day; 0: all older secrets end at once
		Secret         *string `json:"secret"`          // an existing secret's text
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	overlap, err := overlapOf(body.OverlapSeconds)
	if err != nil {
		return err
	}
	text := ""
	if body.Secret != nil {
		if text = *body.Secret; text == "" {
			return refuse(kinora.ErrInvalid, "secret must not be empty; leave it out to have one made")
		}
	}
	secret, err := s.cfg.Admin.RotateWebhookSecret(ctx, r.PathValue("organisation_id"), text, overlap)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, viewSecret(secret, text == ""))
	return nil
}

// overlapOf is how long what is replaced goes on.
func overlapOf(seconds *int64) (time.Duration, error) {
	switch {
	case seconds == nil:
		return defaultOverlap, nil
	case *seconds < 0 || *seconds > maxOverlapSeconds:
		return 0, refuse(kinora.ErrInvalid, "overlap_seconds must be between 0 and %d (30 days)", maxOverlapSeconds)
	}
	return time.Duration(*seconds) * time.Second, nil
}
