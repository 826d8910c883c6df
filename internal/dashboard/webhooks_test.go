package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeWebhooks is what one organisation, north, has of webhooks; others have nothing.
type fakeWebhooks struct {
	mu        sync.Mutex
	calls     []string
	err       error // of changes
	endpoints []*kinora.Endpoint
	delivery  *kinora.Delivery
	log       []kinora.LoggedAttempt
	listed    []*kinora.Delivery // newest first; nil = delivery alone
	exists    []*kinora.Delivery // beside what is found
	until     time.Time          // how long the last test event or redelivery may take
	read      chan struct{}      // takes one for each search, as far as there is room; nil = nobody wants to know
	next      string
	trials    []*kinora.Trial
	replay    *kinora.ReplayProgress
	report    kinora.DestinationReport
	versions  int // how often a delivery's version was asked for
	logs      int // and all of it
}

var (
	_ Webhooks        = (*fakeWebhooks)(nil)
	_ WebhookSettings = (*fakeWebhooks)(nil)
)

const (
	someEndpoint = "ep_01J00000000000000000000009"
	someDelivery = "dlv_01J00000000000000000000001"
	someReplay   = "rpl_01J00000000000000000000001"
	hostile      = `<script>alert(1)</script>"'&`
)

var webhookTime = time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)

func newFakeWebhooks() *fakeWebhooks {
	f := &fakeWebhooks{endpoints: []*kinora.Endpoint{
		{ID: kinora.DefaultEndpointID(north), OrganisationID: north, Name: "default", URL: "https://hooks.north.example/kinora?token=hush"},
		{ID: someEndpoint, OrganisationID: north, Name: "ledger " + hostile, URL: "https://ledger.north.example/?key=hush", HeaderNames: []string{"Authorization"}, Rate: 20,
			EndpointHealth: kinora.EndpointHealth{DisabledAt: webhookTime, Reason: kinora.DisabledGone, MissedSince: webhookTime}}}}
	f.delivery = &kinora.Delivery{ID: someDelivery, EventID: "evt_1", EventType: kinora.EventFailed, OrganisationID: north, GenerationID: "task_1", EndpointID: someEndpoint,
		URL: "https://ledger.north.example/?key=hush", State: kinora.DeliveryDead, Attempts: 1, LastStatus: 500, CreatedAt: webhookTime, FinishedAt: webhookTime}
	attempt := kinora.LoggedAttempt{DeliveryAttempt: kinora.DeliveryAttempt{DeliveryID: someDelivery, Number: 1, StartedAt: webhookTime, Duration: 31 * time.Millisecond, Status: 500,
		Fault: kinora.FaultHTTP, Error: "the receiver answered 500", Connect: time.Millisecond, ResponseHead: "server: " + hostile, Response: "<html>" + hostile,
		Sent: kinora.SentRequest{UserAgent: "Kinora/1", BodyBytes: 4, BodySHA256: "AAAA"}},
		RequestHeaders: []kinora.HeaderLine{{Name: "host", Value: "h"}, {Name: "content-type", Value: "application/json"}, {Name: "webhook-signature", Value: "[hidden]"}},
		RequestBody:    `{"metadata":{"it's":"` + hostile + `"}}`}
	f.log = []kinora.LoggedAttempt{attempt}
	f.trials = []*kinora.Trial{{ID: "dlv_trial", OrganisationID: north, EndpointID: someEndpoint, URL: "https://a.example/?key=hush", EventID: "evt_2",
		EventType: kinora.EventFailed, Sample: "timeout", JobID: "task_TEST", Attempt: attempt}}
	f.replay = &kinora.ReplayProgress{Replay: &kinora.Replay{ID: someReplay, OrganisationID: north, State: kinora.ReplayRunning, Rate: 50, Total: 40, Revived: 10, CreatedAt: webhookTime,
		Filter: kinora.ReplayFilter{EndpointID: someEndpoint}}, Outcomes: map[kinora.DeliveryState]int{kinora.DeliveryDelivered: 7, kinora.DeliveryPending: 3}}
	f.report = kinora.DestinationReport{Destinations: []kinora.DestinationHealth{{Destination: "https://ledger.north.example:443", EndpointID: someEndpoint, Delivered: 3, Dead: 2,
		Answers: kinora.Percentiles{P50: 20 * time.Millisecond, P95: 90 * time.Millisecond, Of: 5}, Breaker: "open", Until: webhookTime, Backlog: 1234,
		Hours:      []kinora.DestinationHour{{At: webhookTime, Delivered: 3, Failed: 2}},
		LastFailed: &kinora.DestinationFailure{DeliveryID: someDelivery, At: webhookTime, Fault: kinora.FaultDNS, Error: hostile}}}}
	return f
}

