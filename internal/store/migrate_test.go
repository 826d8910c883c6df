package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What the first version of the schema holds reads as before under the newest: each
// generation of one part, each of its outputs published in its place.
func TestRowsOfTheFirstSchemaAreCarriedOver(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		if err := db.MigrateDown(ctx, 1); err != nil {
			t.Fatal(err)
		}
		err := db.Update(ctx, func(tx *store.Tx) error {
			for _, text := range []string{
				`INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, completed_at, deadline_at)
					VALUES ('task_old', 'org_1', 'submit', 'm', 'image', 'succeeded', '{"prompt":"a kite"}', 1000, 2000, 2000, 9000)`,
				`INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, created_at, finished_at, deadline_at)
					VALUES ('task_old', 0, 'org_1', 'fake', 'm', 'fake', 'main', 'succeeded', 1000, 2000, 9000)`,
				`INSERT INTO outputs (id, generation_id, ordinal, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, created_at, expires_at)
					VALUES ('out_2', 'task_old', 1, 'outputs/b.png', 'image', 'image/png', 2, 'cd', 4, 3, 0, 2000, 5000),
					('out_1', 'task_old', 0, 'outputs/a.png', 'image', 'image/png', 1, 'ab', 4, 3, 0, 2000, 5000)`,
				`INSERT INTO events (id, organisation_id, generation_id, type, created_at) VALUES ('evt_1', 'org_1', 'task_old', 'generation.completed', 2000)`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // there, back and there again
			if err := db.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			readCarriedOver(t, db)
			if err := db.MigrateDown(ctx, 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func readCarriedOver(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) error {
		g, err := tx.Generation("org_1", "task_old")
		if err != nil {
			return err
		}
		if g.Plan != (kinora.Plan{}) || g.Input.Prompt != "a kite" {
			t.Errorf("the generation: %+v", g)
		}
		attempts, err := tx.Attempts(g.ID)
		if err != nil {
			return err
		}
		if a := attempts[0]; a.Part != 0 || a.Parts != 1 || a.Round != 0 || a.RoutesLeft != nil || !a.MoveAt.IsZero() || a.Failure != nil {
			t.Errorf("the attempt: %+v", a)
		}
		outputs, err := tx.Outputs(g.ID)
		if err != nil {
			return err
		}
		content, err := tx.EventContents([]string{"evt_1"})
		if err != nil {
			return err
		}
		for _, list := range [][]kinora.Output{outputs, content["evt_1"].Outputs} {
			if len(list) != 2 || list[0].ID != "out_1" || list[0].Role != "primary" || list[1].ID != "out_2" || list[1].Ordinal != 1 || list[1].BlobKey != "outputs/b.png" {
				t.Errorf("the outputs: %+v", list)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the ledger has from before there were sums is added to them, each entry in its month, and what they have already is
// not counted twice: there, back and there again.
func TestTheLedgerBeforeTheSumsIsAddedUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		day := func(year int, month time.Month, day int) time.Time {
			return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		}
		last := -time.Microsecond
		old := []time.Time{ // the edges of months and leap years
			day(1970, 1, 1), day(1999, 12, 31), day(2000, 2, 29), day(2000, 3, 1), day(2024, 2, 29), day(2024, 3, 1).Add(last), day(2025, 3, 1).Add(last), day(2025, 12, 31),
			day(2026, 1, 1), day(2026, 1, 1).Add(last), day(2026, 9, 1), day(2026, 9, 1).Add(last), day(2026, 9, 30).Add(23 * time.Hour), day(2100, 2, 28), day(2100, 3, 1), day(2101, 1, 1).Add(last),
		}
		for at := day(2026, 1, 1); at.Year() < 2030; at = at.AddDate(0, 0, 13) {
			old = append(old, at)
		}
		want := map[time.Time]kinora.Usage{}
		update(t, db, func(tx *store.Tx) error { // since then, as this version writes it
			for _, at := range []time.Time{day(2026, 9, 15), day(2031, 5, 5)} {
				month, _ := kinora.BillingPeriod(at)
				for _, to := range []kinora.GenerationState{kinora.GenerationSucceeded, kinora.GenerationFailed} {
					if _, err := ended(tx, "org_a", kinora.UsageRegeneration, 500, to, at); err != nil {
						return err
					}
				}
				u := want[month]
				u.Succeeded, u.Failed, u.Outputs, u.Regenerations, u.Billable, u.Amount = u.Succeeded+1, 1, u.Outputs+2, 2, u.Billable+1, u.Amount+500
				want[month] = u
			}
			_, err := ended(tx, "org_b", kinora.UsageGeneration, 500, kinora.GenerationSucceeded, day(2026, 9, 15))
			return err
		})
		if err := db.MigrateDown(ctx, 6); err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *store.Tx) error {
			for i, at := range old {
				month, _ := kinora.BillingPeriod(at)
				u := want[month]
				u.Succeeded, u.Outputs, u.Billable, u.Amount = u.Succeeded+1, u.Outputs+3, u.Billable+1, u.Amount+7
				want[month] = u
				if _, err := tx.Exec(`INSERT INTO usage_entries (id, organisation_id, generation_id, usage_type, model, outputs, amount_micros, created_at)
					VALUES (?, 'org_a', ?, 'generation', 'm', 3, 7, ?)`, fmt.Sprint("bev_", i), fmt.Sprint("task_", i), store.Micros(at)); err != nil {
					return err
				}
			}
			return nil
		})
		for range 2 {
			if err := db.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			for month, u := range want {
				if got := usageOf(t, db, "org_a", month, day(2040, 1, 1)); got != u {
					t.Errorf("%s: %+v, want %+v", month.Format("2006-01"), got, u)
				}
			}
			if got := usageOf(t, db, "org_b", day(2026, 9, 1), day(2040, 1, 1)); got.Succeeded != 1 || got.Amount != 500 {
				t.Errorf("another organisation: %+v", got)
			}
			rows := 0
			err := db.View(ctx, func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT count(*) FROM usage_months WHERE stripe < 0`).Scan(&rows)
			})
			if err != nil || rows != len(want)-1 {
				t.Errorf("%d months are added, want %d; %v", rows, len(want)-1, err)
			}
			if err := db.MigrateDown(ctx, 6); err != nil {
				t.Fatal(err)
			}
		}
	})
}
