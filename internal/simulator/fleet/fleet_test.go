package fleet_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator/fleet"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/ark"
	"github.com/kinora/kinora/provider/comfyui"
	"github.com/kinora/kinora/provider/google"
	"github.com/kinora/kinora/provider/kling"
	"github.com/kinora/kinora/provider/localai"
	"github.com/kinora/kinora/provider/minimax"
	"github.com/kinora/kinora/provider/openai"
	"github.com/kinora/kinora/provider/providertest"
	"github.com/kinora/kinora/provider/sandbox"
	"github.com/kinora/kinora/provider/vidu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every upstream that is started takes a job of its provider's with the settings that it
// tells, and hands out what was made.
func TestEveryUpstreamWorks(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{Only: fleet.Names(), JobTime: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	models := map[string]struct {
		provider provider.Provider
		model    string
	}{
		"sandbox": {sandbox.New(), "sandbox-video"}, "kling": {kling.New(), "kling-v2-6"}, "ark": {ark.New(), "doubao-seedance-1-0-pro-250528"},
		"minimax": {minimax.New(), "MiniMax-Hailuo-02"}, "vidu": {vidu.New(), "viduq3-turbo"}, "comfyui": {comfyui.New(comfyWorkflow(t)), "clip"},
		"localai": {localai.New(), "ltx"}, "google": {google.New(), "veo-3.1-generate-preview"}, "openai": {openai.New(), "sora-2"},
		"openai-vllm": {openai.New(), "videos:wan"}, "openai-sglang": {openai.New(), "videos:wan"}, "google-vertex": {google.New(), "veo-3.1-generate-001"},
	}
	if len(f.Upstreams) != len(models) || len(fleet.Names()) != len(models) {
		t.Fatalf("started %+v", f.Upstreams)
	}
	for _, u := range f.Upstreams {
		t.Run(u.Name, func(t *testing.T) {
			c, began := models[u.Name], time.Now()
			up := provider.Upstream{Account: provider.Account{Name: "x", Provider: u.Provider, BaseURL: u.URL, Settings: u.Settings}, Client: client}
			req := provider.Request{ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", Model: c.model, UpstreamModel: c.model, Kind: kinora.KindVideo, Prompt: "two kites over a quiet bay", Sink: &providertest.Sink{}}
			if err := c.provider.Validate(req); err != nil {
				t.Fatal(err)
			}
			got, err := c.provider.Submit(t.Context(), up, req)
			if err != nil {
				t.Fatal(err)
			}
			if got.Report != nil { // it was made while the call lasted
				if a := u.Activity(); len(got.Report.Outputs) != 1 || a.Ended != 1 || len(a.Jobs) != 1 {
					t.Errorf("outputs %+v, activity %+v", got.Report.Outputs, a)
				}
				return
			}
			long := req
			long.ClientRef, long.Prompt = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9Q_0", "a third kite [[time=1h]]"
			if u.Name == sandbox.Name {
				long.Prompt, long.Metadata = "a third kite", map[string]json.RawMessage{"sandbox": json.RawMessage(`{"delay":"1h"}`)}
			}
			waiting, err := c.provider.Submit(t.Context(), up, long)
			if err != nil {
				t.Fatal(err)
			}
			job := provider.Job{UpstreamID: got.UpstreamID, Handle: got.Handle, ClientRef: req.ClientRef, UpstreamModel: c.model, Kind: req.Kind}
			polls := int64(0)
			for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				polls++
				reports, err := c.provider.Poll(t.Context(), up, []provider.Job{job})
				if err != nil {
					t.Fatal(err)
				}
				if len(reports) == 1 && reports[0].State == provider.StateSucceeded {
					open(t, c.provider, up, job, reports[0].Outputs[0])
					checkActivity(t, u.Activity(), got.UpstreamID, waiting.UpstreamID, began, polls)
					return
				}
				if time.Now().After(end) {
					t.Fatalf("it does not end: %+v", reports)
				}
			}
		})
	}
}

// checkActivity wants one job that has ended since began, one that has not, and at least as many
// calls as polls: MiniMax has a second one for a file's address, ComfyUI one for a job that has not ended.
func checkActivity(t *testing.T, a fleet.Activity, ended, waiting string, began time.Time, polls int64) {
	t.Helper()
	at := map[string]time.Time{}
	for _, j := range a.Jobs {
		at[j.ID] = j.EndedAt
	}
	// An upstream may round the times that it shows.
	if e := at[ended]; e.Before(began.Truncate(time.Second)) || e.After(time.Now()) {
		t.Errorf("the job ended at %v, after %v", e, began)
	}
	if e, known := at[waiting]; !known || !e.IsZero() {
		t.Errorf("a job of an hour has ended at %v (known: %v)", e, known)
	}
	if len(a.Jobs) != 2 || a.Ended != 1 || a.Calls < polls || a.Calls > 2*polls {
		t.Errorf("%d jobs, %d ended, %d calls of %d polls", len(a.Jobs), a.Ended, a.Calls, polls)
	}
}

// With one file for all, drawing costs nothing, and nothing else changes.
func TestOneFileForAll(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{OneFile: true, Jobs: 7})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	paths := map[string]string{"sandbox": "/v1/files/", "kling": "/files/", "ark": "/tos/", "minimax": "/cdn/", "vidu": "/files/", "comfyui": "/view/", "localai": "/generated-videos/", "google": "/v1beta/files/"}
	patterns := map[string]string{"openai": "/videos/any/content"}
	for _, u := range f.Upstreams {
		base := strings.TrimSuffix(u.URL, "/api/v3")
		if pattern, ok := patterns[u.Name]; ok {
			download(t, client, base+pattern)
		} else {
			download(t, client, base+paths[u.Name]+"any.mp4")
		}
		res, err := client.Get(base + "/elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Errorf("%s: any path has the file", u.Name)
		}
	}
}

