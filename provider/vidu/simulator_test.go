package vidu_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/vidu"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/vidu"
)

const key = "vda_test_secret"

// world is the provider in front of a simulated Vidu.
type world struct {
	*vidu.Vidu
	sim   *upstream.Simulator
	clock *simulator.ManualClock
	up    provider.Upstream
}

func newWorld(t *testing.T, change func(*upstream.Config)) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	cfg := upstream.Config{Accounts: []upstream.Account{{Key: key, Concurrent: 100}}, Clock: clock, MaxSide: 128}
	if change != nil {
		change(&cfg)
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
	return &world{vidu.New(), sim, clock, provider.Upstream{Client: client, Account: provider.Account{
		BaseURL: srv.URL, Settings: map[string]string{vidu.SettingAPIKey: key},
	}}}
}

// request is for a video; orders go into its prompt.
func request(model, orders string, images int) provider.Request {
	r := provider.Request{
		ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", UpstreamModel: model, Kind: kinora.KindVideo, Prompt: "a lantern festival " + orders,
		SubmittedAt: time.Now(), Metadata: map[string]json.RawMessage{},
	}
	for i := range images {
		r.Images = append(r.Images, "https://img.example/"+string(rune('a'+i))+".png")
	}
	return r
}

func (w *world) submit(t *testing.T, req provider.Request) provider.Job {
	t.Helper()
	got, err := w.Submit(t.Context(), w.up, req)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Job{UpstreamID: got.UpstreamID, Handle: got.Handle, ClientRef: req.ClientRef, UpstreamModel: req.UpstreamModel, Kind: req.Kind}
}

func (w *world) poll(t *testing.T, jobs ...provider.Job) []provider.Report {
	t.Helper()
	reports, err := w.Poll(t.Context(), w.up, jobs)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

// What Validate lets pass for the built-in models, Vidu takes, on every route.
func TestEveryRouteIsTaken(t *testing.T) {
	w := newWorld(t, nil)
	meta := func(pairs ...string) map[string]json.RawMessage {
		out := map[string]json.RawMessage{}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = json.RawMessage(pairs[i+1])
		}
		return out
	}
	for _, c := range []struct {
		model  string
		images int
		size   string
		meta   map[string]json.RawMessage
		route  string
	}{
		{"viduq3-turbo", 0, "1920x1080", meta("duration", `"16"`, "audio", "true"), "text2video"},
		{"viduq1", 0, "16:9", meta("style", `"anime"`), "text2video"},
		{"viduq3-pro-fast", 1, "1280x720", nil, "img2video"},
		{"vidu2.0", 1, "", nil, "img2video"},
		{"viduq2-pro", 2, "4:3", meta("movement_amplitude", `"small"`), "start-end2video"},
		{"viduq2", 1, "3:4", nil, "reference2video"},
		{"viduq2-turbo", 4, "", nil, "reference2video"},
		{"viduq3", 0, "", meta("subjects", `[{"name":"lin","images":["https://img.example/l.png"]}]`), "reference2video"},
		{"viduq2", 1, "", meta("template", `"hugging"`), "template"},
		{"viduq2", 2, "", meta("story", `"love_story"`), "template-story"},
		{"viduq2-turbo", 3, "720x1280", meta("route", `"multiframe"`), "multiframe"},
	} {
		req := request(c.model, "", c.images)
		req.Size, req.Metadata = c.size, c.meta
		if err := w.Validate(req); err != nil {
			t.Errorf("%s with %d images: %v", c.model, c.images, err)
		}
		job := w.submit(t, req)
		tasks := w.sim.Stats().Tasks
		if last := tasks[len(tasks)-1]; last.Route != c.route || last.ID != job.UpstreamID || last.Payload != req.ClientRef {
			t.Errorf("%s with %d images became %+v, want %s", c.model, c.images, last, c.route)
		}
	}
	req := request("viduq2", "", 0)
	req.Kind, req.Size = kinora.KindImage, "auto"
	w.submit(t, req)
}

