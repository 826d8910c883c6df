package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// lost is a submit whose job is made and whose answer is lost, while the upstream cannot be asked for it.
func lost(up *fake) {
	up.submit = func(int, provider.Request) (bool, error) {
		return true, provider.Errorf(provider.OutcomeUnknown, "the answer was lost")
	}
	up.reconcileErr = provider.Errorf(provider.Unavailable, "it is down")
}

// slowly makes the waits between looks so long that only a hand ends them.
func slowly(c *lifecycle.Config) { c.Timing.Backoff = 1000 }

func (h *house) awaitState(t *testing.T, generationID string, ordinal int, want kinora.AttemptState) *kinora.Attempt {
	t.Helper()
	var a *kinora.Attempt
	eventually(t, "the attempt is "+string(want), func() bool {
		a = h.attempts(t, generationID)[ordinal]
		return a.State == want && a.LeaseOwner == ""
	})
	return a
}

// audited lists what the audit log says about an attempt, the last entry first.
func (h *house) audited(t *testing.T, attemptID string) []kinora.AuditEntry {
	t.Helper()
	var list []kinora.AuditEntry
	err := h.db.View(t.Context(), func(tx *store.Tx) (err error) {
		list, _, err = tx.AuditEntries(kinora.AuditFilter{Target: attemptID}, store.SearchPage{Limit: 10, Reach: 10_000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAJobNamedByHandIsWatched(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		lost(up)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), reconciling{up}, slowly).start(t)
		other := h.accept(t, submission("other"))
		first := h.awaitState(t, other.ID, 0, kinora.AttemptUnsettled)
		g := h.accept(t, submission("x"))
		a := h.awaitState(t, g.ID, 0, kinora.AttemptUnsettled)
		ctx := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator, Address: "192.0.2.1"})
		if got, err := h.SettleByHand(ctx, first.ID(), "up_1"); err != nil || !got.Watched {
			t.Fatalf("%+v, %v", got, err)
		}
		h.awaitState(t, other.ID, 0, kinora.AttemptOpen)
		for id, want := range map[string]kinora.ErrorCode{"": kinora.ErrInvalid, "up_9": kinora.ErrInvalid, "up_1": kinora.ErrConflict, strings.Repeat("x", 600): kinora.ErrInvalid} {
			if _, err := h.SettleByHand(ctx, a.ID(), id); kinora.CodeOf(err) != want {
				t.Errorf("%.20q: %v, want %s", id, err, want)
			}
		}
		if now := h.attempts(t, g.ID)[0]; now.State != kinora.AttemptUnsettled || now.UpstreamID != "" {
			t.Fatalf("wrong ids have changed it: %+v", now)
		}
		up.mu.Lock()
		up.took = 0
		up.mu.Unlock()
		got, err := h.SettleByHand(ctx, a.ID(), "up_2")
		if err != nil || !got.Watched || got.Attempt.UpstreamID != "up_2" {
			t.Fatalf("%+v, %v", got, err)
		}
		done, outputs := h.await(t, g.ID)
		if done.State != kinora.GenerationSucceeded || len(outputs) != 1 || up.created()[a.ID()] != 1 || up.submits[a.ID()] != 1 {
			t.Errorf("ended as %s with %d outputs; %d submits", done.State, len(outputs), up.submits[a.ID()])
		}
		h.endsOnce(t, done)
		if list := h.audited(t, a.ID()); len(list) != 1 || list[0].Action != kinora.AuditAttemptSettle || list[0].Actor.Address != "192.0.2.1" || list[0].OrganisationID != organisation || string(list[0].Detail) != `{"upstream_id":"up_2"}` {
			t.Errorf("audit log: %+v", list)
		}
		if _, err := h.SettleByHand(ctx, a.ID(), "up_3"); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("once more: %v", err)
		}
		h.stop()
	})
}

