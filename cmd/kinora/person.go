package main

import (
	"context"
	"fmt"

	"github.com/kinora/kinora"
)

type personCommand struct {
	List     personListCommand     `cmd:"" help:"List who signs in to the dashboard, or the members of an organisation."`
	Invite   personInviteCommand   `cmd:"" help:"Invite somebody into an organisation; a person whom an operator has let in before is a member at once. The link for the others is shown this once."`
	Role     personRoleCommand     `cmd:"" help:"Give a member another role."`
	Remove   personRemoveCommand   `cmd:"" help:"Take somebody out of an organisation, or an invitation back."`
	Disable  personDisableCommand  `cmd:"" help:"Keep somebody from signing in, and end their sessions."`
	Enable   personEnableCommand   `cmd:"" help:"Let somebody sign in again."`
	Reset    personResetCommand    `cmd:"" help:"Make a link by which somebody chooses a new password. It is shown this once."`
	Operator personOperatorCommand `cmd:"" help:"Make somebody an operator of this instance, or no longer one."`
	personalCommands
}

// personShape is how --json shows a person.
type personShape struct {
	ID           string  `json:"id"`
	Email        string  `json:"email"`
	Name         string  `json:"name"` // empty = none
	Operator     bool    `json:"operator"`
	HasPassword  bool    `json:"has_password"`
	Disabled     bool    `json:"disabled"`
	CreatedAt    instant `json:"created_at"`
	LastSignInAt instant `json:"last_sign_in_at"` // null = never
}

func personOf(p kinora.Person) personShape {
	return personShape{ID: p.ID, Email: p.Email, Name: p.Name, Operator: p.Operator, HasPassword: p.HasPassword, Disabled: p.Disabled,
		CreatedAt: instant(p.CreatedAt), LastSignInAt: instant(p.LastSignInAt)}
}

// memberShape is how --json shows a membership.
type memberShape struct {
	OrganisationID   string      `json:"organisation_id"`
	OrganisationName string      `json:"organisation_name"`
	PersonID         string      `json:"person_id"`
	Email            string      `json:"email"`
	Name             string      `json:"name"`
	Role             kinora.Role `json:"role"`
	Pending          bool        `json:"pending"`       // invited, and gives no right yet
	InvitationID     *string     `json:"invitation_id"` // null = not pending
	InvitedBy        *string     `json:"invited_by"`    // null = an operator, or not known
	CreatedAt        instant     `json:"created_at"`
}

func memberOf(m kinora.Membership) memberShape {
	return memberShape{OrganisationID: m.OrganisationID, OrganisationName: m.OrganisationName, PersonID: m.PersonID, Email: m.Email, Name: m.Name,
		Role: m.Role, Pending: m.Pending, InvitationID: orNull(m.InvitationID), InvitedBy: orNull(m.InvitedBy), CreatedAt: instant(m.CreatedAt)}
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// ownerlessShape is an organisation that has members and no owner who can sign in.
type ownerlessShape struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type personListCommand struct {
	Org string `help:"Members of one organisation, by id or name, with their roles." placeholder:"ORG"`

	operator
}

func (p *personListCommand) Run(ctx context.Context, c *console) error {
	return p.withPeople(ctx, func(d personnel) error {
		if p.Org != "" {
			return p.members(ctx, c, d)
		}
		list, err := d.Persons(ctx)
		if err != nil {
			return err
		}
		shape := struct {
			Persons   []personShape `json:"persons"`
			Truncated bool          `json:"truncated"` // there are more
		}{[]personShape{}, cutOff(d)}
		rows := make([][]string, 0, len(list))
		for _, p := range list {
			shape.Persons = append(shape.Persons, personOf(p))
			rows = append(rows, []string{p.ID, p.Email, orDash(p.Name), stateOfPerson(p), stamp(p.LastSignInAt)})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "E-MAIL", "NAME", "STATE", "LAST SIGN-IN"}, rows) })
	})
}

func stateOfPerson(p kinora.Person) string {
	switch {
	case p.Disabled:
		return "disabled"
	case p.LastSignInAt.IsZero():
		return "invited"
	case p.Operator:
		return "operator"
	}
	return "active"
}

