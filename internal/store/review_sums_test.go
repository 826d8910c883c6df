package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func commitmentsOf(t *testing.T, db *store.DB, organisation string) (c store.Commitments) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		c, err = tx.Commitments(organisation, t0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func insertRunning(tx *store.Tx, id string, price kinora.Money) error {
	return tx.InsertGeneration(&kinora.Generation{ID: id, OrganisationID: "org_a", Surface: kinora.SurfaceGenerations, Model: "m", State: kinora.GenerationRunning,
		Price: price, CreatedAt: t0, UpdatedAt: t0, DeadlineAt: t0})
}

// Whatever becomes of reviews, and however many at once: what waits is neither a job nor forgotten by the budget.
func TestWhatWaitsForAReviewIsSummedUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const all = 40
		update(t, db, func(tx *store.Tx) error {
			for i := range all {
				if err := insertRunning(tx, fmt.Sprint("job_", i), kinora.Money(1000+i)); err != nil {
					return err
				}
			}
			return nil
		})
		before := commitmentsOf(t, db, "org_a")
		each := func(do func(tx *store.Tx, r *kinora.Review, i int) error) {
			t.Helper()
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					r := &kinora.Review{GenerationID: fmt.Sprint("job_", i), OrganisationID: "org_a", State: kinora.ReviewApproved, CreatedAt: t0, DecidedAt: t0}
					if err := db.Update(context.Background(), func(tx *store.Tx) error { return do(tx, r, i) }); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		each(func(tx *store.Tx, r *kinora.Review, _ int) error { return tx.InsertReview(r) })
		if c := commitmentsOf(t, db, "org_a"); before.Jobs != all || c.Jobs != 0 || c.Reviews != all || c.Money != before.Money {
			t.Errorf("%+v, before %+v", c, before)
		}
		if u := usageOf(t, db, "org_a", t0, t0); u.InFlight != all || u.Reserved != before.Money {
			t.Errorf("%+v", u)
		}
		if c := commitmentsOf(t, db, "org_b"); c != (store.Commitments{}) {
			t.Errorf("another organisation: %+v", c)
		}
		each(func(tx *store.Tx, r *kinora.Review, i int) error { // half are withdrawn, the others are made anew
			if i%2 == 0 {
				return tx.WithdrawReview(r.GenerationID, t0)
			}
			return tx.EndReview(r)
		})
		if c := commitmentsOf(t, db, "org_a"); c != before {
			t.Errorf("%+v, before %+v", c, before)
		}
		run(t, db, `UPDATE generations SET completed_at = 1`)
		if c := commitmentsOf(t, db, "org_a"); c != (store.Commitments{}) {
			t.Errorf("at the end: %+v", c)
		}
	})
}

// What accepting counts is found behind the waiting ones, not among them.
func TestAcceptingDoesNotReadWhatWaits(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for _, text := range []string{
			`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
			INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, completed_at, deadline_at, held, price_micros)
			SELECT 'job_' || i, 'org_a', 'generations', 'm', 'image', 'running', '{}', 1, 1, 0, 1, 1, 7 FROM n`,
			`INSERT INTO review_sums (organisation_id, stripe, waiting, price_micros) VALUES ('org_a', 0, 10000, 70000)`,
		} {
			run(t, db, text)
		}
		update(t, db, func(tx *store.Tx) error { return insertRunning(tx, "job_working", 5) })
		run(t, db, `ANALYZE`)
		if c := commitmentsOf(t, db, "org_a"); c != (store.Commitments{Jobs: 1, Reviews: 10000, Money: 70005}) {
			t.Errorf("%+v", c)
		}
		plan := explain(t, db, store.CommitmentsQuery, "org_a", "org_a", "org_a", "org_a", "org_a", 0)
		if strings.Count(plan, "generations_open") != 2 || strings.Count(plan, "held") < 2 || strings.Contains(plan, "Seq Scan on generations") || strings.Contains(plan, "reviews ") {
			t.Errorf("the plan:\n%s", plan)
		}
	})
}

// What waits when the sums are introduced is in them: there, back and there again.
func TestWaitingReviewsAreSummedUpByTheMigration(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		update(t, db, func(tx *store.Tx) error {
			for i := range 5 {
				if err := insertRunning(tx, fmt.Sprint("job_", i), 100); err != nil {
					return err
				}
				if i > 2 {
					continue
				}
				if err := tx.InsertReview(&kinora.Review{GenerationID: fmt.Sprint("job_", i), OrganisationID: "org_a", CreatedAt: t0}); err != nil {
					return err
				}
			}
			return tx.WithdrawReview("job_2", t0.Add(time.Second))
		})
		want := store.Commitments{Jobs: 3, Reviews: 2, Money: 500}
		for range 2 {
			if c := commitmentsOf(t, db, "org_a"); c != want {
				t.Errorf("%+v, want %+v", c, want)
			}
			if err := db.MigrateDown(ctx, 15); err != nil {
				t.Fatal(err)
			}
			if err := db.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if c := commitmentsOf(t, db, "org_a"); c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
	})
}
