package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/people"
)

// personnel is what the person and audit commands work on: the admin API of a running server, or its database. Links are
// whole addresses, shown once.
type personnel interface {
	directory
	Persons(ctx context.Context) ([]kinora.Person, error)
	SetOperator(ctx context.Context, personID string, operator bool) error
	SetDisabled(ctx context.Context, personID string, disabled bool) (left []kinora.Ownerless, err error)
	Members(ctx context.Context, organisationID string) ([]kinora.Membership, error)
	SetRole(ctx context.Context, organisationID, personID string, role kinora.Role) error
	RemoveMember(ctx context.Context, organisationID, personID string) error
	Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error)
	Rename(ctx context.Context, personID, name string) error
	Sessions(ctx context.Context, personID string) ([]kinora.Session, error)
	EndSession(ctx context.Context, personID, sessionID string) error
	EndOtherSessions(ctx context.Context, personID, keep string) error
	Audit(ctx context.Context, f kinora.AuditFilter, before string, limit int) (page []kinora.AuditEntry, next string, err error)

	// invite returns an empty link where the membership stands at once.
	invite(ctx context.Context, organisationID, email string, role kinora.Role) (m *kinora.Membership, link string, err error)
	reset(ctx context.Context, personID string) (link string, err error)
	// setUpLink returns an empty link where there is a person already.
	setUpLink(ctx context.Context) (link string, err error)
}

var (
	_ personnel = database{}
	_ personnel = (*adminAPI)(nil)
)

// withPeople is operator.with for persons.
func (o operator) withPeople(ctx context.Context, do func(personnel) error) error {
	api, cfg, why := o.find(ctx)
	if api != nil {
		defer api.close()
		return do(api)
	}
	if cfg == nil {
		return why
	}
	return onDatabase(ctx, *cfg, why, func(opened *app.App) error {
		return do(database{directory: opened.Tenancy(), Service: opened.People(), dashboard: dashboardURL(*cfg)})
	})
}

// dashboardURL is where browsers find a server's dashboard that does not run now.
func dashboardURL(cfg config.Config) string {
	base := cfg.PublicURL
	if base == "" {
		base = localURL(cfg.Listen)
	}
	if base == "" { // its port is only known to it
		base = "http://" + cfg.Listen
	}
	return base + "/dashboard"
}

// database is the personnel of a database that is at hand.
type database struct {
	directory
	*people.Service
	dashboard string
}

func (d database) link(page, token string) string {
	if token == "" {
		return ""
	}
	return d.dashboard + page + "?token=" + url.QueryEscape(token)
}

func (d database) invite(ctx context.Context, organisationID, email string, role kinora.Role) (*kinora.Membership, string, error) {
	m, token, err := d.Invite(ctx, organisationID, email, role)
	return m, d.link("/invitation", token), err
}

func (d database) reset(ctx context.Context, personID string) (string, error) {
	token, err := d.ResetPassword(ctx, personID)
	return d.link("/invitation", token), err
}

func (d database) setUpLink(ctx context.Context) (string, error) {
	token, err := d.SetupLink(ctx)
	return d.link("/setup", token), err
}

// findPerson finds somebody by id or e-mail address.
func findPerson(ctx context.Context, d personnel, ref string) (*kinora.Person, error) {
	all, err := d.Persons(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.ID == ref || p.Email == strings.ToLower(strings.TrimSpace(ref)) {
			return &p, nil
		}
	}
	return nil, &failure{exit: exitNotFound, message: "person not found", hint: "kinora person list shows all of them"}
}
