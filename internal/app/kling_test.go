package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
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

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/kling"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const klingSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="

// klingWorld is the whole program in front of a simulated Kling, which has one customer
// with an API key and a webhook secret, one with two keys for tokens, and a poor one.
type klingWorld struct {
	*app.App
	t        *testing.T
	upstream *kling.Simulator
	client   *client.Client
	inbox    *inbox
	events   map[string]webhook.Event
	made     int // tasks that must have been made
}

// klingModels are public names, by account and what they make.
var klingModels = map[string]config.Model{
	"legacy":    {Kind: "video", UpstreamModel: "kling-v1", Accounts: []string{"main"}},
	"new":       {Kind: "video", UpstreamModel: "kling-3.0", Accounts: []string{"main"}},
	"image":     {Kind: "image", UpstreamModel: "kling-v3", Accounts: []string{"main"}},
	"pair":      {Kind: "video", UpstreamModel: "kling-v2-6", Accounts: []string{"pair"}},
	"pair-new":  {Kind: "video", UpstreamModel: "kling-2.6", Accounts: []string{"pair"}},
	"poor":      {Kind: "video", UpstreamModel: "kling-v1", Accounts: []string{"poor"}},
	"busy":      {Kind: "video", UpstreamModel: "kling-v1-6", Accounts: []string{"busy"}},
	"forgetful": {Kind: "video", UpstreamModel: "kling-v1", Accounts: []string{"forgetful"}},
}

// runKling starts both. pace scales the waits between two looks of five seconds.
func runKling(t *testing.T, dsn string, pace float64) *klingWorld {
	t.Helper()
	upstream, err := kling.New(kling.Config{
		Accounts: []kling.Account{
			{Key: "kl-main", WebhookSecrets: []string{klingSecret}}, {Key: "kl-pair", AccessKey: "ak-pair", SecretKey: "sk-pair"},
			{Key: "kl-poor", Units: 1}, {Key: "kl-busy", Concurrent: 1}, {Key: "kl-forgetful", WebhookSecrets: []string{klingSecret}},
		},
		VideoTime: 600 * time.Millisecond, ImageTime: 300 * time.Millisecond, MaxSide: 128,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := simulator.Listen("127.0.0.1:0", upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()); _ = upstream.Close() })
	front, behind := frontDoor(t)
	a := runTimed(t, dsn, lifecycle.Timing{Pace: pace, Backoff: 0.02, Grace: 0.1, Quiet: 50 * time.Millisecond}, func(c *config.Config) {
		c.PublicURL = front
		for name, settings := range map[string]map[string]config.Secret{
			"main": {"api_key": "kl-main", "webhook_secret": klingSecret}, "pair": {"access_key": "ak-pair", "secret_key": "sk-pair"},
			"poor": {"api_key": "kl-poor"}, "busy": {"api_key": "kl-busy"},
			"forgetful": {"api_key": "kl-forgetful", "webhook_secret": "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk " + klingSecret},
		} {
			c.Accounts = append(c.Accounts, config.Account{Name: name, Provider: "kling", BaseURL: l.URL, Settings: settings})
		}
		for name, m := range klingModels {
			m.Name, m.Provider = name, "kling"
			c.Models = append(c.Models, m)
		}
	})
	behind(a.LocalURL())
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return &klingWorld{
		App: a, t: t, upstream: upstream, client: c, events: map[string]webhook.Event{},
		inbox: newInbox(t, func() string { return a.Bootstrapped().Secret.Text }),
	}
}

// submit submits, and counts the task that Kling is to make of it.
func (w *klingWorld) submit(model, orders string, metadata map[string]any) string {
	w.t.Helper()
	task, err := w.client.Submit(w.t.Context(), client.SubmitRequest{
		Model: model, Input: client.Input{Prompt: "two kites over a quiet bay [[" + orders + "]]", Metadata: metadata}, Webhook: &client.Webhook{URL: w.inbox.URL},
	})
	if err != nil {
		w.t.Fatal(model, err)
	}
	if task.CallbackIgnored != "" {
		w.t.Errorf("%s: the callback URL is ignored: %s", model, task.CallbackIgnored)
	}
	w.made++
	return task.ID
}

