package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Many give positions at once, while events are being written. A position that was seen once stays, no two are the
// same, and none appears behind one that a reader has passed.
func TestPositionsAreGivenOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const placers, events = 8, 300
		start := time.Now()
		update := func(fn func(tx *store.Tx) error) {
			if err := db.Update(context.Background(), fn); err != nil {
				t.Error(err)
			}
		}
		update(func(tx *store.Tx) error {
			return tx.InsertOrganisation(&kinora.Organisation{ID: "org_a", Name: "a", CreatedAt: start})
		})
		var left atomic.Int64
		left.Store(events)
		var working sync.WaitGroup
		working.Go(func() {
			for i := range events {
				update(func(tx *store.Tx) error {
					return tx.InsertEvent(&kinora.Event{ID: fmt.Sprint("evt_", i), OrganisationID: "org_a", Type: "x", Body: "{}", CreatedAt: start.Add(-time.Duration(i) * time.Second)})
				})
			}
		})
		for range placers {
			working.Go(func() {
				for left.Load() > 0 && !t.Failed() {
					placed := 0
					update(func(tx *store.Tx) (err error) {
						placed, err = tx.PlaceEvents("org_a", start.Add(-time.Hour), start, 2)
						return err
					})
					left.Add(-int64(placed))
				}
			})
		}
		seen, passed := map[string]int64{}, int64(0)
		read := func() {
			err := db.View(context.Background(), func(tx *store.Tx) error {
				list, err := tx.EventsAfter("org_a", 0, time.Time{}, events+1)
				last := int64(0)
				for _, e := range list {
					before, known := seen[e.ID]
					if known && before != e.Position || !known && e.Position <= passed || e.Position <= last {
						return fmt.Errorf("%s at %d: was at %d, readers are at %d, the one before at %d", e.ID, e.Position, before, passed, last)
					}
					seen[e.ID], last = e.Position, e.Position
				}
				passed = last
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		for left.Load() > 0 && !t.Failed() {
			read()
		}
		working.Wait()
		read()
		if len(seen) != events || left.Load() != 0 {
			t.Errorf("%d events have a position, %d given", len(seen), events-left.Load())
		}
	})
}
