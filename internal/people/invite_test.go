package people

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestInvitations(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		m, first, err := w.Invite(w.as(root), w.a, " Ada@Example.com", kinora.RoleAdmin)
		if err != nil || first == "" || !m.Pending || m.Role != kinora.RoleAdmin || m.Email != "ada@example.com" || m.OrganisationName != "Alpha" {
			t.Fatalf("%+v, %q, %v", m, first, err)
		}
		_, token, err := w.Invite(w.as(root), w.a, "ada@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Invitation(ctx, first)
		w.wantCode("replaced by the second", err, kinora.ErrNotFound)
		in, err := w.Invitation(ctx, token)
		if err != nil || in.OrganisationName != "Alpha" || in.Role != kinora.RoleMember || in.OrganisationID != w.a || in.Email != "ada@example.com" || in.Name != "" || in.ExpiresAt.Sub(w.instant()) != linkLife {
			t.Errorf("%+v, %v", in, err)
		}
		for field, p := range map[string]kinora.NewPerson{"password": {Password: "short"}, "name": {Password: password, Name: "\x00"}} {
			_, err := w.AcceptInvitation(ctx, token, p, w.visitor)
			w.wantField(field, err, field)
		}
		ada := w.signedIn(w.AcceptInvitation(ctx, token, kinora.NewPerson{Email: "root@example.com", Name: "Ada", Password: password}, w.visitor))
		if ada.Person.Email != "ada@example.com" || ada.Person.Name != "Ada" || ada.Person.Operator || ada.RoleIn(w.a) != kinora.RoleMember || ada.RoleIn(w.b) != "" {
			t.Errorf("%+v", ada)
		}
		_, err = w.AcceptInvitation(ctx, token, kinora.NewPerson{Password: password}, w.visitor)
		w.wantCode("taken up already", err, kinora.ErrNotFound)

		// An operator has invited her: another operator's word makes her a member elsewhere at once.
		if m, token, err := w.Invite(w.as(root), w.b, "ada@example.com", kinora.RoleOwner); err != nil || token != "" || m.Pending || m.InvitationID != "" {
			t.Errorf("%+v, %q, %v", m, token, err)
		}
		_, _, err = w.Invite(w.as(root), w.b, "ada@example.com", kinora.RoleMember)
		w.wantCode("a member already", err, kinora.ErrConflict)
		_, _, err = w.Invite(w.as(root), "org_none", "x@example.com", kinora.RoleMember)
		w.wantCode("no organisation", err, kinora.ErrNotFound)
		_, _, err = w.Invite(w.as(root), w.a, "x", kinora.RoleMember)
		w.wantField("no address", err, "email")
		_, _, err = w.Invite(w.as(root), w.a, "x@example.com", "king")
		w.wantField("no role", err, "role")

		_, late, err := w.Invite(w.as(root), w.a, "late@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.advance(linkLife)
		_, err = w.AcceptInvitation(ctx, late, kinora.NewPerson{Password: password}, w.visitor)
		w.wantCode("too late", err, kinora.ErrNotFound)
	})
}

