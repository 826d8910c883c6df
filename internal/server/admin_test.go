package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

const (
	keyOne      = "key_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	deliveryOne = "dlv_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	orgsPath    = "/admin/v1/organisations"
	orgPath     = orgsPath + "/" + ownID
)

// fakeAdmin answers with what it holds, and writes down what it was asked for.
type fakeAdmin struct {
	calls         []string
	err           error
	organisations []*kinora.Organisation
	attempts      []kinora.DeliveryAttempt
	generation    *kinora.Generation
	next          string // cursor of every page
	replays       []kinora.ReplayRequest
}

func (f *fakeAdmin) call(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeAdmin) organisation() *kinora.Organisation {
	return &kinora.Organisation{ID: ownID, Name: "acme", CreatedAt: testTime}
}

func (f *fakeAdmin) Organisations(context.Context) ([]*kinora.Organisation, error) {
	return f.organisations, f.call("list")
}

func (f *fakeAdmin) Organisation(_ context.Context, org string) (*kinora.Organisation, error) {
	return f.organisation(), f.call("get %s", org)
}

func described(c OrganisationChange) string {
	b, _ := json.Marshal(c)
	return string(b)
}

func (f *fakeAdmin) CreateOrganisation(_ context.Context, c OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	return f.organisation(), &kinora.WebhookSecret{ID: "sec_1", Text: "whsec_new", CreatedAt: testTime}, f.call("create %s", described(c))
}

func (f *fakeAdmin) UpdateOrganisation(_ context.Context, org string, c OrganisationChange) (*kinora.Organisation, error) {
	return f.organisation(), f.call("update %s %s", org, described(c))
}

func (f *fakeAdmin) key() *kinora.Key {
	return &kinora.Key{ID: keyOne, OrganisationID: ownID, Name: "ci", Start: "sk-abcdef", CreatedAt: testTime, LastUsedAt: testTime.Add(time.Minute)}
}

func (f *fakeAdmin) Keys(_ context.Context, org string) ([]*kinora.Key, error) {
	revoked := f.key()
	revoked.RevokedAt, revoked.ReplacedBy = testTime.Add(time.Hour), "key_2"
	return []*kinora.Key{f.key(), revoked}, f.call("keys %s", org)
}

func (f *fakeAdmin) CreateKey(_ context.Context, org, name, kind string, expires time.Time) (*kinora.Key, string, error) {
	key := f.key()
	key.ExpiresAt = expires
	return key, "sk-the-whole-key", f.call("key %s %s %s", org, name, kind)
}

func (f *fakeAdmin) ImportKey(_ context.Context, org, name, text string, _ time.Time) (*kinora.Key, error) {
	return f.key(), f.call("import %s %s %s", org, name, text)
}

func (f *fakeAdmin) RotateKey(_ context.Context, org, key string, overlap time.Duration) (*kinora.Key, string, error) {
	return f.key(), "sk-the-next-key", f.call("rotate key %s %s %s", org, key, overlap)
}

func (f *fakeAdmin) RevokeKey(_ context.Context, org, key string) error {
	return f.call("revoke %s %s", org, key)
}

func (f *fakeAdmin) WebhookSecrets(_ context.Context, org string) ([]kinora.WebhookSecret, error) {
	return []kinora.WebhookSecret{
		{ID: "sec_2", Text: "whsec_current", CreatedAt: testTime}, {ID: "sec_1", Text: "whsec_old", CreatedAt: testTime, ExpiresAt: testTime.Add(time.Hour)},
	}, f.call("secrets %s", org)
}

func (f *fakeAdmin) RotateWebhookSecret(_ context.Context, org, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	secret := &kinora.WebhookSecret{ID: "sec_3", Text: "whsec_fresh", CreatedAt: testTime}
	if text != "" {
		secret.Text = text
	}
	return secret, f.call("rotate %s %q %s", org, text, overlap)
}

func (f *fakeAdmin) Generation(_ context.Context, generation string) (*kinora.Generation, []kinora.Output, error) {
	return f.generation, nil, f.call("generation %s", generation)
}

