package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What pages read costs what they show, not what there is: an organisation without reviews beside one with thousands, the few
// regenerations among all generations, and a page of the audit log.
func TestPagesGoAlongIndexes(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		fillWithEnded(t, db, 4000)
		rows := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) `
		run(t, db, `UPDATE reviews SET state = 'pending'`)
		run(t, db, `UPDATE generations SET parent_id = 'task_1' WHERE id IN ('task_7', 'task_9')`)
		run(t, db, `INSERT INTO audit_entries (id, organisation_id, actor_kind, actor_id, action, target, created_at) `+rows+
			`SELECT 'aud_' || (100000 + i), 'org_' || (i % 3), 'person', 'per_1', 'key.create', '', i FROM n`)
		if db.Name() == "postgres" {
			run(t, db, `ANALYZE`)
		}
		at := store.Micros(t0.Add(-time.Hour))
		type question struct {
			text  string
			args  []any
			index string
		}
		questions := map[string]question{
			"reviews of a quiet one":  {store.PendingOfOne, []any{"org_2", at, "", "org_2", 26}, "reviews_pending_by_organisation"},
			"reviews of a busy one":   {store.PendingOfOne, []any{"org_1", at, "", "org_1", 26}, "reviews_pending_by_organisation"},
			"reviews of all":          {store.PendingOfAll, []any{at, "", 26}, "reviews_pending"},
			"regenerations":           {store.RegenerationsQuery, []any{"task_1", "org_1", 21}, "generations_by_parent"},
			"regenerations of a rare": {store.RegenerationsQuery, []any{"task_3", "org_2", 21}, "generations_by_parent"},
		}
		key := map[string]string{"sqlite": "sqlite_autoindex_audit_entries_1", "postgres": "audit_entries_pkey"}[db.Name()]
		since := time.UnixMicro(2_000_500) // in the middle of a millisecond
		for name, f := range map[string]kinora.AuditFilter{"all": {}, "actor": {ActorID: "per_2"}, "target": {Target: "key_1", Action: "key."}, "time": {Since: since, Until: since.Add(time.Hour)}} {
			texts, args := store.AuditStatements(db, f, "aud_103000")
			f.OrganisationID = "org_1"
			own, ownArgs := store.AuditStatements(db, f, "aud_103000")
			for i := range texts {
				questions[fmt.Sprintf("audit by %s, %d", name, i)] = question{texts[i], args[i], key}
				questions[fmt.Sprintf("audit of one by %s, %d", name, i)] = question{own[i], ownArgs[i], "audit_entries_by_organisation"}
			}
		}
		for name, q := range questions {
			plan := explain(t, db, q.text, q.args...) // PostgreSQL sorts where it expects few
			if !strings.Contains(plan, q.index) || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s: %s\n%s", name, q.text, plan)
			}
		}
	})
}

// A page of the audit log looks at no more than its reach, and says where it has ended; what bounds of time let through is exact.
func TestAuditPagesEnd(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		began := time.Now()
		update(t, db, func(tx *store.Tx) error {
			for i := range 30 {
				target := "key_other"
				if i == 3 {
					target = "key_wanted"
				}
				if err := tx.AuditBy(kinora.Actor{Kind: kinora.ActorSystem}, kinora.AuditKeyCreate, "org_1", target, nil); err != nil {
					return err
				}
			}
			return nil
		})
		for _, f := range []kinora.AuditFilter{{Target: "key_wanted"}, {Target: "key_wanted", OrganisationID: "org_1", Since: began}} {
			var found []kinora.AuditEntry
			pages, before := 0, ""
			for next := "?"; next != ""; pages++ {
				err := db.View(t.Context(), func(tx *store.Tx) (err error) {
					var page []kinora.AuditEntry
					page, next, err = tx.AuditEntries(f, store.SearchPage{Before: before, Limit: 5, Reach: 10})
					found = append(found, page...)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				before = next
			}
			if len(found) != 1 || found[0].Target != "key_wanted" || pages < 3 || pages > 4 {
				t.Errorf("%+v: found %+v on %d pages", f, found, pages)
			}
		}

		// Two entries of one millisecond, on either side of a bound within it.
		half := time.Date(2026, 9, 21, 14, 0, 0, 500_000, time.UTC)
		for i, at := range []time.Time{half.Add(-time.Microsecond), half} {
			run(t, db, `INSERT INTO audit_entries (id, actor_kind, action, target, created_at) VALUES (?, 'system', 'key.create', ?, ?)`,
				id.New(id.Audit, at), fmt.Sprint("half_", i), store.Micros(at))
		}
		for name, tc := range map[string]struct {
			f    kinora.AuditFilter
			want []string
		}{
			"from":  {kinora.AuditFilter{Since: half, Until: half.Add(time.Minute)}, []string{"half_1"}},
			"until": {kinora.AuditFilter{Since: half.Add(-time.Minute), Until: half}, []string{"half_0"}},
			"whole": {kinora.AuditFilter{Since: half.Truncate(time.Millisecond), Until: half.Truncate(time.Millisecond).Add(time.Millisecond)}, []string{"half_0", "half_1"}},
		} {
			got := map[string]bool{}
			for _, e := range auditEntries(t, db, tc.f, "", 10) {
				got[e.Target] = true
			}
			if len(got) != len(tc.want) || !got[tc.want[0]] {
				t.Errorf("%s: %v, want %v", name, got, tc.want)
			}
		}
	})
}

// The health of destinations asks once for many deliveries, and of each for its newest attempts alone.
func TestBriefAttemptsAreTheNewest(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var ids []string
		for i := range 1200 {
			ids = append(ids, fmt.Sprintf("dlv_%05d", i))
		}
		rows := `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1199), k(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM k WHERE j < 25) `
		run(t, db, `INSERT INTO events (id, organisation_id, type, created_at) SELECT 'evt_1', 'org_1', 'generation.completed', 1`)
		run(t, db, `INSERT INTO deliveries (id, event_id, event_type, organisation_id, generation_id, url, destination, state, created_at) `+rows+
			`SELECT 'dlv_' || substr('0000' || i, length('0000' || i) - 4), 'evt_1', 'generation.completed', 'org_1', '', '', 'org_1 x', 'delivered', 1 FROM n`)
		run(t, db, `INSERT INTO delivery_attempts (delivery_id, number, started_at, duration_us, status, fault, error, address, dns_us, connect_us, tls_us, first_byte_us, sent, response_head, response, next_at) `+rows+
			`SELECT 'dlv_' || substr('0000' || i, length('0000' || i) - 4), j, 1, 1, 200, '', '', '', 0, 0, 0, 0, '', '', '', 0 FROM n, k WHERE j <= 2 OR i = 7`)
		if db.Name() == "postgres" {
			run(t, db, `ANALYZE`)
		}
		var list []kinora.DeliveryAttempt
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			list, err = tx.BriefAttempts(ids)
			return err
		})
		if err != nil || len(list) != 2*1199+20 {
			t.Fatalf("%d attempts, %v", len(list), err)
		}
		for _, a := range list {
			if a.DeliveryID == ids[7] && a.Number <= 5 {
				t.Errorf("the attempt %d of 25 is among the newest twenty", a.Number)
			}
		}
		args := make([]any, 20)
		for i := range args {
			args[i] = ids[i]
		}
		if plan := explain(t, db, store.BriefAttemptsQuery(len(args)), args...); strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN a\n") {
			t.Errorf("it reads all attempts:\n%s", plan)
		}
	})
}
