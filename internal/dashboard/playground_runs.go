package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// What a session has had made stands in a cookie: it is nobody else's, and on whichever node the page is drawn.
const (
	runsCookie = "runs"
	runsKept   = 8
)

var runID = regexp.MustCompile(`^(task|job)_[0-9A-Z]{26}$`)

// playgroundRun is a generation that was made here.
type playgroundRun struct {
	ID, Href  string
	Name      string
	Words     string // the beginning of its prompt, or what was chosen
	State     kinora.GenerationState
	Progress  int
	Failure   string
	CreatedAt time.Time
	Outputs   []output
}

// runs are the ids that the browser remembers, newest first.
func (v *visit) runs() (ids []string) {
	c, err := v.r.Cookie(v.cookieName(runsCookie))
	if err != nil {
		return nil
	}
	return runIDs(c.Value)
}

func runIDs(text string) (ids []string) {
	for id := range strings.SplitSeq(text, ".") {
		if runID.MatchString(id) && !slices.Contains(ids, id) && len(ids) < runsKept {
			ids = append(ids, id)
		}
	}
	return ids
}

// remember adds an id to those that the browser remembers, and returns all.
func (v *visit) remember(id string) []string {
	ids := runIDs(strings.Join(append([]string{id}, v.runs()...), "."))
	http.SetCookie(v.w, v.cookie(runsCookie, strings.Join(ids, "."), 0))
	return ids
}

// playgroundRuns reads generations of the organisation; what it has not is left out.
func (v *visit) playgroundRuns(ctx context.Context, ids []string) (runs []playgroundRun, err error) {
	for _, id := range ids {
		g, outputs, err := v.cfg.Generations.Generation(ctx, v.organisation.ID, id)
		if kinora.CodeOf(err) == kinora.ErrNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := playgroundRun{ID: g.ID, Href: v.here("generations", g.ID), Name: g.Model, Words: beginning(g.Input.Prompt, 160), State: g.State, Progress: g.Progress, CreatedAt: g.CreatedAt}
		if g.Request != nil {
			r.Name, r.Words = g.Request.Workflow, choices(g.Request)
		}
		if g.Failure != nil && g.State == kinora.GenerationFailed {
			r.Failure = g.Failure.Message
		}
		for i := range outputs {
			r.Outputs = append(r.Outputs, v.output(g, &outputs[i], nil))
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// playgroundStream is the address of the stream for those that have not ended; empty = all have.
func (v *visit) playgroundStream(runs []playgroundRun) string {
	var open []string
	for _, r := range runs {
		if !r.State.Terminal() {
			open = append(open, r.ID)
		}
	}
	if len(open) == 0 {
		return ""
	}
	return address(v.here("playground", "live"), url.Values{"ids": {strings.Join(open, ".")}})
}

// livePlayground shows what becomes of those that have not ended, until all have.
func (d *Dashboard) livePlayground(ctx context.Context, v *visit) error {
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known := map[string]kinora.Standing{}
		ids := runIDs(v.query("ids"))
		for {
			runs, err := look(ctx, out, func(ctx context.Context) ([]playgroundRun, error) { return v.playgroundRuns(ctx, ids) })
			if err != nil {
				return err
			}
			var changed []playgroundRun
			for _, r := range runs {
				if now := (kinora.Standing{State: r.State, Progress: r.Progress}); known[r.ID] != now {
					known[r.ID] = now
					changed = append(changed, r)
				}
			}
			over := v.playgroundStream(runs) == ""
			if len(changed) > 0 || over {
				if err := out.send(ctx, "", playgroundRunsChanged(changed, over)); err != nil {
					return err
				}
			}
			if over {
				return out.pause(ctx, farewell, nil)
			}
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}