// refused is submit, of what Kling is to make nothing of.
func (w *klingWorld) refused(model, orders string, metadata map[string]any) string {
	w.t.Helper()
	w.made--
	return w.submit(model, orders, metadata)
}

func (w *klingWorld) event(id string) webhook.Event {
	w.t.Helper()
	for w.events[id].JobID == "" {
		e := w.inbox.next(w.t)
		if w.events[e.JobID].JobID != "" {
			w.t.Errorf("a second event of %s", e.JobID)
		}
		w.events[e.JobID] = e
	}
	return w.events[id]
}

// completed wants a generation to have ended well, with outputs that can be fetched.
func (w *klingWorld) completed(what, id, contentType string, outputs int) {
	w.t.Helper()
	e := w.event(id)
	if e.EventType != webhook.GenerationCompleted || len(e.Outputs) != outputs || e.Outputs[0].ContentType != contentType {
		w.t.Errorf("%s: %+v, failure %+v", what, e, e.Failure)
		return
	}
	var file bytes.Buffer
	if _, err := w.client.Download(w.t.Context(), e.Outputs[outputs-1].URL, &file); err != nil || file.Len() < 500 {
		w.t.Errorf("%s: %d bytes, error %v", what, file.Len(), err)
	}
}

// failed wants a generation to have ended badly: one stable code and a clean message for the
// caller, Kling's code for operators.
func (w *klingWorld) failed(what, id, code, message, operators string) {
	w.t.Helper()
	e := w.event(id)
	if e.Failure == nil || e.Failure.Code != code {
		w.t.Errorf("%s: %+v, failure %+v, want %s", what, e, e.Failure, code)
		return
	}
	if task, err := w.client.Status(w.t.Context(), id); err != nil || task.Status != "failed" || task.ErrorMessage != message {
		w.t.Errorf("%s: %q, error %v; want %q", what, task.ErrorMessage, err, message)
	}
	err := w.View(w.t.Context(), func(tx *store.Tx) error {
		list, err := tx.Attempts(id)
		if err == nil && list[len(list)-1].ErrorCode != operators {
			w.t.Errorf("%s: operators read %q %q", what, list[len(list)-1].ErrorCode, list[len(list)-1].ErrorMessage)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// madeOnce wants every task to have been made exactly once.
func (w *klingWorld) madeOnce() {
	w.t.Helper()
	accepted := w.upstream.Accepted()
	for ref, n := range accepted {
		if n != 1 {
			w.t.Errorf("%d tasks were made for %s", n, ref)
		}
	}
	if len(accepted) != w.made {
		w.t.Errorf("%d tasks were made, want %d: %v", len(accepted), w.made, slices.Sorted(maps.Keys(accepted)))
	}
}

// task is what Kling has for a reference.
func (w *klingWorld) task(external string) kling.TaskStats {
	w.t.Helper()
	for _, task := range w.upstream.Stats().Tasks {
		if task.ExternalID == external {
			return task
		}
	}
	w.t.Fatalf("Kling has no task for %s", external)
	return kling.TaskStats{}
}

// Callbacks alone end what they can: a look of its own would come in minutes. Whatever is
// wrong with them, they do no harm.
func TestKlingManagedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := runKling(t, dsn, 100)
		ids := map[string]string{}
		for _, model := range []string{"legacy", "new", "image"} {
			for _, orders := range []string{"", "callback=duplicate", "callback=reordered", "callback=early late=0.3", "callback=forged", "callback=liar", "drop=after"} {
				ids[model+" "+orders] = w.submit(model, orders, nil)
			}
		}
		ids["forgetful"] = w.submit("forgetful", "", nil)
		ids["new end=risk"] = w.submit("new", "end=risk", nil)
		for what, id := range ids {
			switch {
			case strings.HasSuffix(what, "end=risk"):
				w.failed(what, id, "content_rejected", "the upstream refused the content", "")
			case strings.HasPrefix(what, "image"):
				w.completed(what, id, "image/png", 1)
			default:
				w.completed(what, id, "video/mp4", 1)
			}
			got := w.task(id)
			if !strings.Contains(got.CallbackURL, "/callbacks/kling/") || got.Downloads > 1 || got.Downloads == 0 && w.events[id].Failure == nil {
				t.Errorf("%s: Kling was given %q, %d downloads", what, got.CallbackURL, got.Downloads)
			}
		}
		w.madeOnce()
		_, _, metrics := fetch(t, w.LocalURL()+"/metrics", nil)
		if !strings.Contains(string(metrics), `kinora_upstream_callbacks_total{provider="kling",result="refused"} 3`) {
			t.Error("not exactly the three forged calls were refused")
		}
	})
}

// klingHook is a caller's own receiver, which verifies as Kling's documents tell.
type klingHook struct {
	url string

	mu   sync.Mutex
	took map[string][]string // status words by external id
	bad  []string
	came chan struct{}
}

func newKlingHook(t *testing.T) *klingHook {
	h := &klingHook{took: map[string][]string{}, came: make(chan struct{}, 100)}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var told struct {
			Status string
			Legacy string `json:"task_status"`
			ID     string `json:"external_id"`
			Info   struct {
				ID string `json:"external_task_id"`
			} `json:"task_info"`
		}
		h.mu.Lock()
		defer func() { h.mu.Unlock(); h.came <- struct{}{} }()
		// A signature over the raw body: not one byte of it has been changed on the way.
		hook, secretErr := standardwebhooks.NewWebhook(klingSecret)
		if err != nil || secretErr != nil || hook.Verify(body, r.Header) != nil || json.Unmarshal(body, &told) != nil || r.RequestURI != "/hook/a%2Fb?order=17&b=%20+x" {
			h.bad = append(h.bad, r.RequestURI+" "+string(body))
			return
		}
		id := told.ID + told.Info.ID
		h.took[id] = append(h.took[id], told.Status+told.Legacy)
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL + "/hook/a%2Fb?order=17&b=%20+x"
	return h
}

// await waits for n calls.
func (h *klingHook) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-h.came:
		case <-time.After(time.Minute):
			t.Fatal("Kling did not call the caller")
		}
	}
}

