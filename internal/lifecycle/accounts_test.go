package lifecycle_test

import (
	"context"
	"fmt"
	"net/http"
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

func named(name string) provider.Account { return provider.Account{Name: name, Provider: "fake"} }

func healthOf(t *testing.T, h *house, name string) kinora.AccountHealth {
	t.Helper()
	list, err := h.AccountHealth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Name == name {
			return a
		}
	}
	t.Fatalf("there is no account %s in %+v", name, list)
	return kinora.AccountHealth{}
}

// eventually waits for something that happens in other goroutines.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// oneDay makes every instant count to one day, which begins with the test: whenever that runs, its day does not turn, and does not end
// before any deadline.
func oneDay() (options, time.Time) {
	begins := time.Now().UTC().Truncate(time.Microsecond)
	return func(c *lifecycle.Config) { c.DayOf = func(time.Time) time.Time { return begins } }, begins
}

// A daily limit counts what the upstream took, holds for all engines on the database, and
// is not used up by submits that created nothing.
func TestDailyLimit(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		var refused atomic.Int32
		up.submit = func(int, provider.Request) (bool, error) {
			if refused.Add(1) <= 3 {
				return false, provider.Errorf(provider.Unavailable, "503")
			}
			return true, nil
		}
		limited := withAccounts(lifecycle.Account{Account: named("main"), PerDay: 2})
		day, _ := oneDay()
		h := build(t, db, t.TempDir(), up, limited, day)
		var ids []string
		for range 4 { // before any is submitted: a day that looks used up refuses new ones
			ids = append(ids, h.accept(t, submission("x")).ID)
		}
		h.start(t)
		eventually(t, "the limit is used up", func() bool { return healthOf(t, h, "main").State == kinora.AccountSpent })
		eventually(t, "what was taken ends", func() bool {
			ended := 0
			for _, id := range ids {
				if g, _, err := h.Generation(t.Context(), "", id); err == nil && g.State.Terminal() {
					ended++
				}
			}
			return ended == 2
		})
		if _, err := h.Accept(t.Context(), submission("x")); kinora.CodeOf(err) != kinora.ErrNoUpstream {
			t.Errorf("accepted although the day is used up until after the deadline: %v", err)
		}
		h.stop()
		second := build(t, db, t.TempDir(), up, limited, day).start(t)
		if a := healthOf(t, second, "main"); a.Today != 2 || a.Until.IsZero() {
			t.Errorf("after a restart: %+v", a)
		}
		time.Sleep(4 * 50 * time.Millisecond) // four idle times: whatever could be claimed would have been
		if n := len(up.created()); n != 2 {
			t.Errorf("%d jobs created, want 2", n)
		}
	})
}

// A node that has seen a day used up accepts again once another one has given a submit back.
func TestADayThatWasGivenBackElsewhereIsSeen(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		day, begins := oneDay()
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("main"), PerDay: 1}), day).start(t)
		if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("%+v", g.Failure)
		}
		if _, err := h.Accept(t.Context(), submission("x")); kinora.CodeOf(err) != kinora.ErrNoUpstream {
			t.Fatalf("accepted on a day that is used up: %v", err)
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			return tx.CountSubmits("main", begins, -1)
		}); err != nil {
			t.Fatal(err)
		}
		if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
			t.Errorf("%+v", g.Failure)
		}
	})
}

