package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/tenancy"
)

// firstPerson signs the first person in and returns the token of the session's forms.
func (v *visitor) firstPerson(a *app.App) (token string) {
	v.Helper()
	link, err := a.People().SetupLink(v.Context())
	if err != nil {
		v.Fatal(err)
	}
	_, _, body := v.post("/dashboard/setup", url.Values{"token": {link}, "email": {"ada@example.com"}, "name": {"Ada"},
		"password": {"correct horse battery"}, "again": {"correct horse battery"}})
	found := formToken.FindStringSubmatch(body)
	if found == nil {
		v.Fatalf("the page has no form token:\n%s", body)
	}
	return found[1]
}

// What is done to webhooks in the dashboard is done, stands in the audit log under the person's name, and reaches nothing of
// another organisation: on both databases.
func TestDashboardWebhooks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		v := newVisitor(t, a)
		token := v.firstPerson(a)
		org := a.Bootstrapped().Organisation.ID
		hooks := "/dashboard/o/" + org + "/webhooks"
		do := func(path string, form url.Values, says string) (at string) {
			t.Helper()
			form.Set("form_token", token)
			status, at, body := v.post(hooks+path, form)
			if status != http.StatusOK || !strings.Contains(body, says) {
				t.Fatalf("%s: %d at %s, without %q:\n%s", path, status, at, says, body)
			}
			return at
		}
		do("/settings/default", url.Values{"default": {"http://127.0.0.1:9/hook?token=hush"}}, "has been set")
		do("/settings/hosts", url.Values{"hosts": {"127.0.0.1"}}, "to these hosts alone")
		endpoint := do("/endpoints", url.Values{"name": {"ledger"}, "url": {"http://127.0.0.1:9/ledger"}, "completed": {"on"}, "rate": {"5"},
			"headers": {"Authorization: Bearer hush-hush-hush"}}, "has been added")
		one := strings.TrimPrefix(endpoint, hooks)
		do(one, url.Values{"name": {"books"}, "url": {"http://127.0.0.1:9/ledger"}, "completed": {"on"}, "failed": {"on"}, "rate": {"0"}, "remove": {"Authorization"}}, "has been changed")
		do(one+"/disable", url.Values{}, "is disabled")
		do(one+"/enable", url.Values{"replay": {"on"}}, "is enabled")
		do("/test", url.Values{"to": {"url"}, "url": {"http://127.0.0.1:9/"}, "sample": {"generation.failed timeout"}}, "was not delivered")
		do("/replays", url.Values{"rate": {"50"}, "since": {"2026-06-14T10:30"}}, "rpl_")
		do("/signing", url.Values{"overlap": {"3600"}}, "whsec_")
		do(one+"/delete", url.Values{}, "has been removed")

		entries, _, err := a.People().Audit(t.Context(), kinora.AuditFilter{OrganisationID: org}, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		written := map[kinora.AuditAction]int{}
		for _, e := range entries {
			if e.Actor.Kind == kinora.ActorPerson && e.Actor.Name == "ada@example.com" {
				written[e.Action]++
			}
			if strings.Contains(string(e.Detail), "hush") || strings.Contains(string(e.Detail), "whsec_") {
				t.Errorf("%s holds a secret: %s", e.Action, e.Detail)
			}
		}
		for action, times := range map[kinora.AuditAction]int{kinora.AuditOrganisationUpdate: 2, kinora.AuditEndpointCreate: 1, kinora.AuditEndpointUpdate: 1, kinora.AuditEndpointDisable: 1,
			kinora.AuditEndpointEnable: 1, kinora.AuditEndpointTest: 1, kinora.AuditReplayStart: 1, kinora.AuditSecretRotate: 1, kinora.AuditEndpointDelete: 1} {
			if written[action] != times {
				t.Errorf("%s is in the audit log %d times, not %d", action, written[action], times)
			}
		}

		other, _, err := a.Tenancy().CreateOrganisation(t.Context(), tenancy.OrganisationChange{Name: new("other")})
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := a.Tenancy().CreateEndpoint(t.Context(), other.ID, kinora.EndpointChange{Name: new("theirs"), URL: new("http://127.0.0.1:9/theirs")})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{foreign.ID, "ep_01J0000000000000000000000X", "ep_%00"} {
			if status, _, body := v.get(hooks + "/endpoints/" + id); status != http.StatusNotFound || strings.Contains(body, "theirs") {
				t.Errorf("endpoint %s: %d", id, status)
			}
			if status, _, _ := v.post(hooks+"/endpoints/"+id+"/disable", url.Values{"form_token": {token}}); status != http.StatusNotFound {
				t.Errorf("disabling %s: %d", id, status)
			}
		}
		for _, page := range []string{"", "?hours=72", "/endpoints", "/deliveries?generation=%00&destination=https://a.example", "/dead", "/replays", "/test", "/signing", "/settings"} {
			if status, _, _ := v.get(hooks + page); status != http.StatusOK {
				t.Errorf("%s: %d", page, status)
			}
		}
	})
}