func (p *personListCommand) members(ctx context.Context, c *console, d personnel) error {
	org, err := findOrganisation(ctx, d, p.Org)
	if err != nil {
		return err
	}
	list, err := d.Members(ctx, org.ID)
	if err != nil {
		return err
	}
	shape := struct {
		Members   []memberShape `json:"members"`
		Truncated bool          `json:"truncated"`
	}{[]memberShape{}, cutOff(d)}
	rows := make([][]string, 0, len(list))
	for _, m := range list {
		shape.Members = append(shape.Members, memberOf(m))
		state := "member"
		if m.Pending {
			state = "invited"
		}
		rows = append(rows, []string{m.PersonID, m.Email, orDash(m.Name), string(m.Role), state})
	}
	return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "E-MAIL", "NAME", "ROLE", "STATE"}, rows) })
}

type personInviteCommand struct {
	Email string `arg:"" help:"E-mail address. Nothing is sent there: the link is for you to pass on."`
	Org   string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
	Role  string `help:"owner, admin or member." enum:"owner,admin,member" default:"member" placeholder:"ROLE"`

	operator
}

func (p *personInviteCommand) Run(ctx context.Context, c *console) error {
	return p.withPeople(ctx, func(d personnel) error {
		org, err := findOrganisation(ctx, d, p.Org)
		if err != nil {
			return err
		}
		m, link, err := d.invite(ctx, org.ID, p.Email, kinora.Role(p.Role))
		if err != nil {
			return err
		}
		shape := struct {
			memberShape
			Link *string `json:"link"` // null = the membership stands already
		}{memberShape: memberOf(*m)}
		if link != "" {
			shape.Link = &link
		}
		return c.result(shape, func() {
			if link == "" {
				c.say("%s is now %s of %s.", printable(m.Email), m.Role, printable(m.OrganisationName))
				return
			}
			c.say("%s is invited to %s as %s. Pass this link on; it works once, within a week, and is shown this once:", printable(m.Email), printable(m.OrganisationName), m.Role)
			c.say("")
			c.say("  %s", printable(link))
		})
	})
}