// What was claimed and never called is given back to the day of its account.
func TestWhatIsNotCalledUsesUpNothingOfTheDay(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		dir := t.TempDir()
		limited := withAccounts(lifecycle.Account{Account: named("main"), PerDay: 2})
		day, _ := oneDay()
		before := build(t, db, dir, up, limited, day, withIngests(&ingests{}), func(c *lifecycle.Config) {
			c.Models = append(c.Models, kinora.Model{Name: "former", Kind: kinora.KindImage, Provider: "fake"})
		})
		former := submission("x")
		former.Model = "former"
		sourced := before.accept(t, fromSource(kinora.Source{URL: "https://a.example/1.jpg"}))
		a := ingestOf(t, db, sourced.ID)
		mustEndIngest(t, before, a, nil)
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM source_assets WHERE id = ?`, a.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]kinora.FailureCode{before.accept(t, former).ID: kinora.FailureModelUnavailable, sourced.ID: kinora.FailureInternal}
		h := build(t, db, dir, up, limited, day, withIngests(&ingests{})).start(t)
		for id, code := range want {
			if g, _ := h.await(t, id); g.State != kinora.GenerationFailed || g.Failure.Code != code {
				t.Errorf("ended as %s %+v, want %s", g.State, g.Failure, code)
			}
		}
		if a := healthOf(t, h, "main"); len(up.created()) != 0 || a.Today != 0 || a.State != kinora.AccountReady {
			t.Errorf("%d created, account %+v", len(up.created()), a)
		}
	})
}

// A retired account takes nothing new and still follows, with its own key, what it has.
func TestRetiredAccountIsFollowed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := &keyed{fake: newFake(t)}
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: withKey("old")})).start(t)
		first := h.accept(t, submission("x")).ID
		eventually(t, "the first job is submitted", func() bool { return len(up.created()) == 1 })
		eventually(t, "its acceptance is committed", func() bool {
			list, err := h.Attempts(t.Context(), first)
			return err == nil && list[0].State == kinora.AttemptOpen
		})
		h.stop()
		up.mu.Lock()
		up.took = 0
		up.mu.Unlock()
		h = build(t, db, t.TempDir(), up, withAccounts(
			lifecycle.Account{Account: withKey("old"), Retired: true}, lifecycle.Account{Account: withKey("new")})).start(t)
		second := h.accept(t, submission("y")).ID
		for _, id := range []string{first, second} {
			if g, _ := h.await(t, id); g.State != kinora.GenerationSucceeded {
				t.Fatalf("%s ended as %s: %+v", id, g.State, g.Failure)
			}
		}
		up.mu.Lock()
		defer up.mu.Unlock()
		if up.polledWith[first+"_0"] != "key-old" || up.polledWith[second+"_0"] != "key-new" {
			t.Errorf("polled with %v", up.polledWith)
		}
	})
}

func withKey(name string) provider.Account {
	return provider.Account{Name: name, Provider: "fake", Settings: map[string]string{"key": "key-" + name}}
}

// keyed remembers with which account's key each job was polled.
type keyed struct {
	*fake
	polledWith map[string]string // by client reference
}

func (k *keyed) Poll(ctx context.Context, u provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	k.mu.Lock()
	if k.polledWith == nil {
		k.polledWith = map[string]string{}
	}
	for _, j := range jobs {
		k.polledWith[j.ClientRef] = u.Account.Settings["key"]
	}
	k.mu.Unlock()
	return k.fake.Poll(ctx, u, jobs)
}

// While an upstream is down its account rests: work waits in the queue instead of using up
// its tries, another account takes over, and all is submitted once when it is back.
func TestRestingAccountKeepsWorkWaiting(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		var down atomic.Bool
		down.Store(true)
		var calls atomic.Int32
		up.submit = func(int, provider.Request) (bool, error) {
			if down.Load() {
				calls.Add(1)
				return false, provider.Errorf(provider.Unavailable, "503")
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("main"), MaxInFlight: 1}),
			func(c *lifecycle.Config) { c.Timing.Backoff = 0.05 }).start(t)
		const jobs = 20
		var ids []string
		for range jobs {
			ids = append(ids, h.accept(t, submission("x")).ID)
		}
		eventually(t, "the account rests", func() bool { return healthOf(t, h, "main").State == kinora.AccountResting })
		if a := healthOf(t, h, "main"); a.LastClass != string(provider.Unavailable) || a.LastAt.IsZero() {
			t.Errorf("last error %+v", a)
		}
		down.Store(false)
		for _, id := range ids {
			if g, _ := h.await(t, id); g.State != kinora.GenerationSucceeded {
				t.Fatalf("ended as %s: %+v", g.State, g.Failure)
			}
		}
		for ref, n := range up.created() {
			if n != 1 {
				t.Errorf("%s created %d times", ref, n)
			}
		}
		if healthOf(t, h, "main").State == kinora.AccountResting {
			t.Error("it still rests")
		}
	})
}

// An upstream that is asked and proves nothing leaves the callback its time; without one
// the outcome stays unknown, and nothing is repeated.
func TestUncertainUpstream(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for name, calls := range map[string]bool{"called back": true, "silent": false} {
			t.Run(name, func(t *testing.T) {
				up := newFake(t)
				up.describe.Traits = takingCallbacks(50)
				up.reconcileErr = provider.ErrUncertain
				var h *house
				up.submit = func(_ int, req provider.Request) (bool, error) {
					if token := req.CallbackURL[strings.LastIndexByte(req.CallbackURL, '/')+1:]; calls {
						if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}); err != nil {
							t.Error(err)
						}
					}
					return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
				}
				h = build(t, db, t.TempDir(), both{callingBack{up}}, withPublicURL("https://kinora.example"))
				h.start(t)
				g, _ := h.await(t, h.accept(t, submission("x")).ID)
				unknown := g.Failure != nil && g.Failure.Code == kinora.FailureOutcomeUnknown
				if calls && g.State != kinora.GenerationSucceeded || !calls && !unknown {
					t.Errorf("ended as %s: %+v", g.State, g.Failure)
				}
				if n := up.submits[g.ID+"_0"]; n != 1 {
					t.Errorf("%d submits", n)
				}
				h.stop()
			})
		}
	})
}

// both is a fake that calls back and can be asked.
type both struct{ callingBack }

func (b both) Reconcile(ctx context.Context, u provider.Upstream, r provider.Request) (provider.Accepted, error) {
	return reconciling{b.fake}.Reconcile(ctx, u, r)
}

// What one caller of the sandbox asks for keeps no other waiting.
func TestIndifferentAccountNeverRests(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.submit = func(_ int, req provider.Request) (bool, error) {
			if class, ok := strings.CutPrefix(req.Prompt, "fail "); ok {
				return false, provider.Errorf(provider.Class(class), "as asked")
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("main"), Indifferent: true}),
			func(c *lifecycle.Config) { c.Timing.Backoff = 1 }).start(t)
		for _, class := range []provider.Class{provider.Balance, provider.Credential, provider.Permission} {
			if g, _ := h.await(t, h.accept(t, submission("fail "+string(class))).ID); g.Failure == nil || g.Failure.Code != kinora.FailureUpstream {
				t.Errorf("%s: ended as %s %+v", class, g.State, g.Failure)
			}
		}
		for range 2 * 5 {
			h.accept(t, submission("fail unavailable"))
			h.accept(t, submission("fail rate"))
		}
		if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
			t.Errorf("ended as %s %+v", g.State, g.Failure)
		}
		if a := healthOf(t, h, "main"); a.State != kinora.AccountReady {
			t.Errorf("the account is %s until %v", a.State, a.Until)
		}
	})
}

// A delivery that is repeated costs no look, and words that are repeated cost one in a pause.
func TestRepeatedCallbacksCostNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		const day = 24 * time.Hour
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: day, Interval: day, Ceiling: day}}
		pausing := func(pause time.Duration) options {
			return func(c *lifecycle.Config) { c.Models[0].Deadline, c.Timing.Repeat = 10*day, pause }
		}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example"), pausing(time.Hour)).start(t)
		g := h.accept(t, submission("x"))
		token := openJob(t, h, up, g.ID)
		looks := func() int { return h.attempts(t, g.ID)[0].Polls }
		call := func(body, id string) {
			t.Helper()
			header := http.Header{}
			if id != "" {
				header.Set("webhook-id", id)
			}
			if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte(body), Header: header}); err != nil {
				t.Fatal(err)
			}
		}
		for i, id := range []string{"msg_1", "msg_2", "msg_3"} {
			call("up_1", id)
			eventually(t, "a look", func() bool { return looks() == i+1 })
			for range 5 {
				call("up_1", id)
			}
		}
		time.Sleep(4 * 50 * time.Millisecond) // four idle times: whatever was due would have been looked at
		if n := looks(); n != 3 {
			t.Errorf("%d looks for three deliveries", n)
		}
		// Words without an id: the first is looked into at once, and what follows once more after the pause.
		for range 20 {
			call("up_1 again", "")
		}
		eventually(t, "a look", func() bool { return looks() > 3 })
		time.Sleep(4 * 50 * time.Millisecond)
		if a := h.awaitState(t, g.ID, 0, kinora.AttemptOpen); a.Polls != 4 || time.Until(a.DueAt) > time.Hour {
			t.Errorf("%d looks for twenty times the same words, want 1 in the pause; the next is at %v", a.Polls-3, a.DueAt)
		}
		h.stop()
		h = build(t, db, h.dir, callingBack{up}, withPublicURL("https://kinora.example"), pausing(100*time.Millisecond)).start(t)
		for i := range 2 {
			call("up_1 again", "")
			eventually(t, "a look at once, and one after the pause", func() bool { return looks() == 5+i })
		}
	})
}

// A call with a signed nonce is looked into once, whatever its unsigned parts say when it is replayed.
func TestReplayedNonceCostsNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: time.Hour, Interval: time.Hour, Ceiling: time.Hour}}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example")).start(t)
		g := h.accept(t, submission("x"))
		token := openJob(t, h, up, g.ID)
		attempt := func() *kinora.Attempt {
			list, err := h.Attempts(t.Context(), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			return list[0]
		}
		call := func(nonce, id string) {
			t.Helper()
			header := http.Header{}
			header.Set("X-Signed-Nonce", nonce)
			header.Set("webhook-id", id)
			if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: header}); err != nil {
				t.Fatal(err)
			}
		}
		call("n-1", "msg_1")
		eventually(t, "a look", func() bool { return attempt().Polls == 1 })
		before := attempt()
		for i := range 5 {
			call("n-1", fmt.Sprint("msg_", 2+i))
		}
		if a := attempt(); a.Version != before.Version || !a.HintedAt.Equal(before.HintedAt) {
			t.Errorf("a replay changed the attempt from %+v to %+v", before, a)
		}
		call("n-2", "msg_1")
		eventually(t, "a look for another call in the same words", func() bool { return attempt().Polls == 2 })
	})
}

// That a job goes on is no reason to ask about it: nothing is written and nobody looks.
func TestNewsThatAJobGoesOnCostsNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: time.Hour, Interval: time.Hour, Ceiling: time.Hour}}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example")).start(t)
		g := h.accept(t, submission("x"))
		token := openJob(t, h, up, g.ID)
		attempt := func() *kinora.Attempt {
			list, err := h.Attempts(t.Context(), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			return list[0]
		}
		before := attempt()
		call := func(header http.Header) {
			t.Helper()
			if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: header}); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			call(http.Header{"X-Goes-On": {"1"}})
		}
		if a := attempt(); !a.HintedAt.IsZero() || a.Version != before.Version || !a.DueAt.Equal(before.DueAt) {
			t.Errorf("the attempt is now %+v, was %+v", a, before)
		}
		call(http.Header{}) // the end, in the same words
		eventually(t, "a look", func() bool { return attempt().Polls == 1 })
	})
}

// openJob waits until the generation's job is open and returns its callback token.
func openJob(t *testing.T, h *house, up *fake, generationID string) (token string) {
	t.Helper()
	eventually(t, "the job is open", func() bool {
		list, err := h.Attempts(t.Context(), generationID)
		if err != nil || list[0].State != kinora.AttemptOpen {
			return false
		}
		up.mu.Lock()
		defer up.mu.Unlock()
		url := up.jobs["up_1"].url
		token = url[strings.LastIndexByte(url, '/')+1:]
		return true
	})
	return token
}

// An account whose day is used up takes what may wait for the next one.
func TestADayThatEndsBeforeTheDeadlineIsWaitedFor(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		begins := time.Now().UTC().Truncate(time.Microsecond)
		h := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("main"), PerDay: 1}), func(c *lifecycle.Config) {
			c.DayOf = func(time.Time) time.Time { return begins.Add(-24*time.Hour + 5*time.Minute) } // it ends within the deadline of ten minutes
		}).start(t)
		if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("%+v", g.Failure)
		}
		if a := healthOf(t, h, "main"); a.State != kinora.AccountSpent || !a.Until.Equal(begins.Add(5*time.Minute)) {
			t.Errorf("%+v", a)
		}
		if g := h.accept(t, submission("x")); g.State != kinora.GenerationQueued {
			t.Errorf("%+v", g)
		}
		h.stop()
	})
}
