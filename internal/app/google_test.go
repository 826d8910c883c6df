package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator/google"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

const (
	googleKey   = "AIza-end-to-end-0123456789"
	googleEmail = "kinora@proj-1.iam.gserviceaccount.com"
)

// googleWorld is the whole program before a simulated Google: with an account at the Gemini
// API, and two at Vertex, of which one has a bucket.
type googleWorld struct {
	app       *app.App
	client    *client.Client
	inbox     *inbox
	sim       *google.Simulator
	submitted []string
}

func newGoogle(t *testing.T) (sim *google.Simulator, url, serviceAccount string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sim, err = google.New(google.Config{
		Accounts:  []google.Account{{Key: googleKey}, {Project: "proj-1", Email: googleEmail, PublicKey: &key.PublicKey}},
		ImageTime: 100 * time.Millisecond, VideoTime: 500 * time.Millisecond, FileTime: 200 * time.Millisecond, MaxSide: 128, CallbackPause: 100 * time.Millisecond,
		// A token is renewed five minutes before its end: each lasts for a second here.
		TokenLife: 5*time.Minute + time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(func() {
		srv.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "proj-1", "client_email": googleEmail, "token_uri": srv.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return sim, srv.URL, string(text)
}

func newGoogleWorld(t *testing.T, dsn string) *googleWorld {
	t.Helper()
	w := &googleWorld{}
	sim, simURL, serviceAccount := newGoogle(t)
	w.sim = sim

	// The public address is a proxy's that takes a part of the path away.
	var behind atomic.Pointer[httputil.ReverseProxy]
	proxy := httptest.NewServer(http.StripPrefix("/kinora", http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { behind.Load().ServeHTTP(out, r) })))
	t.Cleanup(proxy.Close)

	cfg := config.Default()
	cfg.Listen, cfg.DataDir, cfg.Database, cfg.PublicURL = "127.0.0.1:0", t.TempDir(), dsn, proxy.URL+"/kinora"
	cfg.Network.AllowPrefixes, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	for name, settings := range map[string]map[string]config.Secret{
		"gemini": {"api_key": googleKey},
		"vertex": {"service_account": config.Secret(serviceAccount), "location": "us-central1", "storage_uri": "gs://bucket/kinora", "storage_url": config.Secret(simURL)},
		"inline": {"service_account": config.Secret(serviceAccount), "project": "proj-1"},
	} {
		cfg.Accounts = append(cfg.Accounts, config.Account{Name: name, Provider: "google", BaseURL: simURL, Settings: settings})
	}
	for name, m := range map[string][3]string{
		"veo-3.1-generate-preview": {"video", "veo-3.1-generate-preview", "gemini"},
		"veo-3.0-generate-001":     {"video", "veo-3.1-generate-preview", "gemini"},
		"omni":                     {"video", "gemini-omni-1.1-flash", "gemini"},
		"nano-banana-2":            {"image", "gemini-3.1-flash-image", "gemini"},
		"vertex-veo":               {"video", "veo-3.1-generate-001", "vertex"},
		"vertex-omni":              {"video", "gemini-omni-1.1-flash", "vertex"},
		"vertex-image":             {"image", "gemini-3-pro-image", "vertex"},
		"inline-veo":               {"video", "veo-3.1-generate-001", "inline"},
	} {
		cfg.Models = append(cfg.Models, config.Model{Name: name, Kind: m[0], Provider: "google", UpstreamModel: m[1], Accounts: []string{m[2]}})
	}
	a, err := app.New(t.Context(), cfg, app.Options{Timing: lifecycle.Timing{Idle: 100 * time.Millisecond, Beat: 2 * time.Second, Pace: 0.05, Backoff: 0.04, Grace: 0.1}})
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
	target, err := url.Parse(a.LocalURL())
	if err != nil {
		t.Fatal(err)
	}
	behind.Store(httputil.NewSingleHostReverseProxy(target))
	w.app = a
	w.inbox = newInbox(t, func() string { return a.Bootstrapped().Secret.Text })
	if w.client, err = client.New(a.LocalURL(), a.Bootstrapped().KeyText); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

// submit asks for a short job of its own prompt, steered by orders.
func (w *googleWorld) submit(t *testing.T, model, orders string, input client.Input) string {
	t.Helper()
	input.Prompt = "fog over harbour " + model + " " + time.Now().Format("05.000000000") + " " + orders
	task, err := w.client.Submit(t.Context(), client.SubmitRequest{Model: model, Input: input, Webhook: &client.Webhook{URL: w.inbox.URL}})
	if err != nil {
		t.Fatal(model, orders, err)
	}
	if _, asked := input.Metadata["callback_url"]; asked != (task.CallbackIgnored == "polling-only") {
		t.Errorf("%s: the callback URL is ignored: %q", model, task.CallbackIgnored)
	}
	w.submitted = append(w.submitted, task.ID)
	return task.ID
}

func (w *googleWorld) attempts(t *testing.T, taskID string) []*kinora.Attempt {
	t.Helper()
	var list []*kinora.Attempt
	err := w.app.View(t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Attempts(taskID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// reference uploads a picture, for upstreams that want its bytes.
func (w *googleWorld) reference(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	up, err := w.client.UploadStream(t.Context(), "ref.png", &b)
	if err != nil {
		t.Fatal(err)
	}
	return up.URL
}

// The whole program and Google: both back ends, three protocols, hints, lost answers,
// refusals and a cancel; the signed webhook arrives in all, and nothing is made twice.
func TestGoogle(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newGoogleWorld(t, dsn)
		ref := w.reference(t)
		short := client.Input{Metadata: map[string]any{"durationSeconds": 4}}
		brief := client.Input{Metadata: map[string]any{"durationSeconds": 3}}
		plain := client.Input{}

		want := map[string]int{} // the outputs of those that end well
		want[w.submit(t, "veo-3.1-generate-preview", "", client.Input{Metadata: map[string]any{"durationSeconds": 4, "callback_url": "https://caller.example/"}})] = 1
		want[w.submit(t, "veo-3.1-generate-preview", "[[redirect]]", client.Input{Image: ref, Size: "720x1280", Metadata: map[string]any{"durationSeconds": 4, "lastFrame": ref}})] = 1
		want[w.submit(t, "veo-3.1-generate-preview", "[[callback=refused]]", short)] = 1
		want[w.submit(t, "veo-3.1-generate-preview", "[[drop=after]]", short)] = 1 // its webhook names it
		want[w.submit(t, "veo-3.1-generate-preview", "[[callback=forged time=1s]]", short)] = 1
		want[w.submit(t, "veo-3.1-generate-preview", "[[callback=audience faults=1 forbid=1]]", short)] = 1
		want[w.submit(t, "veo-3.1-generate-preview", "[[inline]]", short)] = 1
		want[w.submit(t, "vertex-veo", "", client.Input{Metadata: map[string]any{"durationSeconds": 4, "seed": 7, "n": 2}})] = 2
		want[w.submit(t, "inline-veo", "", short)] = 1
		want[w.submit(t, "omni", "[[processing=1s bare=1]]", client.Input{Images: []string{ref}, Metadata: map[string]any{"durationSeconds": 3}})] = 1
		want[w.submit(t, "omni", "[[inline callback=lost]]", brief)] = 1
		want[w.submit(t, "vertex-omni", "", brief)] = 1
		want[w.submit(t, "nano-banana-2", "[[thought]]", client.Input{Images: []string{ref}, Metadata: map[string]any{"n": 3, "resolution": "0.5K", "mask_url": ref}})] = 3
		want[w.submit(t, "vertex-image", "", plain)] = 1

		failures := map[string]string{
			w.submit(t, "veo-3.1-generate-preview", "[[end=filtered]]", short):                             "content_rejected",
			w.submit(t, "veo-3.1-generate-preview", "[[end=3]]", short):                                    "upstream_error",
			w.submit(t, "veo-3.1-generate-preview", "[[fail=NOT_FOUND array]]", short):                     "model_unavailable",
			w.submit(t, "veo-3.1-generate-preview", "[[drop=after callback=lost]]", short):                 "outcome_unknown",
			w.submit(t, "veo-3.1-generate-preview", "", client.Input{Image: w.app.LocalURL() + "/livez"}):  "upstream_error",
			w.submit(t, "omni", "[[end=refused]]", brief):                                                  "content_rejected",
			w.submit(t, "nano-banana-2", "[[end=IMAGE_SAFETY]]", plain):                                    "content_rejected",
			w.submit(t, "nano-banana-2", "[[block=PROHIBITED_CONTENT]]", plain):                            "content_rejected",
			w.submit(t, "nano-banana-2", "[[drop=error]]", client.Input{Metadata: map[string]any{"n": 1}}): "outcome_unknown",
		}
		cancelled := w.submit(t, "omni", "[[time=1h]]", brief)
		w.cancel(t, cancelled)

		events := map[string]webhook.Event{}
		for range w.submitted {
			e := w.inbox.next(t)
			if _, twice := events[e.JobID]; twice || !slices.Contains(w.submitted, e.JobID) {
				t.Errorf("an event more on %s", e.JobID)
			}
			events[e.JobID] = e
		}
		for id, n := range want {
			e, list := events[id], w.attempts(t, id)
			if e.EventType != webhook.GenerationCompleted || len(e.Outputs) != n || !strings.HasPrefix(e.Outputs[0].ContentType, map[bool]string{true: "image/", false: "video/"}[strings.Contains(list[0].Model, "ana") || strings.Contains(list[0].Model, "image")]) {
				t.Errorf("%s: event %+v %+v, attempt %+v", list[0].Model, e, e.Failure, list[0])
			}
		}
		for id, code := range failures {
			if e := events[id]; e.Failure == nil || e.Failure.Code != code || strings.Contains(e.Failure.Message, "http") {
				t.Errorf("%s: %+v %+v, want %s; attempt %+v", id, e, e.Failure, code, w.attempts(t, id)[0])
			}
		}
		w.checkUpstream(t)
	})
}

// cancel waits until Google has the interaction, and cancels it there and here.
func (w *googleWorld) cancel(t *testing.T, id string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); w.attempts(t, id)[0].UpstreamID == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not accepted")
		}
	}
	if _, err := w.client.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); w.sim.Stats().Cancels != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not cancelled upstream")
		}
	}
}

