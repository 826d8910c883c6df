package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// endpoint registers one for an organisation.
func (w *world) endpoint(organisation, url string, change ...func(*kinora.Endpoint)) *kinora.Endpoint {
	w.t.Helper()
	now := w.clock.now()
	e := &kinora.Endpoint{ID: id.New(id.Endpoint, now), OrganisationID: organisation, URL: url, CreatedAt: now, UpdatedAt: now}
	e.Name = e.ID
	for _, fn := range change {
		fn(e)
	}
	w.update(func(tx *store.Tx) error { return tx.InsertEndpoint(e) })
	return e
}

// setHealth does what an operator would have done.
func (w *world) setHealth(endpointID string, fn func(*kinora.Endpoint) kinora.EndpointHealth) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		e, err := tx.LockEndpoint(endpointID)
		if err != nil {
			return err
		}
		e.EndpointHealth = fn(e)
		return tx.SaveEndpointHealth(e)
	})
}

func (w *world) enable(endpointID string, replay bool) {
	w.t.Helper()
	w.setHealth(endpointID, func(e *kinora.Endpoint) kinora.EndpointHealth { return e.Enable(replay, w.clock.now()) })
}

func (w *world) health(endpointID string) kinora.EndpointHealth {
	w.t.Helper()
	var h kinora.EndpointHealth
	w.update(func(tx *store.Tx) error {
		e, err := tx.LockEndpoint(endpointID)
		if err == nil {
			h = e.EndpointHealth
		}
		return err
	})
	return h
}

func (w *world) disabled(t testing.TB, endpointID string) kinora.EndpointHealth {
	t.Helper()
	eventually(t, endpointID+" to be disabled", func() bool { return !w.health(endpointID).Enabled() })
	return w.health(endpointID)
}

// operatorHook sets where an organisation's events about endpoints go.
func (w *world) operatorHook(organisation, url string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		o, err := tx.Organisation(organisation)
		if err != nil {
			return err
		}
		o.OperatorHook = url
		return tx.SaveOrganisation(o)
	})
}

func jobs(calls []*call) (list []string) {
	for _, c := range calls {
		list = append(list, c.job())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// One event goes to the default or the request's own URL, and to every endpoint that takes it:
// each by a delivery of its own, all under one webhook-id, and headers where they belong.
func TestFanOut(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		preset, own, all, failures := newReceiver(t, always(200)), newReceiver(t, always(200)), newReceiver(t, always(200)), newReceiver(t, always(200))
		org := w.organisation("org_1", preset.url())
		w.endpoint(org, all.url(), func(e *kinora.Endpoint) {
			e.SealedHeaders = `{"authorization":"Bearer letmein-please","X-Team":"night shift"}`
		})
		w.endpoint(org, failures.url(), func(e *kinora.Endpoint) { e.EventTypes = []kinora.EventType{kinora.EventFailed} })
		other := newReceiver(t, always(200))
		w.endpoint(w.organisation("org_2", ""), other.url())
		d := w.run(t, nil)

		deliveries := w.events(2, func(i int) (string, string) { return org, []string{"", own.url()}[i] })
		if len(deliveries) != 4 {
			t.Fatalf("%d deliveries, want two of each event", len(deliveries))
		}
		d.Nudge("org_1")
		w.settled(t)
		for name, tt := range map[string]struct {
			rcv  *receiver
			want int
		}{"default": {preset, 1}, "own": {own, 1}, "all": {all, 2}, "failures": {failures, 0}, "another organisation's": {other, 0}} {
			if got := len(tt.rcv.seen()); got != tt.want {
				t.Errorf("%s: %d events, want %d", name, got, tt.want)
			}
		}
		byJob := map[string]string{}
		for _, c := range slices.Concat(preset.seen(), own.seen(), all.seen()) {
			if c.err != nil {
				t.Error(c.err)
			}
			eventID := c.header.Get("Webhook-Id")
			if known := byJob[c.job()]; known != "" && known != eventID {
				t.Errorf("%s has two webhook-ids", c.job())
			}
			byJob[c.job()] = eventID
		}
		if len(byJob) != 2 {
			t.Errorf("events of %d generations", len(byJob))
		}
		for _, c := range all.seen() {
			if c.header.Get("Authorization") != "Bearer letmein-please" || c.header.Get("X-Team") != "night shift" {
				t.Errorf("headers %v", c.header)
			}
		}
		for _, c := range slices.Concat(preset.seen(), own.seen()) {
			if c.header.Get("Authorization") != "" || c.header.Get("X-Team") != "" {
				t.Errorf("an endpoint's headers went elsewhere: %v", c.header)
			}
		}
	})
}

