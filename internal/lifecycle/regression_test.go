package lifecycle_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// A node that drains for a stop is alive: its submit call is its own until it has ended.
func TestDrainingNodeKeepsItsCalls(t *testing.T) {
	db := storetest.Postgres(t)
	organise(t, db)
	up := newFake(t)
	up.hang = make(chan struct{})
	dir := t.TempDir()
	a := build(t, db, dir, reconciling{up}).start(t)
	g := a.accept(t, submission("x"))
	<-up.reached
	b := build(t, db, dir, reconciling{up}).start(t)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = a.Stop(ctx)
	}()
	time.Sleep(6500 * time.Millisecond) // longer than the five beats for which a silent node is left alone
	close(up.hang)
	<-stopped
	if g, _ = b.await(t, g.ID); g.State != kinora.GenerationSucceeded {
		t.Fatalf("ended as %s %+v", g.State, g.Failure)
	}
	if n := up.submits[g.ID+"_0"]; n != 1 {
		t.Fatalf("submitted %d times", n)
	}
}

// flakyPolls answers polls as told, then as the fake does.
type flakyPolls struct {
	callingBack
	n       atomic.Int64
	answers func(n int64) (reports []provider.Report, err error, own bool)
	absent  bool // the list by reference says "no such job"
}

func (f *flakyPolls) Poll(ctx context.Context, u provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if reports, err, own := f.answers(f.n.Add(1)); own {
		return reports, err
	}
	return f.callingBack.Poll(ctx, u, jobs)
}

func (f *flakyPolls) Reconcile(ctx context.Context, u provider.Upstream, r provider.Request) (provider.Accepted, error) {
	if f.absent {
		return provider.Accepted{}, provider.ErrNotSubmitted
	}
	return reconciling{f.fake}.Reconcile(ctx, u, r)
}

// A callback on the attempt's own token is proof: neither a lagging list nor polls that
// fail may lead to a second call.
func TestProofOutweighsALaggingList(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe.Traits = takingCallbacks(50)
		p := &flakyPolls{callingBack: callingBack{up}, absent: true, answers: func(n int64) ([]provider.Report, error, bool) {
			return nil, provider.Errorf(provider.Unavailable, "503"), n <= 8
		}}
		var h *house
		up.submit = func(n int, req provider.Request) (bool, error) {
			if n > 1 {
				return true, nil
			}
			token := req.CallbackURL[strings.LastIndexByte(req.CallbackURL, '/')+1:]
			// That the job has begun is proof enough, although it is worth no look.
			in := provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{"X-Goes-On": {"1"}}}
			if _, err := h.Callback(context.Background(), "fake", token, in); err != nil {
				t.Error(err)
			}
			return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		h = build(t, db, t.TempDir(), p, withPublicURL("https://kinora.example"))
		h.start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		if g.State != kinora.GenerationSucceeded || up.created()[g.ID+"_0"] != 1 {
			t.Fatalf("ended as %s %+v, %d created", g.State, g.Failure, up.created()[g.ID+"_0"])
		}
	})
}

// routed is an upstream where a job is found only by the way it was submitted.
type routed struct{ callingBack }

func (routed) Route(req provider.Request) json.RawMessage {
	return json.RawMessage(`{"path":"/` + req.Prompt + `"}`)
}

func (r routed) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	if in.UpstreamModel != "fake-image" {
		return provider.Callback{}, provider.Errorf(provider.Credential, "the callback says nothing about its model")
	}
	return r.callingBack.VerifyCallback(up, in)
}

func (r routed) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	var found []provider.Job
	for _, j := range jobs {
		if string(j.Handle) == `{"path":"/x"}` {
			found = append(found, j)
		}
	}
	return r.callingBack.Poll(ctx, up, found)
}