func (f *fakeAdmin) History(_ context.Context, generation string) (*kinora.History, error) {
	h := &kinora.History{
		Generation: f.generation,
		Outputs: []kinora.Output{
			{ID: "out_1", Role: "primary", State: kinora.OutputPublished, Attempt: 1, Kind: kinora.KindVideo, ContentType: "video/mp4", Bytes: 7, SHA256: "ab", Width: 2, Height: 1, Duration: 1500 * time.Millisecond, BlobKey: "outputs/x.mp4"},
			{ID: "out_2", Role: "alternate", State: kinora.OutputRejected, Ordinal: -1, Kind: kinora.KindVideo, Verdict: &kinora.Verdict{Score: 0.25}},
		},
		Attempts: []*kinora.Attempt{{
			GenerationID: taskOne, Ordinal: 1, Provider: "kling", Account: "main", State: kinora.AttemptFailed, UpstreamID: "up-1", CallbackMode: kinora.CallbackManaged,
			Handle: json.RawMessage(`"hush-handle"`), Result: json.RawMessage(`"hush-result"`), CallbackToken: "hush-token",
			Tries: 2, Polls: 3, ErrorClass: "rate", ErrorCode: "1303", ErrorMessage: "too many at once", CreatedAt: testTime,
		}},
		Event: &kinora.Event{ID: "evt_1", Type: kinora.EventCompleted, Body: "hush", CreatedAt: testTime},
		Entry: &kinora.UsageEntry{ID: "bev_1", Type: kinora.UsageGeneration, Billable: true, Amount: 80_000, CreatedAt: testTime},
	}
	return h, f.call("history %s", generation)
}

func (f *fakeAdmin) Origin(_ context.Context, g *kinora.Generation) (*kinora.Origin, error) {
	return &kinora.Origin{By: &kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com", Address: "hush"}, IdempotencyKey: "order-17",
		Regenerations: []kinora.Relative{{ID: generationTwo, State: kinora.GenerationQueued}}}, f.call("origin %s", g.ID)
}

func (f *fakeAdmin) delivery() *kinora.Delivery {
	return &kinora.Delivery{ID: deliveryOne, EventID: "evt_1", EventType: kinora.EventFailed, OrganisationID: ownID, GenerationID: taskOne, EndpointID: "ep_1", URL: "https://user:hush@a.example/hook?token=hush",
		State: kinora.DeliveryDead, Attempts: 2, LastStatus: 500, LastError: "the receiver answered 500", CreatedAt: testTime, FinishedAt: testTime.Add(time.Hour)}
}

func (f *fakeAdmin) Deliveries(_ context.Context, generation string) ([]*kinora.Delivery, error) {
	return []*kinora.Delivery{f.delivery()}, f.call("deliveries %s", generation)
}

func (f *fakeAdmin) DeliveryAttempts(_ context.Context, delivery string) ([]kinora.DeliveryAttempt, error) {
	return f.attempts, f.call("log %s", delivery)
}

func adminFixture(t *testing.T) (*fixture, *fakeAdmin) {
	t.Helper()
	a := &fakeAdmin{generation: &kinora.Generation{ID: taskOne, OrganisationID: otherID, Surface: kinora.SurfaceSubmit, Model: "m", Kind: kinora.KindVideo, State: kinora.GenerationSucceeded, CreatedAt: testTime,
		Input: kinora.Input{Prompt: "two kites", Images: []string{"https://a.example/1.png?sig=hush"}, CallbackURL: "https://b.example/cb?token=hush"}, WebhookURL: "https://c.example/#hush"}}
	return newFixture(t, func(c *Config) { c.Admin, c.Webhooks = a, fakeWebhooks{a} }), a
}

func (f *fixture) admin(method, path, body string, change ...func(*http.Request)) (int, string) {
	f.t.Helper()
	w := f.do(method, path, body, append([]func(*http.Request){key(adminToken)}, change...)...)
	if cache := w.Header().Get("Cache-Control"); cache != "no-store" {
		f.t.Errorf("%s %s: Cache-Control %q", method, path, cache)
	}
	return w.Code, w.Body.String()
}

const (
	orgText      = `"id":"org_00000000000000000000000001","name":"acme","default_webhook":"","webhook_hosts":[],"operator_hook":"","disabled":false,"created_at":"2026-06-14T10:30:00Z","allowance":{"limits":{},"in_flight_jobs":null,"budget_usd":null,"included":0}`
	keyText      = `"id":"key_01HF8Z3KQX2A6Y4N3R8M5W7V9P","name":"ci","start":"sk-abcdef","created_at":"2026-06-14T10:30:00Z","last_used_at":"2026-06-14T10:31:00Z","revoked_at":`
	lasting      = `"expires_at":null,"replaced_by":null`
	deliveryText = `"id":"dlv_01HF8Z3KQX2A6Y4N3R8M5W7V9P","event_id":"evt_1","event_type":"generation.failed","organisation_id":"org_00000000000000000000000001","generation_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P",` +
		`"endpoint_id":"ep_1","url":"https://redacted@a.example/hook?redacted","state":"dead","attempt_count":2,"last_status":500,"last_error":"the receiver answered 500","due_at":null,` +
		`"created_at":"2026-06-14T10:30:00Z","finished_at":"2026-06-14T11:30:00Z"`
)