// The end of an attempt whose outcome stayed unknown is never changed: the id is kept, and the job stopped.
func TestAJobNamedAfterTheEndIsKeptForTheBill(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		lost(up)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up).start(t)
		g, _ := h.await(t, h.accept(t, submission("x")).ID)
		a := h.attempts(t, g.ID)[0]
		if g.Failure.Code != kinora.FailureOutcomeUnknown || a.UpstreamID != "" {
			t.Fatalf("%+v, %+v", g.Failure, a)
		}
		got, err := h.SettleByHand(t.Context(), a.ID(), "up_1")
		if err != nil || got.Watched {
			t.Fatalf("%+v, %v", got, err)
		}
		eventually(t, "the upstream is told", func() bool { return up.cancels() == 1 })
		after, _ := h.await(t, g.ID)
		if now := h.attempts(t, g.ID); len(now) != 1 || now[0].UpstreamID != "up_1" || now[0].State != kinora.AttemptFailed || after.State != kinora.GenerationFailed || after.Failure.Code != kinora.FailureOutcomeUnknown {
			t.Errorf("%+v of %+v", now[0], after)
		}
		h.endsOnce(t, after)
		if list := h.audited(t, a.ID()); len(list) != 0 {
			t.Errorf("without an actor: %+v", list)
		}
		h.stop()
	})
}

func TestGiveUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		ctx := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator})
		for _, tc := range []struct {
			state   kinora.AttemptState
			prepare func(up *fake)
			code    kinora.FailureCode
			cancels int
		}{
			{kinora.AttemptQueued, func(up *fake) {
				up.submit = func(int, provider.Request) (bool, error) { return false, provider.Errorf(provider.Unavailable, "down") }
			}, kinora.FailureUpstream, 0},
			{kinora.AttemptUnsettled, lost, kinora.FailureOutcomeUnknown, 0},
			{kinora.AttemptOpen, func(up *fake) { up.took = time.Hour }, kinora.FailureUpstream, 1},
			{kinora.AttemptCollecting, func(up *fake) {
				up.report = func(*fakeJob) *provider.Report {
					return &provider.Report{State: provider.StateSucceeded, Outputs: []provider.Output{{URL: "http://127.0.0.1:1/gone.png", Kind: kinora.KindImage}}}
				}
			}, kinora.FailureUpstream, 1},
		} {
			t.Run(string(tc.state), func(t *testing.T) {
				up := newFake(t)
				tc.prepare(up)
				h := build(t, db, t.TempDir(), reconciling{up}, slowly).start(t)
				g := h.accept(t, submission("x"))
				var a *kinora.Attempt
				eventually(t, "it waits", func() bool {
					a = h.attempts(t, g.ID)[0]
					return a.State == tc.state && a.DueAt.After(time.Now())
				})
				ended, err := h.GiveUp(ctx, a.ID(), "nobody answers")
				if err != nil || ended.State != kinora.AttemptFailed {
					t.Fatalf("%+v, %v", ended, err)
				}
				done, _ := h.await(t, g.ID)
				if done.State != kinora.GenerationFailed || done.Failure.Code != tc.code {
					t.Errorf("ended as %s, %+v", done.State, done.Failure)
				}
				h.endsOnce(t, done)
				eventually(t, "the upstream is told", func() bool { return up.cancels() == tc.cancels })
				list := h.audited(t, a.ID())
				if len(list) != 1 || list[0].Action != kinora.AuditAttemptGiveUp || !strings.Contains(string(list[0].Detail), "nobody answers") {
					t.Errorf("audit log: %+v", list)
				}
				if _, err := h.GiveUp(ctx, a.ID(), ""); kinora.CodeOf(err) != kinora.ErrConflict {
					t.Errorf("again: %v", err)
				}
				if _, err := h.LookNow(ctx, a.ID()); kinora.CodeOf(err) != kinora.ErrConflict {
					t.Errorf("look: %v", err)
				}
				h.stop()
			})
		}
	})
}

// Nothing is made anew for an attempt that was given up: neither another round, nor on another route.
func TestGivingUpMakesNothingAnew(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.report = func(j *fakeJob) *provider.Report {
			if strings.HasSuffix(j.ref, "_1") {
				return &provider.Report{State: provider.StateRunning, Progress: 10}
			}
			return nil
		}
		none := &judge{scores: func(*kinora.Output) kinora.Verdict { return kinora.Verdict{} }}
		h := build(t, db, t.TempDir(), splitting{up}, judgedBy(none)).start(t)
		g := h.accept(t, parts(2, func(p *kinora.Plan) { p.Rounds, p.Gate = 3, &kinora.Gate{} }))
		eventually(t, "the first part has ended", func() bool { return h.attempts(t, g.ID)[0].State.Terminal() })
		slow := h.awaitState(t, g.ID, 1, kinora.AttemptOpen)
		if _, err := h.GiveUp(t.Context(), slow.ID(), ""); err != nil {
			t.Fatal(err)
		}
		done, _ := h.await(t, g.ID)
		if done.State != kinora.GenerationFailed || len(h.attempts(t, g.ID)) != 2 || len(up.created()) != 2 {
			t.Errorf("%s after %v; created %v", done.State, h.states(t, g.ID), up.created())
		}
		h.endsOnce(t, done)
		h.stop()
	})
}

