package app_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
	"github.com/kinora/kinora/internal/simulator/vidu"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

const viduKey = "vda_end_to_end_0123456789"

// viduWorld is the whole program before two simulated Vidus: one whose lists show all,
// with a customer that can pay and one that cannot, and one whose lists show little.
type viduWorld struct {
	app       *app.App
	client    *client.Client
	inbox     *inbox
	full      *vidu.Simulator
	bare      *vidu.Simulator
	fullURL   string
	submitted []string
}

func newVidu(t *testing.T, cfg vidu.Config) (*vidu.Simulator, string) {
	t.Helper()
	cfg.MaxSide, cfg.VideoTime, cfg.ImageTime, cfg.CallbackPause = 128, time.Second, 500*time.Millisecond, 100*time.Millisecond
	sim, err := vidu.New(cfg)
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
	return sim, srv.URL
}

func newViduWorld(t *testing.T, dsn string) *viduWorld {
	t.Helper()
	w := &viduWorld{}
	var bareURL string
	w.full, w.fullURL = newVidu(t, vidu.Config{Accounts: []vidu.Account{{Key: viduKey, Concurrent: 50}, {Key: viduKey + "_poor", Credits: 1}}})
	w.bare, bareURL = newVidu(t, vidu.Config{Accounts: []vidu.Account{{Key: viduKey}}, BareLists: true, Older: true})

	// The public address is a proxy's that takes a part of the path away, as Vidu's documents
	// warn of: the signature is over the address as registered.
	var behind atomic.Pointer[httputil.ReverseProxy]
	proxy := httptest.NewServer(http.StripPrefix("/kinora", http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { behind.Load().ServeHTTP(out, r) })))
	t.Cleanup(proxy.Close)

	cfg := config.Default()
	cfg.Listen, cfg.DataDir, cfg.Database, cfg.PublicURL = "127.0.0.1:0", t.TempDir(), dsn, proxy.URL+"/kinora"
	cfg.Network.AllowPrefixes, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	for name, url := range map[string]string{"main": w.fullURL, "poor": w.fullURL, "bare": bareURL} {
		key := viduKey
		if name == "poor" {
			key += "_poor"
		}
		cfg.Accounts = append(cfg.Accounts, config.Account{Name: name, Provider: "vidu", BaseURL: url, Settings: map[string]config.Secret{"api_key": config.Secret(key)}})
		cfg.Models = append(cfg.Models,
			config.Model{Name: name + "-video", Kind: "video", Provider: "vidu", UpstreamModel: "viduq3-turbo", Accounts: []string{name}},
			config.Model{Name: name + "-image", Kind: "image", Provider: "vidu", UpstreamModel: "viduq2", Accounts: []string{name}})
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

func (w *viduWorld) submit(t *testing.T, model, orders string, metadata map[string]any) string {
	t.Helper()
	task, err := w.client.Submit(t.Context(), client.SubmitRequest{
		Model: model, Input: client.Input{Prompt: "a lantern festival " + orders, Size: "16:9", Metadata: metadata}, Webhook: &client.Webhook{URL: w.inbox.URL},
	})
	if err != nil {
		t.Fatal(model, orders, err)
	}
	if task.CallbackIgnored != "" {
		t.Errorf("%s: the callback URL is ignored: %s", model, task.CallbackIgnored)
	}
	w.submitted = append(w.submitted, task.ID)
	return task.ID
}

// events waits for the one signed webhook of each submitted task.
func (w *viduWorld) events(t *testing.T) map[string]webhook.Event {
	t.Helper()
	out := map[string]webhook.Event{}
	for range w.submitted {
		e := w.inbox.next(t)
		if _, twice := out[e.JobID]; twice || !slices.Contains(w.submitted, e.JobID) {
			t.Errorf("an event more on %s", e.JobID)
		}
		out[e.JobID] = e
	}
	return out
}

// attempt is the only attempt of a task, as an operator sees it.
func (w *viduWorld) attempt(t *testing.T, taskID string) *kinora.Attempt {
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

// posted is a call of Vidu's at the caller's own address.
type posted struct {
	body   []byte
	signed bool
}

// callersReceiver is the caller's own address, which the upstream is given as it is.
func callersReceiver(t *testing.T) (url string, calls chan posted) {
	calls = make(chan posted, 20)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		text := "POST\n/hook/a%2Fb\norder=17&b=2&a=1\nvidu\n" + r.Header.Get("Date") + "\n"
		for _, name := range strings.Split(r.Header.Get("X-HMAC-SIGNED-HEADERS"), ";") {
			text += name + ":" + r.Header.Get(name) + "\n"
		}
		mac := hmac.New(sha256.New, []byte(viduKey))
		mac.Write([]byte(text))
		calls <- posted{body, r.Header.Get("X-HMAC-SIGNATURE") == base64.StdEncoding.EncodeToString(mac.Sum(nil))}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/hook/a%2Fb?order=17&b=2&a=1", calls
}

// The whole program and Vidu: both kinds of callback, images, lost answers, refusals and a
// cancel; the signed webhook arrives in all, and nothing is made twice.
func TestVidu(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newViduWorld(t, dsn)
		address, calls := callersReceiver(t)
		forwarded := map[string]any{"callback_url": address, "duration": 1}
		short := map[string]any{"duration": 1}

		managedVideo := w.submit(t, "main-video", "", short)
		image := w.submit(t, "main-image", "", nil)
		ownCallback := w.submit(t, "main-video", "", forwarded)
		found := w.submit(t, "main-video", "[[drop=after]]", forwarded)
		queried := w.submit(t, "bare-video", "[[drop=after callback=lost]]", short)
		proven := w.submit(t, "main-video", "[[drop=after unlisted]]", short)
		lost := w.submit(t, "bare-video", "[[drop=after unlisted]]", map[string]any{"callback_url": "https://nobody.example/", "duration": 1})
		lists := w.submit(t, "bare-video", "[[callback=lost]]", short)
		listed := w.submit(t, "bare-video", "[[callback=lost]]", short)
		refused := w.submit(t, "main-video", "[[fail=AuditSubmitIllegal]]", nil)
		rejected := w.submit(t, "main-video", "[[end=CreationPolicyViolation]]", short)
		forged := w.submit(t, "main-video", "[[callback=forged time=2s]]", short)
		poor := w.submit(t, "poor-video", "", nil)
		cancelled := w.submit(t, "main-video", "[[never]]", map[string]any{"off_peak": true})
		w.cancel(t, cancelled)

		events := w.events(t)
		for id, kind := range map[string]string{
			managedVideo: "video/mp4", image: "image/jpeg", ownCallback: "video/mp4", found: "video/mp4", queried: "video/mp4", proven: "video/mp4", lists: "video/mp4", listed: "video/mp4", forged: "video/mp4",
		} {
			e := events[id]
			if e.EventType != webhook.GenerationCompleted || len(e.Outputs) != 1 || e.Outputs[0].ContentType != kind {
				t.Errorf("%s: event %+v %+v, attempt %+v", id, e, e.Failure, w.attempt(t, id))
			}
		}
		for id, want := range map[string][2]string{
			lost: {"outcome_unknown", ""}, refused: {"content_rejected", "AuditSubmitIllegal"}, rejected: {"content_rejected", "CreationPolicyViolation"},
			poor: {"upstream_error", "CreditInsufficient"},
		} {
			w.checkFailure(t, id, events[id], want[0], want[1])
		}
		w.checkForwarded(t, ownCallback, address, calls)
		w.checkCallbackCounts(t)
		for _, sim := range []*vidu.Simulator{w.full, w.bare} {
			for ref, n := range sim.Accepted() {
				if n != 1 {
					t.Errorf("%d tasks were made for %s", n, ref)
				}
			}
		}
		if n := len(w.full.Accepted()) + len(w.bare.Accepted()); n != len(w.submitted)-2 {
			t.Errorf("%d tasks were made by %d submits of which two were refused", n, len(w.submitted))
		}
	})
}