// What an endpoint's own headers hold does not come into the log, however it is echoed; and
// headers that must not be sent, should they ever have been stored, are not.
func TestEndpointHeadersAreSecrets(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	echo := newReceiver(t, func(c *call) answer {
		value := c.header.Get("Authorization")
		return answer{status: 200, body: value + " " + strings.TrimPrefix(value, "Bearer ")}
	})
	org := w.organisation("org_1", "")
	w.endpoint(org, echo.url(), func(e *kinora.Endpoint) { e.SealedHeaders = `{"Authorization":"Bearer letmein-please"}` })
	bad := newReceiver(t, always(200))
	broken := w.endpoint(org, bad.url(), func(e *kinora.Endpoint) { e.SealedHeaders = `{"X-A":"b\r\nWebhook-Id: c"}` })
	d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
	for _, delivery := range w.events(1, func(int) (string, string) { return org, "" }) {
		d.Nudge("org_1")
		want := kinora.DeliveryDelivered
		if delivery.EndpointID == broken.ID {
			want = kinora.DeliveryDead
		}
		w.until(t, delivery.ID, want)
		for _, a := range w.log(delivery.ID) {
			if log := fmt.Sprintf("%+v", a); strings.Contains(log, "letmein") || strings.Contains(log, "Webhook-Id") {
				t.Errorf("the log shows %s", log)
			}
		}
	}
	if len(bad.seen()) != 0 {
		t.Error("a forged header was sent")
	}
}

// A 410 disables at once: the operator is told, events are kept, others notice nothing, and on
// enabling, what was missed is delivered if that is asked for.
func TestGoneDisablesAndReplayDelivers(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var status atomic.Int32
		status.Store(410)
		gone := newReceiver(t, func(*call) answer { return answer{status: int(status.Load())} })
		well, hook := newReceiver(t, always(200)), newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		e := w.endpoint(org, gone.url()+"?token=hush")
		w.endpoint(org, well.url())
		w.operatorHook(org, hook.url())
		registry := prometheus.NewRegistry()
		d := w.run(t, func(c *webhook.Config) { c.Rescan, c.Metrics = 20*time.Millisecond, registry })

		end := func(n int) {
			w.events(n, func(int) (string, string) { return org, "" })
			d.Nudge("org_1")
		}
		end(1)
		h := w.disabled(t, e.ID)
		if h.Reason != kinora.DisabledGone || h.MissedSince.IsZero() {
			t.Errorf("%+v", h)
		}
		end(700) // more than one bite
		w.settled(t)
		if got := w.count(`state = 'dead' AND endpoint_id = ?`, e.ID); got != 701 || len(gone.seen()) != 1 {
			t.Errorf("%d deliveries kept, %d POSTs; want 701 and 1", got, len(gone.seen()))
		}
		if got := len(jobs(well.seen())); got != 701 {
			t.Errorf("the other endpoint got %d events", got)
		}
		eventually(t, "the operator to be told", func() bool { return len(hook.seen()) == 1 })
		c := hook.seen()[0]
		var notice struct {
			EventType  string `json:"event_type"`
			EndpointID string `json:"endpoint_id"`
			Reason     string `json:"reason"`
			URL        string `json:"url"`
			LastStatus int    `json:"last_status"`
		}
		if err := json.Unmarshal(c.body, &notice); err != nil {
			t.Fatal(err)
		}
		if c.err != nil || notice.EventType != "endpoint.disabled" || notice.EndpointID != e.ID || notice.Reason != "gone" || notice.LastStatus != 410 ||
			notice.URL != kinora.BriefURL(gone.url()+"?token=hush") || c.header.Get("X-Katalo-Event") != "endpoint.disabled" {
			t.Errorf("%v: %s", c.err, c.body)
		}

		status.Store(200)
		w.enable(e.ID, false)
		end(1)
		eventually(t, "the event after enabling", func() bool { return len(gone.seen()) == 2 })
		if got := w.count(`state = 'dead' AND endpoint_id = ?`, e.ID); got != 701 {
			t.Errorf("%d deliveries kept after enabling without a replay", got)
		}
		w.enable(e.ID, true)
		d.ReplayMissed()
		eventually(t, "everything to be delivered", func() bool { return len(jobs(gone.seen())) == 702 })
		eventually(t, "the replay to be over", func() bool { return w.health(e.ID).ReplayFrom.IsZero() })
		w.settled(t)
		if got := w.count(`state = 'delivered' AND endpoint_id = ?`, e.ID); got != 702 || len(gone.seen()) != 703 {
			t.Errorf("%d delivered with %d POSTs", got, len(gone.seen()))
		}
		if len(hook.seen()) != 1 {
			t.Errorf("the operator was told %d times", len(hook.seen()))
		}
		if got := counted(t, registry, "kinora_webhook_endpoints_disabled_total"); got != 1 {
			t.Errorf("%v endpoints were disabled", got)
		}
	})
}

