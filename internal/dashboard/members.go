package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Members knows who belongs to an organisation. Errors of all methods: kinora.ErrNotFound, kinora.ErrUnavailable.
type Members interface {
	// Members lists an organisation's members, and who is invited, by e-mail address.
	Members(ctx context.Context, organisationID string) ([]kinora.Membership, error)
	// Invite asks the person of an e-mail address to be a member. token is that of the link by which he takes it up; empty = he is
	// a member at once, which only operators can make him. Inviting again makes a new link.
	//
	// Errors: kinora.ErrInvalid with the field; kinora.ErrConflict for a member.
	Invite(ctx context.Context, organisationID, email string, role kinora.Role) (m *kinora.Membership, token string, err error)
	// SetRole and RemoveMember hold for invitations too, by the person's id or the invitation's. Errors: kinora.ErrConflict for the
	// last owner who can sign in.
	SetRole(ctx context.Context, organisationID, memberID string, role kinora.Role) error
	RemoveMember(ctx context.Context, organisationID, memberID string) error
}

// The members of an organisation, and who is invited to be one.
func (d *Dashboard) memberRoutes() []route {
	const members, one = organisationPath + "/members", organisationPath + "/members/{member_id}"
	return []route{
		{method: http.MethodGet, pattern: members, who: owner, handler: d.listMembers},
		{method: http.MethodGet, pattern: members + "/invite", who: owner, handler: d.invitePage},
		{method: http.MethodPost, pattern: members + "/invite", who: owner, handler: d.invite},
		{method: http.MethodPost, pattern: one + "/role", who: owner, handler: d.setRole},
		{method: http.MethodPost, pattern: one + "/link", who: owner, handler: d.inviteAgain},
		{method: http.MethodPost, pattern: one + "/remove", who: owner, handler: d.removeMember},
	}
}

// memberList is the list page.
type memberList struct {
	Organisation string
	Members      []memberRow
	Invitations  []memberRow
	Invite       string // page of the form
	Turns        turns
}

// memberRow is one member, or one invitation.
type memberRow struct {
	kinora.Membership
	ID                 string // the person's, or while they are invited the invitation's: see kinora.Membership
	Self               bool
	Change, Link, Drop string // where changes are posted to
	Leave              string // where to go away oneself
}

func (d *Dashboard) listMembers(ctx context.Context, v *visit) error {
	all, err := d.cfg.Members.Members(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	list := memberList{Organisation: v.organisation.Name, Invite: v.here("members", "invite")}
	all, list.Turns = pageOf(v, all, v.here("members"), nil)
	for _, m := range all {
		id := memberID(m)
		at := func(what string) string { return v.here("members", id, what) }
		row := memberRow{Membership: m, ID: id, Self: m.PersonID == v.who.Person.ID, Change: at("role"), Link: at("link"), Drop: at("remove"),
			Leave: v.link("account", "organisations", m.OrganisationID, "leave")}
		if m.Pending {
			list.Invitations = append(list.Invitations, row)
		} else {
			list.Members = append(list.Members, row)
		}
	}
	return v.show(ctx, "Members", membersBody(list))
}

// memberID is what a page calls a member by. The id of a person who has said nothing yet would tell when they got their account.
func memberID(m kinora.Membership) string {
	if m.Pending {
		return m.InvitationID
	}
	return m.PersonID
}

// inviteForm is the form by which somebody is invited.
type inviteForm struct {
	Email  string
	Role   kinora.Role
	Errors map[string]string
	Action string
	Trail  []ui.Link
}

func (v *visit) inviteForm(email string, role kinora.Role, err error) inviteForm {
	return inviteForm{Email: email, Role: role, Errors: fieldErrors(err), Action: v.here("members", "invite"),
		Trail: []ui.Link{{Label: "Members", Href: v.here("members")}, {Label: "Invite"}}}
}

func (d *Dashboard) invitePage(ctx context.Context, v *visit) error {
	return v.show(ctx, "Invite somebody", inviteBody(v.inviteForm("", kinora.RoleMember, nil)))
}

func (d *Dashboard) invite(ctx context.Context, v *visit) error {
	email, role := strings.TrimSpace(v.form("email")), kinora.Role(v.form("role"))
	m, token, err := d.cfg.Members.Invite(ctx, v.organisation.ID, email, role)
	switch kinora.CodeOf(err) {
	case kinora.ErrInvalid, kinora.ErrConflict:
		return v.showAs(ctx, failures[kinora.CodeOf(err)].status, "Invite somebody", inviteBody(v.inviteForm(email, role, err)))
	}
	if err != nil {
		return err
	}
	return v.invited(ctx, m, token)
}

// invited shows the link of an invitation, this once.
func (v *visit) invited(ctx context.Context, m *kinora.Membership, token string) error {
	if token == "" {
		return v.done(v.here("members"), m.Email+" is a member now.")
	}
	link := v.absolute(address(v.link("invitation"), url.Values{"token": {token}}))
	return v.showOnce(ctx, "Invitation", invitedBody(invitedPage{Email: m.Email, Role: m.Role, Organisation: v.organisation.Name, Link: link,
		Back: v.here("members"), Trail: []ui.Link{{Label: "Members", Href: v.here("members")}, {Label: m.Email}}}))
}

// invitedPage is the page with an invitation's link.
type invitedPage struct {
	Email, Organisation, Link, Back string
	Role                            kinora.Role
	Trail                           []ui.Link
}

// inviteAgain makes a new link for somebody who is invited. The one before leads nowhere from then on.
func (d *Dashboard) inviteAgain(ctx context.Context, v *visit) error {
	all, err := d.cfg.Members.Members(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	for _, m := range all {
		if memberID(m) != v.path("member_id") {
			continue
		}
		invited, token, err := d.cfg.Members.Invite(ctx, v.organisation.ID, m.Email, m.Role)
		if err != nil {
			return v.refused(v.here("members"), err)
		}
		return v.invited(ctx, invited, token)
	}
	return kinora.Errorf(kinora.ErrNotFound, "this invitation has been taken back")
}

func (d *Dashboard) setRole(ctx context.Context, v *visit) error {
	role := kinora.Role(v.form("role"))
	if err := d.cfg.Members.SetRole(ctx, v.organisation.ID, v.path("member_id"), role); err != nil {
		return v.refused(v.here("members"), err)
	}
	return v.done(v.afterMember(role.Covers(kinora.RoleOwner)), "The role has been changed to "+string(role)+".")
}

func (d *Dashboard) removeMember(ctx context.Context, v *visit) error {
	if err := d.cfg.Members.RemoveMember(ctx, v.organisation.ID, v.path("member_id")); err != nil {
		return v.refused(v.here("members"), err)
	}
	return v.done(v.afterMember(false), "The membership has been ended.")
}

// afterMember is where to go after a change of a member: the list, unless somebody has just taken it from himself.
func (v *visit) afterMember(owner bool) string {
	if v.path("member_id") == v.who.Person.ID && !owner && !v.who.Person.Operator {
		return v.link()
	}
	return v.here("members")
}