// A callback names a job and not the way to it: that follows from the request.
func TestProofIsFollowedByItsRoute(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe.Traits, up.took = takingCallbacks(50), 100*time.Millisecond
		var h *house
		up.submit = func(_ int, req provider.Request) (bool, error) {
			token := req.CallbackURL[strings.LastIndexByte(req.CallbackURL, '/')+1:]
			if _, err := h.Callback(context.Background(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}); err != nil {
				t.Error(err)
			}
			return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		h = build(t, db, t.TempDir(), routed{callingBack{up}}, withPublicURL("https://kinora.example"))
		h.start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		if g.State != kinora.GenerationSucceeded || up.created()[g.ID+"_0"] != 1 {
			t.Fatalf("ended as %s %+v, %d created", g.State, g.Failure, up.created()[g.ID+"_0"])
		}
	})
}

// Proof that arrives after a try was taken back keeps the next call from being made.
func TestProofAfterATryWasTakenBack(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe.Traits = takingCallbacks(50)
		var token string
		up.submit = func(n int, req provider.Request) (bool, error) {
			token = req.CallbackURL[strings.LastIndexByte(req.CallbackURL, '/')+1:]
			return true, provider.Errorf(provider.Rate, "it says no, and yet makes the job")
		}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example"), slowly)
		h.start(t)
		g := h.accept(t, submission("x"))
		h.until(t, "the try is taken back", func() bool {
			a := h.attempts(t, g.ID)[0]
			return a.State == kinora.AttemptQueued && a.Account != ""
		})
		if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}); err != nil {
			t.Fatal(err)
		}
		if g, _ = h.await(t, g.ID); g.State != kinora.GenerationSucceeded || up.created()[g.ID+"_0"] != 1 {
			t.Fatalf("ended as %s %+v, %d created", g.State, g.Failure, up.created()[g.ID+"_0"])
		}
	})
}

// Attempts of one batch end at different times; what one step hands to the next stays in hand.
func TestHandedOverWorkIsNotTakenAgain(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		var downloads atomic.Int64
		held := make(chan struct{})
		inner := up.outputs.Config.Handler
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			downloads.Add(1)
			<-held
			inner.ServeHTTP(w, r)
		}))
		t.Cleanup(slow.Close)
		up.report = func(j *fakeJob) *provider.Report {
			return &provider.Report{State: provider.StateSucceeded, Outputs: []provider.Output{{URL: slow.URL + "/" + j.id + ".png", Kind: kinora.KindImage}}}
		}
		h := build(t, db, t.TempDir(), up, quickBeats).start(t)
		release := sync.OnceFunc(func() { close(held) })
		t.Cleanup(release) // or a stop would wait for the downloads
		var ids []string
		for range 6 {
			ids = append(ids, h.accept(t, submission("x")).ID)
		}
		time.Sleep(2500 * time.Millisecond) // several audits
		release()
		for _, generationID := range ids {
			h.await(t, generationID)
		}
		if n := downloads.Load(); n != int64(len(ids)) {
			t.Fatalf("%d downloads of %d outputs", n, len(ids))
		}
	})
}

// A database that can be read and not written must not keep a stop waiting.
func TestStopEndsWithoutADatabaseToWrite(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.took = time.Hour
	h := build(t, db, t.TempDir(), up, func(c *lifecycle.Config) { c.Models[0].Deadline = 700 * time.Millisecond })
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.accept(t, submission("x"))
	time.Sleep(300 * time.Millisecond)
	readOnly := func(v string) {
		err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`PRAGMA query_only = ` + v); return err })
		if err != nil && v == "1" {
			t.Fatal(err)
		}
	}
	readOnly("1")
	time.Sleep(time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = h.Stop(ctx)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the stop does not end")
	}
}

// A callback that comes while a poll's older answer is on its way back is not lost.
func TestHintDuringALookIsKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: 100 * time.Millisecond, Interval: time.Hour, Ceiling: time.Hour}}
		polled, held := make(chan struct{}), make(chan struct{})
		p := &flakyPolls{callingBack: callingBack{up}, answers: func(n int64) ([]provider.Report, error, bool) {
			if n > 1 {
				return nil, nil, false
			}
			close(polled)
			<-held
			return []provider.Report{{UpstreamID: "up_1", State: provider.StateRunning}}, nil, true
		}}
		h := build(t, db, t.TempDir(), p, withPublicURL("https://kinora.example")).start(t)
		answer := sync.OnceFunc(func() { close(held) })
		t.Cleanup(answer) // or a stop would wait for the look
		g := h.accept(t, submission("x"))
		<-polled
		up.mu.Lock()
		token := strings.TrimPrefix(up.jobs["up_1"].url, "https://kinora.example/callbacks/fake/")
		up.mu.Unlock()
		if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}); err != nil {
			t.Fatal(err)
		}
		answer()
		// The next look by pace is an hour away.
		if g, _ = h.await(t, g.ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("ended as %s", g.State)
		}
	})
}

