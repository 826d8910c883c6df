package lifecycle_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// slowAnswers is an upstream that names each job after its prompt, runs jobs until ended is called, and makes those of prompt "slow" at
// once but answers them when it is let: an acceptance that comes late.
type slowAnswers struct {
	*fake
	made, held chan struct{}
	let        func() // may be called again
}

func newSlowAnswers(t *testing.T) *slowAnswers {
	up := &slowAnswers{fake: newFake(t), made: make(chan struct{}, 1), held: make(chan struct{})}
	up.let = sync.OnceFunc(func() { close(up.held) })
	up.took = time.Hour
	up.name = func(req provider.Request) string { return "up_" + req.Prompt }
	up.answering = func(j *fakeJob) {
		if j.request.Prompt == "slow" {
			up.made <- struct{}{}
			<-up.held
		}
	}
	up.submit = func(_ int, req provider.Request) (bool, error) {
		if req.Prompt == "lost" {
			return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		return true, nil
	}
	return up
}

func (up *slowAnswers) ended() {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.took = 0
}

// stopped are the jobs that the upstream was told to stop.
func (up *slowAnswers) stopped() string {
	up.mu.Lock()
	defer up.mu.Unlock()
	return strings.Join(up.canceled, " ")
}

// counted adds metrics to an engine, and reads how many contests it counted after which one of two was without the job.
func counted(c *prometheus.Registry) (options, func(without string) float64) {
	return func(cfg *lifecycle.Config) { cfg.Metrics = c }, func(without string) (sum float64) {
		families, _ := c.Gather()
		for _, f := range families {
			if f.GetName() != "kinora_upstream_jobs_contested_total" {
				continue
			}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "without" && l.GetValue() == without {
						sum += m.GetCounter().GetValue()
					}
				}
			}
		}
		return sum
	}
}

// contested waits until an attempt has ended without the job that was named for it, and asserts that an operator finds it.
func (h *house) contested(t *testing.T, generationID, upstreamID string) *kinora.Attempt {
	t.Helper()
	g, outputs := h.await(t, generationID)
	a := h.attempts(t, generationID)[0]
	if a.UpstreamID != "" || a.ContestedID != upstreamID || len(outputs) != 0 {
		t.Errorf("it has %q, contested %q, and %d outputs", a.UpstreamID, a.ContestedID, len(outputs))
	}
	if g.State == kinora.GenerationFailed && g.Failure.Code != kinora.FailureOutcomeUnknown {
		t.Errorf("ended with %+v", g.Failure)
	}
	h.endsOnce(t, g)
	found, err := h.TroubledAttempts(t.Context(), kinora.TroubleSearch{Trouble: kinora.TroubleContested})
	if err != nil || len(found.List) != 1 || found.List[0].ID() != a.ID() {
		t.Errorf("troubled: %+v, %v", found, err)
	}
	return a
}

// succeeds asserts that an attempt has brought a job to its good end.
func (h *house) succeeds(t *testing.T, generationID, upstreamID string) {
	t.Helper()
	g, outputs := h.await(t, generationID)
	if a := h.attempts(t, generationID)[0]; g.State != kinora.GenerationSucceeded || len(outputs) != 1 || a.UpstreamID != upstreamID {
		t.Errorf("ended as %s (%+v) with %d outputs, job %q", g.State, g.Failure, len(outputs), a.UpstreamID)
	}
	h.endsOnce(t, g)
}

// An upstream that gives two calls one id: the first has the job, the second is not repeated and not forgotten.
func TestOneJobIsAcceptedOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newSlowAnswers(t)
		metrics, contests := counted(prometheus.NewRegistry())
		h := build(t, db, t.TempDir(), up, metrics).start(t)
		first := h.accept(t, submission("same"))
		h.awaitState(t, first.ID, 0, kinora.AttemptOpen)
		second := h.accept(t, submission("same"))
		a := h.contested(t, second.ID, "up_same")
		if up.submits[a.ID()] != 1 || a.ErrorCode != kinora.ErrorCodeContested || up.stopped() != "" {
			t.Errorf("%d submits, %s, stopped %q", up.submits[a.ID()], a.ErrorCode, up.stopped())
		}
		eventually(t, "it is counted", func() bool { return contests("named") == 1 })
		up.ended()
		h.succeeds(t, first.ID, "up_same")
		// Once it has ended, an upstream may begin its ids anew.
		h.succeeds(t, h.accept(t, submission("same")).ID, "up_same")
		h.stop()
	})
}

