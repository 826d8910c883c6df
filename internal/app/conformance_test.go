package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// conformant is a server with its organisation, whose every answer is held to what the generations API's contract says of
// all of them.
type conformant struct {
	*testing.T
	app   *app.App
	key   string
	asset string
	made  int // idempotency keys
}

// reply is an answer of the generations API.
type reply struct {
	status int
	header http.Header
	text   string
	body   struct {
		JobID         string  `json:"job_id"`
		IngestID      string  `json:"ingest_id"`
		Status        string  `json:"status"`
		SourceAssetID *string `json:"source_asset_id"`
		ParentJobID   *string `json:"parent_job_id"`
		Outputs       []struct {
			OutputID  string    `json:"output_id"`
			Role      string    `json:"role"`
			URL       string    `json:"url"`
			ExpiresAt time.Time `json:"expires_at"`
		} `json:"outputs"`
		Failure *struct {
			Code      string `json:"code"`
			Retryable bool   `json:"retryable"`
		} `json:"failure"`
		Error map[string]json.RawMessage `json:"error"`
		Jobs  struct {
			RegenerateCount int `json:"regenerate_count"`
			CacheHitCount   int `json:"cache_hit_count"`
		} `json:"jobs"`
		Events []struct {
			JobID     string `json:"job_id"`
			UsageType string `json:"usage_type"`
			Billable  bool   `json:"billable"`
			Print     string `json:"config_fingerprint"`
		} `json:"events"`
	}
}

func (r reply) code() string { return strings.Trim(string(r.body.Error["code"]), `"`) }

// ask sends a request. Writes get a new idempotency key unless headers, given as name, value, …, bring one; "" sends none.
func (c *conformant) ask(method, path, body string, headers ...string) reply {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, c.app.LocalURL()+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	c.made++
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", fmt.Sprint("key ", c.made))
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return c.do(req)
}

func (c *conformant) do(req *http.Request) (r reply) {
	c.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	r.status, r.header, r.text = res.StatusCode, res.Header, string(content)
	if err := json.Unmarshal(content, &r.body); err != nil {
		c.Fatalf("%s %s: %d %s: %v", req.Method, req.URL.Path, r.status, content, err)
	}
	// Check 3, on each and every answer.
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("X-Request-Id") == "" {
		c.Errorf("%s %s: headers %v", req.Method, req.URL.Path, r.header)
	}
	if r.status > 299 {
		for _, key := range []string{"code", "message", "retryable", "retry_after"} {
			if r.body.Error[key] == nil {
				c.Errorf("%s %s: %d without %s: %s", req.Method, req.URL.Path, r.status, key, r.text)
			}
		}
	}
	return r
}

// want is ask for an answer of that status and error code; "" = no error.
func (c *conformant) want(status int, code, method, path, body string, headers ...string) reply {
	c.Helper()
	r := c.ask(method, path, body, headers...)
	if r.status != status || r.code() != code {
		c.Errorf("%s %s %s: answered %d %s, want %d %s", method, path, body, r.status, r.text, status, code)
	}
	return r
}

const generationsPath = "/api/v1/generations"

// of is the body of a create from the asset that there is.
func (c *conformant) of(workflow string, more ...string) string {
	return `{"source_asset_id":"` + c.asset + `","workflow":"` + workflow + `","capture_type":"photo"` + strings.Join(more, "") + `}`
}

// ended waits for a generation's end.
func (c *conformant) ended(jobID string) reply {
	c.Helper()
	for range 30 {
		if r := c.want(200, "", "GET", generationsPath+"/"+jobID, "", "Prefer", "wait=10"); slices.Contains([]string{"succeeded", "failed", "cancelled"}, r.body.Status) {
			return r
		}
	}
	c.Fatalf("%s does not end", jobID)
	return reply{}
}

func (c *conformant) create(body string) string {
	c.Helper()
	r := c.want(202, "", "POST", generationsPath, body)
	if r.body.JobID == "" {
		c.FailNow()
	}
	return r.body.JobID
}

// mishaps are workflows whose generations come to each kind of end.
var mishaps = map[string]string{
	"cached":    "cache_approved: true",
	"hopeless":  "metadata: {sandbox: {image: blank}}", // which no measurement can take for anything else
	"mixed":     "candidates: 2\npublish: 2\nmetadata: {sandbox: {image: blank, image_times: 1}}",
	"moderated": "metadata: {sandbox: {moderation: output}}",
	"broken":    "metadata: {sandbox: {fail: generation}}",
	"retired":   "metadata: {sandbox: {fail: model_gone}}",
	"endless":   "metadata: {sandbox: {delay: 1h}}",
	"late":      "model: hurried\nmetadata: {sandbox: {delay: 1h}}",
	"lost":      "model: hurried\nmetadata: {sandbox: {late_answer: 1h}}", // its deadline comes before the answer to its submit
}

