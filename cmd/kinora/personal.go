package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/kinora/kinora"
)

// personalCommands are what persons do for themselves on their account page, for operators to do for them.
type personalCommands struct {
	Show        personShowCommand        `cmd:"" help:"Show a person and where they belong."`
	Rename      personRenameCommand      `cmd:"" help:"Give a person another name."`
	Sessions    personSessionsCommand    `cmd:"" help:"Show where a person is signed in."`
	EndSessions personEndSessionsCommand `cmd:"" help:"End the sessions of a person, or one of them."`
}

type personShowCommand struct{ somebody }

func (s *personShowCommand) Run(ctx context.Context, c *console) error {
	return s.withPerson(ctx, func(d personnel, p *kinora.Person) error {
		p, belongs, err := d.Person(ctx, p.ID)
		if err != nil {
			return err
		}
		shape := struct {
			personShape
			Memberships []memberShape `json:"memberships"`
		}{personOf(*p), []memberShape{}}
		rows := make([][]string, len(belongs))
		for i, m := range belongs {
			shape.Memberships = append(shape.Memberships, memberOf(m))
			state := "member"
			if m.Pending {
				state = "invited"
			}
			rows[i] = []string{printable(m.OrganisationID), printable(m.OrganisationName), string(m.Role), state}
		}
		return c.result(shape, func() {
			c.say("%s  %s", c.outStyle.bold(printable(p.ID)), printable(p.Email))
			c.say("  name          %s", printable(orDash(p.Name)))
			c.say("  state         %s", stateOfPerson(*p))
			c.say("  created       %s", stamp(p.CreatedAt))
			c.say("  last sign-in  %s", stamp(p.LastSignInAt))
			if len(rows) > 0 {
				c.say("")
				c.table([]string{"ORGANISATION", "NAME", "ROLE", "STATE"}, rows)
			}
		})
	})
}

type personRenameCommand struct {
	somebody
	Name string `arg:"" help:"The name to show; an empty text = the e-mail address is shown."`
}

func (r *personRenameCommand) Run(ctx context.Context, c *console) error {
	return r.withPerson(ctx, func(d personnel, p *kinora.Person) error {
		if err := d.Rename(ctx, p.ID, r.Name); err != nil {
			return err
		}
		p, _, err := d.Person(ctx, p.ID) // as it is kept
		if err != nil {
			return err
		}
		return c.result(personOf(*p), func() { c.say("%s is called %s now.", printable(p.Email), printable(orDash(p.Name))) })
	})
}

// sessionShape is how --json shows a session.
type sessionShape struct {
	ID         string  `json:"id"`
	Address    string  `json:"address"` // at the sign-in
	UserAgent  string  `json:"user_agent"`
	CreatedAt  instant `json:"created_at"`
	LastSeenAt instant `json:"last_seen_at"`
	ExpiresAt  instant `json:"expires_at"`
}

type personSessionsCommand struct{ somebody }

func (s *personSessionsCommand) Run(ctx context.Context, c *console) error {
	return s.withPerson(ctx, func(d personnel, p *kinora.Person) error {
		list, err := d.Sessions(ctx, p.ID)
		if err != nil {
			return err
		}
		shape := struct {
			PersonID  string         `json:"person_id"`
			Sessions  []sessionShape `json:"sessions"` // the one used last first
			Truncated bool           `json:"truncated"`
		}{p.ID, []sessionShape{}, cutOff(d)}
		rows := make([][]string, len(list))
		for i, one := range list {
			shape.Sessions = append(shape.Sessions, sessionShape{ID: one.ID, Address: one.Address, UserAgent: one.UserAgent, CreatedAt: instant(one.CreatedAt),
				LastSeenAt: instant(one.LastSeenAt), ExpiresAt: instant(one.ExpiresAt)})
			rows[i] = []string{printable(one.ID), stamp(one.CreatedAt), stamp(one.LastSeenAt), printable(orDash(one.Address)), printable(orDash(one.UserAgent))}
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "BEGAN", "LAST SEEN", "FROM", "BROWSER"}, rows) })
	})
}

type personEndSessionsCommand struct {
	somebody
	Session string `help:"Only this one, by its id." placeholder:"ID"`
}

func (e *personEndSessionsCommand) Run(ctx context.Context, c *console) error {
	return e.withPerson(ctx, func(d personnel, p *kinora.Person) error {
		shape := struct {
			PersonID  string `json:"person_id"`
			SessionID string `json:"session_id"` // empty = all of them
			Ended     bool   `json:"ended"`
		}{p.ID, e.Session, true}
		if e.Session != "" {
			if err := d.EndSession(ctx, p.ID, e.Session); err != nil {
				return err
			}
			return c.result(shape, func() { c.say("%s is ended.", printable(e.Session)) })
		}
		if err := d.EndOtherSessions(ctx, p.ID, ""); err != nil {
			return err
		}
		return c.result(shape, func() { c.say("%s is signed out everywhere.", printable(p.Email)) })
	})
}

// withPerson is operator.withPeople for the person that is named.
func (s somebody) withPerson(ctx context.Context, do func(d personnel, p *kinora.Person) error) error {
	return s.withPeople(ctx, func(d personnel) error {
		p, err := findPerson(ctx, d, s.Person)
		if err != nil {
			return err
		}
		return do(d, p)
	})
}

func (a *adminAPI) Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error) {
	var b struct {
		personBody
		Memberships []memberBody `json:"memberships"`
	}
	if err := a.call(ctx, http.MethodGet, personPath(personID), nil, &b); err != nil {
		return nil, nil, err
	}
	p := kinora.Person(b.personBody)
	belongs := make([]kinora.Membership, len(b.Memberships))
	for i, m := range b.Memberships {
		belongs[i] = kinora.Membership(m)
	}
	return &p, belongs, nil
}

func (a *adminAPI) Rename(ctx context.Context, personID, name string) error {
	return a.call(ctx, http.MethodPatch, personPath(personID), map[string]string{"name": name}, nil)
}

func (a *adminAPI) Sessions(ctx context.Context, personID string) ([]kinora.Session, error) {
	var b struct {
		Sessions []struct {
			ID         string    `json:"id"`
			Address    string    `json:"address"`
			UserAgent  string    `json:"user_agent"`
			CreatedAt  time.Time `json:"created_at"`
			LastSeenAt time.Time `json:"last_seen_at"`
			ExpiresAt  time.Time `json:"expires_at"`
		} `json:"sessions"`
		Truncated bool `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, personPath(personID)+"/sessions", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]kinora.Session, len(b.Sessions))
	for i, s := range b.Sessions {
		list[i] = kinora.Session{ID: s.ID, PersonID: personID, Address: s.Address, UserAgent: s.UserAgent, CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, ExpiresAt: s.ExpiresAt}
	}
	return list, nil
}

func (a *adminAPI) EndSession(ctx context.Context, personID, sessionID string) error {
	return a.call(ctx, http.MethodDelete, personPath(personID)+"/sessions/"+url.PathEscape(sessionID), nil, nil)
}

// EndOtherSessions ends all of them: an operator keeps none of somebody else.
func (a *adminAPI) EndOtherSessions(ctx context.Context, personID, _ string) error {
	return a.call(ctx, http.MethodDelete, personPath(personID)+"/sessions", nil, nil)
}