// A callback that comes while the submit's outcome is unknown makes the job looked at also where settling, which asks only whether there is
// such a job, comes after it.
func TestHintBeforeSettlingIsKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: time.Hour, Interval: time.Hour, Ceiling: time.Hour}}
		up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
		up.submit = func(int, provider.Request) (bool, error) {
			return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		p := &flakyPolls{callingBack: callingBack{up}, answers: func(n int64) ([]provider.Report, error, bool) {
			return []provider.Report{{UpstreamID: "up_1", State: provider.StateRunning}}, nil, n == 1
		}}
		h := build(t, db, t.TempDir(), p, withPublicURL("https://kinora.example"), slowly).start(t)
		g := h.accept(t, submission("x"))
		eventually(t, "it is asked for once, and left alone for a while", func() bool {
			a := h.attempts(t, g.ID)[0]
			return a.State == kinora.AttemptUnsettled && a.ErrorClass == string(provider.Unavailable) && a.LeaseOwner == ""
		})
		up.mu.Lock()
		token := tokenOf(up.jobs["up_1"].url)
		up.mu.Unlock()
		if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}); err != nil {
			t.Fatal(err)
		}
		// The next look by pace is an hour away.
		if g, _ = h.await(t, g.ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("ended as %s", g.State)
		}
	})
}

// "No such task" is believed after it was said several times, not after other errors.
func TestGoneIsCountedApart(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.took = 300 * time.Millisecond
	p := &flakyPolls{callingBack: callingBack{up}, answers: func(n int64) ([]provider.Report, error, bool) {
		if n <= 3 {
			return nil, provider.Errorf(provider.Unavailable, "503"), true
		}
		return nil, nil, n == 4
	}}
	h := build(t, db, t.TempDir(), p).start(t)
	if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
		t.Fatalf("ended as %s %+v", g.State, g.Failure)
	}
}

// shortList is an upstream whose answer about several jobs lacks all but the first.
type shortList struct {
	*fake
	alone atomic.Int64
}

func (s *shortList) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if len(jobs) == 1 {
		s.alone.Add(1)
	}
	return s.fake.Poll(ctx, up, jobs[:1])
}

// What a list lacks is asked for alone before it is believed to be gone: it has been paid for.
func TestJobsThatAListLacksAreAskedForAlone(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.took = 2 * time.Second
	p := &shortList{fake: up}
	h := build(t, db, t.TempDir(), p).start(t)
	var list []*kinora.Generation
	for range 20 {
		list = append(list, h.accept(t, submission("x")))
	}
	for _, g := range list {
		if g, _ := h.await(t, g.ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("ended as %s %+v", g.State, g.Failure)
		}
	}
	if p.alone.Load() == 0 {
		t.Error("no job was asked for alone")
	}
}

// patient is an upstream with a slow tier.
type patient struct{ *fake }

func (patient) Patience(req provider.Request) time.Duration {
	if _, slow := req.Metadata["off_peak"]; slow {
		return 48 * time.Hour
	}
	return 0
}

func TestSlowTierHasItsOwnDeadline(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	h := build(t, db, t.TempDir(), patient{newFake(t)}).start(t)
	slow := submission("x")
	slow.Input.Metadata = map[string]json.RawMessage{"off_peak": json.RawMessage("true")}
	for want, s := range map[time.Duration]*kinora.Submission{48 * time.Hour: slow, kinora.DefaultImageDeadline: submission("y")} {
		g := h.accept(t, s)
		if got := g.DeadlineAt.Sub(g.CreatedAt); got != want {
			t.Errorf("the deadline is %v away, want %v", got, want)
		}
		h.await(t, g.ID)
	}
}