// A caller's own address reaches Kling byte for byte, Kling's own calls the caller, and
// polling finds the end.
func TestKlingForwardedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := runKling(t, dsn, 0.02)
		h := newKlingHook(t)
		forwarded := map[string]any{"callback_url": h.url}
		legacy, modern, image := w.submit("legacy", "", forwarded), w.submit("new", "", forwarded), w.submit("image", "", forwarded)
		dropped := w.submit("legacy", "drop=after", forwarded)
		own := w.submit("new", "drop=after", map[string]any{"callback_url": h.url, "external_task_id": "order-17"})
		for what, id := range map[string]string{"legacy": legacy, "new": modern, "dropped": dropped, "own reference": own} {
			w.completed(what, id, "video/mp4", 1)
		}
		w.completed("image", image, "image/png", 1)
		h.await(t, 3*5)
		h.mu.Lock()
		defer h.mu.Unlock()
		for external, end := range map[string]string{legacy: "succeed", dropped: "succeed", image: "succeed", modern: "succeeded", "order-17": "succeeded"} {
			words := slices.Sorted(slices.Values(h.took[external]))
			if !slices.Equal(words, []string{"processing", "submitted", end}) && !slices.Equal(words, []string{"processing", end, "submitted"}) {
				t.Errorf("%s: the caller was told %q", external, words)
			}
			if got := w.task(external).CallbackURL; got != h.url {
				t.Errorf("%s: Kling was given %q", external, got)
			}
		}
		if len(h.bad) > 0 {
			t.Errorf("calls that are not Kling's: %q", h.bad)
		}
		w.madeOnce()
	})
}

