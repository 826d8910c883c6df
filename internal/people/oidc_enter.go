package people

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// enter begins a session for somebody whom the identity provider vouches for.
func (s *Service) enter(ctx context.Context, who identity, v kinora.Visitor) (session string, err error) {
	session, hash := newToken(sessionPrefix)
	come := func(tx *store.Tx) error {
		p, err := s.recognise(tx, who, v)
		if err != nil {
			return err
		}
		if err := s.believe(tx, p, who); err != nil {
			return err
		}
		return s.begin(tx, p, hash, v, "identity provider")
	}
	if err = s.db.Update(ctx, come); err != nil && kinora.CodeOf(err) == kinora.ErrInternal {
		err = s.db.Update(ctx, come) // the same new person in two windows at once
	}
	if err != nil {
		return "", err
	}
	return session, nil
}

// recognise finds the person by who they are at the provider, else by their e-mail address, else makes one where the address's
// domain allows it.
func (s *Service) recognise(tx *store.Tx, who identity, v kinora.Visitor) (*store.Person, error) {
	p, err := tx.PersonBySubject(who.subject)
	if errors.Is(err, store.ErrNotFound) {
		p, err = tx.PersonByEmail(who.email)
	}
	if errors.Is(err, store.ErrNotFound) {
		return s.newcomer(tx, who, v)
	}
	if err == nil {
		p, err = tx.LockPerson(p.ID)
	}
	switch {
	case err != nil:
		return nil, err
	case p.Disabled:
		return nil, kinora.Errorf(kinora.ErrForbidden, "this account is disabled")
	case p.Subject != who.subject && (p.Subject != "" || p.Email != who.email): // parted by a link for a new password, perhaps just now
		return nil, &kinora.Error{Code: kinora.ErrForbidden, Message: "this e-mail address was another account's at the identity provider",
			Hint: "an operator who makes a link for a new password lets the new account in"}
	}
	return p, nil
}

// newcomer makes a person of a domain that needs no invitation.
func (s *Service) newcomer(tx *store.Tx, who identity, v kinora.Visitor) (*store.Person, error) {
	_, domain, _ := strings.Cut(who.email, "@")
	o := s.provider.Organisation
	if o == "" || !slices.Contains(s.provider.Domains, domain) {
		return nil, kinora.Errorf(kinora.ErrForbidden, "%s is not invited; ask whoever runs this server", who.email)
	}
	if err := lock(tx, o); err != nil {
		return nil, &kinora.Error{Code: kinora.ErrInternal, Op: "sign in by the identity provider", Message: "the organisation for new persons is not there", Err: err,
			Hint: "check dashboard.oidc.default_organisation"}
	}
	p := &store.Person{}
	p.ID, p.Email, p.CreatedAt = id.New(id.Person, s.instant()), who.email, s.instant()
	if err := tx.InsertPerson(p); err != nil {
		return nil, err
	}
	if err := tx.InsertMembership(&kinora.Membership{OrganisationID: o, PersonID: p.ID, Role: kinora.RoleMember, CreatedAt: s.instant()}); err != nil {
		return nil, err
	}
	return p, tx.AuditBy(himself(p, v.Address), kinora.AuditPersonCreate, o, p.ID, map[string]any{"email": p.Email, "role": kinora.RoleMember, "by": "identity provider"})
}

// believe takes over what the provider vouches for. What operators have invited the address to stands from now on; other invitations
// wait for the person's word. A password that somebody chose whom nobody vouched for may be a stranger's, and ends with its
// sessions.
func (s *Service) believe(tx *store.Tx, p *store.Person, who identity) error {
	if !p.Proven && p.Password != "" {
		p.Password = ""
		if _, err := tx.DeleteSessions(p.ID, ""); err != nil {
			return err
		}
	}
	if p.Name == "" {
		p.Name = who.name
	}
	p.Proven, p.Subject = true, who.subject
	return tx.AcceptOperatorsInvitations(p.ID, s.instant())
}
