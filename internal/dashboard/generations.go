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

// Generations reads generations.
type Generations interface {
	// Search reads a page of an organisation's generations, newest first. before is what the page before returned as
	// next; next is "" on the last page. A page may be short, or empty, and have a next one.
	//
	// Errors: kinora.ErrUnavailable.
	Search(ctx context.Context, organisationID string, q kinora.GenerationSearch, before string, limit int) (page []kinora.Listed, next string, err error)
	// Generation reads one of an organisation and those of its outputs whose files are still kept.
	//
	// Errors: kinora.ErrNotFound, for a foreign generation too; kinora.ErrUnavailable.
	Generation(ctx context.Context, organisationID, id string) (*kinora.Generation, []kinora.Output, error)
	// Standings tells how generations stand, whoever's they are; those that are not there are left out.
	//
	// Errors: kinora.ErrUnavailable.
	Standings(ctx context.Context, ids []string) (map[string]kinora.Standing, error)
}

// generationPage is how many generations a page of the list has.
const generationPage = 50

const generationPattern = organisationPath + "/generations/{generation_id}"

// The list of an organisation's generations. The page about one of them is in generation.go.
func (d *Dashboard) generationRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: organisationPath + "/generations", who: member, handler: d.listGenerations},
		{method: http.MethodGet, pattern: organisationPath + "/generations/live", who: member, handler: d.liveGenerations, streams: true},
	}
}

// generationFilter is what the list is narrowed by, as the address says it.
type generationFilter struct {
	ID, State, Model, Workflow, Reference, Asset string
	Since, Until                                 string // local to UTC, to the minute
	Before                                       string // position of the page; "" = the newest
	search                                       kinora.GenerationSearch
}

// filterOf reads the filter. What cannot be understood narrows nothing, and the form shows that it is not set.
func filterOf(q url.Values) generationFilter {
	text := func(name string) string { return plainText(q.Get(name)) }
	f := generationFilter{ID: text("id"), State: text("state"), Model: text("model"), Workflow: text("workflow"), Reference: text("reference"), Asset: text("asset"),
		Since: text("since"), Until: text("until"), Before: text("before")}
	if !kinora.GenerationState(f.State).Valid() {
		f.State = ""
	}
	f.search = kinora.GenerationSearch{State: kinora.GenerationState(f.State), Model: f.Model, Workflow: f.Workflow, Source: f.Asset}
	if prefix, cut := strings.CutSuffix(f.Reference, "*"); cut {
		f.search.ReferencePrefix = prefix
	} else {
		f.search.Reference = f.Reference
	}
	f.search.Since, f.Since = minuteOf(f.Since)
	f.search.Until, f.Until = minuteOf(f.Until)
	return f
}

// params are the filter as an address has it, for the page at before.
func (f generationFilter) params(before string) url.Values {
	return url.Values{"id": {f.ID}, "state": {f.State}, "model": {f.Model}, "workflow": {f.Workflow}, "reference": {f.Reference}, "asset": {f.Asset},
		"since": {f.Since}, "until": {f.Until}, "before": {before}}
}

func (f generationFilter) empty() bool {
	return f.ID == "" && f.search == (kinora.GenerationSearch{})
}

// generationList is the list page.
type generationList struct {
	Filter       generationFilter
	Rows         []generationRow
	Action       string // where filters lead
	Live         string // the page's stream
	Newest, Next string // other pages; "" = none
}

// generationRow is one line of it.
type generationRow struct {
	ID        string
	Href      string // page about it; "" = there is none
	State     kinora.GenerationState
	Progress  int
	Name      string // of the model, or of the workflow
	Workflow  bool
	Kind      kinora.Kind
	Reference string
	Prompt    string // its beginning
	Failure   string // code of why it failed; "" = it has not
	CreatedAt time.Time
}

func (v *visit) generationRow(g *kinora.Generation) generationRow {
	row := generationRow{ID: g.ID, State: g.State, Progress: g.Progress, Name: g.Model, Kind: g.Kind, Prompt: beginning(g.Input.Prompt, 120), CreatedAt: g.CreatedAt}
	if v.has(generationPattern) {
		row.Href = v.here("generations", g.ID)
	}
	if g.Request != nil && g.Request.Workflow != "" {
		row.Name, row.Workflow = g.Request.Workflow, true
	}
	if g.Reference != nil {
		row.Reference = *g.Reference
	}
	if g.Failure != nil {
		row.Failure = string(g.Failure.Code)
	}
	return row
}

// beginning cuts a text to so many characters.
func beginning(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// stateTone is how a generation's state looks.
func stateTone(s kinora.GenerationState) ui.Tone {
	switch s {
	case kinora.GenerationSucceeded:
		return ui.Good
	case kinora.GenerationFailed:
		return ui.Danger
	case kinora.GenerationRunning:
		return ui.Info
	case kinora.GenerationIngesting:
		return ui.Warning
	}
	return ui.Neutral
}

func (d *Dashboard) listGenerations(ctx context.Context, v *visit) error {
	f := filterOf(v.r.URL.Query())
	rows, next, err := v.generationRows(ctx, f)
	if err != nil {
		return err
	}
	action := v.here("generations")
	list := generationList{Filter: f, Rows: rows, Action: action}
	live := f.params(f.Before)
	live.Set("seen", digest(rows))
	list.Live = address(v.here("generations", "live"), live)
	if f.Before != "" {
		list.Newest = address(action, f.params(""))
	}
	if next != "" {
		list.Next = address(action, f.params(next))
	}
	return v.show(ctx, "Generations", generationsBody(list))
}

// generationRows reads the page that a filter describes.
func (v *visit) generationRows(ctx context.Context, f generationFilter) (rows []generationRow, next string, err error) {
	if f.ID != "" {
		row, ok, err := v.oneRow(ctx, f.ID, f.search)
		if err != nil || !ok {
			return nil, "", err
		}
		return []generationRow{row}, "", nil
	}
	page, next, err := v.cfg.Generations.Search(ctx, v.organisation.ID, f.search, f.Before, generationPage)
	if err != nil {
		return nil, "", err
	}
	for _, one := range page {
		rows = append(rows, v.generationRow(one.Generation))
	}
	return rows, next, nil
}

// oneRow reads a single one, where it is as a search wants it; false = the organisation has none of that id, or it is otherwise.
func (v *visit) oneRow(ctx context.Context, id string, q kinora.GenerationSearch) (row generationRow, ok bool, err error) {
	g, _, err := v.cfg.Generations.Generation(ctx, v.organisation.ID, id)
	switch kinora.CodeOf(err) {
	case "":
		return v.generationRow(g), q.Matches(g), nil
	case kinora.ErrNotFound:
		return generationRow{}, false, nil
	}
	return generationRow{}, false, err
}
