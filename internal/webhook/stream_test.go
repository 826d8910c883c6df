package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	verify "github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

var errEnough = errors.New("enough")

// listening is one stream, read in the background.
type listening struct {
	mu     sync.Mutex
	begun  chan kinora.StreamPlace
	events []kinora.Streamed
	idle   int
	stop   context.CancelFunc
	ended  chan error
}

func listen(t *testing.T, d *webhook.Dispatcher, organisation string, from kinora.StreamPlace) *listening {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &listening{begun: make(chan kinora.StreamPlace, 1), stop: stop, ended: make(chan error, 1)}
	go func() {
		l.ended <- d.Listen(ctx, organisation, from, 5*time.Millisecond, kinora.StreamSink{
			Begin: func(at kinora.StreamPlace) error { l.begun <- at; return nil },
			Event: func(e kinora.Streamed) error {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.events = append(l.events, e)
				return nil
			},
			Idle: func() error {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.idle++
				return nil
			},
		})
	}()
	t.Cleanup(func() { stop(); <-l.ended })
	return l
}

func (l *listening) seen() []kinora.Streamed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *listening) ids() (ids []string) {
	for _, e := range l.seen() {
		ids = append(ids, e.Header.Get(verify.HeaderID))
	}
	return ids
}

// note writes an event that is not about a generation.
func note(tx *store.Tx, organisation, eventID string, at time.Time) error {
	return tx.InsertEvent(&kinora.Event{ID: eventID, OrganisationID: organisation, Type: "note", Body: `{"id":"` + eventID + `"}`, CreatedAt: at})
}

// A stream brings what a receiver would get, signed the same, in its organisation alone and from now on.
func TestStreamIsWhatADeliveryWouldBe(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.organisation("org_a", "")
		w.organisation("org_b", "")
		w.events(3, func(int) (string, string) { return "org_a", "" }) // before anybody listens
		d := w.dispatcher(t, nil)
		l := listen(t, d, "org_a", kinora.StreamPlace{})
		if begin := <-l.begun; begin.Position <= 0 || begin.IsZero() {
			t.Errorf("begins at %v", begin)
		}
		var jobs []string
		w.events(70, func(i int) (string, string) { return []string{"org_a", "org_b"}[i%2], "" }, func(job string) { jobs = append(jobs, job) })
		d.Nudge("org_a")
		eventually(t, "35 events", func() bool { return len(l.seen()) >= 35 })
		verifier, err := verify.NewVerifier([]string{secretA})
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for i, e := range l.seen() {
			event, err := verifier.Verify(e.Header, e.Body)
			if err != nil || event.JobID != jobs[2*i] || e.Place.Position <= last || e.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("event %d at %d: %v, %+v", i, e.Place.Position, err, event)
			}
			last = e.Place.Position
		}
		eventually(t, "heartbeats", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.idle > 2 })
		since := listen(t, d, "org_b", kinora.StreamPlace{Since: time.Now().Add(-time.Hour)})
		eventually(t, "the other organisation's", func() bool { return len(since.seen()) == 35 })
	})
}

// An event that commits late is behind what was read before, whatever its id and time say.
func TestLateCommitIsNotSkipped(t *testing.T) {
	db := storetest.Postgres(t)
	w := newWorld(t, db)
	w.organisation("org_a", "")
	l := listen(t, w.dispatcher(t, func(c *webhook.Config) { c.Poll = 5 * time.Millisecond }), "org_a", kinora.StreamPlace{})
	<-l.begun
	early := time.Now()
	written, held, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release) // or the database would not close
	go func() {
		done <- db.Update(context.Background(), func(tx *store.Tx) error {
			if err := note(tx, "org_a", "evt_00000000000000000000000001", early); err != nil {
				return err
			}
			close(written)
			<-held
			return nil
		})
	}()
	<-written
	w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_00000000000000000000000002", time.Now()) })
	eventually(t, "the second event", func() bool { return len(l.seen()) == 1 })
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first event", func() bool { return len(l.seen()) == 2 })
	if got := l.ids(); !slices.Equal(got, []string{"evt_00000000000000000000000002", "evt_00000000000000000000000001"}) {
		t.Errorf("got %v", got)
	}
}

