package server

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

// fakeWebhooks answers with what the fakeAdmin holds, and writes down there what it was asked for.
type fakeWebhooks struct{ *fakeAdmin }

func (f fakeWebhooks) Search(_ context.Context, q kinora.DeliverySearch, before string, limit int) ([]*kinora.Delivery, string, error) {
	text, _ := json.Marshal(q)
	return []*kinora.Delivery{f.delivery()}, f.next, f.call("search %s %q %d", text, before, limit)
}

func (f fakeWebhooks) Log(_ context.Context, organisation, id string) (*kinora.Delivery, []kinora.LoggedAttempt, error) {
	var log []kinora.LoggedAttempt
	for _, a := range f.attempts {
		log = append(log, kinora.LoggedAttempt{DeliveryAttempt: a, RequestBody: "{}", RequestHeaders: []kinora.HeaderLine{{Name: "host", Value: "a.example"}}})
	}
	return f.delivery(), log, f.call("delivery %q %s", organisation, id)
}

func (f fakeWebhooks) Redeliver(_ context.Context, organisation, id string) (*kinora.Delivery, error) {
	return f.delivery(), f.call("redeliver %s%s", organisation, id)
}

func (f fakeWebhooks) Revive(_ context.Context, organisation, id string) (*kinora.Delivery, error) {
	return f.delivery(), f.call("revive %s%s", organisation, id)
}

func TestAdminDeliverySearch(t *testing.T) {
	f, a := adminFixture(t)
	const path = "/admin/v1/deliveries"
	all := url.Values{"organisation_id": {ownID}, "generation_id": {taskOne}, "destination": {"https://a.example"}, "endpoint_id": {"ep_1"}, "event_type": {"generation.failed"},
		"state": {"dead"}, "status": {"none"}, "since": {"2026-06-14T10:30:00+02:00"}, "until": {"2026-06-15T00:00:00Z"}, "limit": {"200"}}
	status, answer := f.admin("GET", path+"?"+all.Encode(), "")
	if status != 200 || answer != `{"deliveries":[{`+deliveryText+`}],"next_cursor":null}` {
		t.Errorf("answered %d %s", status, answer)
	}
	want := kinora.DeliverySearch{Organisation: ownID, Generation: taskOne, Destination: "https://a.example", Endpoint: "ep_1", EventType: kinora.EventFailed,
		State: kinora.DeliveryDead, Status: -1, Since: time.Date(2026, 6, 14, 8, 30, 0, 0, time.UTC), Until: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)}
	var got kinora.DeliverySearch
	text, _, _ := strings.Cut(strings.TrimPrefix(a.calls[0], "search "), "} ")
	if err := json.Unmarshal([]byte(text+"}"), &got); err != nil || !got.Since.Equal(want.Since) || !got.Until.Equal(want.Until) {
		t.Fatalf("%s: %v", a.calls[0], err)
	}
	if got.Since, got.Until = want.Since, want.Until; got != want || !strings.HasSuffix(a.calls[0], `"" 200`) {
		t.Errorf("asked for %s", a.calls[0])
	}

	for query, message := range map[string]string{
		"state=lost": "state must be", "status=200": "status must be", "since=yesterday": "since must be a time", "limit=0": "limit must be", "limit=201": "limit must be",
		"limit=x": "limit must be", "stat=dead": "stat is not a known parameter", "state=dead&state=held": "given twice", "organisation_id=": "must not be empty", "cursor=x": "cursor is not one",
		"generation_id=%00": "generation_id must be UTF-8 without NUL", "endpoint_id=a%ff": "endpoint_id must be UTF-8 without NUL",
	} {
		if status, answer := f.admin("GET", path+"?"+query, ""); status != 400 || !strings.Contains(answer, message) {
			t.Errorf("%s: answered %d %s", query, status, answer)
		}
	}
	for _, path := range []string{"/admin/v1/organisations/%00", "/admin/v1/organisations/%ff/keys", "/admin/v1/organisations/a%00/webhook-test"} {
		if status, answer := f.admin("GET", path, ""); status != 404 {
			t.Errorf("%s: answered %d %s", path, status, answer)
		}
	}
	if len(a.calls) != 1 {
		t.Errorf("asked for %q", a.calls)
	}
}

