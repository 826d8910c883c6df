package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

const callbackPath = "/callbacks/kling/" + callbackToken

const callbackUnknown = `{"error":{"code":"not_found","message":"not found","retryable":false,"retry_after":null}}`

func TestCallbackIsHandedOver(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.PublicPath = "/kinora" })
	w := f.do("POST", callbackPath+"?sign=a%2Fb&t=1", `{"task_id":"1"}`, header("X-Signature", "s"))
	is(t, w, 200, "")
	if len(f.callbacks.calls) != 1 {
		t.Fatalf("%d calls", len(f.callbacks.calls))
	}
	got := f.callbacks.calls[0]
	if got.Header.Get("X-Signature") != "s" {
		t.Error("the header did not come through")
	}
	got.Header = nil
	want := provider.InboundCallback{
		Method: "POST", Path: "/kinora" + callbackPath, Query: "sign=a%2Fb&t=1", Body: []byte(`{"task_id":"1"}`), Arrived: testTime,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCallbackAnswer(t *testing.T) {
	f := newFixture(t)
	f.callbacks.reply = func(context.Context, string, string) (provider.Callback, error) {
		return provider.Callback{Answer: json.RawMessage(`{"challenge":"abc"}`)}, nil
	}
	w := f.do("POST", callbackPath, `{"challenge":"abc"}`)
	is(t, w, 200, `{"challenge":"abc"}`)
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
	}
}

// Nothing of what came in comes back, and what cannot be a token is not looked up.
func TestCallbackUnknown(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{
		"/callbacks/kling/tok0000000000000000000002", "/callbacks/vidu/" + callbackToken, "/callbacks/kling/evil-marker",
	} {
		is(t, f.do("POST", path, "evil-marker"), 404, callbackUnknown)
	}
	looked := len(f.callbacks.calls)
	for _, path := range []string{
		"/callbacks/kling/%00", "/callbacks/kling/a%2fb", "/callbacks/kling/%3Cscript%3E", "/callbacks/k%20/" + callbackToken,
		"/callbacks/kling/" + strings.Repeat("a", 129), "/callbacks/" + strings.Repeat("a", 33) + "/" + callbackToken,
	} {
		is(t, f.do("POST", path, ""), 404, callbackUnknown)
	}
	if len(f.callbacks.calls) != looked {
		t.Error("malformed tokens were looked up")
	}
	for _, path := range []string{"/callbacks", "/callbacks/kling", callbackPath + "/", callbackPath + "/more", "/callbacks//" + callbackToken} {
		if w := f.do("POST", path, ""); w.Code != 404 {
			t.Errorf("%s answered %d", path, w.Code)
		}
	}
	if w := f.do("GET", callbackPath, ""); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET answered %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if strings.Contains(f.log.String(), "evil-marker") {
		t.Error("what came in stands in the log")
	}
}

func TestCallbackErrors(t *testing.T) {
	body := func(code, message, retryable, after string) string {
		return `{"error":{"code":"` + code + `","message":"` + message + `","retryable":` + retryable + `,"retry_after":` + after + `}}`
	}
	tests := map[string]struct {
		err    error
		status int
		body   string
	}{
		"bad signature": {kinora.Errorf(kinora.ErrUnauthorized, "mac of tok… differs"), 403, body("forbidden", "the signature is not valid", "false", "null")},
		"bad body":      {kinora.Errorf(kinora.ErrInvalid, "no field task_id in {…}"), 400, body("bad_request", "the body cannot be read", "false", "null")},
		"outage":        {kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach"), 503, body("internal_error", "the database is out of reach", "true", "1")},
		"fault":         {errors.New("secret"), 500, body("internal_error", "internal error (request r1)", "true", "null")},
		"slow":          {context.DeadlineExceeded, 503, body("internal_error", "the request took too long", "true", "1")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.callbacks.reply = func(context.Context, string, string) (provider.Callback, error) { return provider.Callback{}, tt.err }
			is(t, f.do("POST", callbackPath, "{}", header("X-Request-Id", "r1")), tt.status, tt.body)
		})
	}
}

func TestCallbackHasLittleTime(t *testing.T) {
	f := newFixture(t)
	f.callbacks.reply = func(ctx context.Context, _, _ string) (provider.Callback, error) {
		at, ok := ctx.Deadline()
		if left := time.Until(at); !ok || left > callbackTime {
			t.Errorf("the callback may take %s", left)
		}
		return provider.Callback{}, nil
	}
	f.do("POST", callbackPath, "")
}

func TestCallbackBodyIsBounded(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("POST", callbackPath, strings.Repeat("x", maxCallbackBody)), 200, "")
	tooLarge := `{"error":{"code":"bad_request","message":"request body too large","retryable":false,"retry_after":null}}`
	is(t, f.do("POST", callbackPath, strings.Repeat("x", maxCallbackBody+1)), 400, tooLarge)
	// Without a length in front it is found out while reading.
	unknown := func(r *http.Request) { r.ContentLength = -1 }
	is(t, f.do("POST", callbackPath, strings.Repeat("x", maxCallbackBody+1), unknown), 400, tooLarge)
	if len(f.callbacks.calls) != 1 {
		t.Errorf("%d calls came through, want 1", len(f.callbacks.calls))
	}
}

func TestCallbackLimits(t *testing.T) {
	from := func(address string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = address } }
	t.Run("per token", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits.CallbackToken = Limit{PerMinute: 60, Burst: 2} })
		for _, want := range []int{200, 200, 429, 429} {
			if w := f.do("POST", callbackPath, ""); w.Code != want {
				t.Fatalf("answered %d, want %d", w.Code, want)
			}
		}
		if w := f.do("POST", "/callbacks/kling/tok0000000000000000000009", ""); w.Code != 404 {
			t.Errorf("another token answered %d", w.Code)
		}
		f.clock.move(time.Second)
		if w := f.do("POST", callbackPath, ""); w.Code != 200 {
			t.Errorf("a second later it answered %d", w.Code)
		}
	})
	t.Run("per address", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Limits.CallbackAddress = Limit{PerMinute: 60, Burst: 1} })
		a, b := from("[2001:db8:1:2::1]:1000"), from("[2001:db8:1:2::ffff]:2000")
		if w := f.do("POST", callbackPath, "", a); w.Code != 200 {
			t.Fatalf("answered %d", w.Code)
		}
		w := f.do("POST", callbackPath, "", b) // of the same /64
		if w.Code != 429 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("answered %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		if w := f.do("POST", callbackPath, "", from("192.0.2.7:1")); w.Code != 200 {
			t.Errorf("another address answered %d", w.Code)
		}
	})
}
