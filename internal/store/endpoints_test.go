package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func organisation(id string) *kinora.Organisation {
	return &kinora.Organisation{ID: id, Name: id, WebhookHosts: []string{}, OperatorHook: "https://ops.example/", CreatedAt: t0}
}

func endpoint(organisation, id string) *kinora.Endpoint {
	return &kinora.Endpoint{ID: id, OrganisationID: organisation, Name: "name of " + id, URL: "https://" + id + ".example/",
		EventTypes: []kinora.EventType{}, HeaderNames: []string{}, CreatedAt: t0, UpdatedAt: t0}
}

func update(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestEndpointRoundTrip(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		full := endpoint("org_1", "ep_10")
		full.Description, full.Rate, full.EventTypes = "ledger", 7, []kinora.EventType{kinora.EventFailed}
		full.HeaderNames, full.SealedHeaders = []string{"Authorization"}, "sealed"
		full.EndpointHealth = kinora.EndpointHealth{FailingSince: t0, Failures: 3, DisabledAt: t0.Add(1), Reason: kinora.DisabledGone,
			MissedSince: t0.Add(time.Second), ReplayFrom: t0.Add(2 * time.Second), ReplayUntil: t0.Add(3 * time.Second)}
		full.DisabledAt = t0.Add(time.Microsecond)
		update(t, db, func(tx *store.Tx) error {
			for _, err := range []error{tx.InsertOrganisation(organisation("org_1")), tx.InsertOrganisation(organisation("org_2")),
				tx.InsertEndpoint(endpoint("org_1", "ep_10")), tx.InsertEndpoint(endpoint("org_2", "ep_20")), tx.SaveEndpoint(full)} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		err := db.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Endpoint("org_1", "ep_10")
			if err != nil {
				return err
			}
			full.Name = got.Name
			if diff := cmp.Diff(full, got); diff != "" {
				t.Error(diff)
			}
			if _, err := tx.Endpoint("org_2", "ep_10"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("another organisation's read = %v, want ErrNotFound", err)
			}
			org, list, err := tx.Audience("org_2")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(organisation("org_2"), org); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]*kinora.Endpoint{endpoint("org_2", "ep_20")}, list); diff != "" {
				t.Error(diff)
			}
			if _, _, err := tx.Audience("org_3"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the audience of nobody: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(t.Context(), func(tx *store.Tx) error { return tx.DeleteEndpoint("org_2", "ep_10") })
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another organisation's removal = %v, want ErrNotFound", err)
		}
		update(t, db, func(tx *store.Tx) error { return tx.DeleteEndpoint("org_1", "ep_10") })
	})
}

