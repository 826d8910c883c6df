package minimax_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/minimax"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/minimax"
)

const key = "sk-simulated"

// world is the provider in front of the simulated upstream.
type world struct {
	*minimax.MiniMax
	server *upstream.Simulator
	clock  *simulator.ManualClock
	up     provider.Upstream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	server, err := upstream.New(upstream.Config{Accounts: []upstream.Account{{Key: key}}, Clock: clock, MaxSide: 128})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		srv.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{minimax.New(), server, clock, provider.Upstream{Client: client, Account: provider.Account{
		BaseURL: srv.URL, Settings: map[string]string{minimax.SettingAPIKey: key},
	}}}
}

func request(model, prompt string, images ...string) provider.Request {
	kind := kinora.KindVideo
	if strings.HasPrefix(model, "image") {
		kind = kinora.KindImage
		prompt += " [[time=0]]" // the submit would wait for the clock to be moved
	}
	return provider.Request{ClientRef: "r", Model: model, UpstreamModel: model, Kind: kind, Prompt: prompt, Images: images}
}

func job(id string, req provider.Request) provider.Job {
	return provider.Job{UpstreamID: id, UpstreamModel: req.UpstreamModel, Kind: req.Kind}
}

// What the provider makes of plain input, the simulated upstream takes, for every built-in
// model and number of images, and the outputs can be fetched.
func TestEveryModel(t *testing.T) {
	w := newWorld(t)
	frame := "https://cdn.example/a.png"
	for _, m := range w.Describe().Models {
		taken := 0
		for n := range 4 {
			req := request(m.Name, "a fox in snow", []string{frame, frame + "?2", frame + "?3"}[:n]...)
			if err := w.Validate(req); err != nil {
				continue
			}
			taken++
			got, err := w.Submit(t.Context(), w.up, req)
			if err != nil {
				t.Errorf("%s with %d images: %v", m.Name, n, err)
				continue
			}
			report := got.Report
			if report == nil {
				if r, err := w.Poll(t.Context(), w.up, []provider.Job{job(got.UpstreamID, req)}); err != nil || len(r) != 1 || r[0].State != provider.StateQueued {
					t.Fatalf("%s at first: %+v, error %v", m.Name, r, err)
				}
				w.clock.Advance(time.Minute)
				r, err := w.Poll(t.Context(), w.up, []provider.Job{job(got.UpstreamID, req)})
				if err != nil || len(r) != 1 {
					t.Fatalf("%s at the end: %+v, error %v", m.Name, r, err)
				}
				report = &r[0]
			}
			if report.State != provider.StateSucceeded || len(report.Outputs) != 1 || report.Outputs[0].Kind != m.Kind {
				t.Errorf("%s: %+v", m.Name, report)
				continue
			}
			res, err := w.up.Client.Get(report.Outputs[0].URL)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != 200 || len(body) < 1000 {
				t.Errorf("%s: output of %d bytes, status %d, error %v", m.Name, len(body), res.StatusCode, err)
			}
		}
		if taken == 0 {
			t.Errorf("%s takes nothing", m.Name)
		}
	}
}

// Every misfortune of a submit gets the class that its meaning has, and what the class says
// about the upstream is true of it.
func TestFailuresGetTheirClass(t *testing.T) {
	for order, want := range map[string]provider.Class{
		"refuse=1000": provider.OutcomeUnknown, "refuse=1001": provider.OutcomeUnknown, "refuse=1024": provider.OutcomeUnknown, "refuse=1033": provider.OutcomeUnknown,
		"refuse=1002": provider.Rate, "refuse=1039": provider.Rate, "refuse=1041": provider.Rate, "refuse=2045": provider.Rate,
		"refuse=1004": provider.Credential, "refuse=2049": provider.Credential, "refuse=1008": provider.Balance, "refuse=2056": provider.Balance,
		"refuse=1026": provider.Moderation, "refuse=1027": provider.Moderation, "refuse=2013": provider.Invalid, "refuse=2038": provider.Permission,
		"drop=before": provider.OutcomeUnknown, "drop=after": provider.OutcomeUnknown, "answer=500": provider.OutcomeUnknown, "answer=half": provider.OutcomeUnknown,
	} {
		for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3", "image-01"} {
			w := newWorld(t)
			_, err := w.Submit(t.Context(), w.up, request(model, "x [["+order+"]]"))
			if e := provider.AsError(err, ""); err == nil || e.Class != want {
				t.Errorf("%s, %s: error %v, want class %s", model, order, err, want)
			}
			if made := w.server.Stats().Accepted; want != provider.OutcomeUnknown && made != 0 {
				t.Errorf("%s, %s: class %s although %d jobs were made", model, order, want, made)
			}
		}
	}
	w := newWorld(t)
	if _, err := w.Submit(t.Context(), w.up, request("MiniMax-H3", "[[refuse=529]]")); provider.AsError(err, "").Class != provider.Unavailable {
		t.Errorf("overload: %v", err)
	}
	w.up.Account.Settings = map[string]string{minimax.SettingAPIKey: "of another region"}
	for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3", "image-01"} {
		req := request(model, "x")
		if _, err := w.Submit(t.Context(), w.up, req); provider.AsError(err, "").Class != provider.Credential {
			t.Errorf("%s with a wrong key: %v", model, err)
		}
		if model != "image-01" {
			if _, err := w.Poll(t.Context(), w.up, []provider.Job{job("1", req)}); provider.AsError(err, "").Class != provider.Credential {
				t.Errorf("%s polled with a wrong key: %v", model, err)
			}
		}
	}
}

