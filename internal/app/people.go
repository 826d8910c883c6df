package app

import (
	"context"
	"fmt"
	"net/url"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/people"
)

// dashboardURL is where browsers find the dashboard.
func (a *App) dashboardURL() string { return a.URL() + "/dashboard" }

// oidcOf is the identity provider of a configuration; dashboard is where browsers find the dashboard.
func oidcOf(cfg config.OIDC, dashboard string) people.OIDC {
	return people.OIDC{Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), Label: cfg.Label,
		RedirectURL: dashboard + "/oidc/callback", Domains: cfg.AllowedDomains, Organisation: cfg.DefaultOrganisation}
}

func (a *App) wirePeople() {
	d := a.cfg.Dashboard
	a.people = people.New(a.db, a.ring, people.Options{
		Idle: d.SessionIdle.Std(), Longest: d.SessionLongest.Std(), Log: a.log, Metrics: a.registry,
		OIDC: oidcOf(d.OIDC, a.dashboardURL()),
	})
}

// identityProvider is where persons may sign in beside here; nil = nowhere.
func (a *App) identityProvider() dashboard.IdentityProvider {
	if a.cfg.Dashboard.OIDC.Issuer == "" {
		return nil
	}
	return a.people
}

// makeSetUpLink makes the link by which the first person comes in, while there is none.
func (a *App) makeSetUpLink(ctx context.Context) error {
	if !a.cfg.Dashboard.Enabled {
		return nil
	}
	token, err := a.people.SetupLink(ctx)
	if err != nil {
		return fmt.Errorf("make the set-up link: %w", err)
	}
	if token != "" {
		a.setUpLink = a.dashboardURL() + "/setup?token=" + url.QueryEscape(token)
	}
	return nil
}

// SetUpLink is where the first person comes in to the dashboard; empty where there is one already. It is a secret, and no log's.
func (a *App) SetUpLink() string { return a.setUpLink }
