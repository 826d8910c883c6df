package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeUsage is what an organisation has used, and its ledger: the newest entry first.
type fakeUsage struct {
	used   kinora.Usage
	points []kinora.UsagePoint
	ledger map[string][]kinora.UsageEntry
	err    error
}

func (f fakeUsage) Usage(context.Context, string, time.Time) (kinora.Usage, error) {
	return f.used, f.err
}

func (f fakeUsage) Ledger(_ context.Context, organisationID, before string, limit int) ([]kinora.UsageEntry, error) {
	list := f.ledger[organisationID]
	if before != "" {
		list = list[slices.IndexFunc(list, func(e kinora.UsageEntry) bool { return e.ID < before }):]
	}
	return list[:min(limit, len(list))], f.err
}

func (f fakeUsage) UsageSeries(context.Context, string, kinora.UsageQuestion) ([]kinora.UsagePoint, error) {
	return f.points, f.err
}

func entry(n int) kinora.UsageEntry {
	return kinora.UsageEntry{ID: fmt.Sprintf("bev_%026d", n), GenerationID: jobOne, Type: kinora.UsageGeneration, Fingerprint: "7d4f", Billable: true,
		UnitPrice: 350_000, Amount: 350_000, CreatedAt: testTime}
}

func TestUsageSummary(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.JobsInFlight = 50
		c.Usage = fakeUsage{used: kinora.Usage{Succeeded: 12, Failed: 2, InFlight: 1, Outputs: 13, Regenerations: 3, CacheHits: 1, Billable: 11}}
	})
	w := f.do("GET", "/api/v1/usage/summary", "")
	is(t, w, 200, `{"entitlement":{"api_access":true,"plan":"self-hosted","status":"active"},"access":{"enabled":true},`+
		`"billing_period":{"start_at":"2026-06-01T00:00:00Z","end_at":"2026-07-01T00:00:00Z"},`+
		`"usage":{"included":0,"consumed":11,"overage":11,"remaining":0},`+
		`"jobs":{"total":15,"succeeded":12,"failed":2,"outputs_returned":13,"regenerate_count":3,"cache_hit_count":1},`+
		`"rate_limits":{"billing_events":120,"generations_create":120,"generations_read":1200,"generations_regenerate":120,"in_flight_jobs":50,`+
		`"source_assets_create":120,"source_assets_read":1200,"source_url_fetches":60,"usage_summary":120}}`)
	h := w.Header()
	if h.Get("RateLimit-Limit") != "120" || h.Get("RateLimit-Remaining") != "119" || h.Get("RateLimit-Reset") != "1" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", h)
	}
}

func TestUsageSummaryOfAnAllowance(t *testing.T) {
	seven := 7
	o := &kinora.Organisation{Allowance: kinora.Allowance{Included: 20, JobsInFlight: &seven, Limits: map[string]int{"usage_summary": 0, "generations_create": 9}}}
	f := newFixture(t)
	limits := f.RateLimits(o)
	if limits["usage_summary"] != 0 || limits["generations_create"] != 9 || limits["in_flight_jobs"] != 7 || limits["generations_read"] != 1200 {
		t.Errorf("%v", limits)
	}
	if got := countUsage(kinora.Usage{Billable: 12}, 20); got != (usageCounts{20, 12, 0, 8}) {
		t.Errorf("%+v", got)
	}
}

func TestBillingEvents(t *testing.T) {
	withSource := entry(1)
	withSource.SourceAssetID, withSource.Type, withSource.Billable, withSource.Amount = "src_1", kinora.UsageCacheHit, false, 0
	ledger := []kinora.UsageEntry{entry(3), entry(2), withSource}
	f := newFixture(t, func(c *Config) { c.Usage = fakeUsage{ledger: map[string][]kinora.UsageEntry{ownID: ledger}} })
	const newest = `{"event_id":"bev_00000000000000000000000003","job_id":"job_01HF8Z3KQX2A6Y4N3R8M5W7V9P","source_asset_id":null,"usage_type":"generation",` +
		`"config_fingerprint":"7d4f","billable":true,"unit_price_usd":0.35,"amount_usd":0.35,"created_at":"2026-06-14T10:30:00Z"}`
	var page struct {
		Events     []map[string]any `json:"events"`
		NextCursor *string          `json:"next_cursor"`
	}
	w := f.do("GET", "/api/v1/billing/events?limit=1", "")
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || !strings.HasPrefix(w.Body.String(), `{"events":[`+newest+`],"next_cursor":"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	next := "/api/v1/billing/events?cursor=" + url.QueryEscape(*page.NextCursor)
	w = f.do("GET", next, "")
	page.NextCursor = nil
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Events) != 2 || page.NextCursor != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if last := page.Events[1]; last["source_asset_id"] != "src_1" || last["billable"] != false || last["usage_type"] != "cache_hit" || last["amount_usd"] != 0.0 {
		t.Errorf("%v", last)
	}
	is(t, f.do("GET", "/api/v1/billing/events", "", key(otherKey)), 200, `{"events":[],"next_cursor":null}`)
	for _, bad := range []string{"?cursor=xyz", "?limit=0", "?limit=101", "?limit=ten", "?limit=5&limit=6", "?limit="} {
		if w := f.do("GET", "/api/v1/billing/events"+bad, ""); w.Code != 400 || !strings.Contains(w.Body.String(), `"code":"bad_request"`) {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
	if w := f.do("GET", next, "", key(otherKey)); w.Code != 400 {
		t.Errorf("another organisation's cursor: %d %s", w.Code, w.Body)
	}
}

// Access that is off is refused on every route of the generations API.
func TestAccessSwitchedOff(t *testing.T) {
	f := newDocumented(t)
	checked := 0
	for _, rt := range f.routes {
		if rt.auth != keyed || !strings.HasPrefix(rt.pattern, "/api/v1/") {
			continue
		}
		path := rt.pattern
		for name, value := range documentedIDs {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
		w := f.do(rt.method, path, "", key(disabledKey))
		if w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"forbidden"`) {
			t.Errorf("%s %s: %d %s", rt.method, path, w.Code, w.Body)
		}
		checked++
	}
	if checked < 4 {
		t.Errorf("only %d routes were checked", checked)
	}
}
