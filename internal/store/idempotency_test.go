package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestOnceIsAtomic(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			made []string
			seen = map[string]int{}
		)
		key := kinora.Idempotency{Key: "k", Scope: "POST /x", RequestHash: "h"}
		for i := range 100 {
			wg.Go(func() {
				var id, old string
				err := db.Update(context.Background(), func(tx *store.Tx) (err error) {
					id = fmt.Sprintf("ing_%d", i)
					old, err = tx.Once("org_1", key, id, t0)
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case old == "":
					made = append(made, id)
				default:
					seen[old]++
				}
			})
		}
		wg.Wait()
		if len(made) != 1 || seen[made[0]] != 99 || len(seen) != 1 {
			t.Fatalf("made %v, others saw %v", made, seen)
		}
	})
}

func TestWhatAnIdempotencyKeyStandsFor(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		once := func(organisation, scope, key, hash, id string, at time.Time, fail error) (made string, err error) {
			err = db.Update(t.Context(), func(tx *store.Tx) error {
				if made, err = tx.Once(organisation, kinora.Idempotency{Key: key, Scope: scope, RequestHash: hash}, id, at); err != nil {
					return err
				}
				return fail
			})
			return made, err
		}
		failed := errors.New("the write failed")
		day := kinora.IdempotencyWindow
		for _, step := range []struct {
			name                     string
			organisation, scope, key string
			hash, id                 string
			at                       time.Duration
			fail                     error
			want                     string
			conflict                 bool
		}{
			{name: "a write that fails is not remembered", organisation: "a", scope: "s", key: "k", hash: "h", id: "0", fail: failed},
			{name: "first", organisation: "a", scope: "s", key: "k", hash: "h", id: "1"},
			{name: "repeat", organisation: "a", scope: "s", key: "k", hash: "h", id: "2", at: day - time.Second, want: "1"},
			{name: "another payload", organisation: "a", scope: "s", key: "k", hash: "x", id: "2", conflict: true},
			{name: "another route", organisation: "a", scope: "t", key: "k", hash: "x", id: "3"},
			{name: "another organisation", organisation: "b", scope: "s", key: "k", hash: "x", id: "4"},
			{name: "no key", organisation: "a", scope: "s", hash: "h", id: "5"},
			{name: "a day later", organisation: "a", scope: "s", key: "k", hash: "x", id: "6", at: day},
			{name: "and its repeat", organisation: "a", scope: "s", key: "k", hash: "x", id: "7", at: day + time.Hour, want: "6"},
		} {
			made, err := once(step.organisation, step.scope, step.key, step.hash, step.id, t0.Add(step.at), step.fail)
			switch {
			case step.conflict:
				if kinora.CodeOf(err) != kinora.ErrConflict {
					t.Errorf("%s: %v", step.name, err)
				}
			case !errors.Is(err, step.fail) || made != step.want:
				t.Errorf("%s: made %q, %v; want %q", step.name, made, err, step.want)
			}
		}
		// Recall claims nothing.
		for range 2 {
			err := db.View(t.Context(), func(tx *store.Tx) error {
				made, err := tx.Recall("a", kinora.Idempotency{Key: "new", Scope: "s", RequestHash: "h"}, t0)
				if made != "" {
					t.Errorf("recalled %q", made)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
