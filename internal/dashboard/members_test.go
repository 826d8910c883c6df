package dashboard

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

func TestMembersAreListedWithInvitations(t *testing.T) {
	s := newStand(t, nil)
	body := s.page(t, "owner", "/members")
	has(t, body, "owner@example.com", "you", "new@example.com", "Revoke", "New link", "Leave the organisation", `aria-current="page"`)
	if strings.Contains(body, "per_new") {
		t.Error("the page tells the id of somebody who has said nothing yet")
	}
	s.tenant.members = nil
	has(t, s.page(t, "operator", "/members"), "No members yet")
}

func TestInvitationsShowTheirLinkOnce(t *testing.T) {
	s := newStand(t, nil)
	got := s.post("owner", "/members/invite", "email", " ada@example.com ", "role", "admin")
	if got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	has(t, got.Body.String(), "http://kinora.test/dashboard/invitation?token=kinv_secret%26more", "ada@example.com")
	if want := []string{"owner@example.com: invite " + north + " ada@example.com admin"}; !slices.Equal(s.tenant.done, want) {
		t.Errorf("done: %q", s.tenant.done)
	}
	if got := s.post("owner", "/members/invite", "email", "known@example.com", "role", "member"); got.Code != http.StatusSeeOther {
		t.Errorf("somebody who needs no link: %d", got.Code)
	}
	for email, want := range map[string]string{"ada": "email is not an address", "owner@example.com": "is a member already"} {
		got := s.post("owner", "/members/invite", "email", email, "role", "admin")
		if got.Code != http.StatusUnprocessableEntity && got.Code != http.StatusConflict {
			t.Errorf("%s: %d", email, got.Code)
		}
		has(t, got.Body.String(), want, `value="`+email+`"`, `<option value="admin" selected`)
	}
	again := s.post("owner", "/members/inv_new/link")
	has(t, again.Body.String(), "kinv_secret%26more", "new@example.com")
}

func TestChangesOfMembers(t *testing.T) {
	s := newStand(t, nil)
	list := "/dashboard/o/" + north + "/members"
	for _, tt := range []struct {
		who, path, role, leads string
	}{
		{"owner", "/members/inv_new/role", "owner", list},
		{"owner", "/members/per_owner/role", "member", list}, // refused, with the reason
		{"owner", "/members/inv_new/remove", "", list},
		{"owner", "/members/per_owner/remove", "", "/dashboard"}, // there is nothing more to see for him
		{"operator", "/members/per_owner/remove", "", list},
	} {
		got := s.post(tt.who, tt.path, "role", tt.role)
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != tt.leads {
			t.Errorf("%s as %s: %d %s", tt.path, tt.who, got.Code, got.Header().Get("Location"))
		}
	}
	want := []string{"owner@example.com: role inv_new owner", "owner@example.com: remove inv_new", "owner@example.com: remove per_owner", "operator@example.com: remove per_owner"}
	if !slices.Equal(s.tenant.done, want) {
		t.Errorf("done: %q", s.tenant.done)
	}
	for _, path := range []string{"/members/per_stranger/role", "/members/per_stranger/remove", "/members/per_stranger/link"} {
		if got := s.post("owner", path, "role", "admin"); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
}

func TestSettings(t *testing.T) {
	budget := kinora.Money(12_500_000)
	jobs := 50
	s := newStand(t, func(c *Config) {
		c.Organisations = fakeOrganisations{{ID: north, Name: "North & Sons", Allowance: kinora.Allowance{Budget: &budget, JobsInFlight: &jobs}}}
	})
	body := s.page(t, "owner", "/settings")
	has(t, body, `value="North &amp; Sons"`, "$12.50", "1,200 a minute", "set for this organisation", "no limit")
	if strings.Contains(body, "kinora org update") {
		t.Error("an owner is told of an operator's command")
	}
	has(t, s.page(t, "operator", "/settings"), "kinora org update "+north)
	got := s.post("owner", "/settings/name", "name", " ")
	if got.Code != http.StatusUnprocessableEntity {
		t.Errorf("no name: %d", got.Code)
	}
	has(t, got.Body.String(), `id="field-name-error"`, "name is required")
	if got := s.post("owner", "/settings/name", "name", " South "); got.Code != http.StatusSeeOther || !slices.Equal(s.tenant.done, []string{"owner@example.com: rename " + north + " South"}) {
		t.Errorf("renamed: %d %q", got.Code, s.tenant.done)
	}
}
