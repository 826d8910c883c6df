package dashboard

import (
	"context"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
)

// Everybody's own account: name, password, sessions, organisations and invitations into some.
func (d *Dashboard) accountRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/account", who: person, handler: d.accountPage},
		{method: http.MethodPost, pattern: "/account/name", who: person, handler: d.rename},
		{method: http.MethodPost, pattern: "/account/password", who: person, handler: d.changePassword},
		{method: http.MethodPost, pattern: "/account/invitations/{organisation_id}/accept", who: person, handler: d.joinOrganisation},
		{method: http.MethodPost, pattern: "/account/invitations/{organisation_id}/decline", who: person, handler: d.declineInvitation},
		{method: http.MethodPost, pattern: "/account/organisations/{organisation_id}/leave", who: person, handler: d.leaveOrganisation},
		{method: http.MethodPost, pattern: "/account/sessions/end-others", who: person, handler: d.endOtherSessions},
		{method: http.MethodPost, pattern: "/account/sessions/{session_id}/end", who: person, handler: d.endSession},
	}
}

// accountView is the account page.
type accountView struct {
	Person      kinora.Person
	Memberships []kinora.Membership
	Invitations []invitationRow
	Sessions    []kinora.Session
	Current     string            // id of this browser's session
	Errors      map[string]string // of the password's form
	link        func(segments ...string) string
}

func (d *Dashboard) accountPage(ctx context.Context, v *visit) error {
	return d.showAccount(ctx, v, http.StatusOK, nil)
}

func (d *Dashboard) showAccount(ctx context.Context, v *visit, status int, errs map[string]string) error {
	sessions, err := d.cfg.People.Sessions(ctx, v.who.Person.ID)
	if err != nil {
		return err
	}
	return v.showAs(ctx, status, "Account", accountBody(accountView{Person: v.who.Person, Memberships: v.who.Memberships, Invitations: v.invitations(), Sessions: sessions,
		Current: v.who.Session.ID, Errors: errs, link: v.link}))
}

func (d *Dashboard) rename(ctx context.Context, v *visit) error {
	if err := d.cfg.People.Rename(ctx, v.who.Person.ID, strings.TrimSpace(v.form("name"))); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("account"), "Your name has been changed.")
}

func (d *Dashboard) changePassword(ctx context.Context, v *visit) error {
	if v.form("password") != v.form("again") {
		return d.showAccount(ctx, v, http.StatusUnprocessableEntity, map[string]string{"again": "the two passwords are not the same"})
	}
	err := d.cfg.People.ChangePassword(ctx, v.who.Person.ID, v.form("current"), v.form("password"), v.who.Session.ID)
	switch kinora.CodeOf(err) {
	case "":
		return v.done(v.link("account"), "Your password has been changed, and your other sessions have been ended.")
	case kinora.ErrInvalid:
		return d.showAccount(ctx, v, http.StatusUnprocessableEntity, fieldErrors(err))
	case kinora.ErrUnauthorized:
		return d.showAccount(ctx, v, http.StatusUnprocessableEntity, map[string]string{"current": "this is not your password"})
	}
	return v.refused(v.link("account"), err)
}

func (d *Dashboard) endSession(ctx context.Context, v *visit) error {
	if err := d.cfg.People.EndSession(ctx, v.who.Person.ID, v.path("session_id")); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("account"), "The session has been ended.")
}

func (d *Dashboard) endOtherSessions(ctx context.Context, v *visit) error {
	if err := d.cfg.People.EndOtherSessions(ctx, v.who.Person.ID, v.who.Session.ID); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("account"), "All other sessions have been ended.")
}

// invitationRow is one invitation of whoever is signed in.
type invitationRow struct {
	kinora.Membership
	Accept, Decline string // where the answer is posted to
}

func (v *visit) invitations() (rows []invitationRow) {
	for _, m := range v.who.Invitations {
		at := func(what string) string { return v.link("account", "invitations", m.OrganisationID, what) }
		rows = append(rows, invitationRow{m, at("accept"), at("decline")})
	}
	return rows
}

func (d *Dashboard) joinOrganisation(ctx context.Context, v *visit) error {
	organisation := v.path("organisation_id")
	if err := d.cfg.People.Join(ctx, v.who.Person.ID, organisation); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("o", organisation, "generations"), "You are a member of this organisation now.")
}

func (d *Dashboard) declineInvitation(ctx context.Context, v *visit) error {
	if err := d.cfg.People.Decline(ctx, v.who.Person.ID, v.path("organisation_id")); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("account"), "You have declined the invitation.")
}

func (d *Dashboard) leaveOrganisation(ctx context.Context, v *visit) error {
	if err := d.cfg.People.Leave(ctx, v.who.Person.ID, v.path("organisation_id")); err != nil {
		return v.refused(v.link("account"), err)
	}
	return v.done(v.link("account"), "You have left the organisation.")
}
