package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/kinora/kinora/internal/simulator/minimax"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// miniMax is the whole program in front of a simulated MiniMax.
type miniMax struct {
	*app.App
	t        *testing.T
	upstream *minimax.Simulator
	client   *client.Client
	inbox    *inbox
	events   map[string]webhook.Event
}

// runMiniMax starts both. The program's public address leads to it for everybody, for
// upstreams that call back only where calledBack says so. pace scales the waits between
// two looks of ten seconds.
func runMiniMax(t *testing.T, dsn string, calledBack bool, pace float64) *miniMax {
	t.Helper()
	upstream, err := minimax.New(minimax.Config{
		Accounts:  []minimax.Account{{Key: "sk-rich"}, {Key: "sk-poor"}},
		VideoTime: 600 * time.Millisecond, ImageTime: 100 * time.Millisecond, MaxSide: 128,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := simulator.Listen("127.0.0.1:0", upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()); _ = upstream.Close() })
	var behind atomic.Pointer[url.URL]
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(behind.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !calledBack && strings.HasPrefix(r.URL.Path, "/callbacks/") {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	a := runTimed(t, dsn, lifecycle.Timing{Pace: pace, Backoff: 0.02, Grace: 0.2}, func(c *config.Config) {
		c.PublicURL = front.URL
		for name, key := range map[string]string{"rich": "sk-rich", "poor": "sk-poor"} {
			c.Accounts = append(c.Accounts, config.Account{Name: name, Provider: "minimax", BaseURL: l.URL, Settings: map[string]config.Secret{"api_key": config.Secret(key)}})
		}
		for _, name := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3", "image-01"} {
			kind := "video"
			if name == "image-01" {
				kind = "image"
			}
			c.Models = append(c.Models, config.Model{Name: name, Kind: kind, Provider: "minimax", Accounts: []string{"rich"}},
				config.Model{Name: "poor-" + name, Kind: kind, Provider: "minimax", UpstreamModel: name, Accounts: []string{"poor"}})
		}
	})
	behind.Store(must(url.Parse(a.LocalURL())))
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return &miniMax{
		App: a, t: t, upstream: upstream, client: c, events: map[string]webhook.Event{},
		inbox: newInbox(t, func() string { return a.Bootstrapped().Secret.Text }),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (m *miniMax) submit(model, prompt string, metadata map[string]any) string {
	m.t.Helper()
	task, err := m.client.Submit(m.t.Context(), client.SubmitRequest{
		Model: model, Input: client.Input{Prompt: prompt, Metadata: metadata}, Webhook: &client.Webhook{URL: m.inbox.URL},
	})
	if err != nil {
		m.t.Fatal(model, err)
	}
	return task.ID
}

// event waits for the event of a generation.
func (m *miniMax) event(id string) webhook.Event {
	m.t.Helper()
	for m.events[id].JobID == "" {
		e := m.inbox.next(m.t)
		if m.events[e.JobID].JobID != "" {
			m.t.Errorf("a second event of %s", e.JobID)
		}
		m.events[e.JobID] = e
	}
	return m.events[id]
}

// completed wants a generation to have ended well, with one output that can be fetched.
func (m *miniMax) completed(what, id, contentType string) {
	m.t.Helper()
	e := m.event(id)
	if e.EventType != "generation.completed" || len(e.Outputs) != 1 || e.Outputs[0].ContentType != contentType {
		m.t.Errorf("%s: %+v, failure %+v", what, e, e.Failure)
		return
	}
	var file bytes.Buffer
	if _, err := m.client.Download(m.t.Context(), e.Outputs[0].URL, &file); err != nil || file.Len() < 1000 {
		m.t.Errorf("%s: %d bytes, error %v", what, file.Len(), err)
	}
	if task, err := m.client.Status(m.t.Context(), id); err != nil || task.Status != "finished" || len(task.Files) != 1 {
		m.t.Errorf("%s: %+v, error %v", what, task, err)
	}
}

// failed wants a generation to have ended badly, as the caller sees it.
func (m *miniMax) failed(what, id, code, message string) {
	m.t.Helper()
	e := m.event(id)
	if e.EventType != "generation.failed" || e.Failure == nil || string(e.Failure.Code) != code {
		m.t.Errorf("%s: %+v, failure %+v, want %s", what, e, e.Failure, code)
		return
	}
	if task, err := m.client.Status(m.t.Context(), id); err != nil || task.Status != "failed" || task.ErrorMessage != message {
		m.t.Errorf("%s: %q, error %v; want %q", what, task.ErrorMessage, err, message)
	}
}

// jobs are the upstream's jobs with a text in their prompt.
func (m *miniMax) jobs(prompt string) (list []minimax.Job) {
	for _, j := range m.upstream.Jobs() {
		if strings.Contains(j.Prompt, prompt) {
			list = append(list, j)
		}
	}
	return list
}

const unknownOutcome = "it is not known whether the upstream accepted the request; it was not repeated"

// Kinora's own callback address: the challenge is answered while the submit is open, and
// callbacks, not looks, end what they can. A look of its own would come in a quarter of an hour.
func TestMiniMaxManagedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		m := runMiniMax(t, dsn, true, 100)
		ids := map[string]string{}
		for name, prompt := range map[string]string{"MiniMax-Hailuo-2.3": "a fox in snow [Push in]", "MiniMax-H3": "harbour at dawn"} {
			ids[name] = m.submit(name, prompt, nil)
			ids[name+" refused at its end"] = m.submit(name, "refused at its end [[fail=1027]]", nil)
			ids[name+" duplicate"] = m.submit(name, "duplicate [[callback=duplicate]]", nil)
			ids[name+" forged"] = m.submit(name, "forged [[callback=forged]]", nil)
			ids[name+" reordered"] = m.submit(name, "reordered [[callback=reordered]]", nil)
			ids[name+" early"] = m.submit(name, "early [[callback=early late=0.3]]", nil)
			ids[name+" dropped"] = m.submit(name, "dropped [[drop=after]]", nil)
			ids[name+" answered 500"] = m.submit(name, "answered 500 [[answer=500]]", nil)
			ids[name+" half"] = m.submit(name, "half [[answer=half]]", nil)
		}
		for what, id := range ids {
			if strings.HasSuffix(what, "refused at its end") {
				m.failed(what, id, "content_rejected", "the upstream refused the content")
				continue
			}
			m.completed(what, id, "video/mp4")
		}
		for _, what := range []string{"a fox", "harbour", "refused at", "duplicate", "forged", "reordered", "early", "dropped", "answered", "half"} {
			want := 2
			if what == "a fox" || what == "harbour" {
				want = 1
			}
			list := m.jobs(what)
			if len(list) != want {
				t.Errorf("%s: %d jobs upstream, want %d", what, len(list), want)
			}
			for _, j := range list {
				if !strings.Contains(j.CallbackURL, "/callbacks/minimax/") {
					t.Errorf("%s: the upstream was given %q", what, j.CallbackURL)
				}
			}
		}
		if s := m.upstream.Stats(); s.Challenges != int64(len(ids)) {
			t.Errorf("%d challenges answered, want %d", s.Challenges, len(ids))
		}
	})
}

