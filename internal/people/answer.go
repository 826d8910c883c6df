package people

import (
	"context"
	"errors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const noInvitation = "there is no such invitation: it was taken back, or answered already"

// Join says yes to an invitation, for somebody who is signed in. It is for persons of whom somebody vouches that the e-mail
// address is theirs, as SignedIn.Invitations lists them; the others need the invitation's link. Errors: ErrNotFound.
func (s *Service) Join(ctx context.Context, personID, organisationID string) error {
	return s.answer(ctx, personID, organisationID, func(tx *store.Tx, p *store.Person, m *kinora.Membership) error {
		if err := tx.AcceptMembership(organisationID, p.ID, s.instant()); err != nil {
			return absent(err, noInvitation)
		}
		if err := tx.DeleteEntryLinks(p.ID, organisationID); err != nil {
			return err
		}
		return tx.AuditBy(actorOr(ctx, himself(p, "")), kinora.AuditMemberAccept, organisationID, p.ID, map[string]any{"email": p.Email, "role": m.Role})
	})
}

// Decline says no to an invitation, which leaves nothing of it. For whom, and errors: as for Join.
func (s *Service) Decline(ctx context.Context, personID, organisationID string) error {
	return s.answer(ctx, personID, organisationID, func(tx *store.Tx, p *store.Person, m *kinora.Membership) error {
		if err := tx.DeleteMembership(organisationID, p.ID); err != nil {
			return absent(err, noInvitation)
		}
		return tx.AuditBy(actorOr(ctx, himself(p, "")), kinora.AuditMemberDecline, organisationID, m.InvitationID, map[string]any{"email": p.Email, "role": m.Role})
	})
}

// answer runs fn with an invitation that the person may answer and nobody changes meanwhile.
func (s *Service) answer(ctx context.Context, personID, organisationID string, fn func(tx *store.Tx, p *store.Person, m *kinora.Membership) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		m, err := s.lockMember(tx, organisationID, personID)
		if code := kinora.CodeOf(err); code == kinora.ErrNotFound || err == nil && !m.Pending {
			return kinora.Errorf(kinora.ErrNotFound, noInvitation)
		}
		if err != nil {
			return err
		}
		p, err := tx.LockPerson(personID)
		if err != nil {
			return absent(err, noPerson)
		}
		if !p.Proven {
			return kinora.Errorf(kinora.ErrNotFound, noInvitation)
		}
		return fn(tx, p, m)
	})
}

// JoinByLink says yes to an invitation by its link, for somebody who is signed in as whom it is for. Errors: ErrNotFound as of
// Invitation, and for a link that is about a password; ErrForbidden for somebody else's.
func (s *Service) JoinByLink(ctx context.Context, personID, token string) error {
	_, link, _, err := s.invitation(ctx, token)
	switch {
	case err != nil:
		return err
	case link.OrganisationID == "":
		return kinora.Errorf(kinora.ErrNotFound, noLink)
	case link.PersonID != personID:
		return kinora.Errorf(kinora.ErrForbidden, "this invitation is for another e-mail address than yours")
	}
	return s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		if err := tx.SpendEntryLink(hashOf(token), s.instant()); err != nil {
			return absent(err, noLink)
		}
		if err := s.accept(tx, link, p, actorOr(ctx, himself(p, ""))); err != nil {
			return err
		}
		return tx.SavePerson(p)
	})
}

// Leave ends a membership of one's own. Errors: ErrNotFound; ErrConflict for the last owner who can sign in.
func (s *Service) Leave(ctx context.Context, personID, organisationID string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		m, err := s.lockMember(tx, organisationID, personID)
		if err != nil {
			return err
		}
		if m.Pending { // who has not come in cannot leave
			return kinora.Errorf(kinora.ErrNotFound, noMember)
		}
		if err := s.keepOwner(tx, m); err != nil {
			return err
		}
		if err := tx.DeleteMembership(organisationID, personID); err != nil {
			return absent(err, noMember)
		}
		p, err := tx.Person(personID)
		if err != nil {
			return absent(err, noPerson)
		}
		return tx.AuditBy(actorOr(ctx, himself(p, "")), kinora.AuditMemberLeave, organisationID, personID, map[string]any{"email": m.Email, "role": m.Role})
	})
}

// UseOrganisation notes whose pages a person uses now, so that the next sign-in leads there. That it cannot be written is no
// reason to turn the person away.
func (s *Service) UseOrganisation(ctx context.Context, personID, organisationID string) {
	err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.SetLastOrganisation(personID, organisationID) })
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("the organisation that somebody uses could not be noted", "person", personID, "error", err)
	}
}