// Writers commit in an order of their own, with times of their own; listeners on two nodes break off and come back.
// Each of them sees every event once, and all see the same order.
func TestNothingIsLostBetweenStreams(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const writers, each, listeners = 6, 60, 4
		w := newWorld(t, db)
		w.organisation("org_a", "")
		nodes := []*webhook.Dispatcher{
			w.dispatcher(t, func(c *webhook.Config) { c.Poll = 3 * time.Millisecond }),
			w.dispatcher(t, func(c *webhook.Config) { c.Node, c.Poll = "node_2", 3*time.Millisecond }),
		}
		// All have begun before anything is written.
		starts := make([]kinora.StreamPlace, listeners)
		for i := range starts {
			l := listen(t, nodes[i%2], "org_a", kinora.StreamPlace{})
			starts[i] = <-l.begun
			l.stop()
		}
		var writing, reading sync.WaitGroup
		for n := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(n)))
				for range each {
					at := time.Now().Add(-time.Duration(random.IntN(int(time.Minute)))) // its commit was delayed by so much
					err := db.Update(context.Background(), func(tx *store.Tx) error {
						for range 1 + random.IntN(3) {
							if err := note(tx, "org_a", id.New(id.Event, at), at); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
					nodes[random.IntN(2)].Nudge("org_a")
				}
			})
		}
		written := make(chan struct{})
		go func() { writing.Wait(); close(written) }()
		got := make([][]string, listeners)
		for i := range listeners {
			reading.Go(func() {
				random := rand.New(rand.NewPCG(2, uint64(i)))
				at := starts[i]
				for last := false; ; {
					stop := 1 + random.IntN(40)
					err := nodes[random.IntN(2)].Listen(context.Background(), "org_a", at, 20*time.Millisecond, kinora.StreamSink{
						Begin: func(kinora.StreamPlace) error { return nil },
						Event: func(e kinora.Streamed) error {
							got[i], at = append(got[i], e.Header.Get(verify.HeaderID)), e.Place
							if stop--; stop == 0 {
								return errEnough
							}
							return nil
						},
						Idle: func() error {
							select {
							case <-written:
								last = true
								return errEnough
							default:
								return nil
							}
						},
					})
					if !errors.Is(err, errEnough) {
						t.Error(err)
						return
					}
					if last {
						return
					}
				}
			})
		}
		reading.Wait()
		// What was written just before the writers ended may not have been looked for yet.
		var all []string
		w.view(func(tx *store.Tx) error {
			return tx.Query(`SELECT id FROM events`, nil, func(row store.Row) error {
				var id string
				err := row.Scan(&id)
				all = append(all, id)
				return err
			})
		})
		for i := range listeners {
			rest := listen(t, nodes[0], "org_a", placeOf(t, w, got[i], starts[i]))
			eventually(t, fmt.Sprintf("the rest of listener %d", i), func() bool { return len(got[i])+len(rest.seen()) >= len(all) })
			got[i] = append(got[i], rest.ids()...)
		}
		if len(all) < writers*each {
			t.Fatalf("%d events", len(all))
		}
		order := slices.Clone(got[0])
		for i := range got {
			if !slices.Equal(got[i], order) {
				t.Errorf("listener %d saw another order than the first", i)
			}
		}
		slices.Sort(order)
		slices.Sort(all)
		if !slices.Equal(order, all) {
			t.Errorf("%d events were written, %d seen", len(all), len(order))
		}
	})
}

