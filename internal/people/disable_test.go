package people

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/kinora/kinora"
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
