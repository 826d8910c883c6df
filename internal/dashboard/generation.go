package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Histories reads all that is kept about a generation, and cancels it.
type Histories interface {
	// History reads what is kept about an organisation's generation.
	//
	// Errors: kinora.ErrNotFound, for a foreign generation too; kinora.ErrUnavailable.
	History(ctx context.Context, organisationID, id string) (*kinora.History, error)
	// Files is History with nothing but the generation, its source and its outputs.
	Files(ctx context.Context, organisationID, id string) (*kinora.History, error)
	// Origin reads where it came from, and what was made anew from it. Errors: kinora.ErrUnavailable.
	Origin(ctx context.Context, g *kinora.Generation) (*kinora.Origin, error)
	// Outlook tells its place in the queue and how long it will take. Errors: kinora.ErrUnavailable.
	Outlook(ctx context.Context, g *kinora.Generation) (kinora.Outlook, error)
	// Cancel ends it. Errors: kinora.ErrNotFound; kinora.ErrConflict when it has ended otherwise; kinora.ErrUnavailable.
	Cancel(ctx context.Context, organisationID, id string) (*kinora.Generation, error)
}

// The page about one generation. What it shows of files, upstreams and quality is for whoever may see it: callers' people see what is
// published, operators everything.
func (d *Dashboard) generationPageRoutes() []route {
	get := func(rest string, h handlerFunc) route {
		return route{method: http.MethodGet, pattern: generationPattern + rest, who: member, handler: h}
	}
	live := get("/live", d.liveGeneration)
	live.streams = true
	return []route{
		get("", d.showGeneration),
		live,
		get("/record", d.showRecord),
		get("/source", d.sourceFile),
		get("/inputs/{n}", d.inputFile),
		get("/outputs/{output_id}", d.outputFile),
		get("/regenerate", d.askRegenerate),
		{method: http.MethodPost, pattern: generationPattern + "/regenerate", who: member, handler: d.regenerate},
		{method: http.MethodPost, pattern: generationPattern + "/regenerate/form", who: member, handler: d.changeRegenerate, repeats: true},
		{method: http.MethodPost, pattern: generationPattern + "/cancel", who: member, handler: d.cancelGeneration},
	}
}

// generationDetail is all that the page shows. Its parts are drawn apart, so that the stream can send those that change.
type generationDetail struct {
	ID      string
	List    string // path of the list
	Lead    string
	Live    string // the page's stream; empty = nothing will change any more
	Record  string // path of the record as the API shows it
	Curl    curl
	Status  generationStatus
	Actions generationActions
	Request requestFacts
	Media   media
	Steps   timeline
	Quality quality
	Events  events
	Cost    cost
	Facts   facts
}

func (d *Dashboard) showGeneration(ctx context.Context, v *visit) error {
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return err
	}
	g := h.Generation
	origin, err := v.cfg.Histories.Origin(ctx, g)
	if err != nil {
		return err
	}
	page, err := v.generationDetail(ctx, h, origin)
	if err != nil {
		return err
	}
	if page.changes(h) {
		page.Live = v.here("generations", g.ID, "live") + "?seen=" + page.digests().String()
	}
	return v.show(ctx, g.ID, generationBody(page))
}

// generationDetail prepares the page. origin may be nil where only the parts that change are wanted.
func (v *visit) generationDetail(ctx context.Context, h *kinora.History, origin *kinora.Origin) (generationDetail, error) {
	g := h.Generation
	look, err := v.cfg.Histories.Outlook(ctx, g)
	if err != nil {
		return generationDetail{}, err
	}
	inputs, err := v.inputs(ctx, g)
	if err != nil {
		return generationDetail{}, err
	}
	page := generationDetail{ID: g.ID, List: v.here("generations"), Lead: madeBy(g), Record: v.here("generations", g.ID, "record"),
		Status: v.generationStatus(h, look), Actions: v.generationActions(g), Media: v.media(h, inputs), Steps: v.timeline(h),
		Quality: v.quality(h), Events: v.events(h), Cost: v.cost(h)}
	if origin != nil {
		page.Facts, page.Request, page.Curl = v.facts(h, origin), v.requestFacts(h), v.curl(g)
	}
	return page, nil
}

// changes tells whether anything on the page may still change by itself: until the generation has ended, and its event has been
// delivered or given up.
func (p *generationDetail) changes(h *kinora.History) bool {
	if !h.Generation.State.Terminal() {
		return true
	}
	for _, d := range h.Deliveries {
		if d.State == kinora.DeliveryPending || d.State == kinora.DeliveryHeld {
			return true
		}
	}
	return false
}

// generationParts are the parts of the page that change, in the order of the page.
const generationParts = 7

// partDigests name what the parts show, in a browser's words and ours.
type partDigests [generationParts]string

func (p *generationDetail) digests() (all partDigests) {
	for i, part := range []any{p.Status, p.Actions, p.Media, p.Steps, p.Quality, p.Events, p.Cost} {
		text, _ := json.Marshal(part) // plain values, which always encode
		sum := sha256.Sum256(text)
		all[i] = base64.RawURLEncoding.EncodeToString(sum[:6])
	}
	return all
}

func (d partDigests) String() string { return strings.Join(d[:], ".") }

// partsKnown reads digests that a browser gives back. What cannot be read is not known.
func partsKnown(text string) (all partDigests) {
	copy(all[:], strings.Split(text, "."))
	return all
}

// generationStatus is where it stands.
type generationStatus struct {
	ID          string
	State       kinora.GenerationState
	Review      bool // it waits for a person
	Progress    int
	Position    int    // in the queue; 0 = not known
	ETA         string // empty = not known
	CreatedAt   time.Time
	CompletedAt time.Time
	Took        string // empty until it has ended
	Failure     *kinora.Failure
	Reviews     string // path of the queue of reviews; empty = there is none, or it is not for who asks
}

func (v *visit) generationStatus(h *kinora.History, look kinora.Outlook) generationStatus {
	g := h.Generation
	s := generationStatus{ID: g.ID, State: g.State, Progress: g.Progress, Position: look.Position, CreatedAt: g.CreatedAt, CompletedAt: g.CompletedAt, Failure: g.Failure}
	if look.ETA > 0 {
		s.ETA = span(look.ETA.Round(time.Second))
	}
	if g.State.Terminal() {
		s.Took = span(g.CompletedAt.Sub(g.CreatedAt))
	}
	for _, r := range h.Reviews {
		s.Review = s.Review || r.State == kinora.ReviewPending
	}
	if s.Review && v.mayOpen(organisationPath+"/reviews") {
		s.Reviews = v.here("reviews")
	}
	return s
}

// surfaces are the APIs as people call them.
var surfaces = map[kinora.Surface]string{
	kinora.SurfaceSubmit: "Submit API", kinora.SurfaceGenerations: "Generations API", kinora.SurfaceOpenAI: "OpenAI-compatible API",
}

// madeBy says in a line what makes it, and by which API it came.
func madeBy(g *kinora.Generation) string {
	name := g.Model + ", " + string(g.Kind)
	if g.Request != nil && g.Request.Workflow != "" {
		name = g.Request.Workflow + " workflow on " + g.Model
	}
	return name + " · " + surfaces[g.Surface]
}

// insider tells whether who asks may see what concerns the instance: upstreams, accounts, and files that were not published.
func (v *visit) insider() bool { return v.who.Person.Operator }
