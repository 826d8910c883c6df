package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/ark"
	"github.com/kinora/kinora/internal/store/storetest"
)

const (
	seedance = "doubao-seedance-1-5-pro-251215"
	seedream = "doubao-seedream-4-0-250828"
)

// arkWorld is a whole server in front of a simulated Ark.
type arkWorld struct {
	t    *testing.T
	app  *app.App
	sim  *ark.Simulator
	sent *sentBodies
	in   *inbox
}

// sentBodies remembers what the upstream has sent, by URL.
type sentBodies struct {
	http.RoundTripper
	mu   sync.Mutex
	list map[string][][]byte
}

func (s *sentBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.list[r.URL.String()] = append(s.list[r.URL.String()], body)
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return s.RoundTripper.RoundTrip(r)
}

// to returns what was sent to a URL.
func (s *sentBodies) to(url string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list[url])
}

// newArkWorld starts both. pace scales the waits between looks, grace the time that the upstream has to tell of a lost answer.
func newArkWorld(t *testing.T, dsn string, pace, grace float64) *arkWorld {
	t.Helper()
	calls := simulator.LoopbackClient()
	sent := &sentBodies{RoundTripper: calls.Transport, list: map[string][][]byte{}}
	sim, err := ark.New(ark.Config{
		Accounts: []ark.Account{{Key: "ark-key-1"}}, QueueTime: 20 * time.Millisecond, RunTime: 150 * time.Millisecond, ImageTime: 20 * time.Millisecond,
		MaxSide: 128, CallbackClient: &http.Client{Transport: sent}, CallbackPause: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := simulator.Listen("127.0.0.1:0", sim)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		calls.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := upstream.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Database = dsn
	cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
	cfg.Webhooks.AllowHTTP = true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	front, behind := newFront(t)
	cfg.PublicURL = front // upstreams are only given a public address to call back
	cfg.Accounts = []config.Account{{Name: "ark-cn", Provider: "ark", BaseURL: upstream.URL + "/api/v3", Settings: map[string]config.Secret{"api_key": "ark-key-1"}}}
	a, err := app.New(t.Context(), cfg, app.Options{Timing: lifecycle.Timing{Idle: 100 * time.Millisecond, Beat: 2 * time.Second, Pace: pace, Backoff: 0.01, Grace: grace}})
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
	behind(a)
	return &arkWorld{t: t, app: a, sim: sim, sent: sent, in: newInbox(t, func() string { return a.Bootstrapped().Secret.Text })}
}

// newFront is a proxy with an address that is known before the server's is.
func newFront(t *testing.T) (address string, behind func(*app.App)) {
	t.Helper()
	var server atomic.Pointer[url.URL]
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(server.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(front.Close)
	return front.URL, func(a *app.App) {
		u, err := url.Parse(a.LocalURL())
		if err != nil {
			t.Fatal(err)
		}
		server.Store(u)
	}
}

// submitted is a submit's answer, as it came.
type submitted struct {
	id     string
	header http.Header
	body   map[string]any
}

// submit posts a submit; input is the JSON of its fields beside the prompt.
func (w *arkWorld) submit(model, prompt, input string) submitted {
	w.t.Helper()
	body := fmt.Sprintf(`{"model":%q,"input":{"prompt":%q%s},"webhook":{"url":%q}}`, model, prompt, input, w.in.URL)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.app.LocalURL()+"/api/generate/submit", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.app.Bootstrapped().KeyText)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Code int            `json:"code"`
		Data map[string]any `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != http.StatusOK || got.Code != 200 {
		w.t.Fatalf("submit: %d %+v %v", res.StatusCode, got, err)
	}
	id, _ := got.Data["task_id"].(string)
	return submitted{id, res.Header, got.Data}
}

// events waits for the webhooks of tasks, one each.
func (w *arkWorld) events(tasks ...submitted) map[string]webhook.Event {
	w.t.Helper()
	out := map[string]webhook.Event{}
	for range tasks {
		e := w.in.next(w.t)
		if _, twice := out[e.JobID]; twice {
			w.t.Errorf("%s was told twice", e.JobID)
		}
		out[e.JobID] = e
	}
	for _, task := range tasks {
		if _, ok := out[task.id]; !ok {
			w.t.Fatalf("%s was not told", task.id)
		}
	}
	return out
}

// made wants a task to have succeeded with a file of some type.
func (w *arkWorld) made(e webhook.Event, contentTypes ...string) {
	w.t.Helper()
	var got []string
	for _, o := range e.Outputs {
		got = append(got, o.ContentType)
		if status, _, body := fetch(w.t, o.URL, nil); status != http.StatusOK || len(body) == 0 {
			w.t.Errorf("%s: its file answers %d", e.JobID, status)
		}
	}
	if e.EventType != webhook.GenerationCompleted || !slices.Equal(got, contentTypes) {
		w.t.Errorf("%s: %s with %v and failure %+v, want %v", e.JobID, e.EventType, got, e.Failure, contentTypes)
	}
}

// failed wants a task to have failed with a code.
func (w *arkWorld) failed(e webhook.Event, code kinora.FailureCode) {
	w.t.Helper()
	if e.EventType != webhook.GenerationFailed || e.Failure == nil || e.Failure.Code != string(code) {
		w.t.Errorf("%s: %s %+v, want %s", e.JobID, e.EventType, e.Failure, code)
		return
	}
	// What the vendor says is for operators.
	for _, theirs := range []string{"as asked", "cgt-", "Detected", "InternalServiceError", "tos"} {
		if strings.Contains(e.Failure.Message, theirs) {
			w.t.Errorf("%s: the caller reads the vendor's own words: %q", e.JobID, e.Failure.Message)
		}
	}
}

// accepted counts the tasks that the upstream accepted for one of ours.
func (w *arkWorld) accepted(task submitted) int { return w.sim.Accepted()[task.id+"_0"] }

// Without a callback URL of the caller's, the upstream is given ours, and its calls alone end
// generations here: no look comes by itself within the test.
func TestArkManagedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newArkWorld(t, dsn, 1000, 0.2)
		plain := w.submit(seedance, "a kite over a beach", `,"size":"480x480","duration":4`)
		last := w.submit(seedance, "a kite [[callback=duplicate]]", `,"metadata":{"return_last_frame":true,"resolution":"480p"}`)
		early := w.submit(seedance, "a kite [[callback=early]]", "")
		forged := w.submit(seedance, "a kite [[callback=forged]]", "")
		refused := w.submit(seedance, "a kite [[fail=OutputVideoSensitiveContentDetected]]", "")
		expired := w.submit(seedance, "a kite [[expire]]", "")
		// Neither is shown by the list: a callback on the attempt's own token is what settles the first.
		dropped := w.submit(seedance, "a kite [[drop=after unlisted]]", "")
		image := w.submit(seedream, "a tea house", `,"size":"1K","metadata":{"n":2}`)
		all := []submitted{plain, last, early, forged, refused, expired, dropped, image}
		got := w.events(all...)
		for _, task := range []submitted{plain, early, forged, dropped} {
			w.made(got[task.id], "video/mp4")
		}
		w.made(got[last.id], "video/mp4", "image/png")
		w.made(got[image.id], "image/jpeg", "image/jpeg")
		w.failed(got[refused.id], kinora.FailureContentRejected)
		w.failed(got[expired.id], kinora.FailureTimeout)
		for _, task := range w.sim.Stats().Tasks {
			if !strings.HasPrefix(task.CallbackURL, w.app.URL()+"/callbacks/ark/") {
				t.Errorf("%s is to call %s", task.ID, task.CallbackURL)
			}
		}
		for _, task := range all[:7] {
			if n := w.accepted(task); n != 1 {
				t.Errorf("%s was accepted %d times", task.id, n)
			}
		}
	})
}

// A caller's own callback URL reaches the upstream as it is, the upstream's body reaches the
// caller as it is, and Kinora finds the end by looking.
func TestArkForwardedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newArkWorld(t, dsn, 0.01, 0.02)
		var mu sync.Mutex
		received := map[string][][]byte{}
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			received[r.URL.RequestURI()] = append(received[r.URL.RequestURI()], body)
		}))
		t.Cleanup(receiver.Close)
		var forwarded []submitted
		var urls []string
		for i := range 4 {
			urls = append(urls, fmt.Sprintf("%s/hooks/%d?a=b&c=%%2F", receiver.URL, i))
			forwarded = append(forwarded, w.submit(seedance, fmt.Sprint("kite ", i), `,"size":"480x480","metadata":{"callback_url":"`+urls[i]+`"}`))
		}
		plain := w.submit(seedance, "a kite", "")
		// The same keys, with and without; and images take no callback.
		for key := range plain.body {
			if _, ok := forwarded[0].body[key]; !ok || len(forwarded[0].body) != len(plain.body) {
				t.Errorf("answers differ: %v, %v", forwarded[0].body, plain.body)
			}
		}
		image := w.submit(seedream, "a tea house", `,"metadata":{"callback_url":"`+urls[0]+`"}`)
		if image.header.Get("X-Callback-Ignored") != "polling-only" || forwarded[0].header.Get("X-Callback-Ignored") != "" {
			t.Errorf("ignored: %v, %v", image.header, forwarded[0].header)
		}
		got := w.events(append(forwarded, plain, image)...)
		w.made(got[image.id], "image/jpeg")
		tasks := map[string]ark.TaskStats{}
		for _, task := range w.sim.Stats().Tasks {
			tasks[strings.TrimSuffix(task.Reference, "_0")] = task
		}
		for i, task := range forwarded {
			w.made(got[task.id], "video/mp4")
			if tasks[task.id].CallbackURL != urls[i] {
				t.Errorf("the upstream was given %q, want %q", tasks[task.id].CallbackURL, urls[i])
			}
			uri := strings.TrimPrefix(urls[i], receiver.URL)
			w.eventually(func() bool {
				mu.Lock()
				defer mu.Unlock()
				return slices.Contains(told(t, received[uri]), "succeeded")
			})
			mu.Lock()
			bodies := received[uri]
			mu.Unlock()
			sent := w.sent.to(receiver.URL + uri)
			for n, body := range bodies {
				if !bytes.Equal(body, sent[n]) || !bytes.Contains(body, []byte(tasks[task.id].ID)) {
					t.Errorf("received %s, while the upstream sent %s", body, sent[n])
				}
			}
			// A busy machine may be past a state before it is told.
			if status := told(t, bodies); !slices.IsSortedFunc(status, func(a, b string) int { return slices.Index(inOrder, a) - slices.Index(inOrder, b) }) {
				t.Errorf("the caller's receiver was told %v", status)
			}
		}
		if w.sim.Stats().Lists == 0 {
			t.Error("several tasks were looked at, and never in one list")
		}
	})
}

var inOrder = []string{"queued", "running", "succeeded"}

// told are the status words of callbacks.
func told(t *testing.T, bodies [][]byte) (out []string) {
	t.Helper()
	for _, body := range bodies {
		var shown ark.Task
		if err := json.Unmarshal(body, &shown); err != nil {
			t.Errorf("a callback: %v", err)
		}
		out = append(out, shown.Status)
	}
	return out
}

func (w *arkWorld) eventually(is func() bool) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-deadline:
			w.t.Fatal("it never came to be")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Whatever happens to a submit, nothing is made twice, and the caller reads what is true.
func TestArkLostAnswersAndRefusals(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := newArkWorld(t, dsn, 0.01, 0.02)
		own := `,"metadata":{"callback_url":"http://127.0.0.1:1/nobody"}`
		found := w.submit(seedance, "a kite [[drop=after]]", own)
		answered500 := w.submit(seedance, "a kite [[drop=error]]", own)
		unlisted := w.submit(seedance, "a kite [[drop=after unlisted]]", own)
		nothing := w.submit(seedance, "a kite [[drop=before]]", own)
		stranger := w.submit(seedance, "a kite [[drop=after]]", `,"metadata":{"callback_url":"http://127.0.0.1:1/nobody","safety_identifier":"user-17"}`)
		image := w.submit(seedream, "a tea house [[drop=after]]", "")
		later := w.submit(seedance, "a kite [[refuse=ModelAccountRpmRateLimitExceeded times=1]]", "")
		input := w.submit(seedance, "a kite [[refuse=InputTextSensitiveContentDetected]]", "")
		output := w.submit(seedance, "a kite [[fail=OutputVideoSensitiveContentDetected.PolicyViolation]]", own)
		images := w.submit(seedream, "a tea house [[fail=OutputImageSensitiveContentDetected]]", "")
		some := w.submit(seedream, "a tea house [[bad=1]]", `,"size":"1K","metadata":{"n":2}`)
		retired := w.submit(seedance, "a kite [[refuse=InvalidEndpointOrModel.NotFound]]", "")
		shaky := w.submit(seedance, "a kite [[busy=2 cut=1 word=warming_up broken=1]]", own)
		got := w.events(found, answered500, unlisted, nothing, stranger, image, later, input, output, images, some, retired, shaky)
		for _, task := range []submitted{found, answered500, later, shaky} {
			w.made(got[task.id], "video/mp4")
			if n := w.accepted(task); n != 1 {
				t.Errorf("%s was accepted %d times", task.id, n)
			}
		}
		w.made(got[some.id], "image/jpeg")
		for _, task := range []submitted{unlisted, nothing, stranger, image} {
			w.failed(got[task.id], kinora.FailureOutcomeUnknown)
		}
		if a, b, c := w.accepted(unlisted), w.accepted(nothing), w.sim.Accepted()["user-17"]; a != 1 || b != 0 || c != 1 {
			t.Errorf("accepted %d, %d, %d times", a, b, c)
		}
		calls := map[string]int{}
		for _, call := range w.sim.Stats().Images {
			calls[call.Prompt]++
		}
		if calls["a tea house"] != 3 { // dropped, all refused, some refused: once each
			t.Errorf("image calls: %v", calls)
		}
		for _, task := range []submitted{input, output, images} {
			w.failed(got[task.id], kinora.FailureContentRejected)
		}
		w.failed(got[retired.id], kinora.FailureModelUnavailable)

		// Money that is gone rests the account, so it comes last.
		poor := w.submit(seedance, "a kite [[refuse=SetLimitExceeded]]", "")
		w.failed(w.events(poor)[poor.id], kinora.FailureUpstream)
		if n := w.accepted(poor); n != 0 {
			t.Errorf("%d tasks were accepted without money", n)
		}
	})
}
