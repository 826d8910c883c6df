package lifecycle_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// The list has what Generation shows, newest first, and nothing of others.
func TestSearch(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t)).start(t)
		var ids []string
		for range 3 {
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			ids = append(ids, g.ID)
		}
		slices.Reverse(ids)
		page, next, err := h.Search(t.Context(), organisation, kinora.GenerationSearch{State: kinora.GenerationSucceeded}, "", 2)
		if err != nil || len(page) != 2 || next == "" || page[0].Generation.ID != ids[0] || len(page[0].Outputs) != 1 {
			t.Fatalf("%+v %q %v", page, next, err)
		}
		page, next, err = h.Search(t.Context(), organisation, kinora.GenerationSearch{State: kinora.GenerationSucceeded}, next, 2)
		if err != nil || len(page) != 1 || next != "" || page[0].Generation.ID != ids[2] {
			t.Fatalf("%+v %q %v", page, next, err)
		}
		if page, _, err = h.Search(t.Context(), "org_other", kinora.GenerationSearch{}, "", 2); err != nil || len(page) != 0 {
			t.Fatalf("another organisation sees %+v, %v", page, err)
		}
	})
}

// Whoever waits is told which place it has and, once the model is learnt, how long that will probably take.
func TestOutlook(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.hang = make(chan struct{})
		oneAtATime := withAccounts(lifecycle.Account{Account: provider.Account{Name: "main", Provider: "fake"}, MaxInFlight: 1})
		h := build(t, db, t.TempDir(), up, oneAtATime)
		look := func(g *kinora.Generation) kinora.Outlook {
			t.Helper()
			got, err := h.Outlook(t.Context(), g)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		var all []*kinora.Generation
		for i := range 4 {
			all = append(all, h.accept(t, submission("x")))
			if got := look(all[i]); got != (kinora.Outlook{Position: i + 1}) {
				t.Errorf("of %d, before anything is known: %+v", i, got)
			}
			time.Sleep(time.Millisecond) // of the same microsecond, two would have the same place
		}
		const typical = 10 * time.Second
		err := db.Update(context.Background(), func(tx *store.Tx) error {
			return tx.SaveLearntDurations("fake-image", slices.Repeat([]time.Duration{typical}, 20), time.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
		h = build(t, db, t.TempDir(), up, oneAtATime).start(t)
		<-up.reached
		for i, want := range []kinora.Outlook{{ETA: typical}, {Position: 1, ETA: 2 * typical}, {Position: 2, ETA: 3 * typical}, {Position: 3, ETA: 4 * typical}} {
			if got := look(all[i]); got != want {
				t.Errorf("of %d: %+v, want %+v", i, got, want)
			}
		}
		close(up.hang)
		ended, _ := h.await(t, all[0].ID)
		if got := look(ended); got != (kinora.Outlook{}) {
			t.Errorf("of one that has ended: %+v", got)
		}
	})
}
