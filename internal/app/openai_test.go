package app_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/openai"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

const openAIKey = "sk-end-to-end-0123456789"

// openAIWorld is the whole program before a simulated OpenAI and a vLLM-Omni.
type openAIWorld struct {
	app       *app.App
	client    *client.Client
	inbox     *inbox
	sim, own  *openai.Simulator
	paced     *simulator.ManualClock // of an OpenAI that goes on when it is told to
	submitted []string
}

func newOpenAI(t *testing.T, cfg openai.Config) (*openai.Simulator, string) {
	t.Helper()
	cfg.MaxSide, cfg.VideoTime, cfg.ImageTime, cfg.ResponseTime = 128, time.Second, 300*time.Millisecond, time.Second
	sim, err := openai.New(cfg)
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
	return sim, srv.URL + "/v1"
}

// openAIConfig is that of a program in a folder, with accounts at the simulators.
func openAIConfig(dsn, dir, simURL, ownURL, pacedURL string) config.Config {
	cfg := config.Default()
	cfg.Listen, cfg.DataDir, cfg.Database = "127.0.0.1:0", dir, dsn
	cfg.Network.AllowPrefixes, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	key := config.Secret(openAIKey)
	cfg.Accounts = []config.Account{
		{Name: "main", Provider: "openai", BaseURL: simURL, Settings: map[string]config.Secret{"api_key": key}},
		{Name: "forms", Provider: "openai", BaseURL: simURL, Settings: map[string]config.Secret{"api_key": key, "edits": "multipart"}},
		{Name: "broke", Provider: "openai", BaseURL: simURL, Settings: map[string]config.Secret{"api_key": key + "-broke"}},
		{Name: "paced", Provider: "openai", BaseURL: pacedURL, Settings: map[string]config.Secret{"api_key": key}},
		{Name: "own", Provider: "openai", BaseURL: ownURL, Settings: map[string]config.Secret{"submit": "multipart"}},
	}
	for name, m := range map[string][3]string{
		"gpt-image-2": {"image", "gpt-image-2", "main"}, "edits": {"image", "gpt-image-2", "forms"}, "broke": {"image", "gpt-image-2", "broke"}, "paced": {"image", "gpt-image-2", "paced"},
		"sora-2": {"video", "sora-2", "main"}, "poster": {"image", "responses:gpt-5.6-terra", "main"}, "wan": {"video", "videos:Wan-AI/Wan2.2", "own"},
	} {
		cfg.Models = append(cfg.Models, config.Model{Name: name, Kind: m[0], Provider: "openai", UpstreamModel: m[1], Accounts: []string{m[2]}})
	}
	return cfg
}

func startOpenAI(t *testing.T, cfg config.Config) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), cfg, app.Options{Timing: lifecycle.Timing{Idle: 100 * time.Millisecond, Beat: 2 * time.Second, Pace: 0.05, Backoff: 0.04}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = a.Stop(ctx) // a test may have stopped it
	})
	return a
}

func newOpenAIWorld(t *testing.T, dsn string) *openAIWorld {
	t.Helper()
	w := &openAIWorld{}
	var simURL, ownURL, pacedURL string
	w.sim, simURL = newOpenAI(t, openai.Config{Accounts: []openai.Account{{Key: openAIKey}, {Key: openAIKey + "-broke", Broke: true}}})
	w.own, ownURL = newOpenAI(t, openai.Config{Dialect: openai.VLLM})
	w.paced = simulator.NewManualClock(time.Now())
	_, pacedURL = newOpenAI(t, openai.Config{Accounts: []openai.Account{{Key: openAIKey}}, Clock: w.paced})
	w.app = startOpenAI(t, openAIConfig(dsn, t.TempDir(), simURL, ownURL, pacedURL))
	w.inbox = newInbox(t, func() string { return w.app.Bootstrapped().Secret.Text })
	var err error
	if w.client, err = client.New(w.app.LocalURL(), w.app.Bootstrapped().KeyText); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (w *openAIWorld) submit(t *testing.T, model string, input client.Input) string {
	t.Helper()
	input.Prompt = "a tram depot at dusk " + input.Prompt
	task, err := w.client.Submit(t.Context(), client.SubmitRequest{Model: model, Input: input, Webhook: &client.Webhook{URL: w.inbox.URL}})
	if err != nil {
		t.Fatal(model, err)
	}
	if _, asked := input.Metadata["callback_url"]; asked != (task.CallbackIgnored == "polling-only") {
		t.Errorf("%s: the callback URL is ignored: %q", model, task.CallbackIgnored)
	}
	w.submitted = append(w.submitted, task.ID)
	return task.ID
}

func (w *openAIWorld) attempt(t *testing.T, taskID string) *kinora.Attempt {
	t.Helper()
	var list []*kinora.Attempt
	err := w.app.View(t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Attempts(taskID)
		return err
	})
	if err != nil || len(list) != 1 {
		t.Fatalf("%s has %d attempts, error %v", taskID, len(list), err)
	}
	return list[0]
}

