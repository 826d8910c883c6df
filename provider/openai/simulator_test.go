package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/openai"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/openai"
	"github.com/kinora/kinora/provider/providertest"
)

const key = "sk-simulated-0123456789"

// world is the provider in front of a simulated upstream.
type world struct {
	*openai.OpenAI
	sim   *upstream.Simulator
	clock *simulator.ManualClock
	up    provider.Upstream
	sink  *providertest.Sink
}

func newWorld(t *testing.T, cfg upstream.Config, settings map[string]string) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	cfg.Clock, cfg.MaxSide = clock, 128
	if cfg.Dialect == upstream.Vendor {
		cfg.Accounts = append(cfg.Accounts, upstream.Account{Key: key})
	}
	sim, err := upstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		srv.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	if settings == nil {
		settings = map[string]string{openai.SettingAPIKey: key}
	}
	return &world{openai.New(), sim, clock, provider.Upstream{Client: client, Account: provider.Account{
		BaseURL: srv.URL + "/v1", Settings: settings,
	}, Sources: providertest.Sources{"https://img.example/1.png": dot(t), "https://img.example/mask.png": dot(t)}}, &providertest.Sink{}}
}

func dot(t *testing.T) []byte {
	t.Helper()
	return []byte("\x89PNG\r\n\x1a\n and so on")
}

func (w *world) request(model string, kind kinora.Kind, prompt string) provider.Request {
	return provider.Request{
		ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", UpstreamModel: model, Kind: kind, Prompt: prompt, Sink: w.sink, Metadata: map[string]json.RawMessage{},
	}
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
	return provider.Job{UpstreamID: got.UpstreamID, Handle: got.Handle, UpstreamModel: req.UpstreamModel, Kind: req.Kind}
}

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

func (w *world) open(t *testing.T, job provider.Job, out provider.Output) ([]byte, error) {
	t.Helper()
	res, err := w.OpenOutput(t.Context(), w.up, job, out)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(res.Body)
	return content, errors.Join(err, res.Body.Close())
}

// Every server takes a video as its account says it is to be sent, and hands it out.
func TestVideosOfEveryServer(t *testing.T) {
	for name, c := range map[string]struct {
		dialect  upstream.Dialect
		settings map[string]string
		model    string
		first    provider.State // half way
	}{
		"OpenAI":           {upstream.Vendor, nil, "sora-2-pro", provider.StateRunning},
		"OpenAI, in forms": {upstream.Vendor, map[string]string{openai.SettingAPIKey: key, openai.SettingSubmit: "multipart"}, "sora-2", provider.StateRunning},
		"SGLang":           {upstream.SGLang, map[string]string{openai.SettingSeconds: "integer"}, "Wan-AI/Wan2.2-T2V", provider.StateQueued},
		"vLLM-Omni":        {upstream.VLLM, map[string]string{openai.SettingSubmit: "multipart"}, "Wan-AI/Wan2.2-T2V", provider.StateRunning},
	} {
		w := newWorld(t, upstream.Config{Dialect: c.dialect}, c.settings)
		req := w.request(c.model, kinora.KindVideo, "a paper boat")
		req.Size, req.Duration, req.Images = "1280x720", 4, []string{"https://img.example/1.png"}
		job := w.submit(t, req)
		if r := w.look(t, job); r == nil || r.State != provider.StateQueued {
			t.Errorf("%s: at first %+v", name, r)
		}
		w.clock.Advance(5 * time.Second)
		if r := w.look(t, job); r == nil || r.State != c.first || r.Progress < 0 {
			t.Errorf("%s: half way %+v", name, r)
		}
		out := provider.Output{Kind: kinora.KindVideo, Handle: json.RawMessage(`{"video":"` + job.UpstreamID + `"}`)}
		if _, err := w.open(t, job, out); provider.AsError(err, "").Class != provider.Unavailable {
			t.Errorf("%s: opened too early: %v", name, err)
		}
		w.clock.Advance(5 * time.Second)
		r := w.look(t, job)
		if r == nil || r.State != provider.StateSucceeded || len(r.Outputs) != 1 || r.Progress != 100 {
			t.Fatalf("%s: at the end %+v", name, r)
		}
		content, err := w.open(t, job, r.Outputs[0])
		if err != nil || len(content) < 16 || string(content[4:8]) != "ftyp" {
			t.Errorf("%s: the output has %d bytes, error %v", name, len(content), err)
		}
		if made := w.sim.Stats().Jobs; len(made) != 1 || made[0].Seconds != 4 || made[0].Size != "1280x720" || len(made[0].References) != 1 {
			t.Errorf("%s: made %+v", name, made)
		}
		if err := w.Cancel(t.Context(), w.up, job); !errors.Is(err, provider.ErrNotCancellable) {
			t.Errorf("%s: cancelled: %v", name, err)
		}
		w.clock.Advance(2 * time.Hour)
		if r := w.look(t, job); c.dialect == upstream.Vendor && (r == nil || r.State != provider.StateSucceeded) {
			t.Errorf("%s: by the machine's clock it has not expired: %+v", name, r)
		}
		if _, err := w.open(t, job, r.Outputs[0]); provider.AsError(err, "").Class != provider.Gone {
			t.Errorf("%s: an old file: %v", name, err)
		}
		unknown := job
		unknown.UpstreamID = "video_of_nobody"
		if r := w.look(t, unknown); r != nil {
			t.Errorf("%s: an unknown video: %+v", name, r)
		}
	}
}

