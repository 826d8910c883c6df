package lifecycle

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// paced is a provider of which only the pace matters.
type paced struct {
	provider.Provider
	pace provider.Pace
	own  map[string]provider.Pace // by model
}

func (p paced) Describe() provider.Description {
	return provider.Description{Poll: p.pace, Traits: func(model string) provider.Traits { return provider.Traits{Poll: p.own[model]} }}
}

func engineFor(pace provider.Pace) *Engine {
	return &Engine{timing: Timing{}.withDefaults(), providers: map[string]provider.Provider{"p": paced{pace: pace}}}
}

// simulate watches one job that lasts took and returns the looks made and how late its
// end was seen.
func simulate(e *Engine, took time.Duration) (looks int, lag time.Duration) {
	start := time.Unix(1_800_000_000, 0)
	a := &kinora.Attempt{Model: "m", Provider: "p", AcceptedAt: start, DeadlineAt: start.Add(time.Hour)}
	now := start
	for {
		now = now.Add(e.nextLook(a, now, 0))
		looks++
		a.Polls++
		if age := now.Sub(start); age >= took {
			return looks, age - took
		}
	}
}

// The published target: jobs of 5 to 15 s are seen within a second at the median and
// three at the 99th percentile, with at most eight looks a job on average, once the model is learnt.
func TestLearntPaceMeetsTheTarget(t *testing.T) {
	e := engineFor(provider.Pace{First: 300 * time.Millisecond, Interval: 250 * time.Millisecond, Ceiling: 5 * time.Second})
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() time.Duration { return 5*time.Second + time.Duration(r.Int64N(int64(10*time.Second))) }
	for range learnKeep {
		e.durations.learn("m", draw())
	}
	var lags []time.Duration
	looks := 0
	const jobs = 2000
	for range jobs {
		n, lag := simulate(e, draw())
		looks += n
		lags = append(lags, lag)
	}
	slices.Sort(lags)
	if p50, p99 := lags[jobs/2], lags[jobs*99/100]; p50 > time.Second || p99 > 3*time.Second {
		t.Errorf("lag p50 %v, p99 %v", p50, p99)
	}
	t.Logf("lag p50 %v, p99 %v, %.1f looks a job", lags[jobs/2], lags[jobs*99/100], float64(looks)/jobs)
	if mean := float64(looks) / jobs; mean > 8 {
		t.Errorf("%.1f looks a job", mean)
	}
}

// What is learnt are the times of looks, not of ends. Over many jobs that must not make looks later and later.
func TestLearningFromLooksKeepsThePace(t *testing.T) {
	for _, scale := range []time.Duration{1, 10} {
		e := engineFor(provider.Pace{First: time.Second, Interval: 250 * time.Millisecond, Ceiling: 30 * time.Second})
		r := rand.New(rand.NewPCG(3, 4))
		const learning, jobs = 10_000, 3000
		var lags []time.Duration
		looks := 0
		for i := range learning + jobs {
			took := scale * (5*time.Second + time.Duration(r.Int64N(int64(10*time.Second))))
			n, lag := simulate(e, took)
			e.durations.learn("m", took+lag)
			if i >= learning {
				looks += n
				lags = append(lags, lag)
			}
		}
		slices.Sort(lags)
		p50, p99, mean := lags[jobs/2], lags[jobs*99/100], float64(looks)/jobs
		t.Logf("jobs of %d to %d s: lag p50 %v, p99 %v, %.1f looks a job", 5*scale, 15*scale, p50, p99, mean)
		if p50 > scale*time.Second || p99 > scale*3*time.Second || mean > 8 {
			t.Errorf("jobs of %d to %d s: lag p50 %v, p99 %v, %.1f looks a job", 5*scale, 15*scale, p50, p99, mean)
		}
	}
}

