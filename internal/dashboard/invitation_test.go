package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func invitedStand(t *testing.T, email string) *stand {
	t.Helper()
	s := newStand(t, nil)
	s.people.invitation = &kinora.Invitation{OrganisationID: south, OrganisationName: "South", Role: kinora.RoleAdmin, Email: email}
	return s
}

// The page of an invitation says nothing of whether its address has an account: whoever has made the link can open it too.
func TestAnInvitationTellsOfNoAccount(t *testing.T) {
	const at = Prefix + "/invitation?token=right"
	known, fresh := invitedStand(t, "member@example.com").ask("", at, nil), invitedStand(t, "nobody@example.com").ask("", at, nil)
	has(t, known.Body.String(), "Join South", "If you have an account here", `href="/dashboard/sign-in?next=%2Fdashboard%2Finvitation%3Ftoken%3Dright"`, "If you are new here", `value="member@example.com"`)
	if strings.ReplaceAll(known.Body.String(), "member@example.com", "nobody@example.com") != fresh.Body.String() {
		t.Error("the pages differ")
	}
	if got := invitedStand(t, "nobody@example.com").ask("", Prefix+"/invitation?token=wrong", nil); got.Code != http.StatusNotFound {
		t.Errorf("a wrong link: %d", got.Code)
	}
}

func TestInvitationsAreTakenUpByTheirLink(t *testing.T) {
	s := invitedStand(t, "nobody@example.com")
	const at, list = Prefix + "/invitation", "/dashboard/o/" + south + "/generations"
	form := url.Values{"token": {"right"}, "password": {"short"}, "again": {"other"}}
	got := s.ask("", at, form)
	if got.Code != http.StatusUnprocessableEntity {
		t.Errorf("two passwords: %d", got.Code)
	}
	has(t, got.Body.String(), "not the same")
	form.Set("again", "short")
	has(t, s.ask("", at, form).Body.String(), "password is too short")
	form["password"], form["again"] = []string{"correct horse battery"}, []string{"correct horse battery"}
	if got := s.ask("", at, form); got.Code != http.StatusSeeOther || got.Header().Get("Location") != list {
		t.Errorf("a new account: %d %s", got.Code, got.Header().Get("Location"))
	}

	s = invitedStand(t, "member@example.com")
	got = s.ask("", at, form)
	if got.Code != http.StatusConflict {
		t.Errorf("an account that there is: %d", got.Code)
	}
	has(t, got.Body.String(), "sign in with it", "Sign in and join")
	has(t, s.ask("member", at+"?token=right", nil).Body.String(), `action="/dashboard/invitation/join"`)
	has(t, s.ask("owner", at+"?token=right", nil).Body.String(), "You are signed in as owner@example.com", `action="/dashboard/sign-out"`)
	yes := url.Values{"token": {"right"}, "form_token": {s.token("member")}}
	if got := s.ask("member", at+"/join", yes); got.Code != http.StatusSeeOther || got.Header().Get("Location") != list {
		t.Errorf("signed in: %d %s", got.Code, got.Header().Get("Location"))
	}
	if want := []string{"join by link per_member right"}; !slices.Equal(s.people.done, want) {
		t.Errorf("done: %q", s.people.done)
	}
	yes.Set("token", "wrong")
	if got := s.ask("member", at+"/join", yes); got.Code != http.StatusNotFound {
		t.Errorf("a wrong link: %d", got.Code)
	}
}

// Who is signed in finds their invitations in the menu and on the account page, and says yes or no there.
func TestInvitationsAreAnsweredOnTheAccountPage(t *testing.T) {
	s := newStand(t, nil)
	in := s.people.sessions["member"]
	in.Invitations = []kinora.Membership{{OrganisationID: south, OrganisationName: "South & Sons", Role: kinora.RoleAdmin, InvitedBy: "grace@example.com", Pending: true}}
	has(t, s.page(t, "member", "/generations"), `href="/dashboard/account">1 invitation</a>`)
	body := s.ask("member", Prefix+"/account", nil).Body.String()
	has(t, body, "South &amp; Sons", "grace@example.com", "/account/invitations/"+south+"/accept", "/account/invitations/"+south+"/decline", "/account/organisations/"+north+"/leave")
	for _, step := range []struct{ path, leads, done string }{
		{"/account/invitations/" + south + "/accept", "/dashboard/o/" + south + "/generations", "join per_member " + south},
		{"/account/invitations/" + south + "/decline", "/dashboard/account", "decline per_member " + south},
		{"/account/organisations/" + north + "/leave", "/dashboard/account", "leave per_member " + north},
	} {
		s.people.done = nil
		got := s.ask("member", Prefix+step.path, url.Values{"form_token": {s.token("member")}})
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != step.leads || !slices.Equal(s.people.done, []string{step.done}) {
			t.Errorf("%s: %d %s, done %q", step.path, got.Code, got.Header().Get("Location"), s.people.done)
		}
		s.people.refuse = kinora.Errorf(kinora.ErrConflict, "this is the organisation's last owner who can sign in")
		if got := s.ask("member", Prefix+step.path, url.Values{"form_token": {s.token("member")}}); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/dashboard/account" {
			t.Errorf("%s refused: %d %s", step.path, got.Code, got.Header().Get("Location"))
		}
		s.people.refuse = nil
	}
	in.Memberships = nil
	has(t, s.ask("member", Prefix, nil).Body.String(), "You belong to no organisation yet", "Accept", "South &amp; Sons")
	in.Invitations = append(in.Invitations, in.Invitations[0])
	has(t, s.ask("member", Prefix, nil).Body.String(), "2 invitations")
	in.Invitations = nil
	has(t, s.ask("member", Prefix, nil).Body.String(), "You belong to no organisation")
}

// The first page is that of the organisation used last, not of one that somebody has just added the person to.
func TestTheFirstPageIsWhereOneWasLast(t *testing.T) {
	s := newStand(t, nil)
	in := s.people.sessions["member"]
	in.Memberships = []kinora.Membership{{OrganisationID: north, Role: kinora.RoleMember, CreatedAt: time.Unix(1, 0)}, {OrganisationID: south, Role: kinora.RoleOwner, CreatedAt: time.Unix(2, 0)}}
	leads := func(who, want string) {
		t.Helper()
		if got := s.ask(who, Prefix, nil).Header().Get("Location"); got != "/dashboard/o/"+want+"/generations" {
			t.Errorf("%s is led to %s", who, got)
		}
	}
	leads("member", north)
	in.LastOrganisation = south
	leads("member", south)
	in.LastOrganisation = "org_left"
	leads("member", north)
	s.people.sessions["operator"].LastOrganisation = south // of which he is no member
	leads("operator", south)

	s.page(t, "member", "/generations")
	in.LastOrganisation = north
	s.page(t, "member", "/usage")
	s.ask("member", Prefix+"/o/org_none/generations", nil)
	s.ask("stranger", Prefix+"/o/"+north+"/generations", nil)
	if want := []string{"per_member " + north}; !slices.Equal(s.people.used, want) {
		t.Errorf("used: %q", s.people.used)
	}
}