// A replay is not over while another transaction holds one of the missed deliveries: that may come to nothing.
func TestReplayComesBackToWhatWasHeldElsewhere(t *testing.T) {
	db := storetest.Postgres(t) // on SQLite one writes at a time
	w := newWorld(t, db)
	var status atomic.Int32
	status.Store(410)
	rcv := newReceiver(t, func(*call) answer { return answer{status: int(status.Load())} })
	org := w.organisation("org_1", "")
	e := w.endpoint(org, rcv.url())
	d := w.run(t, func(c *webhook.Config) { c.Rescan = 20 * time.Millisecond })
	w.events(3, func(int) (string, string) { return org, "" })
	d.Nudge("org_1")
	w.disabled(t, e.ID)
	w.settled(t)
	status.Store(200)
	before := len(rcv.seen())
	other, err := db.Postgres().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.Background()) }()
	if _, err := other.Exec(t.Context(), `SELECT id FROM deliveries WHERE id = (SELECT min(id) FROM deliveries WHERE state = 'dead') FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	w.enable(e.ID, true)
	d.ReplayMissed()
	eventually(t, "the others to be delivered", func() bool { return len(rcv.seen()) == before+2 })
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one that was held to be delivered", func() bool { return len(rcv.seen()) == before+3 })
	eventually(t, "the replay to be over", func() bool { return w.health(e.ID).ReplayFrom.IsZero() })
}

// Nothing but failure for long enough disables; a success in between starts the time anew. What
// died while it was failing belongs to what was missed.
func TestFailingDisables(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var status atomic.Int32
		rcv := newReceiver(t, func(*call) answer { return answer{status: int(status.Load())} })
		hook := newReceiver(t, always(410)) // which is itself no endpoint
		org := w.organisation("org_1", "")
		e := w.endpoint(org, rcv.url())
		w.operatorHook(org, hook.url())
		d := w.run(t, func(c *webhook.Config) {
			c.Schedule, c.Rescan = steps(time.Millisecond), 20*time.Millisecond
			c.Disable = kinora.DisableRule{After: time.Hour, Attempts: 3}
		})
		one := func(answer int, want kinora.DeliveryState) {
			t.Helper()
			status.Store(int32(answer))
			delivery := w.event(org)
			d.Nudge("org_1")
			w.until(t, delivery.ID, want)
		}
		one(500, kinora.DeliveryDead) // two attempts
		w.clock.add(50 * time.Minute)
		one(200, kinora.DeliveryDelivered)
		if h := w.health(e.ID); !h.FailingSince.IsZero() || h.Failures != 0 {
			t.Errorf("after a success: %+v", h)
		}
		w.clock.add(20 * time.Minute)
		one(500, kinora.DeliveryDead)
		one(500, kinora.DeliveryDead)
		if h := w.health(e.ID); !h.Enabled() || h.Failures != 3 {
			t.Errorf("after four failures in no time: %+v", h)
		}
		w.clock.add(time.Hour)
		one(500, kinora.DeliveryDead)
		h := w.disabled(t, e.ID)
		if h.Reason != kinora.DisabledFailing || !h.MissedSince.Equal(h.FailingSince) {
			t.Errorf("%+v", h)
		}
		one(200, kinora.DeliveryDead) // nobody is asked
		eventually(t, "the operator to be told", func() bool { return len(hook.seen()) == 1 })

		before := len(rcv.seen())
		w.enable(e.ID, true)
		d.ReplayMissed()
		eventually(t, "what was missed", func() bool { return len(rcv.seen()) == before+4 })
		w.settled(t)
		if dead := w.count(`state = 'dead' AND endpoint_id = ?`, e.ID); dead != 1 { // of before the first success
			t.Errorf("%d dead, want 1", dead)
		}
		if len(hook.seen()) != 1 {
			t.Errorf("the operator was told %d times", len(hook.seen()))
		}
	})
}

// The default callback URL has the same rules; requests with a URL of their own do not depend
// on it, and a new default begins anew.
func TestTheDefaultIsDisabledToo(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		gone, own, fresh := newReceiver(t, always(410)), newReceiver(t, always(410)), newReceiver(t, always(200))
		org := w.organisation("org_1", gone.url())
		d := w.run(t, nil)
		first := w.event(org)
		d.Nudge("org_1")
		w.until(t, first.ID, kinora.DeliveryDead)
		preset := kinora.DefaultEndpointID(org)
		w.disabled(t, preset)
		for range 2 { // a request's own URL is asked each time
			w.events(1, func(int) (string, string) { return org, own.url() })
		}
		second := w.event(org)
		d.Nudge("org_1")
		w.settled(t)
		if len(gone.seen()) != 1 || len(own.seen()) != 2 || w.delivery(second.ID).LastError == "" {
			t.Errorf("%d and %d POSTs; %+v", len(gone.seen()), len(own.seen()), w.delivery(second.ID))
		}
		w.setDefault(org, fresh.url())
		third := w.event(org)
		d.Nudge("org_1")
		w.until(t, third.ID, kinora.DeliveryDelivered)
		// An old delivery goes to the new one; so does what the old one missed, once that is asked for.
		if _, err := d.Redeliver(t.Context(), org, first.ID); err != nil {
			t.Fatal(err)
		}
		w.until(t, first.ID, kinora.DeliveryDelivered)
		w.enable(preset, true)
		d.ReplayMissed()
		w.until(t, second.ID, kinora.DeliveryDelivered)
		if h := w.health(preset); !h.Enabled() || len(gone.seen()) != 1 || len(fresh.seen()) != 3 {
			t.Errorf("%+v; %d and %d POSTs", h, len(gone.seen()), len(fresh.seen()))
		}
	})
}

// An answer that an endpoint's old URL gives after it was corrected says nothing about the new one; a delivery that it
// would have ended goes there.
func TestTheOldURLAnswersTooLate(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for _, status := range []int{410, 500} {
			w := newWorld(t, db)
			asked, held := make(chan struct{}), make(chan struct{})
			wrong := newReceiver(t, func(*call) answer {
				close(asked)
				<-held
				return answer{status: status}
			})
			right := newReceiver(t, always(200))
			org := w.organisation(fmt.Sprint("org_", status), "")
			e := w.endpoint(org, wrong.url())
			d := w.run(t, func(c *webhook.Config) {
				c.Schedule, c.Poll = steps(time.Millisecond), 5*time.Millisecond
				c.Disable = kinora.DisableRule{After: time.Nanosecond, Attempts: 1}
			})
			release := sync.OnceFunc(func() { close(held) })
			t.Cleanup(release) // or a stop would wait for the attempt
			delivery := w.event(org)
			d.Nudge("org_1")
			<-asked
			w.clock.add(time.Second)
			w.update(func(tx *store.Tx) error {
				e, err := tx.LockEndpoint(e.ID)
				if err != nil {
					return err
				}
				e.URL = right.url()
				return tx.SaveEndpoint(e)
			})
			release()
			eventually(t, "the end", func() bool {
				s := w.delivery(delivery.ID).State
				return s == "delivered" || s == "dead" || !w.health(e.ID).Enabled()
			})
			if h := w.health(e.ID); !h.Enabled() || h.Failures != 0 || w.delivery(delivery.ID).State != kinora.DeliveryDelivered {
				t.Errorf("%d: %+v, %+v", status, h, w.delivery(delivery.ID))
			}
			if log := w.log(delivery.ID); len(log) != 2 || log[0].Status != status || log[0].NextAt.IsZero() {
				t.Errorf("%d: the log is %+v", status, log)
			}
		}
	})
}

// What waits for an endpoint that is removed ends as dead, and says why; what waits for one
// whose URL is changed goes to the new one.
func TestWhatWaitsFollowsItsEndpoint(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		down, right := newReceiver(t, always(503)), newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		removed, moved := w.endpoint(org, down.url()), w.endpoint(org, down.url())
		d := w.run(t, func(c *webhook.Config) {
			c.Schedule, c.Rescan = steps(time.Hour), 20*time.Millisecond
			c.Limits = webhook.Limits{Pause: time.Hour, MaxPause: time.Hour}
		})
		deliveries := w.events(60, func(int) (string, string) { return org, "" })
		d.Nudge("org_1")
		eventually(t, "all of them to wait", func() bool {
			return w.count(`state = 'held'`)+w.count(`due_at > 0 AND attempts > 0`) == len(deliveries)
		})
		w.update(func(tx *store.Tx) error {
			if err := tx.DeleteEndpoint(org, removed.ID); err != nil {
				return err
			}
			e, err := tx.LockEndpoint(moved.ID)
			if err != nil {
				return err
			}
			e.URL = right.url()
			return tx.SaveEndpoint(e)
		})
		w.clock.add(3 * time.Hour)
		d.Wake()
		w.settled(t)
		if got := w.count(`state = 'dead' AND endpoint_id = ? AND last_error = 'the endpoint was removed'`, removed.ID); got != 60 {
			t.Errorf("%d of the removed endpoint's deliveries ended as dead", got)
		}
		if got := len(jobs(right.seen())); got != 60 {
			t.Errorf("%d events at the new URL", got)
		}
		if got := w.count(`endpoint_id = ? AND url = ?`, moved.ID, right.url()); got != 60 {
			t.Errorf("%d deliveries tell the new URL", got)
		}
	})
}

// A rate limit is kept, in order of age, and holds up nobody else: not even another endpoint
// at the same host.
func TestRateLimit(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		limited, free := newReceiver(t, always(200)), newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		slow := w.endpoint(org, limited.url(), func(e *kinora.Endpoint) { e.Rate = 10 })
		w.endpoint(org, limited.url()+"/beside")
		w.endpoint(org, free.url())
		const n = 12
		w.events(n, func(int) (string, string) {
			w.clock.add(time.Millisecond) // no two of one age
			return org, ""
		})
		w.clock.stop() // the rate is one of the dispatcher's clock
		d := w.run(t, nil)
		d.Nudge("org_1")
		went := func() int { return w.count(`endpoint_id = ? AND state = 'delivered'`, slow.ID) }
		eventually(t, "all but those whose turn is to come", func() bool {
			return w.count(`endpoint_id <> ? AND state = 'delivered'`, slow.ID) == 2*n && went() == 1 && w.count(`state = 'held'`) == n-1
		})
		for turn := 1; turn < n; turn++ {
			w.clock.add(99 * time.Millisecond)
			d.Wake()
			time.Sleep(5 * time.Millisecond) // in which one that does not wait for its turn may go
			if got := went(); got != turn {
				t.Fatalf("%d went in %d turns", got, turn)
			}
			w.clock.add(time.Millisecond)
			d.Wake()
			eventually(t, "the next one", func() bool { return went() > turn })
		}
		if a, b := len(limited.seen()), len(free.seen()); a != 2*n || b != n {
			t.Fatalf("%d and %d POSTs", a, b)
		}
		var ids, posted []string
		w.view(func(tx *store.Tx) error {
			return tx.Query(`SELECT id FROM deliveries WHERE endpoint_id = ? ORDER BY created_at`, []any{slow.ID}, func(row store.Row) error {
				var s string
				err := row.Scan(&s)
				ids = append(ids, s)
				return err
			})
		})
		for _, c := range limited.seen() {
			if deliveryID := c.header.Get("X-Katalo-Delivery-Id"); slices.Contains(ids, deliveryID) {
				posted = append(posted, deliveryID)
			}
		}
		if !slices.Equal(posted, ids) {
			t.Errorf("sent in the order %v, want %v", posted, ids)
		}
	})
}

// A receiver that comes back is not run over by what it missed: it gets few at once, and one
// more with each success.
func TestReplayRampsUp(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	var (
		mu            sync.Mutex
		inFlight, did int
		worst         string
	)
	rcv := newReceiver(t, func(*call) answer {
		mu.Lock()
		inFlight++
		if inFlight > min(16, 4+did) {
			worst = fmt.Sprintf("%d at once after %d successes", inFlight, did)
		}
		mu.Unlock()
		time.Sleep(time.Millisecond) // so that there is something at once
		mu.Lock()
		inFlight--
		did++
		mu.Unlock()
		return answer{status: 200}
	})
	org := w.organisation("org_1", "")
	e := w.endpoint(org, rcv.url(), func(e *kinora.Endpoint) { e.EndpointHealth = e.Gone(w.clock.now(), w.clock.now()) })
	const n = 600
	w.events(n, func(int) (string, string) { return org, "" })
	d := w.run(t, nil)
	w.enable(e.ID, true)
	d.ReplayMissed()
	eventually(t, "everything to be delivered", func() bool { return len(jobs(rcv.seen())) == n })
	if worst != "" {
		t.Error(worst)
	}
	if len(rcv.seen()) != n {
		t.Errorf("%d POSTs for %d events", len(rcv.seen()), n)
	}
}

// While an endpoint is disabled by its answers and enabled with a replay over and over, events
// come: in the end it has all of them.
func TestNothingIsMissedForGood(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var well atomic.Bool
		rcv := newReceiver(t, func(*call) answer {
			if !well.Load() && rand.IntN(10) == 0 {
				return answer{status: 410}
			}
			return answer{status: 200}
		})
		org := w.organisation("org_1", "")
		e := w.endpoint(org, rcv.url())
		nodes := []*webhook.Dispatcher{w.run(t, func(c *webhook.Config) { c.Rescan = 10 * time.Millisecond })}
		if db.Shared() {
			nodes = append(nodes, w.run(t, func(c *webhook.Config) { c.Node, c.Rescan = "node_2", 10*time.Millisecond }))
		}
		const rounds, each = 30, 20
		var writers sync.WaitGroup
		for range 2 {
			writers.Go(func() {
				for range rounds {
					w.events(each, func(int) (string, string) { return org, "" })
					for _, d := range nodes {
						d.Nudge("org_1")
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
				w.enable(e.ID, true)
				time.Sleep(time.Millisecond) // SQLite has one writer at a time, and no queue for it
			}
		}
		well.Store(true)
		eventually(t, "every event to arrive", func() bool {
			w.enable(e.ID, true)
			return len(jobs(rcv.seen())) == 2*rounds*each
		})
		eventually(t, "the end of all deliveries", func() bool {
			w.enable(e.ID, true) // a 410 of before may be noted only now
			return w.count(`state <> 'delivered'`) == 0
		})
	})
}

// A test event to a disabled endpoint is sent, with the endpoint's own headers, and changes
// nothing about the endpoint.
func TestTrialOfADisabledEndpoint(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	rcv := newReceiver(t, func(c *call) answer { return answer{status: 410, body: c.header.Get("X-Key")} })
	org := w.organisation("org_1", "")
	e := w.endpoint(org, rcv.url(), func(e *kinora.Endpoint) {
		e.SealedHeaders, e.EndpointHealth = `{"X-Key":"letmein-please"}`, e.Disable(kinora.DisabledByOperator, w.clock.now())
	})
	d := w.dispatcher(t, nil)
	before := w.health(e.ID)
	trial, err := d.SendTrial(t.Context(), kinora.TrialRequest{Organisation: org, Endpoint: e.ID})
	if err != nil {
		t.Fatal(err)
	}
	if len(rcv.seen()) != 1 || rcv.seen()[0].header.Get("X-Key") != "letmein-please" || trial.Attempt.Status != 410 || trial.Delivered {
		t.Errorf("%+v", trial)
	}
	if strings.Contains(fmt.Sprintf("%+v", trial), "letmein") {
		t.Errorf("the answer shows the header's value: %+v", trial)
	}
	if w.health(e.ID) != before {
		t.Errorf("the endpoint's health is %+v", w.health(e.ID))
	}
}
