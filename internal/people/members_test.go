package people

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestMembers(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		owner := w.join(w.byOperator(), w.a, "owner@example.com", kinora.RoleOwner)
		ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		as := w.as(owner)
		if list, err := w.Members(ctx, w.a); err != nil || len(list) != 2 || list[0].Email != "ada@example.com" || list[0].Name != "Of ada@example.com" || list[1].Role != kinora.RoleOwner {
			t.Errorf("%+v, %v", list, err)
		}
		_, err := w.Members(ctx, "org_none")
		w.wantCode("no organisation", err, kinora.ErrNotFound)
		w.wantCode("another organisation's", w.SetRole(as, w.b, ada.Person.ID, kinora.RoleAdmin), kinora.ErrNotFound)
		w.wantCode("another organisation's", w.RemoveMember(as, w.b, ada.Person.ID), kinora.ErrNotFound)
		w.wantField("no role", w.SetRole(as, w.a, ada.Person.ID, ""), "role")
		w.wantCode("the last owner steps down", w.SetRole(as, w.a, owner.Person.ID, kinora.RoleAdmin), kinora.ErrConflict)
		w.wantCode("the last owner goes", w.RemoveMember(as, w.a, owner.Person.ID), kinora.ErrConflict)

		// One who has not come yet, or is disabled, is no owner who could carry on.
		_, _, err = w.Invite(as, w.a, "new@example.com", kinora.RoleOwner)
		w.wantCode("invite", err, "")
		w.wantCode("with one invited", w.RemoveMember(as, w.a, owner.Person.ID), kinora.ErrConflict)
		w.wantCode("promote", w.SetRole(as, w.a, ada.Person.ID, kinora.RoleOwner), "")
		_, err = w.SetDisabled(w.byOperator(), ada.Person.ID, true)
		w.wantCode("disable", err, "")
		w.wantCode("with one disabled", w.RemoveMember(as, w.a, owner.Person.ID), kinora.ErrConflict)
		_, err = w.SetDisabled(w.byOperator(), ada.Person.ID, false)
		w.wantCode("enable", err, "")
		w.wantCode("with another", w.RemoveMember(as, w.a, owner.Person.ID), "")

		// An invitation that is taken back takes along a person who was nothing else.
		list, err := w.Members(ctx, w.a)
		if err != nil || len(list) != 2 || !list[1].Pending {
			t.Fatalf("%+v, %v", list, err)
		}
		w.wantCode("another organisation's invitation", w.RemoveMember(as, w.b, list[1].InvitationID), kinora.ErrNotFound)
		w.wantCode("another role for it", w.SetRole(as, w.a, list[1].InvitationID, kinora.RoleMember), "")
		w.wantCode("take back", w.RemoveMember(as, w.a, list[1].InvitationID), "")
		w.wantCode("take back again", w.RemoveMember(as, w.a, list[1].InvitationID), kinora.ErrNotFound)
		_, _, err = w.Person(ctx, list[1].PersonID)
		w.wantCode("the invited one", err, kinora.ErrNotFound)
		if _, _, err := w.Person(ctx, owner.Person.ID); err != nil {
			t.Errorf("somebody who has been in is gone: %v", err)
		}
		if got := w.actions(kinora.AuditFilter{OrganisationID: w.a, ActorID: owner.Person.ID}); got[kinora.AuditMemberRole] != 2 || got[kinora.AuditMemberRemove] != 2 || got[kinora.AuditMemberAdd] != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestOperators(t *testing.T) {
	eachWorld(t, func(w *world) {
		root := w.setUp()
		ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		as := w.as(root)
		w.wantCode("the last one steps down", w.SetOperator(as, root.Person.ID, false), kinora.ErrConflict)
		_, err := w.SetDisabled(as, root.Person.ID, true)
		w.wantCode("the last one is disabled", err, kinora.ErrConflict)
		w.wantCode("nobody", w.SetOperator(as, "per_none", true), kinora.ErrNotFound)
		w.wantCode("another", w.SetOperator(as, ada.Person.ID, true), "")
		w.wantCode("again", w.SetOperator(as, ada.Person.ID, true), "")
		in := w.signedIn(w.SignIn(t.Context(), "ada@example.com", password, w.visitor))
		if in.RoleIn(w.b) != kinora.RoleOwner {
			t.Errorf("an operator is %q in Beta", in.RoleIn(w.b))
		}
		_, err = w.SetDisabled(as, root.Person.ID, true)
		w.wantCode("now", err, "")
		w.wantCode("ada", w.SetOperator(as, ada.Person.ID, false), kinora.ErrConflict)
		w.wantCode("a disabled one steps down", w.SetOperator(as, root.Person.ID, false), "")
		if got := w.actions(kinora.AuditFilter{Action: "person.operator"}); got[kinora.AuditPersonOperator] != 2 {
			t.Errorf("%v", got)
		}
	})
}

// However owners and operators take each other away at once, one of each is left who can sign in.
func TestTheLastOnesStay(t *testing.T) {
	eachWorld(t, func(w *world) {
		const crowd = 6
		var ids []string
		for i := range crowd {
			in := w.join(w.byOperator(), w.a, fmt.Sprintf("p%d@example.com", i), kinora.RoleOwner)
			ids = append(ids, in.Person.ID)
			w.wantCode("operator", w.SetOperator(w.byOperator(), in.Person.ID, true), "")
		}
		for range 3 {
			var wg sync.WaitGroup
			for _, person := range ids {
				wg.Go(func() {
					for _, what := range rand.Perm(4) {
						var err error
						switch what {
						case 0:
							err = w.SetRole(w.byOperator(), w.a, person, kinora.RoleMember)
						case 1:
							err = w.RemoveMember(w.byOperator(), w.a, person)
						case 2:
							err = w.SetOperator(w.byOperator(), person, false)
						case 3:
							err = w.SetOperator(w.byOperator(), person, true)
						}
						if code := kinora.CodeOf(err); code != "" && code != kinora.ErrConflict && code != kinora.ErrNotFound {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			owners, operators := 0, 0
			members, err := w.Members(t.Context(), w.a)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range members {
				if m.Role == kinora.RoleOwner {
					owners++
				}
			}
			persons, err := w.Persons(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range persons {
				if p.Operator {
					operators++
				}
			}
			if owners == 0 || operators == 0 {
				t.Errorf("%d owners and %d operators are left", owners, operators)
			}
		}
	})
}

func TestAuditPages(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), Options{})
	for i := range 7 {
		if _, _, err := w.Invite(w.byOperator(), w.a, fmt.Sprintf("p%d@example.com", i), kinora.RoleMember); err != nil {
			t.Fatal(err)
		}
	}
	seen, before := 0, ""
	for {
		page, next, err := w.Audit(t.Context(), kinora.AuditFilter{OrganisationID: w.a, Action: "member."}, before, 3)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page)
		if before = next; next == "" {
			break
		}
	}
	if seen != 7 {
		t.Errorf("%d entries on all pages, want 7", seen)
	}
	for field, call := range map[string]func() error{
		"limit": func() error { _, _, err := w.Audit(t.Context(), kinora.AuditFilter{}, "", MaxAuditPage+1); return err },
		"actor_kind": func() error {
			_, _, err := w.Audit(t.Context(), kinora.AuditFilter{ActorKind: "robot"}, "", 1)
			return err
		},
		"before": func() error { _, _, err := w.Audit(t.Context(), kinora.AuditFilter{}, "aud_x", 1); return err },
		"action": func() error { _, _, err := w.Audit(t.Context(), kinora.AuditFilter{Action: "key"}, "", 1); return err },
	} {
		w.wantField(field, call(), field)
	}
	if page, _, err := w.Audit(t.Context(), kinora.AuditFilter{Target: "\x00"}, "", 1); err != nil || len(page) != 0 {
		t.Errorf("%v, %v", page, err)
	}
}

// Nobody becomes an operator by a link that an owner has made, whoever was meant by it.
func TestAnOwnerMakesNoOperator(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		owner := w.join(w.byOperator(), w.b, "owner@example.com", kinora.RoleOwner)
		m, _, err := w.Invite(w.byOperator(), w.b, "new-op@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		w.wantCode("before the link is followed", w.SetOperator(w.byOperator(), m.PersonID, true), kinora.ErrConflict)
		_, stolen, err := w.Invite(w.as(owner), w.b, "new-op@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		squatter := w.signedIn(w.AcceptInvitation(ctx, stolen, kinora.NewPerson{Password: password}, w.visitor))
		w.wantCode("behind an owner's link", w.SetOperator(w.byOperator(), squatter.Person.ID, true), kinora.ErrConflict)
	})
}

// An account that the identity provider vouches for has no password that an organisation's link could choose.
func TestAnOwnersLinkChoosesNoPasswordOfAKnownPerson(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		owner := w.join(w.byOperator(), w.a, "owner@example.com", kinora.RoleOwner)
		m, link, err := w.Invite(w.as(owner), w.a, "victim@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		w.update(func(tx *store.Tx) error { // she comes by the identity provider meanwhile
			p, err := tx.LockPerson(m.PersonID)
			if err != nil {
				return err
			}
			p.Proven, p.Subject = true, "issuer subject"
			return tx.SavePerson(p)
		})
		_, err = w.AcceptInvitation(ctx, link, kinora.NewPerson{Password: password}, w.visitor)
		w.wantCode("a password for her", err, kinora.ErrConflict)
		_, err = w.SetDisabled(w.byOperator(), m.PersonID, true)
		w.wantCode("away for a while", err, "")
		// Nothing of it shows to whoever invites her, as nothing would of somebody who has no account.
		m, link, err = w.Invite(w.as(owner), w.b, "victim@example.com", kinora.RoleMember)
		if err != nil || link == "" || !m.Pending || m.Name != "" {
			t.Fatalf("%+v, a link %v, %v", m, link != "", err)
		}
		if in, err := w.Invitation(ctx, link); err != nil || in.Name != "" {
			t.Errorf("%+v, %v", in, err)
		}
		_, err = w.AcceptInvitation(ctx, link, kinora.NewPerson{Password: password}, w.visitor)
		w.wantCode("a password for her", err, kinora.ErrConflict)
	})
}