func placeOf(t *testing.T, w *world, ids []string, start kinora.StreamPlace) kinora.StreamPlace {
	t.Helper()
	if len(ids) == 0 {
		return start
	}
	w.view(func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT position FROM events WHERE id = ?`, ids[len(ids)-1]).Scan(&start.Position)
	})
	return start
}

// history writes n events of an organisation, one a second, the last of them at an instant.
func (w *world) history(organisation string, n int, last time.Time) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		for i := range n {
			at := last.Add(-time.Duration(n-1-i) * time.Second)
			if err := note(tx, organisation, id.New(id.Event, at), at); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) placed() (n int) {
	w.t.Helper()
	w.view(func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM events WHERE position > 0`).Scan(&n)
	})
	return n
}

// A stream from now on gives no positions to what was there long before, and gets none of it, not even when another
// stream asks for that.
func TestAStreamFromNowLeavesTheHistoryAlone(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.organisation("org_a", "")
		w.history("org_a", 700, time.Now().Add(-time.Hour))
		w.history("org_a", 3, time.Now())
		d := w.dispatcher(t, func(c *webhook.Config) { c.Poll = 5 * time.Millisecond })
		l := listen(t, d, "org_a", kinora.StreamPlace{})
		at := <-l.begun
		if got := w.placed(); got != 3 {
			t.Errorf("%d events have got a position, want those of the last minutes", got)
		}
		since := listen(t, d, "org_a", kinora.StreamPlace{Since: time.Now().Add(-24 * time.Hour)})
		eventually(t, "the history", func() bool { return len(since.seen()) == 703 })
		w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_new", time.Now()) })
		eventually(t, "the new event", func() bool { return len(l.seen()) > 0 })
		again := listen(t, d, "org_a", at)
		eventually(t, "the new event, once more", func() bool { return len(again.seen()) > 0 })
		for _, one := range []*listening{l, again} {
			if got := one.ids(); !slices.Equal(got, []string{"evt_new"}) {
				t.Errorf("got %d events", len(got))
			}
		}
	})
}

// A long history is given positions as it is read, and a reader that breaks off in the middle of it gets the rest.
func TestHistoryIsPlacedAsItIsRead(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const n = 1700
		w := newWorld(t, db)
		w.organisation("org_a", "")
		w.history("org_a", n, time.Now().Add(-26*time.Hour))
		d := w.dispatcher(t, nil)
		at := kinora.StreamPlace{Since: time.Now().Add(-48 * time.Hour)}
		var got []string
		for round := 0; len(got) < n; round++ {
			left := 100 + 200*round
			err := d.Listen(t.Context(), "org_a", at, time.Minute, kinora.StreamSink{
				Begin: func(begun kinora.StreamPlace) error {
					if begun != at {
						t.Errorf("begins at %v instead of %v", begun, at)
					}
					return nil
				},
				Event: func(e kinora.Streamed) error {
					got, at = append(got, e.Header.Get(verify.HeaderID)), e.Place
					if left--; left == 0 || len(got) == n {
						return errEnough
					}
					return nil
				},
			})
			if !errors.Is(err, errEnough) {
				t.Fatal(err)
			}
			if round == 0 && w.placed() != 500 {
				t.Errorf("%d events have a position after %d were read", w.placed(), len(got))
			}
		}
		if !slices.IsSorted(got) || len(slices.Compact(got)) != n {
			t.Error("events are missing, repeated or in disorder")
		}
	})
}

// Positions go on growing when everything that had one has been removed.
func TestPositionsOutliveTheirEvents(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.organisation("org_a", "")
		d := w.dispatcher(t, func(c *webhook.Config) { c.Poll = 5 * time.Millisecond })
		l := listen(t, d, "org_a", kinora.StreamPlace{})
		<-l.begun
		w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_1", time.Now()) })
		eventually(t, "the first event", func() bool { return len(l.seen()) == 1 })
		w.update(func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM events`); return err })
		w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_2", time.Now()) })
		again := listen(t, d, "org_a", l.seen()[0].Place)
		eventually(t, "the second event", func() bool { return len(again.seen()) == 1 })
	})
}