// hook is a caller's own receiver of MiniMax's callbacks.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string][]string // by request URI
}

func newHook(t *testing.T) *hook {
	h := &hook{bodies: map[string][]string{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct{ Challenge string }
		if json.Unmarshal(body, &in) == nil && in.Challenge != "" {
			_ = json.NewEncoder(w).Encode(map[string]string{"challenge": in.Challenge})
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies[r.URL.RequestURI()] = append(h.bodies[r.URL.RequestURI()], string(body))
	}))
	t.Cleanup(h.Close)
	return h
}

// took waits until a path has got n callbacks.
func (h *hook) took(t *testing.T, uri string, n int) []string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		got := slices.Clone(h.bodies[uri])
		h.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%s got %d callbacks of %d", uri, len(got), n)
		}
	}
}

// A caller's own callback address goes to the upstream byte for byte; its calls reach the
// caller as they are, and polling finds the end.
func TestMiniMaxForwardedCallbacks(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		m := runMiniMax(t, dsn, true, 0.02)
		h := newHook(t)
		ids, urls := map[string]string{}, map[string]string{}
		for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3"} {
			urls[model] = "/hooks/" + model + "?order=17&x=%2F%20+<é>"
			ids[model] = m.submit(model, "forwarded", map[string]any{"callback_url": h.URL + urls[model]})
		}
		deaf := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(deaf.Close)
		unanswered := m.submit("MiniMax-Hailuo-2.3", "unanswered", map[string]any{"callback_url": deaf.URL})
		dropped := m.submit("MiniMax-H3", "dropped [[drop=after]]", map[string]any{"callback_url": h.URL + "/dropped"})
		for model, id := range ids {
			m.completed(model, id, "video/mp4")
		}
		m.failed("unanswered", unanswered, "upstream_error", "the callback URL did not answer the upstream's challenge")
		m.failed("dropped", dropped, "outcome_unknown", unknownOutcome)
		if n := len(m.jobs("unanswered")); n != 0 {
			t.Errorf("%d jobs without an answer to the challenge", n)
		}
		if n := len(m.jobs("dropped")); n != 1 {
			t.Errorf("%d jobs for one that was dropped", n)
		}
		for _, j := range m.jobs("forwarded") {
			var sent struct {
				URL string `json:"callback_url"`
			}
			if err := json.Unmarshal(j.Body, &sent); err != nil || sent.URL != h.URL+urls[j.Model] {
				t.Errorf("%s: the upstream was given %q, error %v", j.Model, sent.URL, err)
			}
			posts := map[string]int{"MiniMax-Hailuo-2.3": 2, "MiniMax-H3": 3}[j.Model]
			uri := must(url.Parse(h.URL + urls[j.Model])).RequestURI()
			got := h.took(t, uri, posts)
			for _, body := range got {
				if !slices.ContainsFunc(m.jobs("forwarded"), func(j minimax.Job) bool {
					return slices.ContainsFunc(j.Posts, func(p json.RawMessage) bool { return string(p) == body })
				}) {
					t.Errorf("%s: the upstream never sent %s", j.Model, body)
				}
			}
		}
	})
}

