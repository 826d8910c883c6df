package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGenerationRunsToItsEnd(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = 60 * time.Millisecond
		h := build(t, db, t.TempDir(), up).start(t)
		g := h.accept(t, submission("two kites"))
		if g.State != kinora.GenerationQueued || !strings.HasPrefix(g.ID, "task_") {
			t.Fatalf("accepted as %+v", g)
		}
		g, outputs := h.await(t, g.ID)
		if g.State != kinora.GenerationSucceeded || g.Progress != 100 || g.Failure != nil {
			t.Fatalf("ended as %+v, failure %+v", g, g.Failure)
		}
		if len(outputs) != 1 || outputs[0].Width != 8 || outputs[0].Height != 4 || outputs[0].ContentType != "image/png" || outputs[0].Role != "primary" {
			t.Fatalf("outputs %+v", outputs)
		}
		if ev, usage, deliveries := h.ledger(t, g.ID); ev != 1 || usage != 1 || deliveries != 1 {
			t.Fatalf("events %d, usage %d, deliveries %d; want one of each", ev, usage, deliveries)
		}
		obj, err := h.blob.Open(t.Context(), outputs[0].BlobKey)
		if err != nil {
			t.Fatal(err)
		}
		_ = obj.Close()
	})
}

// What an upstream's refusal means to the caller, and that nothing is ever created twice.
func TestRefusals(t *testing.T) {
	type want struct {
		code    kinora.FailureCode // "" = succeeds in the end
		submits int
	}
	refuse := func(times int, class provider.Class) func(int, provider.Request) (bool, error) {
		return func(n int, _ provider.Request) (bool, error) {
			if n <= times {
				return false, provider.Errorf(class, "no")
			}
			return true, nil
		}
	}
	cases := map[string]struct {
		submit func(int, provider.Request) (bool, error)
		want   want
	}{
		"invalid":          {refuse(99, provider.Invalid), want{kinora.FailureInvalidRequest, 1}},
		"moderation":       {refuse(99, provider.Moderation), want{kinora.FailureContentRejected, 1}},
		"model gone":       {refuse(99, provider.ModelGone), want{kinora.FailureModelUnavailable, 1}},
		"balance":          {refuse(99, provider.Balance), want{kinora.FailureUpstream, 1}},
		"credential":       {refuse(99, provider.Credential), want{kinora.FailureUpstream, 1}},
		"unavailable then": {refuse(3, provider.Unavailable), want{"", 4}},
		"unavailable ever": {refuse(99, provider.Unavailable), want{kinora.FailureUpstream, 10}},
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				up := newFake(t)
				up.submit = c.submit
				h := build(t, db, t.TempDir(), up).start(t)
				g, _ := h.await(t, h.accept(t, submission("x")).ID)
				switch {
				case c.want.code == "" && g.State != kinora.GenerationSucceeded:
					t.Errorf("ended as %s (%+v), want success", g.State, g.Failure)
				case c.want.code != "" && (g.Failure == nil || g.Failure.Code != c.want.code):
					t.Errorf("failure %+v, want %s", g.Failure, c.want.code)
				}
				if n := up.submits[g.ID+"_0"]; n != c.want.submits {
					t.Errorf("submitted %d times, want %d", n, c.want.submits)
				}
				if ev, _, _ := h.ledger(t, g.ID); ev != 1 {
					t.Errorf("%d events", ev)
				}
				h.stop()
			})
		}
	})
}

