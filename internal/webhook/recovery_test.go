package webhook_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// faultyDB is a database that is away when the test says so.
type faultyDB struct {
	*store.DB
	away     atomic.Bool
	failures atomic.Int64
	// afterUpdate, when set, is asked after each committed transaction, and its error is
	// returned although everything was carried out: a commit whose confirmation got lost.
	afterUpdate atomic.Pointer[func() error]
}

var errAway = &kinora.Error{Code: kinora.ErrUnavailable, Op: "database", Message: "the database is out of reach"}

func (f *faultyDB) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if f.away.Load() {
		f.failures.Add(1)
		return errAway
	}
	err := f.DB.Update(ctx, fn)
	if after := f.afterUpdate.Load(); err == nil && after != nil {
		err = (*after)()
	}
	return err
}

func (f *faultyDB) View(ctx context.Context, fn func(*store.Tx) error) error {
	if f.away.Load() {
		f.failures.Add(1)
		return errAway
	}
	return f.DB.View(ctx, fn)
}

// TestAnOutageLosesNothing: answers that come while the database is away are written when
// it is back; their deliveries are not made again.
func TestAnOutageLosesNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		faulty := &faultyDB{DB: db}
		rcv, release := hanging(t)
		org := w.organisation("org_1", rcv.url())
		ds := w.events(30, func(int) (string, string) { return org, "" })
		d := w.run(t, func(c *webhook.Config) { c.DB = faulty })
		eventually(t, "POSTs under way", func() bool { return len(rcv.seen()) == 4 && w.count(`state = 'held'`) == 26 })
		faulty.away.Store(true)
		release()
		eventually(t, "the loops to meet the outage", func() bool { return faulty.failures.Load() > 20 && d.InHand() == [3]int{} })
		if n := w.count(`state = 'delivered'`); n != 0 {
			t.Errorf("%d results were written to a database that is away", n)
		}
		faulty.away.Store(false)
		w.settled(t)
		if len(rcv.seen()) != 30 || distinct(rcv) != 30 {
			t.Errorf("%d calls for %d events, want 30", len(rcv.seen()), distinct(rcv))
		}
		for _, x := range ds {
			if log := w.log(x.ID); len(log) != 1 || log[0].Status != 200 {
				t.Errorf("log %+v", log)
			}
		}
		eventually(t, "no lease to be known any more", func() bool { return d.Leased() == 0 })
	})
}

// TestAClaimWithoutConfirmationIsNotLost: the commit of a claim was carried out, and the
// connection broke before we heard of it.
func TestAClaimWithoutConfirmationIsNotLost(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		faulty := &faultyDB{DB: db}
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		w.events(10, func(int) (string, string) { return org, "" })
		lost := func() error {
			if w.count(`lease_owner <> ''`) == 0 {
				return nil
			}
			faulty.afterUpdate.Store(nil)
			return errAway
		}
		faulty.afterUpdate.Store(&lost)
		w.run(t, func(c *webhook.Config) { c.DB = faulty })
		w.settled(t)
		if faulty.afterUpdate.Load() != nil {
			t.Error("no confirmation was lost")
		}
		if len(rcv.seen()) != 10 {
			t.Errorf("%d calls, want 10", len(rcv.seen()))
		}
	})
}

