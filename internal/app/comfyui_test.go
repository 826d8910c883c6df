package app_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator/comfyui"
	"github.com/kinora/kinora/internal/store/storetest"
)

// comfyConfig is a configuration with one server and one workflow that wants an image.
func comfyConfig(t *testing.T, baseURL string) config.Config {
	t.Helper()
	folder := t.TempDir()
	workflow := `{"1":{"class_type":"LoadImage","inputs":{"image":"{{image|kinora/none.png}}"}},
		"2":{"class_type":"EmptyLatentImage","inputs":{"width":"{{width|128}}","height":"{{height|128}}","batch_size":"{{n}}"}},
		"3":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"simulated.safetensors"}},
		"4":{"class_type":"CLIPTextEncode","inputs":{"text":"{{prompt}}","clip":["3",1]}},
		"5":{"class_type":"VAEDecode","inputs":{"samples":["2",0],"vae":["3",2]}},
		"6":{"class_type":"SaveImage","inputs":{"filename_prefix":"kinora/x","images":["5",0]}}}`
	if err := os.WriteFile(filepath.Join(folder, "edit.json"), []byte(workflow), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.Network.AllowPrefixes, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	cfg.ComfyUI.Workflows = folder
	cfg.Accounts = []config.Account{{Name: "gpu", Provider: "comfyui", BaseURL: baseURL}}
	cfg.Models = []config.Model{{Name: "edit", Kind: "image", Provider: "comfyui"}}
	return cfg
}

// A team's own workflow behind the API: an uploaded picture goes to its server, a lost answer
// is found again, and what was made comes back with a signed event.
func TestComfyUIEndToEnd(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		sim, err := comfyui.New(comfyui.Config{RunTime: 300 * time.Millisecond, MaxSide: 128})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(sim)
		t.Cleanup(srv.Close)
		cfg := comfyConfig(t, srv.URL)
		cfg.Database = dsn
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
			if err := a.Stop(ctx); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		in := newInbox(t, func() string { return a.Bootstrapped().Secret.Text })
		c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseIdleConnections)
		var drawn bytes.Buffer
		if err := png.Encode(&drawn, image.NewRGBA(image.Rect(0, 0, 64, 64))); err != nil {
			t.Fatal(err)
		}
		source, err := c.UploadStream(t.Context(), "source.png", &drawn)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for orders, event := range map[string]string{
			"": "generation.completed", "[[drop=after]]": "generation.completed", "[[drop=error]]": "generation.completed", "[[end=oom]]": "generation.failed",
		} {
			task, err := c.Submit(t.Context(), client.SubmitRequest{
				Model: "edit", Input: client.Input{Prompt: "a lighthouse " + orders, Image: source.URL, Metadata: map[string]any{"n": 2}},
				Webhook: &client.Webhook{URL: in.URL},
			})
			if err != nil {
				t.Fatal(err)
			}
			want[task.ID] = event
		}
		for range want {
			e := in.next(t)
			if e.EventType != want[e.JobID] {
				t.Errorf("%s ends with %s, want %s", e.JobID, e.EventType, want[e.JobID])
			}
			if e.EventType == "generation.completed" && (len(e.Outputs) != 2 || e.Outputs[0].ContentType != "image/png") {
				t.Errorf("outputs %+v", e.Outputs)
			}
		}
		if n := sim.Stats().Prompts; n != int64(len(want)) {
			t.Errorf("%d prompts for %d tasks", n, len(want))
		}
		_, err = c.Submit(t.Context(), client.SubmitRequest{Model: "edit", Input: client.Input{Prompt: "x", Images: []string{source.URL, source.DownloadURL + "&x=1"}}})
		if kinora.CodeOf(err) != kinora.ErrInvalid && (err == nil || !strings.Contains(err.Error(), "at most one image")) {
			t.Errorf("two images: %v", err)
		}
	})
}

// What cannot work is said at the start, with the file and the place in it.
func TestComfyUIConfigurationIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		says   string
	}{
		"no folder":       {func(c *config.Config) { c.ComfyUI.Workflows = filepath.Join(t.TempDir(), "none") }, "no such file"},
		"no workflow":     {func(c *config.Config) { c.Models[0].UpstreamModel = "other" }, "model edit wants other.json"},
		"no workflows":    {func(c *config.Config) { c.ComfyUI.Workflows = "" }, "model edit wants edit.json"},
		"a place's name":  {broken(`{"7":{"class_type":"X","inputs":{"a":"{{promt}}"}}}`), `broken.json: node 7, input a: there is nothing called "promt"`},
		"an editor's own": {broken(`{"nodes":[]}`), "API format"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := comfyConfig(t, "http://127.0.0.1:1")
			c.change(&cfg)
			a, err := app.New(t.Context(), cfg, app.Options{})
			if err == nil {
				_ = a.Stop(t.Context())
			}
			if kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q in it", err, c.says)
			}
		})
	}
}

// broken adds a workflow that cannot be read.
func broken(text string) func(*config.Config) {
	return func(c *config.Config) {
		_ = os.WriteFile(filepath.Join(c.ComfyUI.Workflows, "broken.json"), []byte(text), 0o600)
	}
}
