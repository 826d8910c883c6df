package people

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// An organisation's own invitation waits for the person's word, whoever they are; an operator's does not.
func TestInvitationsWaitForAWord(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		owner := w.join(w.byOperator(), w.b, "owner@example.com", kinora.RoleOwner)
		known := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		ada := known.Person.ID
		look := func() *kinora.SignedIn {
			t.Helper()
			return w.signedIn(w.SignIn(ctx, "ada@example.com", password, w.visitor))
		}
		invite := func() (m *kinora.Membership, token string) {
			t.Helper()
			m, token, err := w.Invite(w.as(owner), w.b, "ada@example.com", kinora.RoleAdmin)
			if err != nil || token == "" || !m.Pending {
				t.Fatalf("%+v, a link %v, %v", m, token != "", err)
			}
			return m, token
		}
		_, token := invite()
		in := look()
		if in.RoleIn(w.b) != "" || len(in.Memberships) != 1 || len(in.Invitations) != 1 {
			t.Fatalf("%+v", in)
		}
		if i := in.Invitations[0]; i.OrganisationID != w.b || i.Role != kinora.RoleAdmin || i.InvitedBy != "owner@example.com" || i.InvitationID == "" {
			t.Errorf("%+v", i)
		}
		as := w.as(in)
		w.wantCode("one that there is not", w.Join(as, ada, w.a), kinora.ErrNotFound)
		w.wantCode("somebody else's", w.Join(as, owner.Person.ID, w.b), kinora.ErrNotFound)
		w.wantCode("leave without having come", w.Leave(as, ada, w.b), kinora.ErrNotFound)

		w.wantCode("no", w.Decline(as, ada, w.b), "")
		w.wantCode("no again", w.Decline(as, ada, w.b), kinora.ErrNotFound)
		_, err := w.Invitation(ctx, token)
		w.wantCode("the link of what was declined", err, kinora.ErrNotFound)
		if in := look(); len(in.Invitations) != 0 || in.RoleIn(w.b) != "" {
			t.Errorf("%+v", in)
		}

		_, token = invite()
		w.wantCode("yes", w.Join(as, ada, w.b), "")
		_, err = w.Invitation(ctx, token)
		w.wantCode("the link of what was accepted", err, kinora.ErrNotFound)
		w.wantCode("yes again", w.Join(as, ada, w.b), kinora.ErrNotFound)
		if in := look(); in.RoleIn(w.b) != kinora.RoleAdmin || len(in.Invitations) != 0 {
			t.Errorf("%+v", in)
		}
		w.wantCode("leave", w.Leave(as, ada, w.b), "")
		w.wantCode("leave again", w.Leave(as, ada, w.b), kinora.ErrNotFound)
		if in := look(); in.RoleIn(w.b) != "" || in.RoleIn(w.a) != kinora.RoleMember {
			t.Errorf("%+v", in)
		}
		w.wantCode("one of two owners leaves", w.Leave(w.as(root), root.Person.ID, w.b), "")
		w.wantCode("the last owner leaves", w.Leave(w.as(owner), owner.Person.ID, w.b), kinora.ErrConflict)

		invite()
		if m, token, err := w.Invite(w.as(root), w.b, "ada@example.com", kinora.RoleMember); err != nil || token != "" || m.Pending || m.InvitedBy != "" {
			t.Errorf("an operator's word: %+v, a link %v, %v", m, token != "", err)
		}
		got := w.actions(kinora.AuditFilter{OrganisationID: w.b, ActorID: ada})
		want := map[kinora.AuditAction]int{kinora.AuditMemberDecline: 1, kinora.AuditMemberAccept: 1, kinora.AuditMemberLeave: 1}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// What an organisation gets to see of an invitation is the same for an address that has an account and for one that has none.
func TestInvitersLearnNothing(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		owner := w.join(w.byOperator(), w.b, "owner@example.com", kinora.RoleOwner)
		w.join(w.byOperator(), w.a, "known@example.com", kinora.RoleMember)
		_, _, err := w.Invite(w.byOperator(), w.a, "away@example.com", kinora.RoleMember)
		w.wantCode("invite", err, "")
		away := w.join(w.byOperator(), w.a, "away@example.com", kinora.RoleMember)
		_, err = w.SetDisabled(w.byOperator(), away.Person.ID, true)
		w.wantCode("disable", err, "")
		w.clock.advance(time.Hour)

		emails := []string{"away@example.com", "known@example.com", "fresh@example.com"}
		var seen []string
		for _, email := range emails {
			m, token, err := w.Invite(w.as(owner), w.b, email, kinora.RoleMember)
			if err != nil {
				t.Fatal(err)
			}
			link, err := w.Invitation(ctx, token)
			if err != nil {
				t.Fatalf("%s: %v", email, err)
			}
			before := m.InvitationID
			w.wantCode("take back", w.RemoveMember(w.as(owner), w.b, before), "")
			again, _, err := w.Invite(w.as(owner), w.b, email, kinora.RoleMember)
			if err != nil || again.InvitationID != before {
				t.Errorf("%s is called %s after %s, %v", email, again.InvitationID, before, err)
			}
			m.PersonID, m.Email, link.Email = "", "", "" // the first is for operators
			m.InvitationID = strings.Repeat("x", len(m.InvitationID))
			seen = append(seen, strings.Join([]string{m.OrganisationName, m.Name, string(m.Role), m.InvitedBy, m.InvitationID, link.Name, link.OrganisationName, string(link.Role)}, "|"))
		}
		if seen[0] != seen[1] || seen[1] != seen[2] {
			t.Errorf("they differ: %q", seen)
		}
		list, err := w.Members(ctx, w.b)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Pending && m.Name != "" {
				t.Errorf("%+v", m)
			}
		}
		// Ids of persons would tell by their time which of them are new.
		page, _, err := w.Audit(ctx, kinora.AuditFilter{OrganisationID: w.b, ActorID: owner.Person.ID, Action: "member."}, "", MaxAuditPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if !strings.HasPrefix(e.Target, "inv_") {
				t.Errorf("%s of %s", e.Action, e.Target)
			}
		}
	})
}

// A sign-in leads to where one has been last, whatever one was added to since.
func TestTheOrganisationUsedLastIsKept(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		in := w.signedIn(w.SignIn(ctx, "ada@example.com", password, w.visitor))
		if in.LastOrganisation != "" {
			t.Errorf("%q", in.LastOrganisation)
		}
		w.UseOrganisation(w.as(in), in.Person.ID, w.a)
		_, _, err := w.Invite(w.byOperator(), w.b, "ada@example.com", kinora.RoleOwner)
		w.wantCode("invite", err, "")
		w.wantCode("rename", w.Rename(w.as(in), in.Person.ID, "Ada"), "") // another change of the person keeps it
		if in := w.signedIn(w.SignIn(ctx, "ada@example.com", password, w.visitor)); in.LastOrganisation != w.a || len(in.Memberships) != 2 {
			t.Errorf("%+v", in)
		}
		w.UseOrganisation(ctx, "per_none", w.a) // nobody's
	})
}
