package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	got, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// standAt1030 is a stand whose clock stands, on the 20th of May.
func standAt1030(t *testing.T) *stand {
	budget := kinora.Money(10_000_000)
	return newStand(t, func(c *Config) {
		c.Now = func() time.Time { return at(t, "2026-05-20T10:30:00Z") }
		c.Organisations = fakeOrganisations{{ID: north, Name: "North", Allowance: kinora.Allowance{Budget: &budget}}}
	})
}

func TestUsageOverTime(t *testing.T) {
	s := standAt1030(t)
	s.tenant.used = kinora.Usage{Succeeded: 1200, Failed: 3, InFlight: 4, Outputs: 1300, Amount: 8_000_000, Reserved: 1_000_000}
	has(t, s.page(t, "member", "/usage"), "May 2026", "$8.00", "1,200", "at most 50", `<progress max="100" value="90" class="budget-full"`, "Nothing ended in this time")

	for i, name := range []string{"", "a", "b", "c", "d", "e", "f"} {
		s.tenant.points = append(s.tenant.points, kinora.UsagePoint{At: at(t, "2026-05-20T00:00:00Z"), Name: name, Succeeded: int64(10 - i), Failed: 1, Amount: 100_000})
	}
	body := s.page(t, "member", "/usage?by=workflow&span=7d")
	has(t, body, "no workflow", "others", "20 May: 56\nno workflow: 10\n", "failed or cancelled: 7", "20 May: $0.70", `/usage/usage.csv?by=workflow&amp;span=7d`)
	q := s.tenant.asked[len(s.tenant.asked)-1]
	if q != (kinora.UsageQuestion{From: at(t, "2026-05-14T00:00:00Z"), To: at(t, "2026-05-21T00:00:00Z"), Step: kinora.UsageByDay, By: kinora.UsageByWorkflow}) {
		t.Errorf("asked %+v", q)
	}
	for query, want := range map[string]string{
		"": "2026-04-21T00:00:00Z", "?span=24h": "2026-05-19T11:00:00Z", "?span=nonsense&by=1": "2026-04-21T00:00:00Z", "?from=2026-05-01&until=2026-05-03": "2026-05-01T00:00:00Z",
	} {
		s.page(t, "member", "/usage"+query)
		if q := s.tenant.asked[len(s.tenant.asked)-1]; !q.From.Equal(at(t, want)) {
			t.Errorf("%s asked from %s", query, q.From)
		}
	}
	if q := s.tenant.asked[len(s.tenant.asked)-1]; q.To.Before(q.From) {
		t.Errorf("asked %+v", q)
	}
	for _, query := range []string{"?from=2026-05-03&until=2026-05-01", "?from=yesterday", "?from=2020-01-01"} {
		got := s.ask("member", "/dashboard/o/"+north+"/usage"+query, nil)
		if got.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Body.String(), `role="alert"`) {
			t.Errorf("%s: %d", query, got.Code)
		}
	}
}

// However long the span, a chart can be read, and nothing of it is lost.
func TestLongSpansAreToldByWeeks(t *testing.T) {
	q := kinora.UsageQuestion{From: at(t, "2025-05-22T00:00:00Z"), To: at(t, "2026-05-21T00:00:00Z"), Step: kinora.UsageByDay}
	var points []kinora.UsagePoint
	for day := q.From; day.Before(q.To); day = day.Add(24 * time.Hour) {
		points = append(points, kinora.UsagePoint{At: day, Name: "m", Succeeded: 1, Amount: 2})
	}
	counts, costs := usageCharts(q, points, usageNames(points))
	if len(counts.Steps) != 52 || counts.Steps[0] != "22 May 2025" || counts.Series[0].Values[0] != 7 || costs.Series[0].Values[51] != 14 {
		t.Errorf("%d steps from %s, %v", len(counts.Steps), counts.Steps[0], counts.Series[0].Values)
	}
}

func TestTheLedgerHasPagesAndCSV(t *testing.T) {
	s := standAt1030(t)
	s.cfg.API = s.tenant
	has(t, s.page(t, "member", "/usage/ledger"), "The ledger is empty")
	for i := range ledgerRows + 1 {
		s.tenant.ledger = append(s.tenant.ledger, kinora.UsageEntry{ID: fmt.Sprint("bev_", i), GenerationID: "job_1", Model: "<i>m</i>", Type: kinora.UsageCacheHit, UnitPrice: 350_000})
	}
	has(t, s.page(t, "member", "/usage/ledger"), fmt.Sprintf("?before=bev_%d", ledgerRows-1), "&lt;i&gt;m", "from the cache", "free", `value="2026-05-01"`)
	if got := s.ask("member", "/dashboard/o/"+north+"/usage/ledger?before=%00", nil); got.Code != http.StatusSeeOther {
		t.Errorf("a place that there is not: %d", got.Code)
	}
	for path, want := range map[string]string{
		"/usage/ledger/ledger.csv?from=2026-05-01&until=2026-05-31": "/api/v1/billing/events?from=2026-05-01T00%3A00%3A00Z&to=2026-06-01T00%3A00%3A00Z",
		"/usage/usage.csv?span=7d&by=workflow":                      "/api/v1/usage/series?by=workflow&from=2026-05-14T00%3A00%3A00Z&step=day&to=2026-05-21T00%3A00%3A00Z",
	} {
		s.tenant.passed = nil
		if body := s.page(t, "member", path); body != "a,b\n" || len(s.tenant.passed) != 1 || s.tenant.passed[0] != "member@example.com "+north+" text/csv "+want {
			t.Errorf("%s: %q by %q", path, body, s.tenant.passed)
		}
	}
	if got := s.ask("member", "/dashboard/o/"+north+"/usage/ledger/ledger.csv?from=2026-05-02&until=2026-04-01", nil); got.Code != http.StatusSeeOther {
		t.Errorf("a span that is none: %d", got.Code)
	}
}
