package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// ended writes a generation that ends at once, with its ledger entry where it succeeds.
func ended(tx *store.Tx, organisation string, kind kinora.UsageType, price kinora.Money, to kinora.GenerationState, at time.Time) (string, error) {
	g := &kinora.Generation{ID: id.New(id.Job, at), OrganisationID: organisation, Surface: kinora.SurfaceGenerations, Model: "m", State: kinora.GenerationRunning,
		UsageType: kind, Price: price, Fingerprint: "f", CreatedAt: at, UpdatedAt: at, DeadlineAt: at.Add(time.Hour)}
	if err := tx.InsertGeneration(g); err != nil {
		return "", err
	}
	if err := g.Finish(to, nil, at); err != nil {
		return "", err
	}
	if err := tx.FinishGeneration(g); err != nil {
		return "", err
	}
	if to != kinora.GenerationSucceeded {
		return g.ID, nil
	}
	return g.ID, tx.InsertUsage(id.New(id.Usage, at), g, 2)
}

func usageOf(t *testing.T, db *store.DB, organisation string, at, now time.Time) (u kinora.Usage) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		u, err = tx.Usage(organisation, at, now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsageCountsEachEndInItsMonth(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		august := time.Date(2026, 8, 31, 23, 59, 59, 0, time.UTC)
		september := august.Add(time.Second)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for _, e := range []struct {
				organisation string
				kind         kinora.UsageType
				to           kinora.GenerationState
				at           time.Time
			}{
				{"org_a", kinora.UsageGeneration, kinora.GenerationSucceeded, august},
				{"org_a", kinora.UsageGeneration, kinora.GenerationSucceeded, september},
				{"org_a", kinora.UsageRegeneration, kinora.GenerationSucceeded, september},
				{"org_a", kinora.UsageRegeneration, kinora.GenerationFailed, september},
				{"org_a", kinora.UsageGeneration, kinora.GenerationCancelled, september},
				{"org_a", kinora.UsageCacheHit, kinora.GenerationSucceeded, september},
				{"org_b", kinora.UsageGeneration, kinora.GenerationSucceeded, september},
			} {
				if _, err := ended(tx, e.organisation, e.kind, 1_500_000, e.to, e.at); err != nil {
					return err
				}
			}
			for i, surface := range []kinora.Surface{kinora.SurfaceGenerations, kinora.SurfaceSubmit} {
				g := &kinora.Generation{ID: fmt.Sprintf("job_open%d", i), OrganisationID: "org_a", Surface: surface, State: kinora.GenerationQueued,
					UsageType: kinora.UsageRegeneration, Price: 250_000, CreatedAt: august, UpdatedAt: august, DeadlineAt: september}
				if err := tx.InsertGeneration(g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range map[time.Time]kinora.Usage{
			august:                      {Succeeded: 1, Outputs: 2, Billable: 1, Amount: 1_500_000},
			september.AddDate(0, 0, 20): {Succeeded: 3, Failed: 2, Outputs: 6, Regenerations: 3, CacheHits: 1, Billable: 2, Amount: 3_000_000, InFlight: 2, Reserved: 500_000},
			september.AddDate(0, 1, 0):  {},
		} {
			if got := usageOf(t, db, "org_a", at, september); got != want {
				t.Errorf("%s: %+v, want %+v", at, got, want)
			}
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			c, err := tx.Commitments("org_a", september)
			if c.Jobs != 1 || c.Reviews != 0 || c.Money != 3_500_000 {
				t.Errorf("%+v", c)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Ends at once add up: no count is lost between transactions that write one row.
func TestUsageAddsUpUnderConcurrency(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				err := db.Update(context.Background(), func(tx *store.Tx) error {
					_, err := ended(tx, "org_a", kinora.UsageGeneration, 100_000, kinora.GenerationSucceeded, t0)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if u := usageOf(t, db, "org_a", t0, t0); u.Succeeded != 60 || u.Amount != 6_000_000 || u.Outputs != 120 {
			t.Errorf("%+v", u)
		}
	})
}

func TestLedgerIsReadNewestFirstWithoutGaps(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		add := func(organisation string, at time.Time) (job string) {
			err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				job, err = ended(tx, organisation, kinora.UsageGeneration, 350_000, kinora.GenerationSucceeded, at)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return job
		}
		var want []string
		for i := range 7 {
			want = append([]string{add("org_a", t0.Add(time.Duration(i)*time.Second))}, want...)
			add("org_b", t0.Add(time.Duration(i)*time.Second))
		}
		var got []string
		before := ""
		for {
			var page []kinora.UsageEntry
			err := db.View(t.Context(), func(tx *store.Tx) (err error) {
				page, err = tx.Ledger("org_a", before, 3)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.GenerationID)
				if e.Type != kinora.UsageGeneration || !e.Billable || e.UnitPrice != 350_000 || e.Amount != 350_000 || e.Fingerprint != "f" || e.Outputs != 2 {
					t.Errorf("%+v", e)
				}
			}
			before = page[len(page)-1].ID
			add("org_a", t0.Add(time.Hour)) // what comes in meanwhile moves nothing
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("read %v\nwant %v", got, want)
		}
	})
}

// The statements that page through the ledger, sum a month up and hold a budget use indexes,
// however many entries there are.
func TestUsageStatementsUseTheirIndexes(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO usage_entries (id, organisation_id, generation_id, usage_type, model, outputs, created_at)
				SELECT 'bev_' || i, 'org_' || (i % 2), 'job_' || i, 'generation', 'm', 1, 1 FROM n`,
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, completed_at, deadline_at)
				SELECT 'job_' || i, 'org_' || (i % 2), 'generations', 'm', 'image', 'succeeded', '{}', 1, 1, CASE WHEN i % 500 = 0 THEN 0 ELSE 1 END, 1 FROM n`,
				`ANALYZE`,
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
		for name, c := range map[string]struct {
			query string
			args  []any
			want  []string
		}{
			"ledger":  {store.LedgerQuery, []any{"org_1", "bev_Z", 100}, []string{"usage_entries_by_organisation"}},
			"cache":   {store.ApprovedQuery, []any{"org_1", "f", "m", "", "{}", 3}, []string{"generations_by_fingerprint"}},
			"summary": {store.UsageQuery, []any{"org_1", 1, "org_1", 1, "org_1", 1, "org_1", 0}, []string{"generations_open"}},
		} {
			plan := explain(t, db, c.query, c.args...)
			for _, index := range c.want {
				if !strings.Contains(plan, index) {
					t.Errorf("%s does not use %s:\n%s", name, index, plan)
				}
			}
			for _, scan := range []string{"Seq Scan on usage_entries", "SCAN usage_entries", "Seq Scan on generations", "SCAN generations"} {
				if strings.Contains(plan, scan) {
					t.Errorf("%s reads a whole table:\n%s", name, plan)
				}
			}
		}
	})
}

// Nothing changes or removes an entry of the ledger: there is no statement that could.
func TestLedgerHasNoWayToChange(t *testing.T) {
	change := regexp.MustCompile(`(?i)(update|delete\s+from|truncate(\s+table)?|replace\s+into)\s+usage_entries`)
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".sql") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if found := change.Find(text); found != nil {
			t.Errorf("%s: %s", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
