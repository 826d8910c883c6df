package lifecycle_test

import (
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Whoever waits for a generation is told of its end, on the node that ends it and on every other.
func TestEndsAreTold(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up).start(t)
		g, other := h.accept(t, submission("x")), h.accept(t, submission("y"))

		told := func(ended <-chan struct{}) bool {
			select {
			case <-ended:
				return true
			case <-time.After(time.Minute):
				return false
			}
		}
		first, leaveFirst := h.Ended(g.ID)
		second, leaveSecond := h.Ended(g.ID)
		waiting, leave := h.Ended(other.ID)
		defer leave()
		leaveSecond()
		if _, err := h.Cancel(t.Context(), organisation, g.ID); err != nil {
			t.Fatal(err)
		}
		if !told(first) {
			t.Fatal("the end was not told")
		}
		leaveFirst() // after the end it does nothing
		select {
		case <-second:
			t.Error("who has left was told")
		case <-waiting:
			t.Error("another generation's end was told")
		default:
		}

		// What another node commits rings no bell here.
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			now, err := tx.Generation(organisation, other.ID)
			if err != nil {
				return err
			}
			if err := now.Finish(kinora.GenerationFailed, kinora.NewFailure(kinora.FailureTimeout, "late"), time.Now()); err != nil {
				return err
			}
			return tx.FinishGeneration(now)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !told(waiting) {
			t.Error("an end on another node was not found")
		}
	})
}