func TestLookNow(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.describe = provider.Description{Traits: batchOf(1), Poll: provider.Pace{First: time.Hour, Interval: time.Hour, Ceiling: time.Hour}}
		h := build(t, db, t.TempDir(), up).start(t)
		ctx := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator})
		g := h.accept(t, submission("x"))
		a := h.awaitState(t, g.ID, 0, kinora.AttemptOpen) // the first look is an hour away
		if _, err := h.LookNow(ctx, a.ID()); err != nil {
			t.Fatal(err)
		}
		if done, _ := h.await(t, g.ID); done.State != kinora.GenerationSucceeded || up.submits[a.ID()] != 1 {
			t.Errorf("ended as %s after %d submits", done.State, up.submits[a.ID()])
		}
		if list := h.audited(t, a.ID()); len(list) != 1 || list[0].Action != kinora.AuditAttemptLook {
			t.Errorf("audit log: %+v", list)
		}
		for _, id := range []string{"", "x", g.ID, g.ID + "_7", g.ID + "_00", g.ID + "_-1", "task_00000000000000000000000000_0"} {
			_, err := h.LookNow(ctx, id)
			_, err2 := h.GiveUp(ctx, id, "")
			_, err3 := h.SettleByHand(ctx, id, "up_1")
			for _, err := range []error{err, err2, err3} {
				if kinora.CodeOf(err) != kinora.ErrNotFound {
					t.Errorf("%q: %v", id, err)
				}
			}
		}
		h.stop()
		waits := h.accept(t, submission("x")) // as one that waits for its source
		run(t, db, `UPDATE attempts SET due_at = 0 WHERE generation_id = ?`, waits.ID)
		if _, err := h.LookNow(ctx, waits.ID+"_0"); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("without its source: %v", err)
		}
	})
}