// What a hand has named wrongly goes back to the attempt for which the upstream itself names it, and is published to nobody else. The attempt
// for which it was named is settled as before the mistake, and its own job found.
func TestTheUpstreamsOwnWordOutweighsAHand(t *testing.T) {
	for name, tc := range map[string]struct {
		ended  bool // the attempt for which the hand names the job has ended
		cancel bool // the other one ends before its answer comes
	}{"live": {}, "ended": {ended: true}, "cancelled": {cancel: true}, "both ended": {true, true}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, db *store.DB) {
				organise(t, db)
				up := newSlowAnswers(t)
				var p provider.Provider = up
				if !tc.ended {
					up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
					p = struct {
						*slowAnswers
						reconciles
					}{up, reconciles{up: up.fake}}
				}
				metrics, contests := counted(prometheus.NewRegistry())
				h := build(t, db, t.TempDir(), p, slowly, metrics).start(t)
				t.Cleanup(up.let) // or a stop would wait for the call
				wrong := h.accept(t, submission("lost"))
				if tc.ended {
					h.await(t, wrong.ID)
				} else {
					h.awaitState(t, wrong.ID, 0, kinora.AttemptUnsettled)
				}
				right := h.accept(t, submission("slow"))
				<-up.made
				got, err := h.SettleByHand(t.Context(), wrong.ID+"_0", "up_slow")
				if err != nil || got.Watched == tc.ended {
					t.Fatalf("%+v, %v", got, err)
				}
				stops := ""
				if tc.ended {
					stops = "up_slow"
					eventually(t, "it is stopped", func() bool { return up.stopped() == stops })
				} else {
					h.awaitState(t, wrong.ID, 0, kinora.AttemptOpen)
				}
				if tc.cancel {
					h.cancelled(t, right.ID)
				}
				up.let()
				eventually(t, "the other one has the job", func() bool { return h.attempts(t, right.ID)[0].UpstreamID == "up_slow" })
				if tc.ended {
					h.contested(t, wrong.ID, "up_slow")
				} else {
					a := h.awaitState(t, wrong.ID, 0, kinora.AttemptUnsettled)
					if a.UpstreamID != "" || a.ContestedID != "" {
						t.Errorf("it has %q, contested %q", a.UpstreamID, a.ContestedID)
					}
					up.mu.Lock()
					up.reconcileErr = nil
					up.mu.Unlock()
					eventually(t, "its own job is found", func() bool {
						if _, err := h.LookNow(t.Context(), a.ID()); err != nil {
							t.Fatal(err)
						}
						return h.attempts(t, wrong.ID)[0].UpstreamID == "up_lost"
					})
				}
				if tc.cancel {
					stops = strings.TrimSpace(stops + " up_slow")
				}
				eventually(t, "whoever the job belongs to has it stopped", func() bool { return up.stopped() == stops })
				up.ended()
				if !tc.ended {
					h.succeeds(t, wrong.ID, "up_lost")
				}
				if !tc.cancel {
					h.succeeds(t, right.ID, "up_slow")
				}
				eventually(t, "it is counted", func() bool { return contests("holder") == 1 })
				if contests("named") != 0 || up.submits[wrong.ID+"_0"] != 1 {
					t.Errorf("%v contests, %d submits", contests("named"), up.submits[wrong.ID+"_0"])
				}
				if list := h.audited(t, wrong.ID+"_0"); len(list) != 1 || list[0].Action != kinora.AuditAttemptYield || list[0].Actor.Kind != kinora.ActorSystem || string(list[0].Detail) != `{"upstream_id":"up_slow"}` {
					t.Errorf("audit log: %+v", list)
				}
				h.stop()
			})
		})
	}
}