// What goes wrong with a video has the class that says what is true.
func TestVideoFailuresGetTheirClass(t *testing.T) {
	w := newWorld(t, upstream.Config{Accounts: []upstream.Account{{Key: key + "-broke", Broke: true}}, Retired: []string{"sora-1"}}, nil)
	for order, want := range map[string]provider.Class{
		"refuse=moderation_blocked": provider.Moderation, "refuse=rate_limit_exceeded": provider.Rate, "refuse=insufficient_quota": provider.Balance,
		"refuse=billing_hard_limit_reached": provider.Balance, "refuse=model_not_found": provider.ModelGone, "refuse=invalid_value": provider.Invalid,
		"refuse=server_error": provider.OutcomeUnknown, "refuse=overloaded": provider.OutcomeUnknown,
		"drop=before": provider.OutcomeUnknown, "drop=after": provider.OutcomeUnknown, "drop=error": provider.OutcomeUnknown,
	} {
		before := len(w.sim.Stats().Jobs)
		_, err := w.Submit(t.Context(), w.up, w.request("sora-2", kinora.KindVideo, "a boat [["+order+"]]"))
		if e := provider.AsError(err, ""); err == nil || e.Class != want {
			t.Errorf("%s: error %v, want class %s", order, err, want)
		}
		if made := len(w.sim.Stats().Jobs) - before; want != provider.OutcomeUnknown && made != 0 {
			t.Errorf("%s: class %s although %d videos were made", order, want, made)
		}
	}
	_, err := w.Submit(t.Context(), w.up, w.request("sora-1", kinora.KindVideo, "a boat"))
	if e := provider.AsError(err, ""); err == nil || e.Class != provider.ModelGone {
		t.Errorf("a retired model: %v", err)
	}
	_, err = w.Submit(t.Context(), w.up, w.request("sora-2", kinora.KindVideo, "a boat [[refuse=rate_limit_exceeded]]"))
	if e := provider.AsError(err, ""); err == nil || e.RetryAfter != 1500*time.Millisecond {
		t.Errorf("the wait after a rate limit: %+v", e)
	}
	w.up.Account.Settings = map[string]string{openai.SettingAPIKey: key + "-wrong"}
	_, err = w.Submit(t.Context(), w.up, w.request("sora-2", kinora.KindVideo, "a boat"))
	if e := provider.AsError(err, ""); err == nil || e.Class != provider.Credential {
		t.Errorf("a wrong key: %v", err)
	}
	w.up.Account.Settings[openai.SettingAPIKey] = key
	for order, want := range map[string]provider.State{
		"fail=moderation_blocked": provider.StateFailed, "word=warming_up": provider.StateRunning, "unready=1": provider.StateSucceeded,
	} {
		job := w.submit(t, w.request("sora-2", kinora.KindVideo, "a boat [["+order+"]]"))
		w.clock.Advance(5 * time.Second)
		if want != provider.StateRunning {
			w.clock.Advance(time.Minute)
		}
		if r := w.look(t, job); r == nil || r.State != want {
			t.Errorf("%s: %+v", order, r)
		}
	}
	job := w.submit(t, w.request("sora-2", kinora.KindVideo, "a boat [[gone busy=1 cut=1]]"))
	for _, want := range []provider.Class{provider.Unavailable, provider.Unavailable} {
		if _, err := w.Poll(t.Context(), w.up, []provider.Job{job}); provider.AsError(err, "").Class != want {
			t.Errorf("a bad look: %v", err)
		}
	}
	w.clock.Advance(time.Minute)
	if r := w.look(t, job); r != nil {
		t.Errorf("a record that is gone: %+v", r)
	}
}