// member names somebody in an organisation.
type member struct {
	Person string `arg:"" help:"Id or e-mail address."`
	Org    string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`

	operator
}

// with finds the member and runs do.
func (m member) with(ctx context.Context, do func(d personnel, org *kinora.Organisation, p *kinora.Person) error) error {
	return m.withPeople(ctx, func(d personnel) error {
		org, err := findOrganisation(ctx, d, m.Org)
		if err != nil {
			return err
		}
		p, err := findPerson(ctx, d, m.Person)
		if err != nil {
			return err
		}
		return do(d, org, p)
	})
}

type personRoleCommand struct {
	member
	Role string `arg:"" help:"owner, admin or member." enum:"owner,admin,member"`
}

func (r *personRoleCommand) Run(ctx context.Context, c *console) error {
	return r.with(ctx, func(d personnel, org *kinora.Organisation, p *kinora.Person) error {
		if err := d.SetRole(ctx, org.ID, p.ID, kinora.Role(r.Role)); err != nil {
			return err
		}
		shape := struct {
			OrganisationID string `json:"organisation_id"`
			PersonID       string `json:"person_id"`
			Role           string `json:"role"`
		}{org.ID, p.ID, r.Role}
		return c.result(shape, func() { c.say("%s is now %s of %s.", printable(p.Email), r.Role, printable(org.Name)) })
	})
}

type personRemoveCommand struct{ member }

func (r *personRemoveCommand) Run(ctx context.Context, c *console) error {
	return r.with(ctx, func(d personnel, org *kinora.Organisation, p *kinora.Person) error {
		if err := d.RemoveMember(ctx, org.ID, p.ID); err != nil {
			return err
		}
		shape := struct {
			OrganisationID string `json:"organisation_id"`
			PersonID       string `json:"person_id"`
			Removed        bool   `json:"removed"`
		}{org.ID, p.ID, true}
		return c.result(shape, func() { c.say("%s is no longer a member of %s.", printable(p.Email), printable(org.Name)) })
	})
}

// somebody names a person of the instance.
type somebody struct {
	Person string `arg:"" help:"Id or e-mail address."`

	operator
}

// change runs do on the person and shows what became of them.
func (s somebody) change(ctx context.Context, c *console, said string, do func(d personnel, p *kinora.Person) error) error {
	return s.withPeople(ctx, func(d personnel) error {
		p, err := findPerson(ctx, d, s.Person)
		if err != nil {
			return err
		}
		if err := do(d, p); err != nil {
			return err
		}
		now, err := findPerson(ctx, d, p.ID)
		if err != nil {
			return err
		}
		return c.result(personOf(*now), func() { c.say("%s %s.", printable(p.Email), said) })
	})
}

type personDisableCommand struct{ somebody }

func (s *personDisableCommand) Run(ctx context.Context, c *console) error {
	return s.withPeople(ctx, func(d personnel) error {
		p, err := findPerson(ctx, d, s.Person)
		if err != nil {
			return err
		}
		left, err := d.SetDisabled(ctx, p.ID, true)
		if err != nil {
			return err
		}
		p.Disabled = true
		shape := struct {
			personShape
			WithoutOwner []ownerlessShape `json:"organisations_without_owner"`
		}{personOf(*p), []ownerlessShape{}}
		for _, o := range left {
			shape.WithoutOwner = append(shape.WithoutOwner, ownerlessShape{o.OrganisationID, o.OrganisationName})
		}
		return c.result(shape, func() {
			c.say("%s is disabled, and signed out everywhere.", printable(p.Email))
			c.showOwnerless(shape.WithoutOwner)
		})
	})
}

// showOwnerless names the organisations whose members nobody but operators can change.
func (c *console) showOwnerless(list []ownerlessShape) {
	for _, o := range list {
		c.say("%s", c.outStyle.bad(fmt.Sprintf("%s (%s) has no owner who can sign in: make somebody one with kinora person role or invite.", printable(o.Name), o.ID)))
	}
}

type personEnableCommand struct{ somebody }

func (s *personEnableCommand) Run(ctx context.Context, c *console) error {
	return s.change(ctx, c, "may sign in again", func(d personnel, p *kinora.Person) error {
		_, err := d.SetDisabled(ctx, p.ID, false)
		return err
	})
}

type personOperatorCommand struct {
	somebody
	Off bool `help:"No longer an operator."`
}

func (s *personOperatorCommand) Run(ctx context.Context, c *console) error {
	said := "is now an operator of this instance"
	if s.Off {
		said = "is no longer an operator of this instance"
	}
	return s.change(ctx, c, said, func(d personnel, p *kinora.Person) error { return d.SetOperator(ctx, p.ID, !s.Off) })
}

type personResetCommand struct{ somebody }

func (s *personResetCommand) Run(ctx context.Context, c *console) error {
	return s.withPeople(ctx, func(d personnel) error {
		p, err := findPerson(ctx, d, s.Person)
		if err != nil {
			return err
		}
		link, err := d.reset(ctx, p.ID)
		if err != nil {
			return err
		}
		shape := struct {
			PersonID string `json:"person_id"`
			Link     string `json:"link"`
		}{p.ID, link}
		return c.result(shape, func() {
			c.say("By this link %s chooses a new password; it works once, within a week, and is shown this once:", printable(p.Email))
			c.say("")
			c.say("  %s", printable(link))
		})
	})
}

type setupLinkCommand struct{ operator }

func (s *setupLinkCommand) Run(ctx context.Context, c *console) error {
	return s.withPeople(ctx, func(d personnel) error {
		link, err := d.setUpLink(ctx)
		if err != nil {
			return err
		}
		if link == "" {
			return &failure{exit: exitConflict, message: "the dashboard is set up already",
				hint: "kinora person invite asks others in, and kinora person reset lets somebody choose a new password"}
		}
		return c.result(map[string]string{"link": link}, func() { c.showSetUpLink(link) })
	})
}

func (c *console) showSetUpLink(link string) {
	c.say("By this link the first person comes in to the dashboard. It works once, for a day:")
	c.say("")
	c.say("  %s", printable(link))
}