func newConformant(t *testing.T, dsn string, opts app.Options, change func(*config.Config)) *conformant {
	t.Helper()
	dir := t.TempDir()
	for name, more := range mishaps {
		text := "name: " + name + "\nextends: pro_capture\ncandidates: 1\nrounds: 1\n"
		if strings.HasPrefix(more, "candidates") {
			text = "name: " + name + "\nextends: pro_capture\nrounds: 1\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text+more+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.Default()
	cfg.Listen, cfg.DataDir, cfg.Database, cfg.WorkflowsDir = "127.0.0.1:0", t.TempDir(), dsn, dir
	cfg.Webhooks.AllowHTTP = true
	cfg.Models = []config.Model{{Name: "hurried", Kind: "image", Provider: "sandbox", UpstreamModel: "sandbox-image", Deadline: config.Duration(time.Second)}}
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	if change != nil {
		change(&cfg)
	}
	opts.Timing = lifecycle.Timing{Idle: 100 * time.Millisecond, Beat: 2 * time.Second}
	a, err := app.New(t.Context(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &conformant{T: t, app: a, key: a.Bootstrapped().KeyText, asset: keptAsset(t, a, photo(t, 900, 600))}
}

// in runs a part of the suite under the number that it has in the contract.
func (c *conformant) in(name string, check func(c *conformant)) {
	c.Run(name, func(t *testing.T) {
		part := *c
		part.T = t
		check(&part)
		c.made = part.made
	})
}

// TestGenerationsContract makes the checks of the contract's section 17, under their numbers, by real requests; 8, the
// test vector, is in client/webhook. Then it brings about every code that the contract has.
func TestGenerationsContract(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		c := newConformant(t, dsn, app.Options{}, func(cfg *config.Config) {
			cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
			cfg.Limits.JobsInFlight = 8
			for i := range cfg.Webhooks.Schedule {
				cfg.Webhooks.Schedule[i] = config.Duration(50 * time.Millisecond)
			}
		})
		done := c.create(c.of("pro_capture"))
		c.in("1 writes need a key, and are made once", (*conformant).checkIdempotency)
		c.in("2 sources, matrix, foreign ids", func(c *conformant) { c.checkSources(done) })
		c.in("4 each read signs anew", func(c *conformant) { c.checkURLs(done) })
		c.in("6 and 7 deliveries", (*conformant).checkDeliveries)
		c.in("9 what was rejected is never shown", (*conformant).checkRejected)
		c.in("10 regenerate", (*conformant).checkRegenerate)
		c.in("every code of an error", func(c *conformant) { c.checkErrors(done) })
		c.in("every code of a failure", (*conformant).checkFailures)
	})
}

func (c *conformant) checkIdempotency() {
	form := func(content []byte, key string) reply {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		part, _ := w.CreateFormFile("file", "photo.png")
		_, _ = part.Write(content)
		_ = w.Close()
		req, err := http.NewRequestWithContext(c.Context(), "POST", c.app.LocalURL()+"/api/v1/source-assets", &body)
		if err != nil {
			c.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.key)
		req.Header.Set("Content-Type", w.FormDataContentType())
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		return c.do(req)
	}
	job := c.create(c.of("pro_capture"))
	c.ended(job)
	json := func(path, body string) func(other bool, key string) reply {
		return func(other bool, key string) reply {
			body := body
			if other {
				body = strings.Replace(body, "{", `{"reference":"other",`, 1)
			}
			return c.ask("POST", path, body, "Idempotency-Key", key)
		}
	}
	for name, write := range map[string]func(other bool, key string) reply{
		"source-assets": func(other bool, key string) reply {
			return form(photo(c.T, 600+map[bool]int{true: 1}[other], 600), key)
		},
		"generations": json(generationsPath, c.of("pro_capture")),
		"regenerate":  json(generationsPath+"/"+job+"/regenerate", `{"style_preset":"Modern"}`),
	} {
		if r := write(false, ""); r.status != 400 || r.code() != "bad_request" {
			c.Errorf("%s without a key: %d %s", name, r.status, r.text)
		}
		first, again := write(false, "the key of "+name), write(false, "the key of "+name)
		if first.status != 202 || again.status != 202 || again.body.JobID != first.body.JobID || again.body.IngestID != first.body.IngestID ||
			again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
			c.Errorf("%s: %d %s %v, then %d %s %v", name, first.status, first.text, first.header, again.status, again.text, again.header)
		}
		if r := write(true, "the key of "+name); r.status != 409 || r.code() != "idempotency_conflict" {
			c.Errorf("%s, another payload: %d %s", name, r.status, r.text)
		}
		if first.body.JobID != "" {
			c.ended(first.body.JobID)
		}
	}
}

func (c *conformant) checkSources(done string) {
	two := strings.Replace(c.of("pro_capture"), "{", `{"source_url":"https://a.example/1.jpg",`, 1)
	c.want(400, "bad_request", "POST", generationsPath, two)
	c.want(400, "bad_request", "POST", generationsPath, `{"workflow":"pro_capture","capture_type":"photo"}`)
	c.want(422, "validation_error", "POST", generationsPath, strings.Replace(c.of("pro_capture"), "photo", "floorplan", 1))
	c.want(422, "validation_error", "POST", generationsPath, c.of("staging"))
	c.want(422, "validation_error", "POST", generationsPath, c.of("staging", `,"mode":"furnish","room_types":["Kitchen","Bathroom"],"style_preset":"Modern"`))
	foreign := *c
	foreign.key = c.secondOrganisation()
	for _, ask := range [][3]string{
		{"GET", generationsPath + "/" + done}, {"GET", generationsPath + "/" + done + "/events"}, {"POST", generationsPath + "/" + done + "/regenerate", "{}"},
		{"POST", generationsPath + "/" + done + "/cancel"}, {"POST", generationsPath, c.of("pro_capture")},
		{"GET", "/api/v1/source-assets/ing_00000000000000000000000000"},
	} {
		foreign.want(404, "not_found", ask[0], ask[1], ask[2])
	}
	c.made = foreign.made
}

// secondOrganisation makes one, and returns its key.
func (c *conformant) secondOrganisation() (key string) {
	c.Helper()
	key, err := c.app.NewKey(c.Context(), "second")
	if err != nil {
		c.Fatal(err)
	}
	return key
}

// disabledOrganisation makes one whose access is off, and returns its key.
func (c *conformant) disabledOrganisation() (key string) {
	c.Helper()
	key, err := c.app.NewKey(c.Context(), "disabled")
	if err != nil {
		c.Fatal(err)
	}
	err = c.app.Update(c.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE organisations SET disabled = 1 WHERE name = 'disabled'`)
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return key
}

func (c *conformant) checkURLs(done string) {
	first, second := c.ended(done), c.ended(done)
	if len(first.body.Outputs) == 0 || first.body.Outputs[0].URL == second.body.Outputs[0].URL || first.body.Outputs[0].Role != "primary" {
		c.Fatalf("%s and %s", first.text, second.text)
	}
	for _, r := range []reply{first, second} {
		if status, _, content := fetch(c.T, r.body.Outputs[0].URL, nil); status != 200 || len(content) < 100 || !r.body.Outputs[0].ExpiresAt.After(time.Now()) {
			c.Errorf("%s: %d, %d bytes", r.body.Outputs[0].URL, status, len(content))
		}
	}
}

// receiver answers deliveries one after the other with statuses, of which the last one goes on.
type answering struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	ids      []string
	events   []webhook.Event
	wrong    []error
	came     chan struct{}
}

func (c *conformant) receiver(target string, statuses ...int) *answering {
	r := &answering{statuses: statuses, came: make(chan struct{}, 100)}
	secret := c.app.Bootstrapped().Secret.Text
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		v, err := webhook.NewVerifier([]string{secret})
		var e webhook.Event
		if err == nil {
			e, err = v.Verify(req.Header, body)
		}
		r.mu.Lock()
		if err != nil {
			r.wrong = append(r.wrong, err)
		}
		r.events, r.ids = append(r.events, e), append(r.ids, req.Header.Get("Webhook-Id"))
		status := r.statuses[min(len(r.ids), len(r.statuses))-1]
		r.mu.Unlock()
		if status == 302 {
			w.Header().Set("Location", target)
		}
		w.WriteHeader(status)
		r.came <- struct{}{}
	}))
	c.Cleanup(r.Close)
	return r
}

func (c *conformant) await(r *answering, n int) {
	c.Helper()
	for range n {
		select {
		case <-r.came:
		case <-time.After(time.Minute):
			c.Fatal("a delivery is missing")
		}
	}
}

func (c *conformant) checkDeliveries() {
	target := c.receiver("", 200)
	twice, gone, moved := c.receiver("", 500, 500, 200), c.receiver("", 410), c.receiver(target.URL, 302, 410)
	var jobs []string
	for _, r := range []*answering{twice, gone, moved} {
		jobs = append(jobs, c.create(c.of("pro_capture", `,"reference":"listing-123","metadata":{"row": 7},"webhook":{"url":"`+r.URL+`"}`)))
	}
	c.await(twice, 3)
	c.await(gone, 1)
	c.await(moved, 2) // the redirect counts as a failed attempt, and is not followed
	for i, r := range []*answering{twice, gone, moved} {
		r.mu.Lock()
		if len(r.wrong) > 0 {
			c.Errorf("%d: a body does not verify under its own headers: %v", i, r.wrong[0])
		}
		for n, e := range r.events {
			if r.ids[n] != r.ids[0] || e.JobID != jobs[i] || e.EventType != "generation.completed" || e.SourceAssetID == nil || *e.SourceAssetID != c.asset || *e.Reference != "listing-123" || string(e.Metadata) != `{"row": 7}` || len(e.Outputs) == 0 {
				c.Errorf("attempt %d: %s %+v", n, r.ids[n], e)
			}
		}
		r.mu.Unlock()
	}
	if len(target.ids) > 0 {
		c.Error("a redirect was followed")
	}
	for i, want := range []int{3, 1, 2} {
		if n := len([]*answering{twice, gone, moved}[i].ids); n != want {
			c.Errorf("%d: %d attempts, want %d", i, n, want)
		}
	}
}

func (c *conformant) checkRejected() {
	in := c.receiver("", 200)
	hook := `,"webhook":{"url":"` + in.URL + `"}`
	for workflow, published := range map[string]int{"mixed": 1, "hopeless": 0} {
		job := c.create(c.of(workflow, hook))
		r := c.ended(job)
		c.await(in, 1)
		candidates, err := c.app.Candidates(c.Context(), job)
		if err != nil {
			c.Fatal(err)
		}
		rejected := 0
		in.mu.Lock()
		told := in.events[len(in.events)-1]
		in.mu.Unlock()
		for _, o := range candidates {
			if o.Verdict == nil || o.Verdict.Passed {
				continue
			}
			rejected++
			if strings.Contains(r.text, o.ID) || strings.Contains(fmt.Sprint(told), o.ID) {
				c.Errorf("%s: the rejected %s is shown", workflow, o.ID)
			}
		}
		if rejected == 0 || len(r.body.Outputs) != published || len(told.Outputs) != published || told.JobID != job {
			c.Errorf("%s: %d rejected, published %s, told %+v", workflow, rejected, r.text, told)
		}
	}
}

func (c *conformant) checkRegenerate() {
	summary := func() reply { return c.want(200, "", "GET", "/api/v1/usage/summary", "") }
	before := summary()
	first := c.create(c.of("cached"))
	parent := c.ended(first)
	hit := c.ended(c.create(c.of("cached")))
	if len(hit.body.Outputs) == 0 || hit.body.JobID == first {
		c.Errorf("from the cache: %s", hit.text)
	}
	r := c.want(202, "", "POST", generationsPath+"/"+first+"/regenerate", "")
	again := c.ended(r.body.JobID)
	if again.body.ParentJobID == nil || *again.body.ParentJobID != first || *again.body.SourceAssetID != c.asset || again.body.Status != "succeeded" {
		c.Errorf("regenerated %s", again.text)
	}
	if old := c.ended(first); old.body.Outputs[0].OutputID != parent.body.Outputs[0].OutputID || old.body.ParentJobID != nil {
		c.Errorf("the parent is now %s", old.text)
	}
	same := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(photo(c.T, 900, 600)) }))
	defer same.Close()
	inline := c.ended(c.create(`{"source_url":"` + same.URL + `","workflow":"cached","capture_type":"photo"}`))
	after := summary()
	if after.body.Jobs.RegenerateCount != before.body.Jobs.RegenerateCount+1 || after.body.Jobs.CacheHitCount != before.body.Jobs.CacheHitCount+1 {
		c.Errorf("from %s to %s", before.text, after.text)
	}
	types, prints := map[string]string{}, map[string]string{}
	for _, e := range c.want(200, "", "GET", "/api/v1/billing/events?limit=100", "").body.Events {
		types[e.JobID], prints[e.JobID] = fmt.Sprint(e.UsageType, " ", e.Billable), e.Print
	}
	// One configuration of one picture, however that came.
	for _, job := range []string{hit.body.JobID, again.body.JobID, inline.body.JobID} {
		if len(prints[job]) != 64 || prints[job] != prints[first] {
			c.Errorf("the fingerprint of %s is %q, that of %s %q", job, prints[job], first, prints[first])
		}
	}
	if types[first] != "generation true" || types[hit.body.JobID] != "cache_hit false" || types[again.body.JobID] != "regeneration true" {
		c.Errorf("the ledger has %v", types)
	}
}

func (c *conformant) checkErrors(done string) {
	c.want(400, "bad_request", "POST", generationsPath, "{")
	c.want(401, "unauthorized", "GET", generationsPath, "", "Authorization", "")
	c.want(401, "unauthorized", "GET", generationsPath, "", "Authorization", "Bearer kat_live_a.b")
	c.want(403, "forbidden", "GET", generationsPath, "", "Authorization", "Bearer "+c.disabledOrganisation())
	c.want(404, "not_found", "GET", "/api/v1/nothing", "")
	c.want(405, "bad_request", "DELETE", generationsPath+"/"+done, "")
	c.want(409, "conflict", "POST", generationsPath+"/"+done+"/cancel", "")
	c.want(415, "bad_request", "POST", generationsPath, "x", "Content-Type", "text/plain")
	c.want(400, "bad_request", "GET", generationsPath+"?limit=0", "")
	var jobs []string
	for range 8 { // as many as may be in flight
		jobs = append(jobs, c.create(c.of("endless")))
	}
	r := c.want(429, "rate_limited", "POST", generationsPath, c.of("endless"))
	if r.header.Get("Retry-After") == "" || string(r.body.Error["retry_after"]) != r.header.Get("Retry-After") || string(r.body.Error["retryable"]) != "true" {
		c.Errorf("answered %s %v", r.text, r.header)
	}
	for _, job := range jobs {
		if r := c.want(200, "", "POST", generationsPath+"/"+job+"/cancel", ""); r.body.Status != "cancelled" || r.body.Failure.Code != "cancelled" || r.body.Failure.Retryable {
			c.Errorf("cancelled: %s", r.text)
		}
	}
}

func (c *conformant) checkFailures() {
	in := c.receiver("", 200)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/text" {
			_, _ = io.WriteString(w, "this is no image")
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer source.Close()
	hook := `,"webhook":{"url":"` + in.URL + `"}`
	fromURL := func(path string) string {
		return `{"source_url":"` + source.URL + path + `","workflow":"pro_capture","capture_type":"photo"` + hook + `}`
	}
	want, jobs := map[string]string{}, 0
	for code, body := range map[string]string{
		"source_unreachable": fromURL("/nothing"), "source_invalid": fromURL("/text"), "content_rejected": c.of("moderated", hook),
		"quality_rejected": c.of("hopeless", hook), "upstream_error": c.of("broken", hook), "model_unavailable": c.of("retired", hook),
		"timeout": c.of("late", hook), "outcome_unknown": c.of("lost", hook),
	} {
		want[c.create(body)] = code
		jobs++
	}
	c.await(in, jobs)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, e := range in.events {
		r := c.ended(e.JobID)
		if code := want[e.JobID]; r.body.Failure == nil || r.body.Failure.Code != code || e.Failure == nil || e.Failure.Code != code || e.Failure.Retryable != r.body.Failure.Retryable ||
			r.body.Status != "failed" || e.EventType != "generation.failed" || len(e.Outputs) > 0 {
			c.Errorf("want %s: %s, told %+v", code, r.text, e)
		}
		if noAsset := strings.HasPrefix(want[e.JobID], "source_"); noAsset != (e.SourceAssetID == nil) {
			c.Errorf("%s: told of the source asset %v", want[e.JobID], e.SourceAssetID)
		}
	}
}

// privateNames answers for internal.example with an address that is not public.
type privateNames struct{}

func (privateNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// Check 5 of the contract, on a server that allows nothing private.
func TestGenerationsContractWebhookHosts(t *testing.T) {
	c := newConformant(t, "", app.Options{Guard: func(g *netguard.Config) { g.Resolver = privateNames{} }}, nil)
	for _, host := range []string{"localhost", "10.1.2.3", "169.254.169.254", "[::1]", "127.0.0.1", "[::ffff:10.0.0.1]"} {
		c.want(422, "validation_error", "POST", generationsPath, c.of("pro_capture", `,"webhook":{"url":"http://`+host+`/hook"}`))
	}
	// A public name is known for what it is when it is dialled: then the delivery has come to its end.
	job := c.create(c.of("pro_capture", `,"webhook":{"url":"http://internal.example/hook"}`))
	c.ended(job)
	for range 600 {
		list, err := c.app.Deliveries(c.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && list[0].State == "dead" {
			if list[0].Attempts != 1 {
				t.Errorf("%d attempts", list[0].Attempts)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the delivery does not end")
}
