package tenancy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func endpointChange(name, url string) kinora.EndpointChange {
	return kinora.EndpointChange{Name: &name, URL: &url}
}

func newOrganisation(t *testing.T, n node, change OrganisationChange) *kinora.Organisation {
	t.Helper()
	if change.Name == nil {
		change.Name = ptr("acme")
	}
	org, _, err := n.CreateOrganisation(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	return org
}

func TestEndpoints(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := newOrganisation(t, n, OrganisationChange{DefaultWebhook: ptr("https://a.example")})
		change := endpointChange(" ledger ", "https://b.example")
		change.Description, change.Rate = ptr("books it"), ptr(5)
		change.EventTypes = &[]string{"generation.failed", "generation.completed", "generation.failed"}
		change.Headers = map[string]*string{"X-Token": ptr("letmein"), "X-Team": ptr("night")}
		made, err := n.CreateEndpoint(t.Context(), org.ID, change)
		if err != nil {
			t.Fatal(err)
		}
		want := &kinora.Endpoint{ID: made.ID, OrganisationID: org.ID, Name: "ledger", URL: "https://b.example", Description: "books it", Rate: 5,
			EventTypes: []kinora.EventType{kinora.EventCompleted, kinora.EventFailed}, HeaderNames: []string{"X-Team", "X-Token"},
			SealedHeaders: made.SealedHeaders, CreatedAt: n.instant(), UpdatedAt: n.instant()}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(made.SealedHeaders, "letmein") || strings.Contains(made.SealedHeaders, "X-T") {
			t.Errorf("headers lie open: %s", made.SealedHeaders)
		}

		n.clock.advance(time.Second)
		got, err := n.UpdateEndpoint(t.Context(), org.ID, made.ID, kinora.EndpointChange{URL: ptr("https://c.example"), EventTypes: &[]string{},
			Headers: map[string]*string{"x-token": ptr("other"), "X-Team": nil, "X-None": nil}})
		if err != nil {
			t.Fatal(err)
		}
		want.URL, want.EventTypes, want.HeaderNames, want.SealedHeaders, want.UpdatedAt = "https://c.example", []kinora.EventType{}, []string{"x-token"}, got.SealedHeaders, n.instant()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if headers, err := n.EndpointHeaders(got); err != nil || !maps.Equal(headers, map[string]string{"x-token": "other"}) {
			t.Errorf("headers %v, %v", headers, err)
		}
		list, err := n.Endpoints(t.Context(), org.ID)
		if err != nil || len(list) != 2 || !list[0].Default() || list[0].URL != "https://a.example" || !list[0].Enabled() {
			t.Fatalf("listed %+v, %v", list, err)
		}
		if diff := cmp.Diff(want, list[1]); diff != "" {
			t.Error(diff)
		}
		if got, err := n.Endpoint(t.Context(), org.ID, made.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("read %+v, %v", got, err)
		}
		if got, err := n.UpdateEndpoint(t.Context(), org.ID, made.ID, kinora.EndpointChange{Headers: map[string]*string{"X-Token": nil}}); err != nil || got.SealedHeaders != "" || len(got.HeaderNames) != 0 {
			t.Errorf("without headers: %+v, %v", got, err)
		}

		if err := n.DeleteEndpoint(t.Context(), org.ID, made.ID); err != nil {
			t.Fatal(err)
		}
		_, err = n.Endpoint(t.Context(), org.ID, made.ID)
		wantCode(t, "read a removed one", err, kinora.ErrNotFound)
	})
}

// Another organisation's endpoint answers as one that never was, in every operation.
func TestEndpointsOfOthersAreUnknown(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		own, other := newOrganisation(t, n, OrganisationChange{}), newOrganisation(t, n, OrganisationChange{DefaultWebhook: ptr("https://d.example")})
		theirs, err := n.CreateEndpoint(t.Context(), other.ID, endpointChange("a", "https://a.example"))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{theirs.ID, kinora.DefaultEndpointID(other.ID), "ep_none"} {
			_, read := n.Endpoint(t.Context(), own.ID, id)
			_, update := n.UpdateEndpoint(t.Context(), own.ID, id, kinora.EndpointChange{Enabled: ptr(false)})
			remove := n.DeleteEndpoint(t.Context(), own.ID, id)
			for what, err := range map[string]error{"read": read, "update": update, "remove": remove} {
				wantCode(t, what, err, kinora.ErrNotFound)
				if err != nil && err.Error() != "endpoint not found" {
					t.Errorf("%s %s: %v", what, id, err)
				}
			}
		}
		if got, err := n.Endpoint(t.Context(), other.ID, theirs.ID); err != nil || cmp.Diff(theirs, got) != "" {
			t.Errorf("afterwards %+v, %v", got, err)
		}
		_, err = n.CreateEndpoint(t.Context(), "org_none", endpointChange("a", "https://a.example"))
		wantCode(t, "create for nobody", err, kinora.ErrNotFound)
		_, err = n.Endpoints(t.Context(), "org_none")
		wantCode(t, "list for nobody", err, kinora.ErrNotFound)
	})
}

