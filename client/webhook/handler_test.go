package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

// request is a delivery as a server sees it.
func request(method string, header http.Header, rawBody io.Reader) *http.Request {
	r := httptest.NewRequest(method, "/hooks", rawBody)
	r.Header = header
	return r
}

func TestHandler(t *testing.T) {
	genuine := func(t *testing.T) http.Header { return sign(t, "evt_1", sentAt, body, standardSecret) }
	large := `{"event_type":"generation.completed","job_id":"j","metadata":{"x":"` + strings.Repeat("x", 4096) + `"}}`
	failing := errors.New("the database at 10.0.0.7 is down")

	tests := map[string]struct {
		request func(t *testing.T) *http.Request
		err     error // what the function returns
		status  int
		calls   int
	}{
		"handled":     {func(t *testing.T) *http.Request { return request("POST", genuine(t), strings.NewReader(body)) }, nil, 200, 1},
		"not handled": {func(t *testing.T) *http.Request { return request("POST", genuine(t), strings.NewReader(body)) }, failing, 500, 1},
		"unsigned":    {func(*testing.T) *http.Request { return request("POST", http.Header{}, strings.NewReader(body)) }, nil, 401, 0},
		"another body": {func(t *testing.T) *http.Request {
			return request("POST", genuine(t), strings.NewReader(strings.Replace(body, "job_1", "job_2", 1)))
		}, nil, 401, 0},
		"old": {func(t *testing.T) *http.Request {
			return request("POST", sign(t, "evt_1", sentAt.Add(-webhook.DefaultTolerance-1e9), body, standardSecret), strings.NewReader(body))
		}, nil, 401, 0},
		"malformed headers": {func(t *testing.T) *http.Request {
			h := genuine(t)
			h.Set(webhook.HeaderTimestamp, "soon")
			return request("POST", h, strings.NewReader(body))
		}, nil, 400, 0},
		"empty body": {func(t *testing.T) *http.Request {
			return request("POST", sign(t, "evt_1", sentAt, "", standardSecret), nil)
		}, nil, 400, 0},
		"body too large, length told": {func(t *testing.T) *http.Request {
			return request("POST", sign(t, "evt_1", sentAt, large, standardSecret), strings.NewReader(large))
		}, nil, 413, 0},
		"body too large, length not told": {func(t *testing.T) *http.Request {
			return request("POST", sign(t, "evt_1", sentAt, large, standardSecret), io.MultiReader(strings.NewReader(large)))
		}, nil, 413, 0},
		"body cut by a limit in front of us": {func(t *testing.T) *http.Request {
			r := request("POST", genuine(t), nil)
			r.Body = http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(body)), 10)
			return r
		}, nil, 413, 0},
		"body breaks off": {func(t *testing.T) *http.Request {
			return request("POST", genuine(t), io.MultiReader(strings.NewReader(body[:20]), brokenReader{}))
		}, nil, 400, 0},
		"GET": {func(t *testing.T) *http.Request { return request("GET", genuine(t), strings.NewReader(body)) }, nil, 405, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			calls := 0
			h := webhook.Handler(newVerifier(t, []string{standardSecret}, webhook.WithMaxBody(1024)), func(_ context.Context, e webhook.Event) error {
				calls++
				if e.JobID != "job_1" || e.ID != "evt_1" {
					t.Errorf("event %+v", e)
				}
				return tt.err
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, tt.request(t))
			if w.Code != tt.status || calls != tt.calls {
				t.Errorf("status %d after %d calls; want %d after %d", w.Code, calls, tt.status, tt.calls)
			}
			if strings.Contains(w.Body.String(), "10.0.0.7") {
				t.Errorf("the answer shows our own error: %q", w.Body)
			}
		})
	}
}

func TestHandlerPassesTheRequestsContext(t *testing.T) {
	type key struct{}
	h := webhook.Handler(newVerifier(t, []string{standardSecret}), func(ctx context.Context, _ webhook.Event) error {
		if ctx.Value(key{}) != "value" {
			t.Error("not the context of the request")
		}
		return nil
	})
	r := request("POST", sign(t, "evt_1", sentAt, body, standardSecret), strings.NewReader(body))
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(t.Context(), key{}, "value")))
}

func TestVerifyRequest(t *testing.T) {
	v := newVerifier(t, []string{standardSecret}, webhook.WithMaxBody(int64(len(body))))

	event, raw, err := v.VerifyRequest(request("POST", sign(t, "evt_1", sentAt, body, standardSecret), strings.NewReader(body)))
	if err != nil || string(raw) != body || event.JobID != "job_1" {
		t.Errorf("a body of exactly the limit: %+v, %q, %v", event, raw, err)
	}

	longer := body + " "
	_, raw, err = v.VerifyRequest(request("POST", sign(t, "evt_1", sentAt, longer, standardSecret), io.MultiReader(strings.NewReader(longer))))
	if !errors.Is(err, webhook.ErrTooLarge) || raw != nil {
		t.Errorf("one byte more: %q, %v", raw, err)
	}

	_, raw, err = v.VerifyRequest(request("POST", sign(t, "evt_1", sentAt, "hello", standardSecret), strings.NewReader("hello")))
	if !errors.Is(err, webhook.ErrBody) || string(raw) != "hello" {
		t.Errorf("genuine, and not an event: %q, %v", raw, err)
	}
}

// TestVerifyRequestReadsNothingInVain: whoever has no signature, or tells that the body is too large, costs
// no memory.
func TestVerifyRequestReadsNothingInVain(t *testing.T) {
	tests := map[string]struct {
		header http.Header
		length int64 // Content-Length; -1 = not told
		want   error
	}{
		"unsigned":  {http.Header{}, -1, webhook.ErrMissing},
		"old":       {sign(t, "evt_1", sentAt.Add(-24*365*time.Hour), body, standardSecret), -1, webhook.ErrTimestamp},
		"too large": {sign(t, "evt_1", sentAt, body, standardSecret), webhook.DefaultMaxBody + 1, webhook.ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reader := &countingReader{Reader: strings.NewReader(body)}
			r := request("POST", tt.header, reader)
			r.ContentLength = tt.length
			if _, _, err := newVerifier(t, []string{standardSecret}).VerifyRequest(r); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if reader.reads != 0 {
				t.Error("the body was read")
			}
		})
	}
}

func TestHandlerPanicsWithoutItsParts(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a nil function was accepted")
		}
	}()
	webhook.Handler(newVerifier(t, []string{standardSecret}), nil)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type countingReader struct {
	io.Reader
	reads int
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.reads++
	return r.Reader.Read(p)
}
