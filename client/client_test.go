package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apiKey = "sk-0123456789-do-not-show"

// exchange is one request that a scripted server saw.
type exchange struct {
	method, path, body string
	header             http.Header
	at                 time.Time // on the fake clock
}

// script answers requests one after the other, without a network. Its last step answers all further ones.
type script struct {
	mu    sync.Mutex
	clock *fakeClock
	steps []step
	seen  []exchange

	queries []string // of the requests that had one
}

// step makes one answer.
type step func(req *http.Request) (*http.Response, error)

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil { // as the real transport does
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	s.mu.Lock()
	s.seen = append(s.seen, exchange{req.Method, req.URL.Path, string(body), req.Header.Clone(), s.clock.Now()})
	if req.URL.RawQuery != "" {
		s.queries = append(s.queries, req.URL.RawQuery)
	}
	next := s.steps[min(len(s.seen), len(s.steps))-1]
	s.mu.Unlock()
	return next(req)
}

// reply is a step that answers with a status, a body and headers given as name, value, ….
func reply(status int, body string, headers ...string) step {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i+1 < len(headers); i += 2 {
			h.Add(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
}

// fail is a step on which no answer comes.
func fail(err error) step {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// silence is a step on which nothing comes until the request is given up.
func silence(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// fakeClock advances by what is slept, at once.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	slept  []time.Duration
	cancel context.CancelFunc // when set: called instead of sleeping
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return nil
}

func scripted(t testing.TB, steps ...step) (*client.Client, *script, *fakeClock) {
	t.Helper()
	return scriptedWith(t, client.RetryPolicy{}, steps...)
}

func scriptedWith(t testing.TB, policy client.RetryPolicy, steps ...step) (*client.Client, *script, *fakeClock) {
	t.Helper()
	clock := newFakeClock()
	s := &script{clock: clock, steps: steps}
	c, err := client.New("https://kinora.test/prefix/", apiKey,
		client.WithHTTPClient(&http.Client{Transport: s}), client.WithClock(clock), client.WithRetryPolicy(policy))
	if err != nil {
		t.Fatal(err)
	}
	return c, s, clock
}

// served makes a client of a real server on the loopback address.
func served(t testing.TB, h http.Handler) (*client.Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, apiKey, client.WithClock(newFakeClock()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c, server
}

const runningTask = `{"code":200,"data":{"task_id":"task_1","status":"running","progress":42,"created_time":"2026-06-14T10:30:00","error_message":null}}`

func TestNew(t *testing.T) {
	tests := map[string]struct {
		baseURL, key string
		opts         []client.Option
		ok           bool
	}{
		"https":                 {"https://kinora.example", apiKey, nil, true},
		"http with a port":      {"http://127.0.0.1:8080", apiKey, nil, true},
		"path prefix":           {"https://kinora.example/a/b/", apiKey, nil, true},
		"own user agent":        {"https://kinora.example", apiKey, []client.Option{client.WithUserAgent("shop 1.0")}, true},
		"empty URL":             {"", apiKey, nil, false},
		"no scheme":             {"kinora.example", apiKey, nil, false},
		"other scheme":          {"ftp://kinora.example", apiKey, nil, false},
		"no host":               {"https://", apiKey, nil, false},
		"port alone":            {"https://:443", apiKey, nil, false},
		"user":                  {"https://user:pass-do-not-show@kinora.example", apiKey, nil, false},
		"not a URL":             {"https://user:pass-do-not-show@kinora.example:port", apiKey, nil, false},
		"query":                 {"https://kinora.example?x=1", apiKey, nil, false},
		"fragment":              {"https://kinora.example#x", apiKey, nil, false},
		"empty key":             {"https://kinora.example", "", nil, false},
		"key with a line break": {"https://kinora.example", apiKey + "\n", nil, false},
		"key with a space":      {"https://kinora.example", apiKey + " x", nil, false},
		"empty user agent":      {"https://kinora.example", apiKey, []client.Option{client.WithUserAgent("")}, false},
		"user agent, two lines": {"https://kinora.example", apiKey, []client.Option{client.WithUserAgent("a\r\nX: y")}, false},
		"negative policy":       {"https://kinora.example", apiKey, []client.Option{client.WithRetryPolicy(client.RetryPolicy{MaxTries: -1})}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := client.New(tt.baseURL, tt.key, tt.opts...)
			if (err == nil) != tt.ok || (c != nil) != tt.ok {
				t.Fatalf("got %v, %v; want ok %t", c, err, tt.ok)
			}
			if err != nil && strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestClientPrintsNoKey(t *testing.T) {
	c, err := client.New("https://kinora.example", apiKey)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %+v %#v", c, c, c, c, *c, *c)
	if strings.Contains(printed, apiKey) || strings.Contains(printed, fmt.Sprintf("%x", apiKey)) {
		t.Errorf("the key shows in %q", printed)
	}
	if got := c.String(); got != "client.Client(https://kinora.example)" {
		t.Errorf("String() = %q", got)
	}
}

func TestRequestHeaders(t *testing.T) {
	c, s, _ := scripted(t, reply(200, runningTask))
	if _, err := c.Status(t.Context(), "task_1"); err != nil {
		t.Fatal(err)
	}
	got := s.seen[0]
	if got.path != "/prefix/api/generate/status/task_1" || got.method != "GET" {
		t.Errorf("%s %s", got.method, got.path)
	}
	for name, want := range map[string]string{"Authorization": "Bearer " + apiKey, "User-Agent": client.DefaultUserAgent, "Accept": "application/json", "Idempotency-Key": ""} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
}

// TestRedirectsAreNotFollowed: neither the key nor a paid request goes where an answer points.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s arrived at the other host", r.Method, r.URL)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, _ := served(t, http.RedirectHandler(other.URL+"/?sig=do-not-show", status))
		_, statusErr := c.Status(t.Context(), "task_1")
		_, submitErr := c.Submit(t.Context(), client.SubmitRequest{Model: "m"})
		_, uploadErr := c.UploadStream(t.Context(), "a.png", strings.NewReader("x"))
		for _, err := range []error{statusErr, submitErr, uploadErr} {
			var answered *client.Error
			if !errors.As(err, &answered) || answered.StatusCode != status || answered.Retryable || strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// TestTransportErrorsShowNothing: net/http's errors hold the URL, and the header it cannot send.
func TestTransportErrorsShowNothing(t *testing.T) {
	tests := map[string]step{
		"refused":            fail(errors.New("connection refused by " + apiKey)),
		"bad Location":       reply(302, "", "Location", "https://files.example:port/?sig=do-not-show"),
		"body breaks off":    func(*http.Request) (*http.Response, error) { return brokenBody(200, apiKey), nil },
		"several lines":      fail(errors.New("first\r\nsecond \x1b[31m \u202e reversed")),
		"an error, repeated": reply(500, `{"error":{"message":"key `+apiKey+` is odd","type":"`+apiKey+`"}}`, "X-Request-Id", apiKey),
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, _ := scriptedWith(t, client.RetryPolicy{MaxTries: 2}, s)
			_, statusErr := c.Status(t.Context(), "task_secret")
			_, downloadErr := c.Download(t.Context(), "https://files.example/x?sig=do-not-show", io.Discard)
			for _, err := range []error{statusErr, downloadErr} {
				if err == nil {
					t.Fatal("no error")
				}
				printed := fmt.Sprintf("%v %+v", err, err)
				for _, bad := range []string{apiKey, "do-not-show", "task_secret", "\n", "\x1b", "\u202e"} {
					if strings.Contains(printed, bad) {
						t.Errorf("%q shows %q", printed, bad)
					}
				}
			}
		})
	}
}

// brokenBody is an answer whose body ends with an error after text.
func brokenBody(status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, ContentLength: -1,
		Body: io.NopCloser(io.MultiReader(strings.NewReader(text), failingReader{io.ErrUnexpectedEOF})),
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