func (f *fakeWebhooks) call(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func unknown() error { return kinora.Errorf(kinora.ErrNotFound, "there is none") }

func (f *fakeWebhooks) Search(_ context.Context, q kinora.DeliverySearch, before string, limit int) ([]*kinora.Delivery, string, error) {
	if err := f.call("search %s state=%s endpoint=%s event=%s status=%d generation=%s since=%s before=%s", q.Organisation, q.State, q.Endpoint, q.EventType, q.Status, q.Generation,
		q.Since.Format(minute), before); err != nil {
		return nil, "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.read <- struct{}{}:
	default:
	}
	if f.listed != nil {
		return f.listed, f.next, nil
	}
	return []*kinora.Delivery{f.delivery}, f.next, nil
}

func (f *fakeWebhooks) Deliveries(_ context.Context, _ string, ids []string) (map[string]*kinora.Delivery, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]*kinora.Delivery{}
	for _, d := range append(slices.Clone(f.listed), f.exists...) {
		if slices.Contains(ids, d.ID) {
			found[d.ID] = d
		}
	}
	return found, nil
}

func (f *fakeWebhooks) Log(_ context.Context, organisation, id string) (*kinora.Delivery, []kinora.LoggedAttempt, error) {
	f.mu.Lock()
	f.logs++
	f.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if organisation != north || id != f.delivery.ID {
		return nil, nil, unknown()
	}
	d := *f.delivery
	return &d, f.log, nil
}