func TestEndsGetTheirClass(t *testing.T) {
	w := newWorld(t)
	for order, want := range map[string]provider.Class{"fail=1027": provider.Moderation, "fail=1026": provider.Moderation, "fail=1000": provider.Generation} {
		for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3"} {
			req := request(model, "x [["+order+"]]")
			got, err := w.Submit(t.Context(), w.up, req)
			if err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(time.Minute)
			r, err := w.Poll(t.Context(), w.up, []provider.Job{job(got.UpstreamID, req)})
			if err != nil || len(r) != 1 || r[0].State != provider.StateFailed || r[0].Err.Class != want {
				t.Errorf("%s, %s: %+v, error %v", model, order, r, err)
			}
		}
	}
	for order, want := range map[string]provider.Class{"[[blocked=9]]": provider.Moderation, "[[fail=1027]]": provider.Moderation} {
		got, err := w.Submit(t.Context(), w.up, request("image-01", order))
		if got.Report != nil {
			err = got.Report.Err
		}
		if provider.AsError(err, "").Class != want {
			t.Errorf("image %s: %+v, error %v", order, got, err)
		}
	}
	// What is not there: V1 and V2 say so each in their own way.
	for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3"} {
		if r, err := w.Poll(t.Context(), w.up, []provider.Job{job("1", request(model, "x"))}); provider.AsError(err, "").Class != provider.Gone {
			t.Errorf("%s: %+v, error %v", model, r, err)
		}
	}
}

func TestManyInOneCall(t *testing.T) {
	w := newWorld(t)
	req := request("MiniMax-H3", "x")
	var jobs []provider.Job
	for range 20 {
		got, err := w.Submit(t.Context(), w.up, req)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job(got.UpstreamID, req))
	}
	w.clock.Advance(time.Minute)
	jobs[7].UpstreamID = "1"
	reports, err := w.Poll(t.Context(), w.up, jobs)
	if err != nil || len(reports) != 19 {
		t.Fatalf("%d reports, error %v", len(reports), err)
	}
	for _, r := range reports {
		if r.State != provider.StateSucceeded {
			t.Errorf("%+v", r)
		}
	}
	if s := w.server.Stats(); s.Lists != 1 || s.Queries != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestCancelForReal(t *testing.T) {
	w := newWorld(t)
	req := request("MiniMax-H3", "x")
	submit := func() provider.Job {
		got, err := w.Submit(t.Context(), w.up, req)
		if err != nil {
			t.Fatal(err)
		}
		return job(got.UpstreamID, req)
	}
	waiting, done := submit(), submit()
	if err := w.Cancel(t.Context(), w.up, waiting); err != nil {
		t.Fatal(err)
	}
	if r, err := w.Poll(t.Context(), w.up, []provider.Job{waiting}); err != nil || len(r) != 1 || r[0].State != provider.StateCancelled {
		t.Errorf("after the cancel %+v, error %v", r, err)
	}
	w.clock.Advance(time.Minute)
	for _, j := range []provider.Job{waiting, done} {
		if err := w.Cancel(t.Context(), w.up, j); !errors.Is(err, provider.ErrNotCancellable) {
			t.Errorf("a late cancel: %v", err)
		}
	}
	if s := w.server.Stats(); s.Deletes != 1 {
		t.Errorf("%d DELETEs, want 1", s.Deletes)
	}
	if r, err := w.Poll(t.Context(), w.up, []provider.Job{done}); err != nil || len(r) != 1 || r[0].State != provider.StateSucceeded {
		t.Errorf("the finished job is %+v, error %v", r, err)
	}
}

// A challenge is answered while the submit is under way, and callbacks name their task.
func TestCallbacksForReal(t *testing.T) {
	w := newWorld(t)
	type outcome struct {
		provider.Callback
		err error
	}
	outcomes := make(chan outcome, 20)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, err := w.VerifyCallback(w.up, provider.InboundCallback{Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: body})
		if got.Answer != nil {
			_, _ = rw.Write(got.Answer)
			return
		}
		outcomes <- outcome{got, err}
	}))
	defer receiver.Close()
	for model, posts := range map[string]int{"MiniMax-Hailuo-2.3": 2, "MiniMax-H3": 3} {
		req := request(model, "x")
		req.CallbackURL = receiver.URL + "/callbacks/minimax/token?a=1&b=2"
		accepted, err := w.Submit(t.Context(), w.up, req)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Minute)
		hints := 0
		for range posts {
			o := <-outcomes
			if o.err != nil || o.UpstreamID != accepted.UpstreamID {
				t.Errorf("%s: callback %+v, error %v", model, o.Callback, o.err)
			}
			if o.Hint {
				hints++
			}
		}
		if hints != 1 {
			t.Errorf("%s: %d of %d posts are worth a look, want that of the end", model, hints, posts)
		}
	}
	for _, j := range w.server.Jobs() {
		if j.CallbackURL != receiver.URL+"/callbacks/minimax/token?a=1&b=2" {
			t.Errorf("the upstream was given %q", j.CallbackURL)
		}
	}
	req := request("MiniMax-H3", "x")
	req.CallbackURL = receiver.URL
	receiver.Close()
	_, err := w.Submit(t.Context(), w.up, req)
	if e := provider.AsError(err, ""); e.Class != provider.Invalid || !e.CallbackRefused {
		t.Errorf("a receiver that is not there: %+v", e)
	}
}