// TestASaveWithoutConfirmationIsWrittenOnce: the same for results.
func TestASaveWithoutConfirmationIsWrittenOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		faulty := &faultyDB{DB: db}
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		ds := w.events(10, func(int) (string, string) { return org, "" })
		lost := func() error {
			if w.count(`state = 'delivered'`) == 0 {
				return nil
			}
			faulty.afterUpdate.Store(nil)
			return errAway
		}
		faulty.afterUpdate.Store(&lost)
		d := w.run(t, func(c *webhook.Config) { c.DB = faulty })
		w.settled(t)
		eventually(t, "no lease to be known any more", func() bool { return d.Leased() == 0 })
		for _, x := range ds {
			if got := w.delivery(x.ID); got.State != kinora.DeliveryDelivered || got.Attempts != 1 || len(w.log(x.ID)) != 1 {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestACrashCostsADuplicate: the receiver has answered, and the node dies before it has
// written that down. Another one delivers again, under the same webhook-id.
func TestACrashCostsADuplicate(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		faulty := &faultyDB{DB: db}
		rcv := newReceiver(t, func(*call) answer {
			faulty.away.Store(true)
			return answer{status: 200}
		})
		org := w.organisation("org_1", rcv.url())
		delivery := w.event(org)
		cfg := w.config()
		cfg.DB, cfg.Node = faulty, "node_dead"
		crashed, err := webhook.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.start(t, crashed)
		eventually(t, "the answer", func() bool { return len(rcv.seen()) == 1 && crashed.InHand() == [3]int{} })
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		if err := crashed.Stop(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("stop without a database: %v", err)
		}
		if got := w.delivery(delivery.ID); got.LeaseOwner != "node_dead" || got.Attempts != 0 {
			t.Fatalf("after the crash: %+v", got)
		}

		// The keeper of nodes finds it dead.
		w.update(func(tx *store.Tx) error {
			_, err := tx.ReleaseDeliveries("node_dead", w.clock.now())
			return err
		})
		w.run(t, nil)
		w.until(t, delivery.ID, kinora.DeliveryDelivered)
		calls := rcv.seen()
		if len(calls) != 2 || distinct(rcv) != 1 || calls[0].job() != calls[1].job() {
			t.Errorf("%d calls for %d events", len(calls), distinct(rcv))
		}
		if calls[1].header.Get("X-Katalo-Attempt") != "1" {
			t.Errorf("attempt %s: the one before was never logged", calls[1].header.Get("X-Katalo-Attempt"))
		}
	})
}

// TestALateResultOfANodeTakenForDead: what it found out is dropped.
func TestALateResultOfANodeTakenForDead(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var n atomic.Int32
		paused := make(chan struct{})
		rcv := newReceiver(t, func(c *call) answer {
			if n.Add(1) == 1 {
				select {
				case <-paused:
				case <-c.ctx.Done():
				}
				return answer{status: 410}
			}
			return answer{status: 200}
		})
		delivery := w.event(w.organisation("org_1", rcv.url()))
		slow := w.run(t, func(c *webhook.Config) { c.Node = "node_paused" })
		eventually(t, "the first attempt", func() bool { return len(rcv.seen()) == 1 })
		w.update(func(tx *store.Tx) error {
			_, err := tx.ReleaseDeliveries("node_paused", w.clock.now().Add(time.Hour))
			return err
		})
		w.update(func(tx *store.Tx) error {
			_, err := tx.ClaimDeliveries(false, "node_2", w.clock.now().Add(2*time.Hour), 1)
			return err
		})
		close(paused)
		eventually(t, "the late result to be dropped", func() bool { return slow.Leased() == 0 })
		if got := w.delivery(delivery.ID); got.State != kinora.DeliveryPending || got.LeaseOwner != "node_2" || len(w.log(delivery.ID)) != 0 {
			t.Errorf("the late result was written: %+v", got)
		}
	})
}

// TestStopGivesLeasesBack: attempts in hand end and are written; nothing stays leased, and
// nothing is lost.
func TestStopGivesLeasesBack(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv, release := hanging(t)
		org := w.organisation("org_1", rcv.url())
		w.events(300, func(int) (string, string) { return org, "" })
		cfg := w.config()
		d, err := webhook.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.start(t, d)
		eventually(t, "POSTs under way", func() bool { return len(rcv.seen()) == 4 })
		var wg sync.WaitGroup
		for range 3 { // Stop may be called by several
			wg.Go(func() {
				if err := d.Stop(context.Background()); err != nil {
					t.Errorf("stop: %v", err)
				}
			})
		}
		release()
		wg.Wait()
		if n := w.count(`lease_owner <> ''`); n != 0 {
			t.Errorf("%d deliveries are still leased", n)
		}
		done := w.count(`state = 'delivered'`)
		if done < 4 || done != len(rcv.seen()) {
			t.Errorf("%d delivered, %d calls", done, len(rcv.seen()))
		}
		if n := w.count(`state = 'held' OR (state = 'pending' AND due_at > 0)`); n != 300-done {
			t.Errorf("%d wait, want %d", n, 300-done)
		}
		if d.Start(context.Background()) == nil {
			t.Error("it starts again after Stop")
		}
		// The next one, under the same name, finds them all.
		w.run(t, nil)
		w.settled(t)
		if distinct(rcv) != 300 || len(rcv.seen()) != 300 {
			t.Errorf("%d calls for %d events, want 300", len(rcv.seen()), distinct(rcv))
		}
	})
}