func (f *fakeWebhooks) Version(_ context.Context, organisation, id string) (int64, error) {
	if organisation != north || id != someDelivery {
		return 0, unknown()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions++
	return f.delivery.Version, nil
}

func (f *fakeWebhooks) Redeliver(ctx context.Context, organisation, id string) (*kinora.Delivery, error) {
	f.until, _ = ctx.Deadline()
	return f.delivery, f.call("redeliver %s %s", organisation, id)
}

func (f *fakeWebhooks) Revive(_ context.Context, organisation, id string) (*kinora.Delivery, error) {
	return f.delivery, f.call("revive %s %s", organisation, id)
}

func (f *fakeWebhooks) StartReplay(_ context.Context, q kinora.ReplayRequest) (*kinora.Replay, error) {
	return f.replay.Replay, f.call("replay %s endpoint=%s destination=%s event=%s since=%s delivered=%v rate=%d", q.Organisation, q.Endpoint, q.Destination, q.EventType,
		q.Since.Format(minute), q.Delivered, q.Rate)
}

func (f *fakeWebhooks) Replay(_ context.Context, organisation, id string) (*kinora.ReplayProgress, error) {
	if organisation != north || id != someReplay {
		return nil, unknown()
	}
	return f.replay, nil
}

func (f *fakeWebhooks) Replays(context.Context, string) ([]*kinora.Replay, error) {
	return []*kinora.Replay{f.replay.Replay}, nil
}

func (f *fakeWebhooks) CancelReplay(_ context.Context, organisation, id string) (*kinora.Replay, error) {
	return f.replay.Replay, f.call("cancel %s %s", organisation, id)
}

func (f *fakeWebhooks) SendTrial(ctx context.Context, q kinora.TrialRequest) (*kinora.Trial, error) {
	f.until, _ = ctx.Deadline()
	return f.trials[0], f.call("trial %s to=%s%s %s %s", q.Organisation, q.Endpoint, q.URL, q.EventType, q.Sample)
}

func (f *fakeWebhooks) Trials(context.Context, string) ([]*kinora.Trial, error) { return f.trials, nil }

func (f *fakeWebhooks) Destinations(context.Context, string, time.Duration) (*kinora.DestinationReport, error) {
	return &f.report, nil
}

func (f *fakeWebhooks) EndpointHealth(_ context.Context, _, endpointID string, _ time.Duration) (*kinora.DestinationHealth, error) {
	for _, h := range f.report.Destinations {
		if h.EndpointID == endpointID {
			return &h, nil
		}
	}
	return nil, nil
}

func (f *fakeWebhooks) Endpoints(context.Context, string) ([]*kinora.Endpoint, error) {
	return f.endpoints, nil
}

func (f *fakeWebhooks) Endpoint(_ context.Context, organisation, id string) (*kinora.Endpoint, error) {
	for _, e := range f.endpoints {
		if e.OrganisationID == organisation && e.ID == id {
			return e, nil
		}
	}
	return nil, unknown()
}

// settings tells what an endpoint's change sets; of headers, names alone and which are removed.
func settings(c kinora.EndpointChange) string {
	var b strings.Builder
	if c.Name != nil {
		fmt.Fprintf(&b, " name=%s", *c.Name)
	}
	if c.URL != nil {
		fmt.Fprintf(&b, " url=%s", *c.URL)
	}
	if c.EventTypes != nil {
		fmt.Fprintf(&b, " types=%v", *c.EventTypes)
	}
	if c.Rate != nil {
		fmt.Fprintf(&b, " rate=%d", *c.Rate)
	}
	if c.Description != nil && *c.Description != "" {
		fmt.Fprintf(&b, " description=%q", *c.Description)
	}
	for _, name := range []string{"Authorization", "X-New"} {
		if value, named := c.Headers[name]; named && value == nil {
			b.WriteString(" -" + name)
		} else if named {
			b.WriteString(" " + name + "=" + *value)
		}
	}
	if c.Enabled != nil {
		fmt.Fprintf(&b, " enabled=%v replay=%v", *c.Enabled, c.ReplayMissed)
	}
	return b.String()
}

func (f *fakeWebhooks) CreateEndpoint(_ context.Context, organisation string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	return f.endpoints[1], f.call("create %s%s", organisation, settings(c))
}

func (f *fakeWebhooks) UpdateEndpoint(_ context.Context, organisation, id string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	return f.endpoints[1], f.call("update %s %s%s", organisation, id, settings(c))
}

func (f *fakeWebhooks) DeleteEndpoint(_ context.Context, organisation, id string) error {
	return f.call("delete %s %s", organisation, id)
}

func (f *fakeWebhooks) WebhookSecrets(context.Context, string) ([]kinora.WebhookSecret, error) {
	return []kinora.WebhookSecret{{ID: "sec_2", Text: "whsec_current", CreatedAt: webhookTime}, {ID: "sec_1", Text: "whsec_older", CreatedAt: webhookTime, ExpiresAt: webhookTime}}, nil
}

func (f *fakeWebhooks) RotateWebhookSecret(_ context.Context, organisation, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	return &kinora.WebhookSecret{ID: "sec_3", Text: "whsec_brandnew"}, f.call("rotate %s %q %s", organisation, text, overlap)
}

func (f *fakeWebhooks) ChangeWebhooks(_ context.Context, organisation string, c WebhookChange) (*kinora.Organisation, error) {
	var b strings.Builder
	if c.DefaultWebhook != nil {
		b.WriteString(" default=" + *c.DefaultWebhook)
	}
	if c.WebhookHosts != nil {
		b.WriteString(" hosts=" + strings.Join(*c.WebhookHosts, ","))
	}
	if c.OperatorHook != nil {
		b.WriteString(" hook=" + *c.OperatorHook)
	}
	return &kinora.Organisation{ID: organisation}, f.call("settings %s%s", organisation, b.String())
}

const hooksOfNorth = Prefix + "/o/" + north + "/webhooks"

// Every change asks its service for what the form says, in the organisation of the path, and goes on to a page.
func TestWebhookChanges(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		form url.Values
		call string
		to   string // where it leads; "" = the answer is a page
	}{
		"create": {"/endpoints", url.Values{"name": {"a"}, "url": {" https://a.example "}, "failed": {"on"}, "rate": {"5"}, "headers": {"X-New: one two\r\n"}},
			"create " + north + " name=a url=https://a.example types=[generation.failed] rate=5 X-New=one two", "/endpoints/" + someEndpoint},
		"update": {"/endpoints/" + someEndpoint, url.Values{"name": {"a"}, "url": {"u"}, "completed": {"on"}, "failed": {"on"}, "rate": {"0"}, "remove": {"Authorization"}},
			"update " + north + " " + someEndpoint + " name=a url=u types=[] rate=0 -Authorization", "/endpoints/" + someEndpoint},
		"enable":  {"/endpoints/" + someEndpoint + "/enable", url.Values{"replay": {"on"}}, "update " + north + " " + someEndpoint + " enabled=true replay=true", "/endpoints/" + someEndpoint},
		"disable": {"/endpoints/" + someEndpoint + "/disable", nil, "update " + north + " " + someEndpoint + " enabled=false replay=false", "/endpoints/" + someEndpoint},
		"delete":  {"/endpoints/" + someEndpoint + "/delete", nil, "delete " + north + " " + someEndpoint, "/endpoints"},
		"again":   {"/deliveries/" + someDelivery + "/redeliver", nil, "redeliver " + north + " " + someDelivery, "/deliveries/" + someDelivery},
		"revive":  {"/deliveries/" + someDelivery + "/revive", nil, "revive " + north + " " + someDelivery, "/deliveries/" + someDelivery},
		"replay": {"/replays", url.Values{"endpoint": {someEndpoint}, "since": {"2026-06-14T10:30"}, "delivered": {"on"}, "rate": {"7"}},
			"replay " + north + " endpoint=" + someEndpoint + " destination= event= since=2026-06-14T10:30 delivered=true rate=7", "/replays/" + someReplay},
		"cancel":        {"/replays/" + someReplay + "/cancel", nil, "cancel " + north + " " + someReplay, "/replays/" + someReplay},
		"test":          {"/test", url.Values{"to": {someEndpoint}, "url": {"not used"}, "sample": {"generation.failed timeout"}}, "trial " + north + " to=" + someEndpoint + " generation.failed timeout", "/test"},
		"test a URL":    {"/test", url.Values{"to": {"url"}, "url": {"https://b.example"}}, "trial " + north + " to=https://b.example  ", "/test"},
		"rotate":        {"/signing", url.Values{"overlap": {"3600"}}, "rotate " + north + ` "" 1h0m0s`, ""},
		"import":        {"/signing", url.Values{"overlap": {"0"}, "secret": {"known-to-receivers"}}, "rotate " + north + ` "known-to-receivers" 0s`, "/signing"},
		"default":       {"/settings/default", url.Values{"default": {"https://c.example"}}, "settings " + north + " default=https://c.example", "/settings"},
		"clear":         {"/settings/default", url.Values{"default": {"https://c.example"}, "clear": {"on"}}, "settings " + north + " default=", "/settings"},
		"hosts":         {"/settings/hosts", url.Values{"hosts": {"a.example\r\n*.b.example, c.example"}}, "settings " + north + " hosts=a.example,*.b.example,c.example", "/settings"},
		"operator hook": {"/settings/operator-hook", url.Values{"operator_hook": {"https://d.example"}}, "settings " + north + " hook=https://d.example", "/settings"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, nil)
			if tc.form == nil {
				tc.form = url.Values{}
			}
			tc.form.Set("form_token", s.token("admin"))
			got := s.ask("admin", hooksOfNorth+tc.path, tc.form)
			if !slices.Equal(s.webhooks.calls, []string{tc.call}) {
				t.Errorf("asked for %q, not %q", s.webhooks.calls, tc.call)
			}
			at, _, _ := strings.Cut(got.Header().Get("Location"), "?")
			if tc.to == "" && got.Code != http.StatusOK || tc.to != "" && (got.Code != http.StatusSeeOther || at != hooksOfNorth+tc.to) {
				t.Errorf("answered %d %s", got.Code, at)
			}
		})
	}
}