// Where others take a job between every look and its write, the last try writes that the attempt goes without it. Whoever had the job then keeps it.
func TestTheLastTryTakesAJobFromNobody(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newSlowAnswers(t)
		up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
		metrics, contests := counted(prometheus.NewRegistry())
		h := build(t, db, t.TempDir(), struct {
			*slowAnswers
			reconciles
		}{up, reconciles{up: up.fake}}, slowly, metrics).start(t)
		t.Cleanup(up.let) // or a stop would wait for the call
		holder := h.accept(t, submission("lost"))
		h.awaitState(t, holder.ID, 0, kinora.AttemptUnsettled)
		rival := h.accept(t, submission("lost"))
		h.awaitState(t, rival.ID, 0, kinora.AttemptUnsettled)
		g := h.accept(t, submission("slow"))
		<-up.made
		if _, err := h.SettleByHand(t.Context(), holder.ID+"_0", "up_slow"); err != nil {
			t.Fatal(err)
		}
		h.awaitState(t, holder.ID, 0, kinora.AttemptOpen)
		// The rival has the job whenever the attempt is about to be written with it.
		when := `NEW.generation_id = '` + g.ID + `' AND NEW.upstream_id <> ''`
		takes := `UPDATE attempts SET upstream_id = NEW.upstream_id WHERE generation_id = '` + rival.ID + `';`
		if db.Shared() {
			run(t, db, `CREATE FUNCTION rival() RETURNS trigger AS $$ BEGIN `+takes+` RETURN NEW; END $$ LANGUAGE plpgsql`)
			run(t, db, `CREATE TRIGGER rival BEFORE UPDATE ON attempts FOR EACH ROW WHEN (`+when+`) EXECUTE FUNCTION rival()`)
		} else {
			run(t, db, `CREATE TRIGGER rival BEFORE UPDATE ON attempts WHEN `+when+` BEGIN `+takes+` END`)
		}
		up.let()
		h.contested(t, g.ID, "up_slow")
		eventually(t, "it is counted", func() bool { return contests("named") == 1 })
		up.ended()
		h.succeeds(t, holder.ID, "up_slow")
		h.stop()
	})
}

// An upstream that begins its ids anew names a job that has ended, in a callback that comes before the answer too. Whoever had
// it is in the way only where the job may be the same.
func TestACallbackMayNameAnIDAnew(t *testing.T) {
	for name, beside := range map[string]bool{"after its end": false, "submitted beside it": true} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, db *store.DB) {
				organise(t, db)
				up := newSlowAnswers(t)
				up.describe.Traits = takingCallbacks(50)
				up.name = func(provider.Request) string { return "up_same" }
				calls := make(chan string, 1)
				up.answering = func(j *fakeJob) {
					if j.request.Prompt == "second" {
						calls <- j.url
						<-up.held
					}
				}
				up.submit = func(_ int, req provider.Request) (bool, error) {
					if req.Prompt == "second" {
						return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
					}
					return true, nil
				}
				h := build(t, db, t.TempDir(), callingBack{up.fake}, withPublicURL("https://kinora.example"), slowly).start(t)
				t.Cleanup(up.let) // or a stop would wait for the call
				first := h.accept(t, submission("first"))
				h.awaitState(t, first.ID, 0, kinora.AttemptOpen)
				end := func() {
					up.ended()
					h.succeeds(t, first.ID, "up_same")
				}
				if !beside {
					end()
				}
				second := h.accept(t, submission("second"))
				url := <-calls
				if beside {
					end()
				}
				if _, err := h.Callback(t.Context(), "fake", url[strings.LastIndexByte(url, '/')+1:], provider.InboundCallback{Body: []byte("up_same"), Header: http.Header{}}); err != nil {
					t.Fatal(err)
				}
				up.let()
				if beside {
					h.contested(t, second.ID, "up_same")
				} else {
					h.succeeds(t, second.ID, "up_same")
				}
				h.stop()
			})
		})
	}
}

// reconciles gives a fake a lookup by reference.
type reconciles struct {
	up     *fake
	asking func(req provider.Request) // called at each; nil = nothing
}

func (r reconciles) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	if r.asking != nil {
		r.asking(req)
	}
	return reconciling{r.up}.Reconcile(ctx, up, req)
}

// A job that is named while the upstream is being asked is looked into at once, and not when the wait after that is over.
func TestAJobNamedDuringALookIsLookedIntoAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newSlowAnswers(t)
		up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
		var h *house
		var asked atomic.Bool // what a hand names is asked for too
		h = build(t, db, t.TempDir(), struct {
			*slowAnswers
			reconciles
		}{up, reconciles{up.fake, func(req provider.Request) {
			if asked.Swap(true) {
				return
			}
			if _, err := h.SettleByHand(context.Background(), req.ClientRef, "up_lost"); err != nil {
				t.Error(err)
			}
		}}}, slowly).start(t)
		g := h.accept(t, submission("lost"))
		h.awaitState(t, g.ID, 0, kinora.AttemptOpen)
		up.ended()
		h.succeeds(t, g.ID, "up_lost")
		h.stop()
	})
}

