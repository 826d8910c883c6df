package people

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Whoever is disabled is disabled, and the answer says what that leaves without an owner.
func TestDisablingTellsWhatIsLeftWithoutAnOwner(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp() // owns both
		op := w.byOperator()
		w.wantCode("leave", w.RemoveMember(op, w.b, w.ownerOf(w.b)), kinora.ErrConflict)
		ada := w.join(op, w.b, "ada@example.com", kinora.RoleOwner)
		w.wantCode("root leaves", w.RemoveMember(op, w.b, w.ownerOf(w.b)), "")
		_, _, err := w.Invite(op, w.a, "ada@example.com", kinora.RoleOwner)
		w.wantCode("invite", err, "")
		want := []kinora.Ownerless{{OrganisationID: w.b, OrganisationName: "Beta"}}
		for range 2 { // again: nothing changes, and the answer is the same
			left, err := w.SetDisabled(op, ada.Person.ID, true)
			if err != nil || !reflect.DeepEqual(left, want) {
				t.Errorf("%+v, %v", left, err)
			}
		}
		empty := w.organisation("Aleph") // nobody's: no trouble
		w.join(op, w.organisation("Gamma"), "bob@example.com", kinora.RoleAdmin)
		list, err := w.Ownerless(ctx)
		if err != nil || len(list) != 2 || list[0] != want[0] || list[1].OrganisationName != "Gamma" {
			t.Errorf("%+v, %v, and %s is nobody's", list, err, empty)
		}
		page, _, err := w.Audit(ctx, kinora.AuditFilter{Target: ada.Person.ID, Action: "person.disable"}, "", 10)
		if err != nil || len(page) != 1 || !strings.Contains(string(page[0].Detail), w.b) || strings.Contains(string(page[0].Detail), w.a) {
			t.Errorf("%+v, %v", page, err)
		}
		if left, err := w.SetDisabled(op, ada.Person.ID, false); err != nil || len(left) != 0 {
			t.Errorf("%+v, %v", left, err)
		}
		if list, err := w.Ownerless(ctx); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		_, err = w.SetDisabled(op, "per_none", true)
		w.wantCode("nobody", err, kinora.ErrNotFound)
	})
}

// Who is let in again comes in by what they know, and nobody by a link from before.
func TestDisablingVoidsLinks(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		op := w.byOperator()
		owner := w.join(op, w.b, "owner@example.com", kinora.RoleOwner)
		ada := w.join(op, w.a, "ada@example.com", kinora.RoleMember)
		reset, err := w.ResetPassword(op, ada.Person.ID)
		w.wantCode("reset", err, "")
		_, invitation, err := w.Invite(w.as(owner), w.b, "ada@example.com", kinora.RoleMember)
		w.wantCode("invite", err, "")
		fresh, way, err := w.Invite(w.as(owner), w.b, "fresh@example.com", kinora.RoleMember)
		w.wantCode("invite", err, "")
		for _, disabled := range []bool{true, false} {
			for _, person := range []string{ada.Person.ID, fresh.PersonID} {
				_, err := w.SetDisabled(op, person, disabled)
				w.wantCode("disable", err, "")
			}
			_, err = w.Invitation(ctx, invitation)
			w.wantCode("an invitation tells nothing of the account", err, "")
		}
		for what, token := range map[string]string{"a new password": reset, "a first password": way} {
			_, err := w.AcceptInvitation(ctx, token, kinora.NewPerson{Password: "whoever has the link"}, w.visitor)
			w.wantCode(what, err, kinora.ErrNotFound)
		}
		in := w.signedIn(w.SignIn(ctx, "ada@example.com", password, w.visitor))
		w.wantCode("the invitation", w.JoinByLink(w.as(in), in.Person.ID, invitation), "")
		again, err := w.ResetPassword(op, ada.Person.ID)
		w.wantCode("reset", err, "")
		w.signedIn(w.AcceptInvitation(ctx, again, kinora.NewPerson{Password: "another good password"}, w.visitor))
	})
}