func TestFromSubmitToOutput(t *testing.T) {
	w := newWorld(t, nil)
	req := request("viduq2", "", 0)
	req.Kind, req.Size = kinora.KindImage, "1:1"
	job := w.submit(t, req)
	for _, step := range []struct {
		wait time.Duration
		want provider.State
	}{{0, provider.StateQueued}, {time.Second, provider.StateRunning}, {3 * time.Second, provider.StateSucceeded}} {
		w.clock.Advance(step.wait)
		if r := w.poll(t, job); len(r) != 1 || r[0].State != step.want {
			t.Fatalf("after another %v: %+v, want %s", step.wait, r, step.want)
		}
	}
	outputs := w.poll(t, job)[0].Outputs
	res, err := w.up.Client.Get(outputs[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := image.DecodeConfig(bytes.NewReader(content)); err != nil || cfg.Width != 128 || len(outputs) != 1 {
		t.Errorf("%d outputs, the first is %+v, error %v", len(outputs), cfg, err)
	}
}

// Every word that Vidu documents for a refused submit, ordered from the simulator, is
// said to have created nothing, and has not; and what is "perhaps" is so.
func TestRefusalsAreTrue(t *testing.T) {
	for orders, want := range map[string]provider.Class{
		"fail=FieldInvalid": provider.Invalid, "fail=ImageDownloadFailure": provider.Invalid, "fail=Conflict": provider.Invalid,
		"fail=TaskPromptPolicyViolation": provider.Moderation, "fail=AuditSubmitIllegal": provider.Moderation,
		"fail=CreditInsufficient": provider.Balance, "fail=OperationInProcess": provider.Rate, "fail=QuotaExceeded": provider.Rate,
		"fail=SystemThrottling": provider.Rate, "fail=Unauthorized": provider.Credential, "fail=Forbidden": provider.Permission,
		"fail=ModelUnavailable": provider.ModelGone, "fail=NotFound": provider.ModelGone,
		"fail=InternalServiceFailure": provider.OutcomeUnknown, "fail=Canceled": provider.OutcomeUnknown,
		"drop=before": provider.OutcomeUnknown, "drop=after": provider.OutcomeUnknown, "drop=error": provider.OutcomeUnknown,
	} {
		w := newWorld(t, nil)
		req := request("viduq2", "[["+orders+"]]", 0)
		_, err := w.Submit(t.Context(), w.up, req)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != want {
			t.Errorf("%s: error %v, want class %s", orders, err, want)
		}
		made := w.sim.Accepted()[req.ClientRef]
		if want != provider.OutcomeUnknown && made != 0 {
			t.Errorf("%s: class %s, although %d tasks were made", orders, want, made)
		}
		got, err := w.Reconcile(t.Context(), w.up, req)
		if made == 1 && (err != nil || got.UpstreamID != w.sim.Stats().Tasks[0].ID) || made == 0 && !errors.Is(err, provider.ErrUncertain) {
			t.Errorf("%s: %d tasks were made; reconciled %+v, error %v", orders, made, got, err)
		}
	}
}

// Without payloads in its list, Vidu's queries tell; without the list, nothing does.
func TestReconcileWithoutPayloads(t *testing.T) {
	w := newWorld(t, func(c *upstream.Config) { c.BareLists, c.Older = true, true })
	for range 3 {
		other := request("viduq2", "[[drop=after]]", 0)
		other.ClientRef = strings.Replace(other.ClientRef, "9P", "9Q", 1)
		if _, err := w.Submit(t.Context(), w.up, other); err == nil {
			t.Fatal("a dropped connection went well")
		}
	}
	req := request("viduq2", "[[drop=after]]", 0)
	if _, err := w.Submit(t.Context(), w.up, req); err == nil {
		t.Fatal("a dropped connection went well")
	}
	if got, err := w.Reconcile(t.Context(), w.up, req); err != nil || got.UpstreamID != w.sim.Stats().Tasks[3].ID {
		t.Errorf("reconciled %+v, error %v", got, err)
	}
	hidden := request("viduq2", "[[drop=after unlisted]]", 0)
	hidden.ClientRef = strings.Replace(hidden.ClientRef, "9P", "9R", 1)
	if _, err := w.Submit(t.Context(), w.up, hidden); err == nil {
		t.Fatal("a dropped connection went well")
	}
	if _, err := w.Reconcile(t.Context(), w.up, hidden); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("error %v", err)
	}
}

func TestReconcileLooksAtItsOwnTimeOnly(t *testing.T) {
	w := newWorld(t, nil)
	req := request("viduq2", "", 0)
	w.submit(t, req)
	req.SubmittedAt = req.SubmittedAt.Add(time.Hour)
	if _, err := w.Reconcile(t.Context(), w.up, req); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("an older task: error %v", err)
	}
}