// Polling alone. The upstream cannot reach the callback address, so that each video is
// submitted again without one.
func TestMiniMaxPolling(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		m := runMiniMax(t, dsn, false, 0.02)
		hailuo := m.submit("MiniMax-Hailuo-2.3", "a fox in snow", map[string]any{"resolution": "768P"})
		var many []string
		for i := range 12 {
			many = append(many, m.submit("MiniMax-H3", fmt.Sprint("many ", i), nil))
		}
		picture := m.submit("image-01", "a red kettle", map[string]any{"aspect_ratio": "16:9"})
		slow := m.submit("MiniMax-H3", "slow to tell [[query_5xx=2 query_half=1 status=dreaming output_404=1]]", nil)
		blocked := m.submit("image-01", "blocked [[blocked=9]]", nil)
		refused := m.submit("MiniMax-H3", "refused [[refuse=1026]]", nil)
		rejected := m.submit("MiniMax-Hailuo-2.3", "rejected [[refuse=2013]]", nil)
		broken := m.submit("MiniMax-Hailuo-2.3", "broken [[fail=1000]]", nil)
		busy := m.submit("MiniMax-Hailuo-2.3", "busy [[refuse=1002 refuse_times=2]]", nil)
		overloaded := m.submit("MiniMax-H3", "overloaded [[refuse=529 refuse_times=2]]", nil)
		lost := m.submit("image-01", "lost [[drop=after]]", nil)
		poor := m.submit("poor-MiniMax-Hailuo-2.3", "poor [[refuse=1008]]", nil)

		m.completed("Hailuo", hailuo, "video/mp4")
		for _, id := range many {
			m.completed("H3", id, "video/mp4")
		}
		m.completed("image", picture, "image/jpeg")
		m.completed("slow", slow, "video/mp4")
		m.completed("busy", busy, "video/mp4")
		m.completed("overloaded", overloaded, "video/mp4")
		m.failed("blocked", blocked, "content_rejected", "the upstream refused the content")
		m.failed("refused", refused, "content_rejected", "the upstream refused the content")
		m.failed("rejected", rejected, "upstream_error", "the upstream refused the request")
		m.failed("broken", broken, "upstream_error", "the upstream produced nothing usable: the generation failed")
		m.failed("lost", lost, "outcome_unknown", unknownOutcome)
		m.failed("poor", poor, "upstream_error", "the upstream account cannot be used at present")
		for prompt, want := range map[string]int{"a fox": 1, "many": 12, "kettle": 1, "slow": 1, "blocked": 1, "refused": 0, "rejected": 0, "busy": 1, "overloaded": 1, "lost": 1, "poor": 0} {
			if list := m.jobs(prompt); len(list) != want {
				t.Errorf("%s: %d jobs upstream, want %d", prompt, len(list), want)
			} else if want == 1 && list[0].CallbackURL != "" {
				t.Errorf("%s: made with the callback URL %q", prompt, list[0].CallbackURL)
			}
		}
		var class, code string
		err := m.View(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT error_class, error_code FROM attempts WHERE generation_id = ?`, poor).Scan(&class, &code)
		})
		if err != nil || class != "balance" || code != "1008" {
			t.Errorf("the operator reads %s %s, error %v", class, code, err)
		}
	})
}

// A cancel reaches a task that is still queued upstream, and destroys none that has ended.
func TestMiniMaxCancel(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		m := runMiniMax(t, dsn, true, 100)
		for prompt, cancelled := range map[string]bool{"waiting [[time=120 queue=60]]": true, "begun [[time=120 queue=0]]": false, "ended [[time=0.05 callback=lost]]": false} {
			id := m.submit("MiniMax-H3", prompt, nil)
			m.await("it is accepted", func() bool {
				var state string
				err := m.View(t.Context(), func(tx *store.Tx) error {
					return tx.QueryRow(`SELECT state FROM attempts WHERE generation_id = ?`, id).Scan(&state)
				})
				return err == nil && state == "open"
			})
			if strings.HasPrefix(prompt, "ended") {
				m.await("it has ended upstream", func() bool { return !m.jobs(prompt)[0].EndedAt.IsZero() })
			}
			status, _, body := m.post("/api/v1/generations/" + id + "/cancel")
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", prompt, status, body)
			}
			if e := m.event(id); e.Failure == nil || string(e.Failure.Code) != "cancelled" {
				t.Errorf("%s: %+v", prompt, e)
			}
			if cancelled {
				m.await("the upstream is told", func() bool { return m.jobs(prompt)[0].Cancelled })
			}
		}
		m.await("the upstream is asked about all three", func() bool { return m.upstream.Stats().Queries >= 3 })
		for _, j := range m.upstream.Jobs() {
			if j.Deleted || j.Cancelled != strings.HasPrefix(j.Prompt, "waiting") {
				t.Errorf("upstream: %+v", j)
			}
		}
		if n := m.upstream.Stats().Deletes; n != 1 {
			t.Errorf("%d DELETEs, want 1", n)
		}
	})
}

// await waits until something is so.
func (m *miniMax) await(what string, so func() bool) {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// post calls the program with the bootstrapped key.
func (m *miniMax) post(path string) (status int, header http.Header, body []byte) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, m.LocalURL()+path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.Bootstrapped().KeyText)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

// The submit answer is the same with and without a callback URL.
func TestMiniMaxSubmitAnswer(t *testing.T) {
	m := runMiniMax(t, "", true, 0.02)
	h := newHook(t)
	var shapes []string
	for _, metadata := range []string{`{}`, `{"callback_url":"` + h.URL + `"}`} {
		for _, model := range []string{"MiniMax-Hailuo-2.3", "MiniMax-H3"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.LocalURL()+"/api/generate/submit",
				strings.NewReader(`{"model":"`+model+`","input":{"prompt":"x","metadata":`+metadata+`}}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+m.Bootstrapped().KeyText)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Code int
				Data map[string]any
			}
			err = json.NewDecoder(res.Body).Decode(&got)
			_ = res.Body.Close()
			if err != nil || got.Data["status"] != "not_started" {
				t.Errorf("%+v, error %v", got, err)
			}
			shapes = append(shapes, fmt.Sprint(res.StatusCode, got.Code, slices.Sorted(maps.Keys(got.Data)), slices.Sorted(maps.Keys(res.Header))))
		}
	}
	if slices.Sort(shapes); shapes[0] != shapes[len(shapes)-1] {
		t.Errorf("answers differ: %q", shapes)
	}
	// On the image model nobody will call it, and the answer says so.
	task, err := m.client.Submit(t.Context(), client.SubmitRequest{Model: "image-01", Input: client.Input{Prompt: "x", Metadata: map[string]any{"callback_url": h.URL}}})
	if err != nil || task.CallbackIgnored != "polling-only" {
		t.Errorf("%+v, error %v", task, err)
	}
}
