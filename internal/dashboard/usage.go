package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Usage reads what an organisation has used. Errors of all methods: kinora.ErrUnavailable.
type Usage interface {
	// Usage sums up the billing period that an instant lies in; in the present one, what is in flight as well.
	Usage(ctx context.Context, organisationID string, at time.Time) (kinora.Usage, error)
	// UsageSeries sums up what ended, step by step, in the order of time and name. Errors: kinora.ErrInvalid.
	UsageSeries(ctx context.Context, organisationID string, q kinora.UsageQuestion) ([]kinora.UsagePoint, error)
	// Ledger reads entries, the newest first, those older than the entry before; empty = from the newest on.
	Ledger(ctx context.Context, organisationID, before string, limit int) ([]kinora.UsageEntry, error)
}

// What an organisation has used and spent.
func (d *Dashboard) usageRoutes() []route {
	const usage = organisationPath + "/usage"
	return []route{
		{method: http.MethodGet, pattern: usage, who: member, handler: d.usagePage},
		{method: http.MethodGet, pattern: usage + "/usage.csv", who: member, handler: d.usageCSV, streams: true},
		{method: http.MethodGet, pattern: usage + "/ledger", who: member, handler: d.ledgerPage},
		{method: http.MethodGet, pattern: usage + "/ledger/ledger.csv", who: member, handler: d.ledgerCSV, streams: true},
	}
}

// usageSpans are the spans of time to choose from at once.
var usageSpans = []struct {
	key, label string
	step       kinora.UsageStep
	steps      int
}{
	{"24h", "24 hours", kinora.UsageByHour, 24},
	{"7d", "7 days", kinora.UsageByDay, 7},
	{"30d", "30 days", kinora.UsageByDay, 30},
	{"90d", "90 days", kinora.UsageByDay, 90},
	{"1y", "A year", kinora.UsageByDay, 364},
}

// usualSpan is the one that is shown where none is chosen.
const usualSpan = "30d"

// usageFilter says which usage is shown, as the address does.
type usageFilter struct {
	Span        string // key of one of usageSpans; "" = From and Until
	By          string
	From, Until string // days of UTC, Until included
	question    kinora.UsageQuestion
}

// usageFilterOf reads the filter. Errors: kinora.ErrInvalid, for a span that cannot be shown.
func usageFilterOf(q url.Values, now time.Time) (usageFilter, error) {
	f := usageFilter{Span: q.Get("span"), By: q.Get("by"), From: q.Get("from"), Until: q.Get("until")}
	if f.By != string(kinora.UsageByWorkflow) {
		f.By = string(kinora.UsageByModel)
	}
	f.question.By = kinora.UsageBy(f.By)
	if f.From != "" || f.Until != "" {
		f.Span = ""
		return f.between(now)
	}
	f.From, f.Until = "", ""
	for _, s := range usageSpans {
		if s.key == f.Span || s.key == usualSpan && !knownSpan(f.Span) {
			length := 24 * time.Hour
			if s.step == kinora.UsageByHour {
				length = time.Hour
			}
			f.Span, f.question.Step = s.key, s.step
			f.question.To = now.UTC().Truncate(length).Add(length)
			f.question.From = f.question.To.Add(-time.Duration(s.steps) * length)
		}
	}
	var err error
	f.question, err = f.question.Settle(now)
	return f, err
}

func knownSpan(key string) bool {
	for _, s := range usageSpans {
		if s.key == key {
			return true
		}
	}
	return false
}

// between settles a span that is given by its days.
func (f usageFilter) between(now time.Time) (usageFilter, error) {
	from, until, err := days(f.From, f.Until)
	if err != nil {
		return f, err
	}
	f.question.From, f.question.To = from, until
	f.question, err = f.question.Settle(now)
	return f, err
}

// days reads a first and a last day of UTC and returns the beginning of the one and the end of the other; zero for what is empty.
func days(first, last string) (from, to time.Time, err error) {
	for _, one := range []struct {
		text string
		into *time.Time
		plus time.Duration
	}{{first, &from, 0}, {last, &to, 24 * time.Hour}} {
		if one.text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, one.text)
		if err != nil {
			return from, to, kinora.Errorf(kinora.ErrInvalid, "a day is written like 2026-01-31")
		}
		*one.into = at.Add(one.plus)
	}
	return from, to, nil
}

func (f usageFilter) params() url.Values {
	return url.Values{"span": {f.Span}, "by": {f.By}, "from": {f.From}, "until": {f.Until}}
}

// usageView is the page about usage over time.
type usageView struct {
	Tabs   []ui.Link
	Month  monthView
	Filter usageFilter
	Spans  []ui.Link
	Action string
	CSV    string
	Wrong  string // why the span cannot be shown; "" = it can
	Counts ui.Chart
	Costs  ui.Chart
	Names  []usageName
	By     string // head of the names' column
}

// monthView is how the present month stands.
type monthView struct {
	kinora.Usage
	Period   string // its name
	Budget   *kinora.Money
	Percent  int // of the budget, spent or reserved
	Included int64
	Jobs     int // most that may be in flight; 0 = no limit
}

func (d *Dashboard) month(ctx context.Context, v *visit) (monthView, error) {
	o := v.organisation
	u, err := d.cfg.Usage.Usage(ctx, o.ID, d.now())
	m := monthView{Usage: u, Period: d.now().UTC().Format("January 2006"), Budget: o.Allowance.Budget, Included: o.Allowance.Included, Jobs: d.cfg.RateLimits(o)[jobsInFlight]}
	if b := o.Allowance.Budget; b != nil {
		m.Percent = 100
		if *b > 0 {
			m.Percent = int(min(100, 100*float64(u.Amount+u.Reserved)/float64(*b)))
		}
	}
	return m, err
}