func TestUnknownPaceKeepsToTheUpstreamsHints(t *testing.T) {
	pace := provider.Pace{First: 5 * time.Second, Interval: 5 * time.Second, Ceiling: 30 * time.Second}
	e := engineFor(pace)
	start := time.Unix(1_800_000_000, 0)
	a := &kinora.Attempt{Model: "m", Provider: "p", AcceptedAt: start, DeadlineAt: start.Add(time.Hour)}
	for age := time.Duration(0); age < 20*time.Minute; {
		wait := e.nextLook(a, start.Add(age), 0)
		if wait < pace.Interval*9/10 || wait > pace.Ceiling*11/10 {
			t.Fatalf("at %v: waits %v", age, wait)
		}
		age += wait
		a.Polls++
	}
}

// A model whose jobs have a pace of their own is looked at by that one.
func TestAModelsOwnPace(t *testing.T) {
	e := &Engine{timing: Timing{}.withDefaults(), providers: map[string]provider.Provider{"p": paced{
		pace: provider.Pace{First: time.Minute, Interval: time.Minute, Ceiling: time.Hour},
		own:  map[string]provider.Pace{"quick": {First: 3 * time.Second, Interval: 5 * time.Second, Ceiling: 30 * time.Second}},
	}}}
	start := time.Unix(1_800_000_000, 0)
	for model, want := range map[string]time.Duration{"quick": 3 * time.Second, "other": time.Minute} {
		a := &kinora.Attempt{Model: "m", Provider: "p", UpstreamModel: model, AcceptedAt: start, DeadlineAt: start.Add(time.Hour)}
		if wait := e.nextLook(a, start, 0); wait < want*9/10 || wait > want*11/10 {
			t.Errorf("%s: the first look comes after %v, want %v", model, wait, want)
		}
	}
}

func TestNextLookObeysUpstreamAndDeadline(t *testing.T) {
	e := engineFor(provider.Pace{First: time.Second, Interval: time.Second, Ceiling: 5 * time.Second})
	start := time.Unix(1_800_000_000, 0)
	a := &kinora.Attempt{Model: "m", Provider: "p", AcceptedAt: start, DeadlineAt: start.Add(20 * time.Second)}
	if wait := e.nextLook(a, start, 12*time.Second); wait < 10*time.Second {
		t.Errorf("waits %v although the upstream asked for 12 s", wait)
	}
	if wait := e.nextLook(a, start.Add(19*time.Second), 12*time.Second); wait > time.Second {
		t.Errorf("waits %v past the deadline", wait)
	}
}

// A look that came late makes a late sample; later jobs must not wait for it.
func TestOneLateSampleDelaysNobody(t *testing.T) {
	e := engineFor(provider.Pace{First: time.Second, Interval: 250 * time.Millisecond, Ceiling: 5 * time.Second})
	for i := range 100 {
		e.durations.learn("m", 5*time.Second+time.Duration(i)*100*time.Millisecond)
	}
	e.durations.learn("m", 40*time.Second)
	for range 100 {
		if _, lag := simulate(e, 14950*time.Millisecond); lag > 3*time.Second {
			t.Fatalf("seen %v late", lag)
		}
	}
	start := time.Unix(1_800_000_000, 0)
	stuck := &kinora.Attempt{Model: "m", Provider: "p", AcceptedAt: start, DeadlineAt: start.Add(time.Hour), Polls: 9}
	if wait := e.nextLook(stuck, start.Add(50*time.Minute), 0); wait > 6*time.Second {
		t.Errorf("a job that outlives all known ones waits %v for its next look", wait)
	}
}

// Pace scales what a provider asks for, in its description and in a report.
func TestPaceIsScaled(t *testing.T) {
	e := engineFor(provider.Pace{First: 10 * time.Second, Interval: 15 * time.Second, Ceiling: 30 * time.Second})
	e.timing.Pace = 0.01
	now := time.Now()
	a := &kinora.Attempt{Model: "m", Provider: "p", AcceptedAt: now, DeadlineAt: now.Add(time.Hour)}
	if wait := e.nextLook(a, now, 0); wait > 110*time.Millisecond {
		t.Errorf("the first look comes after %v", wait)
	}
	a.Polls = 1
	if wait := e.nextLook(a, now.Add(time.Hour/2), time.Minute); wait > 660*time.Millisecond || wait < 540*time.Millisecond {
		t.Errorf("a look that the upstream wants in a minute comes after %v", wait)
	}
}
