package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/tenancy"
)

// Somebody who has an account is invited into another organisation by its owner: nothing changes for them until they say yes, by the link or on
// their account page; they may say no, and leave again; and a sign-in leads to where they were last.
func TestDashboardOfInvitations(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		firstPerson(t, a)
		byOperator := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator})
		name := "South"
		south, _, err := a.Tenancy().CreateOrganisation(t.Context(), tenancy.OrganisationChange{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		enter := func(organisation, email string, role kinora.Role) signedIn {
			t.Helper()
			_, token, err := a.People().Invite(byOperator, organisation, email, role)
			if err != nil {
				t.Fatal(err)
			}
			v := newVisitor(t, a)
			_, at, body := v.post("/dashboard/invitation", url.Values{"token": {token}, "name": {email}, "password": {dashboardPassword}, "again": {dashboardPassword}})
			if at != "/dashboard/o/"+organisation+"/generations" {
				t.Fatalf("the link leads to %s", at)
			}
			return signedIn{v, tokenOf(t, body)}
		}
		own, other := "/dashboard/o/"+a.Bootstrapped().Organisation.ID, "/dashboard/o/"+south.ID
		ada, grace := enter(a.Bootstrapped().Organisation.ID, "ada@example.com", kinora.RoleMember), enter(south.ID, "grace@example.com", kinora.RoleOwner)
		invite := func(email string) (link string) {
			t.Helper()
			_, _, body := grace.send(other+"/members/invite", "email", email, "role", "admin")
			if link = invitationLink.FindString(body); link == "" {
				t.Fatalf("there is no link for %s:\n%s", email, body)
			}
			return link
		}

		link, fresh := invite("ada@example.com"), invite("nobody@example.com")
		stranger := newVisitor(t, a)
		of := func(link, email string) string {
			_, _, body := stranger.get(link)
			_, token, _ := strings.Cut(link, "=")
			return strings.NewReplacer(email, "EMAIL", token, "TOKEN").Replace(body)
		}
		if of(link, "ada@example.com") != of(fresh, "nobody@example.com") {
			t.Error("the pages of links tell who has an account")
		}
		if status, _, _ := ada.get(other + "/generations"); status != http.StatusNotFound {
			t.Errorf("before a word of hers she gets %d there", status)
		}
		ada.see(own+"/generations", "1 invitation")
		ada.see("/dashboard/account", "South", "grace@example.com", "Accept", "Decline")
		if _, at, body := ada.get("/dashboard"); at != own+"/generations" {
			t.Errorf("she is led to %s:\n%s", at, body)
		}
		ada.send("/dashboard/account/invitations/" + south.ID + "/decline")
		grace.see(other+"/members", "nobody@example.com")
		grace.see(other+"/audit?action=member.", "declined the invitation as admin")
		if status, _, _ := stranger.get(link); status != http.StatusNotFound {
			t.Errorf("the link of what was declined: %d", status)
		}

		link = invite("ada@example.com")
		if _, at, _ := ada.send("/dashboard/account/invitations/" + south.ID + "/accept"); at != other+"/generations" {
			t.Errorf("saying yes leads to %s", at)
		}
		in := url.Values{"email": {"ada@example.com"}, "password": {dashboardPassword}}
		if _, at, _ := newVisitor(t, a).post("/dashboard/sign-in", in); at != other+"/generations" {
			t.Errorf("the next sign-in leads to %s", at)
		}
		if _, at, _ := ada.send("/dashboard/account/organisations/" + south.ID + "/leave"); at != "/dashboard/account" {
			t.Errorf("leaving leads to %s", at)
		}
		grace.see(other+"/audit?action=member.", "accepted the invitation as admin", "left the organisation")
		grace.send("/dashboard/account/organisations/" + south.ID + "/leave")
		grace.see(other+"/members", "grace@example.com") // the last owner stays

		// By the link, from a browser that has to sign in first.
		link = invite("ada@example.com")
		v := newVisitor(t, a)
		_, _, body := v.get(link)
		if next := "/dashboard/sign-in?next=" + url.QueryEscape(link); !strings.Contains(body, next) {
			t.Fatalf("the page does not lead to %s:\n%s", next, body)
		}
		in.Set("next", link)
		_, at, body := v.post("/dashboard/sign-in", in)
		if at != "/dashboard/invitation" || !strings.Contains(body, "/dashboard/invitation/join") {
			t.Fatalf("signing in leads to %s:\n%s", at, body)
		}
		_, token, _ := strings.Cut(link, "=")
		if _, at, _ := (signedIn{v, tokenOf(t, body)}).send("/dashboard/invitation/join", "token", token); at != other+"/generations" {
			t.Errorf("joining leads to %s", at)
		}
	})
}
