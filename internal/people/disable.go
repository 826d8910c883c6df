package people

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// maxOwnerless bounds a list of organisations without an owner: whoever sees so many knows enough.
const maxOwnerless = 100

// errOwnsMore says that a person has come to own an organisation that is not locked.
var errOwnsMore = errors.New("people: the person owns more organisations by now")

// SetDisabled keeps a person from signing in, ends all of their sessions and voids the links by which they could choose a password, or
// lets them in again. Whoever runs the instance must always be
// able to keep somebody out, so an organisation's last owner is no exception: left are the organisations, by name, of which the
// person is an owner and which have no other one who can sign in. It is empty where somebody is let in.
//
// Errors: ErrNotFound; ErrConflict for the last operator who can sign in.
func (s *Service) SetDisabled(ctx context.Context, personID string, disabled bool) (left []kinora.Ownerless, err error) {
	err = errOwnsMore
	for errors.Is(err, errOwnsMore) {
		err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
			left, err = s.setDisabled(tx, personID, disabled)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return left, nil
}

// setDisabled is SetDisabled in a transaction. Error: errOwnsMore where it must begin again.
func (s *Service) setDisabled(tx *store.Tx, personID string, disabled bool) (left []kinora.Ownerless, err error) {
	// The organisations come before the person, as for everybody who takes an owner away: no other owner goes meanwhile.
	locked, err := lockOwned(tx, personID)
	if err != nil {
		return nil, err
	}
	p, last, err := s.amongOperators(tx, personID)
	if err != nil {
		return nil, err
	}
	// While the locks were waited for the person may have been made an owner elsewhere. From here on nobody makes them one.
	owned, err := owns(tx, personID)
	if err != nil {
		return nil, err
	}
	for _, m := range owned {
		if !slices.ContainsFunc(locked, func(l kinora.Membership) bool { return l.OrganisationID == m.OrganisationID }) {
			return nil, errOwnsMore
		}
	}
	if disabled {
		if left, err = s.withoutOwner(tx, owned); err != nil {
			return nil, err
		}
	}
	if p.Disabled == disabled {
		return left, nil
	}
	if last {
		return nil, lastOperator()
	}
	return left, disable(tx, p, disabled, left)
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
	if disabled {
		if err := voidLinks(tx, p); err != nil {
			return err
		}
	}
	return tx.Audit(action, "", p.ID, detail)
}

// voidLinks voids the links by which somebody chooses a password who is being disabled: one that has leaked would work again once the
// person is let in. Invitations choose none for those who have been in, and stay: that one leads nowhere would tell whoever has
// made it that there is an account.
func voidLinks(tx *store.Tx, p *store.Person) error {
	if p.LastSignInAt.IsZero() {
		return tx.DeleteAllEntryLinks(p.ID)
	}
	return tx.DeleteEntryLinks(p.ID, "")
}

// owns lists the memberships by which a person owns organisations, by their ids.
func owns(tx *store.Tx, personID string) ([]kinora.Membership, error) {
	all, err := tx.Memberships(personID)
	owned := slices.DeleteFunc(all, func(m kinora.Membership) bool { return m.Role != kinora.RoleOwner || m.Pending })
	slices.SortFunc(owned, func(a, b kinora.Membership) int { return cmp.Compare(a.OrganisationID, b.OrganisationID) })
	return owned, err
}

// lockOwned lists what a person owns, and keeps other transactions from changing any membership of these organisations until tx ends.
// Which they are it can only tell from before the locks.
func lockOwned(tx *store.Tx, personID string) ([]kinora.Membership, error) {
	owned, err := owns(tx, personID)
	if err != nil {
		return nil, err
	}
	for _, m := range owned { // in one order, so that none waits for another
		if err := lock(tx, m.OrganisationID); err != nil {
			return nil, err
		}
	}
	return owned, nil
}

// withoutOwner are those of the organisations that have no owner who can sign in but the one whose memberships they are.
func (s *Service) withoutOwner(tx *store.Tx, owned []kinora.Membership) ([]kinora.Ownerless, error) {
	list := []kinora.Ownerless{}
	for _, m := range owned {
		others, err := tx.OtherOwners(m.OrganisationID, m.PersonID, s.provider.Issuer)
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
		list, err = tx.Ownerless(s.provider.Issuer, maxOwnerless)
		return err
	})
	return list, err
}
