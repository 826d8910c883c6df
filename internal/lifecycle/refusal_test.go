package lifecycle_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// tokenOf is the callback token in a request's URL.
func tokenOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// A callback names the job while the submit call is under way, and the call then says that
// nothing was created: the callback is the proof, and no second call is made.
func TestProofOutweighsARefusal(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for _, class := range []provider.Class{provider.Unavailable, provider.Rate} {
			t.Run(string(class), func(t *testing.T) {
				up := newFake(t)
				up.describe.Traits = takingCallbacks(50)
				var h *house
				up.submit = func(n int, req provider.Request) (bool, error) {
					if n > 1 {
						return true, nil
					}
					id := fmt.Sprint("up_early_", class)
					up.mu.Lock()
					up.jobs[id] = &fakeJob{id: id, ref: req.ClientRef, at: time.Now(), request: req}
					up.byRef[req.ClientRef] = append(up.byRef[req.ClientRef], id)
					up.mu.Unlock()
					if _, err := h.Callback(t.Context(), "fake", tokenOf(req.CallbackURL), provider.InboundCallback{Body: []byte(id)}); err != nil {
						t.Error(err)
					}
					return false, provider.Errorf(class, "no")
				}
				h = build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example"))
				h.start(t)
				g, _ := h.await(t, h.accept(t, submission("x")).ID)
				if ref := g.ID + "_0"; g.State != kinora.GenerationSucceeded || up.created()[ref] != 1 || up.submits[ref] != 1 {
					t.Errorf("ended as %s %+v, %d created in %d calls", g.State, g.Failure, up.created()[ref], up.submits[ref])
				}
				h.stop()
			})
		}
	})
}

// byModel is an upstream that finds a job only under the model that it was submitted to.
type byModel struct {
	*fake
	down *atomic.Bool
}

func (f byModel) Reconcile(_ context.Context, _ provider.Upstream, req provider.Request) (provider.Accepted, error) {
	if f.down.Load() {
		return provider.Accepted{}, provider.Errorf(provider.Unavailable, "down")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.byRef[req.ClientRef] {
		if f.jobs[id].request.UpstreamModel == req.UpstreamModel {
			return provider.Accepted{UpstreamID: id}, nil
		}
	}
	return provider.Accepted{}, provider.ErrNotSubmitted
}

// A lost call is settled under the model that it was made for, whatever is configured since.
func TestSettlingKeepsToTheModelThatWasCalled(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := byModel{newFake(t), &atomic.Bool{}}
		up.down.Store(true)
		up.submit = func(n int, req provider.Request) (bool, error) {
			if n == 1 {
				return true, provider.Errorf(provider.OutcomeUnknown, "lost")
			}
			return true, nil
		}
		named := func(upstream string) options {
			return func(c *lifecycle.Config) { c.Models[0].UpstreamModel = upstream }
		}
		h := build(t, db, t.TempDir(), up, named("old")).start(t)
		g := h.accept(t, submission("x"))
		eventually(t, "its outcome is unknown", func() bool {
			list, err := h.Attempts(t.Context(), g.ID)
			return err == nil && list[0].State == kinora.AttemptUnsettled
		})
		h.stop()
		up.down.Store(false)
		h = build(t, db, t.TempDir(), up, named("new")).start(t)
		end, _ := h.await(t, g.ID)
		if ref := g.ID + "_0"; end.State != kinora.GenerationSucceeded || up.created()[ref] != 1 {
			t.Errorf("ended as %s %+v, %d created", end.State, end.Failure, up.created()[ref])
		}
	})
}