// Where the upstream can tell which job it has made for an attempt, or that it has made none, a hand cannot name another one.
func TestAHandCannotNameWhatTheUpstreamMadeForAnother(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
		up.name = func(req provider.Request) string { return "up_" + req.Prompt }
		up.submit = func(_ int, req provider.Request) (bool, error) {
			return req.Prompt != "none", provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
		}
		h := build(t, db, t.TempDir(), reconciling{up}, slowly).start(t)
		ids := map[string]string{}
		for _, prompt := range []string{"one", "other", "none"} {
			g := h.accept(t, submission(prompt))
			h.awaitState(t, g.ID, 0, kinora.AttemptUnsettled)
			h.cancelled(t, g.ID)
			ids[prompt] = g.ID + "_0"
		}
		up.mu.Lock()
		up.reconcileErr = nil
		up.mu.Unlock()
		settle := func(prompt, upstreamID string) kinora.ErrorCode {
			_, err := h.SettleByHand(t.Context(), ids[prompt], upstreamID)
			return kinora.CodeOf(err)
		}
		for prompt, upstreamID := range map[string]string{"one": "up_other", "other": "up_one"} {
			if code := settle(prompt, upstreamID); code != kinora.ErrInvalid {
				t.Errorf("%s named for %s: %q", upstreamID, prompt, code)
			}
		}
		// That nothing was made is certain once the call is long over; before, it may still come.
		if code := settle("none", "up_other"); code != "" {
			t.Errorf("named while the call may still have been under way: %s", code)
		}
		run(t, db, `UPDATE attempts SET upstream_id = '', named_by = '', submitted_at = 1, done_at = 1 WHERE upstream_id = 'up_other'`)
		if code := settle("none", "up_other"); code != kinora.ErrInvalid {
			t.Errorf("named where nothing was made: %s", code)
		}
		if code := settle("one", "up_one"); code != "" {
			t.Errorf("its own: %s", code)
		}
		eventually(t, "what was named is stopped", func() bool { return up.cancels() == 2 })
		h.stop()
	})
}

// An answer that comes after the cancel and names another attempt's job does not stop that job.
func TestALateAnswerDoesNotStopAnothersJob(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newSlowAnswers(t)
		up.name = func(provider.Request) string { return "up_same" }
		metrics, contests := counted(prometheus.NewRegistry())
		h := build(t, db, t.TempDir(), up, metrics).start(t)
		t.Cleanup(up.let) // or a stop would wait for the call
		first := h.accept(t, submission("first"))
		h.awaitState(t, first.ID, 0, kinora.AttemptOpen)
		late := h.accept(t, submission("slow"))
		<-up.made
		h.cancelled(t, late.ID)
		up.let()
		eventually(t, "it is found out", func() bool { return contests("named") == 1 })
		h.contested(t, late.ID, "up_same")
		up.ended()
		h.succeeds(t, first.ID, "up_same")
		h.stop()
		if up.stopped() != "" {
			t.Errorf("stopped %s", up.stopped())
		}
	})
}

// Callbacks on an attempt's token that name another attempt's job: before the call is answered, while it is settled, and after its end.
func TestCallbacksThatNameAnothersJob(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for _, when := range []string{"called", "unsettled", "ended"} {
			t.Run(when, func(t *testing.T) {
				if when == "called" {
					organise(t, db)
				}
				run(t, db, `UPDATE attempts SET contested_id = ''`) // of the case before
				up := newSlowAnswers(t)
				up.describe.Traits = takingCallbacks(50)
				var h *house
				call := func(url string) {
					t.Helper()
					token := url[strings.LastIndexByte(url, '/')+1:]
					if _, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Body: []byte("up_first"), Header: http.Header{}}); err != nil {
						t.Error(err)
					}
				}
				var url string
				up.submit = func(n int, req provider.Request) (bool, error) {
					if req.Prompt == "first" {
						return true, nil
					}
					url = req.CallbackURL
					switch {
					case when == "called" && n == 1:
						call(url)
						return false, provider.Errorf(provider.Unavailable, "nothing was made, it says")
					case when == "called":
						t.Error("called a second time")
					}
					return false, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
				}
				metrics, contests := counted(prometheus.NewRegistry())
				h = build(t, db, t.TempDir(), callingBack{up.fake}, withPublicURL("https://kinora.example"), slowly, metrics).start(t)
				first := h.accept(t, submission("first"))
				h.awaitState(t, first.ID, 0, kinora.AttemptOpen)
				second := h.accept(t, submission("second"))
				switch when {
				case "unsettled":
					h.awaitState(t, second.ID, 0, kinora.AttemptUnsettled)
					call(url)
				case "ended":
					h.awaitState(t, second.ID, 0, kinora.AttemptUnsettled)
					h.cancelled(t, second.ID)
					call(url)
					call(url) // again: nothing new
				}
				h.contested(t, second.ID, "up_first")
				up.ended()
				h.succeeds(t, first.ID, "up_first")
				h.stop()
				if contests("named") != 1 || contests("holder") != 0 {
					t.Errorf("%v contests", contests("named"))
				}
			})
		}
	})
}