// The whole program and OpenAI's shapes: what comes in an answer, what comes out of one, and what
// is downloaded; refusals, and answers that are lost. The signed webhook arrives in all, and
// nothing is made twice.
func TestOpenAI(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newOpenAIWorld(t, dsn)
		var picture bytes.Buffer
		if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 64, 64))); err != nil {
			t.Fatal(err)
		}
		source, err := w.client.UploadStream(t.Context(), "depot.png", &picture)
		if err != nil {
			t.Fatal(err)
		}
		prompt := func(orders string) client.Input { return client.Input{Prompt: orders} }
		short := map[string]any{"seconds": 1}

		slow := w.submit(t, "paced", prompt("[[time=1h]]"))
		one := w.submit(t, "gpt-image-2", client.Input{Size: "16:9", Metadata: map[string]any{"callback_url": "https://nobody.example/"}})
		three := w.submit(t, "gpt-image-2", client.Input{Metadata: map[string]any{"n": 3, "output_format": "jpeg"}})
		edit := w.submit(t, "edits", client.Input{Image: source.URL, Metadata: map[string]any{"mask_url": source.URL}})
		video := w.submit(t, "sora-2", client.Input{Prompt: "[[unready=1 broken=1]]", Size: "1280x720"})
		own := w.submit(t, "wan", client.Input{Image: source.URL, Metadata: short})
		poster := w.submit(t, "poster", client.Input{Prompt: "[[broken=1]]"})
		busy := w.submit(t, "gpt-image-2", prompt("[[refuse=rate_limit_exceeded times=1]]"))
		silent := w.submit(t, "poster", prompt("[[silent]]"))
		refused := w.submit(t, "gpt-image-2", prompt("[[refuse=moderation_blocked]]"))
		rejected := w.submit(t, "gpt-image-2", prompt("[[fail=moderation_blocked]]"))
		halved := w.submit(t, "gpt-image-2", prompt("[[drop=half]]"))
		lost := w.submit(t, "sora-2", prompt("[[drop=after]]"))
		broke := w.submit(t, "broke", prompt(""))
		w.checkProgress(t, slow)

		events := map[string]webhook.Event{}
		for range w.submitted {
			e := w.inbox.next(t)
			if _, twice := events[e.JobID]; twice || !slices.Contains(w.submitted, e.JobID) {
				t.Errorf("an event more on %s", e.JobID)
			}
			events[e.JobID] = e
		}
		for id, want := range map[string]struct {
			contentType string
			outputs     int
		}{
			slow: {"image/png", 1}, one: {"image/png", 1}, three: {"image/jpeg", 3}, edit: {"image/png", 1}, video: {"video/mp4", 1}, own: {"video/mp4", 1},
			poster: {"image/png", 1}, busy: {"image/png", 1},
		} {
			e := events[id]
			if e.EventType != webhook.GenerationCompleted || len(e.Outputs) != want.outputs || e.Outputs[0].ContentType != want.contentType || e.Outputs[0].Width != 128 {
				t.Errorf("%s: event %+v %+v, attempt %+v", id, e, e.Failure, w.attempt(t, id))
			}
		}
		for id, want := range map[string][2]string{
			silent: {"content_rejected", ""}, refused: {"content_rejected", "moderation_blocked"}, rejected: {"content_rejected", "moderation_blocked"},
			halved: {"outcome_unknown", ""}, lost: {"outcome_unknown", ""}, broke: {"upstream_error", "insufficient_quota"},
		} {
			e, a := events[id], w.attempt(t, id)
			if e.Failure == nil || e.Failure.Code != want[0] || a.ErrorCode != want[1] && want[1] != "" {
				t.Errorf("%s: event %+v %+v, attempt %+v; want %s", id, e, e.Failure, a, want)
			}
		}
		var n bytes.Buffer
		if size, err := w.client.Download(t.Context(), events[three].Outputs[2].URL, &n); err != nil || size == 0 || !bytes.HasPrefix(n.Bytes(), []byte("\xff\xd8")) {
			t.Errorf("the third picture has %d bytes, error %v", size, err)
		}
		stats, others := w.sim.Stats(), w.own.Stats()
		if len(stats.Images) != 6 || len(stats.Jobs) != 4 || len(others.Jobs) != 1 || stats.Deleted != 0 {
			t.Errorf("%d image calls, %d and %d jobs were made: %+v", len(stats.Images), len(stats.Jobs), len(others.Jobs), stats)
		}
	})
}

