package lifecycle_test

import (
	"context"
	"encoding/json"
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
// nothing was created: the callback is the proof. No further call is made, on no route, and
// the job is not given up, whatever would have become of the refusal.
func TestProofOutweighsARefusal(t *testing.T) {
	refusals := map[string]struct {
		class provider.Class
		named int // the call during which the callback comes
	}{
		"taken back": {provider.Unavailable, 1}, "too busy": {provider.Rate, 1}, "the last try": {provider.Unavailable, 10},
		"no such model": {provider.ModelGone, 1}, "no money": {provider.Balance, 1}, "not allowed": {provider.Permission, 1}, "bad input": {provider.Invalid, 1},
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for name, tc := range refusals {
			for _, routes := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, %d routes", name, routes), func(t *testing.T) {
					up, second := newFake(t), newFake(t)
					up.describe.Traits = takingCallbacks(50)
					var h *house
					up.submit = func(n int, req provider.Request) (bool, error) {
						if n == tc.named {
							id := "up_early_" + req.ClientRef
							up.mu.Lock()
							up.jobs[id] = &fakeJob{id: id, ref: req.ClientRef, at: time.Now(), request: req}
							up.byRef[req.ClientRef] = append(up.byRef[req.ClientRef], id)
							up.mu.Unlock()
							if _, err := h.Callback(t.Context(), "fake", tokenOf(req.CallbackURL), provider.InboundCallback{Body: []byte(id)}); err != nil {
								t.Error(err)
							}
						}
						return n > tc.named, provider.Errorf(tc.class, "no")
					}
					day, _ := oneDay()
					opts := []options{withPublicURL("https://kinora.example"), func(c *lifecycle.Config) {
						c.Accounts[0].PerDay, c.Timing.Backoff = 1000, 0.001
					}, day}
					if routes == 2 {
						opts = append(opts, twoRoutes(other{fake: second}, nil))
					}
					h = build(t, db, t.TempDir(), callingBack{up}, opts...)
					h.start(t)
					before := healthOf(t, h, "main").Today
					g, _ := h.await(t, h.accept(t, submission("x")).ID)
					if ref := g.ID + "_0"; g.State != kinora.GenerationSucceeded || up.created()[ref] != 1 || up.submits[ref] != tc.named || len(second.created()) != 0 {
						t.Errorf("ended as %s %+v, %d created in %d calls, elsewhere %v", g.State, g.Failure, up.created()[ref], up.submits[ref], second.created())
					}
					if a := healthOf(t, h, "main"); a.Today != before+1 {
						t.Errorf("the day counts %d jobs, want 1", a.Today-before)
					}
					h.endsOnce(t, g)
					h.stop()
				})
			}
		}
	})
}

// undecided is an upstream that can be asked and never proves anything.
type undecided struct {
	callingBack
	asked atomic.Int64
	at    func(n int64, req provider.Request)
}

func (u *undecided) Reconcile(_ context.Context, _ provider.Upstream, req provider.Request) (provider.Accepted, error) {
	u.at(u.asked.Add(1), req)
	return provider.Accepted{}, provider.ErrUncertain
}

// While one node asks for the last time what became of a lost call, another one takes the
// callback that tells.
func TestProofAtAnotherNodeComesBeforeGivingUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		fake := newFake(t)
		fake.describe.Traits = takingCallbacks(50)
		fake.submit = func(int, provider.Request) (bool, error) {
			return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		up := &undecided{callingBack: callingBack{fake}}
		var another *house
		up.at = func(n int64, req provider.Request) {
			if n < 6 {
				return // as many looks as there are
			}
			fake.mu.Lock()
			url := fake.jobs[fake.byRef[req.ClientRef][0]].url
			fake.mu.Unlock()
			if _, err := another.Callback(t.Context(), "fake", tokenOf(url), provider.InboundCallback{Body: []byte("up_1")}); err != nil {
				t.Error(err)
			}
		}
		dir := t.TempDir()
		another = build(t, db, dir, up, withPublicURL("https://kinora.example"))
		h := build(t, db, dir, up, withPublicURL("https://kinora.example")).start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		if g.State != kinora.GenerationSucceeded || fake.created()[g.ID+"_0"] != 1 || up.asked.Load() != 6 {
			t.Errorf("ended as %s %+v after %d looks, %d created", g.State, g.Failure, up.asked.Load(), fake.created()[g.ID+"_0"])
		}
		h.endsOnce(t, g)
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
		day, _ := oneDay()
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("a"), PerDay: 5}, lifecycle.Account{Account: named("b"), PerDay: 5}), day,
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
			day, _ := oneDay()
			h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("daily"), PerDay: 2}), day).start(t)
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

// What an upstream says in its own words stays with the attempt, for operators: no refusal, of whatever
// class, carries it into what the caller reads.
func TestUpstreamsWordsAreForOperators(t *testing.T) {
	const words = "request r-7: the frobnicator of tenant 4711 is out of range"
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.submit = func(_ int, req provider.Request) (bool, error) {
			return false, &provider.Error{Class: provider.Class(req.Prompt), Message: "no", Detail: words}
		}
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("main"), Indifferent: true}),
			func(c *lifecycle.Config) { c.Timing.Backoff = 0.001 }).start(t)
		for _, class := range []provider.Class{
			provider.Invalid, provider.Moderation, provider.ModelGone, provider.Generation, provider.Credential, provider.Permission, provider.Balance, provider.Unavailable,
		} {
			g, _ := h.await(t, h.accept(t, submission(string(class))).ID)
			a := h.attempts(t, g.ID)[0]
			if !strings.Contains(a.ErrorMessage, words) {
				t.Errorf("%s: operators read %q", class, a.ErrorMessage)
			}
			told, err := json.Marshal([]any{g.Failure, a.Failure})
			if err != nil {
				t.Fatal(err)
			}
			if g.Failure == nil || strings.Contains(string(told), "frobnicator") || strings.Contains(string(told), "r-7") {
				t.Errorf("%s: the caller reads %s", class, told)
			}
		}
	})
}