// Whoever follows an owner's link may be the owner. What such an account is called gives it nothing elsewhere.
func TestAnOwnersWordCountsForHisOrganisationAlone(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		mallory := w.join(w.byOperator(), w.a, "mallory@example.com", kinora.RoleOwner)
		owner := w.join(w.byOperator(), w.b, "owner@example.com", kinora.RoleOwner)

		// Mallory makes himself an account by the name of Beta's next member.
		squatter := w.join(w.as(mallory), w.a, "ceo@example.com", kinora.RoleMember)
		_, real, err := w.Invite(w.as(owner), w.b, "ceo@example.com", kinora.RoleOwner)
		if err != nil || real == "" {
			t.Fatalf("the account is believed: %q, %v", real, err)
		}
		look := func(what string, want kinora.Role) {
			t.Helper()
			in := w.signedIn(w.SignIn(ctx, "ceo@example.com", password, w.visitor))
			if in.RoleIn(w.b) != want {
				t.Errorf("%s: %q in Beta, want %q", what, in.RoleIn(w.b), want)
			}
		}
		look("invited", "")
		in := w.signedIn(w.SignIn(ctx, "ceo@example.com", password, w.visitor))
		if len(in.Invitations) != 0 {
			t.Errorf("the squatter is told of %+v", in.Invitations)
		}
		w.wantCode("the squatter says yes", w.Join(w.as(in), in.Person.ID, w.b), kinora.ErrNotFound)
		w.wantCode("the squatter says no", w.Decline(w.as(in), in.Person.ID, w.b), kinora.ErrNotFound)
		// Whom Beta's link has reached does not know that password, and cannot choose another one. An operator helps.
		_, err = w.AcceptInvitation(ctx, real, kinora.NewPerson{Password: "the true one's password"}, w.visitor)
		w.wantCode("another password", err, kinora.ErrConflict)
		reset, err := w.ResetPassword(w.byOperator(), squatter.Person.ID)
		if err != nil {
			t.Fatal(err)
		}
		if in, err := w.Invitation(ctx, reset); err != nil || in.OrganisationName != "" || in.Name == "" {
			t.Errorf("%+v, %v", in, err)
		}
		w.wantCode("a link for a password makes no member", w.JoinByLink(ctx, squatter.Person.ID, reset), kinora.ErrNotFound)
		theirs := w.signedIn(w.AcceptInvitation(ctx, reset, kinora.NewPerson{Password: "the true one's password"}, w.visitor))
		if list, err := w.Sessions(ctx, theirs.Person.ID); err != nil || len(list) != 1 {
			t.Errorf("the squatter is still in: %+v, %v", list, err)
		}
		w.wantCode("somebody else's link", w.JoinByLink(w.as(owner), owner.Person.ID, real), kinora.ErrForbidden)
		w.wantCode("her link", w.JoinByLink(w.as(theirs), theirs.Person.ID, real), "")
		w.wantCode("her link again", w.JoinByLink(w.as(theirs), theirs.Person.ID, real), kinora.ErrNotFound)
		in = w.signedIn(w.SignIn(ctx, "ceo@example.com", "the true one's password", w.visitor))
		if in.RoleIn(w.b) != kinora.RoleOwner || in.Person.Name != "Of ceo@example.com" {
			t.Errorf("%+v", in)
		}

		// Two owners invite somebody new: each one's link opens his own organisation.
		_, hers, err := w.Invite(w.as(owner), w.b, "cfo@example.com", kinora.RoleOwner)
		if err != nil {
			t.Fatal(err)
		}
		cfo := w.join(w.as(mallory), w.a, "cfo@example.com", kinora.RoleMember)
		if cfo.RoleIn(w.b) != "" || cfo.RoleIn(w.a) != kinora.RoleMember {
			t.Errorf("%+v", cfo.Memberships)
		}
		if members, err := w.Members(ctx, w.b); err != nil || !members[1].Pending || members[1].Email != "cfo@example.com" {
			t.Errorf("%+v, %v", members, err)
		}
		_, err = w.AcceptInvitation(ctx, hers, kinora.NewPerson{Password: "some other password"}, w.visitor)
		w.wantCode("a password for that account", err, kinora.ErrConflict)
	})
}

// Of several who follow one link at once, one comes in.
func TestLinksWorkOnce(t *testing.T) {
	eachWorld(t, func(w *world) {
		root := w.setUp()
		_, invitation, err := w.Invite(w.as(root), w.a, "ada@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		ada, err := w.Members(t.Context(), w.a)
		if err != nil {
			t.Fatal(err)
		}
		reset, err := w.ResetPassword(w.as(root), ada[0].PersonID)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{invitation, reset} {
			var (
				wg sync.WaitGroup
				in atomic.Int32
			)
			for i := range 8 {
				wg.Go(func() {
					_, err := w.AcceptInvitation(t.Context(), token, kinora.NewPerson{Password: fmt.Sprint(password, i)}, kinora.Visitor{})
					if err == nil {
						in.Add(1)
					} else if code := kinora.CodeOf(err); code != kinora.ErrNotFound && code != kinora.ErrConflict {
						t.Errorf("too late: %v", err)
					}
				})
			}
			wg.Wait()
			if in.Load() != 1 {
				t.Errorf("%d came in", in.Load())
			}
		}
	})
}

// Two who invite the same new person at once make one person.
func TestInvitingAtOnceMakesOnePerson(t *testing.T) {
	eachWorld(t, func(w *world) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				organisation := w.a
				if i%2 == 1 {
					organisation = w.b
				}
				if _, _, err := w.Invite(w.byOperator(), organisation, "ada@example.com", kinora.RoleMember); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := w.Persons(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if _, belongs, err := w.Person(t.Context(), list[0].ID); err != nil || len(belongs) != 2 {
			t.Errorf("%+v, %v", belongs, err)
		}
		w.clock.advance(time.Second)
	})
}