func TestLostAnswerIsNeverRepeatedBlindly(t *testing.T) {
	lost := func(created bool) func(int, provider.Request) (bool, error) {
		return func(n int, _ provider.Request) (bool, error) {
			if n == 1 {
				return created, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
			}
			return true, nil
		}
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		t.Run("no way to know", func(t *testing.T) {
			up := newFake(t)
			up.submit = lost(true)
			h := build(t, db, t.TempDir(), up).start(t)
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			if g.Failure == nil || g.Failure.Code != kinora.FailureOutcomeUnknown || up.submits[g.ID+"_0"] != 1 {
				t.Fatalf("failure %+v after %d submits", g.Failure, up.submits[g.ID+"_0"])
			}
			h.stop()
		})
		t.Run("found by its reference", func(t *testing.T) {
			up := newFake(t)
			up.submit = lost(true)
			h := build(t, db, t.TempDir(), reconciling{up}).start(t)
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			if g.State != kinora.GenerationSucceeded || up.submits[g.ID+"_0"] != 1 {
				t.Fatalf("ended as %s after %d submits", g.State, up.submits[g.ID+"_0"])
			}
			h.stop()
		})
		t.Run("certainly not there", func(t *testing.T) {
			up := newFake(t)
			up.submit = lost(false)
			h := build(t, db, t.TempDir(), reconciling{up}).start(t)
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			if g.State != kinora.GenerationSucceeded || up.submits[g.ID+"_0"] != 2 || up.created()[g.ID+"_0"] != 1 {
				t.Fatalf("ended as %s after %d submits, %d created", g.State, up.submits[g.ID+"_0"], up.created()[g.ID+"_0"])
			}
			h.stop()
		})
		t.Run("the lookup fails for good", func(t *testing.T) {
			up := newFake(t)
			up.submit = lost(true)
			up.reconcileErr = errors.New("no answer")
			// It is asked again until the deadline; then the outcome is unknown, not timed out.
			h := build(t, db, t.TempDir(), reconciling{up}).start(t)
			g := h.accept(t, submission("x"))
			h.until(t, "it is asked again", func() bool { return h.attempts(t, g.ID)[0].ReadErrors >= 2 })
			h.late(t, g.ID)
			g, _ = h.await(t, g.ID)
			if g.Failure == nil || g.Failure.Code != kinora.FailureOutcomeUnknown || up.submits[g.ID+"_0"] != 1 {
				t.Fatalf("failure %+v after %d submits", g.Failure, up.submits[g.ID+"_0"])
			}
			h.stop()
		})
		t.Run("a callback on its token settles it", func(t *testing.T) {
			up := newFake(t)
			up.describe.Traits = takingCallbacks(50)
			up.name = func(provider.Request) string { return "up_called" } // no job of the cases before
			var h *house
			up.submit = func(n int, req provider.Request) (bool, error) {
				// The upstream calls back on the attempt's URL before the answer is lost.
				token := req.CallbackURL[strings.LastIndexByte(req.CallbackURL, '/')+1:]
				go func() {
					_, err := h.Callback(context.Background(), "fake", token, provider.InboundCallback{Body: []byte("up_called"), Header: http.Header{}})
					if err != nil {
						t.Error(err)
					}
				}()
				return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
			}
			h = build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example"))
			h.start(t)
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			if g.State != kinora.GenerationSucceeded || up.created()[g.ID+"_0"] != 1 {
				t.Fatalf("ended as %s (%+v), %d created", g.State, g.Failure, up.created()[g.ID+"_0"])
			}
			h.stop()
		})
	})
}

func TestCrashInTheMiddleOfASubmitIsSettled(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.hang = make(chan struct{})
		quick := func(c *lifecycle.Config) { c.Timing.Submit = time.Second }
		h := build(t, db, t.TempDir(), reconciling{up}, quick).start(t)
		g := h.accept(t, submission("x"))
		<-up.reached
		// The node is declared dead: its leases are taken away in the middle of the call.
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.RemoveAllNodes(time.Now())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		done, _ := h.await(t, g.ID)
		if done.State != kinora.GenerationSucceeded {
			t.Fatalf("ended as %s %+v", done.State, done.Failure)
		}
		h.stop()
		if n := up.created()[g.ID+"_0"]; n != 1 {
			t.Fatalf("%d jobs were created", n)
		}
		if ev, usage, _ := h.ledger(t, g.ID); ev != 1 || usage != 1 {
			t.Fatalf("events %d, usage %d", ev, usage)
		}
	})
}