func run(t *testing.T, db *store.DB, text string, args ...any) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(text, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestTroubledAttempts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		took := make([]time.Duration, 20)
		for i := range took {
			took[i] = time.Minute
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveLearntDurations("fake-image", took, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		h := build(t, db, t.TempDir(), newFake(t))
		now := time.Now()
		ago := func(d time.Duration) int64 { return store.Micros(now.Add(-d)) }
		ids := map[string]string{}
		for _, tc := range []struct {
			name, set string
			args      []any
		}{
			{"well", `state = 'open', accepted_at = ?`, []any{ago(2 * time.Minute)}},
			{"late", `state = 'open', accepted_at = ?`, []any{ago(4 * time.Minute)}},
			{"unsettled", `state = 'unsettled'`, nil},
			{"unreadable", `state = 'open', accepted_at = ?, read_errors = 5, error_class = 'unavailable'`, []any{ago(time.Second)}},
			{"waiting", `provider = 'gone', lane = 'gone', due_at = ?, created_at = ?`, []any{ago(0), ago(2 * time.Minute)}},
			{"near its end", `state = 'open', accepted_at = ?, deadline_at = ?, created_at = ?`, []any{ago(0), ago(-5 * time.Minute), ago(90 * time.Minute)}},
			{"unknown", `state = 'failed', failure_code = 'outcome_unknown', finished_at = ?`, []any{ago(time.Hour)}},
			{"long ago unknown", `state = 'failed', failure_code = 'outcome_unknown', finished_at = ?`, []any{ago(30 * 24 * time.Hour)}},
			{"failed", `state = 'failed', failure_code = 'upstream_error', finished_at = ?`, []any{ago(time.Hour)}},
		} {
			g := h.accept(t, submission(tc.name))
			ids[g.ID+"_0"] = tc.name
			run(t, db, `UPDATE attempts SET due_at = 0 WHERE generation_id = ?`, g.ID)
			run(t, db, `UPDATE attempts SET `+tc.set+` WHERE generation_id = ?`, append(tc.args, g.ID)...)
		}
		h.start(t) // it has learnt; nothing above is due but what no lane serves
		find := func(q kinora.TroubleSearch) (names []string, found *kinora.TroubledAttempts) {
			found, err := h.TroubledAttempts(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range found.List {
				names = append(names, ids[a.ID()])
				if a.OrganisationID != organisation || len(a.Troubles) == 0 {
					t.Errorf("%s is not whole: %+v", ids[a.ID()], a)
				}
			}
			return names, found
		}
		// The newest first; two were made to look older.
		want := []string{"unknown", "unreadable", "unsettled", "late", "waiting", "near its end"}
		if names, found := find(kinora.TroubleSearch{}); !slices.Equal(names, want) || found.More {
			t.Errorf("found %v, more: %v", names, found.More)
		}
		for trouble, name := range map[kinora.Trouble]string{
			kinora.TroubleLate: "late", kinora.TroubleUnsettled: "unsettled", kinora.TroubleUnreadable: "unreadable",
			kinora.TroubleWaiting: "waiting", kinora.TroubleDeadline: "near its end", kinora.TroubleUnknown: "unknown",
		} {
			names, found := find(kinora.TroubleSearch{Trouble: trouble})
			if !slices.Equal(names, []string{name}) || !slices.Contains(found.List[0].Troubles, trouble) {
				t.Errorf("%s: %v", trouble, names)
			}
			if trouble == kinora.TroubleLate && found.List[0].Expected != time.Minute {
				t.Errorf("expected %s", found.List[0].Expected)
			}
		}
		if names, _ := find(kinora.TroubleSearch{Trouble: kinora.TroubleUnknown, Since: now.Add(-365 * 24 * time.Hour)}); len(names) != 2 {
			t.Errorf("of a year: %v", names)
		}
		if names, found := find(kinora.TroubleSearch{Limit: 2}); !slices.Equal(names, want[:2]) || !found.More {
			t.Errorf("two of them: %v, more: %v", names, found.More)
		}
		h.stop()
	})
}

// An account that the upstream refuses is no place to wait for.
func TestAttemptsThatWaitForARefusedAccountAreTroubled(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.submit = func(int, provider.Request) (bool, error) { return false, provider.Errorf(provider.Balance, "no money") }
		h := build(t, db, t.TempDir(), up)
		for range 2 { // one of them finds out, the other waits
			g := h.accept(t, submission("x"))
			run(t, db, `UPDATE attempts SET created_at = ? WHERE generation_id = ?`, store.Micros(time.Now().Add(-2*time.Minute)), g.ID)
		}
		h.start(t)
		eventually(t, "the other is told of", func() bool {
			found, err := h.TroubledAttempts(t.Context(), kinora.TroubleSearch{Trouble: kinora.TroubleWaiting})
			return err == nil && len(found.List) == 1 && found.List[0].State == kinora.AttemptQueued
		})
		h.stop()
	})
}

func TestHealth(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.report = func(j *fakeJob) *provider.Report {
			if j.request.Prompt == "bad" {
				return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Moderation, "no")}
			}
			return nil
		}
		h := build(t, db, t.TempDir(), up).start(t)
		for _, prompt := range []string{"good", "good", "bad"} {
			h.await(t, h.accept(t, submission(prompt)).ID)
		}
		old, _ := h.await(t, h.accept(t, submission("good")).ID)
		run(t, db, `UPDATE generations SET completed_at = ? WHERE id = ?`, store.Micros(time.Now().Add(-2*time.Hour)), old.ID)
		health, err := h.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(health.Hour.Upstreams) != 1 || len(health.Day.Upstreams) != 1 || health.Hour.Attempts != 3 || health.Day.Attempts != 4 || health.Day.More || len(health.Accounts) != 1 || health.Node == "" {
			t.Fatalf("%+v", health)
		}
		u := health.Day.Upstreams[0]
		if u.Provider != "fake" || u.Account != "main" || u.Model != "fake-image" || u.Succeeded != 3 || u.Failed != 1 || u.Errors["moderation"] != 1 || u.Submits.Of != 4 || u.Jobs.Of != 3 || u.Jobs.P95 < u.Jobs.P50 {
			t.Errorf("%+v", u)
		}
		h.stop()
	})
}
