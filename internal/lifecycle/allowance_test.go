package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// priced sets what a generation of the fake model costs, and lets organisations have settings.
func priced(db *store.DB, price kinora.Money, jobs int) options {
	return func(c *lifecycle.Config) {
		c.Prices, c.JobsInFlight = kinora.Prices{Models: map[string]kinora.Money{"fake-image": price}}, jobs
		c.Organisation = func(ctx context.Context, id string) (org *kinora.Organisation, err error) {
			err = db.View(ctx, func(tx *store.Tx) error {
				org, err = tx.Organisation(id)
				return err
			})
			return org, err
		}
	}
}

// oneMonth waits for the next month of UTC where this one is about to end: what is summed up by month begins anew with it, and a test
// would find half of its sums.
func oneMonth() {
	now := time.Now()
	if _, end := kinora.BillingPeriod(now); end.Sub(now) < 2*time.Minute {
		time.Sleep(end.Sub(now))
	}
}

func allow(t *testing.T, db *store.DB, a kinora.Allowance) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		org, err := tx.Organisation(organisation)
		if err != nil {
			return err
		}
		org.Allowance = a
		return tx.SaveOrganisation(org)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func job(prompt string) *kinora.Submission {
	s := submission(prompt)
	s.Surface = kinora.SurfaceGenerations
	return s
}

// acceptMany submits n at once, on all nodes in turn, and counts what came of it.
func acceptMany(t *testing.T, n int, make func(string) *kinora.Submission, nodes ...*house) (accepted []string, refused map[kinora.ErrorCode]int) {
	t.Helper()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	refused = map[kinora.ErrorCode]int{}
	for i := range n {
		wg.Go(func() {
			got, err := nodes[i%len(nodes)].Accept(context.Background(), make(fmt.Sprint(i)))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				var e *kinora.Error
				if errors.As(err, &e) && e.Code == kinora.ErrRateLimited && e.RetryAfter <= 0 {
					t.Error("a refusal without a time to wait")
				}
				refused[kinora.CodeOf(err)]++
				return
			}
			accepted = append(accepted, got.Generation.ID)
		})
	}
	wg.Wait()
	return accepted, refused
}

func TestJobsInFlightAreCappedExactly(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		dir := t.TempDir()
		a, b := build(t, db, dir, up, priced(db, 0, 5)), build(t, db, dir, up, priced(db, 0, 5))
		accepted, refused := acceptMany(t, 30, job, a, b)
		if len(accepted) != 5 || refused[kinora.ErrRateLimited] != 25 {
			t.Fatalf("%d accepted, refused %v", len(accepted), refused)
		}
		// The submit API has no such cap, and its tasks take no place.
		if tasks, refused := acceptMany(t, 8, submission, a, b); len(tasks) != 8 {
			t.Fatalf("%d tasks accepted, refused %v", len(tasks), refused)
		}
		// A repeat is no new job.
		repeat := job("0")
		repeat.IdempotencyKey, repeat.IdempotencyScope, repeat.RequestHash = "k", "POST /api/v1/generations", "h"
		if _, err := a.Accept(t.Context(), repeat); kinora.CodeOf(err) != kinora.ErrRateLimited {
			t.Fatalf("accepted beyond the cap: %v", err)
		}
		// Each end makes room for one.
		if _, err := a.Cancel(t.Context(), organisation, accepted[0]); err != nil {
			t.Fatal(err)
		}
		first, err := b.Accept(t.Context(), repeat)
		if err != nil || first.Replayed {
			t.Fatalf("%+v, %v", first, err)
		}
		if again, err := a.Accept(t.Context(), repeat); err != nil || !again.Replayed || again.Generation.ID != first.Generation.ID {
			t.Fatalf("a repeat beyond the cap: %+v, %v", again, err)
		}
		if _, err := a.Accept(t.Context(), job("x")); kinora.CodeOf(err) != kinora.ErrRateLimited {
			t.Fatalf("accepted beyond the cap: %v", err)
		}
		seven := 7
		allow(t, db, kinora.Allowance{JobsInFlight: &seven})
		if accepted, _ := acceptMany(t, 10, job, a, b); len(accepted) != 2 {
			t.Errorf("an organisation's own cap of 7 took %d more", len(accepted))
		}
		none := 0
		allow(t, db, kinora.Allowance{JobsInFlight: &none})
		if accepted, _ := acceptMany(t, 10, job, a, b); len(accepted) != 10 {
			t.Errorf("no cap took %d of 10", len(accepted))
		}
	})
}

