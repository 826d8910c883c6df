package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// waiter is a request that waits for a generation.
type waiter struct {
	x    *exchange
	hold *hold
	done chan struct{}
	g    *kinora.Generation
	err  error
}

// wait begins to wait as a handler would, in a bubble.
func (f *fixture) wait(ctx context.Context, most time.Duration) *waiter {
	f.t.Helper()
	w := &waiter{done: make(chan struct{}), x: &exchange{w: httptest.NewRecorder(), route: &route{load: holding}, organisation: &kinora.Organisation{ID: ownID}}}
	w.x.place.gate = f.inFlight
	if err := w.x.place.take(); err != nil {
		f.t.Fatal(err)
	}
	var err error
	if w.hold, err = f.reserve(w.x); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		w.g, _, w.err = w.hold.await(ctx, w.x, taskOne, most)
		w.x.place.give()
		w.hold.release()
	}()
	synctest.Wait()
	return w
}

func generationIn(state kinora.GenerationState) *kinora.Generation {
	return &kinora.Generation{ID: taskOne, OrganisationID: ownID, State: state, CreatedAt: testTime}
}

func TestAwait(t *testing.T) {
	for name, tt := range map[string]struct {
		before kinora.GenerationState
		act    func(f *fixture, gone context.CancelFunc)
		want   kinora.GenerationState
		after  time.Duration
	}{
		"the end wakes it": {
			before: kinora.GenerationRunning,
			act: func(f *fixture, _ context.CancelFunc) {
				time.Sleep(3 * time.Second)
				f.generations.end(generationIn(kinora.GenerationFailed))
			},
			want: kinora.GenerationFailed, after: 3 * time.Second,
		},
		"it has ended before": {before: kinora.GenerationSucceeded, want: kinora.GenerationSucceeded},
		"the time is over":    {before: kinora.GenerationRunning, want: kinora.GenerationRunning, after: time.Minute},
		"the server is being stopped": {
			before: kinora.GenerationRunning, act: func(f *fixture, _ context.CancelFunc) { f.Drain() }, want: kinora.GenerationRunning,
		},
		"the caller goes away": {before: kinora.GenerationRunning, act: func(_ *fixture, gone context.CancelFunc) { gone() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.generations.store(generationIn(tt.before))
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				began := time.Now()
				w := f.wait(ctx, time.Minute)
				if !tt.before.Terminal() && (f.inFlight.inside.Load() != 0 || f.held.inside.Load() != 1) {
					t.Errorf("while it waits %d are worked on and %d are held", f.inFlight.inside.Load(), f.held.inside.Load())
				}
				if len(f.generations.asked) != 1 {
					t.Errorf("the store was asked %d times before anything happened", len(f.generations.asked))
				}
				if tt.act != nil {
					tt.act(f, gone)
				}
				<-w.done
				if took := time.Since(began); took != tt.after {
					t.Errorf("it took %s, want %s", took, tt.after)
				}
				switch {
				case tt.want == "" && !errors.Is(w.err, context.Canceled):
					t.Errorf("got %v, want that the caller has gone", w.err)
				case tt.want != "" && (w.err != nil || w.g.State != tt.want):
					t.Errorf("got %+v %v, want %s", w.g, w.err, tt.want)
				}
				if f.inFlight.inside.Load() != 0 || f.held.inside.Load() != 0 {
					t.Error("a place was not given back")
				}
			})
		})
	}
}

// An organisation may hold its share of the places to wait in, and of a server that is being stopped none.
func TestReserve(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxInFlight = 4 })
	of := func(organisation string) *exchange {
		return &exchange{w: httptest.NewRecorder(), route: &route{load: holding}, organisation: &kinora.Organisation{ID: organisation}}
	}
	want := func(x *exchange, code kinora.ErrorCode) *hold {
		t.Helper()
		h, err := f.reserve(x)
		if got := kinora.CodeOf(err); got != code {
			t.Fatalf("got %q %v, want %q", got, err, code)
		}
		return h
	}
	first := want(of(ownID), "")
	want(of(ownID), "")
	want(of(ownID), kinora.ErrRateLimited)
	want(of(otherID), "")
	want(of(otherID), "")
	want(of("org_3"), errOverload)
	first.release()
	first.release() // once
	want(of("org_3"), "")
	want(of(ownID), errOverload)
	f.Drain()
	want(of("org_4"), errOverload)
}

func TestPreferred(t *testing.T) {
	for text, want := range map[string]preferences{
		"":                            {},
		"respond-async":               {async: true},
		"Respond-Async, wait=10":      {async: true, waits: true, length: 10 * time.Second},
		"wait=0":                      {waits: true},
		`wait="7"; x=y`:               {waits: true, length: 7 * time.Second},
		"wait = 8":                    {waits: true, length: 8 * time.Second},
		"wait=-1":                     {},
		"wait=1.5":                    {},
		"wait=99999999999":            {},
		"wait":                        {},
		"wait=3, wait=4":              {waits: true, length: 3 * time.Second},
		"handling=lenient,,  wait=05": {waits: true, length: 5 * time.Second},
	} {
		if got := preferred(http.Header{"Prefer": {text}}); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
	if got := preferred(http.Header{"Prefer": {"wait=5", "respond-async"}}); got != (preferences{async: true, waits: true, length: 5 * time.Second}) {
		t.Errorf("two lines are %+v", got)
	}
}
