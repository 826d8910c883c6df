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
	begun  chan int64
	events []webhook.Streamed
	idle   int
	stop   context.CancelFunc
	ended  chan error
}

func listen(t *testing.T, d *webhook.Dispatcher, organisation string, from webhook.StreamStart) *listening {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &listening{begun: make(chan int64, 1), stop: stop, ended: make(chan error, 1)}
	go func() {
		l.ended <- d.Listen(ctx, organisation, from, 5*time.Millisecond, webhook.StreamSink{
			Begin: func(position int64) error { l.begun <- position; return nil },
			Event: func(e webhook.Streamed) error {
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

func (l *listening) seen() []webhook.Streamed {
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
		l := listen(t, d, "org_a", webhook.StreamStart{})
		if begin := <-l.begun; begin <= 0 {
			t.Errorf("begins behind %d", begin)
		}
		var jobs []string
		w.events(70, func(i int) (string, string) { return []string{"org_a", "org_b"}[i%2], "" }, func(job string) { jobs = append(jobs, job) })
		d.Nudge()
		eventually(t, "35 events", func() bool { return len(l.seen()) >= 35 })
		verifier, err := verify.NewVerifier([]string{secretA})
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for i, e := range l.seen() {
			event, err := verifier.Verify(e.Header, e.Body)
			if err != nil || event.JobID != jobs[2*i] || e.Position <= last || e.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("event %d at %d: %v, %+v", i, e.Position, err, event)
			}
			last = e.Position
		}
		eventually(t, "heartbeats", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.idle > 2 })
		since := listen(t, d, "org_b", webhook.StreamStart{Since: time.Now().Add(-time.Hour)})
		eventually(t, "the other organisation's", func() bool { return len(since.seen()) == 35 })
	})
}

// An event that commits late is behind what was read before, whatever its id and time say.
func TestLateCommitIsNotSkipped(t *testing.T) {
	db := storetest.Postgres(t)
	w := newWorld(t, db)
	w.organisation("org_a", "")
	l := listen(t, w.dispatcher(t, func(c *webhook.Config) { c.Poll = 5 * time.Millisecond }), "org_a", webhook.StreamStart{})
	<-l.begun
	early := time.Now()
	written, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Update(context.Background(), func(tx *store.Tx) error {
			if err := note(tx, "org_a", "evt_00000000000000000000000001", early); err != nil {
				return err
			}
			close(written)
			<-release
			return nil
		})
	}()
	<-written
	w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_00000000000000000000000002", time.Now()) })
	eventually(t, "the second event", func() bool { return len(l.seen()) == 1 })
	close(release)
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
		starts := make([]int64, listeners)
		for i := range starts {
			l := listen(t, nodes[i%2], "org_a", webhook.StreamStart{})
			starts[i] = <-l.begun
			l.stop()
		}
		var writing, reading sync.WaitGroup
		for n := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(n)))
				for range each {
					at := time.Now().Add(-time.Duration(random.IntN(int(time.Hour)))) // its commit was delayed by so much
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
					nodes[random.IntN(2)].Nudge()
				}
			})
		}
		written := make(chan struct{})
		go func() { writing.Wait(); close(written) }()
		got := make([][]string, listeners)
		for i := range listeners {
			reading.Go(func() {
				random := rand.New(rand.NewPCG(2, uint64(i)))
				after := starts[i]
				for last := false; ; {
					stop := 1 + random.IntN(40)
					err := nodes[random.IntN(2)].Listen(context.Background(), "org_a", webhook.StreamStart{After: after}, 20*time.Millisecond, webhook.StreamSink{
						Begin: func(int64) error { return nil },
						Event: func(e webhook.Streamed) error {
							got[i], after = append(got[i], e.Header.Get(verify.HeaderID)), e.Position
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
			rest := listen(t, nodes[0], "org_a", webhook.StreamStart{After: positionOf(t, w, got[i], starts[i])})
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

func positionOf(t *testing.T, w *world, ids []string, start int64) int64 {
	t.Helper()
	if len(ids) == 0 {
		return start
	}
	var position int64
	w.view(func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT position FROM events WHERE id = ?`, ids[len(ids)-1]).Scan(&position)
	})
	return position
}

// Positions go on growing when everything that had one has been removed.
func TestPositionsOutliveTheirEvents(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.organisation("org_a", "")
		d := w.dispatcher(t, func(c *webhook.Config) { c.Poll = 5 * time.Millisecond })
		l := listen(t, d, "org_a", webhook.StreamStart{})
		<-l.begun
		w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_1", time.Now()) })
		eventually(t, "the first event", func() bool { return len(l.seen()) == 1 })
		w.update(func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM events`); return err })
		w.update(func(tx *store.Tx) error { return note(tx, "org_a", "evt_2", time.Now()) })
		again := listen(t, d, "org_a", webhook.StreamStart{After: l.seen()[0].Position})
		eventually(t, "the second event", func() bool { return len(again.seen()) == 1 })
	})
}
