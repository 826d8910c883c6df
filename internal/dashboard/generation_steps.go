package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// timeline is how a generation went, step by step.
type timeline struct {
	Steps    []step
	Attempts []attempt
	Inside   bool // with what concerns upstreams
}

// step is one instant of it.
type step struct {
	Words string
	At    time.Time
	After string // since the generation was accepted; empty for that itself
	Tone  ui.Tone
}

// attempt is one try.
type attempt struct {
	ID       string
	Name     string
	Page     string // about it, for operators; empty = none
	State    kinora.AttemptState
	Tone     ui.Tone
	Phases   []phase
	Note     string // how often the upstream was asked, and how long it all took
	Error    string // as the caller reads it, for operators with the upstream's own words; empty = none
	Class    string // of the error, for operators
	Upstream []fact // for operators
	Summary  string `json:"-"` // of the bar, to be read out
}

// phase is a part of an attempt's way. How long it has been going on is no change.
type phase struct {
	Name string
	Kind string // class
	From time.Time
	Goes bool   // it is going on
	Took string `json:"-"`
	X, W string `json:"-"` // of the bar, out of barWidth
}

// barWidth is the width of an attempt's bar in units of its own.
const barWidth = 1000

func (v *visit) timeline(h *kinora.History) timeline {
	g := h.Generation
	t := timeline{Steps: steps(h), Inside: v.insider()}
	end := g.CompletedAt
	if end.IsZero() {
		end = v.now()
	}
	for _, a := range h.Attempts {
		t.Attempts = append(t.Attempts, v.attempt(g, a, end))
	}
	return t
}

