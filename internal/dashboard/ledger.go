package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// ledgerRows is how many entries a page of the ledger has.
const ledgerRows = 50

// ledgerView is a page of the ledger.
type ledgerView struct {
	Tabs         []ui.Link
	Rows         []ledgerRow
	Newest, Next string // other pages; "" = none
	Export       string // where the form for CSV leads
	From, Until  string // what it proposes
}

// ledgerRow is one entry.
type ledgerRow struct {
	kinora.UsageEntry
	Href string // page about the generation; "" = there is none
}

func (d *Dashboard) ledgerPage(ctx context.Context, v *visit) error {
	here, before := v.here("usage", "ledger"), v.query("before")
	if strings.ContainsFunc(before, func(r rune) bool { return r <= ' ' || r > '~' }) { // nothing's id
		return v.redirect(here)
	}
	list, err := d.cfg.Usage.Ledger(ctx, v.organisation.ID, before, ledgerRows+1)
	if err != nil {
		return err
	}
	start, _ := kinora.BillingPeriod(d.now())
	l := ledgerView{Tabs: v.usageTabs(), Export: v.here("usage", "ledger", "ledger.csv"), From: start.Format(time.DateOnly), Until: d.now().UTC().Format(time.DateOnly)}
	if before != "" {
		l.Newest = here
	}
	if len(list) > ledgerRows {
		list = list[:ledgerRows]
		l.Next = address(here, url.Values{"before": {list[ledgerRows-1].ID}})
	}
	for _, e := range list {
		row := ledgerRow{UsageEntry: e}
		if v.has(generationPattern) {
			row.Href = v.here("generations", e.GenerationID)
		}
		l.Rows = append(l.Rows, row)
	}
	return v.show(ctx, "Ledger", ledgerBody(l))
}

// ledgerCSV passes on the ledger of a span of days as the API writes it.
func (d *Dashboard) ledgerCSV(ctx context.Context, v *visit) error {
	from, to, err := days(v.query("from"), v.query("until"))
	if err != nil {
		return v.refused(v.here("usage", "ledger"), err)
	}
	err = v.csv(ctx, "/api/v1/billing/events", url.Values{"from": {instantText(from)}, "to": {instantText(to)}})
	return v.refused(v.here("usage", "ledger"), err)
}

// usageCSV passes on usage over time as the API writes it.
func (d *Dashboard) usageCSV(ctx context.Context, v *visit) error {
	f, err := usageFilterOf(v.r.URL.Query(), d.now())
	if err == nil {
		q := f.question
		err = v.csv(ctx, "/api/v1/usage/series", url.Values{"from": {instantText(q.From)}, "to": {instantText(q.To)}, "step": {string(q.Step)}, "by": {string(q.By)}})
	}
	return v.refused(v.here("usage"), err)
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// csv answers with what the public API answers for the visit's organisation where CSV is asked for, as it comes.
func (v *visit) csv(ctx context.Context, path string, params url.Values) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address(path, params), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/csv")
	actor, _ := kinora.ActorOf(ctx)
	if err := v.cfg.API.Pass(v.w, r, actor, v.organisation.ID); err != nil {
		return err
	}
	return errAnswered
}

// usageWord is what an entry is for.
func usageWord(t kinora.UsageType) string {
	switch t {
	case kinora.UsageRegeneration:
		return "made again"
	case kinora.UsageCacheHit:
		return "from the cache"
	}
	return "generation"
}