// An account that rests because it was asked too often is still an account.
func TestRestingAccountIsNotRefused(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.submit = func(n int, _ provider.Request) (bool, error) {
		switch n {
		case 1:
			return false, provider.Errorf(provider.Rate, "slow down")
		case 2:
			return false, provider.Errorf(provider.Balance, "no money")
		}
		return true, nil
	}
	h := build(t, db, t.TempDir(), up, withAccounts(
		lifecycle.Account{Account: provider.Account{Name: "a", Provider: "fake"}},
		lifecycle.Account{Account: provider.Account{Name: "b", Provider: "fake"}},
	)).start(t)
	if g, _ := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded {
		// Both refusals can hit the same account; then it alone is out, and the other one takes over.
		t.Fatalf("ended as %s %+v", g.State, g.Failure)
	}
}

// Being told to slow down, however often, is no reason to give up.
func TestRateRefusalsDoNotUseUpTheTries(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.submit = func(n int, _ provider.Request) (bool, error) {
		switch {
		case n <= 3:
			return false, provider.Errorf(provider.Rate, "slow down")
		case n == 4:
			return false, provider.Errorf(provider.Unavailable, "refused")
		}
		return true, nil
	}
	h := build(t, db, t.TempDir(), up).start(t)
	g, _ := h.await(t, h.accept(t, submission("x")).ID)
	list, err := h.Attempts(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if g.State != kinora.GenerationSucceeded || list[0].Tries != 1 {
		t.Fatalf("ended as %s after %d tries that count", g.State, list[0].Tries)
	}
}

// A hostile answer that makes our own code panic costs its own generation and nobody else's.
func TestPanicStaysWithItsGeneration(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.report = func(j *fakeJob) *provider.Report {
		if j.request.Prompt == "poison" {
			panic("a parser's bug")
		}
		return nil
	}
	up.describe.Traits = batchOf(1)
	h := build(t, db, t.TempDir(), unlocked{up}, quickBeats).start(t)
	bad := h.accept(t, submission("poison"))
	good := h.accept(t, submission("fine"))
	if g, _ := h.await(t, good.ID); g.State != kinora.GenerationSucceeded {
		t.Fatalf("the other generation ended as %s", g.State)
	}
	if g, _ := h.await(t, bad.ID); g.Failure == nil || g.Failure.Code != kinora.FailureInternal {
		t.Fatalf("ended as %s %+v", g.State, g.Failure)
	}
}

// unlocked gives the fake's lock back when a report panics.
type unlocked struct{ *fake }

func (u unlocked) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	u.mu.Lock()
	j, report := u.jobs[jobs[0].UpstreamID], u.report
	u.mu.Unlock()
	report(j)
	return u.fake.Poll(ctx, up, jobs)
}

// An upstream that cannot reach this server's callback address does the work without it;
// one that cannot reach the caller's own refuses the generation.
func TestRefusedCallbackAddress(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe.Traits = takingCallbacks(50)
		up.submit = func(_ int, req provider.Request) (bool, error) {
			if req.CallbackURL != "" {
				return false, &provider.Error{Class: provider.Invalid, Message: "the callback URL did not answer", CallbackRefused: true}
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example")).start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		if ref := g.ID + "_0"; g.State != kinora.GenerationSucceeded || up.created()[ref] != 1 || up.submits[ref] != 2 {
			t.Errorf("our own: ended as %s %+v after %d calls", g.State, g.Failure, up.submits[ref])
		}
		own := submission("x")
		own.Input.CallbackURL = "https://caller.example/hook"
		g, _ = h.await(t, h.accept(t, own).ID)
		if ref := g.ID + "_0"; g.State != kinora.GenerationFailed || g.Failure.Code != kinora.FailureInvalidRequest || up.submits[ref] != 1 {
			t.Errorf("the caller's: ended as %s %+v after %d calls", g.State, g.Failure, up.submits[ref])
		}
	})
}