// steps are the instants that concern the generation as a whole.
func steps(h *kinora.History) []step {
	g := h.Generation
	list := []step{{Words: "Accepted", At: g.CreatedAt, Tone: ui.Neutral}}
	add := func(words string, at time.Time, tone ui.Tone) {
		if !at.IsZero() {
			list = append(list, step{words, at, "+" + span(at.Sub(g.CreatedAt)), tone})
		}
	}
	first := "" // with several attempts, the first of each is told
	if len(h.Attempts) > 1 {
		first = "First "
	}
	add(capital(first+"submitted"), earliest(h.Attempts, func(a *kinora.Attempt) time.Time { return a.SubmittedAt }), ui.Neutral)
	add(capital(first+"taken by the upstream"), earliest(h.Attempts, func(a *kinora.Attempt) time.Time { return a.AcceptedAt }), ui.Info)
	add(capital(first+"done upstream"), earliest(h.Attempts, func(a *kinora.Attempt) time.Time { return a.DoneAt }), ui.Info)
	for _, r := range h.Reviews {
		add("Held for a review", r.CreatedAt, ui.Warning)
		add("Review: "+string(r.State), r.DecidedAt, ui.Neutral)
	}
	add(ends[g.State], g.CompletedAt, stateTone(g.State))
	var delivered time.Time
	for _, d := range h.Deliveries {
		if d.State == kinora.DeliveryDelivered && d.FinishedAt.After(delivered) {
			delivered = d.FinishedAt
		}
	}
	add("Event delivered", delivered, ui.Good)
	return list
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

var ends = map[kinora.GenerationState]string{
	kinora.GenerationSucceeded: "Succeeded", kinora.GenerationFailed: "Failed", kinora.GenerationCancelled: "Cancelled",
}

func earliest(list []*kinora.Attempt, of func(*kinora.Attempt) time.Time) (first time.Time) {
	for _, a := range list {
		if at := of(a); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (v *visit) attempt(g *kinora.Generation, a *kinora.Attempt, end time.Time) attempt {
	s := attempt{ID: a.ID(), Name: attemptName(a), State: a.State, Tone: attemptTone(a.State), Note: attemptNote(a)}
	if a.Failure != nil {
		s.Error = a.Failure.Message
	}
	s.Phases = phases(g, a, end)
	var words []string
	for _, p := range s.Phases {
		words = append(words, p.Name+" "+p.Took)
	}
	s.Summary = strings.Join(words, ", ")
	if v.insider() {
		s.Upstream, s.Page = upstreamFacts(a), v.link("operator", "attempts", a.ID())
		s.Class = a.ErrorClass
		if a.ErrorMessage != "" {
			s.Error = a.ErrorMessage // with the upstream's own words
		}
	}
	return s
}

func attemptName(a *kinora.Attempt) string {
	name := "Attempt " + strconv.Itoa(a.Ordinal+1)
	if a.Parts > 1 {
		name += fmt.Sprintf(", part %d of %d", a.Part+1, a.Parts)
	}
	if a.Round > 0 {
		name += fmt.Sprintf(", round %d", a.Round+1)
	}
	return name
}

func attemptTone(s kinora.AttemptState) ui.Tone {
	switch s {
	case kinora.AttemptSucceeded:
		return ui.Good
	case kinora.AttemptFailed:
		return ui.Danger
	case kinora.AttemptUnsettled:
		return ui.Warning
	case kinora.AttemptOpen, kinora.AttemptCollecting, kinora.AttemptSubmitting:
		return ui.Info
	}
	return ui.Neutral
}

// attemptNote tells how often the upstream was asked, and how long all took once it has.
func attemptNote(a *kinora.Attempt) string {
	var words []string
	if a.Polls > 0 {
		words = append(words, count(a.Polls, "look"))
	}
	if a.Tries > 0 {
		words = append(words, count(a.Tries, "submit")+" without effect")
	}
	if a.ReadErrors > 0 {
		words = append(words, count(a.ReadErrors, "failed look")+" in a row")
	}
	if !a.FinishedAt.IsZero() {
		words = append(words, span(a.FinishedAt.Sub(a.CreatedAt))+" in all")
	}
	return strings.Join(words, ", ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// phases divide an attempt's time: waiting for a place, being submitted, at the upstream, being copied. What has not been reached is
// left out; the last one goes on until the attempt ends.
func phases(g *kinora.Generation, a *kinora.Attempt, end time.Time) []phase {
	until := a.FinishedAt
	if until.IsZero() {
		until = end
	}
	whole := max(end.Sub(g.CreatedAt), time.Millisecond)
	marks := []struct {
		name, kind string
		from       time.Time
	}{
		{"waited", "wait", a.CreatedAt}, {"submit", "submit", a.SubmittedAt}, {"upstream", "upstream", a.AcceptedAt}, {"collect", "collect", a.DoneAt},
	}
	var list []phase
	for i, m := range marks {
		if m.from.IsZero() || m.from.After(until) {
			continue
		}
		to, last := until, true
		for _, next := range marks[i+1:] {
			if !next.from.IsZero() && !next.from.After(until) {
				to, last = next.from, false
				break
			}
		}
		from := max(m.from.Sub(g.CreatedAt), 0)
		share := func(d time.Duration) float64 { return float64(d) / float64(whole) * barWidth }
		x := min(share(from), barWidth-4)
		w := min(max(share(to.Sub(m.from)), 4), barWidth-x) // the shortest can still be seen
		goes := last && a.FinishedAt.IsZero()
		list = append(list, phase{Name: m.name, Kind: m.kind, From: m.from, Took: span(to.Sub(m.from)), Goes: goes, X: fixed(x), W: fixed(w)})
	}
	return list
}

func fixed(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// upstreamFacts are for those who run the instance.
func upstreamFacts(a *kinora.Attempt) []fact {
	var list []fact
	add := func(name, value string) {
		if value != "" {
			list = append(list, fact{name, value})
		}
	}
	add("Provider", a.Provider)
	add("Account", a.Account)
	add("Model", a.UpstreamModel)
	add("Upstream id", a.UpstreamID)
	if a.Route > 0 {
		add("Route", strconv.Itoa(a.Route+1))
	}
	add("Callbacks", string(a.CallbackMode))
	add("Error code", a.ErrorCode)
	add("On node", a.LeaseOwner)
	return list
}