func TestEndings(t *testing.T) {
	w := newWorld(t, nil)
	for orders, want := range map[string]provider.Class{
		"end=CreationPolicyViolation": provider.Moderation, "end=ImageCheckFaceFailed": provider.Invalid,
		"end=InternalServiceFailure": provider.Generation, "end=ModelUnavailable": provider.ModelGone,
	} {
		job := w.submit(t, request("viduq2", "[["+orders+"]]", 0))
		w.clock.Advance(time.Minute)
		if r := w.poll(t, job); len(r) != 1 || r[0].State != provider.StateFailed || r[0].Err.Class != want {
			t.Errorf("%s: %+v, want class %s", orders, r, want)
		}
	}
	job := w.submit(t, request("viduq2", "[[word=warming_up]]", 0))
	w.clock.Advance(3 * time.Second)
	if r := w.poll(t, job); len(r) != 1 || r[0].State != provider.StateRunning {
		t.Errorf("an unknown word: %+v", r)
	}
	job = w.submit(t, request("viduq2", "[[gone]]", 0))
	w.clock.Advance(time.Minute)
	if r := w.poll(t, job); len(r) != 0 {
		t.Errorf("a record that is gone: %+v", r)
	}
	for _, orders := range []string{"faults=1", "broken=1"} {
		job = w.submit(t, request("viduq2", "[["+orders+"]]", 0))
		_, err := w.Poll(t.Context(), w.up, []provider.Job{job})
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Unavailable {
			t.Errorf("%s: error %v", orders, err)
		}
		if r := w.poll(t, job); len(r) != 1 {
			t.Errorf("after %s: %+v", orders, r)
		}
	}
}

// An off-peak task that Vidu itself gives up is expired, one that was cancelled is not.
func TestOffPeak(t *testing.T) {
	w := newWorld(t, nil)
	req := request("viduq3-turbo", "[[never]]", 0)
	req.Metadata["off_peak"] = json.RawMessage("true")
	job := w.submit(t, req)
	if r := w.poll(t, job); len(r) != 1 || r[0].PollAfter == 0 {
		t.Errorf("%+v", r)
	}
	// The provider goes by the machine's time, so the task has to be two days old already.
	old := w.clock.Now().Add(-49 * time.Hour).UTC().Format(time.RFC3339)
	job.Handle = json.RawMessage(`{"off_peak":true,"created_at":"` + old + `"}`)
	w.clock.Advance(49 * time.Hour)
	if r := w.poll(t, job); len(r) != 1 || r[0].State != provider.StateExpired {
		t.Errorf("%+v", r)
	}
}

// One list serves many tasks, and hides what it does not know.
func TestManyInOneCall(t *testing.T) {
	for bare, want := range map[bool]int{false: 29, true: 0} {
		w := newWorld(t, func(c *upstream.Config) { c.BareLists = bare })
		var jobs []provider.Job
		for i := range 30 {
			orders := ""
			if i == 7 {
				orders = "[[unlisted]]"
			}
			jobs = append(jobs, w.submit(t, request("viduq3-pro", orders, 0)))
		}
		w.clock.Advance(time.Hour)
		got := w.poll(t, jobs...)
		for _, r := range got {
			if r.State != provider.StateSucceeded || len(r.Outputs) != 1 {
				t.Fatalf("%+v", r)
			}
		}
		if stats := w.sim.Stats(); len(got) != want || stats.Lists != 1 || stats.Polls != 0 {
			t.Errorf("%d reports by %d lists and %d queries, want %d by 1 list", len(got), stats.Lists, stats.Polls, want)
		}
		if r := w.poll(t, jobs[7]); len(r) != 1 || r[0].State != provider.StateSucceeded {
			t.Errorf("alone: %+v", r)
		}
	}
}

