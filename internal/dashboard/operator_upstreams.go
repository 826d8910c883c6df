package dashboard

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// The upstream accounts: how they are, and how their attempts go.
func (d *Dashboard) upstreamRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: operatorPath + "/accounts", who: operator, handler: d.accountsPage},
	}
}

// upstreamsView is the page.
type upstreamsView struct {
	Node     string // as which states are seen
	Accounts []kinora.AccountHealth
	Spans    []ui.Link
	Day      bool // the report is of the last 24 hours, and not of the last one
	Report   kinora.UpstreamReport
}

func (d *Dashboard) accountsPage(ctx context.Context, v *visit) error {
	h, err := v.cfg.Operating.Health(ctx)
	if err != nil {
		return err
	}
	view := upstreamsView{Node: h.Node, Accounts: h.Accounts, Report: h.Hour, Day: v.query("span") == "day"}
	if view.Day {
		view.Report = h.Day
	}
	here := v.link("operator", "accounts")
	view.Spans = []ui.Link{{Label: "Last hour", Href: here, Current: !view.Day}, {Label: "Last 24 hours", Href: here + "?span=day", Current: view.Day}}
	return v.show(ctx, "Accounts", upstreamsBody(view))
}

// accountTone is how an account's state looks.
func accountTone(s kinora.AccountState) ui.Tone {
	switch s {
	case kinora.AccountReady:
		return ui.Good
	case kinora.AccountFull:
		return ui.Info
	case kinora.AccountBusy, kinora.AccountSpent, kinora.AccountResting:
		return ui.Warning
	case kinora.AccountRefused:
		return ui.Danger
	}
	return ui.Neutral
}

// accountMeaning says what a state means for new work.
var accountMeaning = map[kinora.AccountState]string{
	kinora.AccountReady:   "takes new work",
	kinora.AccountFull:    "as many in flight as it may have",
	kinora.AccountBusy:    "the upstream asked for a pause",
	kinora.AccountSpent:   "its limit of the day is reached",
	kinora.AccountResting: "no usable answer several times in a row",
	kinora.AccountRefused: "its key, permission or balance is refused",
	kinora.AccountRetired: "by configuration",
}

// errorCount is how often a class of errors was the last.
type errorCount struct {
	Class string
	Count int
}

// errorCounts are the classes, the most frequent first.
func errorCounts(errors map[string]int) []errorCount {
	var list []errorCount
	for _, class := range slices.Sorted(maps.Keys(errors)) {
		list = append(list, errorCount{class, errors[class]})
	}
	slices.SortStableFunc(list, func(a, b errorCount) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// spread writes percentiles as "p50 / p95"; "–" where there were none.
func spread(p kinora.Percentiles) string {
	if p.Of == 0 {
		return "–"
	}
	return span(p.P50) + " / " + span(p.P95)
}