// images submits an image call, and lets the clock of the simulator run meanwhile.
func (w *world) images(t *testing.T, req provider.Request) (provider.Accepted, error) {
	t.Helper()
	if err := w.Validate(req); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				if w.clock.Waiting() > 0 {
					w.clock.Advance(time.Second)
				}
			}
		}
	}()
	got, err := w.Submit(t.Context(), w.up, req)
	close(done)
	<-moved
	return got, err
}

func TestImagesAgainstTheSimulator(t *testing.T) {
	forms := map[string]string{openai.SettingAPIKey: key, openai.SettingEdits: "multipart"}
	for name, c := range map[string]struct {
		dialect  upstream.Dialect
		settings map[string]string
		model    string
		images   []string
		metadata string
		n        int
		stream   bool
	}{
		"one":                 {upstream.Vendor, nil, "gpt-image-2", nil, `{"partial_images":2,"resolution":"2k"}`, 1, true},
		"one, not streamed":   {upstream.Vendor, map[string]string{openai.SettingAPIKey: key, openai.SettingStream: "off"}, "gpt-image-2.6-flare", nil, `{"quality":"max"}`, 1, false},
		"several":             {upstream.Vendor, nil, "gpt-image-2", nil, `{"n":3}`, 3, false},
		"an edit":             {upstream.Vendor, nil, "gpt-image-2", []string{"https://img.example/1.png"}, `{"mask_url":"https://img.example/mask.png"}`, 1, true},
		"an edit in a form":   {upstream.Vendor, forms, "gpt-image-2", []string{"https://img.example/1.png"}, `{"mask_url":"https://img.example/mask.png","n":2}`, 2, false},
		"vLLM-Omni's":         {upstream.VLLM, map[string]string{}, "Qwen/Qwen-Image", nil, `{}`, 1, false},
		"SGLang's, in base64": {upstream.SGLang, map[string]string{openai.SettingResponseFormat: "b64_json"}, "Qwen/Qwen-Image", nil, `{}`, 1, false},
	} {
		w := newWorld(t, upstream.Config{Dialect: c.dialect}, c.settings)
		req := w.request(c.model, kinora.KindImage, "a tram depot")
		req.Size, req.Images = "3:2", c.images
		if err := json.Unmarshal([]byte(c.metadata), &req.Metadata); err != nil {
			t.Fatal(err)
		}
		var progress []int
		req.Progress = func(p int) { progress = append(progress, p) }
		got, err := w.images(t, req)
		if err != nil || got.Report == nil || len(got.Report.Outputs) != c.n {
			t.Errorf("%s: accepted %+v, error %v", name, got.Report, err)
			continue
		}
		for i := range c.n {
			if cfg, _, err := image.DecodeConfig(bytes.NewReader(w.sink.Kept(i))); err != nil || cfg.Width != 128 {
				t.Errorf("%s: image %d is %+v, error %v", name, i, cfg, err)
			}
		}
		calls := w.sim.Stats().Images
		if len(calls) != 1 || calls[0].N != c.n || calls[0].Stream != c.stream || len(calls[0].References) != len(c.images) || c.stream != (len(progress) > 0) {
			t.Errorf("%s: calls %+v, progress %v", name, calls, progress)
		}
	}
}

