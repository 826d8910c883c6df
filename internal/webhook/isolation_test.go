package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// hanging is a receiver that answers nobody until it is released, and 200 from then on.
func hanging(t testing.TB) (rcv *receiver, release func()) {
	t.Helper()
	gate := make(chan struct{})
	rcv = newReceiver(t, func(c *call) answer {
		select {
		case <-gate:
		case <-c.ctx.Done():
		}
		return answer{status: 200}
	})
	var once atomic.Bool
	release = func() {
		if once.CompareAndSwap(false, true) {
			close(gate)
		}
	}
	t.Cleanup(release)
	return rcv, release
}

// TestAHangingDestinationDelaysNobody: 200 events for a receiver that never answers, mixed
// with 200 for one that does, in the same organisation.
func TestAHangingDestinationDelaysNobody(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		bad, release := hanging(t)
		good := newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		ds := w.events(400, func(i int) (string, string) {
			if i%2 == 0 {
				return org, bad.url()
			}
			return org, good.url()
		})
		d := w.run(t, nil)
		badKey, goodKey := ds[0].Destination, ds[1].Destination
		eventually(t, "all fast deliveries", func() bool {
			return w.count(`destination = ? AND state = 'delivered'`, goodKey) == 200
		})
		if n := w.count(`destination = ? AND state = 'delivered'`, badKey); n != 0 {
			t.Errorf("%d of the hanging ones are delivered", n)
		}
		eventually(t, "the hanging ones to be held", func() bool {
			return w.count(`destination = ? AND state = 'held'`, badKey) == 196
		})
		if n := len(bad.seen()); n != 4 {
			t.Errorf("%d POSTs hang, want 4", n)
		}
		if in := d.InHand(); in != [3]int{4, 0, 0} {
			t.Errorf("in hand: %v", in)
		}
		// What comes now finds its way too.
		late := w.events(50, func(int) (string, string) { return org, good.url() })
		d.Nudge("org_1")
		for _, x := range late {
			w.until(t, x.ID, kinora.DeliveryDelivered)
		}
		if n := len(bad.seen()); n != 4 {
			t.Errorf("%d POSTs hang, want 4", n)
		}
		// Once it answers, it gets everything, each event once, and not all at the same time.
		release()
		w.settled(t)
		if got := distinct(bad); got != 200 || len(bad.seen()) != 200 {
			t.Errorf("the receiver that hung got %d calls for %d events, want 200", len(bad.seen()), got)
		}
	})
}

// timingOut is a client whose requests time out at once while away is set.
type timingOut struct {
	webhook.Doer
	away atomic.Bool
}

func (c *timingOut) Do(req *http.Request) (*http.Response, error) {
	if c.away.Load() {
		return nil, &url.Error{Op: "Post", URL: req.URL.String(), Err: context.DeadlineExceeded}
	}
	return c.Doer.Do(req)
}

// TestTimeoutsShrinkAndHold: each time-out takes room from a hanging destination, until it
// is left alone; its other deliveries wait without an attempt being counted.
func TestTimeoutsShrinkAndHold(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		w.events(100, func(int) (string, string) { return org, "" })
		client := &timingOut{Doer: w.guard.WebhookClient()}
		client.away.Store(true)
		d := w.run(t, func(c *webhook.Config) {
			c.Client = client
			c.Schedule = steps(24 * time.Hour)
			c.Limits = webhook.Limits{Pause: time.Hour, MaxPause: time.Hour}
		})
		eventually(t, "the breaker to open", func() bool { return w.count(`attempts = 1`)+w.count(`state = 'held'`) == 100 && d.InHand() == [3]int{} })
		tried := w.count(`attempts = 1`)
		if tried < 5 || tried > 8 {
			t.Errorf("%d were tried before the breaker opened", tried)
		}
		client.away.Store(false)
		w.clock.add(2 * time.Hour)
		d.Wake()
		eventually(t, "the held ones", func() bool { return w.count(`state = 'delivered'`) == 100-tried })
		w.clock.add(48 * time.Hour)
		d.Wake()
		w.settled(t)
		if n := w.count(`attempts > 2`); n != 0 || distinct(rcv) != 100 {
			t.Errorf("%d have more than two attempts, %d arrived", n, distinct(rcv))
		}
	})
}

// TestRetriesNeverTakeTheRoomOfFirstAttempts: with every slot for retries and for held
// deliveries taken by POSTs that hang, first attempts are made as if nothing were.
func TestRetriesNeverTakeTheRoomOfFirstAttempts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var hang atomic.Bool
		gate := make(chan struct{})
		defer close(gate) // before the dispatcher is stopped, which waits for what is under way
		rcv := newReceiver(t, func(c *call) answer {
			if !hang.Load() {
				return answer{status: 500}
			}
			select {
			case <-gate:
			case <-c.ctx.Done():
			}
			return answer{status: 200}
		})
		good := newReceiver(t, always(200))
		const storm = 40 // organisations, and so destinations
		for i := range storm {
			w.organisation(fmt.Sprintf("org_storm_%d", i), rcv.url())
		}
		quiet := w.organisation("org_quiet", good.url())
		w.events(storm*10, func(i int) (string, string) { return fmt.Sprintf("org_storm_%d", i%storm), "" })
		d := w.run(t, func(c *webhook.Config) {
			c.Schedule = steps(time.Hour, time.Hour)
			c.Limits = webhook.Limits{Fresh: 32, Retries: 16, Held: 16}
		})
		eventually(t, "everything to have failed once", func() bool { return w.count(`retry = 1 AND due_at > 0`) == storm*10 })
		hang.Store(true)
		w.clock.add(2 * time.Hour)
		d.Wake()
		eventually(t, "the retries' share of slow destinations to be full", func() bool {
			in := d.InHand()
			return in[1] >= 8 && in[2] >= 8
		})
		ds := w.events(100, func(int) (string, string) { return quiet, "" })
		d.Nudge("org_1")
		for _, x := range ds {
			w.until(t, x.ID, kinora.DeliveryDelivered)
		}
		if in := d.InHand(); in[0] != 0 {
			t.Errorf("in hand: %v", in)
		}
	})
}