// TestStopBreaksOffWhatDoesNotEnd: when Stop's own time is over.
func TestStopBreaksOffWhatDoesNotEnd(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv, _ := hanging(t)
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d, err := webhook.New(w.config())
		if err != nil {
			t.Fatal(err)
		}
		w.start(t, d)
		eventually(t, "the POST", func() bool { return len(rcv.seen()) == 1 })
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		got := w.delivery(delivery.ID)
		if got.State != kinora.DeliveryPending || got.LeaseOwner != "" || got.DueAt.IsZero() || got.Attempts != 0 || len(w.log(got.ID)) != 0 {
			t.Errorf("what was broken off is %+v", got)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	d, err := webhook.New(w.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestTwoNodesShareTheWork on one PostgreSQL: each event is delivered once.
func TestTwoNodesShareTheWork(t *testing.T) {
	w := newWorld(t, storetest.Postgres(t))
	var mu sync.Mutex
	failed := map[string]bool{}
	rcv := newReceiver(t, func(c *call) answer {
		mu.Lock()
		defer mu.Unlock()
		if id := c.header.Get("Webhook-Id"); strings.HasSuffix(id, "7") && !failed[id] {
			failed[id] = true
			return answer{status: 500}
		}
		return answer{status: 200}
	})
	var orgs []string
	for _, name := range []string{"org_a", "org_b", "org_c"} {
		orgs = append(orgs, w.organisation(name, rcv.url()))
	}
	var nodes []*webhook.Dispatcher
	for _, node := range []string{"node_1", "node_2"} {
		nodes = append(nodes, w.run(t, func(c *webhook.Config) {
			c.Node = node
			c.Schedule = steps(10*time.Millisecond, 10*time.Millisecond)
		}))
	}
	const n = 1000
	for range n / 100 {
		w.events(100, func(i int) (string, string) { return orgs[i%3], "" })
		for _, d := range nodes {
			d.Nudge("org_1")
		}
	}
	w.settled(t)
	if got := len(rcv.seen()); got != n+len(failed) || distinct(rcv) != n {
		t.Errorf("%d calls for %d events, want %d and %d", got, distinct(rcv), n+len(failed), n)
	}
	if len(failed) == 0 {
		t.Error("nothing was retried")
	}
}

// TestHeldDeliveriesOfADeadNodeAreFound by the other one, which did not hold them.
func TestHeldDeliveriesOfADeadNodeAreFound(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		ds := w.events(200, func(int) (string, string) { return org, "" })
		w.run(t, func(c *webhook.Config) { c.Rescan = 20 * time.Millisecond })
		w.settled(t)
		w.update(func(tx *store.Tx) error { // another node's work
			_, err := tx.Exec(`UPDATE deliveries SET state = 'held', due_at = 0`)
			return err
		})
		w.settled(t)
		if len(rcv.seen()) != 400 {
			t.Errorf("%d calls, want 400", len(rcv.seen()))
		}
		ids := make([]string, len(ds))
		for i, x := range ds {
			ids[i] = x.EventID
		}
		for _, c := range rcv.seen() {
			if !slices.Contains(ids, c.header.Get("Webhook-Id")) {
				t.Fatalf("unknown event %s", c.header.Get("Webhook-Id"))
			}
		}
	})
}