func TestCancelForReal(t *testing.T) {
	w := newWorld(t, nil)
	job := w.submit(t, request("viduq2", "", 0))
	if err := w.Cancel(t.Context(), w.up, job); err != nil {
		t.Fatal(err)
	}
	if r := w.poll(t, job); len(r) != 1 || r[0].State != provider.StateCancelled {
		t.Errorf("after the cancel %+v", r)
	}
	late := w.submit(t, request("viduq2", "", 0))
	w.clock.Advance(3 * time.Second)
	if err := w.Cancel(t.Context(), w.up, late); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("a task that runs: %v", err)
	}
	w.clock.Advance(time.Hour)
	if err := w.Cancel(t.Context(), w.up, late); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("a task that has ended: %v", err)
	}
	if r := w.poll(t, late); len(r) != 1 || r[0].State != provider.StateSucceeded {
		t.Errorf("the record of a finished task: %+v", r)
	}
	var e *provider.Error
	if err := w.Cancel(t.Context(), w.up, provider.Job{UpstreamID: "1/../2"}); !errors.As(err, &e) || e.Class != provider.Gone {
		t.Errorf("a task that is not there: %v", err)
	}
}

// Calls of a simulated Vidu, as they arrive: signed ones are taken, and an id that a body
// claims leads to no other attempt's task.
func TestCallbacksForReal(t *testing.T) {
	for orders, want := range map[string]struct{ good, refused, misleading int }{
		"": {2, 0, 0}, "duplicate": {4, 0, 0}, "reordered": {2, 0, 0}, "unsigned": {0, 2, 0}, "stale": {0, 2, 0}, "forged": {2, 1, 0}, "liar": {2, 0, 1},
	} {
		w := newWorld(t, func(c *upstream.Config) { c.CallbackClient = http.DefaultClient })
		type outcome struct {
			provider.Callback
			err error
		}
		outcomes := make(chan outcome, 10)
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got, err := w.VerifyCallback(w.up, provider.InboundCallback{
				Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, Body: body, Arrived: w.clock.Now(),
			})
			outcomes <- outcome{got, err}
		}))
		other := request("viduq2", "", 0)
		other.ClientRef = strings.Replace(other.ClientRef, "9P", "9Q", 1)
		othersJob := w.submit(t, other)
		req := request("viduq2", "[[callback="+orders+"]]", 0)
		if orders == "" {
			req.Prompt = "x"
		}
		req.CallbackURL = receiver.URL + "/callbacks/vidu/to%2Fken?a=1&b"
		job := w.submit(t, req)
		var got [3]int
		total := want.good + want.refused + want.misleading
		// The end, and what claims one, is worth a look; a start is not.
		hints, worth := 0, 1+want.misleading
		if orders == "duplicate" {
			worth = 2
		}
		first := total - 1
		switch orders {
		case "duplicate":
			first = 2
		case "reordered":
			first = 0
		}
		for i := range total {
			switch {
			case i == 0:
				w.clock.Advance(2 * time.Second)
			}
			if i == first {
				w.clock.Advance(8 * time.Second)
				w.clock.Advance(time.Second)
			}
			o := <-outcomes
			if o.Hint {
				hints++
			}
			var e *provider.Error
			switch {
			case errors.As(o.err, &e) && e.Class == provider.Credential:
				got[1]++
			case o.err != nil || !o.Verified:
				t.Errorf("%s: callback %+v, error %v", orders, o.Callback, o.err)
			case o.UpstreamID == job.UpstreamID:
				got[0]++
			case o.UpstreamID == othersJob.UpstreamID:
				got[2]++
				named := job
				named.UpstreamID, named.Handle = o.UpstreamID, o.Handle
				if r := w.poll(t, named); len(r) != 0 {
					t.Errorf("somebody else's task is shown as %+v", r)
				}
			}
		}
		if wanted := [3]int{want.good, want.refused, want.misleading}; !slices.Equal(got[:], wanted[:]) {
			t.Errorf("%q: good, refused, misleading %v, want %v", orders, got, wanted)
		}
		if hints != worth && want.good > 0 {
			t.Errorf("%q: %d callbacks are worth a look, want %d", orders, hints, worth)
		}
		receiver.Close()
		http.DefaultClient.CloseIdleConnections()
	}
}