func TestRefusedEndpoints(t *testing.T) {
	n := newNode(t, storetest.SQLite(t), newClock(), nil)
	org := newOrganisation(t, n, OrganisationChange{DefaultWebhook: ptr("https://d.example")})
	known, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange("taken", "https://a.example"))
	if err != nil {
		t.Fatal(err)
	}
	n.clock.advance(time.Second)
	mine, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange("mine", "https://a.example"))
	if err != nil {
		t.Fatal(err)
	}
	headers := func(name, value string) kinora.EndpointChange {
		return kinora.EndpointChange{Headers: map[string]*string{name: &value}}
	}
	for what, tt := range map[string]struct {
		change kinora.EndpointChange
		code   kinora.ErrorCode
		text   string
	}{
		"no name":            {kinora.EndpointChange{Name: ptr(" ")}, kinora.ErrInvalid, "name is required"},
		"name of another":    {kinora.EndpointChange{Name: ptr("taken")}, kinora.ErrConflict, `called "taken"`},
		"name of default":    {kinora.EndpointChange{Name: ptr("default")}, kinora.ErrConflict, "default callback URL"},
		"no URL":             {kinora.EndpointChange{URL: ptr("")}, kinora.ErrInvalid, "url: URL must use https"},
		"refused URL":        {kinora.EndpointChange{URL: ptr("http://a.example")}, kinora.ErrInvalid, "url: URL must use https"},
		"long URL":           {kinora.EndpointChange{URL: ptr("https://" + strings.Repeat("a", 3000))}, kinora.ErrInvalid, "url is longer"},
		"control characters": {kinora.EndpointChange{Description: ptr("a\x1b[2J")}, kinora.ErrInvalid, "control characters"},
		"long description":   {kinora.EndpointChange{Description: ptr(strings.Repeat("ü", 501))}, kinora.ErrInvalid, "longer than 500"},
		"unknown event":      {kinora.EndpointChange{EventTypes: &[]string{"generation.completed", "generation.*"}}, kinora.ErrInvalid, "event_types[1]"},
		"operator's event":   {kinora.EndpointChange{EventTypes: &[]string{"endpoint.disabled"}}, kinora.ErrInvalid, "event_types[0]"},
		"negative rate":      {kinora.EndpointChange{Rate: ptr(-1)}, kinora.ErrInvalid, "rate_per_second"},
		"absurd rate":        {kinora.EndpointChange{Rate: ptr(10_001)}, kinora.ErrInvalid, "rate_per_second"},
		"reserved header":    {headers("Webhook-Id", "x"), kinora.ErrInvalid, "Webhook-Id is set by the sender"},
		"injected header":    {headers("X-A", "b\r\nHost: c"), kinora.ErrInvalid, "the value of X-A"},
		"hidden value":       {headers("X-A", kinora.HiddenHeader), kinora.ErrInvalid, "leave the header out"},
		"header twice":       {kinora.EndpointChange{Headers: map[string]*string{"X-A": ptr("1"), "x-a": ptr("2")}}, kinora.ErrInvalid, "twice"},
		"replay of disabled": {kinora.EndpointChange{Enabled: ptr(false), ReplayMissed: true}, kinora.ErrInvalid, "replay_missed"},
	} {
		_, err := n.UpdateEndpoint(t.Context(), org.ID, mine.ID, tt.change)
		wantCode(t, what, err, tt.code)
		if err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %q does not say %q", what, err, tt.text)
		}
		if tt.change.URL == nil {
			tt.change.URL = ptr("https://a.example")
		}
		if tt.change.Name == nil {
			tt.change.Name = ptr("fresh")
		}
		_, err = n.CreateEndpoint(t.Context(), org.ID, tt.change)
		wantCode(t, "create, "+what, err, tt.code)
	}
	_, err = n.CreateEndpoint(t.Context(), org.ID, kinora.EndpointChange{Name: ptr("x")})
	wantCode(t, "create without a URL", err, kinora.ErrInvalid)
	preset := kinora.DefaultEndpointID(org.ID)
	_, err = n.UpdateEndpoint(t.Context(), org.ID, preset, kinora.EndpointChange{Rate: ptr(1)})
	wantCode(t, "settings of the default", err, kinora.ErrInvalid)
	wantCode(t, "removal of the default", n.DeleteEndpoint(t.Context(), org.ID, preset), kinora.ErrInvalid)

	// An allowlist must not leave an endpoint out.
	_, err = n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{WebhookHosts: &[]string{"d.example"}})
	wantCode(t, "an allowlist without an endpoint's host", err, kinora.ErrInvalid)
	if err != nil && !strings.Contains(err.Error(), known.ID) {
		t.Errorf("%v does not name the endpoint", err)
	}
	list, err := n.Endpoints(t.Context(), org.ID)
	if err != nil || len(list) != 3 || cmp.Diff(mine, list[2]) != "" {
		t.Errorf("afterwards %+v, %v", list, err)
	}
}

