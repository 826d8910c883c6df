package people

import (
	"context"
	"errors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// Invite asks the person of an e-mail address into an organisation.
//
// The membership is pending until the person says yes, which takes the link that token belongs to, for a week, or a session of a
// person who is known to be who the address says (Join). Inviting again makes a new link. What comes back tells nothing of whether
// the address has an account. An account that only another organisation's owner has made is not believed: whoever made it could be
// anybody.
//
// Only where the context's actor is an operator, and the person is known to be who the address says, disabled or not, the membership stands
// at once and token is "". Known are those who came by a link that an operator gave them, who have set the instance up, and whom the
// identity provider vouches for.
//
// Errors: ErrInvalid, ErrNotFound for the organisation, ErrConflict for somebody who is a member already.
func (s *Service) Invite(ctx context.Context, organisationID, email string, role kinora.Role) (m *kinora.Membership, token string, err error) {
	email, err = normalEmail(email)
	if err != nil {
		return nil, "", err
	}
	if !role.Valid() {
		return nil, "", wrong("role", "role must be owner, admin or member")
	}
	fresh, hash := newToken(linkPrefix)
	invite := func(tx *store.Tx) error {
		if err := lock(tx, organisationID); err != nil {
			return err
		}
		p, err := s.invitee(tx, email)
		if err != nil {
			return err
		}
		byOperator, err := operates(ctx, tx)
		if err != nil {
			return err
		}
		atOnce := byOperator && p.Proven
		if err := s.join(tx, organisationID, p, role, atOnce); err != nil {
			return err
		}
		if token = ""; !atOnce {
			token = fresh
			if err := tx.SetInviter(organisationID, p.ID, inviterOf(ctx, byOperator), byOperator); err != nil {
				return err
			}
			link := store.EntryLink{PersonID: p.ID, OrganisationID: organisationID, Proves: byOperator, CreatedAt: s.instant(), ExpiresAt: s.instant().Add(linkLife)}
			if err := tx.InsertEntryLink(link, hash); err != nil {
				return err
			}
		}
		if m, err = tx.Membership(organisationID, p.ID); err != nil {
			return err
		}
		withoutName(m)
		return tx.Audit(kinora.AuditMemberAdd, organisationID, nameOf(m), map[string]any{"email": email, "role": role, "pending": !atOnce})
	}
	if err = s.db.Update(ctx, invite); err != nil && kinora.CodeOf(err) == kinora.ErrInternal {
		// Somebody else may have invited the same new person in the same moment: now there is one.
		err = s.db.Update(ctx, invite)
	}
	if err != nil {
		return nil, "", err
	}
	return m, token, nil
}

// inviterOf is whom an invitation names: nobody where it is an operator's.
func inviterOf(ctx context.Context, byOperator bool) string {
	a, _ := kinora.ActorOf(ctx)
	if a.Kind != kinora.ActorPerson || byOperator {
		return ""
	}
	return a.Name
}

// nameOf is the id by which an organisation's audit log calls a member, or somebody who is invited: an id of theirs would tell when
// their account was made.
func nameOf(m *kinora.Membership) string {
	if m.Pending {
		return m.InvitationID
	}
	return m.PersonID
}

// withoutName takes out of a pending membership what the account has, if there is one.
func withoutName(m *kinora.Membership) {
	if m.Pending {
		m.Name = ""
	}
}

// invitee finds a person by e-mail address, or makes one.
func (s *Service) invitee(tx *store.Tx, email string) (*store.Person, error) {
	p, err := tx.PersonByEmail(email)
	if err == nil {
		return tx.LockPerson(p.ID)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	p = &store.Person{}
	p.ID, p.Email, p.CreatedAt = id.New(id.Person, s.instant()), email, s.instant()
	if err := tx.InsertPerson(p); err != nil {
		return nil, err
	}
	return p, tx.Audit(kinora.AuditPersonCreate, "", p.ID, map[string]any{"email": email})
}

// operates tells whether a context's actor is an operator of the instance.
func operates(ctx context.Context, tx *store.Tx) (bool, error) {
	a, _ := kinora.ActorOf(ctx)
	if a.ID == "" || a.Kind != kinora.ActorPerson && a.Kind != kinora.ActorOperator {
		return a.Kind == kinora.ActorOperator, nil
	}
	p, err := tx.Person(a.ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && p.Operator && !p.Disabled, err
}

// join writes a membership, or what an invitation that nobody has taken up yet now says.
func (s *Service) join(tx *store.Tx, organisationID string, p *store.Person, role kinora.Role, atOnce bool) error {
	m, err := tx.Membership(organisationID, p.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return tx.InsertMembership(&kinora.Membership{OrganisationID: organisationID, PersonID: p.ID, Role: role, Pending: !atOnce, CreatedAt: s.instant()})
	case err != nil:
		return err
	case !m.Pending:
		return kinora.Errorf(kinora.ErrConflict, "%s is a member already", p.Email)
	}
	if err := tx.SetRole(organisationID, p.ID, role); err != nil || !atOnce {
		return err
	}
	return tx.AcceptMembership(organisationID, p.ID, s.instant())
}

// Invitation tells what a link leads to. Errors: ErrNotFound for one that is wrong, taken up, replaced or too old, and for a new password
// of a person who is disabled.
func (s *Service) Invitation(ctx context.Context, token string) (*kinora.Invitation, error) {
	in, _, _, err := s.invitation(ctx, token)
	return in, err
}

func (s *Service) invitation(ctx context.Context, token string) (in *kinora.Invitation, l store.EntryLink, p *store.Person, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if l, err = tx.EntryLink(hashOf(token), s.instant()); err != nil {
			return err
		}
		if p, err = tx.Person(l.PersonID); err != nil { // also for the set-up link, which is nobody's
			return err
		}
		in = &kinora.Invitation{Email: p.Email, ExpiresAt: l.ExpiresAt}
		if l.OrganisationID == "" {
			if in.Name = p.Name; p.Disabled {
				return store.ErrNotFound
			}
			return nil
		}
		m, err := tx.Membership(l.OrganisationID, p.ID)
		if err != nil {
			return err
		}
		in.OrganisationID, in.OrganisationName, in.Role = m.OrganisationID, m.OrganisationName, m.Role
		return nil
	})
	return in, l, p, absent(err, noLink)
}

// AcceptInvitation takes up what a link leads to by choosing a password, and signs the person in. An empty name leaves the name as
// it is. Who has an account signs in and takes an invitation up by JoinByLink: a link of an organisation's own chooses no
// password for an account that there is. Of several who follow the same link one comes in.
//
// Errors: ErrNotFound as of Invitation; ErrInvalid, naming name or password; ErrConflict where there is an account.
func (s *Service) AcceptInvitation(ctx context.Context, token string, given kinora.NewPerson, v kinora.Visitor) (session string, err error) {
	defer func() { s.metrics.tried(byLink, err) }()
	v = storable(v)
	_, link, p, err := s.invitation(ctx, token)
	if err != nil {
		return "", err
	}
	// Hashed before anything is said of an account, so that no answer comes sooner where there is one.
	chosen, err := s.credentials(ctx, p.Email, given)
	if err != nil {
		return "", err
	}
	session, hash := newToken(sessionPrefix)
	err = s.change(ctx, p.ID, func(tx *store.Tx, p *store.Person) error {
		switch {
		case link.OrganisationID != "" && hasAccount(p, link):
			return &kinora.Error{Code: kinora.ErrConflict, Message: "there is an account of this e-mail address already",
				Hint: "sign in with it, and follow the link again"}
		case p.Disabled:
			return kinora.Errorf(kinora.ErrNotFound, noLink)
		}
		if err := tx.SpendEntryLink(hashOf(token), s.instant()); err != nil {
			return absent(err, noLink)
		}
		if p.Password = chosen.Password; chosen.Name != "" {
			p.Name = chosen.Name
		}
		if err := s.accept(tx, link, p, himself(p, v.Address)); err != nil {
			return err
		}
		if err := tx.ForgetTries(triesOf(p.Email, v.Address).pair); err != nil {
			return err
		}
		return s.begin(tx, p, hash, v, "link")
	})
	if err != nil {
		return "", err
	}
	return session, nil
}

// hasAccount tells whether an account is somebody's whom a link into an organisation is not to take it from. One without a password that an
// operator's own link leads to is still to be taken up.
func hasAccount(p *store.Person, l store.EntryLink) bool {
	return p.Disabled || p.Password != "" || !l.Proves && (p.Proven || p.Operator || p.Subject != "")
}

// accept does what a link is for: it makes a membership stand, or voids whatever knew the old password. The caller saves the person.
func (s *Service) accept(tx *store.Tx, l store.EntryLink, p *store.Person, by kinora.Actor) error {
	detail := map[string]any{"email": p.Email}
	p.Proven = p.Proven || l.Proves
	if l.OrganisationID != "" {
		if err := tx.AcceptMembership(l.OrganisationID, p.ID, s.instant()); err != nil {
			return absent(err, noLink)
		}
	} else {
		detail["new_password"] = true
		p.Subject = "" // whoever comes from the identity provider next is the person
		if _, err := tx.DeleteSessions(p.ID, ""); err != nil {
			return err
		}
	}
	return tx.AuditBy(by, kinora.AuditPersonAccept, l.OrganisationID, p.ID, detail)
}
