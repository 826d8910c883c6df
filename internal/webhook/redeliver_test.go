package webhook_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

func TestRedeliver(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var status atomic.Int32
		status.Store(500)
		rcv := newReceiver(t, func(*call) answer { return answer{status: int(status.Load())} })
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d.Nudge("org_1")
		w.until(t, delivery.ID, kinora.DeliveryDead)

		// Still broken: one more attempt, and dead again.
		again := func(attempts int, state kinora.DeliveryState) {
			t.Helper()
			got, err := d.Redeliver(context.Background(), "org_1", delivery.ID)
			if err != nil || got.State != kinora.DeliveryPending {
				t.Fatalf("%+v, %v", got, err)
			}
			eventually(t, "the attempt", func() bool {
				got = w.delivery(delivery.ID)
				return got.Attempts == attempts && got.State == state
			})
			if got.FinishedAt.IsZero() || len(w.log(delivery.ID)) != attempts {
				t.Errorf("%+v", got)
			}
		}
		again(3, kinora.DeliveryDead)
		status.Store(200)
		again(4, kinora.DeliveryDelivered)
		again(5, kinora.DeliveryDelivered)
		if distinct(rcv) != 1 || rcv.seen()[4].header.Get("X-Katalo-Attempt") != "5" {
			t.Errorf("%d events, last attempt %s", distinct(rcv), rcv.seen()[4].header.Get("X-Katalo-Attempt"))
		}

		for name, tt := range map[string]struct {
			organisation, id string
			want             kinora.ErrorCode
		}{
			"another organisation's": {"org_2", delivery.ID, kinora.ErrNotFound},
			"unknown":                {"", "dlv_0", kinora.ErrNotFound},
		} {
			if _, err := d.Redeliver(context.Background(), tt.organisation, tt.id); kinora.CodeOf(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
		status.Store(500)
		w.update(func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE deliveries SET state = 'held'`)
			return err
		})
		if _, err := d.Redeliver(context.Background(), "", delivery.ID); kinora.CodeOf(err) != kinora.ErrConflict {
			t.Errorf("one that is on its way: %v", err)
		}
	})
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	gone, good := newReceiver(t, always(410)), newReceiver(t, always(200))
	reg := prometheus.NewPedanticRegistry()
	a, b := w.organisation("org_a", ""), w.organisation("org_b", good.url())
	w.events(6, func(i int) (string, string) { return []string{a, b, b}[i%3], []string{gone.url(), "", ""}[i%3] })
	w.run(t, func(c *webhook.Config) { c.Metrics = reg })
	w.settled(t)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series, attempts := map[string]int{}, map[string]float64{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
		if f.GetName() != "kinora_webhook_attempts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				key += l.GetName() + "=" + l.GetValue() + " "
			}
			attempts[key] = m.GetCounter().GetValue()
		}
	}
	if diff := cmp.Diff(map[string]float64{"fault= state=delivered ": 4, "fault=http state=dead ": 2}, attempts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"kinora_webhook_attempts_total": 2, "kinora_webhook_attempt_seconds": 2,
		"kinora_webhook_first_attempt_lag_seconds": 1, "kinora_webhook_in_hand": 3, "kinora_webhook_deliveries": 3,
		"kinora_webhook_stale_results_total": 1, "kinora_webhook_replayed_total": 1, "kinora_webhook_replays": 1, "kinora_webhook_missed_total": 1, "kinora_webhook_unreadable_secrets_total": 1}, series); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	if _, err := webhook.New(webhook.Config{}); err == nil {
		t.Error("made without anything")
	}
}
