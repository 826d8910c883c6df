package lifecycle_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// reviewed are three candidates of which two pass, to be decided by a person.
func reviewed(change func(*kinora.Plan)) *kinora.Submission {
	return parts(3, func(p *kinora.Plan) {
		gated(p)
		p.Review, p.Publish = true, 2
		if change != nil {
			change(p)
		}
	})
}

func secondIsBest() *judge {
	return &judge{scores: func(o *kinora.Output) kinora.Verdict {
		return kinora.Verdict{Passed: o.Attempt%3 != 2, Score: 0.5 + float64(o.Attempt%3)/4}
	}}
}

// awaitReview waits until a generation is held in a round, and returns what is.
func (h *house) awaitReview(t *testing.T, generationID string, round int) []kinora.Output {
	t.Helper()
	h.until(t, "it waits for a review", func() bool {
		list, err := h.Reviews(context.Background(), generationID)
		return err == nil && len(list) == round+1 && list[round].State == kinora.ReviewPending
	})
	held, err := h.HeldOutputs(t.Context(), generationID)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func TestAReviewHoldsWhatHasPassed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), judgedBy(secondIsBest())).start(t)
		id := h.accept(t, reviewed(nil)).ID
		held := h.awaitReview(t, id, 0)
		if len(held) != 2 || held[0].Attempt != 1 || held[1].Attempt != 0 {
			t.Fatalf("held: %+v", held)
		}
		for of, want := range map[string]int{"": 1, organisation: 1, "org_other": 0} {
			if list, err := h.PendingReviews(t.Context(), of, kinora.ReviewPosition{}, 10); err != nil || len(list) != want {
				t.Errorf("the queue of %q: %+v, %v", of, list, err)
			}
		}
		for of, want := range map[string]int{organisation: 1, "org_other": 0} {
			list, err := h.HeldGenerations(t.Context(), of, []string{"job_none", id})
			if err != nil || len(list) != want {
				t.Fatalf("held of %q: %+v, %v", of, list, err)
			}
			for _, one := range list {
				if one.Generation.ID != id || !reflect.DeepEqual(one.Outputs, held) {
					t.Errorf("held of %q: %+v, want %+v", of, one, held)
				}
			}
		}
		g, outputs, err := h.Generation(t.Context(), organisation, id)
		if err != nil || g.State != kinora.GenerationRunning || g.Progress != 99 || len(outputs) != 0 {
			t.Errorf("while it waits: %+v with %v, %v", g, outputs, err)
		}
		// Neither its deadline nor retention has anything to say while a person is awaited.
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE generations SET deadline_at = 1 WHERE id = ?`, id)
			if err == nil {
				_, err = tx.Exec(`UPDATE outputs SET expires_at = 1 WHERE generation_id = ?`, id)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			expired, err := tx.ExpiredOutputs(time.Now(), 10)
			if len(expired) != 0 {
				t.Errorf("files of a held generation would be removed: %+v", expired)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}

		for name, d := range map[string]kinora.ReviewDecision{
			"by nobody":         {},
			"what failed":       {Approve: []string{h.candidate(t, id, 2).ID}, By: "ana"},
			"one twice":         {Approve: []string{held[0].ID, held[0].ID}, By: "ana"},
			"reject in part":    {Approve: []string{held[0].ID}, Reject: true, By: "ana"},
			"reason with NUL":   {Approve: []string{held[0].ID}, By: "ana", Reason: "a\x00b"},
			"reason not UTF-8":  {Approve: []string{held[0].ID}, By: "ana", Reason: "a\xff"},
			"more than allowed": {Approve: []string{held[0].ID, held[1].ID, "out_x"}, By: "ana"},
		} {
			_, _, err := h.Decide(t.Context(), id, d)
			if kinora.CodeOf(err) != kinora.ErrInvalid || name == "one twice" && !strings.Contains(err.Error(), "outputs names "+held[0].ID+" twice") {
				t.Errorf("%s: %v", name, err)
			}
		}
		ended, left := h.Ended(id)
		defer left()
		asAna := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_ana"})
		g, r, err := h.Decide(asAna, id, kinora.ReviewDecision{Approve: []string{held[1].ID}, Reason: "warmer", By: "ana"})
		if err != nil || g.State != kinora.GenerationSucceeded || r.State != kinora.ReviewApproved || r.DecidedBy != "ana" {
			t.Fatalf("%+v, %+v, %v", g, r, err)
		}
		<-ended
		g, outputs = h.await(t, id)
		if len(outputs) != 1 || outputs[0].ID != held[1].ID || outputs[0].Role != "primary" || g.Progress != 100 {
			t.Errorf("published: %+v", outputs)
		}
		if list, err := h.Reviews(t.Context(), id); err != nil || len(list) != 1 || list[0].Reason != "warmer" || !slices.Equal(list[0].Outputs, []string{held[1].ID}) || list[0].DecidedAt.IsZero() {
			t.Errorf("on record: %+v, %v", list, err)
		}
		if _, _, err := h.Decide(asAna, id, kinora.ReviewDecision{Reject: true, By: "bob"}); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("decided twice: %v", err)
		}
		if _, _, err := h.Decide(t.Context(), "job_none", kinora.ReviewDecision{By: "bob"}); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("decided on nothing: %v", err)
		}
		h.endsOnce(t, g)
		wantAudited(t, db, "per_ana", kinora.AuditReviewApprove, id)
	})
}

// wantAudited demands one entry in the audit log by an actor.
func wantAudited(t *testing.T, db *store.DB, actor string, action kinora.AuditAction, target string) {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) error {
		list, _, err := tx.AuditEntries(kinora.AuditFilter{ActorID: actor}, store.SearchPage{Limit: 10, Reach: 10_000})
		if len(list) != 1 || list[0].Action != action || list[0].Target != target || list[0].OrganisationID != organisation {
			t.Errorf("the audit log has %+v, want %s of %s", list, action, target)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) candidate(t *testing.T, generationID string, i int) kinora.Output {
	t.Helper()
	all, err := h.Candidates(context.Background(), generationID)
	if err != nil || len(all) <= i {
		t.Fatalf("%d candidates, %v", len(all), err)
	}
	return all[i]
}

// A rejection makes another round, and time spent on waiting is not the upstream's.
func TestARejectionMakesAnotherRound(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), judgedBy(secondIsBest())).start(t)
		id := h.accept(t, reviewed(func(p *kinora.Plan) { p.Rounds = 2 })).ID
		h.awaitReview(t, id, 0)
		if err := db.Update(t.Context(), func(tx *store.Tx) error { // it was overdue for an hour when somebody came
			now := time.Now()
			_, err := tx.Exec(`UPDATE reviews SET created_at = ? WHERE generation_id = ?`, store.Micros(now.Add(-2*time.Hour)), id)
			if err == nil {
				_, err = tx.Exec(`UPDATE generations SET deadline_at = ? WHERE id = ?`, store.Micros(now.Add(-time.Hour)), id)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		g, r, err := h.Decide(t.Context(), id, kinora.ReviewDecision{Reject: true, By: "ana"})
		if err != nil || g.State != kinora.GenerationRunning || r.State != kinora.ReviewRejected || time.Until(g.DeadlineAt) < 50*time.Minute {
			t.Fatalf("%+v, %+v, %v", g, r, err)
		}
		held := h.awaitReview(t, id, 1)
		if len(held) != 2 || held[0].Attempt != 4 {
			t.Fatalf("held: %+v", held)
		}
		seen := 0
		if _, _, err := h.Decide(t.Context(), id, kinora.ReviewDecision{Reject: true, By: "bob", Round: &seen}); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("a decision on the round before: %v", err)
		}
		g, _, err = h.Decide(t.Context(), id, kinora.ReviewDecision{Reject: true, By: "ana"})
		if err != nil || g.State != kinora.GenerationFailed || g.Failure.Code != kinora.FailureQualityRejected {
			t.Fatalf("%+v, %v", g, err)
		}
		if o := h.candidate(t, id, 4); o.State != kinora.OutputRejected {
			t.Errorf("a rejected candidate: %+v", o)
		}
		h.endsOnce(t, g)
	})
}

// A part that the deadline ended while nobody knew whether the upstream had it is not made
// again by another round: it may have been made and paid for.
func TestARejectionRepeatsNothingUnknown(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.reconcileErr = provider.Errorf(provider.Unavailable, "down") // the last that is noted of it
		up.submit = func(_ int, req provider.Request) (bool, error) {
			if strings.HasSuffix(req.ClientRef, "_1") {
				return true, provider.Errorf(provider.OutcomeUnknown, "lost")
			}
			return true, nil
		}
		h := build(t, db, t.TempDir(), reconciling{up}, judgedBy(secondIsBest())).start(t)
		id := h.accept(t, reviewed(func(p *kinora.Plan) { p.Rounds = 2 })).ID
		h.until(t, "the lost call could not be settled", func() bool {
			a := h.attempts(t, id)[1]
			return a.State == kinora.AttemptUnsettled && a.ErrorClass == string(provider.Unavailable)
		})
		h.until(t, "its deadline ends it", func() bool {
			if err := db.Update(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE attempts SET deadline_at = 1 WHERE generation_id = ? AND ordinal = 1 AND finished_at = 0`, id)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			a := h.attempts(t, id)[1]
			return a.State == kinora.AttemptFailed && a.Failure.Code == kinora.FailureOutcomeUnknown && a.ErrorClass == string(provider.Unavailable)
		})
		h.awaitReview(t, id, 0)
		g, _, err := h.Decide(t.Context(), id, kinora.ReviewDecision{Reject: true, By: "ana"})
		if err != nil || g.State != kinora.GenerationFailed || g.Failure.Code != kinora.FailureQualityRejected || len(h.attempts(t, id)) != 3 {
			t.Fatalf("%+v, %v after %d attempts", g, err, len(h.attempts(t, id)))
		}
		h.endsOnce(t, g)
	})
}