// What a service refuses, and what no service need be asked for, stands beside its field; what was typed is there again.
func TestWebhookRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		form   url.Values
		err    error // of the service; nil = it is not asked
		field  string
		says   string
		status int
	}{
		"url":         {"/endpoints", url.Values{"name": {"typed"}, "url": {"x"}, "failed": {"on"}}, kinora.FieldErrorf(kinora.ErrInvalid, "url", "url: https is needed"), "url", "https is needed", 422},
		"name":        {"/endpoints", url.Values{"name": {"typed"}, "failed": {"on"}}, kinora.FieldErrorf(kinora.ErrConflict, "name", `another endpoint of the organisation is called "typed"`), "name", "is called", 422},
		"too many":    {"/endpoints", url.Values{"name": {"typed"}, "failed": {"on"}}, kinora.Errorf(kinora.ErrConflict, "the organisation has 100 endpoints"), "", "100 endpoints", 422},
		"no events":   {"/endpoints", url.Values{"name": {"typed"}}, nil, "completed", "choose at least one", 422},
		"rate":        {"/endpoints", url.Values{"name": {"typed"}, "failed": {"on"}, "rate": {"many"}}, nil, "rate", "must be a number", 422},
		"header line": {"/endpoints", url.Values{"name": {"typed"}, "failed": {"on"}, "headers": {"Bearer hush-hush"}}, nil, "headers", "line 1", 422},
		"replay":      {"/replays", url.Values{"destination": {"typed"}, "rate": {"50"}}, kinora.FieldErrorf(kinora.ErrInvalid, "destination", "destination must be a URL"), "destination", "must be a URL", 422},
		"replay rate": {"/replays", url.Values{"destination": {"typed"}, "rate": {"0"}}, nil, "rate", "from 1 to 1000", 422},
		"busy":        {"/replays", url.Values{"destination": {"typed"}, "rate": {"5"}}, kinora.Errorf(kinora.ErrConflict, "ten replays"), "", "ten replays", 422},
		"test":        {"/test", url.Values{"to": {"url"}, "url": {"typed"}}, kinora.FieldErrorf(kinora.ErrInvalid, "webhook.url", "webhook.url: no"), "url", "no", 422},
		"test rate":   {"/test", url.Values{"to": {"url"}, "url": {"typed"}}, kinora.Errorf(kinora.ErrRateLimited, "too many test events"), "", "too many test events", 422},
		"no URL":      {"/test", url.Values{"to": {"url"}}, nil, "url", "give the URL", 422},
		"overlap":     {"/signing", url.Values{"overlap": {"-1"}}, nil, "", "for how long", 422},
		"default":     {"/settings/default", url.Values{"default": {"typed"}}, kinora.FieldErrorf(kinora.ErrInvalid, "default_webhook", "default_webhook: not that"), "default", "not that", 422},
		"hosts":       {"/settings/hosts", url.Values{"hosts": {"typed"}}, kinora.FieldErrorf(kinora.ErrInvalid, "webhook_hosts", "webhook_hosts[0] must be a host name"), "hosts", "must be a host name", 422},
		"foreign":     {"/deliveries/dlv_x/redeliver", url.Values{}, unknown(), "", "there is none", 404},
		"on its way":  {"/deliveries/" + someDelivery + "/redeliver", url.Values{}, kinora.Errorf(kinora.ErrConflict, "on its way"), "", "", 303},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, nil)
			s.webhooks.err = tc.err
			tc.form.Set("form_token", s.token("admin"))
			got := s.ask("admin", hooksOfNorth+tc.path, tc.form)
			body := got.Body.String()
			if got.Code != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("answered %d, and says %q: %v", got.Code, tc.says, strings.Contains(body, tc.says))
			}
			if (tc.err == nil) != (len(s.webhooks.calls) == 0) {
				t.Errorf("asked for %q", s.webhooks.calls)
			}
			if tc.field != "" && !strings.Contains(body, `id="field-`+tc.field+`-error"`) {
				t.Errorf("nothing stands beside %s", tc.field)
			}
			if tc.status == 422 && strings.Contains(tc.form.Encode(), "typed") && !strings.Contains(body, `typed`) {
				t.Error("what was typed is gone")
			}
		})
	}
}

