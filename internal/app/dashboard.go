package app

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/server"
	"github.com/kinora/kinora/internal/tenancy"
)

// wireDashboard makes the pages over the services that the admin API works with, where they are wanted.
func (a *App) wireDashboard() (err error) {
	if !a.cfg.Dashboard.Enabled {
		return nil
	}
	a.dashboard, err = dashboard.New(dashboard.Config{
		People: a.people, Provider: a.identityProvider(), Organisations: a.tenancy, Generations: a.engine, Histories: a.engine, Inputs: inputFiles{a.db, a.signer}, Reviews: a.engine, API: calls{a}, FileURL: a.fileURL,
		Keys: keys{a.tenancy}, Usage: a.engine, Assets: a.assets, PreviewURL: a.previewURL,
		Offers:  a.offers,
		Members: a.people, Audit: a.people, Settings: settings{a.tenancy},
		Operating: a.operating, Installation: installation{a}, Tenants: tenants{a.tenancy, a.engine}, Persons: a.people,
		RateLimits: func(o *kinora.Organisation) map[string]int { return a.server.RateLimits(o) }, // the server is made after it
		Webhooks:   a.dispatcher, WebhookSettings: webhookSettings{a.admin()}, WebhookTimeout: a.cfg.Webhooks.Timeout.Std(),
		URL: a.URL(), ClientAddress: server.ClientAddress(prefixes(a.cfg.Network.TrustedProxies)),
		ClientNetwork: server.ClientNetwork(prefixes(a.cfg.Network.TrustedProxies)), Logger: a.log,
	})
	return err
}

// calls lets the dashboard meet the server, which is made after it.
type calls struct{ a *App }

func (c calls) Call(r *http.Request, actor kinora.Actor, organisationID string) (http.Header, []byte, error) {
	return c.a.server.Call(r, actor, organisationID)
}

func (c calls) Pass(w http.ResponseWriter, r *http.Request, actor kinora.Actor, organisationID string) error {
	return c.a.server.Pass(w, r, actor, organisationID)
}

// keys gives the dashboard the kinds of keys as words.
type keys struct{ *tenancy.Service }

func (k keys) CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (*kinora.Key, string, error) {
	return k.Service.CreateKey(ctx, organisationID, name, tenancy.KeyKind(kind), expires)
}

// settings changes what owners may change of an organisation.
type settings struct{ *tenancy.Service }

func (s settings) RenameOrganisation(ctx context.Context, organisationID, name string) error {
	_, err := s.UpdateOrganisation(ctx, organisationID, tenancy.OrganisationChange{Name: &name})
	return err
}

// webhookSettings gives the dashboard the admin API's services, in its own words for what it changes.
type webhookSettings struct{ admin }

func (s webhookSettings) ChangeWebhooks(ctx context.Context, organisationID string, c dashboard.WebhookChange) (*kinora.Organisation, error) {
	return s.UpdateOrganisation(ctx, organisationID, server.OrganisationChange{DefaultWebhook: c.DefaultWebhook, WebhookHosts: c.WebhookHosts,
		OperatorHook: c.OperatorHook})
}