func TestAccountLimitHoldsAcrossNodes(t *testing.T) {
	db := storetest.Postgres(t)
	organise(t, db)
	up := newFake(t)
	up.took = 40 * time.Millisecond
	var mu sync.Mutex
	most := 0
	up.submit = func(int, provider.Request) (bool, error) {
		var n int
		err := db.View(context.Background(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM attempts WHERE state IN ('submitting', 'unsettled', 'open')`).Scan(&n)
		})
		mu.Lock()
		most = max(most, n)
		mu.Unlock()
		return true, err
	}
	limited := withAccounts(lifecycle.Account{Account: provider.Account{Name: "main", Provider: "fake"}, MaxInFlight: 3})
	dir := t.TempDir()
	a := build(t, db, dir, up, limited).start(t)
	b := build(t, db, dir, up, limited).start(t)
	var ids []string
	for i := range 20 {
		node := a
		if i%2 == 0 {
			node = b
		}
		ids = append(ids, node.accept(t, submission(fmt.Sprint(i))).ID)
	}
	for _, generationID := range ids {
		if g, _ := a.await(t, generationID); g.State != kinora.GenerationSucceeded {
			t.Errorf("%s ended as %s %+v", generationID, g.State, g.Failure)
		}
		if ev, _, _ := a.ledger(t, generationID); ev != 1 {
			t.Errorf("%s has %d events", generationID, ev)
		}
	}
	if most > 3 {
		t.Errorf("%d attempts were in flight at an account that takes 3", most)
	}
	for ref, n := range up.created() {
		if n != 1 {
			t.Errorf("%s was created %d times", ref, n)
		}
	}
}

func TestFailoverOnlyBeforeAcceptance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		two := withAccounts(
			lifecycle.Account{Account: provider.Account{Name: "empty", Provider: "fake"}, Weight: 1_000_000},
			lifecycle.Account{Account: provider.Account{Name: "spare", Provider: "fake"}},
		)
		// The first account has no money: its refusals park it and the work moves on.
		up.submit = func(n int, _ provider.Request) (bool, error) {
			if n == 1 {
				return false, provider.Errorf(provider.Balance, "no money")
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), up, two).start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		attempts, err := h.Attempts(t.Context(), g.ID)
		if err != nil {
			t.Fatal(err)
		}
		if g.State != kinora.GenerationSucceeded || attempts[0].Account != "spare" {
			t.Fatalf("ended as %s at account %q", g.State, attempts[0].Account)
		}
	})
}

func TestDeadlineEndsWhatNeverEnds(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up).start(t)
		g := h.accept(t, submission("x"))
		h.awaitState(t, g.ID, 0, kinora.AttemptOpen)
		h.late(t, g.ID)
		g, _ = h.await(t, g.ID)
		if g.Failure == nil || g.Failure.Code != kinora.FailureTimeout {
			t.Fatalf("failure %+v, want timeout", g.Failure)
		}
		h.stop()
		if len(up.canceled) != 1 {
			t.Errorf("cancelled upstream: %v", up.canceled)
		}
		if ev, usage, _ := h.ledger(t, g.ID); ev != 1 || usage != 0 {
			t.Errorf("events %d, usage %d", ev, usage)
		}
	})
}

func TestUpstreamFailures(t *testing.T) {
	cases := map[string]struct {
		report provider.Report
		code   kinora.FailureCode
	}{
		"failed":     {provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Generation, "broken")}, kinora.FailureUpstream},
		"moderation": {provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Moderation, "no")}, kinora.FailureContentRejected},
		"expired":    {provider.Report{State: provider.StateExpired}, kinora.FailureTimeout},
		"cancelled":  {provider.Report{State: provider.StateCancelled}, kinora.FailureUpstream},
		"no output":  {provider.Report{State: provider.StateSucceeded}, kinora.FailureUpstream},
		"not media":  {provider.Report{State: provider.StateSucceeded, Outputs: []provider.Output{{URL: "://"}}}, kinora.FailureUpstream},
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				up := newFake(t)
				up.report = func(*fakeJob) *provider.Report { r := c.report; return &r }
				h := build(t, db, t.TempDir(), up).start(t)
				g, _ := h.await(t, h.accept(t, submission("x")).ID)
				if g.State != kinora.GenerationFailed || g.Failure.Code != c.code {
					t.Errorf("ended as %s %+v, want %s", g.State, g.Failure, c.code)
				}
				if ev, usage, deliveries := h.ledger(t, g.ID); ev != 1 || usage != 0 || deliveries != 1 {
					t.Errorf("events %d, usage %d, deliveries %d", ev, usage, deliveries)
				}
				h.stop()
			})
		}
	})
}

func TestIdempotency(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		h := build(t, db, t.TempDir(), up).start(t)
		s := func() *kinora.Submission {
			s := submission("x")
			s.IdempotencyKey, s.IdempotencyScope, s.RequestHash = "order-17", "POST /api/generate/submit", "h1"
			return s
		}
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			ids = map[string]int{}
		)
		for range 100 { // many more than there are connections, and few enough that none waits for one for too long
			wg.Go(func() {
				for range 10 {
					got, err := h.Accept(context.Background(), s())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					ids[got.Generation.ID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Fatalf("1,000 identical posts made %d generations", len(ids))
		}
		other := s()
		other.RequestHash = "h2"
		if _, err := h.Accept(t.Context(), other); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Fatalf("another body = %v, want conflict", err)
		}
	})
}

func TestAcceptRefuses(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	h := build(t, db, t.TempDir(), newFake(t))
	unknown := submission("x")
	unknown.Model = "nothing"
	refused := submission("x")
	refused.WebhookURL = "https://refused.example/"
	nobody := submission("x")
	nobody.OrganisationID, nobody.WebhookURL = "org_nobody", "https://fine.example/"
	for want, s := range map[kinora.ErrorCode]*kinora.Submission{kinora.ErrInvalid: unknown, kinora.ErrNotFound: nobody} {
		if _, err := h.Accept(t.Context(), s); kinora.CodeOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := h.Accept(t.Context(), refused); kinora.CodeOf(err) != kinora.ErrInvalid {
		t.Errorf("refused webhook: %v", err)
	}
	var n int
	_ = db.View(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM generations`).Scan(&n) })
	if n != 0 {
		t.Errorf("refused submissions wrote %d rows", n)
	}
}

