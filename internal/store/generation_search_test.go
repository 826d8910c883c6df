package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// listable is the n-th generation of a list: several are accepted in the same microsecond.
func listable(n int, organisation string) *kinora.Generation {
	g := generation(fmt.Sprintf("%s_%026d", []string{"task", "job"}[n%2], n))
	g.OrganisationID = organisation
	g.CreatedAt = t0.Add(time.Duration(n/3) * time.Second)
	g.State = kinora.GenerationStates()[n*7%6]
	g.Model = []string{"m", "n"}[n/2%2]
	if n%3 > 0 {
		reference := fmt.Sprint("listing-", n%9)
		g.Reference = &reference
	}
	if n%2 == 1 {
		g.Request = &kinora.WorkflowRequest{Workflow: []string{"staging", "pro_capture"}[n/2%2], RoomTypes: []string{"Kitchen"}}
	}
	g.SourceAssetID = []string{"", "", "src_1", "src_2"}[n/2%4]
	return g
}

func insertGenerations(t testing.TB, db *store.DB, list ...*kinora.Generation) {
	t.Helper()
	err := db.Update(context.Background(), func(tx *store.Tx) error {
		for _, g := range list {
			if err := tx.InsertGeneration(g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wanted is the search's meaning, told in the plainest way.
func wanted(f kinora.GenerationSearch, g *kinora.Generation) bool {
	workflow := ""
	if g.Request != nil {
		workflow = g.Request.Workflow
	}
	return (f.State == "" || f.State == g.State) && (f.Model == "" || f.Model == g.Model) && (f.Workflow == "" || f.Workflow == workflow) &&
		(f.Source == "" || f.Source == g.SourceAssetID) && (f.Reference == "" || g.Reference != nil && *g.Reference == f.Reference) &&
		(f.Reference != "" || f.ReferencePrefix == "" || g.Reference != nil && len(*g.Reference) >= len(f.ReferencePrefix) && (*g.Reference)[:len(f.ReferencePrefix)] == f.ReferencePrefix) &&
		!g.CreatedAt.Before(f.Since) && (f.Until.IsZero() || g.CreatedAt.Before(f.Until))
}

// Whatever is asked for, all pages together are what a look at every generation of the organisation finds, newest first,
// although generations are accepted in the meantime.
func TestListFindsWhatMatches(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		orgs := []string{"org_1", "org_2"}
		var all []*kinora.Generation
		for n := range 120 {
			all = append(all, listable(n, orgs[n*5%3%2]))
		}
		insertGenerations(t, db, all...)
		slices.SortFunc(all, func(a, b *kinora.Generation) int {
			if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		made := 1000
		rapid.Check(t, func(t *rapid.T) {
			organisation := rapid.SampledFrom(append(orgs, "org_3")).Draw(t, "organisation")
			f := kinora.GenerationSearch{
				State:           rapid.SampledFrom(append(kinora.GenerationStates(), "", "", "")).Draw(t, "state"),
				Reference:       rapid.SampledFrom([]string{"", "", "listing-1", "listing-4", "x"}).Draw(t, "reference"),
				ReferencePrefix: rapid.SampledFrom([]string{"", "", "l", "listing-1", "listing-", "LIST", "li%", "x"}).Draw(t, "prefix"),
				Model:           rapid.SampledFrom([]string{"", "", "m", "x"}).Draw(t, "model"),
				Workflow:        rapid.SampledFrom([]string{"", "", "staging", "x"}).Draw(t, "workflow"),
			}
			f.Source = rapid.SampledFrom([]string{"", "", "src_1", "x"}).Draw(t, "source")
			if rapid.Bool().Draw(t, "since") {
				f.Since = t0.Add(time.Duration(rapid.IntRange(0, 42).Draw(t, "from")) * time.Second)
			}
			if rapid.Bool().Draw(t, "until") {
				f.Until = t0.Add(time.Duration(rapid.IntRange(0, 42).Draw(t, "to")) * time.Second)
			}
			var want, got []string
			for _, g := range all {
				if f.Matches(g) != wanted(f, g) {
					t.Fatalf("%+v: Matches is %v for %+v", f, f.Matches(g), g)
				}
				if g.OrganisationID == organisation && wanted(f, g) {
					want = append(want, g.ID)
				}
			}
			p := store.GenerationPage{Limit: rapid.IntRange(4, 60).Draw(t, "limit"), Reach: rapid.SampledFrom([]int{15, 10_000}).Draw(t, "reach")}
			for more := true; more; more = p.Before != "" {
				var page []*kinora.Generation
				err := db.View(context.Background(), func(tx *store.Tx) (err error) {
					page, p.Before, err = tx.SearchGenerations(organisation, f, p)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > p.Limit {
					t.Fatalf("%d on a page", len(page))
				}
				for _, g := range page {
					got = append(got, g.ID)
				}
				if p.Before != "" && made < 1050 && rapid.IntRange(0, 20).Draw(t, "insert") == 0 {
					made++
					later := listable(made, "org_1")
					later.CreatedAt = t0.Add(24 * time.Hour)
					insertAny(t, db, later)
				}
			}
			got = slices.DeleteFunc(got, func(id string) bool { return id[len(id)-4] == '1' }) // accepted by an earlier check
			if !slices.Equal(want, got) {
				t.Fatalf("%s %+v: %s", organisation, f, cmp.Diff(want, got))
			}
		})
	})
}

func insertAny(t *rapid.T, db *store.DB, g *kinora.Generation) {
	if err := db.Update(context.Background(), func(tx *store.Tx) error { return tx.InsertGeneration(g) }); err != nil {
		t.Fatal(err)
	}
}

// A page costs what it reaches, not what is there: every query goes along an index in the order of the list.
func TestListGoesAlongAnIndex(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		run(t, db, `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
			INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, reference, created_at, updated_at, deadline_at, source_asset_id)
			SELECT 'task_' || i, 'org_' || (i % 3), 'submit', 'm', 'image', CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END, '{}', 'r' || (i % 100),
				CAST(? AS BIGINT) + CAST(i AS BIGINT) * 1000000, 0, 0, CASE WHEN i % 4 = 0 THEN 'src_' || (i % 100) ELSE '' END FROM n`, store.Micros(t0))
		if db.Name() == "postgres" {
			run(t, db, `ANALYZE generations`)
		}
		floor := t0.Add(29_000 * time.Second)
		for name, f := range map[string]kinora.GenerationSearch{
			"everything":   {},
			"by state":     {State: kinora.GenerationFailed},
			"by reference": {Reference: "r4"},
			"by beginning": {ReferencePrefix: "r4"},
			"by source":    {Source: "src_4", State: kinora.GenerationSucceeded},
			"by both":      {Source: "src_4", Reference: "r4"},
			"by age":       {Since: t0.Add(20_000 * time.Second), Until: t0.Add(29_500 * time.Second), Model: "m", Workflow: "staging"},
		} {
			index := "generations_by_age"
			if f.Source != "" {
				index = "generations_by_source"
			} else if f.Reference != "" {
				index = "generations_by_reference"
			}
			texts, args := store.GenerationStatements("org_1", f, floor)
			for i, text := range texts {
				plan := explain(t, db, text, args[i]...)
				// PostgreSQL sorts where it expects next to nothing.
				if !strings.Contains(plan, index) || strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Seq Scan") {
					t.Errorf("%s: %s\n%s", name, text, plan)
				}
			}
		}
	})
}

func TestWorkflowRequestRoundTrip(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		g := generation("job_1")
		g.ParentID = "job_0"
		g.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Living Room", "Kitchen"},
			StylePreset: "Modern", Fields: map[string]json.RawMessage{"angle": json.RawMessage(`{"a":1.0}`)}}
		insertGenerations(t, db, g)
		err := db.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Generation("org_1", "job_1")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(g.Request, got.Request); diff != "" || got.ParentID != "job_0" {
				t.Errorf("%s, parent %q", diff, got.ParentID)
			}
			at, err := tx.Standings([]string{"job_1", "job_2"})
			if want := (map[string]kinora.Standing{"job_1": {State: kinora.GenerationQueued}}); !cmp.Equal(want, at) {
				t.Errorf("standings %v", at)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
