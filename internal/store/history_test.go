package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What a generation came from and what was made of it, and never another organisation's.
func TestOriginOfAGeneration(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		made := func(n int, organisation, parent string) *kinora.Generation {
			g := generation(fmt.Sprintf("job_%026d", n))
			g.OrganisationID, g.ParentID, g.CreatedAt = organisation, parent, now.Add(time.Duration(n)*time.Second)
			return g
		}
		parent := made(0, "org_1", "")
		ada := kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com", Address: "192.0.2.1"}
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			var errs []error
			for _, g := range []*kinora.Generation{parent, made(1, "org_1", parent.ID), made(2, "org_2", parent.ID), made(3, "org_1", ""), made(4, "org_1", parent.ID), made(5, "org_1", parent.ID)} {
				errs = append(errs, tx.InsertGeneration(g))
			}
			once := kinora.Idempotency{Key: "key-1", Scope: "POST /api/v1/generations", RequestHash: "h"}
			_, err := tx.Once("org_1", once, parent.ID, parent.CreatedAt)
			_, err2 := tx.Once("org_2", once, parent.ID, parent.CreatedAt) // says the same id, and is another's
			return errors.Join(append(errs, err, err2, tx.AuditBy(ada, kinora.AuditGenerationCreate, "org_1", parent.ID, nil),
				tx.AuditBy(ada, kinora.AuditGenerationCancel, "org_1", made(1, "", "").ID, nil))...)
		})
		if err != nil {
			t.Fatal(err)
		}
		ids := func(list []kinora.Relative) (ids []string) {
			for _, r := range list {
				ids = append(ids, r.ID)
			}
			return ids
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			for _, tc := range []struct {
				limit int
				want  []int
				more  bool
			}{{20, []int{1, 4, 5}, false}, {3, []int{1, 4, 5}, false}, {2, []int{1, 4}, true}} {
				var want []string
				for _, n := range tc.want {
					want = append(want, made(n, "", "").ID)
				}
				got, more, err := tx.Regenerations(parent, tc.limit)
				if err != nil || !slices.Equal(ids(got), want) || more != tc.more {
					t.Errorf("at most %d: %v, more %v, %v", tc.limit, got, more, err)
				}
			}
			if by, err := tx.Submitter(parent); err != nil || *by != ada {
				t.Errorf("submitted by %+v, %v", by, err)
			}
			if by, err := tx.Submitter(made(1, "org_1", "")); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("who cancelled it passes for who submitted it: %+v, %v", by, err)
			}
			if key, err := tx.IdempotencyKeyOf(parent); err != nil || key != "key-1" {
				t.Errorf("key %q, %v", key, err)
			}
			if key, err := tx.IdempotencyKeyOf(made(3, "org_1", "")); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a key of none: %q, %v", key, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestEntryAndEventOfAGeneration(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
		var done, failed string
		event := &kinora.Event{ID: id.New(id.Event, at), OrganisationID: "org_1", Type: kinora.EventCompleted, CreatedAt: at}
		err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
			if done, err = ended(tx, "org_1", kinora.UsageGeneration, 80_000, kinora.GenerationSucceeded, at); err != nil {
				return err
			}
			event.GenerationID = done
			if err := tx.InsertEvent(event); err != nil {
				return err
			}
			failed, err = ended(tx, "org_1", kinora.UsageGeneration, 80_000, kinora.GenerationFailed, at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			if e, err := tx.EntryOf(done); err != nil || e.GenerationID != done || e.Amount != 80_000 || !e.Billable || e.Outputs != 2 {
				t.Errorf("entry %+v, %v", e, err)
			}
			if e, err := tx.EventOf(done); err != nil || *e != *event {
				t.Errorf("event %+v, %v", e, err)
			}
			_, entry := tx.EntryOf(failed)
			_, ev := tx.EventOf(failed)
			if !errors.Is(entry, store.ErrNotFound) || !errors.Is(ev, store.ErrNotFound) {
				t.Errorf("of one without: %v, %v", entry, ev)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
