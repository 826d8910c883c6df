package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 6, 14, 10, 30, 0, 123456000, time.UTC)

func generation(id string) *kinora.Generation {
	return &kinora.Generation{
		ID: id, OrganisationID: "org_1", Surface: kinora.SurfaceSubmit, Model: "m", Kind: kinora.KindImage,
		State: kinora.GenerationQueued, Input: kinora.Input{Prompt: "two kites"},
		CreatedAt: t0, UpdatedAt: t0, DeadlineAt: t0.Add(time.Hour),
	}
}

func attempt(id string, due time.Time) *kinora.Attempt {
	return &kinora.Attempt{
		GenerationID: id, OrganisationID: "org_1", Lane: "sandbox", Model: "m", Provider: "sandbox",
		CallbackMode: kinora.CallbackNone, DueAt: due, CreatedAt: t0, DeadlineAt: t0.Add(time.Hour),
	}
}

func insert(t *testing.T, db *store.DB, ids ...string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for i, id := range ids {
			if err := tx.InsertGeneration(generation(id)); err != nil {
				return err
			}
			if err := tx.InsertAttempts(attempt(id, t0.Add(time.Duration(i)*time.Millisecond))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGenerationRoundTrip(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		g := generation("task_1")
		ref := "order-17"
		g.Reference, g.Metadata = &ref, []byte(`{"b": 1,  "a":"\u003c"}`)
		g.Input.Images = []string{"https://a.example/1.png"}
		err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertGeneration(g) })
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Generation("org_1", "task_1")
			if err != nil {
				return err
			}
			if string(got.Metadata) != string(g.Metadata) {
				t.Errorf("metadata = %s, want the bytes as sent", got.Metadata)
			}
			if *got.Reference != ref || got.Input.Images[0] != g.Input.Images[0] || !got.CreatedAt.Equal(t0) {
				t.Errorf("got %+v", got)
			}
			if _, err := tx.Generation("org_2", "task_1"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("another organisation's read = %v, want ErrNotFound", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestUpdateUndoesOnlyTheFailingCaller(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var wg sync.WaitGroup
		boom := errors.New("boom")
		for i := range 50 {
			wg.Go(func() {
				err := db.Update(context.Background(), func(tx *store.Tx) error {
					if err := tx.InsertGeneration(generation(fmt.Sprintf("task_%d", i))); err != nil {
						return err
					}
					if i%5 == 0 {
						return boom
					}
					if i%7 == 0 {
						panic("one caller's bug")
					}
					return nil
				})
				if i%5 == 0 && !errors.Is(err, boom) {
					t.Errorf("caller %d got %v, want its own error", i, err)
				}
			})
		}
		wg.Wait()
		for i := range 50 {
			want := i%5 != 0 && i%7 != 0
			err := db.View(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Generation("", fmt.Sprintf("task_%d", i))
				return err
			})
			if got := err == nil; got != want {
				t.Errorf("generation %d there = %v, want %v (%v)", i, got, want, err)
			}
		}
	})
}

func TestClaimsAreExclusiveAndFenced(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var ids []string
		for i := range 40 {
			ids = append(ids, fmt.Sprintf("task_%02d", i))
		}
		insert(t, db, ids...)
		now := t0.Add(time.Second)

		var (
			mu      sync.Mutex
			claimed = map[string]string{}
			wg      sync.WaitGroup
		)
		for n := range 4 {
			wg.Go(func() {
				node := fmt.Sprintf("node_%d", n)
				for range 10 {
					err := db.Update(context.Background(), func(tx *store.Tx) error {
						list, err := tx.ClaimAttempts("sandbox", kinora.AttemptQueued, node, now, 3)
						mu.Lock()
						defer mu.Unlock()
						for _, a := range list {
							if other, ok := claimed[a.GenerationID]; ok {
								t.Errorf("%s claimed by %s and %s", a.GenerationID, other, node)
							}
							claimed[a.GenerationID] = node
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if len(claimed) != 40 {
			t.Fatalf("claimed %d of 40", len(claimed))
		}

		// A dead node's leases come back, and what it still writes is refused.
		var old *kinora.Attempt
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			list, err := tx.Attempts("task_07")
			if err != nil {
				return err
			}
			old = list[0]
			n, err := tx.ReleaseAttempts(old.LeaseOwner, now)
			if n == 0 {
				t.Error("released nothing")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		old.State = kinora.AttemptSubmitting
		err = db.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveAttempt(old, kinora.AttemptQueued) })
		if !errors.Is(err, store.ErrStale) {
			t.Fatalf("late write = %v, want ErrStale", err)
		}
	})
}

func TestClaimTakesTheMostOverdueOfItsLaneOnly(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		insert(t, db, "task_a", "task_b", "task_c")
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			other := generation("task_x")
			if err := tx.InsertGeneration(other); err != nil {
				return err
			}
			a := attempt("task_x", t0.Add(-time.Hour))
			a.Lane = "kling"
			return tx.InsertAttempts(a)
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			lanes, err := tx.LiveLanes()
			if err != nil {
				return err
			}
			if strings.Join(lanes, " ") != "kling sandbox" {
				t.Errorf("lanes = %v", lanes)
			}
			list, err := tx.ClaimAttempts("sandbox", kinora.AttemptQueued, "n", t0.Add(time.Millisecond), 1)
			if err != nil {
				return err
			}
			if len(list) != 1 || list[0].GenerationID != "task_a" {
				t.Errorf("claimed %+v, want task_a alone", list)
			}
			due, err := tx.NextDue("sandbox", kinora.AttemptQueued)
			if !due.Equal(t0.Add(time.Millisecond)) {
				t.Errorf("next due = %v", due)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestInFlightCountsSlots(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		insert(t, db, "task_a", "task_b", "task_c")
		states := []kinora.AttemptState{kinora.AttemptSubmitting, kinora.AttemptOpen, kinora.AttemptCollecting}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i, id := range []string{"task_a", "task_b", "task_c"} {
				list, err := tx.Attempts(id)
				if err != nil {
					return err
				}
				a := list[0]
				a.State, a.Account = states[i], "main"
				if err := tx.SaveAttempt(a, kinora.AttemptQueued); err != nil {
					return err
				}
			}
			n, err := tx.InFlight("main", 10)
			if n != 2 {
				t.Errorf("in flight = %d, want 2: collecting holds no slot", n)
			}
			if n, _ := tx.InFlight("main", 1); n != 1 {
				t.Errorf("in flight up to 1 = %d", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestFinishedRowsAreTerminal(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		insert(t, db, "task_a")
		g := generation("task_a")
		if err := g.Finish(kinora.GenerationFailed, kinora.NewFailure(kinora.FailureTimeout, "too late"), t0); err != nil {
			t.Fatal(err)
		}
		finish := func(tx *store.Tx) error { return tx.FinishGeneration(g) }
		if err := db.Update(t.Context(), finish); err != nil {
			t.Fatal(err)
		}
		if err := db.Update(t.Context(), finish); !errors.Is(err, store.ErrStale) {
			t.Fatalf("second finish = %v, want ErrStale", err)
		}
	})
}

func TestSQLiteIsExclusive(t *testing.T) {
	db := storetest.SQLite(t)
	_ = db
	dir := t.TempDir()
	first, err := store.Open(t.Context(), store.Options{DSN: dir + "/a.db"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{DSN: dir + "/a.db"}); kinora.CodeOf(err) != kinora.ErrUnavailable {
		t.Fatalf("second open = %v, want unavailable", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(t.Context(), store.Options{DSN: dir + "/a.db"})
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	if err := again.Update(t.Context(), func(*store.Tx) error { return nil }); kinora.CodeOf(err) != kinora.ErrUnavailable {
		t.Fatalf("update after close = %v, want unavailable", err)
	}
	if err := again.View(t.Context(), func(*store.Tx) error { return nil }); kinora.CodeOf(err) != kinora.ErrUnavailable {
		t.Fatalf("view after close = %v, want unavailable", err)
	}
}