func TestCallbacks(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe = provider.Description{Traits: takingCallbacks(1), Poll: provider.Pace{First: time.Hour, Interval: time.Hour, Ceiling: time.Hour}}
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL("https://kinora.example")).start(t)
		g := h.accept(t, submission("x"))
		var job *fakeJob
		for job == nil {
			up.mu.Lock()
			job = up.jobs["up_1"]
			up.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		token := strings.TrimPrefix(job.url, "https://kinora.example/callbacks/fake/")
		if len(token) < 22 {
			t.Fatalf("callback URL %q", job.url)
		}
		stored, err := h.Attempts(t.Context(), g.ID)
		if err != nil || stored[0].CallbackToken != "" || stored[0].CallbackHash != kinora.CallbackHash(token) {
			t.Errorf("stored for the token %q: %+v, %v", token, stored, err)
		}
		in := provider.InboundCallback{Body: []byte("up_1"), Header: http.Header{}}
		if _, err := h.Callback(t.Context(), "fake", strings.Repeat("A", len(token)), in); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("unknown token = %v", err)
		}
		forged := in
		forged.Header = http.Header{"X-Forged": {"1"}}
		if _, err := h.Callback(t.Context(), "fake", token, forged); kinora.CodeOf(err) != kinora.ErrUnauthorized {
			t.Errorf("forged = %v", err)
		}
		// The first look is an hour away: only the callback can bring the end.
		for range 200 {
			if _, err := h.Callback(t.Context(), "fake", token, in); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := h.Generation(t.Context(), organisation, g.ID); got.State.Terminal() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got, _ := h.await(t, g.ID); got.State != kinora.GenerationSucceeded {
			t.Fatalf("ended as %s", got.State)
		}
		h.stop()

		// A caller's own URL goes upstream as it is, and our token is good for nothing then.
		up2 := newFake(t)
		up2.describe.Traits = takingCallbacks(50)
		h2 := build(t, db, t.TempDir(), callingBack{up2}, withPublicURL("https://kinora.example")).start(t)
		s := submission("x")
		s.Input.CallbackURL = "https://caller.example/Hook?x=%2F"
		g2, _ := h2.await(t, h2.accept(t, s).ID)
		if g2.State != kinora.GenerationSucceeded || up2.jobs["up_1"].url != s.Input.CallbackURL {
			t.Fatalf("ended as %s, upstream was told %q", g2.State, up2.jobs["up_1"].url)
		}
	})
}