func TestHeldDeliveriesAreTakenInOrderOfAge(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv, release := hanging(t)
		org := w.organisation("org_1", rcv.url())
		first := w.event(org)
		d := w.run(t, func(c *webhook.Config) { c.Limits = webhook.Limits{PerDestination: 1, Unproven: 1} })
		eventually(t, "the first to hang", func() bool { return len(rcv.seen()) == 1 })
		var want []string
		for range 5 {
			w.clock.add(time.Second)
			for _, x := range w.events(6, func(int) (string, string) { return org, "" }) {
				want = append(want, x.ID)
			}
		}
		sameInstant(want, 6)
		d.Nudge("org_1")
		eventually(t, "the others to be held", func() bool { return w.count(`state = 'held'`) == 30 })
		release()
		w.settled(t)
		var got []string
		for _, c := range rcv.seen()[1:] {
			got = append(got, c.header.Get("X-Katalo-Delivery-Id"))
		}
		sameInstant(got, 6)
		if first.ID != rcv.seen()[0].header.Get("X-Katalo-Delivery-Id") || !slices.Equal(got, want) {
			t.Errorf("order\n%v\nwant\n%v", got, want)
		}
	})
}

// sameInstant sorts each group of n, whose members are of the same age.
func sameInstant(list []string, n int) {
	for group := range slices.Chunk(list, n) {
		slices.Sort(group)
	}
}

// TestTenThousandDestinations: one event each, none of them known, so that all of them are in
// the share of slow ones.
func TestTenThousandDestinations(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of deliveries")
	}
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		const n = manyDestinations
		var received atomic.Int64
		all := make(chan struct{})
		rcv := newReceiver(t, func(*call) answer {
			if received.Add(1) == n {
				close(all)
			}
			return answer{status: 200}
		})
		for from := 0; from < n; from += 200 {
			w.update(func(tx *store.Tx) error {
				for i := from; i < from+200; i++ {
					o := &kinora.Organisation{ID: fmt.Sprintf("org_%d", i), DefaultWebhook: rcv.url(), CreatedAt: w.clock.now()}
					if err := tx.InsertOrganisation(o); err != nil {
						return err
					}
				}
				return nil
			})
		}
		w.events(n, func(i int) (string, string) { return fmt.Sprintf("org_%d", i), "" })
		w.run(t, nil)
		<-all
		w.settled(t)
		if got := distinct(rcv); got != n || len(rcv.seen()) != n {
			t.Errorf("%d calls for %d events, want %d", len(rcv.seen()), got, n)
		}
	})
}

// distinct counts the events that a receiver got.
func distinct(rcv *receiver) int {
	ids := map[string]bool{}
	for _, c := range rcv.seen() {
		ids[c.header.Get("Webhook-Id")] = true
	}
	return len(ids)
}

// TestADeepQueueOfOneDestinationIsPassed: what is due for a destination that has no room is
// held without being claimed, and what lies behind it in the queue is reached.
func TestADeepQueueOfOneDestinationIsPassed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		bad, release := hanging(t)
		good := newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		deep := w.events(3000, func(int) (string, string) { return org, bad.url() })
		w.clock.add(time.Second)
		behind := w.event(w.organisation("org_2", good.url()))
		later := w.events(1, func(int) (string, string) { return org, bad.url() })[0]
		w.update(func(tx *store.Tx) error { // not due yet: it must stay where it is
			_, err := tx.Exec(`UPDATE deliveries SET due_at = ? WHERE id = ?`, store.Micros(w.clock.now().Add(time.Hour)), later.ID)
			return err
		})
		w.run(t, nil)
		w.until(t, behind.ID, kinora.DeliveryDelivered)
		eventually(t, "the others to be held", func() bool { return w.count(`state = 'held'`) == 3000-4 })
		if n := w.count(`state = 'held' AND version = 1`); n < 1000 {
			t.Errorf("%d were held without being claimed", n)
		}
		if got := w.delivery(later.ID); got.State != kinora.DeliveryPending || got.DueAt.IsZero() || got.Version != 0 {
			t.Errorf("what is not due is %+v", got)
		}
		release()
		eventually(t, "all of them", func() bool { return w.count(`state = 'delivered'`) == 3001 })
		if distinct(bad) != len(deep) || len(bad.seen()) != len(deep) {
			t.Errorf("%d calls for %d events", len(bad.seen()), distinct(bad))
		}
	})
}