func (v *visit) usageTabs() []ui.Link {
	ledger := strings.HasSuffix(v.route.pattern, "/ledger")
	return []ui.Link{{Label: "Over time", Href: v.here("usage"), Current: !ledger}, {Label: "Ledger", Href: v.here("usage", "ledger"), Current: ledger}}
}

func (d *Dashboard) usagePage(ctx context.Context, v *visit) error {
	m, err := d.month(ctx, v)
	if err != nil {
		return err
	}
	here := v.here("usage")
	u := usageView{Tabs: v.usageTabs(), Month: m, Action: here, By: "Model"}
	status := http.StatusOK
	u.Filter, err = usageFilterOf(v.r.URL.Query(), d.now())
	var points []kinora.UsagePoint
	if err == nil {
		points, err = d.cfg.Usage.UsageSeries(ctx, v.organisation.ID, u.Filter.question)
	}
	switch kinora.CodeOf(err) {
	case "":
	case kinora.ErrInvalid:
		u.Wrong, status = messageOf(err), http.StatusUnprocessableEntity
	default:
		return err
	}
	if u.Filter.By == string(kinora.UsageByWorkflow) {
		u.By = "Workflow"
	}
	for _, s := range usageSpans {
		u.Spans = append(u.Spans, ui.Link{Label: s.label, Href: address(here, url.Values{"span": {s.key}, "by": {u.Filter.By}}), Current: s.key == u.Filter.Span})
	}
	if u.Wrong == "" {
		u.CSV = address(v.here("usage", "usage.csv"), u.Filter.params())
		u.Names = usageNames(points)
		u.Counts, u.Costs = usageCharts(u.Filter.question, points, u.Names)
	}
	return v.showAs(ctx, status, "Usage", usageBody(u))
}

// usageName is what one model or workflow came to in a span.
type usageName struct {
	kinora.UsagePoint // At is zero
}

// Label is how it is called.
func (n usageName) Label() string {
	if n.Name == "" {
		return "no workflow"
	}
	return n.Name
}

// usageNames sums points up by name, the most used first.
func usageNames(points []kinora.UsagePoint) (names []usageName) {
	at := map[string]int{}
	for _, p := range points {
		i, known := at[p.Name]
		if !known {
			i = len(names)
			at[p.Name] = i
			names = append(names, usageName{kinora.UsagePoint{Name: p.Name}})
		}
		n := &names[i]
		n.Succeeded, n.Failed, n.Outputs, n.Amount = n.Succeeded+p.Succeeded, n.Failed+p.Failed, n.Outputs+p.Outputs, n.Amount+p.Amount
	}
	slices.SortStableFunc(names, func(a, b usageName) int { return int((b.Succeeded + b.Failed) - (a.Succeeded + a.Failed)) })
	return names
}

// mostBars is how many bars a chart has at most; longer spans are told by weeks.
const mostBars = 120

// chartSteps are the bars of a settled question: where each begins, and what it is called.
func chartSteps(q kinora.UsageQuestion) (length time.Duration, word string, starts []time.Time, labels []string) {
	length, word, layout := 24*time.Hour, "Day", "2 Jan"
	if q.Step == kinora.UsageByHour {
		length, word, layout = time.Hour, "Hour", "2 Jan 15:04"
	} else if q.To.Sub(q.From) > mostBars*length {
		length, word = 7*24*time.Hour, "Week from"
	}
	if q.From.Year() != q.To.Add(-1).Year() {
		layout = strings.Replace(layout, "Jan", "Jan 2006", 1)
	}
	for at := q.From; at.Before(q.To); at = at.Add(length) {
		starts, labels = append(starts, at), append(labels, at.Format(layout))
	}
	return length, word, starts, labels
}

// usageCharts draw how much was made and what it cost. The names that are used most have colours of their own, the others share
// one.
func usageCharts(q kinora.UsageQuestion, points []kinora.UsagePoint, names []usageName) (counts, costs ui.Chart) {
	length, word, starts, labels := chartSteps(q)
	own := min(len(names), ui.MaxColours-1)
	if len(names) == ui.MaxColours {
		own = ui.MaxColours
	}
	place := map[string]int{}
	series := func() (list []ui.Series) {
		for i, n := range names[:own] {
			place[n.Name] = i
			list = append(list, ui.Series{Name: n.Label(), Values: make([]int64, len(starts))})
		}
		if own < len(names) {
			list = append(list, ui.Series{Name: "others", Values: make([]int64, len(starts))})
		}
		return list
	}
	counts = ui.Chart{Label: "Succeeded and failed generations", Step: word, Steps: labels, Series: series(), Format: groups}
	costs = ui.Chart{Label: "Cost", Step: word, Steps: labels, Series: series(), Format: func(n int64) string { return dollars(kinora.Money(n)) }}
	failed := ui.Series{Name: "failed or cancelled", Values: make([]int64, len(starts)), Tone: ui.Danger}
	for _, p := range points {
		step := int(p.At.Sub(q.From) / length)
		if step < 0 || step >= len(starts) {
			continue
		}
		i, known := place[p.Name]
		if !known {
			i = own
		}
		counts.Series[i].Values[step] += p.Succeeded
		costs.Series[i].Values[step] += int64(p.Amount)
		failed.Values[step] += p.Failed
	}
	if slices.Max(append(failed.Values, 0)) > 0 {
		counts.Series = append(counts.Series, failed)
	}
	return counts, costs
}
