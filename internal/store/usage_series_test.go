package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// end is an end of a generation of a model, and of a workflow where one is named.
type end struct {
	organisation, model, workflow string
	to                            kinora.GenerationState
	at                            time.Time
}

func (e end) write(tx *store.Tx) error {
	g := &kinora.Generation{ID: id.New(id.Job, e.at), OrganisationID: e.organisation, Surface: kinora.SurfaceGenerations, Model: e.model, State: kinora.GenerationRunning,
		UsageType: kinora.UsageGeneration, Price: 250_000, CreatedAt: e.at, UpdatedAt: e.at, DeadlineAt: e.at.Add(time.Hour)}
	if e.workflow != "" {
		g.Request = &kinora.WorkflowRequest{Workflow: e.workflow}
	}
	if err := tx.InsertGeneration(g); err != nil {
		return err
	}
	if err := g.Finish(e.to, nil, e.at); err != nil {
		return err
	}
	if err := tx.FinishGeneration(g); err != nil || e.to != kinora.GenerationSucceeded {
		return err
	}
	return tx.InsertUsage(id.New(id.Usage, e.at), g, 2)
}

func seriesOf(t *testing.T, db *store.DB, organisation string, q kinora.UsageQuestion) []string {
	t.Helper()
	var lines []string
	err := db.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.UsageSeries(organisation, q)
		for _, p := range list {
			lines = append(lines, fmt.Sprintf("%s %s %d/%d %d %s", p.At.UTC().Format("01-02T15"), p.Name, p.Succeeded, p.Failed, p.Outputs, p.Amount))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestUsageSeries(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		day := time.Date(2026, 6, 14, 0, 0, 0, 0, time.UTC)
		at := func(hours float64) time.Time { return day.Add(time.Duration(hours * float64(time.Hour))) }
		update(t, db, func(tx *store.Tx) error {
			for _, e := range []end{
				{"org_a", "Zeta", "", kinora.GenerationSucceeded, at(-1)},
				{"org_a", "alpha", "staging", kinora.GenerationSucceeded, at(0)},
				{"org_a", "alpha", "", kinora.GenerationSucceeded, at(0.9)},
				{"org_a", "alpha", "staging", kinora.GenerationFailed, at(1)},
				{"org_a", "Zeta", "staging", kinora.GenerationCancelled, at(23.99)},
				{"org_a", "alpha", "", kinora.GenerationSucceeded, at(24)},
				{"org_b", "alpha", "", kinora.GenerationSucceeded, at(2)},
			} {
				if err := e.write(tx); err != nil {
					return err
				}
			}
			return nil
		})
		ask := func(from, to float64, step kinora.UsageStep, by kinora.UsageBy) kinora.UsageQuestion {
			return kinora.UsageQuestion{From: at(from), To: at(to), Step: step, By: by}
		}
		byDay := []string{"06-13T00 Zeta 1/0 2 0.25", "06-14T00 Zeta 0/1 0 0.0", "06-14T00 alpha 2/1 4 0.5", "06-15T00 alpha 1/0 2 0.25"}
		for name, c := range map[string]struct {
			q    kinora.UsageQuestion
			want []string
		}{
			"days by model":     {ask(-24, 48, "day", "model"), byDay},
			"days by workflow":  {ask(0, 24, "day", "workflow"), []string{"06-14T00  1/0 2 0.25", "06-14T00 staging 1/2 2 0.25"}},
			"hours by model":    {ask(0, 2, "hour", "model"), []string{"06-14T00 alpha 2/0 4 0.5", "06-14T01 alpha 0/1 0 0.0"}},
			"hours by workflow": {ask(23, 25, "hour", "workflow"), []string{"06-14T23 staging 0/1 0 0.0", "06-15T00  1/0 2 0.25"}},
			"nothing":           {ask(72, 96, "day", "model"), nil},
		} {
			if diff := cmp.Diff(c.want, seriesOf(t, db, "org_a", c.q)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if got := seriesOf(t, db, "org_c", ask(-24, 48, "day", "model")); got != nil {
			t.Errorf("somebody else sees %v", got)
		}
	})
}

// Folding changes no sum by day, and none by hour while hours are told apart; whatever is written beside it is kept.
func TestFoldUsageKeepsTheSums(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		begin := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		var writers sync.WaitGroup
		for i := range 40 {
			writers.Go(func() {
				e := end{"org_a", fmt.Sprint("m", i%3), "", kinora.GenerationSucceeded, begin.Add(time.Duration(i) * 37 * time.Minute)}
				for range 3 {
					update(t, db, e.write)
				}
			})
		}
		writers.Wait()
		days := kinora.UsageQuestion{From: begin, To: begin.AddDate(0, 0, 2), Step: kinora.UsageByDay, By: kinora.UsageByModel}
		hours := days
		hours.Step = kinora.UsageByHour
		wantDays, wantHours := seriesOf(t, db, "org_a", days), seriesOf(t, db, "org_a", hours)
		fold := func(now time.Time) {
			t.Helper()
			for n := int64(1); n > 0; {
				update(t, db, func(tx *store.Tx) (err error) {
					n, err = tx.FoldUsage(now, 7)
					return err
				})
			}
		}
		rows := func(which string) (n int) {
			t.Helper()
			err := db.View(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT count(*) FROM usage_hours WHERE ` + which).Scan(&n)
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		fold(begin.AddDate(0, 0, 3))
		if n := rows(`stripe > 0`); n > 0 {
			t.Errorf("%d rows still have stripes", n)
		}
		if diff := cmp.Diff(wantHours, seriesOf(t, db, "org_a", hours)); diff != "" {
			t.Errorf("hours after the first fold (-want +got):\n%s", diff)
		}
		update(t, db, end{"org_a", "m0", "", kinora.GenerationSucceeded, begin.Add(30 * time.Minute)}.write) // late
		update(t, db, end{"org_a", "m0", "", kinora.GenerationFailed, begin.AddDate(0, 0, 40)}.write)
		fold(begin.AddDate(0, 0, 40))
		if n := rows(`hour % 86400000000 > 0`); n > 0 {
			t.Errorf("%d rows of old hours are left", n)
		}
		if n := rows(`1 = 1`); n != 5 { // three models on the first day, one on the second, and that of today
			t.Errorf("%d rows are left", n)
		}
		got := seriesOf(t, db, "org_a", days)
		wantDays[0] = "06-01T00 m0 40/0 80 10.0"
		if diff := cmp.Diff(wantDays, got); diff != "" {
			t.Errorf("days after the second fold (-want +got):\n%s", diff)
		}
	})
}

func TestUsageSeriesReadsAnIndex(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		update(t, db, func(tx *store.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO usage_hours (organisation_id, hour, model, workflow, stripe, succeeded, failed, outputs, amount_micros)
				SELECT 'org_' || (i % 50), i * 3600000000, 'm', '', 0, 1, 0, 1, 1 FROM n`,
				`ANALYZE`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			return nil
		})
		for _, q := range []kinora.UsageQuestion{{Step: "day", By: "model"}, {Step: "hour", By: "workflow"}} {
			plan := explain(t, db, store.UsageSeriesQuery(q), "org_1", 0, 3600_000_000*1000)
			if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN usage_hours") {
				t.Errorf("reads the whole table:\n%s", plan)
			}
		}
	})
}

// What the ledger has from before there were hours is in them by day, each workflow known where its generation still is.
func TestTheLedgerBeforeTheHoursIsAddedUp(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		day := time.Date(2026, 6, 14, 0, 0, 0, 0, time.UTC)
		update(t, db, func(tx *store.Tx) error {
			for _, e := range []end{
				{"org_a", "m", "staging", kinora.GenerationSucceeded, day.Add(time.Hour)}, {"org_a", "m", "staging", kinora.GenerationSucceeded, day.Add(24*time.Hour - 1)},
				{"org_a", "m", "", kinora.GenerationSucceeded, day.Add(24 * time.Hour)}, {"org_a", "m", "", kinora.GenerationFailed, day},
			} {
				if err := e.write(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err := db.MigrateDown(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := seriesOf(t, db, "org_a", kinora.UsageQuestion{From: day, To: day.AddDate(0, 0, 3), Step: kinora.UsageByDay, By: kinora.UsageByWorkflow})
		if diff := cmp.Diff([]string{"06-14T00 staging 2/0 4 0.5", "06-15T00  1/0 2 0.25"}, got); diff != "" {
			t.Error(diff)
		}
	})
}
