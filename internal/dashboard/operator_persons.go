package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Persons knows everybody who signs in. Errors of all methods: kinora.ErrUnavailable; kinora.ErrNotFound for a person that there
// is not.
type Persons interface {
	// Persons lists everybody, by e-mail address.
	Persons(ctx context.Context) ([]kinora.Person, error)
	// Person reads one, and where he belongs, pending memberships too.
	Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error)
	// SetOperator and SetDisabled refuse what takes the last operator away: kinora.ErrConflict.
	SetOperator(ctx context.Context, personID string, operator bool) error
	// SetDisabled tells which organisations it leaves without an owner who can sign in.
	SetDisabled(ctx context.Context, personID string, disabled bool) (left []kinora.Ownerless, err error)
	// Ownerless lists the organisations that have members and no owner who can sign in, by name.
	Ownerless(ctx context.Context) ([]kinora.Ownerless, error)
	// ResetPassword makes a link by which a password is set, and returns its token this once.
	ResetPassword(ctx context.Context, personID string) (token string, err error)
}

// Everybody who signs in.
func (d *Dashboard) personRoutes() []route {
	const list, one = operatorPath + "/persons", operatorPath + "/persons/{person_id}"
	return []route{
		{method: http.MethodGet, pattern: list, who: operator, handler: d.personsPage},
		{method: http.MethodGet, pattern: list + "/invite", who: operator, handler: d.invitePersonPage},
		{method: http.MethodPost, pattern: list + "/invite", who: operator, handler: d.invitePerson},
		{method: http.MethodGet, pattern: one, who: operator, handler: d.personPage},
		{method: http.MethodPost, pattern: one + "/operator", who: operator, handler: d.makeOperator},
		{method: http.MethodPost, pattern: one + "/no-operator", who: operator, handler: d.endOperator},
		{method: http.MethodPost, pattern: one + "/disable", who: operator, handler: d.disablePerson},
		{method: http.MethodPost, pattern: one + "/enable", who: operator, handler: d.enablePerson},
		{method: http.MethodPost, pattern: one + "/reset", who: operator, handler: d.resetPassword},
	}
}

// personList is the list page.
type personList struct {
	Action, Invite string
	Find           string
	Rows           []personRow
	Turns          turns
}

// personRow is one line of it.
type personRow struct {
	kinora.Person
	Href string
	Self bool
}

func (d *Dashboard) personsPage(ctx context.Context, v *visit) error {
	all, err := d.cfg.Persons.Persons(ctx)
	if err != nil {
		return err
	}
	list := personList{Action: v.link("operator", "persons"), Invite: v.link("operator", "persons", "invite"), Find: strings.TrimSpace(v.query("find"))}
	find := strings.ToLower(list.Find)
	all = slices.DeleteFunc(slices.Clone(all), func(p kinora.Person) bool {
		return !strings.Contains(strings.ToLower(p.Email+"\n"+p.Name), find) && p.ID != list.Find
	})
	all, list.Turns = pageOf(v, all, list.Action, url.Values{"find": {list.Find}})
	for _, p := range all {
		list.Rows = append(list.Rows, personRow{p, v.link("operator", "persons", p.ID), p.ID == v.who.Person.ID})
	}
	return v.show(ctx, "Persons", personsBody(list))
}

// called is how a person is called.
func called(p kinora.Person) string {
	if p.Name != "" {
		return p.Name
	}
	return p.Email
}

// invitePersonForm is the form by which somebody is invited.
type invitePersonForm struct {
	Action              string
	Email, Organisation string
	Role                kinora.Role
	Operator            bool
	Organisations       []ui.Option
	All                 string // where the others are found; "" = there are no others
	Errors              map[string]string
	Trail               []ui.Link
}

func (v *visit) invitePersonForm(ctx context.Context, f invitePersonForm, err error) (invitePersonForm, error) {
	places, more, failed := v.organisations(ctx, f.Organisation)
	if failed != nil {
		return f, failed
	}
	for _, p := range places {
		f.Organisations = append(f.Organisations, ui.Option{Value: p.id, Label: p.name})
	}
	if more {
		f.All = v.link("operator", "organisations")
	}
	f.Action, f.Errors = v.link("operator", "persons", "invite"), fieldErrors(err)
	f.Trail = []ui.Link{{Label: "Persons", Href: v.link("operator", "persons")}, {Label: "Invite"}}
	return f, nil
}

func (d *Dashboard) invitePersonPage(ctx context.Context, v *visit) error {
	f, err := v.invitePersonForm(ctx, invitePersonForm{Role: kinora.RoleMember, Organisation: v.query("organisation")}, nil)
	if err != nil {
		return err
	}
	return v.show(ctx, "Invite somebody", invitePersonBody(f))
}

