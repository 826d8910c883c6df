package webhook_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// Each of an organisation's destinations is told of with what was made for it and how it answered, and no other organisation's.
func TestDestinationsAreToldApart(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		good, bad := newReceiver(t, always(204)), newReceiver(t, always(500))
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
		w.organisation("org_1", good.url())
		w.organisation("org_2", good.url())
		var all []*kinora.Delivery
		for _, url := range []string{"", "", bad.url()} {
			all = append(all, w.events(1, func(int) (string, string) { return "org_1", url })...)
		}
		all = append(all, w.event("org_2"))
		d.Nudge("org_1")
		for i, one := range all {
			want := kinora.DeliveryDelivered
			if i == 2 {
				want = kinora.DeliveryDead
			}
			w.until(t, one.ID, want)
		}
		report, err := d.Destinations(t.Context(), "org_1", 0)
		if err != nil || len(report.Destinations) != 2 || report.Deliveries != 3 || report.More || report.Node != "node_1" {
			t.Fatalf("%+v, %v", report, err)
		}
		host := func(r *receiver) string { return "http://" + r.listener.Addr().String() }
		byHost := map[string]kinora.DestinationHealth{}
		for _, one := range report.Destinations {
			byHost[one.Destination] = one
			if len(one.Hours) < 24 || len(one.Hours) > 25 || one.Breaker == "" || one.Room == 0 && one.Breaker == "closed" {
				t.Errorf("%s: %d hours, breaker %q with room for %d", one.Destination, len(one.Hours), one.Breaker, one.Room)
			}
		}
		count := func(one kinora.DestinationHealth) (delivered, failed int) {
			for _, h := range one.Hours {
				delivered, failed = delivered+h.Delivered, failed+h.Failed
			}
			return delivered, failed
		}
		ok := byHost[host(good)]
		if delivered, failed := count(ok); ok.Delivered != 2 || delivered != 2 || failed != 0 || ok.Answers.Of != 2 || ok.LastFailed != nil || ok.EndpointID != kinora.DefaultEndpointID("org_1") {
			t.Errorf("the good one: %+v", ok)
		}
		not := byHost[host(bad)]
		if delivered, failed := count(not); not.Dead != 1 || delivered != 0 || failed != 2 || not.EndpointID != "" || not.LastFailed == nil || not.LastFailed.Status != 500 || not.LastFailed.DeliveryID != all[2].ID {
			t.Errorf("the bad one: %+v", not)
		}
		if again, err := d.Destinations(t.Context(), "org_1", 0); err != nil || again != report {
			t.Errorf("at once once more it is read anew: %v", err)
		}
		if health, err := d.EndpointHealth(t.Context(), "org_1", kinora.DefaultEndpointID("org_1"), 0); err != nil || !reflect.DeepEqual(*health, ok) {
			t.Errorf("alone: %+v, %v; want %+v", health, err, ok)
		}
		for org, endpoint := range map[string]string{"org_1": "ep_none", "org_2": kinora.DefaultEndpointID("org_1")} {
			if health, err := d.EndpointHealth(t.Context(), org, endpoint, 0); err != nil || health != nil {
				t.Errorf("of %s in %s: %+v, %v", endpoint, org, health, err)
			}
		}
		w.clock.add(80 * time.Hour)
		for _, org := range []string{"org_1", "org_3"} {
			report, err := d.Destinations(t.Context(), org, 1000*time.Hour)
			if err != nil || len(report.Destinations) != 0 || report.To.Sub(report.From) != webhook.MaxHealthSpan {
				t.Errorf("%s: %+v, %v", org, report, err)
			}
		}
	})
}

// What is held for a destination is told of however old it is, with what keeps it from going.
func TestHeldDeliveriesOfADestination(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		release := make(chan struct{})
		defer close(release)
		rcv := newReceiver(t, func(c *call) answer {
			select {
			case <-release:
			case <-c.ctx.Done():
			}
			return answer{status: 204}
		})
		d := w.run(t, func(c *webhook.Config) { c.Limits.Unproven, c.HealthLife = 1, -1 })
		w.organisation("org_1", rcv.url())
		w.events(20, func(int) (string, string) { return "org_1", "" })
		d.Nudge("org_1")
		end := time.Now().Add(time.Minute)
		for {
			report, err := d.Destinations(context.Background(), "org_1", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Destinations) == 1 {
				if one := report.Destinations[0]; one.Backlog > 0 && one.Held == one.Backlog && strings.HasPrefix(one.Destination, "http://127.0.0.1:") && one.Breaker == "closed" && one.Room == 1 {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%+v", report)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// However many look at once, one reads; and reports that nobody looks at any more are forgotten.
func TestDestinationsAreReadOnceForMany(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(204))
		d := w.run(t, nil)
		w.organisation("org_1", rcv.url())
		var wg sync.WaitGroup
		reports := make([]*kinora.DestinationReport, 20)
		for i := range reports {
			wg.Go(func() {
				var err error
				if reports[i], err = d.Destinations(t.Context(), "org_1", time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, r := range reports {
			if r != reports[0] {
				t.Fatal("it was read more than once")
			}
		}
		for i := range 200 {
			if _, err := d.Destinations(t.Context(), fmt.Sprint("org_", i), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if n := d.KeptReports(); n > 64 {
			t.Errorf("%d reports are kept", n)
		}
		w.clock.add(time.Minute)
		if r, err := d.Destinations(t.Context(), "org_1", time.Hour); err != nil || r == reports[0] || d.KeptReports() != 1 {
			t.Errorf("a minute later %d are kept, %v", d.KeptReports(), err)
		}
	})
}
