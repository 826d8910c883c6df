package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestRatesGiveAllOrNothing(t *testing.T) {
	db := storetest.Postgres(t)
	slow := func(who string, n int) kinora.Rate {
		return kinora.Rate{Who: who, Step: time.Hour, Burst: time.Duration(n) * time.Hour}
	}
	take := func(rates ...kinora.Rate) []kinora.RateState {
		t.Helper()
		states, err := db.TakeRates(t.Context(), rates)
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	for i := range 2 {
		if s := take(slow("key", 9), slow("org", 2)); !s[0].Given || !s[1].Given {
			t.Fatalf("%d: %+v", i, s)
		}
	}
	for range 3 {
		s := take(slow("key", 9), slow("org", 2))
		if !s[0].Given || s[1].Given || s[1].Full > 2*time.Hour || s[1].Full < 119*time.Minute {
			t.Fatalf("%+v", s)
		}
	}
	if s := take(slow("key", 9)); !s[0].Given || s[0].Full > 3*time.Hour {
		t.Errorf("refusals by another rate were charged: %+v", s)
	}
	// Two orders of the same rates at once are no deadlock.
	var (
		wg    sync.WaitGroup
		given atomic.Int64
	)
	for i := range 60 {
		wg.Go(func() {
			a, b := slow("a", 20), slow("b", 30)
			if i%2 == 0 {
				a, b = b, a
			}
			states, err := db.TakeRates(context.Background(), []kinora.Rate{a, b})
			if err != nil {
				t.Error(err)
				return
			}
			if states[0].Given && states[1].Given {
				given.Add(1)
			}
		})
	}
	wg.Wait()
	if given.Load() != 20 {
		t.Errorf("gave %d of 20", given.Load())
	}
	left := func() (n int) {
		err := db.View(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM rate_limits`).Scan(&n) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO rate_limits (who, full_at) VALUES ('old', 1)`); err != nil {
			return err
		}
		_, err := tx.ForgetRates(time.Now(), 10)
		return err
	})
	if err != nil || left() != 4 {
		t.Errorf("%d rates are left, %v", left(), err)
	}
}
