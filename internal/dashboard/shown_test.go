package dashboard

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// shownOn is what the form on a page stood at, as a browser sends it back.
func shownOn(t *testing.T, body string) string {
	t.Helper()
	found := regexp.MustCompile(`name="shown" value="([^"]*)"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no form says what it shows:\n%s", body)
	}
	return html.UnescapeString(found[1])
}

// Whoever saves an old form changes what they have changed in it, and takes nothing back that somebody else has changed since.
func TestEndpointsFormLeavesOthersChanges(t *testing.T) {
	s := newStand(t, nil)
	e := s.webhooks.endpoints[1]
	path := "/webhooks/endpoints/" + e.ID
	shown := shownOn(t, s.page(t, "admin", path+"/edit"))
	save := func(pairs ...string) (int, string) {
		got := s.post("admin", path, append([]string{"shown", shown, "name", "shop", "url", e.URL, "completed", "on", "failed", "on"}, pairs...)...)
		return got.Code, got.Body.String()
	}
	e.Name, e.Description, e.EventTypes, e.Rate = "shop", "", nil, 0
	shown = shownOn(t, s.page(t, "admin", path+"/edit"))
	e.Rate = 7 // by the command line
	s.webhooks.calls = nil
	if code, body := save("rate", "0", "description", "of the shop"); code != http.StatusSeeOther {
		t.Fatalf("a form that was opened before: %d %s", code, body)
	}
	if got := strings.Join(s.webhooks.calls, "\n"); !strings.Contains(got, "of the shop") || strings.Contains(got, "rate") || strings.Contains(got, "https://") {
		t.Errorf("the form changed %s", got)
	}
	s.webhooks.calls = nil
	code, body := save("rate", "5")
	if code != http.StatusUnprocessableEntity || len(s.webhooks.calls) != 0 {
		t.Fatalf("two have changed the rate: %d, %v", code, s.webhooks.calls)
	}
	has(t, body, `id="field-rate-error"`, "meanwhile to “7”", `value="5"`)
	shown = shownOn(t, body)
	if code, body := save("rate", "5"); code != http.StatusSeeOther {
		t.Fatalf("saved once more: %d %s", code, body)
	}
}

func TestAllowancesFormLeavesOthersChanges(t *testing.T) {
	s := newStand(t, nil)
	o := s.cfg.Organisations.(fakeOrganisations)[0]
	jobs, budget := 20, kinora.Money(250_000_000)
	o.Allowance = kinora.Allowance{JobsInFlight: &jobs, Budget: &budget}
	page := "/organisations/" + north
	shown := shownOn(t, s.shows(t, page))
	more := kinora.Money(500_000_000)
	o.Allowance.Budget = &more // by a colleague
	save := func(pairs ...string) int {
		return s.operate(t, page+"/allowance", append([]string{"shown", shown, fieldBudget, "250.0", fieldJobs, "20"}, pairs...)...).Code
	}
	if code := save(fieldLimit+"usage_summary", "5"); code != http.StatusSeeOther {
		t.Fatalf("a form that was opened before: %d %v %+v", code, shown, s.instance.done)
	}
	c := s.instance.allowance
	if c.Budget != nil || c.NoBudget || c.JobsInFlight != nil || c.Included != nil || len(c.Limits) != 1 || c.Limits["usage_summary"] != 5 {
		t.Errorf("the form changed %+v", c)
	}
	if code := save(fieldBudget, ""); code != http.StatusUnprocessableEntity {
		t.Errorf("two have changed the budget: %d", code)
	}
	shown = shownOn(t, s.shows(t, page))
	if code := save(fieldBudget, ""); code != http.StatusSeeOther || !s.instance.allowance.NoBudget {
		t.Errorf("no budget: %d, %+v", code, s.instance.allowance)
	}
}

func TestHostsFormLeavesOthersChanges(t *testing.T) {
	s := newStand(t, nil)
	o := s.cfg.Organisations.(fakeOrganisations)[0]
	o.WebhookHosts = []string{"a.example.com"}
	shown := shownOn(t, s.page(t, "admin", "/webhooks/settings"))
	o.WebhookHosts = []string{"a.example.com", "b.example.com"}
	got := s.post("admin", "/webhooks/settings/hosts", "shown", shown, "hosts", "a.example.com\r\nc.example.com")
	if got.Code != http.StatusUnprocessableEntity {
		t.Fatalf("a list that somebody has added to: %d", got.Code)
	}
	has(t, got.Body.String(), "b.example.com", "meanwhile")
}