// Polling alone, of many in one call; tokens; what Kling refuses, and what it leaves open.
func TestKlingPolling(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		w := runKling(t, dsn, 0.02)
		quiet := "callback=lost "
		var many []string
		for range 12 {
			many = append(many, w.submit("new", quiet, nil))
		}
		pictures := w.submit("image", quiet, map[string]any{"n": 3})
		token := w.submit("pair", quiet, map[string]any{"mode": "pro"})
		slow := w.submit("new", quiet+"faults=2 broken=1 word=dreaming forbid=1", nil)
		late := w.submit("legacy", quiet+"drop=after hidden=1", nil)
		recovered := w.submit("legacy", quiet+"fail=5001 times=1", nil)
		first, second := w.submit("busy", quiet, nil), w.submit("busy", quiet, nil)
		w.completed("the first", first, "video/mp4", 1)

		own := map[string]any{"external_task_id": "order-1"}
		once := w.submit("new", quiet, own)
		w.completed("with a reference of its own", once, "video/mp4", 1)
		twice := w.refused("new", quiet, own)
		unknown := w.refused("new", quiet+"drop=before", own)

		content := w.refused("legacy", quiet+"fail=1301", nil)
		risk := w.submit("legacy", quiet+"end=risk", nil)
		fault := w.submit("legacy", quiet+"end=fault", nil)
		invalid := w.refused("legacy", quiet+"fail=1201", nil)
		retired := w.refused("legacy", quiet+"fail=1203", nil)
		keyless := w.refused("pair-new", quiet, nil)
		poor := w.refused("poor", quiet, nil)

		for _, id := range many {
			w.completed("one of many", id, "video/mp4", 1)
		}
		w.completed("pictures", pictures, "image/png", 3)
		for what, id := range map[string]string{"token": token, "slow": slow, "late": late, "recovered": recovered, "the second": second} {
			w.completed(what, id, "video/mp4", 1)
		}
		const gone = "the upstream does not offer the model any more"
		const account = "the upstream account cannot be used at present"
		w.failed("content", content, "content_rejected", "the upstream refused the content", "1301")
		w.failed("risk", risk, "content_rejected", "the upstream refused the content", "")
		w.failed("fault", fault, "upstream_error", "the upstream produced nothing usable: the generation failed", "")
		w.failed("invalid", invalid, "upstream_error", "the upstream refused the request", "1201")
		w.failed("retired", retired, "model_unavailable", gone, "1203")
		w.failed("without an API key", keyless, "model_unavailable", gone, "")
		w.failed("poor", poor, "upstream_error", account, "1102")
		w.failed("a reference used twice", twice, "upstream_error", "input.metadata.external_task_id must not have been used before", "1201")
		w.failed("a reference of an older task", unknown, "outcome_unknown", unknownOutcome, "")
		w.madeOnce()
		stats := w.upstream.Stats()
		looks := 0
		for _, task := range stats.Tasks {
			looks += task.Looks
		}
		if int(stats.Polls) >= looks {
			t.Errorf("%d polls for %d looks: none was for many", stats.Polls, looks)
		}
	})
}

// The answer to a submit is the same with and without a callback URL, and a limit that
// Kling documents is told before anything is paid.
func TestKlingSubmitAnswers(t *testing.T) {
	w := runKling(t, "", 0.02)
	answer := func(metadata string) (status int, keys, headers []string, message string) {
		t.Helper()
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, w.LocalURL()+"/api/generate/submit",
			strings.NewReader(`{"model":"legacy","input":{"prompt":"x","metadata":`+metadata+`}}`)))
		req.Header.Set("Authorization", "Bearer "+w.Bootstrapped().KeyText)
		req.Header.Set("Content-Type", "application/json")
		browser := &http.Client{}
		defer browser.CloseIdleConnections()
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out struct {
			Data  map[string]any
			Error struct{ Message string }
		}
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, slices.Sorted(maps.Keys(out.Data)), slices.Sorted(maps.Keys(res.Header)), out.Error.Message
	}
	status, keys, headers, _ := answer(`{"callback_url":"https://your.domain/hooks/kling"}`)
	bareStatus, bareKeys, bareHeaders, _ := answer(`{}`)
	if status != http.StatusOK || bareStatus != status || !slices.Equal(keys, bareKeys) || !slices.Equal(keys, []string{"created_time", "status", "task_id"}) || !slices.Equal(headers, bareHeaders) {
		t.Errorf("with %d %v %v, without %d %v %v", status, keys, headers, bareStatus, bareKeys, bareHeaders)
	}
	if status, _, _, message := answer(`{"duration":"7"}`); status != http.StatusBadRequest || message != "input.metadata.duration must be 5 or 10 seconds" {
		t.Errorf("%d %s", status, message)
	}
}

// frontDoor is a public address that leads to the program once it is known where that is.
func frontDoor(t *testing.T) (address string, behind func(localURL string)) {
	var target atomic.Pointer[url.URL]
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(srv.Close)
	return srv.URL, func(localURL string) { target.Store(must(url.Parse(localURL))) }
}