// comfyWorkflow is one that needs no more than a prompt.
func comfyWorkflow(t *testing.T) map[string]*comfyui.Workflow {
	t.Helper()
	w, err := comfyui.ParseWorkflow([]byte(`{"1":{"class_type":"EmptyHunyuanLatentVideo","inputs":{"width":128,"height":128,"length":16,"batch_size":1}},
		"2":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"simulated.safetensors"}},
		"3":{"class_type":"CLIPTextEncode","inputs":{"text":"{{prompt}}","clip":["2",1]}},
		"4":{"class_type":"VAEDecode","inputs":{"samples":["1",0],"vae":["2",2]}},
		"5":{"class_type":"CreateVideo","inputs":{"images":["4",0],"fps":16}},
		"6":{"class_type":"SaveVideo","inputs":{"video":["5",0],"filename_prefix":"clip"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*comfyui.Workflow{"clip": w}
}

// open reads an output as the lifecycle would.
func open(t *testing.T, p provider.Provider, up provider.Upstream, job provider.Job, out provider.Output) {
	t.Helper()
	opener, ok := p.(provider.Opener)
	if !ok {
		download(t, up.Client, out.URL)
		return
	}
	res, err := opener.OpenOutput(t.Context(), up, job, out)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n == 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func download(t *testing.T, client *http.Client, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n == 0 || res.StatusCode != http.StatusOK {
		t.Errorf("status %d, %d bytes, %v", res.StatusCode, n, err)
	}
}

// Unless they are named, there is one for each provider: accounts at two sides of one would share its models.
func TestSidesStartOnlyIfNamed(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	seen := map[string]bool{}
	for _, u := range f.Upstreams {
		if seen[u.Provider] || u.Name != u.Provider {
			t.Errorf("%s of provider %s", u.Name, u.Provider)
		}
		seen[u.Provider] = true
	}
	if len(seen) != 9 {
		t.Errorf("started %v", seen)
	}
}

func TestWhatCannotStartLeavesNothing(t *testing.T) {
	if _, err := fleet.Start(t.Context(), fleet.Options{Only: []string{"kling", "klinge"}}); err == nil || !strings.Contains(err.Error(), "klinge") {
		t.Errorf("error %v", err)
	}
	first, err := fleet.Start(t.Context(), fleet.Options{Only: []string{"vidu"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close(context.Background()) }()
	address, err := url.Parse(first.Upstreams[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	// Vidu's port is taken: what was started before it must end again (goleak looks).
	at := 0
	for i, name := range fleet.Names() {
		if name == "vidu" {
			at = i
		}
	}
	if _, err := fleet.Start(t.Context(), fleet.Options{Port: port - at}); err == nil {
		t.Error("two listen on one port")
	}
}
