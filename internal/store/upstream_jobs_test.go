package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func attemptNow(t *testing.T, db *store.DB, a *kinora.Attempt) *kinora.Attempt {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) { a, err = tx.Attempt(a.GenerationID, a.Ordinal); return err })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestJobHoldersAreFoundWhateverTheirState(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		troubled(t, db, 1, `upstream_id = 'up_1', state = 'succeeded', finished_at = 1`)
		troubled(t, db, 2, `upstream_id = 'up_2', account = 'other'`)
		a := troubled(t, db, 3, `upstream_id = 'up_3'`)
		troubled(t, db, 4, `upstream_id = 'up_4', account = 'elsewhere', provider = 'other'`)
		troubled(t, db, 5, `upstream_id = 'up_5', provider = 'renamed'`)
		update(t, db, func(tx *store.Tx) error {
			for id, want := range map[string]int{"up_1": 1, "up_2": 1, "up_3": 0, "up_4": 0, "up_5": 1, "up_9": 0, "": 0} {
				if list, err := tx.JobHolders(a, id); err != nil || len(list) != want {
					t.Errorf("%s: %v, %v, want %d", id, list, err, want)
				}
			}
			return nil
		})
	})
}

// Every way in which an attempt comes to a job is refused where a live one of the account has it, or one for which it was noted late or by hand;
// one that watched it to its end is in nobody's way.
func TestAJobIsTakenOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for n, tc := range []struct {
			holder string
			free   bool
		}{
			{`upstream_id = 'up_1'`, false},
			{`upstream_id = 'up_1', state = 'unsettled', named_by = 'hand'`, false},
			{`upstream_id = 'up_1', state = 'failed', finished_at = 1, named_by = 'hand'`, false},
			{`upstream_id = 'up_1', state = 'cancelled', finished_at = 1, named_by = 'late'`, false},
			{`upstream_id = 'up_1', state = 'succeeded', finished_at = 1`, true},
			{`upstream_id = 'up_1', account = 'other'`, true},
		} {
			holder := troubled(t, db, 10*n, tc.holder)
			for i, set := range []string{`state = 'submitting'`, `state = 'unsettled'`, `state = 'cancelled', finished_at = 1`} {
				a := troubled(t, db, 10*n+i+1, set)
				err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
					noted := true
					switch i {
					case 0:
						b := *a
						b.State, b.UpstreamID = kinora.AttemptOpen, "up_1"
						err = tx.SaveAttempt(&b, kinora.AttemptSubmitting)
					case 1:
						noted, err = tx.NoteUpstreamID(a, "up_1", nil, kinora.NamedByHand, t0)
					case 2:
						noted, err = tx.NoteLateUpstreamID(a, "up_1", kinora.NamedLate, t0)
					}
					if err == nil && !noted {
						t.Errorf("%s, %s: not noted", tc.holder, set)
					}
					return err
				})
				if tc.free && err != nil || !tc.free && !errors.Is(err, store.ErrTaken) {
					t.Errorf("%s, %s: %v", tc.holder, set, err)
				}
				if got := attemptNow(t, db, a); (got.UpstreamID == "up_1") != tc.free {
					t.Errorf("%s, %s: %+v", tc.holder, set, got)
				}
				run(t, db, `UPDATE attempts SET upstream_id = '', named_by = '' WHERE generation_id = ?`, a.GenerationID)
			}
			run(t, db, `UPDATE attempts SET upstream_id = '', named_by = '' WHERE generation_id = ?`, holder.GenerationID)
		}
	})
}

// Of many that take a job at once, one gets it.
func TestAJobIsTakenOnceAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			taken int
		)
		for n := range 12 {
			a := troubled(t, db, n, `state = 'submitting'`)
			a.State, a.UpstreamID = kinora.AttemptOpen, "up_1"
			wg.Go(func() {
				err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveAttempt(a, kinora.AttemptSubmitting) })
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					taken++
				} else if !errors.Is(err, store.ErrTaken) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if taken != 1 {
			t.Errorf("%d have the job", taken)
		}
	})
}

func TestContestJobKeepsTheSecondCallAway(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for n, tc := range []struct {
			set   string
			noted bool
			state kinora.AttemptState
			due   bool
		}{
			{`state = 'queued'`, true, kinora.AttemptUnsettled, true},
			{fmt.Sprintf(`state = 'unsettled', due_at = %d`, store.Micros(t0.Add(time.Hour))), true, kinora.AttemptUnsettled, true},
			{`state = 'unsettled', lease_owner = 'node_1'`, true, kinora.AttemptUnsettled, false},
			{`state = 'submitting', lease_owner = 'node_1'`, true, kinora.AttemptSubmitting, false},
			{`state = 'cancelled', finished_at = 1`, true, kinora.AttemptCancelled, false},
			{`state = 'unsettled', contested_id = 'up_0'`, false, kinora.AttemptUnsettled, false},
			{`upstream_id = 'up_2'`, false, kinora.AttemptOpen, false},
		} {
			a := troubled(t, db, n, tc.set)
			update(t, db, func(tx *store.Tx) error {
				noted, err := tx.ContestJob(a, "up_1", t0)
				if noted != tc.noted {
					t.Errorf("%s: noted %v", tc.set, noted)
				}
				return err
			})
			got := attemptNow(t, db, a)
			if got.State != tc.state || got.DueAt.Equal(t0) != tc.due || (got.ContestedID == "up_1") != tc.noted || got.LeaseOwner != a.LeaseOwner {
				t.Errorf("%s: %+v", tc.set, got)
			}
		}
	})
}