// cancel waits until Vidu has the task, and cancels it there and here.
func (w *viduWorld) cancel(t *testing.T, id string) {
	t.Helper()
	state := func() string {
		for _, task := range w.full.Stats().Tasks {
			if task.Payload == id+"_0" {
				return task.State + " " + task.ErrCode
			}
		}
		return ""
	}
	await := func(want ...string) {
		t.Helper()
		for !slices.Contains(want, state()) {
			if t.Context().Err() != nil {
				t.Fatalf("the task is %s", state())
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	await("created ", "queueing ")
	for w.attempt(t, id).UpstreamID == "" && t.Context().Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := w.client.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await("failed UserCancelled")
}

// checkFailure wants one stable code and a clean message, and Vidu's word for operators.
func (w *viduWorld) checkFailure(t *testing.T, id string, e webhook.Event, code, operators string) {
	t.Helper()
	if e.Failure == nil || e.Failure.Code != code {
		t.Errorf("%s: event %+v %+v, want %s", id, e, e.Failure, code)
		return
	}
	task, err := w.client.Status(t.Context(), id)
	if err != nil || task.Status != client.TaskFailed {
		t.Errorf("%s: %+v, error %v", id, task, err)
		return
	}
	a := w.attempt(t, id)
	if a.ErrorCode != operators && operators != "" || a.UpstreamID != "" && strings.Contains(task.ErrorMessage, a.UpstreamID) || operators != "" && strings.Contains(task.ErrorMessage, operators) {
		t.Errorf("%s: the caller reads %q, operators %s %q", id, task.ErrorMessage, a.ErrorCode, a.ErrorMessage)
	}
}

// checkForwarded wants the caller's address to have reached Vidu byte for byte, and Vidu's
// own body to have reached the caller.
func (w *viduWorld) checkForwarded(t *testing.T, id, address string, calls chan posted) {
	t.Helper()
	var upstreamID string
	for _, task := range w.full.Stats().Tasks {
		if task.Payload == id+"_0" {
			upstreamID = task.ID
			if task.CallbackURL != address {
				t.Errorf("Vidu was given %q, want %q", task.CallbackURL, address)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.fullURL+"/ent/v2/tasks/"+upstreamID+"/creations", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+viduKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	want, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case call := <-calls:
			if !call.signed {
				t.Errorf("a call without Vidu's signature: %s", call.body)
			}
			if bytes.Equal(call.body, want) {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("no call tells %s", want)
		}
	}
}

// checkCallbackCounts wants the calls at our own address to have been taken, but for the
// forged one.
func (w *viduWorld) checkCallbackCounts(t *testing.T) {
	t.Helper()
	res, err := http.Get(w.app.LocalURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), `kinora_upstream_callbacks_total{provider="vidu",result="refused"} 1`) {
		t.Error("not exactly the forged call was refused")
	}
	if !strings.Contains(string(body), `kinora_upstream_callbacks_total{provider="vidu",result="hint"}`) {
		t.Error("no call was taken")
	}
}

// The answer to a submit is the same with and without a callback URL.
func TestViduSubmitAnswersAreAlike(t *testing.T) {
	dsn := "" // SQLite in the data folder
	w := newViduWorld(t, dsn)
	shape := func(metadata string) (keys, headers []string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.app.LocalURL()+"/api/generate/submit",
			strings.NewReader(`{"model":"viduq3-pro","input":{"prompt":"x","metadata":`+metadata+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.app.Bootstrapped().KeyText)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer res.Body.Close()
		var answer struct {
			Code int            `json:"code"`
			Data map[string]any `json:"data"`
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Code != 200 || answer.Data["status"] != "not_started" {
			t.Fatalf("status %d, %+v, error %v", res.StatusCode, answer, err)
		}
		for k := range answer.Data {
			keys = append(keys, k)
		}
		for k := range res.Header {
			headers = append(headers, k)
		}
		slices.Sort(keys)
		slices.Sort(headers)
		return keys, headers
	}
	keys, headers := shape(`{}`)
	forwardedKeys, forwardedHeaders := shape(`{"callback_url":"https://your.domain/hooks/vidu"}`)
	if !slices.Equal(keys, forwardedKeys) || !slices.Equal(headers, forwardedHeaders) {
		t.Errorf("without %v %v, with %v %v", keys, headers, forwardedKeys, forwardedHeaders)
	}
}