// A cursor leads on where it was given, on every node and after a key's rotation, and is good for nothing else.
func TestAdminCursors(t *testing.T) {
	keyOne, keyTwo := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	on := func(keys ...[]byte) (*fixture, *fakeAdmin) {
		a := &fakeAdmin{next: deliveryOne}
		return newFixture(t, func(c *Config) {
			c.Admin, c.Webhooks, c.CursorKeys = a, fakeWebhooks{a}, func() [][]byte { return keys }
		}), a
	}
	f, _ := on(keyOne)
	const path = "/admin/v1/deliveries"
	_, answer := f.admin("GET", path+"?state=dead&limit=1", "")
	var page struct {
		Next string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil || page.Next == "" || strings.Contains(page.Next, deliveryOne) {
		t.Fatalf("answered %s: %v", answer, err)
	}
	for name, tc := range map[string]struct {
		keys   [][]byte
		query  string
		status int
	}{
		"as it was given":    {[][]byte{keyOne}, "state=dead&limit=2&cursor=" + page.Next, 200},
		"after a rotation":   {[][]byte{keyTwo, keyOne}, "state=dead&cursor=" + page.Next, 200},
		"of another key":     {[][]byte{keyTwo}, "state=dead&cursor=" + page.Next, 400},
		"with other filters": {[][]byte{keyOne}, "state=held&cursor=" + page.Next, 400},
		"without filters":    {[][]byte{keyOne}, "cursor=" + page.Next, 400},
		"cut":                {[][]byte{keyOne}, "state=dead&cursor=" + page.Next[:20], 400},
		"longer":             {[][]byte{keyOne}, "state=dead&cursor=" + page.Next + "AAAA", 400},
		"a position alone":   {[][]byte{keyOne}, "state=dead&cursor=" + deliveryOne, 400},
	} {
		f, a := on(tc.keys...)
		status, answer := f.admin("GET", path+"?"+tc.query, "")
		if status != tc.status || (status == 200) != (len(a.calls) == 1) {
			t.Errorf("%s: answered %d %s", name, status, answer)
		}
		if status == 200 && !strings.Contains(a.calls[0], `"`+deliveryOne+`"`) {
			t.Errorf("%s: asked for %s", name, a.calls[0])
		}
	}
}

func TestNoCursorButThoseGivenIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		c := newCursors(func() [][]byte { return [][]byte{key} })
		question, position := rapid.StringMatching(`[a-z=&]{0,20}`).Draw(t, "question"), rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "position")
		given := c.give(question, position)
		if got, err := c.take(question, given); err != nil || got != position {
			t.Fatalf("%q, %v", got, err)
		}
		other := []byte(given)
		other[rapid.IntRange(0, len(other)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		if _, err := c.take(question, string(other)); err == nil && string(other) != given {
			t.Fatalf("%q is taken", other)
		}
	})
}

func FuzzCursor(f *testing.F) {
	c := newCursors(func() [][]byte { return [][]byte{[]byte(strings.Repeat("1", 32))} })
	f.Add("q", c.give("q", "dlv_1"))
	f.Add("", "")
	f.Add("q", strings.Repeat("A", 2000))
	f.Fuzz(func(t *testing.T, question, cursor string) {
		position, err := c.take(question, cursor)
		if err == nil && c.give(question, position) != cursor {
			t.Errorf("%q is taken for %q", cursor, position)
		}
	})
}

// One delivery is shown with what each attempt sent, and without the secrets in it.
func TestAdminDelivery(t *testing.T) {
	f, a := adminFixture(t)
	a.attempts = []kinora.DeliveryAttempt{
		{Number: 1, StartedAt: testTime, Fault: kinora.FaultPolicy, Error: "refused"},
		{Number: 2, StartedAt: testTime, Status: 500, Fault: kinora.FaultHTTP, ResponseHead: "server: x\n", Response: "oops", Sent: kinora.SentRequest{UserAgent: "Kinora/1", BodyBytes: 2, BodySHA256: "abc"}},
	}
	status, answer := f.admin("GET", "/admin/v1/deliveries/"+deliveryOne, "")
	var v deliveryView
	if err := json.Unmarshal([]byte(answer), &v); err != nil || status != 200 || len(v.Attempts) != 2 || !slices.Equal(a.calls, []string{`delivery "" ` + deliveryOne}) {
		t.Fatalf("answered %d %s: %v; %q", status, answer, err, a.calls)
	}
	if v.Attempts[0].Request != nil || v.Attempts[1].ResponseHead != "server: x\n" || v.Attempts[1].Request.BodySHA256 != "abc" || v.Attempts[1].Request.Headers[0].Value != "a.example" {
		t.Errorf("answered %s", answer)
	}
	if strings.Contains(answer, "hush") {
		t.Errorf("a secret is shown: %s", answer)
	}
	if status, answer := f.admin("GET", "/admin/v1/deliveries/x", ""); status != 404 || answer != `{"error":{"code":"not_found","message":"delivery not found"}}` {
		t.Errorf("malformed: %d %s", status, answer)
	}
}

func (f fakeWebhooks) Destinations(context.Context, string, time.Duration) (*kinora.DestinationReport, error) {
	return &kinora.DestinationReport{}, nil
}