// A job that turns up when its generation has been cancelled is cancelled too.
func TestAbandonedJobIsCancelledUpstream(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		up.describe.Traits = takingCallbacks(50)
		up.submit = func(int, provider.Request) (bool, error) {
			return true, provider.Errorf(provider.OutcomeUnknown, "lost")
		}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example"), func(c *lifecycle.Config) { c.Timing.Backoff = 1 }).start(t)
		g := h.accept(t, submission("x"))
		eventually(t, "its outcome is unknown", func() bool {
			list, err := h.Attempts(t.Context(), g.ID)
			return err == nil && list[0].State == kinora.AttemptUnsettled
		})
		h.cancelled(t, g.ID)
		up.mu.Lock()
		token := tokenOf(up.jobs["up_1"].url)
		up.mu.Unlock()
		for range 3 {
			if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1")}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the upstream is told", func() bool { return up.cancels() == 1 })
		h.stop()
		if n := up.cancels(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// A refusal that concerns one model keeps only that model from the account.
func TestOneModelThatIsNotAllowed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.submit = func(_ int, req provider.Request) (bool, error) {
			if req.UpstreamModel == "closed" {
				return false, provider.Errorf(provider.Permission, "not in the plan")
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("a"), PerDay: 5}, lifecycle.Account{Account: named("b"), PerDay: 5}),
			func(c *lifecycle.Config) {
				c.Models = append(c.Models, kinora.Model{Name: "closed", Kind: kinora.KindImage, Provider: "fake"})
			}).start(t)
		closed := submission("x")
		closed.Model, closed.IdempotencyKey, closed.IdempotencyScope, closed.RequestHash = "closed", "order-17", "POST /x", "h"
		g, _ := h.await(t, h.accept(t, closed).ID)
		if n := up.submits[g.ID+"_0"]; g.Failure == nil || g.Failure.Code != kinora.FailureUpstream || n != 2 {
			t.Errorf("ended as %s %+v after %d calls, want one at each account", g.State, g.Failure, n)
		}
		if again, err := h.Accept(t.Context(), closed); err != nil || !again.Replayed || again.Generation.ID != g.ID {
			t.Errorf("the same key answers %+v, %v", again, err)
		}
		closed.IdempotencyKey = "order-18"
		if _, err := h.Accept(t.Context(), closed); kinora.CodeOf(err) != kinora.ErrNoUpstream {
			t.Errorf("accepted although no account takes it: %v", err)
		}
		if g, _ := h.await(t, h.accept(t, submission("y")).ID); g.State != kinora.GenerationSucceeded {
			t.Errorf("another model ended as %s %+v", g.State, g.Failure)
		}
		if a, b := healthOf(t, h, "a"), healthOf(t, h, "b"); a.State != kinora.AccountReady || b.State != kinora.AccountReady || a.Today+b.Today != 1 {
			t.Errorf("accounts %+v %+v", a, b)
		}
	})
}

// What was refused uses up nothing of the day, and an empty balance costs one generation
// and not the queue.
func TestRefusalsAreCheap(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		t.Run("of the day", func(t *testing.T) {
			up := newFake(t)
			up.submit = func(int, provider.Request) (bool, error) { return false, provider.Errorf(provider.Moderation, "no") }
			h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("daily"), PerDay: 2})).start(t)
			for range 3 {
				h.await(t, h.accept(t, submission("bad")).ID)
			}
			if a := healthOf(t, h, "daily"); a.Today != 0 || a.State != kinora.AccountReady {
				t.Errorf("account %+v", a)
			}
			h.stop()
		})
		t.Run("of a queue", func(t *testing.T) {
			up := newFake(t)
			var calls atomic.Int64
			up.submit = func(int, provider.Request) (bool, error) {
				calls.Add(1)
				return false, provider.Errorf(provider.Balance, "no money")
			}
			h := build(t, db, t.TempDir(), up)
			const jobs = 200
			ids := make([]string, jobs)
			for i := range ids {
				ids[i] = h.accept(t, submission("x")).ID
			}
			h.start(t)
			failed := func() (n int) {
				for _, id := range ids {
					if g, _, err := h.Generation(t.Context(), "", id); err == nil && g.State == kinora.GenerationFailed {
						n++
					}
				}
				return n
			}
			eventually(t, "the first is refused", func() bool { return failed() > 0 })
			time.Sleep(10 * 50 * time.Millisecond) // ten idle times: whatever may be called has been
			if n, called := failed(), calls.Load(); n != 1 {
				t.Errorf("%d of %d failed after %d calls", n, jobs, called)
			}
			h.stop()
		})
		t.Run("of accounts that are all retired", func(t *testing.T) {
			h := build(t, db, t.TempDir(), newFake(t), withAccounts(lifecycle.Account{Account: named("old"), Retired: true}))
			if _, err := h.Accept(t.Context(), submission("x")); kinora.CodeOf(err) != kinora.ErrNoUpstream {
				t.Errorf("accepted: %v", err)
			}
		})
	})
}
