package lifecycle

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

const (
	// learnFrom is how many ends of a model must have been seen before its pace follows them.
	learnFrom = 8
	// learnKeep is how many durations are kept for a model. A new one takes a random one's
	// place, not the oldest's: of jobs that began together the newest ends are the longest
	// jobs, and would make all others look late.
	learnKeep = 512
	// looksAhead is the share of the jobs still running that may end before the next look:
	// one in six. It makes looks sparse while an end is unlikely and dense around the usual one.
	looksAhead = 6
	// thinTail is how few of the kept durations may lie ahead of a job's age before they say
	// little: the next one may be a look that came late itself, and waiting for it would make
	// the next look late as well. From there on a look comes when an eighth of the age has gone.
	thinTail = 2 * looksAhead
)

// durations is what generations of each model took upstream.
type durations struct {
	mu      sync.Mutex
	samples map[string]*sampled
}

type sampled struct {
	kept   []time.Duration
	sorted []time.Duration // nil = to be made
	dirty  bool            // not saved yet
}

// inOrder returns the kept durations, the shortest first; the lock over them is held.
func (s *sampled) inOrder() []time.Duration {
	if s.sorted == nil {
		s.sorted = slices.Clone(s.kept)
		slices.Sort(s.sorted)
	}
	return s.sorted
}

func (d *durations) learn(model string, took time.Duration) {
	if took <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.samples[model]
	if s == nil {
		s = &sampled{}
		if d.samples == nil {
			d.samples = map[string]*sampled{}
		}
		d.samples[model] = s
	}
	if len(s.kept) < learnKeep {
		s.kept = append(s.kept, took)
	} else {
		s.kept[rand.IntN(learnKeep)] = took
	}
	s.sorted, s.dirty = nil, true
}

// ahead returns how long until about one in looksAhead of the jobs of this model that are
// still running at age has ended, or at most ceiling where all known ones had; false = nothing is known of the model.
func (d *durations) ahead(model string, age, ceiling time.Duration) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.samples[model]
	if s == nil || len(s.kept) < learnFrom {
		return 0, false
	}
	sorted := s.inOrder()
	i, _ := slices.BinarySearch(sorted, age)
	left := sorted[i:]
	if len(left) == 0 {
		return min(age/8, ceiling), true
	}
	wait := left[min(len(left)/looksAhead, len(left)-1)] - age
	if i > 0 && len(left) < thinTail {
		wait = min(wait, age/8)
	}
	return wait, true
}

func (e *Engine) loadDurations(ctx context.Context) error {
	var learnt map[string][]time.Duration
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		learnt, err = tx.LearntDurations()
		return err
	})
	for model, list := range learnt {
		for _, d := range list {
			e.durations.learn(model, d)
		}
	}
	return err
}

func (e *Engine) saveDurations(ctx context.Context) error {
	d := &e.durations
	d.mu.Lock()
	dirty := map[string][]time.Duration{}
	for model, s := range d.samples {
		if s.dirty {
			dirty[model], s.dirty = slices.Clone(s.kept), false
		}
	}
	d.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	return e.db.Update(ctx, func(tx *store.Tx) error {
		for model, list := range dirty {
			if err := tx.SaveLearntDurations(model, list, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// nextLook is how long to wait before looking at an open attempt again.
func (e *Engine) nextLook(a *kinora.Attempt, now time.Time, asked time.Duration) time.Duration {
	pace := provider.Pace{First: 2 * time.Second, Interval: 2 * time.Second, Ceiling: 30 * time.Second}
	if p := e.providers[a.Provider]; p != nil {
		d := p.Describe()
		for _, own := range []provider.Pace{d.Model(a.UpstreamModel).Poll, d.Poll} {
			if own.Interval > 0 {
				pace = own
				break
			}
		}
	}
	for _, d := range []*time.Duration{&pace.First, &pace.Interval, &pace.Ceiling, &asked} {
		*d = time.Duration(float64(*d) * e.timing.Pace)
	}
	age := now.Sub(a.AcceptedAt)
	wait, known := e.durations.ahead(e.learntAs(a), age, pace.Ceiling)
	switch {
	case known:
		// A look costs the same for a short job and a long one: being a twelfth of its age
		// late is near enough. Past everything that is known it is half a minute apart again.
		wait = max(wait, pace.Interval, min(age/12, pace.Ceiling))
	case a.Polls == 0:
		wait = pace.First
	default:
		// Nothing is known: the older the job, the less a second matters.
		wait = clamp(age/4, pace.Interval, pace.Ceiling)
	}
	wait = e.stretched(a, wait, pace, now)
	asked = min(asked, time.Hour)
	wait = max(wait, asked)
	wait = jittered(wait, min(wait, max(pace.Interval, asked))) // a first look may come before the interval
	if left := a.DeadlineAt.Sub(now); wait > left {
		wait = max(left, 0)
	}
	return wait
}

// jittered moves a look by up to a tenth, which keeps jobs of one batch from falling due together for ever: to an earlier time as
// long as that is not before least, which is wait at most. What is learnt of a model are the times of looks, so that looks which come late make those
// of later jobs later still; by coming early they keep measuring when jobs begin to end.
func jittered(wait, least time.Duration) time.Duration {
	part := 0.1 * rand.Float64()
	if early := wait - time.Duration(part*float64(wait)); early >= least {
		return early
	}
	return wait + time.Duration(part*float64(least))
}

func clamp(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }
