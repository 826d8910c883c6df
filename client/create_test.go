package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora/client"
)

const queuedJob = `{"job_id":"job_1","status":"queued","workflow":"staging","outputs":[],"metadata":{"row": 7},"model":"m","progress":0,"queue_position":3,"eta_seconds":null}`

func TestCreate(t *testing.T) {
	c, s, _ := scripted(t, unavailable, reply(202, queuedJob))
	g, err := c.Create(t.Context(), client.GenerationRequest{
		SourceAssetID: "src_1", Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Kitchen"}, StylePreset: "Modern",
		Fields: map[string]any{"angle": 7, "mood": "calm"}, Webhook: &client.Webhook{URL: "https://a.example/h"}, Reference: "r", Metadata: json.RawMessage(`{ "row": 7.0 }`),
	})
	if err != nil || g.JobID != "job_1" || g.QueuePosition != 3 || g.ETASeconds != 0 || g.Model != "m" {
		t.Fatalf("%+v, %v", g, err)
	}
	want := `{"source_asset_id":"src_1","workflow":"staging","capture_type":"photo","mode":"furnish","room_types":["Kitchen"],"style_preset":"Modern",` +
		`"webhook":{"url":"https://a.example/h"},"reference":"r","angle":7,"mood":"calm","metadata":{ "row": 7.0 }}`
	if len(s.seen) != 2 || s.seen[0].method != "POST" || s.seen[0].path != "/prefix/api/v1/generations" || s.seen[1].body != want {
		t.Errorf("sent %+v", s.seen)
	}
	key := s.seen[0].header.Get("Idempotency-Key")
	if key == "" || key != s.seen[1].header.Get("Idempotency-Key") {
		t.Errorf("two tries with the keys %q and %q", key, s.seen[1].header.Get("Idempotency-Key"))
	}
	if _, err := c.Create(t.Context(), client.GenerationRequest{}, client.IdempotencyKey("mine")); err != nil || s.seen[2].header.Get("Idempotency-Key") != "mine" || s.seen[2].body != "{}" {
		t.Errorf("sent %+v, %v", s.seen[2], err)
	}
	for name, err := range map[string]error{
		"no key": func() error {
			_, err := c.Create(t.Context(), client.GenerationRequest{}, client.NoIdempotencyKey())
			return err
		}(),
		"bad JSON": func() error {
			_, err := c.Create(t.Context(), client.GenerationRequest{Metadata: json.RawMessage("{")})
			return err
		}(),
	} {
		if !errors.Is(err, client.ErrInvalid) || len(s.seen) != 3 {
			t.Errorf("%s: %v after %d requests", name, err, len(s.seen))
		}
	}
}

func TestRegenerate(t *testing.T) {
	c, s, _ := scripted(t, reply(202, queuedJob))
	if _, err := c.Regenerate(t.Context(), "job_0", client.GenerationRequest{RoomTypes: []string{}}); err != nil {
		t.Fatal(err)
	}
	if s.seen[0].path != "/prefix/api/v1/generations/job_0/regenerate" || s.seen[0].body != `{"room_types":[]}` || s.seen[0].header.Get("Idempotency-Key") == "" {
		t.Errorf("sent %+v", s.seen[0])
	}
	if _, err := c.Regenerate(t.Context(), "..", client.GenerationRequest{}); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("an id that is none: %v", err)
	}
}

