package people

import (
	"cmp"
	"context"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// maxOwnerless bounds a list of organisations without an owner: whoever sees so many knows enough.
const maxOwnerless = 100

// SetDisabled keeps a person from signing in and ends all of their sessions, or lets them in again. Whoever runs the instance must always be
// able to keep somebody out, so an organisation's last owner is no exception: left are the organisations, by name, of which the
// person is an owner and which have no other one who can sign in. It is empty where somebody is let in.
//
// Errors: ErrNotFound; ErrConflict for the last operator who can sign in.
func (s *Service) SetDisabled(ctx context.Context, personID string, disabled bool) (left []kinora.Ownerless, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		// The organisations come before the person, as for everybody who takes an owner away: no other owner goes meanwhile.
		owned, err := lockOwned(tx, personID)
		if err != nil {
			return err
		}
		p, last, err := amongOperators(tx, personID)
		if err != nil {
			return err
		}
		if left = nil; disabled {
			if left, err = withoutOwner(tx, owned); err != nil {
				return err
			}
		}
		if p.Disabled == disabled {
			return nil
		}
		if last {
			return lastOperator()
		}
		return disable(tx, p, disabled, left)
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

func disable(tx *store.Tx, p *store.Person, disabled bool, left []kinora.Ownerless) error {
	action, detail := kinora.AuditPersonEnable, map[string]any{"email": p.Email}
	if disabled {
		action = kinora.AuditPersonDisable
	}
	for _, o := range left {
		ids, _ := detail["without_owner"].([]string)
		detail["without_owner"] = append(ids, o.OrganisationID)
	}
	p.Disabled = disabled
	if err := tx.SavePerson(p); err != nil {
		return err
	}
	if _, err := tx.DeleteSessions(p.ID, ""); err != nil {
		return err
	}
	return tx.Audit(action, "", p.ID, detail)
}

// lockOwned lists the memberships by which a person owns organisations, and keeps other transactions from changing any membership of
// these until tx ends.
func lockOwned(tx *store.Tx, personID string) (owned []kinora.Membership, err error) {
	all, err := tx.Memberships(personID)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b kinora.Membership) int { return cmp.Compare(a.OrganisationID, b.OrganisationID) }) // so that none waits for another
	for _, m := range all {
		if m.Role != kinora.RoleOwner || m.Pending {
			continue
		}
		if err := lock(tx, m.OrganisationID); err != nil {
			return nil, err
		}
		owned = append(owned, m)
	}
	return owned, nil
}

// withoutOwner are those of the organisations that have no owner who can sign in but the one whose memberships they are.
func withoutOwner(tx *store.Tx, owned []kinora.Membership) ([]kinora.Ownerless, error) {
	list := []kinora.Ownerless{}
	for _, m := range owned {
		others, err := tx.OtherOwners(m.OrganisationID, m.PersonID)
		if err != nil {
			return nil, err
		}
		if others == 0 {
			list = append(list, kinora.Ownerless{OrganisationID: m.OrganisationID, OrganisationName: m.OrganisationName})
		}
	}
	slices.SortFunc(list, func(a, b kinora.Ownerless) int { return cmp.Compare(a.OrganisationName, b.OrganisationName) })
	return list, nil
}

// Ownerless lists the organisations that have members and no owner who can sign in, by name, a hundred at most. An organisation without
// any member is none of them: it may be one that is used by its keys alone.
func (s *Service) Ownerless(ctx context.Context) (list []kinora.Ownerless, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Ownerless(maxOwnerless)
		return err
	})
	return list, err
}
