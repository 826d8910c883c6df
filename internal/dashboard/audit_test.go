package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestTheAuditLogSpeaksInSentences(t *testing.T) {
	s := newStand(t, nil)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	s.tenant.entries = []kinora.AuditEntry{
		{ID: "aud_3", Action: kinora.AuditKeyCreate, Target: "key_1", Actor: kinora.Actor{Kind: kinora.ActorPerson, ID: "per_owner", Name: "owner@example.com", Address: "192.0.2.1"},
			Detail: json.RawMessage(`{"name":"<b>CI</b>","start":"sk-abc"}`), CreatedAt: at},
		{ID: "aud_2", Action: kinora.AuditOrganisationUpdate, Actor: kinora.Actor{Kind: kinora.ActorOperator},
			Detail: json.RawMessage(`{"name":"North","old_name":"Nord","webhook_hosts":["a.example"],"old_webhook_hosts":[]}`), CreatedAt: at},
		{ID: "aud_1", Action: "thing.done", Actor: kinora.Actor{Kind: kinora.ActorSystem}, CreatedAt: at},
	}
	body := s.page(t, "owner", "/audit?actor=per_owner&action=key.&since=2026-05-01T00:00&target=key_1")
	has(t, body, "created the API key “&lt;b&gt;CI&lt;/b&gt;”", "changed the organisation: name, webhook_hosts", "name: Nord → North", `webhook_hosts: [] → [&#34;a.example&#34;]`,
		"An operator", "The server", "did thing.done", "?target=key_1", "?actor=per_owner", "192.0.2.1", `<option value="key." selected`, `<option value="per_owner" selected`)
	if got := s.tenant.filters[0]; got != (kinora.AuditFilter{OrganisationID: north, ActorID: "per_owner", ActorKind: kinora.ActorPerson, Action: "key.", Target: "key_1", Since: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}) {
		t.Errorf("asked for %+v", got)
	}
	s.page(t, "owner", "/audit?action=key.%27&until=yesterday&organisation_id="+south)
	if got := s.tenant.filters[1]; got != (kinora.AuditFilter{OrganisationID: north}) {
		t.Errorf("asked for %+v", got)
	}
}

// Owners see what operators did for them, and neither where those work nor what only they may know.
func TestTheAuditLogKeepsWhatIsForOperators(t *testing.T) {
	s := newStand(t, nil)
	s.tenant.entries = []kinora.AuditEntry{{ID: "aud_1", Action: kinora.AuditAttemptSettle, Target: "gen_1_1",
		Actor: kinora.Actor{Kind: kinora.ActorOperator, Address: "192.0.2.9"}, Detail: json.RawMessage(`{"upstream_id":"up-77"}`)}}
	body := s.page(t, "owner", "/audit")
	has(t, body, "named the job of an attempt")
	hasNot(t, body, "up-77", "192.0.2.9")
	has(t, s.page(t, "operator", "/audit"), "up-77", "192.0.2.9")
}

// Operators who work by the dashboard in an organisation that is not theirs are operators to its owners, and nobody in particular.
func TestOperatorsOfTheDashboardStayUnnamed(t *testing.T) {
	s := newStand(t, nil)
	s.tenant.keys = []*kinora.Key{{ID: "key_1"}}
	for _, who := range []string{"operator", "owner"} {
		if got := s.post(who, "/keys/key_1/revoke"); got.Code != http.StatusSeeOther {
			t.Fatalf("%s: %d", who, got.Code)
		}
	}
	if s.tenant.by[0].Kind != kinora.ActorOperator || s.tenant.by[0].ID != "per_operator" || s.tenant.by[1].Kind != kinora.ActorPerson {
		t.Errorf("the log is told of %+v", s.tenant.by)
	}
	s.people.sessions["operator"].Memberships = []kinora.Membership{{OrganisationID: north, Role: kinora.RoleAdmin}}
	s.post("operator", "/keys/key_1/revoke")
	if got := s.tenant.by[2]; got.Kind != kinora.ActorPerson {
		t.Errorf("an operator among the members is %+v", got)
	}
	s.people.sessions["operator"].Memberships = nil

	s.tenant.entries = []kinora.AuditEntry{{ID: "aud_1", Action: kinora.AuditKeyRevoke, Target: "key_1",
		Actor: kinora.Actor{Kind: kinora.ActorOperator, ID: "per_operator", Name: "operator@example.com", Address: "192.0.2.9"}}}
	body := s.page(t, "owner", "/audit")
	has(t, body, "An operator", "?actor=operator")
	hasNot(t, body, "operator@example.com", "per_operator", "192.0.2.9")
	has(t, s.page(t, "operator", "/audit"), "operator@example.com", "per_operator", "192.0.2.9")
}

// Whoever knows an operator's id learns nothing by asking for it.
func TestOwnersFilterByMembersAndKinds(t *testing.T) {
	s := newStand(t, nil)
	s.page(t, "owner", "/audit?actor=per_operator")
	s.page(t, "owner", "/audit?actor=operator")
	s.page(t, "operator", "/audit?actor=per_operator")
	want := []kinora.AuditFilter{{OrganisationID: north, ActorID: "per_operator", ActorKind: kinora.ActorPerson}, {OrganisationID: north, ActorKind: kinora.ActorOperator},
		{OrganisationID: north, ActorID: "per_operator"}}
	if !slices.Equal(s.tenant.filters, want) {
		t.Errorf("asked for %+v", s.tenant.filters)
	}
}

func TestTheAuditLogHasPages(t *testing.T) {
	s := newStand(t, nil)
	has(t, s.page(t, "owner", "/audit"), "Nothing yet")
	has(t, s.page(t, "owner", "/audit?actor=per_owner"), "Nothing matches")
	s.tenant.looked = "aud_far"
	has(t, s.page(t, "owner", "/audit?actor=per_owner"), "older entries that have not been looked through", "actor=per_owner&amp;before=aud_far")
	s.tenant.looked = ""
	for i := range auditPage + 1 {
		s.tenant.entries = append(s.tenant.entries, kinora.AuditEntry{ID: fmt.Sprint("aud_", i), Action: kinora.AuditKeyRevoke})
	}
	has(t, s.page(t, "owner", "/audit?action=key.revoke"), fmt.Sprintf("action=key.revoke&amp;before=aud_%d", auditPage-1))
	has(t, s.page(t, "owner", "/audit?before=aud_7"), "← Newest")
	if got := s.ask("owner", "/dashboard/o/"+north+"/audit?before=nonsense&action=key.", nil); got.Code != http.StatusSeeOther || !strings.HasSuffix(got.Header().Get("Location"), "/audit?action=key.") {
		t.Errorf("a place that there is not: %d %s", got.Code, got.Header().Get("Location"))
	}
}

// Whoever adds an action says how it is told.
func TestEveryActionHasItsPhrase(t *testing.T) {
	for _, a := range kinora.AuditActions() {
		words := auditWords(a, nil)
		if strings.HasPrefix(words, "did ") || strings.ContainsAny(words, "{}|") {
			t.Errorf("%s is told as %q", a, words)
		}
		full := map[string]any{}
		for _, name := range []string{"name", "url", "email", "role", "reason", "model", "generation", "overlap"} {
			full[name] = "x"
		}
		if words := auditWords(a, full); strings.ContainsAny(words, "{}|") {
			t.Errorf("%s with detail is told as %q", a, words)
		}
	}
}