func TestYieldJob(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for n, tc := range []struct {
			set       string
			did       bool
			state     kinora.AttemptState
			contested string // afterwards
		}{
			{`state = 'open', lease_owner = 'node_1', named_by = 'hand'`, true, kinora.AttemptUnsettled, ""},
			{`state = 'open', named_by = 'hand', contested_id = 'up_0'`, true, kinora.AttemptUnsettled, "up_0"},
			{`state = 'collecting', result = '[]', named_by = 'hand'`, true, kinora.AttemptUnsettled, ""},
			{`state = 'succeeded', finished_at = 1, named_by = 'hand'`, true, kinora.AttemptSucceeded, "up_job"},
			{`state = 'cancelled', finished_at = 1, named_by = 'late'`, true, kinora.AttemptCancelled, "up_job"},
			{`state = 'open'`, false, kinora.AttemptOpen, ""},
		} {
			a := troubled(t, db, n, tc.set+fmt.Sprintf(`, upstream_id = 'up_job', account = 'account_%d', accepted_at = 1, read_errors = 2`, n))
			update(t, db, func(tx *store.Tx) error {
				did, err := tx.YieldJob(a, t0)
				if did != tc.did {
					t.Errorf("%s: %v", tc.set, did)
				}
				return err
			})
			got := attemptNow(t, db, a)
			anew := tc.state == kinora.AttemptUnsettled
			if got.State != tc.state || got.ContestedID != tc.contested || (got.UpstreamID == "") != tc.did || tc.did != (got.Version == a.Version+1) ||
				tc.did && got.DueAt.Equal(t0) == got.State.Terminal() || got.AcceptedAt.IsZero() != anew || (got.ReadErrors == 0) != anew {
				t.Errorf("%s: %+v", tc.set, got)
			}
		}
	})
}

// Where an older version gave one job to several live attempts, the oldest keeps it, and the others are settled.
func TestJobsOfSeveralAttemptsAreContestedByTheMigration(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		if err := db.MigrateDown(ctx, 13); err != nil {
			t.Fatal(err)
		}
		for n, set := range []string{
			`upstream_id = 'up_1'`, `upstream_id = 'up_1', state = 'open', lease_owner = 'node_1'`, `upstream_id = 'up_1', state = 'collecting', due_at = 7`,
			`upstream_id = 'up_1', account = 'other'`, `upstream_id = 'up_1', state = 'failed', finished_at = 1`, `upstream_id = ''`, `upstream_id = ''`,
		} {
			id := fmt.Sprintf("task_%026d", n)
			run(t, db, `INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, deadline_at)
				VALUES (?, 'org_1', 'submit', 'm', 'image', 'running', '{}', ?, 1, 1)`, id, n)
			run(t, db, `INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, created_at, deadline_at)
				VALUES (?, 0, 'org_1', 'fake', 'm', 'fake', 'main', 'open', ?, 1)`, id, n)
			run(t, db, `UPDATE attempts SET `+set+` WHERE generation_id = ?`, id)
		}
		if err := db.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		err := db.View(ctx, func(tx *store.Tx) error {
			for n, want := range []kinora.Attempt{
				{State: kinora.AttemptOpen, UpstreamID: "up_1"},
				{State: kinora.AttemptUnsettled, ContestedID: "up_1", DueAt: store.Time(1), Version: 1},
				{State: kinora.AttemptCollecting, ContestedID: "up_1", DueAt: store.Time(7), Version: 1},
				{State: kinora.AttemptOpen, UpstreamID: "up_1"},
				{State: kinora.AttemptFailed, UpstreamID: "up_1"},
				{State: kinora.AttemptOpen},
				{State: kinora.AttemptOpen},
			} {
				a, err := tx.Attempt(fmt.Sprintf("task_%026d", n), 0)
				if err != nil {
					return err
				}
				if a.State != want.State || a.UpstreamID != want.UpstreamID || a.ContestedID != want.ContestedID || !a.DueAt.Equal(want.DueAt) || a.LeaseOwner != "" || a.Version != want.Version {
					t.Errorf("%d: %+v", n, a)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.MigrateDown(ctx, 13); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
