package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Whatever happens between the steps of a replay (they fail before or after their commit, its
// worker changes, deliveries die, are redelivered and are made), each delivery that was dead
// when its turn came is revived once, and the counts are right.
func TestReplayRevivesEachDeliveryOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		runs := 0
		rapid.Check(t, func(t *rapid.T) {
			runs++
			org := fmt.Sprintf("org_%d", runs)
			w := &replayWorld{T: t, db: db, org: org, base: runs * 1000}
			n := rapid.IntRange(0, 40).Draw(t, "deliveries")
			for i := range n {
				w.add(i, rapid.SampledFrom([]kinora.DeliveryState{"dead", "dead", "dead", "delivered", "held", "pending"}).Draw(t, "state"))
			}
			r := &kinora.Replay{ID: fmt.Sprintf("rpl_%026d", runs), OrganisationID: org, Rate: 1, State: kinora.ReplayRunning, End: deliveryID(w.base + 500), Total: -1,
				Filter: kinora.ReplayFilter{Delivered: rapid.Bool().Draw(t, "delivered too")}, CreatedAt: t0, UpdatedAt: t0}
			w.update(func(tx *store.Tx) error { return tx.InsertReplay(r) })
			due := map[string]bool{} // what was to be revived, as it stood when the replay looked
			stop := errors.New("stop")
			for step := 0; ; step++ {
				r = w.read(r.ID)
				if r.State != kinora.ReplayRunning {
					break
				}
				var ids []string
				var position string
				var done bool
				w.view(func(tx *store.Tx) (err error) {
					ids, position, done, err = tx.ReplayStep(r, r.Position, rapid.IntRange(1, 10).Draw(t, "limit"), rapid.IntRange(1, 10).Draw(t, "reach"))
					return err
				})
				outcome := rapid.SampledFrom([]string{"commits", "commits", "commits", "fails", "is another's"}).Draw(t, "step")
				if outcome == "is another's" {
					w.update(func(tx *store.Tx) error {
						other := *r
						other.LeaseOwner = fmt.Sprint("node_", step)
						return tx.SaveReplay(&other)
					})
				}
				if len(ids) > 0 && rapid.IntRange(0, 5).Draw(t, "redelivered") == 0 {
					w.set(ids[0], "pending") // by hand, in this moment
				}
				err := db.Update(context.Background(), func(tx *store.Tx) error {
					revived, err := tx.Revive(r, ids, t0.Add(time.Hour))
					if err != nil {
						return err
					}
					next := *r
					next.Position, next.Revived, next.Passed = position, r.Revived+revived, r.Passed+len(ids)-revived
					if done {
						next.State = kinora.ReplayFinished
					}
					if err := tx.SaveReplay(&next); err != nil {
						return err
					}
					if outcome == "fails" {
						return stop
					}
					return nil
				})
				if want := map[string]error{"fails": stop, "is another's": store.ErrStale}[outcome]; !errors.Is(err, want) || want == nil && err != nil {
					t.Fatalf("%s: %v", outcome, err)
				}
				if err == nil {
					for _, id := range ids {
						if due[id] {
							t.Fatalf("%s came twice", id)
						}
						due[id] = true
					}
				}
				if rapid.IntRange(0, 3).Draw(t, "meanwhile") == 0 && n < 400 {
					w.add(500+n, "dead") // made after the replay
					n++
				}
			}
			if r.Revived+r.Passed != len(due) {
				t.Fatalf("revived %d, passed %d, of %d", r.Revived, r.Passed, len(due))
			}
			revived := 0
			for _, id := range w.ids {
				d := w.delivery(id)
				behind := id >= r.End
				if behind && d.State != "dead" || !behind && d.State == "dead" || r.Filter.Delivered && !behind && d.State == "delivered" {
					t.Fatalf("%s is %s", id, d.State)
				}
				if w.replayOf(id) == r.ID {
					revived++
					if d.ScheduleFrom != d.Attempts || !d.DueAt.Equal(t0.Add(time.Hour)) {
						t.Fatalf("revived: %+v", d)
					}
				}
			}
			if revived != r.Revived {
				t.Fatalf("%d revived, %d counted", revived, r.Revived)
			}
		})
	})
}

// replayWorld is an organisation's deliveries.
type replayWorld struct {
	*rapid.T
	db   *store.DB
	org  string
	base int
	ids  []string
}

func (w *replayWorld) update(fn func(tx *store.Tx) error) {
	if err := w.db.Update(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *replayWorld) view(fn func(tx *store.Tx) error) {
	if err := w.db.View(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *replayWorld) add(n int, state kinora.DeliveryState) {
	d := searchable(w.base+n, w.org, "a.example", kinora.EventCompleted, state, 0)
	w.ids = append(w.ids, d.ID)
	insertOne(w.T, w.db, d)
	w.set(d.ID, state)
}

func (w *replayWorld) set(id string, state kinora.DeliveryState) {
	w.update(func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE deliveries SET state = ?, attempts = 1 WHERE id = ?`, string(state), id)
		return err
	})
}

func (w *replayWorld) read(id string) (r *kinora.Replay) {
	w.view(func(tx *store.Tx) (err error) { r, err = tx.Replay(w.org, id); return err })
	return r
}

func (w *replayWorld) delivery(id string) (d *kinora.Delivery) {
	w.view(func(tx *store.Tx) (err error) { d, err = tx.Delivery(w.org, id); return err })
	return d
}

func (w *replayWorld) replayOf(id string) (replay string) {
	w.view(func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT replay_id FROM deliveries WHERE id = ?`, id).Scan(&replay)
	})
	return replay
}

// A replay's lease ends with its node, and old replays go with the log.
func TestReplayLeasesAndRetention(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var list []*kinora.Replay
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i, owner := range []string{"node_1", "node_2", "node_1", ""} {
				r := &kinora.Replay{ID: fmt.Sprintf("rpl_%026d", i), OrganisationID: "org_1", Rate: 5, State: kinora.ReplayRunning, End: "dlv_9", Total: -1, CreatedAt: t0, UpdatedAt: t0}
				if err := tx.InsertReplay(r); err != nil {
					return err
				}
				r.LeaseOwner = owner
				if i == 2 {
					r.State, r.LeaseOwner, r.FinishedAt = kinora.ReplayFinished, "", t0.Add(time.Hour)
				}
				if err := tx.SaveReplay(r); err != nil {
					return err
				}
				list = append(list, r)
			}
			strange, err := tx.StrangeOwners()
			if slices.Sort(strange); err != nil || !slices.Equal(strange, []string{"node_1", "node_2"}) {
				t.Errorf("strange owners %v, %v", strange, err)
			}
			if n, err := tx.RemoveNode("node_1", t0); err != nil || n != 1 {
				t.Errorf("%d released, %v", n, err)
			}
			r, err := tx.Replay("org_1", list[0].ID)
			if err != nil || r.LeaseOwner != "" || r.Version != 2 {
				t.Errorf("%+v, %v", r, err)
			}
			if err := tx.SaveReplay(list[0]); !errors.Is(err, store.ErrStale) {
				t.Errorf("a late write: %v", err)
			}
			if running, err := tx.RunningReplays("org_1", 10); err != nil || len(running) != 3 {
				t.Errorf("%d running, %v", len(running), err)
			}
			if n, err := tx.TrimReplays(t0, 10); err != nil || n != 0 {
				t.Errorf("%d trimmed too early, %v", n, err)
			}
			if n, err := tx.TrimReplays(t0.Add(time.Hour), 10); err != nil || n != 1 {
				t.Errorf("%d trimmed, %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveReplay(list[0]) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("a late write: %v", err)
		}
	})
}