// What others wrote is text on every page, and no page shows a secret: not to members, not to admins.
func TestWebhookPagesAreSafe(t *testing.T) {
	pages := []string{"", "/endpoints", "/endpoints/" + someEndpoint, "/deliveries", "/dead", "/deliveries/" + someDelivery, "/replays", "/replays/" + someReplay, "/test", "/signing", "/settings"}
	for _, who := range []string{"member", "admin"} {
		s := newStand(t, nil)
		for _, page := range pages {
			got := s.ask(who, hooksOfNorth+page, nil)
			body := got.Body.String()
			if got.Code != http.StatusOK {
				t.Errorf("%s as %s: %d", page, who, got.Code)
			}
			for _, never := range []string{"<script>alert", "hush", "whsec_current", "whsec_older", "<html>" + "<"} {
				if strings.Contains(body, never) {
					t.Errorf("%s as %s has %s", page, who, never)
				}
			}
			if posts := strings.Contains(body, `action="`+hooksOfNorth); posts && who == "member" && strings.Contains(body, `method="post" action="`+hooksOfNorth) {
				t.Errorf("%s offers a member a change", page)
			}
		}
	}
}

func TestNewSecretIsShownOnce(t *testing.T) {
	s := newStand(t, nil)
	got := s.ask("admin", hooksOfNorth+"/signing", url.Values{"overlap": {"86400"}, "form_token": {s.token("admin")}})
	if !strings.Contains(got.Body.String(), "whsec_brandnew") {
		t.Error("the new secret is not shown")
	}
	if again := s.ask("admin", hooksOfNorth+"/signing", nil); strings.Contains(again.Body.String(), "whsec_") && strings.Contains(again.Body.String(), "brandnew") {
		t.Error("the new secret is shown again")
	}
}

