package webhook_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// dead makes n deliveries of an organisation that have failed all their attempts.
func (w *world) dead(t testing.TB, organisation string, n int) []*kinora.Delivery {
	t.Helper()
	list := w.events(n, func(int) (string, string) { return organisation, "" })
	w.update(func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE deliveries SET state = 'dead', retry = 1, attempts = 2, due_at = 0, finished_at = 1 WHERE organisation_id = ? AND state = 'pending'`, organisation)
		return err
	})
	return list
}

func (w *world) replay(replayID string) *kinora.Replay {
	w.t.Helper()
	var r *kinora.Replay
	w.view(func(tx *store.Tx) (err error) {
		r, err = tx.Replay("", replayID)
		return err
	})
	return r
}

func (w *world) replayed(t testing.TB, replayID string) *kinora.Replay {
	t.Helper()
	var r *kinora.Replay
	eventually(t, "the replay to finish", func() bool {
		r = w.replay(replayID)
		return r.State == kinora.ReplayFinished
	})
	return r
}

// A replay revives what is dead, oldest first, with the whole schedule again and the same webhook-id.
func TestReplay(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, func(c *call) answer {
			if c.header.Get("X-Katalo-Attempt") == "3" {
				return answer{status: 500} // one more failure: the schedule begins anew
			}
			return answer{status: 200}
		})
		org, other := w.organisation("org_1", rcv.url()), w.organisation("org_2", rcv.url())
		list, strangers := w.dead(t, org, 300), w.dead(t, other, 3)
		made := w.clock.now()
		w.clock.add(time.Hour)
		later := w.dead(t, org, 1) // behind until
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
		r, err := d.StartReplay(context.Background(), kinora.ReplayRequest{Organisation: org, Rate: 1000, Since: made.Add(-time.Hour), Until: made.Add(time.Minute)})
		if err != nil || r.State != kinora.ReplayRunning {
			t.Fatalf("%+v, %v", r, err)
		}
		got := w.replayed(t, r.ID)
		if got.Total != 300 || got.Revived != 300 || got.Passed != 0 || got.LeaseOwner != "" || got.FinishedAt.IsZero() {
			t.Errorf("%+v", got)
		}
		w.settled(t)
		for _, delivery := range list {
			got := w.delivery(delivery.ID)
			if got.State != kinora.DeliveryDelivered || got.Attempts != 4 {
				t.Fatalf("%+v", got)
			}
		}
		if n := distinct(rcv); n != 300 || len(rcv.seen()) != 600 {
			t.Errorf("%d events in %d calls", n, len(rcv.seen()))
		}
		for _, delivery := range append(strangers, later...) {
			if got := w.delivery(delivery.ID); got.State != kinora.DeliveryDead {
				t.Errorf("%s is not its concern and is %s", got.ID, got.State)
			}
		}
		p, err := d.Replay(context.Background(), org, r.ID)
		if err != nil || p.Outcomes[kinora.DeliveryDelivered] != 300 || len(p.Outcomes) != 1 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestReplayFilters(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a, b := newReceiver(t, always(200)), newReceiver(t, always(200))
		org := w.organisation("org_1", "")
		list := w.events(8, func(i int) (string, string) { return org, []string{a.url(), b.url()}[i%2] })
		for i, state := range []string{"dead", "dead", "delivered", "delivered", "held", "held", "dead", "dead"} {
			event := kinora.EventCompleted
			if i >= 6 {
				event = kinora.EventFailed
			}
			w.update(func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE deliveries SET state = ?, due_at = 0, attempts = 1, finished_at = 1, event_type = ? WHERE id = ?`, state, string(event), list[i].ID)
				return err
			})
		}
		d := w.dispatcher(t, nil) // not started: it revives nothing, and what was held stays so
		for name, tc := range map[string]struct {
			ask  kinora.ReplayRequest
			want []int
		}{
			"all":         {kinora.ReplayRequest{}, []int{0, 1, 6, 7}},
			"destination": {kinora.ReplayRequest{Destination: a.url() + "/another/path"}, []int{0, 6}},
			"event":       {kinora.ReplayRequest{EventType: kinora.EventFailed}, []int{6, 7}},
			"delivered":   {kinora.ReplayRequest{Delivered: true, EventType: kinora.EventCompleted}, []int{0, 1, 2, 3}},
			"endpoint":    {kinora.ReplayRequest{Endpoint: kinora.DefaultEndpointID(org)}, nil},
			"since":       {kinora.ReplayRequest{Until: w.clock.now().Add(-time.Hour)}, nil},
		} {
			tc.ask.Organisation = org
			r, err := d.StartReplay(context.Background(), tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			w.view(func(tx *store.Tx) (err error) {
				got, _, _, err = tx.ReplayStep(r, r.Position, 100, 100)
				return err
			})
			for _, i := range tc.want {
				want = append(want, list[i].ID)
			}
			slices.Sort(want) // those of one millisecond are in no order
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
			if _, err := d.CancelReplay(context.Background(), org, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A replay goes on where it was when its node stops or dies, and no delivery is passed over or revived twice.
func TestReplayOutlivesItsNode(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var fail atomic.Bool
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		w.dead(t, org, 400)
		node := func(name string) *webhook.Dispatcher {
			return w.run(t, func(c *webhook.Config) {
				c.Node, c.Poll = name, 10*time.Millisecond
				c.DB = failing{db, &fail}
			})
		}
		first := node("node_1")
		r, err := first.StartReplay(context.Background(), kinora.ReplayRequest{Organisation: org, Rate: 200})
		if err != nil {
			t.Fatal(err)
		}
		begun := func(n int) func() bool { return func() bool { return w.replay(r.ID).Revived >= n } }
		eventually(t, "it to begin", begun(50))
		if err := first.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		stopped := w.replay(r.ID)
		if stopped.LeaseOwner != "" || stopped.State != kinora.ReplayRunning || stopped.Revived >= 400 {
			t.Fatalf("after the stop: %+v", stopped)
		}

		// The second one loses the answers of its writes now and then, and dies in the end.
		second := node("node_2")
		eventually(t, "the next node to go on", begun(stopped.Revived+50))
		fail.Store(true)
		eventually(t, "it to go on regardless", begun(w.replay(r.ID).Revived+50))
		fail.Store(false)
		go func() { _ = second.Stop(context.Background()) }()
		w.update(func(tx *store.Tx) error { // it is dead as far as others know
			_, err := tx.RemoveNode("node_2", w.clock.now())
			return err
		})
		node("node_3")
		got := w.replayed(t, r.ID)
		w.settled(t)
		if got.Total != 400 || got.Revived+got.Passed != 400 || got.Revived != 400 {
			t.Errorf("%+v", got)
		}
		if n := w.count(`attempts <> 3 OR state <> 'delivered'`); n != 0 || len(rcv.seen()) < 400 {
			t.Errorf("%d deliveries were not revived once; %d calls", n, len(rcv.seen()))
		}
	})
}

// failing loses the answer of every third write, which was carried out, while on is set.
type failing struct {
	*store.DB
	on *atomic.Bool
}

var writes atomic.Int64

func (f failing) Update(ctx context.Context, fn func(*store.Tx) error) error {
	err := f.DB.Update(ctx, fn)
	if err == nil && f.on.Load() && writes.Add(1)%3 == 0 {
		return kinora.Errorf(kinora.ErrUnavailable, "the answer was lost")
	}
	return err
}

func TestReplayIsCancelledAndBounded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		w.dead(t, org, 50)
		d := w.run(t, nil)
		ctx := context.Background()
		r, err := d.StartReplay(ctx, kinora.ReplayRequest{Organisation: org, Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it to begin", func() bool { return w.replay(r.ID).Revived > 0 })
		if got, err := d.CancelReplay(ctx, org, r.ID); err != nil || got.State != kinora.ReplayCancelled {
			t.Fatalf("%+v, %v", got, err)
		}
		ended := w.replay(r.ID)
		w.settled(t)
		if now := w.replay(r.ID); now.Revived != ended.Revived || now.State != kinora.ReplayCancelled || w.count(`state = 'dead'`) != 50-ended.Revived {
			t.Errorf("cancelled: %+v, then %+v", ended, now)
		}
		if _, err := d.CancelReplay(ctx, org, r.ID); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("cancelled twice: %v", err)
		}
		for _, organisation := range []string{"org_2", "org_"} {
			_, read := d.Replay(ctx, organisation, r.ID)
			_, cancel := d.CancelReplay(ctx, organisation, r.ID)
			if kinora.CodeOf(read) != kinora.ErrNotFound || kinora.CodeOf(cancel) != kinora.ErrNotFound {
				t.Errorf("another organisation's: %v, %v", read, cancel)
			}
		}

		for _, tc := range []struct {
			ask  kinora.ReplayRequest
			code kinora.ErrorCode
			says string
		}{
			{kinora.ReplayRequest{Organisation: "org_2"}, kinora.ErrNotFound, "organisation"},
			{kinora.ReplayRequest{Organisation: org, Rate: 1001}, kinora.ErrInvalid, "rate"},
			{kinora.ReplayRequest{Organisation: org, Rate: -1}, kinora.ErrInvalid, "rate"},
			{kinora.ReplayRequest{Organisation: org, Since: w.clock.now().Add(time.Hour)}, kinora.ErrInvalid, "future"},
			{kinora.ReplayRequest{Organisation: org, Since: w.clock.now().Add(-time.Hour), Until: w.clock.now().Add(-2 * time.Hour)}, kinora.ErrInvalid, "before"},
			{kinora.ReplayRequest{Organisation: org, Endpoint: "ep_unknown"}, kinora.ErrNotFound, "endpoint"},
			{kinora.ReplayRequest{Organisation: org, Endpoint: kinora.DefaultEndpointID(w.organisation("org_3", rcv.url()))}, kinora.ErrNotFound, "endpoint"},
			{kinora.ReplayRequest{Organisation: org, Destination: "hooks.example"}, kinora.ErrInvalid, "destination"},
			{kinora.ReplayRequest{Organisation: org, Destination: "https://"}, kinora.ErrInvalid, "destination"},
			{kinora.ReplayRequest{Organisation: org, EventType: "generation.complete"}, kinora.ErrInvalid, "event_type"},
		} {
			if _, err := d.StartReplay(ctx, tc.ask); kinora.CodeOf(err) != tc.code || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("%+v: %v", tc.ask, err)
			}
		}
		w.update(func(tx *store.Tx) error { // something left to do for each of them
			_, err := tx.Exec(`UPDATE deliveries SET state = 'dead', due_at = 0`)
			return err
		})
		for range 10 {
			if _, err := d.StartReplay(ctx, kinora.ReplayRequest{Organisation: org, Rate: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.StartReplay(ctx, kinora.ReplayRequest{Organisation: org}); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("an eleventh: %v", err)
		}
		if list, err := d.Replays(ctx, org); err != nil || len(list) != 11 || list[10].ID != r.ID {
			t.Errorf("%d replays, %v", len(list), err)
		}
	})
}

// What no delivery can match is refused instead of being found nowhere.
func TestSearchRefusesWhatMatchesNothing(t *testing.T) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := newWorld(t, db).dispatcher(t, nil)
		for says, q := range map[string]kinora.DeliverySearch{
			"event_type":                  {EventType: "failed"},
			"destination":                 {Organisation: "org_1", Destination: "hooks.example:443"},
			"since must lie before until": {Since: now, Until: now},
			"http://":                     {Organisation: "org_1", Destination: "ftp://hooks.example"},
			"a host":                      {Organisation: "org_1", Destination: "https://\xff"},
		} {
			if _, _, err := d.Search(context.Background(), q, "", 10); kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		for _, event := range []kinora.EventType{"", kinora.EventCompleted, kinora.EventFailed, kinora.EventEndpointDisabled} {
			q := kinora.DeliverySearch{Organisation: "org_1", EventType: event, Destination: "HTTPS://hooks.example", Since: now, Until: now.Add(1)}
			if _, _, err := d.Search(context.Background(), q, "", 10); err != nil {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}