// Endpoints made at once: no name twice, and no more than are allowed.
func TestEndpointsAreBounded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		n.maxEndpoints = 5
		org := newOrganisation(t, n, OrganisationChange{DefaultWebhook: ptr("https://d.example")}) // which does not count
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange(fmt.Sprint("name ", i/2), "https://a.example"))
				if err != nil {
					wantCode(t, "one too many", err, kinora.ErrConflict)
				}
			})
		}
		wg.Wait()
		list, err := n.Endpoints(t.Context(), org.ID)
		names := map[string]bool{}
		for _, e := range list {
			names[e.Name] = true
		}
		if err != nil || len(list) != 6 || len(names) != 6 {
			t.Errorf("%d endpoints with %d names, %v", len(list), len(names), err)
		}
	})
}

func TestEnableAndDisable(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := newOrganisation(t, n, OrganisationChange{DefaultWebhook: ptr("https://d.example")})
		made, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange("a", "https://a.example"))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{made.ID, kinora.DefaultEndpointID(org.ID)} {
			change := func(c kinora.EndpointChange) *kinora.Endpoint {
				t.Helper()
				n.clock.advance(time.Second)
				e, err := n.UpdateEndpoint(t.Context(), org.ID, id, c)
				if err != nil {
					t.Fatal(err)
				}
				read, err := n.Endpoint(t.Context(), org.ID, id)
				if err != nil || cmp.Diff(e, read) != "" {
					t.Fatalf("read %+v after %+v, %v", read, e, err)
				}
				return e
			}
			off := change(kinora.EndpointChange{Enabled: ptr(false)})
			if off.Enabled() || off.Reason != kinora.DisabledByOperator || !off.MissedSince.Equal(n.instant()) {
				t.Errorf("%+v", off)
			}
			if again := change(kinora.EndpointChange{Enabled: ptr(false)}); !again.DisabledAt.Equal(off.DisabledAt) {
				t.Errorf("disabled twice: %+v", again)
			}
			if on := change(kinora.EndpointChange{Enabled: ptr(true)}); !on.Enabled() || !on.ReplayFrom.IsZero() || !on.MissedSince.Equal(off.DisabledAt) {
				t.Errorf("%+v", on)
			}
			if late := change(kinora.EndpointChange{ReplayMissed: true}); !late.ReplayFrom.Equal(off.DisabledAt) || !late.MissedSince.IsZero() {
				t.Errorf("%+v", late)
			}
		}
		// A new default URL has a health of its own.
		if _, err := n.UpdateEndpoint(t.Context(), org.ID, kinora.DefaultEndpointID(org.ID), kinora.EndpointChange{Enabled: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{DefaultWebhook: ptr("https://e.example")}); err != nil {
			t.Fatal(err)
		}
		if e, err := n.Endpoint(t.Context(), org.ID, kinora.DefaultEndpointID(org.ID)); err != nil || !e.Enabled() || e.URL != "https://e.example" {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{DefaultWebhook: ptr("")}); err != nil {
			t.Fatal(err)
		}
		_, err = n.UpdateEndpoint(t.Context(), org.ID, kinora.DefaultEndpointID(org.ID), kinora.EndpointChange{Enabled: ptr(false)})
		wantCode(t, "a default that is no more", err, kinora.ErrNotFound)
	})
}