// A review queue that nobody empties takes no place that new jobs need, and what it holds stays reserved in the budget.
func TestAReviewTakesNoPlaceAndKeepsItsPrice(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		oneMonth()
		organise(t, db)
		budget := kinora.Money(1_000_000)
		allow(t, db, kinora.Allowance{Budget: &budget})
		h := build(t, db, t.TempDir(), newFake(t), priced(db, 300_000, 1), judgedBy(secondIsBest())).start(t)
		held := func() *kinora.Submission {
			s := reviewed(func(p *kinora.Plan) { p.Rounds = 2 })
			s.Surface = kinora.SurfaceGenerations
			return s
		}
		var ids []string
		for range 3 { // with one place
			id := h.accept(t, held()).ID
			h.awaitReview(t, id, 0)
			ids = append(ids, id)
		}
		if _, err := h.Accept(t.Context(), job("x")); kinora.CodeOf(err) != kinora.ErrBudget {
			t.Errorf("three held generations have spent 0.9 of a budget of 1: %v", err)
		}
		u, err := h.Usage(t.Context(), organisation, time.Now())
		if err != nil || u.InFlight != 3 || u.Reserved != 900_000 {
			t.Errorf("%+v, %v", u, err)
		}
		allow(t, db, kinora.Allowance{})
		h.stop()
		// Another round is work again, and so is what is accepted beside it.
		if _, _, err := h.Decide(t.Context(), ids[0], kinora.ReviewDecision{Reject: true, By: "ana"}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Accept(t.Context(), job("x")); kinora.CodeOf(err) != kinora.ErrRateLimited {
			t.Errorf("accepted beside a generation in its second round, with one place: %v", err)
		}
		if _, err := h.Cancel(t.Context(), organisation, ids[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Accept(t.Context(), job("x")); err != nil {
			t.Errorf("after its end: %v", err)
		}
	})
}

// As many may wait as are configured; then no more is begun that would come to wait. What is being made by then is held,
// published and paid for like any other.
func TestReviewsThatWaitAreBounded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), priced(db, 300_000, 0), judgedBy(secondIsBest()), func(c *lifecycle.Config) { c.ReviewsWaiting = 2 })
		held := func() *kinora.Submission {
			s := reviewed(nil)
			s.Surface = kinora.SurfaceGenerations
			return s
		}
		repeat := held()
		repeat.IdempotencyKey, repeat.IdempotencyScope, repeat.RequestHash = "k", "POST /api/v1/generations", "h"
		ids := []string{h.accept(t, repeat).ID}
		for range 2 { // one more than may wait, before any does
			ids = append(ids, h.accept(t, held()).ID)
		}
		h.start(t)
		for _, id := range ids {
			h.awaitReview(t, id, 0)
		}
		_, err := h.Accept(t.Context(), held())
		var refusal *kinora.Error
		if !errors.As(err, &refusal) || refusal.Code != kinora.ErrRateLimited || refusal.RetryAfter <= 0 || !strings.Contains(refusal.Message, "3 generations of the organisation wait for a review") {
			t.Fatalf("accepted beyond the bound: %v", err)
		}
		if got, err := h.Accept(t.Context(), repeat); err != nil || !got.Replayed {
			t.Errorf("a repeat: %+v, %v", got, err)
		}
		if g, _ := h.await(t, h.accept(t, job("x")).ID); g.State != kinora.GenerationSucceeded {
			t.Errorf("without a review: %+v", g)
		}
		for i, id := range ids[:2] {
			g, _, err := h.Decide(t.Context(), id, kinora.ReviewDecision{By: "ana"})
			if err != nil || g.State != kinora.GenerationSucceeded {
				t.Fatalf("%+v, %v", g, err)
			}
			h.endsOnce(t, g)
			if _, err := h.Accept(t.Context(), held()); (err == nil) != (i == 1) {
				t.Errorf("after %d decisions: %v", i+1, err)
			}
		}
		h.stop()
	})
}