// checkUpstream wants nothing to have been made twice, hints to have come to this server alone,
// and the callers' files to have arrived as bytes.
func (w *googleWorld) checkUpstream(t *testing.T) {
	t.Helper()
	for prompt, n := range w.sim.Accepted() {
		if three := strings.Contains(prompt, "[[thought]]"); n != 1 && !three || three && n != 3 {
			t.Errorf("%d jobs were made for %q", n, prompt)
		}
	}
	stats := w.sim.Stats()
	files := 0
	for _, j := range stats.Jobs {
		files += j.Files
		if j.Hook != "" && !strings.Contains(j.Hook, "/kinora/callbacks/google/") {
			t.Errorf("%s was given the hook %q", j.ID, j.Hook)
		}
	}
	if files != 2+1+3*2 {
		t.Errorf("%d files came with the submits", files)
	}
	if stats.Keys == 0 || stats.Keys > 3 {
		t.Errorf("the keys were fetched %d times", stats.Keys)
	}
	if stats.Tokens < 2 {
		t.Errorf("%d tokens were granted; they end within a second", stats.Tokens)
	}
	res, err := http.Get(w.app.LocalURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), `kinora_upstream_callbacks_total{provider="google",result="refused"} 1`) {
		t.Error("not exactly the forged call was refused")
	}
	if !strings.Contains(string(body), `kinora_upstream_callbacks_total{provider="google",result="hint"}`) {
		t.Error("no call was taken")
	}
}

