package ark_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/ark"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/ark"
)

// world is the provider in front of the simulated vendor.
type world struct {
	*ark.Ark
	sim   *upstream.Simulator
	clock *simulator.ManualClock
	up    provider.Upstream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	sim, err := upstream.New(upstream.Config{Accounts: []upstream.Account{{Key: "ark-key-1"}}, Clock: clock, MaxSide: 160})
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
	return &world{ark.New(), sim, clock, provider.Upstream{Client: client, Account: provider.Account{
		BaseURL: srv.URL + "/api/v3", Settings: map[string]string{ark.SettingAPIKey: "ark-key-1"},
	}}}
}

func video(prompt string) provider.Request {
	return provider.Request{
		ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_1", UpstreamModel: "doubao-seedance-1-5-pro-251215", Kind: kinora.KindVideo,
		Prompt: prompt, Size: "480x480", Duration: 4,
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
	return provider.Job{UpstreamID: got.UpstreamID, UpstreamModel: req.UpstreamModel, Kind: req.Kind}
}

func (w *world) poll(t *testing.T, jobs ...provider.Job) []provider.Report {
	t.Helper()
	reports, err := w.Poll(t.Context(), w.up, jobs)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

// Every shape of request that the provider makes is one that the vendor takes.
func TestRequestsAreTaken(t *testing.T) {
	w := newWorld(t)
	source := []string{"https://cdn.example/1.png", "https://cdn.example/2.png", "https://cdn.example/3.png"}
	for name, change := range map[string]func(*provider.Request){
		"text":       func(*provider.Request) {},
		"first":      func(r *provider.Request) { r.Images = source[:1] },
		"first last": func(r *provider.Request) { r.Images = source[:2] },
		"references": func(r *provider.Request) { r.UpstreamModel, r.Images = "doubao-seedance-2-0-260128", source },
		"many fields": func(r *provider.Request) {
			r.UpstreamModel = "seedance-1-0-pro-250528"
			r.Metadata = map[string]json.RawMessage{"frames": json.RawMessage(`"57"`), "resolution": json.RawMessage(`"1080P"`), "service_tier": json.RawMessage(`"flex"`)}
		},
		"tokens":   func(r *provider.Request) { r.Prompt = "a kite --dur 99 --rs 8k" },
		"endpoint": func(r *provider.Request) { r.UpstreamModel = "seedance/ep-1" },
		"image": func(r *provider.Request) {
			r.UpstreamModel, r.Kind, r.Size = "doubao-seedream-4-0-250828", kinora.KindImage, "16:9"
		},
		"images": func(r *provider.Request) {
			r.UpstreamModel, r.Kind, r.Size, r.Images = "doubao-seedream-4-5-251128", kinora.KindImage, "2K", source
			r.Metadata = map[string]json.RawMessage{"n": json.RawMessage("3")}
		},
		"an image endpoint": func(r *provider.Request) { r.UpstreamModel, r.Kind, r.Size = "ep-1", kinora.KindImage, "" },
	} {
		req := video("a kite")
		change(&req)
		req.Prompt += " [[time=0s]]" // an image call lasts as long as its image
		if err := w.Validate(req); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := w.Submit(t.Context(), w.up, req); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	stats := w.sim.Stats()
	if len(stats.Tasks) != 7 || len(stats.Images) != 3 {
		t.Errorf("%d tasks, %d image calls", len(stats.Tasks), len(stats.Images))
	}
	for _, task := range stats.Tasks {
		if task.Prompt != "a kite" || task.Seconds > 4 {
			t.Errorf("task %+v", task)
		}
	}
	for _, call := range stats.Images {
		if call.Watermark {
			t.Errorf("image call %+v has a watermark that nobody asked for", call)
		}
	}
}

func TestFromSubmitToOutput(t *testing.T) {
	w := newWorld(t)
	job, other := w.submit(t, video("a kite")), w.submit(t, video("another [[fail=OutputVideoSensitiveContentDetected]]"))
	lost := provider.Job{UpstreamID: "cgt-unknown", UpstreamModel: job.UpstreamModel, Kind: job.Kind}
	if r := w.poll(t, job); len(r) != 1 || r[0].State != provider.StateQueued {
		t.Errorf("at first %+v", r)
	}
	w.clock.Advance(2 * time.Second)
	if r := w.poll(t, job, other, lost); len(r) != 2 || r[0].State != provider.StateRunning || r[1].State != provider.StateRunning {
		t.Errorf("then %+v", r)
	}
	w.clock.Advance(3 * time.Second)
	states := map[string]provider.Report{}
	for _, r := range w.poll(t, job, other) {
		states[r.UpstreamID] = r
	}
	if r := states[other.UpstreamID]; r.State != provider.StateFailed || r.Err.Class != provider.Moderation {
		t.Errorf("refused %+v", r)
	}
	r := states[job.UpstreamID]
	if r.State != provider.StateSucceeded || len(r.Outputs) != 1 {
		t.Fatalf("at the end %+v", r)
	}
	res, err := w.up.Client.Get(r.Outputs[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body[:16]), "ftyp") {
		t.Errorf("the output: %d, %v", res.StatusCode, err)
	}
	if reports := w.poll(t, lost); len(reports) != 0 {
		t.Errorf("an unknown task: %+v", reports)
	}
}

// Every misfortune of a submit gets the class that says what is true of the vendor.
func TestFailuresGetTheirClass(t *testing.T) {
	for order, want := range map[string]provider.Class{
		"refuse=InvalidParameter":                      provider.Invalid,
		"refuse=InputTextSensitiveContentDetected":     provider.Moderation,
		"refuse=AuthenticationError":                   provider.Credential,
		"refuse=AccessDenied":                          provider.Permission,
		"refuse=AccountOverdueError":                   provider.Balance,
		"refuse=QuotaExceeded":                         provider.Balance,
		"refuse=SetLimitExceeded":                      provider.Balance,
		"refuse=RateLimitExceeded.EndpointRPMExceeded": provider.Rate,
		"refuse=ServerOverloaded":                      provider.Rate,
		"refuse=InvalidEndpointOrModel.NotFound":       provider.ModelGone,
		"refuse=ModelNotOpen":                          provider.ModelGone,
		"refuse=InternalServiceError":                  provider.OutcomeUnknown,
		"drop=before":                                  provider.OutcomeUnknown,
		"drop=after":                                   provider.OutcomeUnknown,
		"drop=error":                                   provider.OutcomeUnknown,
	} {
		w := newWorld(t)
		req := video("a kite [[" + order + "]]")
		_, err := w.Submit(t.Context(), w.up, req)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != want {
			t.Errorf("%s: error %v, want class %s", order, err, want)
			continue
		}
		created := w.sim.Accepted()[req.ClientRef]
		if want != provider.OutcomeUnknown && created != 0 {
			t.Errorf("%s: class %s although %d tasks were created", order, want, created)
		}
		if want != provider.OutcomeUnknown {
			continue
		}
		got, err := w.Reconcile(t.Context(), w.up, req)
		if created == 0 && !errors.Is(err, provider.ErrUncertain) || created == 1 && (err != nil || got.UpstreamID == "") {
			t.Errorf("%s: %d tasks were created, reconciled %+v, error %v", order, created, got, err)
		}
	}
	for order, want := range map[string]provider.State{"expire": provider.StateExpired, "fail=InternalServiceError": provider.StateFailed, "word=new_word": provider.StateRunning} {
		w := newWorld(t)
		job := w.submit(t, video("a kite [["+order+"]]"))
		w.clock.Advance(2 * time.Second)
		if want != provider.StateRunning {
			w.clock.Advance(time.Minute)
		}
		if r := w.poll(t, job); len(r) != 1 || r[0].State != want {
			t.Errorf("%s: %+v", order, r)
		}
	}
}

// A task that lists do not show is not found, and that proves nothing.
func TestReconcileAgainstAListThatLags(t *testing.T) {
	w := newWorld(t)
	req := video("a kite [[unlisted]]")
	w.submit(t, req)
	if got, err := w.Reconcile(t.Context(), w.up, req); !errors.Is(err, provider.ErrUncertain) {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestCancelForReal(t *testing.T) {
	w := newWorld(t)
	waiting, ended := w.submit(t, video("a [[queue=1h]]")), w.submit(t, video("b"))
	w.clock.Advance(2 * time.Second)
	if err := w.Cancel(t.Context(), w.up, ended); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("running: %v", err)
	}
	w.clock.Advance(time.Minute)
	if err := w.Cancel(t.Context(), w.up, ended); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("ended: %v", err)
	}
	if r := w.poll(t, ended); len(r) != 1 || r[0].State != provider.StateSucceeded {
		t.Errorf("its record after the cancel: %+v", r)
	}
	if err := w.Cancel(t.Context(), w.up, waiting); err != nil {
		t.Errorf("queued: %v", err)
	}
	if r := w.poll(t, waiting); len(r) != 1 || r[0].State != provider.StateCancelled {
		t.Errorf("after the cancel: %+v", r)
	}
	if s := w.sim.Stats(); s.Cancelled != 1 || s.Destroyed != 0 {
		t.Errorf("%+v", s)
	}
}

// The vendor's callback says what a query says, and is worth a look and no more.
func TestCallbacksForReal(t *testing.T) {
	w := newWorld(t)
	came := make(chan provider.Callback, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, err := w.VerifyCallback(w.up, provider.InboundCallback{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, Body: body, Arrived: w.clock.Now()})
		if err != nil {
			t.Error(err)
		}
		came <- got
	}))
	defer receiver.Close()
	req := video("a kite")
	req.CallbackURL = receiver.URL + "/callbacks/ark/token?a=b&c=%2F"
	job := w.submit(t, req)
	if got := <-came; got.UpstreamID != job.UpstreamID || got.Hint || got.Verified {
		t.Errorf("the news that it waits is %+v", got)
	}
	if sent := w.sim.Stats().Tasks[0].CallbackURL; sent != req.CallbackURL {
		t.Errorf("the callback URL arrived as %s", sent)
	}
}
