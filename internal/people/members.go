package people

import (
	"context"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// Members lists an organisation's members, and who is invited, by e-mail address. Of who is invited it tells no name, which would say
// that there is an account. Errors: ErrNotFound.
func (s *Service) Members(ctx context.Context, organisationID string) (list []kinora.Membership, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.Organisation(organisationID); err != nil {
			return absent(err, noOrganisation)
		}
		list, err = tx.Members(organisationID)
		for i := range list {
			withoutName(&list[i])
		}
		return err
	})
	return list, err
}

// SetRole gives a member, or somebody who is invited, another role. memberID is a person's id, or an invitation's. Errors:
// ErrInvalid, ErrNotFound, ErrConflict for the last owner who can sign in.
func (s *Service) SetRole(ctx context.Context, organisationID, memberID string, role kinora.Role) error {
	if !role.Valid() {
		return wrong("role", "role must be owner, admin or member")
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		m, err := s.lockMember(tx, organisationID, memberID)
		if err != nil || m.Role == role {
			return err
		}
		if err := s.keepOwner(tx, m); err != nil {
			return err
		}
		if role == kinora.RoleOwner { // whoever disables the person must see it, or come before it; see SetDisabled
			if _, err := tx.LockPerson(m.PersonID); err != nil {
				return absent(err, noMember)
			}
		}
		if err := tx.SetRole(organisationID, m.PersonID, role); err != nil {
			return absent(err, noMember)
		}
		return tx.Audit(kinora.AuditMemberRole, organisationID, nameOf(m), map[string]any{"email": m.Email, "role": role, "old_role": m.Role})
	})
}

// RemoveMember ends a membership or takes an invitation back; memberID as for SetRole. Somebody who was only ever invited, and is
// not elsewhere, is forgotten. Errors: ErrNotFound; ErrConflict for the last owner who can sign in.
func (s *Service) RemoveMember(ctx context.Context, organisationID, memberID string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		m, err := s.lockMember(tx, organisationID, memberID)
		if err != nil {
			return err
		}
		if err := s.keepOwner(tx, m); err != nil {
			return err
		}
		if err := tx.DeleteMembership(organisationID, m.PersonID); err != nil {
			return absent(err, noMember)
		}
		if err := forgetUnused(tx, m.PersonID); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditMemberRemove, organisationID, nameOf(m), map[string]any{"email": m.Email, "role": m.Role})
	})
}

// forgetUnused removes a person who belongs nowhere and has never been in.
func forgetUnused(tx *store.Tx, personID string) error {
	p, err := tx.LockPerson(personID)
	if err != nil {
		return err
	}
	belongs, err := tx.Memberships(personID)
	if err != nil || len(belongs) > 0 || p.Operator || p.Disabled || p.Password != "" || p.Subject != "" || !p.LastSignInAt.IsZero() {
		return err
	}
	return tx.DeletePerson(personID)
}

// lockMember reads a membership and keeps others from changing any of the organisation's until tx ends.
func (s *Service) lockMember(tx *store.Tx, organisationID, memberID string) (*kinora.Membership, error) {
	if err := lock(tx, organisationID); err != nil {
		return nil, err
	}
	if strings.HasPrefix(memberID, id.Invitation) {
		list, err := tx.Members(organisationID)
		for i := range list {
			if list[i].InvitationID == memberID {
				return &list[i], nil
			}
		}
		if err == nil {
			err = kinora.Errorf(kinora.ErrNotFound, noMember)
		}
		return nil, err
	}
	m, err := tx.Membership(organisationID, memberID)
	return m, absent(err, noMember)
}

// keepOwner refuses to take the last owner away who can sign in. Somebody who cannot is no loss: an invitation to a mistyped
// address can be taken back.
func (s *Service) keepOwner(tx *store.Tx, m *kinora.Membership) error {
	if m.Role != kinora.RoleOwner || m.Pending {
		return nil
	}
	p, err := tx.LockPerson(m.PersonID)
	if err != nil || !p.CanSignIn(s.provider.Issuer) {
		return err
	}
	others, err := tx.OtherOwners(m.OrganisationID, m.PersonID, s.provider.Issuer)
	if err == nil && others == 0 {
		return &kinora.Error{Code: kinora.ErrConflict, Message: "this is the organisation's last owner who can sign in", Hint: "make another member an owner first"}
	}
	return err
}

// lock keeps other transactions from changing the organisation, and its memberships, until tx ends.
func lock(tx *store.Tx, organisationID string) error {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM organisations WHERE id = ? {for update}`, organisationID).Scan(&one)
	return absent(err, noOrganisation)
}