// The curl that repeats a delivery has nothing in it that a shell would run, and none of the hidden values.
func TestDeliveryCurl(t *testing.T) {
	f := newFakeWebhooks()
	got := deliveryCurl("https://a.example/?x='$(id)'", &f.log[0])
	want := `curl -X POST 'https://a.example/?x='\''$(id)'\''' \
  -H 'content-type: application/json' \
  --data-raw '{"metadata":{"it'\''s":"<script>alert(1)</script>"'\''&"}}'`
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestDeliveryFilters(t *testing.T) {
	s := newStand(t, nil)
	s.webhooks.next = "dlv_next"
	got := s.ask("member", hooksOfNorth+"/deliveries?state=dead&status=none&event=generation.failed&generation=task_1&endpoint=ep_gone&since=2026-06-14T10:30&before=dlv_9", nil)
	want := "search " + north + " state=dead endpoint=ep_gone event=generation.failed status=-1 generation=task_1 since=2026-06-14T10:30 before=dlv_9"
	if !slices.Contains(s.webhooks.calls, want) {
		t.Errorf("asked for %q", s.webhooks.calls)
	}
	for _, part := range []string{"before=dlv_next", "Removed: ep_gone", "← Newest"} {
		if !strings.Contains(got.Body.String(), part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	s.webhooks.calls = nil
	s.ask("member", hooksOfNorth+"/dead?state=delivered&status=5xx&generation=task_1&event=%00&since=nonsense", nil)
	if want := "search " + north + " state=dead endpoint= event= status=0 generation= since=0001-01-01T00:00 before="; !slices.Contains(s.webhooks.calls, want) {
		t.Errorf("asked for %q", s.webhooks.calls)
	}
	s.webhooks.err = kinora.FieldErrorf(kinora.ErrInvalid, "since", "since must lie before until")
	if got := s.ask("member", hooksOfNorth+"/deliveries", nil); got.Code != 422 || !strings.Contains(got.Body.String(), "since must lie before until") {
		t.Errorf("answered %d", got.Code)
	}
}

// deadlines notes until when a request may be read and answered.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// A test event may take as long as receivers may, and a little more for all around it; no other page may.
func TestATestEventHasItsTime(t *testing.T) {
	s := newStand(t, func(c *Config) { c.WebhookTimeout = 5 * time.Minute })
	ask := func(path string) *deadlines {
		form := url.Values{"to": {someEndpoint}, "form_token": {s.token("admin")}}
		r := httptest.NewRequest(http.MethodPost, "http://kinora.test"+hooksOfNorth+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "admin"})
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		s.Handler().ServeHTTP(w, r)
		return w
	}
	w := ask("/test")
	if w.Code != http.StatusSeeOther {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	if left := time.Until(s.webhooks.until); left < 5*time.Minute || left > 6*time.Minute {
		t.Errorf("the test event may take %s", left)
	}
	for _, end := range []time.Time{w.read, w.write} {
		if !end.After(s.webhooks.until) || time.Until(end) > 7*time.Minute {
			t.Errorf("the connection lasts until %s, the work until %s", end, s.webhooks.until)
		}
	}
	if w := ask("/deliveries/" + someDelivery + "/redeliver"); time.Until(w.read) > 2*patience || time.Until(w.write) > 2*patience || time.Until(s.webhooks.until) > patience {
		t.Errorf("another change may take until %s", s.webhooks.until)
	}
}