// A budget is never overrun, because what is in flight counts as spent; what fails gives its share back.
func TestBudgetHoldsExactly(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		oneMonth()
		organise(t, db)
		budget := kinora.Money(1_000_000)
		allow(t, db, kinora.Allowance{Budget: &budget})
		up := newFake(t)
		up.submit = func(_ int, req provider.Request) (bool, error) {
			if strings.HasPrefix(req.Prompt, "bad") {
				return false, provider.Errorf(provider.Moderation, "no")
			}
			return true, nil
		}
		dir := t.TempDir()
		a, b := build(t, db, dir, up, priced(db, 300_000, 0)), build(t, db, dir, up, priced(db, 300_000, 0))
		first, refused := acceptMany(t, 12, func(string) *kinora.Submission { return submission("bad") }, a, b)
		if len(first) != 3 || refused[kinora.ErrBudget] != 9 {
			t.Fatalf("%d accepted, refused %v", len(first), refused)
		}
		a.start(t)
		for _, id := range first {
			if g, _ := a.await(t, id); g.State != kinora.GenerationFailed {
				t.Fatalf("%+v", g)
			}
		}
		second, _ := acceptMany(t, 12, job, a, b)
		if len(second) != 3 {
			t.Fatalf("after three failures %d were accepted", len(second))
		}
		for _, id := range second {
			if g, _ := a.await(t, id); g.State != kinora.GenerationSucceeded {
				t.Fatalf("%+v", g.Failure)
			}
		}
		if third, refused := acceptMany(t, 4, submission, a, b); len(third) != 0 || refused[kinora.ErrBudget] != 4 {
			t.Fatalf("%d accepted with the budget spent, refused %v", len(third), refused)
		}
		u, err := a.Usage(t.Context(), organisation, time.Now())
		if err != nil || u.Amount != 900_000 || u.Succeeded != 3 || u.Failed != 3 || u.Reserved != 0 {
			t.Errorf("%+v, %v", u, err)
		}
		// What costs nothing is never refused for money.
		free := build(t, db, dir, up, priced(db, 0, 0))
		if got, refused := acceptMany(t, 2, submission, free); len(got) != 2 {
			t.Errorf("refused %v", refused)
		}
	})
}

// Whatever fails on the way, crashes included: each success has exactly one entry at the price of its acceptance,
// nothing else has one, and the sums of the month are those of the ledger.
func TestLedgerIsExactUnderFaults(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		oneMonth()
		organise(t, db)
		dir := t.TempDir()
		faults := []string{"none", "moderation", "unavailable", "lost", "lost for good"}
		up := newFake(t)
		up.took = 20 * time.Millisecond
		up.submit = func(n int, req provider.Request) (bool, error) {
			fault, _, _ := strings.Cut(req.Prompt, ",")
			switch {
			case fault == "moderation":
				return false, provider.Errorf(provider.Moderation, "no")
			case fault == "unavailable" && n == 1:
				return false, provider.Errorf(provider.Unavailable, "later")
			case fault == "lost" && n == 1:
				return true, provider.Errorf(provider.OutcomeUnknown, "lost")
			case fault == "lost for good":
				return false, provider.Errorf(provider.OutcomeUnknown, "lost")
			}
			return true, nil
		}
		up.describe.Traits = batchOf(10)
		var (
			paid   = map[string]kinora.Money{}
			rounds int
		)
		rapid.Check(t, func(rt *rapid.T) {
			if rounds++; rounds > 5 {
				return // each round starts engines
			}
			price := kinora.Money(rapid.Int64Range(0, 2_000_000).Draw(rt, "price"))
			h := build(t, db, dir, reconciling{up}, priced(db, price, 0), quickBeats, func(c *lifecycle.Config) { c.Timing.Submit = time.Second })
			if err := h.Start(t.Context()); err != nil {
				rt.Fatal(err)
			}
			defer h.stop()
			for i, fault := range rapid.SliceOfN(rapid.SampledFrom(faults), 1, 8).Draw(rt, "faults") {
				paid[h.accept(t, submission(fmt.Sprintf("%s,%d,%d", fault, rounds, i))).ID] = price
			}
			for range rapid.IntRange(0, 2).Draw(rt, "crashes") {
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.RemoveAllNodes(time.Now())
					return err
				})
				if err != nil {
					rt.Fatal(err)
				}
			}
			for id := range paid {
				h.await(t, id)
			}
		})
		var (
			succeeded int64
			want      kinora.Money
			entries   = map[string]kinora.UsageEntry{}
		)
		h := build(t, db, dir, up)
		list, err := h.Ledger(t.Context(), organisation, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if _, twice := entries[e.GenerationID]; twice {
				t.Errorf("%s has two entries", e.GenerationID)
			}
			entries[e.GenerationID] = e
		}
		for id, price := range paid {
			g, _ := h.await(t, id)
			e, has := entries[id]
			if has != (g.State == kinora.GenerationSucceeded) {
				t.Errorf("%s ended as %s, entry %v", id, g.State, has)
			}
			if has {
				succeeded++
				want += price
				if e.Amount != price || e.UnitPrice != price || e.Type != kinora.UsageGeneration || len(e.Fingerprint) != 64 || !e.Billable {
					t.Errorf("%+v, want the price %s", e, price)
				}
			}
		}
		u, err := h.Usage(t.Context(), organisation, time.Now())
		if err != nil || u.Succeeded != succeeded || u.Amount != want || u.Billable != succeeded || u.Failed != int64(len(paid))-succeeded || u.InFlight != 0 ||
			int64(len(entries)) != succeeded {
			t.Errorf("%+v (%v), want %d successes for %s of %d; %d entries", u, err, succeeded, want, len(paid), len(entries))
		}
	})
}