// checkProgress wants the unfinished image of a call that lasts to be seen as progress, while the
// finished one is not there yet.
func (w *openAIWorld) checkProgress(t *testing.T, id string) {
	t.Helper()
	w.step(t)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		task, err := w.client.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if task.Status == client.TaskRunning && task.Progress == 50 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no progress was seen: %+v", task)
		}
	}
	w.step(t)
}

// step lets the paced OpenAI go on to its next image.
func (w *openAIWorld) step(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); w.paced.Waiting() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is being made")
		}
	}
	w.paced.Advance(30 * time.Minute)
}

// A process that ends within an image call has perhaps paid for it: the next one says so, and does
// not pay again. A response has an id, and goes on.
func TestOpenAICallsAtTheEndOfAProcess(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		sim, simURL := newOpenAI(t, openai.Config{Accounts: []openai.Account{{Key: openAIKey}}})
		cfg := openAIConfig(dsn, t.TempDir(), simURL, simURL, simURL)
		first := startOpenAI(t, cfg)
		key := first.Bootstrapped().KeyText
		c, err := client.New(first.LocalURL(), key)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, model := range []string{"gpt-image-2", "poster"} {
			task, err := c.Submit(t.Context(), client.SubmitRequest{Model: model, Input: client.Input{Prompt: "a tram depot [[time=3s]]"}})
			if err != nil {
				t.Fatal(err)
			}
			ids[model] = task.ID
		}
		c.CloseIdleConnections()
		// The upstream knows of a response before its id is here, and only the id makes it go on.
		for end := time.Now().Add(time.Minute); len(sim.Stats().Images) == 0 || upstreamID(t, first, ids["poster"]) == ""; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the calls did not come: %+v", sim.Stats())
			}
		}
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		_ = first.Stop(dead) // breaks off what is in hand

		next := startOpenAI(t, cfg)
		if c, err = client.New(next.LocalURL(), key); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseIdleConnections)
		for model, want := range map[string]client.TaskStatus{"gpt-image-2": client.TaskFailed, "poster": client.TaskFinished} {
			var task *client.Task
			for end := time.Now().Add(time.Minute); task == nil || task.Status != client.TaskFailed && task.Status != client.TaskFinished; time.Sleep(10 * time.Millisecond) {
				if task, err = c.Status(t.Context(), ids[model]); err != nil || time.Now().After(end) {
					t.Fatalf("%s: %+v, error %v", model, task, err)
				}
			}
			if task.Status != want || want == client.TaskFailed && !strings.Contains(task.ErrorMessage, "not known") {
				t.Errorf("%s: %+v", model, task)
			}
		}
		if stats := sim.Stats(); len(stats.Images) != 1 || len(stats.Jobs) != 1 {
			t.Errorf("%d image calls and %d responses were made", len(stats.Images), len(stats.Jobs))
		}
	})
}

// upstreamID is what the upstream calls a generation's first attempt; "" = not known yet.
func upstreamID(t *testing.T, a *app.App, taskID string) (name string) {
	t.Helper()
	err := a.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.Attempts(taskID)
		if err == nil {
			name = list[0].UpstreamID
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A model of images whose id does not say so is found before it is used.
func TestOpenAIImageModelsHaveToBeTold(t *testing.T) {
	cfg := openAIConfig("", t.TempDir(), "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1")
	cfg.Models = append(cfg.Models, config.Model{Name: "flux", Kind: "image", Provider: "openai", UpstreamModel: "flux-dev", Accounts: []string{"own"}})
	if a, err := app.New(t.Context(), cfg, app.Options{}); err == nil {
		_ = a.Stop(t.Context())
		t.Error("a server was made")
	} else if !strings.Contains(err.Error(), "model flux") || !strings.Contains(err.Error(), "images:") {
		t.Errorf("error %v", err)
	}
	found := func() bool {
		return slices.ContainsFunc(app.Doctor(t.Context(), cfg), func(d app.Diagnosis) bool { return !d.OK && strings.Contains(d.Detail, "images:") })
	}
	if !found() {
		t.Error("doctor does not say so")
	}
	cfg.Models[len(cfg.Models)-1].UpstreamModel = "images:flux-dev"
	if found() {
		t.Error("doctor says so all the same")
	}
}
