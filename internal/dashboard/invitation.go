package dashboard

import (
	"context"
	"net/http"
	"net/url"

	"github.com/kinora/kinora"
)

// Taking up an invitation, or setting a password anew, by a link that an owner or operator has passed on. The page of an invitation is
// the same whether its address has an account or not: whoever has made the link can open it too.
func (d *Dashboard) invitationRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/invitation", who: anybody, handler: d.invitationPage},
		{method: http.MethodPost, pattern: "/invitation", who: anybody, handler: d.acceptInvitation},
		{method: http.MethodPost, pattern: "/invitation/join", who: person, handler: d.joinByLink},
	}
}

// invitationView is the page of an invitation.
type invitationView struct {
	kinora.Invitation
	Token string
	// Join is where somebody says yes who is signed in as whom the invitation is for; "" = nobody is.
	Join string
	// SignedInAs is somebody else who is signed in; "" = nobody is. SignOut ends that.
	SignedInAs, SignOut string
	SignIn              string // page for somebody who has an account, which leads back
	New                 newPersonForm
}

// invitation reads the link of the visit; f is filled in as somebody sees it first.
func (d *Dashboard) invitation(ctx context.Context, v *visit) (i *kinora.Invitation, f newPersonForm, err error) {
	token := v.given("token")
	if i, err = d.cfg.People.Invitation(ctx, token); err != nil {
		return nil, f, oldLink(err)
	}
	f = newPersonForm{Action: v.link("invitation"), Token: token, Email: i.Email, Name: i.Name, FixedEmail: true, AskName: true, Submit: "Create the account and join"}
	if i.OrganisationID == "" {
		f.Title, f.Lead, f.Submit = "Choose a password", "It takes the place of the one you had, and ends your other sessions.", "Set the password"
	}
	return i, f, nil
}

func (v *visit) showInvitation(ctx context.Context, status int, i *kinora.Invitation, f newPersonForm) error {
	if i.OrganisationID == "" {
		return v.showBare(ctx, status, f.Title, newPersonBody(f))
	}
	view := invitationView{Invitation: *i, Token: f.Token, New: f, SignOut: v.link("sign-out")}
	back := address(Prefix+"/invitation", url.Values{"token": {f.Token}})
	view.SignIn = address(v.link("sign-in"), url.Values{"next": {back}})
	switch {
	case v.who == nil:
	case v.who.Person.Email == i.Email:
		view.Join = v.link("invitation", "join")
	default:
		view.SignedInAs = v.who.Person.Email
	}
	return v.showBare(ctx, status, "Join "+i.OrganisationName, invitationBody(view))
}

func (d *Dashboard) invitationPage(ctx context.Context, v *visit) error {
	i, f, err := d.invitation(ctx, v)
	if err != nil {
		return err
	}
	return v.showInvitation(ctx, http.StatusOK, i, f)
}

func (d *Dashboard) acceptInvitation(ctx context.Context, v *visit) error {
	i, f, err := d.invitation(ctx, v)
	if err != nil {
		return err
	}
	f.Name = v.form("name")
	if v.form("password") != v.form("again") {
		f.Errors = map[string]string{"again": "the two passwords are not the same"}
		return v.showInvitation(ctx, http.StatusUnprocessableEntity, i, f)
	}
	session, err := d.cfg.People.AcceptInvitation(ctx, f.Token, kinora.NewPerson{Name: f.Name, Password: v.form("password")}, v.visitor())
	switch kinora.CodeOf(err) {
	case "":
		v.begin(session)
		return v.redirect(v.joined(i))
	case kinora.ErrConflict:
		f.Errors = map[string]string{"": messageOf(err) + ": sign in with it"}
		return v.showInvitation(ctx, http.StatusConflict, i, f)
	case kinora.ErrInvalid:
		f.Errors = fieldErrors(err)
		return v.showInvitation(ctx, http.StatusUnprocessableEntity, i, f)
	}
	return oldLink(err)
}

func (d *Dashboard) joinByLink(ctx context.Context, v *visit) error {
	i, f, err := d.invitation(ctx, v)
	if err != nil {
		return err
	}
	if err := d.cfg.People.JoinByLink(ctx, v.who.Person.ID, f.Token); err != nil {
		return oldLink(err)
	}
	return v.done(v.joined(i), "You are a member of "+i.OrganisationName+" now.")
}

// joined is where a link leads to once it has been taken up.
func (v *visit) joined(i *kinora.Invitation) string {
	if i.OrganisationID == "" {
		return v.link()
	}
	return v.link("o", i.OrganisationID, "generations")
}

// oldLink says what a link that leads nowhere means.
func oldLink(err error) error {
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return kinora.Errorf(kinora.ErrNotFound, "this link has been used already or is too old; ask for a new one")
	}
	return err
}
