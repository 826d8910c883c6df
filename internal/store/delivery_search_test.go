package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// deliveryID is the n-th id, in order.
func deliveryID(n int) string { return fmt.Sprintf("dlv_%026d", n) }

// insertDeliveries writes deliveries with events of their own, as they are.
func insertDeliveries(t testing.TB, db *store.DB, list ...*kinora.Delivery) {
	t.Helper()
	for some := range slices.Chunk(list, 500) {
		err := db.Update(context.Background(), func(tx *store.Tx) error {
			rows := make([]store.DeliveryResult, len(some))
			for i, d := range some {
				e := &kinora.Event{ID: d.EventID, OrganisationID: d.OrganisationID, GenerationID: d.GenerationID, Type: d.EventType, CreatedAt: t0}
				if err := tx.InsertEvent(e); err != nil {
					return err
				}
				rows[i].Delivery = d
			}
			if err := tx.InsertDeliveries(some); err != nil {
				return err
			}
			_, err := tx.SaveDeliveries(rows)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func searchable(n int, organisation, host string, event kinora.EventType, state kinora.DeliveryState, status int) *kinora.Delivery {
	d := &kinora.Delivery{ID: deliveryID(n), EventID: fmt.Sprintf("evt_%026d", n), EventType: event, OrganisationID: organisation,
		GenerationID: fmt.Sprintf("task_%026d", n), URL: "https://" + host + "/hook", Destination: organisation + " https://" + host + ":443",
		State: state, Attempts: 1, LastStatus: status, CreatedAt: t0}
	switch state {
	case kinora.DeliveryPending:
		d.DueAt = t0
	case kinora.DeliveryDelivered, kinora.DeliveryDead:
		d.FinishedAt = t0
	case kinora.DeliveryHeld:
	}
	return d
}

// matches is the filter's meaning, told in the plainest way.
func matches(f store.DeliveryFilter, d *kinora.Delivery) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Organisation, d.OrganisationID) && is(f.Generation, d.GenerationID) && is(f.Destination, d.Destination) && is(f.Endpoint, d.EndpointID) &&
		is(string(f.EventType), string(d.EventType)) && is(string(f.State), string(d.State)) &&
		(f.Status == 0 || f.Status == kinora.StatusNone && d.LastStatus == 0 || d.LastStatus/100 == f.Status) &&
		d.ID >= f.From && (f.To == "" || d.ID < f.To)
}

// Whatever is asked for, all pages together are what a look at every delivery finds, newest
// first, although deliveries are made in the meantime.
func TestSearchFindsWhatMatches(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		orgs, hosts := []string{"org_1", "org_2"}, []string{"a.example", "b.example"}
		events := []kinora.EventType{kinora.EventCompleted, kinora.EventCompleted, kinora.EventFailed}
		states := []kinora.DeliveryState{kinora.DeliveryPending, kinora.DeliveryHeld, kinora.DeliveryDelivered, kinora.DeliveryDelivered, kinora.DeliveryDead}
		statuses := map[kinora.DeliveryState][]int{kinora.DeliveryDelivered: {200, 204}, kinora.DeliveryPending: {0, 200, 500},
			kinora.DeliveryHeld: {0, 503}, kinora.DeliveryDead: {0, 301, 410, 500}}
		var all []*kinora.Delivery
		for n := range 300 {
			state := states[n*7%len(states)]
			d := searchable(2*n, orgs[n*5%3%2], hosts[n/3%2], events[n*11%len(events)], state, statuses[state][n/2%len(statuses[state])])
			d.EndpointID = []string{"ep_1", "ep_2", ""}[n%3]
			all = append(all, d)
		}
		insertDeliveries(t, db, all...)
		rapid.Check(t, func(t *rapid.T) {
			f := store.DeliveryFilter{
				Organisation: rapid.SampledFrom(append(orgs, "", "", "org_3")).Draw(t, "organisation"),
				EventType:    rapid.SampledFrom([]kinora.EventType{"", "", kinora.EventCompleted, kinora.EventFailed, "other"}).Draw(t, "event"),
				Endpoint:     rapid.SampledFrom([]string{"", "", "ep_1", "ep_2"}).Draw(t, "endpoint"),
				State:        rapid.SampledFrom([]kinora.DeliveryState{"", "", "pending", "held", "delivered", "dead"}).Draw(t, "state"),
				Status:       rapid.SampledFrom([]int{0, 0, 2, 3, 4, 5, kinora.StatusNone}).Draw(t, "status"),
			}
			if rapid.Bool().Draw(t, "by destination") && f.Organisation != "" {
				f.Destination = f.Organisation + " https://" + rapid.SampledFrom(hosts).Draw(t, "host") + ":443"
			}
			if rapid.IntRange(0, 9).Draw(t, "by generation") == 0 {
				f.Generation = rapid.SampledFrom(all).Draw(t, "generation").GenerationID
			}
			if rapid.Bool().Draw(t, "from") {
				f.From = deliveryID(rapid.IntRange(0, 600).Draw(t, "from id"))
			}
			if rapid.Bool().Draw(t, "to") {
				f.To = deliveryID(rapid.IntRange(0, 600).Draw(t, "to id"))
			}
			var want, got []string
			for _, d := range slices.Backward(all) {
				if matches(f, d) {
					want = append(want, d.ID)
				}
			}
			newest := all[len(all)-1].ID
			made := 2 * len(all)
			limit, reach, before := rapid.IntRange(1, 200).Draw(t, "limit"), rapid.SampledFrom([]int{1, 20, 100, 10_000}).Draw(t, "reach"), ""
			for more := true; more; more = before != "" {
				var page []*kinora.Delivery
				err := db.View(context.Background(), func(tx *store.Tx) (err error) {
					page, before, err = tx.SearchDeliveries(f, store.SearchPage{Before: before, Limit: limit, Reach: reach})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > limit {
					t.Fatalf("%d on a page", len(page))
				}
				for _, d := range page {
					if d.ID <= newest { // else made in the meantime
						got = append(got, d.ID)
					}
				}
				if before != "" && rapid.IntRange(0, 20).Draw(t, "insert") == 0 {
					made++
					insertOne(t, db, searchable(made, "org_1", "a.example", kinora.EventCompleted, kinora.DeliveryDelivered, 200))
				}
			}
			if made > 2*len(all) {
				deleteBehind(t, db, newest) // each check begins with the same deliveries
			}
			if !slices.Equal(want, got) {
				t.Fatalf("%+v: %s", f, cmp.Diff(want, got))
			}
		})
	})
}

func deleteBehind(t *rapid.T, db *store.DB, newest string) {
	err := db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM deliveries WHERE id > ?`, newest)
		if err == nil {
			_, err = tx.Exec(`DELETE FROM events WHERE id > ?`, "evt"+strings.TrimPrefix(newest, "dlv"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func insertOne(t *rapid.T, db *store.DB, d *kinora.Delivery) {
	err := db.Update(context.Background(), func(tx *store.Tx) error {
		if err := tx.InsertEvent(&kinora.Event{ID: d.EventID, OrganisationID: d.OrganisationID, GenerationID: d.GenerationID, Type: d.EventType, CreatedAt: t0}); err != nil {
			return err
		}
		return tx.InsertDeliveries([]*kinora.Delivery{d})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A page looks at a bounded number of deliveries: one needle at the bottom of many is found
// by the pages that follow, and no page is long.
func TestSearchLooksAtABoundedNumber(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		all := []*kinora.Delivery{searchable(0, "org_1", "needle.example", kinora.EventCompleted, kinora.DeliveryDelivered, 200)}
		for n := 1; n <= 150; n++ {
			all = append(all, searchable(n, "org_1", "hay.example", kinora.EventCompleted, kinora.DeliveryDelivered, 200))
		}
		insertDeliveries(t, db, all...)
		f := store.DeliveryFilter{Organisation: "org_1", Destination: all[0].Destination}
		var found []string
		pages, before := 0, ""
		for more := true; more; more = before != "" {
			pages++
			err := db.View(t.Context(), func(tx *store.Tx) error {
				page, next, err := tx.SearchDeliveries(f, store.SearchPage{Before: before, Limit: 10, Reach: 50})
				before = next
				for _, d := range page {
					found = append(found, d.ID)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if pages != 4 || !slices.Equal(found, []string{deliveryID(0)}) {
			t.Errorf("%d pages, found %v", pages, found)
		}
	})
}

// No search reads the table from one end to the other: it walks along an index, newest first.
func TestSearchesWalkAlongAnIndex(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var all []*kinora.Delivery
		for n := range 6000 {
			state, status, event := kinora.DeliveryDelivered, 200, kinora.EventCompleted
			switch {
			case n%3 == 0:
				state, status = kinora.DeliveryDead, 500
			case n%97 == 0:
				state, status = kinora.DeliveryPending, 0
			}
			if n%50 == 0 {
				event = kinora.EventFailed
			}
			all = append(all, searchable(n, fmt.Sprintf("org_%d", n%20), "a.example", event, state, status))
		}
		insertDeliveries(t, db, all...)
		if db.Name() == "postgres" {
			run(t, db, `ANALYZE deliveries`)
			run(t, db, `ANALYZE events`)
		}
		org, dead := "org_3", kinora.DeliveryDead
		for name, tc := range map[string]struct {
			filter store.DeliveryFilter
			index  string // "" = the primary key
		}{
			"everything":                    {store.DeliveryFilter{}, ""},
			"a time":                        {store.DeliveryFilter{From: deliveryID(100), To: deliveryID(200)}, ""},
			"completed":                     {store.DeliveryFilter{EventType: kinora.EventCompleted}, ""},
			"delivered":                     {store.DeliveryFilter{State: kinora.DeliveryDelivered}, ""},
			"2xx":                           {store.DeliveryFilter{Status: 2}, ""},
			"organisation":                  {store.DeliveryFilter{Organisation: org}, "deliveries_by_organisation"},
			"organisation and destination":  {store.DeliveryFilter{Organisation: org, Destination: org + " https://b.example:443"}, "deliveries_by_organisation"},
			"organisation and time":         {store.DeliveryFilter{Organisation: org, From: deliveryID(100)}, "deliveries_by_organisation"},
			"organisation's dead":           {store.DeliveryFilter{Organisation: org, State: dead}, "deliveries_dead"},
			"organisation's dead, by event": {store.DeliveryFilter{Organisation: org, State: dead, EventType: kinora.EventFailed, Status: 5}, "deliveries_dead"},
			"dead":                          {store.DeliveryFilter{State: dead}, "deliveries_undelivered"},
			"held":                          {store.DeliveryFilter{State: kinora.DeliveryHeld}, "deliveries_undelivered"},
			"pending of an organisation":    {store.DeliveryFilter{Organisation: org, State: kinora.DeliveryPending}, "deliveries_undelivered"},
			"5xx":                           {store.DeliveryFilter{Status: 5}, "deliveries_undelivered"},
			"no answer":                     {store.DeliveryFilter{Status: kinora.StatusNone}, "deliveries_undelivered"},
			"failed":                        {store.DeliveryFilter{EventType: kinora.EventFailed}, "deliveries_not_completed"},
			"failed of an organisation":     {store.DeliveryFilter{Organisation: org, EventType: kinora.EventFailed}, "deliveries_not_completed"},
			"generation":                    {store.DeliveryFilter{Generation: all[7].GenerationID}, "deliveries_by_event"},
		} {
			texts, args := tc.filter.Statements(db, deliveryID(5800))
			for i, text := range texts {
				plan := explain(t, db, text, args[i]...)
				index := tc.index
				if index == "" {
					index = map[string]string{"sqlite": "sqlite_autoindex_deliveries_1", "postgres": "deliveries_pkey"}[db.Name()]
				}
				// PostgreSQL sorts where it expects next to nothing.
				sorted := strings.Contains(plan, "TEMP B-TREE")
				if full := strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "SCAN deliveries"); full || !strings.Contains(plan, index) || sorted && tc.filter.Generation == "" {
					t.Errorf("%s: %s\n%s", name, text, plan)
				}
			}
		}
	})
}

func run(t *testing.T, db *store.DB, text string, args ...any) {
	t.Helper()
	if err := db.Update(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(text, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func explain(t *testing.T, db *store.DB, text string, args ...any) string {
	t.Helper()
	var plan strings.Builder
	err := db.View(t.Context(), func(tx *store.Tx) error {
		if db.Name() == "postgres" {
			return tx.Query(`EXPLAIN `+text, args, func(row store.Row) error {
				var line string
				err := row.Scan(&line)
				plan.WriteString(line + "\n")
				return err
			})
		}
		return tx.Query(`EXPLAIN QUERY PLAN `+text, args, func(row store.Row) error {
			var (
				id, parent, unused int
				line               string
			)
			err := row.Scan(&id, &parent, &unused, &line)
			plan.WriteString(line + "\n")
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func TestDeliveryAttemptRoundTrip(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		d := searchable(1, "org_1", "a.example", kinora.EventFailed, kinora.DeliveryPending, 0)
		insertDeliveries(t, db, d)
		d.Version++
		full := &kinora.DeliveryAttempt{DeliveryID: d.ID, Number: 1, StartedAt: t0, Duration: time.Second, Status: 500, Fault: kinora.FaultHTTP, Error: "e", Address: "192.0.2.1:443",
			DNS: 1000, Connect: 2000, TLS: 3000, FirstByte: 4000, ResponseHead: "server: x\n", Response: "oops", NextAt: t0.Add(time.Hour),
			Sent: kinora.SentRequest{UserAgent: "Kinora/1", Secrets: 2, Standard: 1, Custom: []string{"x-a"}, BodyBytes: 3, BodySHA256: "abc", LinksUntil: t0.Add(time.Minute)}}
		bare := &kinora.DeliveryAttempt{DeliveryID: d.ID, Number: 2, StartedAt: t0, Fault: kinora.FaultPolicy, Error: "refused"}
		var got []kinora.DeliveryAttempt
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for _, a := range []*kinora.DeliveryAttempt{full, bare} {
				if stale, err := tx.SaveDeliveries([]store.DeliveryResult{{Delivery: d, Attempt: a}}); err != nil || len(stale) > 0 {
					t.Fatalf("stale %v, %v", stale, err)
				}
				d.Version++
			}
			var err error
			got, err = tx.DeliveryAttempts(d.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []kinora.DeliveryAttempt{*full, *bare}
		for i := range want { // durations are kept in microseconds
			for _, p := range []*time.Duration{&want[i].DNS, &want[i].Connect, &want[i].TLS, &want[i].FirstByte} {
				*p = p.Truncate(time.Microsecond)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