// invitePerson invites somebody into an organisation, and makes him an operator where that is asked for.
func (d *Dashboard) invitePerson(ctx context.Context, v *visit) error {
	f := invitePersonForm{Email: strings.TrimSpace(v.form("email")), Organisation: v.form("organisation"), Role: kinora.Role(v.form("role")), Operator: v.form("operator") == "on"}
	m, token, err := d.cfg.Members.Invite(ctx, f.Organisation, f.Email, f.Role)
	switch code := kinora.CodeOf(err); code {
	case "":
	case kinora.ErrInvalid, kinora.ErrConflict, kinora.ErrNotFound:
		f, failed := v.invitePersonForm(ctx, f, err)
		if failed != nil {
			return failed
		}
		return v.showAs(ctx, failures[code].status, "Invite somebody", invitePersonBody(f))
	default:
		return err
	}
	warning := ""
	lead := "To join " + m.OrganisationName + " as " + string(m.Role) + "."
	if f.Operator {
		switch err := d.cfg.Persons.SetOperator(ctx, m.PersonID, true); kinora.CodeOf(err) {
		case "":
		case kinora.ErrConflict: // it is not certain yet who will follow the link
			lead += " They are no operator yet: " + messageOf(err) + "."
		default: // the link is shown only now
			v.logFailure(ctx, failures[kinora.CodeOf(err)].status, err)
			warning = "They could not be made an operator just now. Do so on their page, once they have followed the link."
		}
	}
	page := v.link("operator", "persons", m.PersonID)
	if token == "" {
		text := m.Email + " is a member of " + m.OrganisationName + " now."
		if warning != "" {
			v.note(ui.Warning, text+" "+warning)
			return v.redirect(page)
		}
		return v.done(page, text)
	}
	return v.showOnce(ctx, "Invitation", invitedPersonBody(passedOn{Title: "Invitation for " + m.Email, Lead: lead, Warning: warning,
		Label: "Invitation link", Link: v.entryLink(token), Email: m.Email, Back: page, Trail: v.personTrail(m.Email)}))
}

// entryLink is the address that somebody is let in by.
func (v *visit) entryLink(token string) string {
	return v.absolute(address(v.link("invitation"), url.Values{"token": {token}}))
}

func (v *visit) personTrail(name string) []ui.Link {
	return []ui.Link{{Label: "Persons", Href: v.link("operator", "persons")}, {Label: name}}
}

// passedOn is a page with a link that is shown once.
type passedOn struct {
	Title, Lead, Label, Link, Email, Back string
	Warning                               string // what was not done; "" = all was
	Trail                                 []ui.Link
}

// personView is the page about one person.
type personView struct {
	kinora.Person
	Self        bool
	Memberships []kinora.Membership
	Trail       []ui.Link
	Audit       string // what he did
	at          func(what string) string
	area        func(organisationID string) string
}

func (d *Dashboard) personPage(ctx context.Context, v *visit) error {
	p, belongs, err := d.cfg.Persons.Person(ctx, v.path("person_id"))
	if err != nil {
		return err
	}
	return v.show(ctx, called(*p), personBody(personView{Person: *p, Self: p.ID == v.who.Person.ID, Memberships: belongs, Trail: v.personTrail(p.Email),
		Audit: address(v.link("operator", "audit"), url.Values{"actor": {p.ID}}),
		at:    func(what string) string { return v.link("operator", "persons", p.ID, what) },
		area:  func(id string) string { return v.link("operator", "organisations", id) }}))
}

// changePerson does something to the person of the path, and says so on his page.
func (v *visit) changePerson(ctx context.Context, do func(ctx context.Context, personID string) error, text string) error {
	page := v.link("operator", "persons", v.path("person_id"))
	if err := do(ctx, v.path("person_id")); err != nil {
		return v.refused(page, err)
	}
	return v.done(page, text)
}

func (d *Dashboard) makeOperator(ctx context.Context, v *visit) error {
	return v.changePerson(ctx, func(ctx context.Context, id string) error { return d.cfg.Persons.SetOperator(ctx, id, true) }, "This is an operator of the server now.")
}

func (d *Dashboard) endOperator(ctx context.Context, v *visit) error {
	err := d.cfg.Persons.SetOperator(ctx, v.path("person_id"), false)
	if err == nil && v.path("person_id") == v.who.Person.ID { // there is nothing more for him to see here
		return v.done(v.link(), "You are no operator of the server any more.")
	}
	return v.changePerson(ctx, func(context.Context, string) error { return err }, "This is no operator any more.")
}

func (d *Dashboard) disablePerson(ctx context.Context, v *visit) error {
	page := v.link("operator", "persons", v.path("person_id"))
	left, err := d.cfg.Persons.SetDisabled(ctx, v.path("person_id"), true)
	if err != nil {
		return v.refused(page, err)
	}
	text, tone := "The account has been disabled, and its sessions have ended.", ui.Good
	if len(left) > 0 {
		text, tone = text+" No owner who can sign in is left in: "+ownerlessNames(left)+".", ui.Warning
	}
	v.note(tone, text)
	return v.redirect(page)
}

// ownerlessNames names organisations, the first few of them.
func ownerlessNames(list []kinora.Ownerless) string {
	const most = 5
	var names []string
	for i, o := range list {
		if i == most {
			names = append(names, groups(int64(len(list)-most))+" more")
			break
		}
		names = append(names, o.OrganisationName)
	}
	return strings.Join(names, ", ")
}

func (d *Dashboard) enablePerson(ctx context.Context, v *visit) error {
	return v.changePerson(ctx, func(ctx context.Context, id string) error {
		_, err := d.cfg.Persons.SetDisabled(ctx, id, false)
		return err
	}, "The account has been enabled.")
}

// resetPassword makes a link for a new password, and shows it this once.
func (d *Dashboard) resetPassword(ctx context.Context, v *visit) error {
	p, _, err := d.cfg.Persons.Person(ctx, v.path("person_id"))
	if err != nil {
		return err
	}
	token, err := d.cfg.Persons.ResetPassword(ctx, p.ID)
	if err != nil {
		return err
	}
	return v.showOnce(ctx, "New password", invitedPersonBody(passedOn{Title: "New password for " + p.Email, Lead: "Until it is chosen, the one before stands.",
		Label: "Link for a new password", Link: v.entryLink(token), Email: p.Email, Back: v.link("operator", "persons", p.ID), Trail: v.personTrail(p.Email)}))
}