func TestPollingOnlyModelIgnoresCallbackURL(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	h := build(t, db, t.TempDir(), up).start(t)
	s := submission("x")
	s.Input.CallbackURL = "https://caller.example/"
	g := h.accept(t, s)
	if !g.Input.CallbackIgnored {
		t.Error("not marked as ignored")
	}
	h.await(t, g.ID)
	if url := up.jobs["up_1"].url; url != "" {
		t.Errorf("the upstream was told %q", url)
	}
}

func TestStuckLaneDelaysNobody(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		stuck, sound := newFake(t), newFake(t)
		held := make(chan struct{})
		stuck.submit = func(int, provider.Request) (bool, error) { <-held; return true, nil }
		named := func(f *fake, name string) provider.Provider { return renamed{f, name} }
		h := build(t, db, t.TempDir(), named(stuck, "stuck"), func(c *lifecycle.Config) {
			c.Providers = append(c.Providers, named(sound, "sound"))
			c.Accounts = []lifecycle.Account{
				{Account: provider.Account{Name: "a", Provider: "stuck"}}, {Account: provider.Account{Name: "b", Provider: "sound"}},
			}
			c.Models = []kinora.Model{
				{Name: "fake-image", Kind: kinora.KindImage, Provider: "stuck"}, {Name: "sound-image", Kind: kinora.KindImage, Provider: "sound"},
			}
		}).start(t)
		release := sync.OnceFunc(func() { close(held) })
		t.Cleanup(release) // or a stop would wait for the calls
		var waiting []string
		for i := range 300 {
			waiting = append(waiting, h.accept(t, submission(fmt.Sprint(i))).ID)
		}
		s := submission("quick")
		s.Model = "sound-image"
		if g, _ := h.await(t, h.accept(t, s).ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("beside a stuck upstream it ended as %s", g.State)
		}
		for _, w := range waiting {
			if g, _, _ := h.Generation(t.Context(), organisation, w); g.State.Terminal() {
				t.Fatalf("%s ended although its upstream is stuck", w)
			}
		}
		release()
		for _, w := range waiting {
			h.await(t, w)
		}
	})
}

type renamed struct {
	*fake
	name string
}

func (r renamed) Name() string { return r.name }

func TestStopGivesLeasesBack(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up).start(t)
		for i := range 30 {
			h.accept(t, submission(fmt.Sprint(i)))
		}
		time.Sleep(100 * time.Millisecond)
		h.stop()
		var leased, nodes int
		err := db.View(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT (SELECT count(*) FROM attempts WHERE lease_owner <> ''), (SELECT count(*) FROM nodes)`).Scan(&leased, &nodes)
		})
		if err != nil || leased != 0 || nodes != 0 {
			t.Fatalf("after the stop: %d leases, %d nodes (%v)", leased, nodes, err)
		}
		up.took = 0
		again := build(t, db, h.dir, up).start(t)
		_ = again
		err = db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Query(`SELECT id FROM generations`, nil, func(row store.Row) error {
				var generationID string
				if err := row.Scan(&generationID); err != nil {
					return err
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