func TestImageFailuresGetTheirClass(t *testing.T) {
	w := newWorld(t, upstream.Config{Accounts: []upstream.Account{{Key: key + "-unverified", Unverified: true}}}, nil)
	for order, want := range map[string]provider.Class{
		"refuse=moderation_blocked": provider.Moderation, "refuse=insufficient_quota": provider.Balance, "refuse=server_error": provider.OutcomeUnknown,
		"fail=moderation_blocked partials=0": provider.Moderation, "fail=server_error partials=0": provider.OutcomeUnknown, "fail=rate_limit_exceeded partials=0": provider.Rate,
		"drop=before": provider.OutcomeUnknown, "drop=after": provider.OutcomeUnknown, "drop=error": provider.OutcomeUnknown, "drop=half": provider.OutcomeUnknown,
	} {
		for _, settings := range []string{"on", "off"} {
			w.up.Account.Settings = map[string]string{openai.SettingAPIKey: key, openai.SettingStream: settings}
			before := w.sim.Stats().Made
			_, err := w.images(t, w.request("gpt-image-2", kinora.KindImage, "a tram [["+order+"]]"))
			if e := provider.AsError(err, ""); err == nil || e.Class != want {
				t.Errorf("%s, stream %s: error %v, want class %s", order, settings, err, want)
			}
			if made := w.sim.Stats().Made - before; want != provider.OutcomeUnknown && made != 0 {
				t.Errorf("%s: class %s although %d images were made", order, want, made)
			}
		}
	}
	w.up.Account.Settings = map[string]string{openai.SettingAPIKey: key}
	got, err := w.images(t, w.request("gpt-image-2", kinora.KindImage, "a tram [[fail=moderation_blocked]]"))
	if err != nil || got.Report == nil || got.Report.State != provider.StateFailed || got.Report.Err.Class != provider.Moderation {
		t.Errorf("refused after an unfinished image: %+v, error %v", got.Report, err)
	}
	w.up.Account.Settings[openai.SettingAPIKey] = key + "-unverified"
	_, err = w.images(t, w.request("gpt-image-2", kinora.KindImage, "a tram"))
	if e := provider.AsError(err, ""); err == nil || e.Class != provider.Permission || e.Message != "the account's organisation must be verified at the upstream for this model" {
		t.Errorf("not verified: %v", err)
	}
}

func TestResponsesAgainstTheSimulator(t *testing.T) {
	w := newWorld(t, upstream.Config{}, nil)
	const model = "responses:gpt-5.6-terra+gpt-image-2"
	req := w.request(model, kinora.KindImage, "a tram depot")
	req.Size, req.Images = "1536x1024", []string{"https://img.example/1.png"}
	job, slow, silent := w.submit(t, req), w.submit(t, w.request(model, kinora.KindImage, "b [[time=1h]]")), w.submit(t, w.request(model, kinora.KindImage, "c [[silent]]"))
	if r := w.look(t, job); r == nil || r.State != provider.StateQueued {
		t.Errorf("at first %+v", r)
	}
	w.clock.Advance(2 * time.Second)
	if r := w.look(t, job); r == nil || r.State != provider.StateRunning {
		t.Errorf("then %+v", r)
	}
	w.clock.Advance(20 * time.Minute) // what is not stored would be gone
	r := w.look(t, job)
	if r == nil || r.State != provider.StateSucceeded || len(r.Outputs) != 1 {
		t.Fatalf("at the end %+v", r)
	}
	content, err := w.open(t, job, r.Outputs[0])
	if cfg, _, bad := image.DecodeConfig(bytes.NewReader(content)); err != nil || bad != nil || cfg.Width != 128 {
		t.Errorf("the picture is %+v, errors %v, %v", cfg, err, bad)
	}
	if r := w.look(t, silent); r == nil || r.State != provider.StateFailed || r.Err.Class != provider.Moderation {
		t.Errorf("without an image: %+v", r)
	}
	if err := w.Cancel(t.Context(), w.up, slow); err != nil {
		t.Errorf("cancelling one that runs: %v", err)
	}
	if r := w.look(t, slow); r == nil || r.State != provider.StateCancelled {
		t.Errorf("after the cancel %+v", r)
	}
	if err := w.Cancel(t.Context(), w.up, job); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("cancelling one that has ended: %v", err)
	}
	if s := w.sim.Stats(); s.Cancelled != 1 || s.Deleted != 0 || len(s.Jobs[0].References) != 1 {
		t.Errorf("%+v", s)
	}
}