// partsOf reads a form that was sent.
func partsOf(t *testing.T, e exchange) (names []string, values map[string]string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(e.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	values = map[string]string{}
	r := multipart.NewReader(strings.NewReader(e.body), params["boundary"])
	for {
		part, err := r.NextPart()
		if err == io.EOF {
			return names, values
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(part)
		names = append(names, part.FormName())
		values[part.FormName()] += string(text)
	}
}

// A file that can be wound back is sent again; another is sent once.
func TestCreateFromFile(t *testing.T) {
	c, s, _ := scripted(t, unavailable, reply(202, queuedJob))
	file := bytes.NewReader([]byte("skipped the image"))
	_, _ = file.Seek(8, io.SeekStart)
	g, err := c.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: "staging", RoomTypes: []string{"Kitchen", "Dining Room"}, Metadata: json.RawMessage(`{}`),
		Webhook: &client.Webhook{URL: "https://a.example/h"}, Fields: map[string]any{"angle": 7, "tags": []string{"a", "b"}}}, "", file, client.IdempotencyKey("k"))
	if err != nil || g.JobID != "job_1" || len(s.seen) != 2 {
		t.Fatalf("%+v, %v after %d requests", g, err, len(s.seen))
	}
	names, values := partsOf(t, s.seen[1])
	if !slices.Equal(names, []string{"workflow", "room_types", "room_types", "angle", "tags", "tags", "webhook", "metadata", "file"}) || values["file"] != "the image" || values["webhook"] != `{"url":"https://a.example/h"}` {
		t.Errorf("sent %q %q", names, values)
	}
	if s.seen[0].header.Get("Idempotency-Key") != "k" || s.seen[1].header.Get("Idempotency-Key") != "k" {
		t.Error("the key is not on every try")
	}
	c, s, _ = scripted(t, unavailable, reply(202, queuedJob))
	if _, err := c.CreateFromFile(t.Context(), client.GenerationRequest{}, "a.jpg", io.MultiReader(file)); !errors.Is(err, client.ErrUnavailable) || len(s.seen) != 1 {
		t.Errorf("%v after %d requests", err, len(s.seen))
	}
	broken := errors.New("the disk is gone")
	c, _, _ = scripted(t, unavailable)
	if _, err := c.CreateFromFile(t.Context(), client.GenerationRequest{}, "a.jpg", failingReader{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := c.CreateFromFile(t.Context(), client.GenerationRequest{SourceURL: "https://a.example/"}, "a.jpg", file); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("two sources: %v", err)
	}
}

func TestErrorDetails(t *testing.T) {
	c, _, _ := scripted(t, reply(422, `{"error":{"code":"validation_error","message":"mode is required","retryable":false,"retry_after":null,"details":[{"field":"mode","message":"mode is required"},{"field":"x\n","message":"`+apiKey+`"}]}}`))
	_, err := c.Create(t.Context(), client.GenerationRequest{})
	var answered *client.Error
	if !errors.As(err, &answered) || !errors.Is(err, client.ErrInvalid) || answered.Code != "validation_error" ||
		!slices.Equal(answered.Details, []client.FieldError{{Field: "mode", Message: "mode is required"}, {Field: "x ", Message: "[redacted]"}}) {
		t.Errorf("got %+v", answered)
	}
}

func TestAssets(t *testing.T) {
	const pending, ready = `{"ingest_id":"ing_1","status":"pending","source_asset_id":null,"failure":null}`, `{"ingest_id":"ing_1","status":"ready","source_asset_id":"src_1","failure":null}`
	c, s, clock := scripted(t, reply(202, pending), reply(202, pending), reply(200, pending), unavailable, reply(200, ready))
	if i, err := c.CreateAsset(t.Context(), "a.jpg", strings.NewReader("image")); err != nil || i.IngestID != "ing_1" || i.SourceAssetID != "" {
		t.Fatalf("%+v, %v", i, err)
	}
	if _, values := partsOf(t, s.seen[0]); values["file"] != "image" || s.seen[0].header.Get("Idempotency-Key") == "" || s.seen[0].path != "/prefix/api/v1/source-assets" {
		t.Errorf("sent %+v", s.seen[0])
	}
	if _, err := c.CreateAssetFromURL(t.Context(), "https://a.example/1.jpg", client.IdempotencyKey("k")); err != nil || s.seen[1].body != `{"source_url":"https://a.example/1.jpg"}` {
		t.Errorf("sent %+v, %v", s.seen[1], err)
	}
	i, err := c.WaitAsset(t.Context(), "ing_1")
	if err != nil || i.SourceAssetID != "src_1" || len(clock.slept) != 2 || s.seen[4].path != "/prefix/api/v1/source-assets/ing_1" {
		t.Errorf("%+v, %v after %v", i, err, clock.slept)
	}
	c, _, _ = scripted(t, reply(200, `{"ingest_id":"ing_1","status":"failed","failure":{"code":"source_invalid","message":"it is a GIF"}}`))
	var failed *client.IngestFailedError
	if i, err := c.WaitAsset(t.Context(), "ing_1"); !errors.As(err, &failed) || i == nil || failed.Ingest.Failure.Code != "source_invalid" {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := c.Asset(t.Context(), ""); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("no id: %v", err)
	}
}

func TestUsageAndBilling(t *testing.T) {
	c, s, _ := scripted(t,
		reply(200, `{"entitlement":{"api_access":true,"plan":"self-hosted","status":"active"},"access":{"enabled":true},"billing_period":{"start_at":"2026-09-01T00:00:00Z","end_at":"2026-10-01T00:00:00Z"},
 "usage":{"included":0,"consumed":12,"overage":12,"remaining":0},"jobs":{"total":14,"succeeded":12,"failed":2,"outputs_returned":13,"regenerate_count":3,"cache_hit_count":1},"rate_limits":{"in_flight_jobs":50}}`),
		reply(200, `{"events":[{"event_id":"bev_1","job_id":"job_1","source_asset_id":null,"usage_type":"generation","config_fingerprint":"7d","billable":true,"unit_price_usd":0.35,"amount_usd":0.35,"created_at":"2026-09-21T14:15:00Z"}],"next_cursor":"c2"}`),
		reply(200, `{"events":[],"next_cursor":null}`))
	u, err := c.Usage(t.Context())
	if err != nil || !u.Entitlement.APIAccess || u.Usage.Overage != 12 || u.Jobs.RegenerateCount != 3 || u.RateLimits["in_flight_jobs"] != 50 || u.BillingPeriod.EndAt.Month() != 10 {
		t.Errorf("%+v, %v", u, err)
	}
	page, err := c.BillingEvents(t.Context(), "", 0)
	if err != nil || len(page.Events) != 1 || page.Events[0].AmountUSD != 0.35 || page.NextCursor != "c2" {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err = c.BillingEvents(t.Context(), "c2", 100); err != nil || page.NextCursor != "" || len(s.queries) != 1 || s.queries[0] != "cursor=c2&limit=100" {
		t.Errorf("%+v, %v, asked %q", page, err, s.queries)
	}
}

func TestGenerationLists(t *testing.T) {
	c, s, _ := scripted(t, reply(200, `{"generations":[{"job_id":"job_2","status":"queued"},{"job_id":"job_1","status":"queued"}],"next_cursor":"c2"}`),
		reply(200, `{"generations":[],"next_cursor":"c3"}`), reply(200, `{"generations":[{"job_id":"job_0","status":"failed"}],"next_cursor":null}`), reply(403, "{}"))
	var ids []string
	filter := client.GenerationFilter{Status: client.GenerationQueued, Reference: "a b", Source: "src_1", PageSize: 2}
	for g, err := range c.AllGenerations(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, g.JobID)
	}
	if !slices.Equal(ids, []string{"job_2", "job_1", "job_0"}) || !slices.Equal(s.queries, []string{"limit=2&reference=a+b&source_asset_id=src_1&status=queued", "cursor=c2&limit=2&reference=a+b&source_asset_id=src_1&status=queued", "cursor=c3&limit=2&reference=a+b&source_asset_id=src_1&status=queued"}) {
		t.Errorf("got %q, asked %q", ids, s.queries)
	}
	for _, err := range c.AllGenerations(t.Context(), filter) {
		if !errors.Is(err, client.ErrForbidden) {
			t.Errorf("got %v", err)
		}
	}
}

func TestWaitGeneration(t *testing.T) {
	const running, done = `{"job_id":"job_1","status":"processing","progress":10}`, `{"job_id":"job_1","status":"succeeded","progress":100}`
	c, s, clock := scripted(t, reply(200, running), unavailable, reply(200, running, "Preference-Applied", "wait=20"), reply(200, done))
	g, err := c.WaitGeneration(t.Context(), "job_1", client.GenerationWaitOptions{})
	// The server that answers at once has not waited, whatever it says.
	if err != nil || g.Status != client.GenerationSucceeded || len(clock.slept) != 3 || s.seen[0].header.Get("Prefer") != "wait=20" {
		t.Errorf("%+v, %v after %v", g, err, clock.slept)
	}
	c, s, _ = scripted(t, reply(200, running), reply(200, running), reply(200, `{"job_id":"job_1","status":"cancelled","progress":10,"failure":{"code":"cancelled","message":"cancelled"}}`))
	var told []client.GenerationStatus
	g, err = c.WaitGeneration(t.Context(), "job_1", client.GenerationWaitOptions{OnProgress: func(g client.Generation) { told = append(told, g.Status) }})
	var failed *client.GenerationFailedError
	if !errors.As(err, &failed) || g == nil || failed.Error() != "client: generation job_1 cancelled: cancelled: cancelled" || !slices.Equal(told, []client.GenerationStatus{"processing", "cancelled"}) || s.seen[0].header.Get("Prefer") != "" {
		t.Errorf("%+v, %v, told %q", g, err, told)
	}
	c, _, _ = scripted(t, reply(404, "{}"))
	if g, err := c.WaitGeneration(t.Context(), "job_1", client.GenerationWaitOptions{}); g != nil || !errors.Is(err, client.ErrNotFound) {
		t.Errorf("%+v, %v", g, err)
	}
}

// Each connection says a little and breaks; the next goes on with what has changed since.
func TestFollow(t *testing.T) {
	event := func(id, name, data string) string {
		return "id: " + id + "\nevent: " + name + "\ndata: " + strings.ReplaceAll(data, "\n", "\ndata: ") + "\n\n"
	}
	steps := []string{
		"retry: 1000\n\n" + event("queued-0", "update", `{"job_id":"job_1","status":"queued",`+"\n"+`"metadata":{}}`) + ": still here\n\n",
		"",
		event("processing-10", "update", `{"job_id":"job_1","status":"processing","progress":10}`) + "id: x\ndata: {",
		event("succeeded-100", "end", `{"job_id":"job_1","status":"succeeded","progress":100}`),
	}
	var asked []string
	c, _ := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+r.Header.Get("Last-Event-ID"))
		step := steps[len(asked)-1]
		if step == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, step)
	}))
	var told []client.GenerationStatus
	g, err := c.Follow(t.Context(), "job_1", func(g client.Generation) error { told = append(told, g.Status); return nil })
	if err != nil || g.Progress != 100 || !slices.Equal(told, []client.GenerationStatus{"queued", "processing", "succeeded"}) {
		t.Errorf("%+v, %v, told %q", g, err, told)
	}
	const path = "/api/v1/generations/job_1/events"
	if want := []string{path, path + "queued-0", path + "queued-0", path + "processing-10"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	enough := errors.New("enough")
	c, _ = served(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, event("failed-0", "end", `{"job_id":"job_1","status":"failed"}`))
	}))
	if _, err := c.Follow(t.Context(), "job_1", func(client.Generation) error { return enough }); err != enough {
		t.Errorf("got %v", err)
	}
	var failed *client.GenerationFailedError
	if _, err := c.Follow(t.Context(), "job_1", nil); !errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}
