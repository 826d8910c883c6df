package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/sandbox"
)

const (
	key    = "sk-sandbox"
	secret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
)

// world is the provider in front of the real sandbox.
type world struct {
	*sandbox.Sandbox
	server *upstream.Server
	clock  *simulator.ManualClock
	up     provider.Upstream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	server, err := upstream.New(upstream.Config{Accounts: []upstream.Account{{Key: key, WebhookSecret: secret}}, Clock: clock})
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
	return &world{sandbox.New(), server, clock, provider.Upstream{Client: client, Account: provider.Account{
		BaseURL: srv.URL, Settings: map[string]string{sandbox.SettingAPIKey: key, sandbox.SettingWebhookSecret: secret},
	}}}
}

func request(ref, options string) provider.Request {
	return provider.Request{
		ClientRef: ref, UpstreamModel: upstream.ImageModel, Kind: kinora.KindImage, Prompt: "two kites over a quiet bay", Size: "64x64",
		Metadata: map[string]json.RawMessage{"n": json.RawMessage("2"), "sandbox": json.RawMessage(options)},
	}
}

func (w *world) poll(t *testing.T, ids ...string) []provider.Report {
	t.Helper()
	var jobs []provider.Job
	for _, id := range ids {
		jobs = append(jobs, provider.Job{UpstreamID: id, Kind: kinora.KindImage})
	}
	reports, err := w.Poll(t.Context(), w.up, jobs)
	if err != nil {
		t.Fatal(err)
	}
	return reports
}

func TestFromSubmitToOutput(t *testing.T) {
	w := newWorld(t)
	got, err := w.Submit(t.Context(), w.up, request("a", "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if r := w.poll(t, got.UpstreamID); len(r) != 1 || r[0].State != provider.StateQueued || r[0].Progress != 0 {
		t.Errorf("at first %+v", r)
	}
	w.clock.Advance(300 * time.Millisecond)
	if r := w.poll(t, got.UpstreamID, "sbx_unknown"); len(r) != 1 || r[0].State != provider.StateRunning || r[0].Progress == 0 {
		t.Errorf("then %+v", r)
	}
	w.clock.Advance(time.Second)
	r := w.poll(t, got.UpstreamID)
	if len(r) != 1 || r[0].State != provider.StateSucceeded || len(r[0].Outputs) != 2 {
		t.Fatalf("at the end %+v", r)
	}
	res, err := w.up.Client.Get(r[0].Outputs[1].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := image.DecodeConfig(bytes.NewReader(content)); err != nil || cfg.Width != 64 {
		t.Errorf("the output is %+v, error %v", cfg, err)
	}
}

// Every misfortune of a submit that the sandbox offers must get the class that its
// documents give it.
func TestFailuresGetTheirClass(t *testing.T) {
	for options, want := range map[string]provider.Class{
		`{"fail":"invalid"}`:         provider.Invalid,
		`{"fail":"moderation"}`:      provider.Moderation,
		`{"moderation":"input"}`:     provider.Moderation,
		`{"fail":"credential"}`:      provider.Credential,
		`{"fail":"permission"}`:      provider.Permission,
		`{"fail":"balance"}`:         provider.Balance,
		`{"fail":"rate"}`:            provider.Rate,
		`{"fail":"unavailable"}`:     provider.Unavailable,
		`{"fail":"model_gone"}`:      provider.ModelGone,
		`{"fail":"outcome_unknown"}`: provider.OutcomeUnknown,
		`{"drop":"before_accept"}`:   provider.OutcomeUnknown,
		`{"drop":"after_accept"}`:    provider.OutcomeUnknown,
		`{"fail":"luck"}`:            provider.Invalid,
		`{"delay":"soon"}`:           provider.Invalid,
	} {
		w := newWorld(t)
		_, err := w.Submit(t.Context(), w.up, request("a", options))
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != want {
			t.Errorf("%s: error %v, want class %s", options, err, want)
		}
		if want == provider.Rate && e.RetryAfter != time.Second {
			t.Errorf("%s: RetryAfter %v", options, e.RetryAfter)
		}
		// What the class says about the upstream must be true of it.
		created := w.server.Stats().Accepted
		if want != provider.OutcomeUnknown && created != 0 {
			t.Errorf("%s: class %s although %d jobs were created", options, want, created)
		}
		// And where nothing is known, the reference tells.
		accepted, err := w.Reconcile(t.Context(), w.up, request("a", options))
		if created == 0 && !errors.Is(err, provider.ErrNotSubmitted) || created == 1 && (err != nil || accepted.UpstreamID == "") {
			t.Errorf("%s: %d jobs were created, reconciled %+v, error %v", options, created, accepted, err)
		}
	}
	for options, want := range map[string]provider.Class{
		`{"delay":0,"fail":"generation"}`:   provider.Generation,
		`{"delay":0,"moderation":"output"}`: provider.Moderation,
	} {
		w := newWorld(t)
		got, err := w.Submit(t.Context(), w.up, request("a", options))
		if err != nil {
			t.Fatal(err)
		}
		if r := w.poll(t, got.UpstreamID); len(r) != 1 || r[0].State != provider.StateFailed || r[0].Err.Class != want {
			t.Errorf("%s: %+v, want class %s", options, r, want)
		}
	}
}

func TestCancelForReal(t *testing.T) {
	w := newWorld(t)
	got, err := w.Submit(t.Context(), w.up, request("a", `{"delay":10}`))
	if err != nil {
		t.Fatal(err)
	}
	job := provider.Job{UpstreamID: got.UpstreamID}
	if err := w.Cancel(t.Context(), w.up, job); err != nil {
		t.Fatal(err)
	}
	if r := w.poll(t, got.UpstreamID); len(r) != 1 || r[0].State != provider.StateCancelled {
		t.Errorf("after the cancel %+v", r)
	}
	if err := w.Cancel(t.Context(), w.up, job); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("a second cancel: %v", err)
	}
	var e *provider.Error
	if err := w.Cancel(t.Context(), w.up, provider.Job{UpstreamID: "sbx_/../x"}); !errors.As(err, &e) || e.Class != provider.Gone {
		t.Errorf("a job that is not there: %v", err)
	}
}

// A callback of the real sandbox, as it arrives, is verified; a forged one is not.
func TestCallbacksForReal(t *testing.T) {
	w := newWorld(t)
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
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, Body: body, Arrived: w.clock.Now(),
		})
		outcomes <- outcome{got, err}
	}))
	defer receiver.Close()
	req := request("a", `{"delay":10,"callback":"forged"}`)
	req.UpstreamModel, req.CallbackURL = upstream.ImageCallbackModel, receiver.URL+"/cb/sandbox/token"
	accepted, err := w.Submit(t.Context(), w.up, req)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second)
	good := 0
	for range 2 {
		o := <-outcomes
		var e *provider.Error
		switch {
		case o.err == nil && o.Verified && !o.Hint && o.UpstreamID == accepted.UpstreamID:
			good++ // of the start, which is worth no look
		case errors.As(o.err, &e) && e.Class == provider.Credential:
		default:
			t.Errorf("callback %+v, error %v", o.Callback, o.err)
		}
	}
	if good != 1 {
		t.Errorf("%d callbacks of two were taken, want 1", good)
	}
}