// Every operation: the whole answer, and what it asked for.
func TestAdminOperations(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		calls              []string
	}{
		"list": {"GET", orgsPath, "", 200, `{"organisations":[{` + orgText + `}],"truncated":false}`, []string{"list"}},
		"create": {"POST", orgsPath, `{"name":"acme","default_webhook":"https://a.example","webhook_hosts":["a.example"]}`, 201,
			`{` + orgText + `,"webhook_secret":{"id":"sec_1","secret":"whsec_new","created_at":"2026-06-14T10:30:00Z","expires_at":null}}`,
			[]string{`create {"name":"acme","default_webhook":"https://a.example","webhook_hosts":["a.example"],"operator_hook":null,"disabled":null,"allowance":null}`}},
		"get": {"GET", orgPath, "", 200, `{` + orgText + `}`, []string{"get " + ownID}},
		"patch": {"PATCH", orgPath, `{"disabled":true,"default_webhook":""}`, 200, `{` + orgText + `}`,
			[]string{"update " + ownID + ` {"name":null,"default_webhook":"","webhook_hosts":null,"operator_hook":null,"disabled":true,"allowance":null}`}},
		"keys":                {"GET", orgPath + "/keys", "", 200, `{"keys":[{` + keyText + `null,` + lasting + `},{` + keyText + `"2026-06-14T11:30:00Z","expires_at":null,"replaced_by":"key_2"}],"truncated":false}`, []string{"keys " + ownID}},
		"key":                 {"POST", orgPath + "/keys", `{"name":"ci"}`, 201, `{` + keyText + `null,` + lasting + `,"key":"sk-the-whole-key"}`, []string{"key " + ownID + " ci sk"}},
		"key of a kind":       {"POST", orgPath + "/keys", `{"name":"ci","kind":"kat_live"}`, 201, `{` + keyText + `null,` + lasting + `,"key":"sk-the-whole-key"}`, []string{"key " + ownID + " ci kat_live"}},
		"key with an end":     {"POST", orgPath + "/keys", `{"name":"ci","expires_at":"2027-01-31T13:00:00+01:00"}`, 201, `{` + keyText + `null,"expires_at":"2027-01-31T12:00:00Z","replaced_by":null,"key":"sk-the-whole-key"}`, []string{"key " + ownID + " ci sk"}},
		"rotate a key":        {"POST", orgPath + "/keys/" + keyOne + "/rotate", `{}`, 201, `{` + keyText + `null,` + lasting + `,"key":"sk-the-next-key"}`, []string{"rotate key " + ownID + " " + keyOne + " 24h0m0s"}},
		"and end it at once":  {"POST", orgPath + "/keys/" + keyOne + "/rotate", `{"overlap_seconds":0}`, 201, `{` + keyText + `null,` + lasting + `,"key":"sk-the-next-key"}`, []string{"rotate key " + ownID + " " + keyOne + " 0s"}},
		"import":              {"POST", orgPath + "/keys", `{"name":"ci","key":"kat_live_a.b"}`, 201, `{` + keyText + `null,` + lasting + `}`, []string{"import " + ownID + " ci kat_live_a.b"}},
		"revoke":              {"DELETE", orgPath + "/keys/" + keyOne, "", 204, "", []string{"revoke " + ownID + " " + keyOne}},
		"rotate":              {"POST", orgPath + "/webhook-secrets", `{}`, 201, `{"id":"sec_3","secret":"whsec_fresh","created_at":"2026-06-14T10:30:00Z","expires_at":null}`, []string{"rotate " + ownID + ` "" 24h0m0s`}},
		"rotate at once":      {"POST", orgPath + "/webhook-secrets", `{"overlap_seconds":0}`, 201, `{"id":"sec_3","secret":"whsec_fresh","created_at":"2026-06-14T10:30:00Z","expires_at":null}`, []string{"rotate " + ownID + ` "" 0s`}},
		"import secret":       {"POST", orgPath + "/webhook-secrets", `{"secret":"an-old-one","overlap_seconds":60}`, 201, `{"id":"sec_3","created_at":"2026-06-14T10:30:00Z","expires_at":null}`, []string{"rotate " + ownID + ` "an-old-one" 1m0s`}},
		"secrets, not shown":  {"GET", orgPath + "/webhook-secrets", "", 200, `{"webhook_secrets":[{"id":"sec_2","created_at":"2026-06-14T10:30:00Z","expires_at":null},{"id":"sec_1","created_at":"2026-06-14T10:30:00Z","expires_at":"2026-06-14T11:30:00Z"}],"truncated":false}`, []string{"secrets " + ownID}},
		"redeliver":           {"POST", "/admin/v1/deliveries/" + deliveryOne + "/redeliver", "", 202, `{` + deliveryText + `}`, []string{"redeliver " + deliveryOne}},
		"revive":              {"POST", "/admin/v1/deliveries/" + deliveryOne + "/revive", "", 202, `{` + deliveryText + `}`, []string{"revive " + deliveryOne}},
		"deliveries, no log":  {"GET", "/admin/v1/generations/" + taskOne + "/deliveries", "", 200, `{"deliveries":[{` + deliveryText + `,"attempts":[]}],"truncated":false}`, []string{"generation " + taskOne, "deliveries " + taskOne, "log " + deliveryOne}},
		"strange ids are ok":  {"GET", orgsPath + "/a%2fb", "", 200, `{` + orgText + `}`, []string{"get a/b"}},
		"malformed delivery":  {"POST", "/admin/v1/deliveries/dlv_1/redeliver", "", 404, `{"error":{"code":"not_found","message":"delivery not found"}}`, nil},
		"malformed id":        {"GET", "/admin/v1/generations/x", "", 404, `{"error":{"code":"not_found","message":"generation not found"}}`, nil},
		"malformed id below":  {"GET", "/admin/v1/generations/x/deliveries", "", 404, `{"error":{"code":"not_found","message":"generation not found"}}`, nil},
		"unknown field":       {"POST", orgsPath, `{"name":"a","nam":"b"}`, 400, `{"error":{"code":"invalid","message":"nam is not a known field"}}`, nil},
		"disabled at once":    {"POST", orgsPath, `{"name":"a","disabled":true}`, 400, `{"error":{"code":"invalid","message":"disabled cannot be set on a new organisation"}}`, nil},
		"empty patch":         {"PATCH", orgPath, `{}`, 400, `{"error":{"code":"invalid","message":"the body sets nothing; give name, default_webhook, webhook_hosts, operator_hook, disabled or allowance"}}`, nil},
		"wrong type":          {"PATCH", orgPath, `{"disabled":"yes"}`, 400, `{"error":{"code":"invalid","message":"disabled must not be a JSON string"}}`, nil},
		"not JSON":            {"POST", orgPath + "/keys", `name=ci`, 400, `{"error":{"code":"malformed","message":"invalid JSON body"}}`, nil},
		"end of a key":        {"POST", orgPath + "/keys", `{"name":"ci","expires_at":"tomorrow"}`, 400, `{"error":{"code":"invalid","message":"expires_at must be a time such as 2027-01-31T12:00:00Z"}}`, nil},
		"overlap of a key":    {"POST", orgPath + "/keys/" + keyOne + "/rotate", `{"overlap_seconds":-1}`, 400, `{"error":{"code":"invalid","message":"overlap_seconds must be between 0 and 2592000 (30 days)"}}`, nil},
		"kind of an import":   {"POST", orgPath + "/keys", `{"name":"ci","key":"x","kind":"sk"}`, 400, `{"error":{"code":"invalid","message":"kind cannot be given together with key, which shows its own"}}`, nil},
		"negative overlap":    {"POST", orgPath + "/webhook-secrets", `{"overlap_seconds":-1}`, 400, `{"error":{"code":"invalid","message":"overlap_seconds must be between 0 and 2592000 (30 days)"}}`, nil},
		"overlap beyond all":  {"POST", orgPath + "/webhook-secrets", `{"overlap_seconds":2592001}`, 400, `{"error":{"code":"invalid","message":"overlap_seconds must be between 0 and 2592000 (30 days)"}}`, nil},
		"overlap in pieces":   {"POST", orgPath + "/webhook-secrets", `{"overlap_seconds":1.5}`, 400, `{"error":{"code":"invalid","message":"overlap_seconds must not be a JSON number 1.5"}}`, nil},
		"empty secret":        {"POST", orgPath + "/webhook-secrets", `{"secret":""}`, 400, `{"error":{"code":"invalid","message":"secret must not be empty; leave it out to have one made"}}`, nil},
		"method of no route":  {"DELETE", orgPath, "", 405, `{"error":{"code":"method_not_allowed","message":"method DELETE is not allowed here"}}`, nil},
		"no organisation yet": {"GET", orgsPath + "/", "", 404, `{"error":{"code":"not_found","message":"no such route"}}`, nil},
	} {
		f, a := adminFixture(t)
		a.organisations = []*kinora.Organisation{a.organisation()}
		status, answer := f.admin(tc.method, tc.path, tc.body)
		if status != tc.status || answer != tc.answer {
			t.Errorf("%s: answered %d\n%s\nwant %d\n%s", name, status, answer, tc.status, tc.answer)
		}
		if !slices.Equal(a.calls, tc.calls) {
			t.Errorf("%s: asked for %q, want %q", name, a.calls, tc.calls)
		}
	}
}