// The default callback URL gets a row when there is something to say about it, and a new one
// begins anew.
func TestTheDefaultsHealthIsThatOfItsURL(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		org := organisation("org_1")
		org.DefaultWebhook = "https://a.example/"
		update(t, db, func(tx *store.Tx) error { return tx.InsertOrganisation(org) })
		for range 2 { // the second time it is there already
			update(t, db, func(tx *store.Tx) error {
				if err := tx.MakeDefaultEndpoints([]string{"org_1"}, t0); err != nil {
					return err
				}
				e, err := tx.LockEndpoint("ep_1")
				if err != nil {
					return err
				}
				if !e.Default() || e.URL != org.DefaultWebhook {
					t.Errorf("made %+v", e)
				}
				e.EndpointHealth = e.Gone(t0, t0)
				return tx.SaveEndpointHealth(e)
			})
		}
		for _, step := range []struct {
			url     string
			enabled bool
		}{{"https://a.example/", false}, {"https://b.example/", true}} {
			update(t, db, func(tx *store.Tx) error {
				org.DefaultWebhook = step.url
				if err := tx.SaveOrganisation(org); err != nil {
					return err
				}
				locked, err := tx.LockEndpoints([]string{"ep_1", "ep_none", "ep_1"})
				if err != nil {
					return err
				}
				_, read, err := tx.Audience("org_1")
				if err != nil {
					return err
				}
				for _, list := range [][]*kinora.Endpoint{locked, read} {
					if len(list) != 1 || list[0].URL != step.url || list[0].Enabled() != step.enabled {
						t.Errorf("%s: %d rows, the first is %+v", step.url, len(list), list[0])
					}
				}
				return nil
			})
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			list, err := tx.Endpoints("org_1")
			if len(list) != 0 {
				t.Errorf("the default is listed among the registered ones: %+v", list[0])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What an endpoint missed comes back in order and in bites; what died before, what others
// missed and what has not ended stay as they are.
func TestReviveMissed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		dead := func(id, endpoint string, died time.Time) *kinora.Delivery {
			return &kinora.Delivery{ID: id, EventID: "evt_1", OrganisationID: "org_1", EndpointID: endpoint, Destination: "org_1 " + endpoint,
				State: kinora.DeliveryDead, CreatedAt: t0, FinishedAt: died}
		}
		list := []*kinora.Delivery{dead("dlv_before", "ep_1", t0.Add(-1*time.Second)), dead("dlv_other", "ep_2", t0), dead("dlv_own", "", t0),
			dead("dlv_after", "ep_1", t0.Add(time.Hour))}
		for i := range 5 {
			list = append(list, dead(fmt.Sprint("dlv_", i), "ep_1", t0.Add(time.Duration(i)*time.Second)))
		}
		pending := dead("dlv_pending", "ep_1", time.Time{})
		pending.State, pending.DueAt = kinora.DeliveryPending, t0
		update(t, db, func(tx *store.Tx) error {
			if err := tx.InsertEvent(&kinora.Event{ID: "evt_1", OrganisationID: "org_1", Type: kinora.EventEndpointDisabled, Body: "{}", CreatedAt: t0}); err != nil {
				return err
			}
			return tx.InsertDeliveries(append(list, pending))
		})
		for _, want := range []int{3, 2, 0} {
			update(t, db, func(tx *store.Tx) error {
				n, err := tx.ReviveMissed("ep_1", t0, t0.Add(time.Minute), 3)
				if n != want {
					t.Errorf("revived %d, want %d", n, want)
				}
				return err
			})
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			for _, d := range list {
				got, err := tx.Delivery("org_1", d.ID)
				if err != nil {
					return err
				}
				want := kinora.DeliveryHeld
				switch d.ID {
				case "dlv_before", "dlv_other", "dlv_own", "dlv_after":
					want = kinora.DeliveryDead
				}
				if got.State != want {
					t.Errorf("%s is %s, want %s", d.ID, got.State, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Events that are not about a generation have bodies of their own, and do not stand in each
// other's way.
func TestEventsApart(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		for _, id := range []string{"evt_1", "evt_2"} {
			update(t, db, func(tx *store.Tx) error {
				return tx.InsertEvent(&kinora.Event{ID: id, OrganisationID: "org_1", Type: kinora.EventEndpointDisabled, Body: `{"id":"` + id + `"}`, CreatedAt: t0})
			})
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			contents, err := tx.EventContents([]string{"evt_1", "evt_2", "evt_3"})
			if err != nil {
				return err
			}
			if some, err := tx.HasUnplacedEvents("org_1", t0.Add(-time.Hour)); some || err != nil {
				t.Errorf("they would be streamed to API keys: %v, %v", some, err)
			}
			if len(contents) != 2 || contents["evt_2"].Event.Body != `{"id":"evt_2"}` || contents["evt_2"].Generation != nil ||
				contents["evt_1"].Event.OrganisationID != "org_1" {
				t.Errorf("got %+v", contents)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}

		// They go with the records of their time, but not before they have arrived.
		delivery := &kinora.Delivery{ID: "dlv_1", EventID: "evt_1", OrganisationID: "org_1", State: kinora.DeliveryPending, DueAt: t0, CreatedAt: t0}
		update(t, db, func(tx *store.Tx) error { return tx.InsertDeliveries([]*kinora.Delivery{delivery}) })
		for _, step := range []struct {
			before time.Time
			state  kinora.DeliveryState
			want   int64
		}{{t0.Add(-1), kinora.DeliveryPending, 0}, {t0, kinora.DeliveryPending, 1}, {t0, kinora.DeliveryDelivered, 1}} {
			update(t, db, func(tx *store.Tx) error {
				d, err := tx.Delivery("org_1", "dlv_1")
				if err != nil {
					return err
				}
				d.State, d.DueAt = step.state, time.Time{}
				if _, err := tx.SaveDeliveries([]store.DeliveryResult{{Delivery: d}}); err != nil {
					return err
				}
				n, err := tx.PurgeEventsApart(step.before, 10)
				if n != step.want {
					t.Errorf("%v: removed %d, want %d", step, n, step.want)
				}
				return err
			})
		}
		if err := db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Event("evt_1"); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("afterwards: %v", err)
		}
	})
}