// Of an attempt that has ended, too, only a job is kept that its upstream knows and no other attempt has.
func TestAJobForTheBillIsConfirmedFirst(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newSlowAnswers(t)
		h := build(t, db, t.TempDir(), up).start(t)
		others := h.accept(t, submission("others"))
		h.awaitState(t, others.ID, 0, kinora.AttemptOpen)
		var lost []string
		for range 2 {
			g, _ := h.await(t, h.accept(t, submission("lost")).ID)
			lost = append(lost, g.ID+"_0")
		}
		for id, want := range map[string]kinora.ErrorCode{"up_typo": kinora.ErrInvalid, "up_others": kinora.ErrConflict} {
			if _, err := h.SettleByHand(t.Context(), lost[0], id); kinora.CodeOf(err) != want {
				t.Errorf("%s: %v, want %s", id, err, want)
			}
		}
		if up.stopped() != "" {
			t.Errorf("stopped %s", up.stopped())
		}
		// Two operators at once: one attempt gets it.
		var (
			wg   sync.WaitGroup
			errs [2]error
		)
		for i, id := range lost {
			wg.Go(func() { _, errs[i] = h.SettleByHand(t.Context(), id, "up_lost") })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || kinora.CodeOf(errs[0]) != kinora.ErrConflict && kinora.CodeOf(errs[1]) != kinora.ErrConflict {
			t.Errorf("%v, %v", errs[0], errs[1])
		}
		eventually(t, "it is stopped", func() bool { return up.stopped() == "up_lost" })
		h.stop()
		// Without the account nobody can be asked.
		gone := build(t, db, t.TempDir(), up, withAccounts(lifecycle.Account{Account: named("another")}))
		free := lost[0]
		if errs[0] == nil {
			free = lost[1]
		}
		if _, err := gone.SettleByHand(t.Context(), free, "up_lost"); kinora.CodeOf(err) != kinora.ErrUnavailable {
			t.Errorf("without its account: %v", err)
		}
	})
}

// inOneAnswer is a fake whose submit calls are answered with the result, all under one id.
type inOneAnswer struct {
	*fake
	from string
}

func (f inOneAnswer) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	got, err := f.fake.Submit(ctx, up, req)
	got.Report = &provider.Report{UpstreamID: got.UpstreamID, State: provider.StateSucceeded, Outputs: []provider.Output{{URL: f.from + "/x.png", Kind: kinora.KindImage}}}
	return got, err
}

// What comes with an attempt's own answer is its own, whichever id its upstream gives it.
func TestResultsInAnswersAreKeptWhateverTheirID(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.name = func(provider.Request) string { return "up_same" }
		fetched := make(chan struct{})
		held := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-fetched
			up.outputs.Config.Handler.ServeHTTP(w, r)
		}))
		t.Cleanup(held.Close)
		h := build(t, db, t.TempDir(), inOneAnswer{up, held.URL}).start(t)
		let := sync.OnceFunc(func() { close(fetched) })
		t.Cleanup(let) // or a stop would wait for the downloads
		var ids []string
		for range 2 {
			g := h.accept(t, submission("x"))
			ids = append(ids, g.ID)
			h.until(t, "its outputs are being fetched", func() bool { return h.attempts(t, g.ID)[0].State == kinora.AttemptCollecting })
		}
		let()
		for i, id := range ids {
			g, outputs := h.await(t, id)
			if a := h.attempts(t, id)[0]; g.State != kinora.GenerationSucceeded || len(outputs) != 1 || (a.UpstreamID == "up_same") != (i == 0) || a.ContestedID != "" {
				t.Errorf("%s %+v with %d outputs: %+v", g.State, g.Failure, len(outputs), a)
			}
		}
		h.stop()
	})
}
