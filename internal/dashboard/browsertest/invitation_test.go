package browsertest_test

import (
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/tenancy"
)

// Somebody who has an account is invited into a second organisation: the menu tells of it, the account page takes the answer, and the way
// back leads where one was last. Then by a link, from a browser at which nobody is signed in.
func TestInvitedIntoASecondOrganisation(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	name := "South"
	south, _, err := s.Tenancy().CreateOrganisation(t.Context(), tenancy.OrganisationChange{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	// The first person is an operator and sees every organisation: it takes another one to be asked.
	_, token, err := s.People().Invite(kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator}), s.organisation, "grace@example.com", kinora.RoleMember)
	if err != nil {
		t.Fatal(err)
	}
	grace := s.open(t)
	grace.Go("/dashboard/invitation?token=" + token)
	grace.See("If you are new here")
	grace.AccessibleInBoth()
	grace.Size(360, 740)
	grace.FitsWidth()
	grace.Size(1280, 900)
	grace.Fill("Name", "Grace")
	grace.Fill("Password", password)
	grace.Fill("Password again", password)
	grace.Press("Create the account and join")
	grace.At(s.path("/generations"))

	// Whoever invites without being an operator waits for her word.
	invite := func() string {
		t.Helper()
		_, token, err := s.People().Invite(kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorSystem}), south.ID, "grace@example.com", kinora.RoleAdmin)
		if err != nil || token == "" {
			t.Fatalf("%q, %v", token, err)
		}
		return token
	}
	invite()
	grace.Go(s.path("/usage"))
	grace.Press("1 invitation")
	grace.At("/dashboard/account")
	grace.AccessibleInBoth()
	grace.Size(360, 740)
	grace.FitsWidth()
	grace.Size(1280, 900)
	grace.Press("Decline")
	grace.Press("Decline the invitation")
	grace.See("You have declined the invitation.")
	invite()
	grace.Go("/dashboard/account")
	grace.Press("Accept")
	grace.At("/dashboard/o/" + south.ID + "/generations")
	grace.See("You are a member of this organisation now.")
	grace.Go("/dashboard")
	grace.At("/dashboard/o/" + south.ID + "/generations")
	grace.Go("/dashboard/account")
	grace.Click(`[commandfor="leave-` + south.ID + `"]`)
	grace.Press("Leave the organisation")
	grace.See("You have left the organisation.")

	link := "/dashboard/invitation?token=" + invite()
	p.Go(link)
	p.See("You are signed in as " + ownerEmail)
	p.AccessibleInBoth()
	grace.Go("/dashboard/account")
	grace.Press("Sign out")
	grace.At("/dashboard/sign-in")
	grace.Go(link)
	grace.Press("Sign in and join")
	grace.Fill("E-mail address", "grace@example.com")
	grace.Fill("Password", password)
	grace.Press("Sign in")
	grace.At("/dashboard/invitation")
	grace.AccessibleInBoth()
	grace.Press("Join")
	grace.At("/dashboard/o/" + south.ID + "/generations")
}