// With another URL an endpoint has a new time to prove itself in; what it missed stays missed, and it stays disabled.
func TestAnotherURLStartsTheFailingAnew(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := newOrganisation(t, n, OrganisationChange{})
		made, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange("a", "https://a.example"))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			enabled  bool
			url      string
			failures int
		}{
			{true, "https://a.example", 2},
			{true, "https://b.example", 0},
			{false, "https://c.example", 2},
		} {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				e, err := tx.LockEndpoint(made.ID)
				if err != nil {
					return err
				}
				e.EndpointHealth = kinora.EndpointHealth{FailingSince: n.instant(), Failures: 2, MissedSince: n.instant()}
				if !step.enabled {
					e.EndpointHealth = e.Disable(kinora.DisabledGone, n.instant())
				}
				return tx.SaveEndpointHealth(e)
			})
			if err != nil {
				t.Fatal(err)
			}
			e, err := n.UpdateEndpoint(t.Context(), org.ID, made.ID, kinora.EndpointChange{URL: &step.url})
			if err != nil || e.Failures != step.failures || e.FailingSince.IsZero() != (step.failures == 0) || e.Enabled() != step.enabled || e.MissedSince.IsZero() {
				t.Errorf("%s: %+v, %v", step.url, e, err)
			}
		}
	})
}

// What a node missed whose clock is ahead belongs to a replay all the same; what others missed does not move its end.
func TestAReplayReachesWhatAFastClockNoted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := newOrganisation(t, n, OrganisationChange{})
		made, err := n.CreateEndpoint(t.Context(), org.ID, endpointChange("a", "https://a.example"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.UpdateEndpoint(t.Context(), org.ID, made.ID, kinora.EndpointChange{Enabled: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		ahead := n.instant().Add(40 * time.Second)
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.InsertEvent(&kinora.Event{ID: "evt_1", OrganisationID: org.ID, Type: kinora.EventEndpointDisabled, Body: "{}", CreatedAt: n.instant()}); err != nil {
				return err
			}
			dead := func(id, endpoint string, died time.Time) *kinora.Delivery {
				return &kinora.Delivery{ID: id, EventID: "evt_1", OrganisationID: org.ID, EndpointID: endpoint, Destination: "d", State: kinora.DeliveryDead, CreatedAt: died, FinishedAt: died}
			}
			return tx.InsertDeliveries([]*kinora.Delivery{dead("dlv_1", made.ID, n.instant()), dead("dlv_2", made.ID, ahead), dead("dlv_3", "ep_other", ahead.Add(time.Hour))})
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := n.UpdateEndpoint(t.Context(), org.ID, made.ID, kinora.EndpointChange{Enabled: ptr(true), ReplayMissed: true})
		if err != nil || e.ReplayUntil.Before(ahead) || e.ReplayUntil.After(ahead.Add(time.Minute)) {
			t.Fatalf("%+v, %v", e, err)
		}
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			revived, err := tx.ReviveMissed(e.ID, e.ReplayFrom, e.ReplayUntil, 10)
			if revived != 2 {
				t.Errorf("%d come back, want 2", revived)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Sealed headers are among what a change of the master key renews, and belong to their row.
func TestEndpointHeadersAreSealed(t *testing.T) {
	db, c := storetest.SQLite(t), newClock()
	first, second := seal.NewKey(), seal.NewKey()
	n := newNode(t, db, c, testRing(t, first))
	org := newOrganisation(t, n, OrganisationChange{})
	var made []*kinora.Endpoint
	for _, name := range []string{"a", "b"} {
		change := endpointChange(name, "https://a.example")
		change.Headers = map[string]*string{"Authorization": ptr("Bearer " + name)}
		e, err := n.CreateEndpoint(t.Context(), org.ID, change)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, e)
	}
	swapped := *made[0]
	swapped.SealedHeaders = made[1].SealedHeaders
	if _, err := n.EndpointHeaders(&swapped); err == nil {
		t.Error("one endpoint's headers open as another's")
	}
	both := newNode(t, db, c, testRing(t, second, first))
	if _, err := both.Reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	alone := newNode(t, db, c, testRing(t, second))
	list, err := alone.Endpoints(t.Context(), org.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if headers, err := alone.EndpointHeaders(e); err != nil || headers["Authorization"] != "Bearer "+e.Name {
			t.Errorf("%s: %v, %v", e.Name, slices.Collect(maps.Keys(headers)), err)
		}
	}
}
