package comfyui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/comfyui"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/comfyui"
)

// world is the provider in front of a simulated ComfyUI.
type world struct {
	*comfyui.ComfyUI
	sim   *upstream.Simulator
	clock *simulator.ManualClock
	up    provider.Upstream
}

// picture is a Sources with one PNG.
type picture struct{ content []byte }

func (p picture) Open(context.Context, string) (io.ReadCloser, string, error) {
	return io.NopCloser(bytes.NewReader(p.content)), "image/png", nil
}

func newWorld(t *testing.T, change func(*upstream.Config)) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	cfg := upstream.Config{Token: "proxy-token", RunTime: 10 * time.Second, MaxSide: 128, Clock: clock}
	if change != nil {
		change(&cfg)
	}
	sim, err := upstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	workflows := map[string]*comfyui.Workflow{}
	for _, name := range []string{"portrait", "clip"} {
		text, err := os.ReadFile(filepath.Join("testdata", "workflows", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if workflows[name], err = comfyui.ParseWorkflow(text); err != nil {
			t.Fatal(err)
		}
	}
	return &world{comfyui.New(workflows), sim, clock, provider.Upstream{
		Client: client, Sources: picture{[]byte("\x89PNG\r\n\x1a\nsource")},
		Account: provider.Account{BaseURL: srv.URL, Settings: map[string]string{comfyui.SettingAPIKey: "proxy-token"}},
	}}
}

func request(model, orders, ref string) provider.Request {
	r := provider.Request{ClientRef: ref, Model: model, UpstreamModel: model, Kind: kinora.KindImage, Prompt: "a lantern festival " + orders}
	if model == "clip" {
		r.Kind, r.Images, r.Duration = kinora.KindVideo, []string{"https://img.example/a.png"}, 2
	}
	return r
}

func (w *world) submit(t *testing.T, req provider.Request) provider.Job {
	t.Helper()
	if err := w.Validate(req); err != nil {
		t.Fatal(err)
	}
	got, err := w.Submit(t.Context(), w.up, req)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Job{UpstreamID: got.UpstreamID, ClientRef: req.ClientRef, UpstreamModel: req.UpstreamModel, Kind: req.Kind}
}

// look polls one job; nil = the server does not know it.
func (w *world) look(t *testing.T, job provider.Job) *provider.Report {
	t.Helper()
	reports, err := w.Poll(t.Context(), w.up, []provider.Job{job})
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) == 0 {
		return nil
	}
	return &reports[0]
}

func (w *world) wants(t *testing.T, job provider.Job, state provider.State) *provider.Report {
	t.Helper()
	r := w.look(t, job)
	if r == nil || r.State != state {
		t.Fatalf("shown as %+v, want %s", r, state)
	}
	return r
}

func TestAJobFromPromptToFiles(t *testing.T) {
	w := newWorld(t, nil)
	req := request("portrait", "", "task_a_0")
	req.Size, req.Metadata = "128x96", map[string]json.RawMessage{"n": json.RawMessage("2")}
	first, second := w.submit(t, req), w.submit(t, request("clip", "", "task_b_0"))
	w.wants(t, first, provider.StateRunning)
	w.wants(t, second, provider.StateQueued)
	w.clock.Advance(10 * time.Second)
	done := w.wants(t, first, provider.StateSucceeded)
	w.wants(t, second, provider.StateRunning)
	if len(done.Outputs) != 2 {
		t.Fatalf("%d outputs", len(done.Outputs))
	}
	seen := map[string]bool{}
	for _, o := range done.Outputs {
		res, err := w.OpenOutput(t.Context(), w.up, first, o)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := image.DecodeConfig(bytes.NewReader(body))
		if err != nil || cfg.Width != 128 || seen[string(body)] {
			t.Errorf("an output is %+v, error %v, seen before: %v", cfg, err, seen[string(body)])
		}
		seen[string(body)] = true
	}
	w.clock.Advance(10 * time.Second)
	if clip := w.wants(t, second, provider.StateSucceeded); len(clip.Outputs) != 1 || clip.Outputs[0].Kind != kinora.KindVideo {
		t.Errorf("outputs %+v", clip.Outputs)
	}
}