func TestAdminShowsGenerationsWithoutSecrets(t *testing.T) {
	f, a := adminFixture(t)
	for i := range maxAttemptLog + 50 {
		a.attempts = append(a.attempts, kinora.DeliveryAttempt{Number: i + 1, StartedAt: testTime, Duration: 1500 * time.Microsecond, Status: 500, Fault: kinora.FaultHTTP, Response: "oops"})
	}
	status, answer := f.admin("GET", "/admin/v1/generations/"+taskOne, "")
	var g generationView
	if err := json.Unmarshal([]byte(answer), &g); status != 200 || err != nil {
		t.Fatalf("answered %d %s: %v", status, answer, err)
	}
	if g.OrganisationID != otherID || len(g.Attempts) != 1 || g.Attempts[0].ID != taskOne+"_1" || g.Attempts[0].ErrorMessage != "too many at once" || g.Attempts[0].Polls != 3 ||
		len(g.Outputs) != 2 || *g.Outputs[0].Role != "primary" || g.Outputs[0].Attempt != taskOne+"_1" || g.Outputs[1].Role != nil || g.Outputs[1].Verdict.Score != 0.25 ||
		g.Entry.Amount != 80_000 || g.Event.ID != "evt_1" || g.SubmittedBy.Name != "ada@example.com" || *g.IdempotencyKey != "order-17" || g.Regenerated[0].ID != generationTwo || g.ParentID != nil ||
		g.Outputs[1].State != kinora.OutputRejected || g.Outputs[0].DurationMS != 1500 || g.Input.Images[0] != "https://a.example/1.png?redacted" || g.Input.CallbackURL != "https://b.example/cb?redacted" || g.Webhook != "https://c.example/" {
		t.Errorf("answered %s", answer)
	}
	status, deliveries := f.admin("GET", "/admin/v1/generations/"+taskOne+"/deliveries", "")
	var d deliveryList
	if err := json.Unmarshal([]byte(deliveries), &d); status != 200 || err != nil {
		t.Fatalf("answered %d %s: %v", status, deliveries, err)
	}
	log := d.Deliveries[0].Attempts
	if len(log) != maxAttemptLog || log[0].Number != 51 || log[len(log)-1].Number != 150 || log[0].DurationMS != 1.5 || log[0].Response != "oops" {
		t.Errorf("%d attempts from number %d on", len(log), log[0].Number)
	}
	if strings.Contains(answer+deliveries, "hush") {
		t.Errorf("a secret is shown:\n%s\n%s", answer, deliveries)
	}
}

