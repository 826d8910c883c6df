package webhook_test

import (
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// setDefault sets an organisation's default callback URL.
func (w *world) setDefault(organisation, url string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		o, err := tx.Organisation(organisation)
		if err != nil {
			return err
		}
		o.DefaultWebhook = url
		return tx.SaveOrganisation(o)
	})
}

// What waits for the default callback URL follows it when it is changed, and ends visibly when
// it is removed. A request's own URL does neither, even where it is the same.
func TestWhatWaitsFollowsTheDefault(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		wrong, right := newReceiver(t, always(500)), newReceiver(t, always(200))
		org := w.organisation("org_1", wrong.url())
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Hour) })
		preset := w.event(org)
		own := w.events(1, func(int) (string, string) { return org, wrong.url() })[0]
		d.Nudge("org_1")
		eventually(t, "the first attempts", func() bool { return w.count(`due_at > 0 AND attempts = 1`) == 2 })

		w.setDefault(org, right.url())
		w.clock.add(2 * time.Hour)
		d.Wake()
		moved := w.until(t, preset.ID, kinora.DeliveryDelivered)
		if moved.URL != right.url() || moved.Destination != webhook.Destination(org, right.url()) {
			t.Errorf("the delivery tells %s, %s", moved.URL, moved.Destination)
		}
		if left := w.until(t, own.ID, kinora.DeliveryDead); left.URL != wrong.url() || len(wrong.seen()) != 3 || len(right.seen()) != 1 {
			t.Errorf("%+v; %d and %d POSTs", left, len(wrong.seen()), len(right.seen()))
		}

		w.setDefault(org, "")
		if _, err := d.Redeliver(t.Context(), org, preset.ID); err != nil {
			t.Fatal(err)
		}
		ended := w.until(t, preset.ID, kinora.DeliveryDead)
		if ended.LastError != "the default callback URL was removed" || ended.Attempts != 2 || len(right.seen()) != 1 {
			t.Errorf("%+v; %d POSTs", ended, len(right.seen()))
		}
	})
}

// The new default is judged by the organisation's allowlist like any URL.
func TestTheDefaultIsJudgedWhereItIsNow(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		wrong := newReceiver(t, always(500))
		org := w.organisation("org_1", wrong.url(), "127.0.0.1")
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Hour) })
		delivery := w.event(org)
		d.Nudge("org_1")
		eventually(t, "the first attempt", func() bool { return w.count(`due_at > 0 AND attempts = 1`) == 1 })
		w.setDefault(org, "http://elsewhere.example/hook")
		w.clock.add(2 * time.Hour)
		d.Wake()
		w.until(t, delivery.ID, kinora.DeliveryDead)
		if log := w.log(delivery.ID); len(log) != 2 || log[1].Fault != kinora.FaultPolicy {
			t.Errorf("%+v", log)
		}
	})
}

// A 410 that the old default gives after it was changed ends nothing.
func TestTheOldDefaultAnswersTooLate(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		asked, held := make(chan struct{}), make(chan struct{})
		wrong := newReceiver(t, func(*call) answer {
			close(asked)
			<-held
			return answer{status: 410}
		})
		right := newReceiver(t, always(200))
		org := w.organisation("org_1", wrong.url())
		d := w.run(t, nil)
		release := sync.OnceFunc(func() { close(held) })
		t.Cleanup(release) // or a stop would wait for the attempt
		delivery := w.event(org)
		d.Nudge("org_1")
		<-asked
		w.setDefault(org, right.url())
		release()
		eventually(t, "the end", func() bool { s := w.delivery(delivery.ID).State; return s == "delivered" || s == "dead" })
		if s := w.delivery(delivery.ID).State; s != kinora.DeliveryDelivered {
			t.Errorf("the delivery is %s", s)
		}
	})
}

// What died since an endpoint began to fail can be replayed before that has disabled it.
func TestReplayOfWhatAFailingEndpointMissed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		answers := make(chan int, 3)
		rcv := newReceiver(t, func(*call) answer { return answer{status: <-answers} })
		org := w.organisation("org_1", "")
		e := w.endpoint(org, rcv.url())
		d := w.run(t, func(c *webhook.Config) {
			c.Schedule, c.Rescan = steps(), 20*time.Millisecond
			c.Disable = kinora.DisableRule{After: time.Hour, Attempts: 10}
		})
		answers <- 500
		delivery := w.event(org)
		d.Nudge("org_1")
		w.until(t, delivery.ID, kinora.DeliveryDead)
		if h := w.health(e.ID); !h.Enabled() || h.FailingSince.IsZero() {
			t.Fatalf("%+v", h)
		}
		w.enable(e.ID, true)
		if w.health(e.ID).ReplayFrom.IsZero() {
			t.Fatal("nothing is replayed")
		}
		answers <- 200
		d.ReplayMissed()
		w.until(t, delivery.ID, kinora.DeliveryDelivered)
	})
}