// A prompt whose answer was lost is found by the id that was chosen for it, wherever it is.
func TestLostAnswers(t *testing.T) {
	for _, drop := range []string{"after", "error"} {
		w := newWorld(t, nil)
		w.submit(t, request("portrait", "", "task_other_0"))
		req := request("portrait", "[[drop="+drop+"]]", "task_lost_0")
		_, err := w.Submit(t.Context(), w.up, req)
		var pe *provider.Error
		if !errors.As(err, &pe) || pe.Class != provider.OutcomeUnknown {
			t.Fatalf("drop=%s: error %v, want an unknown outcome", drop, err)
		}
		var ids []string
		for range 3 { // waiting, running, ended
			got, err := w.Reconcile(t.Context(), w.up, req)
			if err != nil {
				t.Fatalf("drop=%s: %v", drop, err)
			}
			ids = append(ids, got.UpstreamID)
			w.clock.Advance(10 * time.Second)
		}
		if ids[0] != ids[1] || ids[1] != ids[2] || w.sim.Stats().Prompts != 2 {
			t.Errorf("drop=%s: found as %v", drop, ids)
		}
	}
	w := newWorld(t, nil)
	if _, err := w.Reconcile(t.Context(), w.up, request("portrait", "", "task_never_0")); !errors.Is(err, provider.ErrNotSubmitted) {
		t.Errorf("one that was never sent: %v", err)
	}
}

func TestARestartForgets(t *testing.T) {
	w := newWorld(t, nil)
	job := w.submit(t, request("portrait", "", "task_a_0"))
	w.sim.Forget()
	if r := w.look(t, job); r != nil {
		t.Errorf("a job of before the restart is shown as %+v", r)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, nil)
	running, waiting, last := w.submit(t, request("portrait", "", "task_a_0")), w.submit(t, request("portrait", "", "task_b_0")), w.submit(t, request("portrait", "", "task_c_0"))
	if err := w.Cancel(t.Context(), w.up, waiting); err != nil {
		t.Fatal(err)
	}
	w.wants(t, running, provider.StateRunning) // nobody else's is touched
	if r := w.look(t, waiting); r != nil {
		t.Errorf("a deleted job is shown as %+v", r)
	}
	if err := w.Cancel(t.Context(), w.up, running); err != nil {
		t.Fatal(err)
	}
	w.wants(t, running, provider.StateCancelled)
	w.wants(t, last, provider.StateRunning)
	w.clock.Advance(10 * time.Second)
	w.wants(t, last, provider.StateSucceeded)
	for _, job := range []provider.Job{last, running, waiting, {UpstreamID: "nobody's"}} {
		if err := w.Cancel(t.Context(), w.up, job); !errors.Is(err, provider.ErrNotCancellable) {
			t.Errorf("a cancel that comes too late: %v", err)
		}
	}
}

func TestEndsAndRefusals(t *testing.T) {
	w := newWorld(t, func(c *upstream.Config) { c.Parallel = true })
	for orders, want := range map[string]provider.State{
		"[[end=oom]]": provider.StateFailed, "[[end=error]]": provider.StateFailed, "[[end=nothing]]": provider.StateFailed, "[[word=half_done]]": provider.StateRunning,
	} {
		job := w.submit(t, request("portrait", orders, "task_"+orders))
		w.clock.Advance(10 * time.Second)
		if r := w.wants(t, job, want); want == provider.StateFailed && r.Err.Class != provider.Generation {
			t.Errorf("%s: %v", orders, r.Err)
		}
	}
	var pe *provider.Error
	tall := request("portrait", "", "task_t_0")
	tall.Size = "8x8" // smaller than the node's own limit
	if _, err := w.Submit(t.Context(), w.up, tall); !errors.As(err, &pe) || pe.Class != provider.Invalid || pe.Message != "the upstream refused input.size" {
		t.Errorf("a size that a node refuses: %v", err)
	}
	gone := newWorld(t, func(c *upstream.Config) { c.Checkpoints = []string{"another.safetensors"} })
	if _, err := gone.Submit(t.Context(), gone.up, request("portrait", "", "task_g_0")); !errors.As(err, &pe) || pe.Class != provider.ModelGone || pe.Code != "value_not_in_list" {
		t.Errorf("a checkpoint that is not there: %v", err)
	}
	gone.up.Account.Settings = nil
	if _, err := gone.Submit(t.Context(), gone.up, request("portrait", "", "task_g_0")); !errors.As(err, &pe) || pe.Class != provider.Credential {
		t.Errorf("without the proxy's token: %v", err)
	}
}