// What the submit API's contract says of these models is refused before anything is accepted.
func TestGoogleRefusals(t *testing.T) {
	w := newGoogleWorld(t, "")
	many := make([]string, 15)
	for i := range many {
		many[i] = "https://img.example/" + string(rune('a'+i))
	}
	for says, tc := range map[string]struct {
		model string
		input client.Input
	}{
		"input.images must be at most 14 items":                          {"nano-banana-2", client.Input{Images: many}},
		"input.metadata.n must be between 1 and 4":                       {"nano-banana-2", client.Input{Metadata: map[string]any{"n": 0}}},
		"input.metadata.resolution must be one of 0.5K, 1K, 2K, 4K":      {"nano-banana-2", client.Input{Metadata: map[string]any{"resolution": "8K"}}},
		"input.metadata.resolution must be 720p or 1080p for this model": {"veo-3.0-generate-001", client.Input{Metadata: map[string]any{"resolution": "4k"}}},
		"input.size must be below 3840 pixels":                           {"veo-3.0-generate-001", client.Input{Size: "3840x2160"}},
	} {
		tc.input.Prompt = "x"
		_, err := w.client.Submit(t.Context(), client.SubmitRequest{Model: tc.model, Input: tc.input})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if n := w.sim.Stats().Submits; n != 0 {
		t.Errorf("%d submits reached the upstream", n)
	}
}
