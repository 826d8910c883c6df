package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestRequestID(t *testing.T) {
	f := newFixture(t)
	for given, kept := range map[string]bool{
		"abc-DEF_1.2": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\tb": false, "é": false, "a=b": false, `a"`: false, "a\x1b[31m": false,
	} {
		w := f.do("GET", "/healthz", "", func(r *http.Request) { r.Header["X-Request-Id"] = []string{given} })
		got := w.Header().Get("X-Request-Id")
		if kept && got != given || !kept && !regexp.MustCompile(`^req_[0-9a-z]{20}$`).MatchString(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
	w := f.do("GET", "/healthz", "", func(r *http.Request) { r.Header["X-Request-Id"] = []string{"a", "b"} })
	if got := w.Header().Get("X-Request-Id"); !strings.HasPrefix(got, "req_") {
		t.Errorf("two ids became %q", got)
	}
	seen := map[string]bool{}
	for range 10_000 {
		if id := newRequestID(); seen[id] {
			t.Fatalf("%s was made twice", id)
		} else {
			seen[id] = true
		}
	}
}

func logLines(t *testing.T, f *fixture) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(f.log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestPanicsBecome500sWithAnID(t *testing.T) {
	f := newFixture(t)
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { panic("the secret is 42") }
	is(t, f.do("POST", submitPath, input(""), header("X-Request-Id", "r1")), 500,
		taskErrorText(500, "internal error (request r1)", "server_error"))
	loud := 0
	for _, line := range logLines(t, f) {
		if line["level"] == "ERROR" {
			loud++
			if line["request_id"] != "r1" || line["panic"] != "the secret is 42" || !strings.Contains(line["stack"].(string), "submit") {
				t.Errorf("logged %v", line)
			}
		}
	}
	if loud != 1 {
		t.Errorf("logged %d times", loud)
	}
	if n := f.inFlight.inside.Load(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
	is(t, f.do("GET", "/healthz", ""), 200, `{"status":"ok"}`)
}

// serveRoute lets a handler answer as a route would.
func serveRoute(f *fixture, load workload, h handlerFunc) http.Handler {
	rt := &route{method: "GET", pattern: "/x", dialect: &generationsDialect, load: load, handler: h}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(rt, w, r) })
}

// A panic in the middle of an answer breaks the connection: half an answer must not pass for a whole one.
func TestPanicAfterTheHeadBreaksTheConnection(t *testing.T) {
	f := newFixture(t)
	srv := httptest.NewUnstartedServer(serveRoute(f, ordinary, func(_ context.Context, x *exchange, _ *http.Request) error {
		io.WriteString(x, "half")
		http.NewResponseController(x).Flush()
		panic("boom")
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("read %q without an error", body)
	}
}

func TestErrorsAreLoggedOnceAndNotShown(t *testing.T) {
	f := newFixture(t)
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		return nil, &kinora.Error{Code: kinora.ErrInternal, Op: "accept", Message: "row is odd", Hint: "run doctor", Err: errors.New("cause")}
	}
	w := f.do("POST", submitPath, input(""), header("X-Request-Id", "r1"))
	if strings.Contains(w.Body.String(), "row is odd") || strings.Contains(w.Body.String(), "doctor") {
		t.Errorf("shown: %s", w.Body)
	}
	loud := 0
	for _, line := range logLines(t, f) {
		if line["level"] == "ERROR" {
			loud++
			if line["request_id"] != "r1" || line["error"] != "accept: row is odd: cause" || line["hint"] != "run doctor" {
				t.Errorf("logged %v", line)
			}
		}
	}
	if loud != 1 {
		t.Errorf("logged %d times", loud)
	}
}

// An outage must not drown the log: one line a second says so, whatever the load.
func TestOutagesAreLoggedOnceASecond(t *testing.T) {
	f := newFixture(t)
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		return nil, kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach")
	}
	for range 100 {
		f.do("POST", submitPath, input(""))
	}
	f.clock.move(time.Second)
	f.do("POST", submitPath, input(""))
	loud := 0
	for _, line := range logLines(t, f) {
		if line["level"] == "WARN" {
			loud++
		}
	}
	if loud != 2 {
		t.Errorf("%d lines at level warn, want 2", loud)
	}
}

func TestAccessLog(t *testing.T) {
	f := newFixture(t)
	f.do("POST", submitPath, input(`,"metadata":{"callback_url":"https://u:pw@a.example/"}`), header("X-Request-Id", "r1"))
	f.do("POST", callbackPath, "")
	lines := logLines(t, f)
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	first := lines[0]
	for name, want := range map[string]any{
		"level": "DEBUG", "msg": "request answered", "request_id": "r1", "method": "POST", "route": submitPath,
		"status": 200.0, "bytes": float64(len(accepted)), "organisation": ownID, "key": "key_1", "client": "192.0.2.1",
	} {
		if first[name] != want {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
	}
	for _, secret := range []string{"two kites", "pw@", callbackToken, testKey} {
		if strings.Contains(f.log.String(), secret) {
			t.Errorf("%q stands in the log", secret)
		}
	}
}

func TestOverload(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxInFlight, c.MaxTransfers = 1, 1 })
	entered, release := make(chan struct{}), make(chan struct{})
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		close(entered)
		<-release
		return nil, kinora.Errorf(kinora.ErrInvalid, "late")
	}
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- f.do("POST", submitPath, input("")) }()
	<-entered
	w := f.do("GET", "/api/v1/generations/"+jobOne, "")
	is(t, w, 503, `{"error":{"code":"internal_error","message":"the server is busy; try again shortly","retryable":true,"retry_after":1}}`)
	if w.Header().Get("Retry-After") != "1" {
		t.Error("it does not say when to come back")
	}
	if w := f.do("POST", submitPath, input("")); w.Code != 503 {
		t.Errorf("a second submit answered %d", w.Code)
	}
	is(t, f.do("GET", "/healthz", ""), 200, `{"status":"ok"}`)
	if w := f.do("GET", "/files/a.png", ""); w.Code != 403 {
		t.Errorf("a download answered %d", w.Code)
	}
	close(release)
	is(t, <-done, 400, badRequest("late"))
	if w := f.do("GET", "/api/v1/generations/"+jobOne, ""); w.Code != 404 {
		t.Errorf("afterwards it answered %d", w.Code)
	}
}

func TestRequestsHaveADeadline(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.RequestTimeout = time.Nanosecond })
	f.generations.accept = func(ctx context.Context, _ *kinora.Submission) (*kinora.Accepted, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	is(t, f.do("POST", submitPath, input("")), 503, taskErrorText(503, "the request took too long", "upstream_error"))
}

func TestACallerWhoHasGoneIsNoFault(t *testing.T) {
	f := newFixture(t)
	f.generations.accept = func(ctx context.Context, _ *kinora.Submission) (*kinora.Accepted, error) { return nil, ctx.Err() }
	w := f.do("POST", submitPath, input(""), func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		*r = *r.WithContext(ctx)
	})
	if w.Code != statusClientGone {
		t.Errorf("answered %d", w.Code)
	}
	for _, line := range logLines(t, f) {
		if line["level"] != "DEBUG" {
			t.Errorf("logged %v", line)
		}
	}
}

type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

func TestBodiesThatBreakOff(t *testing.T) {
	f := newFixture(t)
	for message, err := range map[string]error{
		"request body is incomplete":          io.ErrUnexpectedEOF,
		"request body could not be read":      errors.New("malformed chunked encoding"),
		"request body did not arrive in time": os.ErrDeadlineExceeded,
	} {
		is(t, f.doReader("POST", submitPath, brokenBody{err}), 400, badRequest(message))
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t)
	f.do("POST", submitPath, input(""))
	f.do("POST", submitPath, "")
	f.do("POST", submitPath, input(""), key("sk-wrong"))
	f.do("GET", "/api/generate/status/"+taskOne, "")
	f.do("GET", "/api/generate/status/"+taskOne, "")
	f.do("GET", "/nowhere/"+testKey, "")
	f.do("DELETE", submitPath, "")
	w := f.do("GET", "/metrics", "", key(""))
	for _, want := range []string{
		`kinora_http_requests_total{method="POST",route="/api/generate/submit",status="200"} 1`,
		`kinora_http_requests_total{method="POST",route="/api/generate/submit",status="400"} 1`,
		`kinora_http_requests_total{method="POST",route="/api/generate/submit",status="401"} 1`,
		`kinora_http_requests_total{method="GET",route="/api/generate/status/{task_id}",status="404"} 2`,
		`kinora_http_requests_total{method="any",route="unmatched",status="404"} 1`,
		`kinora_http_requests_total{method="any",route="unmatched",status="405"} 1`,
		`kinora_http_request_duration_seconds_count{method="POST",route="/api/generate/submit"} 3`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(w.Body.String(), testKey) || strings.Contains(w.Body.String(), taskOne) {
		t.Error("a label holds what a caller sent")
	}
}