func TestAReviewAndACancelHaveOneWinner(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), judgedBy(secondIsBest())).start(t)
		var ids []string
		for range 8 {
			ids = append(ids, h.accept(t, reviewed(nil)).ID)
		}
		for i, id := range ids {
			held := h.awaitReview(t, id, 0)
			var (
				both              sync.WaitGroup
				decided, canceled error
			)
			both.Go(func() {
				_, _, decided = h.Decide(context.Background(), id, kinora.ReviewDecision{Approve: []string{held[0].ID}, By: "ana", Reject: false})
			})
			both.Go(func() { _, canceled = h.Cancel(context.Background(), organisation, id) })
			both.Wait()
			g, _ := h.await(t, id)
			won := kinora.ReviewApproved
			if canceled == nil {
				won = kinora.ReviewWithdrawn
			}
			list, err := h.Reviews(t.Context(), id)
			if (decided == nil) == (canceled == nil) || err != nil || list[0].State != won || (g.State == kinora.GenerationCancelled) != (canceled == nil) {
				t.Errorf("%d: decided %v, cancelled %v, %s, %+v", i, decided, canceled, g.State, list[0])
			}
			h.endsOnce(t, g)
		}
		if list, err := h.PendingReviews(t.Context(), "", kinora.ReviewPosition{}, 10); err != nil || len(list) != 0 {
			t.Errorf("still waiting: %+v, %v", list, err)
		}
	})
}