// Somebody may become the owner of one organisation more while the locks on the others are waited for. SQLite has one writer, who waits
// for nobody.
func TestDisablingSeesWhatIsOwnedMeanwhile(t *testing.T) {
	w := newWorld(t, storetest.Postgres(t), Options{})
	w.setUp()
	op := w.byOperator()
	ada := w.join(op, w.a, "ada@example.com", kinora.RoleOwner).Person.ID
	bob := w.join(op, w.b, "bob@example.com", kinora.RoleOwner).Person.ID
	_, _, err := w.Invite(op, w.b, "ada@example.com", kinora.RoleMember)
	w.wantCode("invite", err, "")
	w.wantCode("leave", w.RemoveMember(op, w.b, w.ownerOf(w.b)), "")
	var left []kinora.Ownerless
	wait := w.whileHeld(func(tx *store.Tx) error { return lock(tx, w.a) }, func() (err error) {
		left, err = w.SetDisabled(op, ada, true)
		return err
	}, func() {
		w.wantCode("make an owner", w.SetRole(op, w.b, ada, kinora.RoleOwner), "")
		w.wantCode("remove the other", w.RemoveMember(op, w.b, bob), "")
	})
	if want := []kinora.Ownerless{{OrganisationID: w.b, OrganisationName: "Beta"}}; wait != nil || !reflect.DeepEqual(left, want) {
		t.Errorf("%+v, %v", left, wait)
	}
}

// Whoever makes somebody an owner waits until it is known whether the person is disabled.
func TestMakingAnOwnerWaitsForThePerson(t *testing.T) {
	w := newWorld(t, storetest.Postgres(t), Options{})
	w.setUp()
	ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember).Person.ID
	err := w.whileHeld(func(tx *store.Tx) error {
		_, err := tx.LockPerson(ada)
		return err
	}, func() error { return w.SetRole(w.byOperator(), w.a, ada, kinora.RoleOwner) }, func() {})
	w.wantCode("make an owner", err, "")
}

// whileHeld runs what while a transaction holds locks on PostgreSQL, and meanwhile once what waits for one of them. It returns the error of what.
func (w *world) whileHeld(hold func(tx *store.Tx) error, what func() error, meanwhile func()) error {
	w.t.Helper()
	ended := make(chan error, 1)
	w.update(func(tx *store.Tx) error {
		if err := hold(tx); err != nil {
			return err
		}
		go func() { ended <- what() }()
		for waiting := 0; waiting == 0; {
			select {
			case err := <-ended:
				w.t.Errorf("it did not wait: %v", err)
				ended <- err
				return nil
			default:
			}
			err := tx.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`SELECT pg_stat_clear_snapshot()`); err != nil {
				return err
			}
		}
		meanwhile()
		return nil
	})
	return <-ended
}

// ownerOf is the id of the first owner, by e-mail address from the end.
func (w *world) ownerOf(organisation string) (id string) {
	w.t.Helper()
	list, err := w.Members(w.t.Context(), organisation)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range list {
		if m.Role == kinora.RoleOwner {
			id = m.PersonID
		}
	}
	return id
}

// Of two owners who are disabled at once, and one of whom is removed, somebody is told that none is left.
func TestDisablingAtOnceIsTold(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.setUp()
		op := w.byOperator()
		c := w.organisation("Gamma")
		var ids []string
		for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
			ids = append(ids, w.join(op, c, email, kinora.RoleOwner).Person.ID)
		}
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			told int
		)
		for _, person := range ids {
			wg.Go(func() {
				left, err := w.SetDisabled(op, person, true)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				told += len(left)
				mu.Unlock()
			})
		}
		wg.Wait()
		if told != 1 {
			t.Errorf("%d were told that Gamma has no owner", told)
		}
	})
}