func TestAdminListsAreBounded(t *testing.T) {
	f, a := adminFixture(t)
	a.organisations = slices.Repeat([]*kinora.Organisation{a.organisation()}, maxAdminList+1)
	status, answer := f.admin("GET", orgsPath, "")
	var list organisationList
	if err := json.Unmarshal([]byte(answer), &list); status != 200 || err != nil || len(list.Organisations) != maxAdminList || !list.Truncated {
		t.Errorf("answered %d with %d organisations, truncated %v, %v", status, len(list.Organisations), list.Truncated, err)
	}
}

// Errors of the services come out in the admin API's words, hints included, and faults without their text.
func TestAdminErrors(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		answer string
	}{
		{kinora.Errorf(kinora.ErrNotFound, "organisation not found"), 404, `{"error":{"code":"not_found","message":"organisation not found"}}`},
		{&kinora.Error{Code: kinora.ErrInvalid, Message: "name is required", Hint: "give one"}, 400, `{"error":{"code":"invalid","message":"name is required","hint":"give one"}}`},
		{kinora.Errorf(kinora.ErrConflict, "this key is known already"), 409, `{"error":{"code":"conflict","message":"this key is known already"}}`},
		{kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach"), 503, `{"error":{"code":"unavailable","message":"the database is out of reach"}}`},
		{errors.New("pq: password hush"), 500, `{"error":{"code":"internal","message":"internal error (request r)"}}`},
	} {
		for _, op := range [][3]string{
			{"GET", orgsPath, ""}, {"POST", orgsPath, `{"name":"a"}`}, {"GET", orgPath, ""}, {"PATCH", orgPath, `{"name":"a"}`},
			{"GET", orgPath + "/keys", ""}, {"POST", orgPath + "/keys", `{"name":"a"}`}, {"POST", orgPath + "/keys", `{"name":"a","key":"x"}`}, {"DELETE", orgPath + "/keys/k", ""},
			{"GET", orgPath + "/webhook-secrets", ""}, {"POST", orgPath + "/webhook-secrets", `{}`},
			{"GET", endpointsPath, ""}, {"POST", endpointsPath, `{"name":"a"}`}, {"GET", endpointsPath + "/e", ""},
			{"PATCH", endpointsPath + "/e", `{"name":"a"}`}, {"DELETE", endpointsPath + "/e", ""},
			{"GET", "/admin/v1/generations/" + taskOne, ""}, {"GET", "/admin/v1/generations/" + taskOne + "/deliveries", ""}, {"POST", "/admin/v1/deliveries/" + deliveryOne + "/redeliver", ""},
			{"POST", "/admin/v1/deliveries/" + deliveryOne + "/revive", ""}, {"GET", "/admin/v1/deliveries/" + deliveryOne, ""}, {"GET", "/admin/v1/deliveries", ""},
			{"GET", "/admin/v1/replays", ""}, {"POST", "/admin/v1/replays", `{"organisation_id":"x"}`}, {"GET", "/admin/v1/replays/" + replayOne, ""}, {"POST", "/admin/v1/replays/" + replayOne + "/cancel", ""},
			{"GET", orgPath + "/webhook-test", ""}, {"POST", orgPath + "/webhook-test", `{}`},
		} {
			f, a := adminFixture(t)
			a.err = tc.err
			if status, answer := f.admin(op[0], op[1], op[2], header("X-Request-Id", "r")); status != tc.status || answer != tc.answer {
				t.Errorf("%s %s: answered %d %s, want %d %s", op[0], op[1], status, answer, tc.status, tc.answer)
			}
		}
	}
}

