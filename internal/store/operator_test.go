package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What operators look at costs what is live, not what has ended: with tables full of finished rows every
// plan goes along an index that has none of them.
func TestOperatorsViewsGoAlongIndexes(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		fillWithEnded(t, db, 4000)
		for _, q := range store.OperatorStatements(t0) {
			if q.Name == "outputs kept" && db.Name() == "postgres" {
				continue // it sums up the whole index, which PostgreSQL takes for less than the table only once that was vacuumed
			}
			plan := explain(t, db, q.Text, q.Args...)
			for _, index := range q.Indexes {
				if !strings.Contains(plan, index) {
					t.Errorf("%s does not use %s:\n%s", q.Name, index, plan)
				}
			}
			for _, table := range []string{"attempts", "deliveries", "generations", "outputs", "source_assets", "reviews", "replays"} {
				if strings.Contains(plan, "Seq Scan on "+table) || strings.Contains(plan, "SCAN "+table+"\n") {
					t.Errorf("%s reads all of %s:\n%s", q.Name, table, plan)
				}
			}
			if q.Name == "outputs kept" && !strings.Contains(plan, "COVERING") {
				t.Errorf("%s reads rows:\n%s", q.Name, plan)
			}
		}
	})
}

// fillWithEnded writes n finished generations with an attempt, an output and a delivery each.
func fillWithEnded(t *testing.T, db *store.DB, n int) {
	t.Helper()
	rows := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ` + fmt.Sprint(n) + `) `
	at := fmt.Sprint(store.Micros(t0))
	for _, text := range []string{
		`INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, completed_at, deadline_at) ` + rows +
			`SELECT 'task_' || i, 'org_1', 'submit', 'm', 'image', 'succeeded', '{}', ` + at + ` - i, ` + at + ` - i, ` + at + ` - i, ` + at + ` FROM n`,
		`INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, upstream_id, created_at, finished_at, deadline_at) ` + rows +
			`SELECT 'task_' || i, 0, 'org_1', 'fake', 'm', 'fake', 'main', 'succeeded', 'up_' || i, ` + at + ` - i, ` + at + ` - i, ` + at + ` FROM n`,
		`INSERT INTO outputs (id, generation_id, attempt, place, state, ordinal, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, created_at, expires_at) ` + rows +
			`SELECT 'out_' || i, 'task_' || i, 0, 0, 'published', 0, 'outputs/' || i, 'image', 'image/png', 10, '', 1, 1, 0, ` + at + `, ` + at + ` FROM n`,
		`INSERT INTO events (id, organisation_id, generation_id, type, created_at) ` + rows + `SELECT 'evt_' || i, 'org_1', 'task_' || i, 'generation.completed', ` + at + ` FROM n`,
		`INSERT INTO deliveries (id, event_id, event_type, organisation_id, generation_id, url, destination, state, created_at, finished_at) ` + rows +
			`SELECT 'dlv_' || i, 'evt_' || i, 'generation.completed', 'org_1', 'task_' || i, '', 'org_1 https://a.example:443', 'delivered', ` + at + `, ` + at + ` FROM n`,
		`INSERT INTO source_assets (ingest_id, id, organisation_id, state, created_at, updated_at) ` + rows + `SELECT 'ing_' || i, 'src_' || i, 'org_1', 'ready', ` + at + `, ` + at + ` FROM n`,
		`INSERT INTO reviews (generation_id, round, organisation_id, state, created_at) ` + rows + `SELECT 'task_' || i, 0, 'org_1', 'approved', ` + at + ` FROM n`,
		`INSERT INTO replays (id, organisation_id, filter, rate, state, end_id, created_at, updated_at, finished_at) ` + rows + `SELECT 'rpl_' || i, 'org_1', '{}', 1, 'completed', '', 1, 1, 1 FROM n`,
	} {
		run(t, db, text)
	}
	if db.Name() == "postgres" { // plans follow estimates
		run(t, db, `ANALYZE`)
	}
}

// troubled writes a generation with one attempt, and the columns of the attempt that a test is about.
func troubled(t *testing.T, db *store.DB, n int, set string) *kinora.Attempt {
	t.Helper()
	generation := fmt.Sprintf("task_%026d", n)
	at := store.Micros(t0.Add(time.Duration(n) * time.Second))
	run(t, db, `INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, deadline_at)
		VALUES (?, 'org_1', 'submit', 'm', 'image', 'running', '{}', ?, ?, ?)`, generation, at, at, at)
	run(t, db, `INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, callback_hash, created_at, submitted_at, deadline_at)
		VALUES (?, 0, 'org_1', 'fake', 'm', 'fake', 'main', 'open', ?, ?, ?, ?)`, generation, generation, at, at, at)
	run(t, db, `UPDATE attempts SET `+set+` WHERE generation_id = ?`, generation)
	var a *kinora.Attempt
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { a, err = tx.Attempt(generation, 0); return err }); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTroubledAttemptsAreFound(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		troubled(t, db, 1, `state = 'unsettled'`)
		troubled(t, db, 2, fmt.Sprintf(`read_errors = %d`, kinora.UnreadableFrom))
		troubled(t, db, 3, fmt.Sprintf(`read_errors = %d`, kinora.UnreadableFrom-1))
		ended := store.Micros(t0)
		troubled(t, db, 4, fmt.Sprintf(`state = 'failed', failure_code = '%s', finished_at = %d, read_errors = 9`, kinora.FailureOutcomeUnknown, ended))
		troubled(t, db, 5, fmt.Sprintf(`state = 'failed', failure_code = 'upstream_error', finished_at = %d`, ended))
		troubled(t, db, 6, `state = 'unsettled'`)
		troubled(t, db, 7, `contested_id = 'up_1'`)
		troubled(t, db, 8, fmt.Sprintf(`contested_id = 'up_1', state = 'cancelled', finished_at = %d`, ended))
		troubled(t, db, 9, fmt.Sprintf(`contested_id = 'up_1', state = 'cancelled', finished_at = %d`, ended-1))
		err := db.View(t.Context(), func(tx *store.Tx) error {
			for _, find := range []struct {
				name string
				read func() ([]*kinora.Attempt, error)
				want string
			}{
				{"unsettled, newest first", func() ([]*kinora.Attempt, error) { return tx.UnsettledAttempts(9) }, "6 1"},
				{"one of them", func() ([]*kinora.Attempt, error) { return tx.UnsettledAttempts(1) }, "6"},
				{"unreadable", func() ([]*kinora.Attempt, error) { return tx.UnreadableAttempts(9) }, "2"},
				{"unknown", func() ([]*kinora.Attempt, error) { return tx.UnknownAttempts(t0, 9) }, "4"},
				{"unknown of later", func() ([]*kinora.Attempt, error) { return tx.UnknownAttempts(t0.Add(time.Second), 9) }, ""},
				{"contested, newest first", func() ([]*kinora.Attempt, error) { return tx.ContestedAttempts(t0, 9) }, "8 7"},
				{"live, by deadline", func() ([]*kinora.Attempt, error) { return tx.LiveAttempts(3) }, "1 2 3"},
			} {
				list, err := find.read()
				if err != nil {
					return err
				}
				var got []string
				for _, a := range list {
					got = append(got, strings.TrimLeft(strings.TrimPrefix(a.GenerationID, "task_"), "0"))
				}
				if strings.Join(got, " ") != find.want {
					t.Errorf("%s: %v, want %s", find.name, got, find.want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Only what waits for its time in nobody's hand is hastened, and a look that fails then costs none of those that failed in a row.
func TestHastenAttempt(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		later := store.Micros(t0.Add(time.Hour))
		for n, tc := range []struct {
			set  string
			want bool
			left int
		}{
			{fmt.Sprintf(`due_at = %d, read_errors = 3`, later), true, 2},
			{fmt.Sprintf(`state = 'unsettled', due_at = %d, read_errors = 3`, later), true, 2},
			{fmt.Sprintf(`state = 'collecting', due_at = %d, read_errors = 3`, later), true, 2},
			{fmt.Sprintf(`state = 'queued', due_at = %d`, later), true, 0},
			{`state = 'queued'`, false, 0}, // waits for its source
			{`lease_owner = 'node_1'`, false, 0},
			{fmt.Sprintf(`due_at = %d`, store.Micros(t0)), false, 0},
			{fmt.Sprintf(`state = 'submitting', due_at = %d`, later), false, 0},
			{fmt.Sprintf(`state = 'failed', due_at = %d, finished_at = %d`, later, later), false, 0},
		} {
			a := troubled(t, db, n, tc.set)
			var did bool
			update(t, db, func(tx *store.Tx) (err error) { did, err = tx.HastenAttempt(a, t0); return err })
			update(t, db, func(tx *store.Tx) (err error) { a, err = tx.Attempt(a.GenerationID, 0); return err })
			if did != tc.want || a.ReadErrors != tc.left || did && !a.DueAt.Equal(t0) {
				t.Errorf("%s: %v, due %v, %d read errors", tc.set, did, a.DueAt, a.ReadErrors)
			}
		}
		stale := troubled(t, db, 99, fmt.Sprintf(`due_at = %d`, later))
		stale.Version++
		update(t, db, func(tx *store.Tx) error {
			if did, err := tx.HastenAttempt(stale, t0); did || err != nil {
				t.Errorf("of an older version: %v, %v", did, err)
			}
			return nil
		})
	})
}

func TestQueuesAreCounted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		past, soon := store.Micros(t0.Add(-time.Minute)), store.Micros(t0.Add(time.Minute))
		for n, set := range []string{
			fmt.Sprintf(`state = 'queued', due_at = %d`, past), fmt.Sprintf(`state = 'queued', due_at = %d`, past+1), fmt.Sprintf(`state = 'queued', due_at = %d`, soon),
			fmt.Sprintf(`due_at = %d`, soon), `lease_owner = 'node_1'`, fmt.Sprintf(`lane = 'other', due_at = %d`, past), `state = 'succeeded', finished_at = 1`,
		} {
			troubled(t, db, n, set)
		}
		insertDeliveries(t, db, searchable(1, "org_1", "a.example", kinora.EventCompleted, kinora.DeliveryPending, 0),
			searchable(2, "org_1", "a.example", kinora.EventCompleted, kinora.DeliveryHeld, 0), searchable(3, "org_1", "a.example", kinora.EventCompleted, kinora.DeliveryDead, 500))
		run(t, db, `INSERT INTO reviews (generation_id, round, organisation_id, state, created_at) VALUES (?, 0, 'org_1', 'pending', ?)`, fmt.Sprintf("task_%026d", 0), past)
		run(t, db, `INSERT INTO nodes (id, started_at, beat_at) VALUES ('node_1', 1000, 2000)`)
		var q, few kinora.Queues
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			if q, err = tx.Queues(t0, 100); err != nil {
				return err
			}
			few, err = tx.Queues(t0, 1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []kinora.LaneDepth{
			{Lane: "fake", State: kinora.AttemptOpen, Waiting: 1},
			{Lane: "fake", State: kinora.AttemptQueued, Due: 2, Waiting: 1, OldestDue: store.Time(past)},
			{Lane: "other", State: kinora.AttemptOpen, Due: 1, OldestDue: store.Time(past)},
		}
		if fmt.Sprint(q.Lanes) != fmt.Sprint(want) {
			t.Errorf("lanes %v, want %v", q.Lanes, want)
		}
		if q.AttemptsInHand != 1 || q.Deliveries != (kinora.WorkDepth{Due: 1}) || q.HeldDeliveries != 1 || q.DeadDeliveries != 1 || q.Reviews != 1 || !q.OldestReview.Equal(store.Time(past)) {
			t.Errorf("%+v", q)
		}
		if len(q.Nodes) != 1 || q.Nodes[0].InHand != 1 || q.Nodes[0].BeatAt.UnixMicro() != 2000 {
			t.Errorf("nodes %+v", q.Nodes)
		}
		if few.Lanes[1].Due != 1 {
			t.Errorf("counted past the limit: %+v", few.Lanes)
		}
	})
}

func TestFilesKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		fillWithEnded(t, db, 10)
		run(t, db, `UPDATE outputs SET removed_at = 1 WHERE id IN ('out_1', 'out_2')`)
		run(t, db, `UPDATE outputs SET origin_id = 'out_4' WHERE id = 'out_3'`)
		for i := range 2 { // two assets of one file
			run(t, db, `INSERT INTO source_assets (ingest_id, id, organisation_id, state, bytes, sha256, created_at, updated_at) VALUES (?, ?, 'org_1', 'ready', 100, 'ab', 1, 1)`, fmt.Sprint("ing_same_", i), fmt.Sprint("src_same_", i))
		}
		run(t, db, `INSERT INTO asset_files (organisation_id, sha256, blob_key, assets) VALUES ('org_1', 'ab', 'k', 2)`)
		run(t, db, `INSERT INTO uploads (id, organisation_id, blob_key, kind, content_type, bytes, original_name, created_at, expires_at) VALUES ('up_1', 'org_1', 'u', 'image', 'image/png', 7, '', 1, 1)`)
		err := db.View(t.Context(), func(tx *store.Tx) error {
			outputs, assets, uploads, err := tx.FilesKept(100)
			if err != nil {
				return err
			}
			if (outputs != kinora.FilesKept{Files: 7, Bytes: 70}) || (assets != kinora.FilesKept{Files: 1, Bytes: 100}) || (uploads != kinora.FilesKept{Files: 1, Bytes: 7}) {
				t.Errorf("%+v %+v %+v", outputs, assets, uploads)
			}
			if outputs, _, _, err = tx.FilesKept(5); err != nil || !outputs.More || outputs.Files != 5 {
				t.Errorf("%+v, %v", outputs, err)
			}
			size, err := tx.Size()
			if err != nil || size < 4096 {
				t.Errorf("%d bytes, %v", size, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