// Nothing of the admin API is there for anybody but the holder of its token, and it is absent without one.
func TestAdminNeedsItsToken(t *testing.T) {
	f, a := adminFixture(t)
	for _, change := range []func(*http.Request){
		key(testKey), key(""), key(adminToken + "x"), key(adminToken[:len(adminToken)-1]), key(strings.ToUpper(adminToken)),
		func(r *http.Request) { r.Header.Del("Authorization") }, func(r *http.Request) { r.Header.Set("Authorization", "Basic "+adminToken) },
		func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "token=" + adminToken },
	} {
		for _, rt := range f.routes {
			if rt.auth != adminned {
				continue
			}
			path := target(rt.pattern, map[string]string{"organisation_id": ownID, "key_id": keyOne, "endpoint_id": endpointOne, "generation_id": taskOne, "delivery_id": deliveryOne, "replay_id": replayOne})
			is(t, f.do(rt.method, path, `{"name":"x"}`, change), 401,
				`{"error":{"code":"unauthorized","message":"missing or wrong admin token; send Authorization: Bearer <token>"}}`)
		}
	}
	if len(a.calls) > 0 {
		t.Errorf("it did %v", a.calls)
	}
	for name, change := range map[string]func(*Config){"token": func(c *Config) { c.AdminToken = "" }, "service": func(c *Config) { c.Admin = nil }} {
		f := newFixture(t, func(c *Config) { c.Admin = a }, change)
		if status, answer := f.admin("GET", orgsPath, ""); status != 404 {
			t.Errorf("without a %s: answered %d %s", name, status, answer)
		}
	}
}
