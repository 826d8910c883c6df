package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/client"
)

var (
	unavailable = reply(503, `{"code":503,"error":{"message":"down","type":"upstream_error"}}`)
	lost        = fail(io.ErrUnexpectedEOF)
)

// TestRetry counts requests: each call meets the steps in order, the last one for ever.
func TestRetry(t *testing.T) {
	status := func(c *client.Client) error { _, err := c.Status(context.Background(), "task_1"); return err }
	submit := func(opts ...client.SubmitOption) func(*client.Client) error {
		return func(c *client.Client) error {
			_, err := c.Submit(context.Background(), client.SubmitRequest{Model: "m"}, opts...)
			return err
		}
	}
	uploadURL := func(c *client.Client) error {
		_, err := c.UploadURL(context.Background(), "https://files.example/x")
		return err
	}
	uploadStream := func(c *client.Client) error {
		_, err := c.UploadStream(context.Background(), "x.png", strings.NewReader("x"))
		return err
	}
	ok := reply(200, runningTask)
	limited := reply(429, `{}`, "Retry-After", "5")

	tests := map[string]struct {
		call     func(*client.Client) error
		steps    []step
		requests int
		want     error // nil = success
	}{
		"read: at once":                    {status, []step{ok}, 1, nil},
		"read: 503 passes":                 {status, []step{unavailable, unavailable, ok}, 3, nil},
		"read: connection lost":            {status, []step{lost, ok}, 2, nil},
		"read: answer breaks off":          {status, []step{func(*http.Request) (*http.Response, error) { return brokenBody(200, `{"co`), nil }, ok}, 2, nil},
		"read: 429":                        {status, []step{limited, ok}, 2, nil},
		"read: four tries at most":         {status, []step{unavailable}, 4, client.ErrUnavailable},
		"read: never reached":              {status, []step{lost}, 4, client.ErrUnavailable},
		"read: 404 is final":               {status, []step{reply(404, `{}`)}, 1, client.ErrNotFound},
		"read: 401 is final":               {status, []step{reply(401, `{}`)}, 1, client.ErrUnauthorized},
		"read: 500 that says no":           {status, []step{reply(500, `{"error":{"code":"c","message":"m","retryable":false,"retry_after":null}}`)}, 1, client.ErrUnavailable},
		"read: asked to wait for too long": {status, []step{reply(429, `{}`, "Retry-After", "61")}, 1, client.ErrRateLimited},
		"read: a wrong certificate":        {status, []step{fail(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})}, 1, client.ErrUnavailable},

		"submit: 503 passes":             {submit(), []step{unavailable, ok}, 2, nil},
		"submit: connection lost":        {submit(), []step{lost, lost, ok}, 3, nil},
		"submit: 429":                    {submit(), []step{limited, ok}, 2, nil},
		"submit: 400 is final":           {submit(), []step{reply(400, `{}`)}, 1, client.ErrInvalid},
		"submit: 409 is final":           {submit(client.IdempotencyKey("order-17")), []step{reply(409, `{}`)}, 1, client.ErrConflict},
		"submit, no key: 503":            {submit(client.NoIdempotencyKey()), []step{unavailable}, 1, client.ErrUnavailable},
		"submit, no key: lost":           {submit(client.NoIdempotencyKey()), []step{lost}, 1, client.ErrUnavailable},
		"submit, no key: 429":            {submit(client.NoIdempotencyKey()), []step{limited}, 1, client.ErrRateLimited},
		"submit, a key after all: 503":   {submit(client.NoIdempotencyKey(), client.IdempotencyKey("k")), []step{unavailable, ok}, 2, nil},
		"submit, none after all: 503":    {submit(client.IdempotencyKey("k"), client.NoIdempotencyKey()), []step{unavailable}, 1, client.ErrUnavailable},
		"upload by URL: never repeated":  {uploadURL, []step{unavailable}, 1, client.ErrUnavailable},
		"upload, stream: never repeated": {uploadStream, []step{lost}, 1, client.ErrUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, clock := scripted(t, tt.steps...)
			if err := tt.call(c); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if len(s.seen) != tt.requests || len(clock.slept) != tt.requests-1 {
				t.Errorf("%d requests and %d pauses, want %d requests", len(s.seen), len(clock.slept), tt.requests)
			}
		})
	}
}

// TestRetryPauses: each pause is within full jitter, and a Retry-After is always waited for in whole.
func TestRetryPauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := client.RetryPolicy{
			MaxTries:        rapid.IntRange(2, 12).Draw(t, "tries"),
			InitialInterval: time.Duration(rapid.Int64Range(2, int64(time.Second)).Draw(t, "initial")),
			MaxInterval:     time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Minute)).Draw(t, "max")),
		}
		after := rapid.IntRange(0, 60).Draw(t, "after")
		clock := newFakeClock()
		s := &script{clock: clock, steps: []step{reply(503, fmt.Sprintf(`{"error":{"retry_after":%d}}`, after))}}
		c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: s}), client.WithClock(clock), client.WithRetryPolicy(policy))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(context.Background(), "task_1"); !errors.Is(err, client.ErrUnavailable) {
			t.Fatal(err)
		}
		if len(clock.slept) != policy.MaxTries-1 {
			t.Fatalf("%d pauses for %d tries", len(clock.slept), policy.MaxTries)
		}
		ceiling := policy.InitialInterval
		for i, pause := range clock.slept {
			pause -= time.Duration(after) * time.Second
			if pause < 0 || pause > ceiling+time.Nanosecond {
				t.Fatalf("pause %d beyond Retry-After is %v, want 0 to %v", i+1, pause, ceiling)
			}
			ceiling = min(2*ceiling, policy.MaxInterval)
		}
	})
}

// TestRetryPausesSpread: clients that failed together come back over the whole interval, also over its beginning.
func TestRetryPausesSpread(t *testing.T) {
	c, _, clock := scriptedWith(t, client.RetryPolicy{MaxTries: 401, InitialInterval: time.Second, MaxInterval: time.Second}, unavailable)
	if _, err := c.Status(t.Context(), "task_1"); !errors.Is(err, client.ErrUnavailable) {
		t.Fatal(err)
	}
	// Of 400 even draws, none in the first or last fifth happens once in 10³⁸ runs.
	if low, high := slices.Min(clock.slept), slices.Max(clock.slept); low > 200*time.Millisecond || high < 800*time.Millisecond {
		t.Errorf("400 pauses from %v to %v", low, high)
	}
}

// TestRetryEndsWithTheContext: the pause is cut short, and the error tells both what happened and why it ended.
func TestRetryEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, s, clock := scripted(t, unavailable)
	clock.cancel = cancel
	_, err := c.Status(ctx, "task_1")
	var answered *client.Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &answered) || answered.StatusCode != 503 {
		t.Errorf("got %v", err)
	}
	if len(s.seen) != 1 {
		t.Errorf("%d requests", len(s.seen))
	}

	_, err = c.Status(ctx, "task_1") // ended before it began
	if !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestAttemptTimeout: one silent server costs one attempt's time, not the whole call, and the caller's own
// deadline is told apart from it.
func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{clock: newFakeClock(), steps: []step{silence, silence, reply(200, runningTask)}}
		c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: s}),
			client.WithRetryPolicy(client.RetryPolicy{AttemptTimeout: 10 * time.Second, InitialInterval: time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := c.Status(t.Context(), "task_1"); err != nil {
			t.Errorf("third try: %v", err)
		}
		if took := time.Since(start); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("took %v", took)
		}

		s.seen, s.steps = nil, []step{silence}
		_, err = c.Submit(t.Context(), client.SubmitRequest{Model: "m"}, client.NoIdempotencyKey())
		if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("silence: %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s.seen = nil
		_, err = c.Status(ctx, "task_1")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnavailable) || len(s.seen) != 1 {
			t.Errorf("the caller's deadline: %v after %d requests", err, len(s.seen))
		}
	})
}

// TestSystemClockEndsWithTheContext covers the clock that is used when none is given.
func TestSystemClockEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{clock: newFakeClock(), steps: []step{reply(503, "{}", "Retry-After", "60")}}
		c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: s}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		start := time.Now()
		_, err = c.Status(ctx, "task_1")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 90*time.Second || len(s.seen) != 2 {
			t.Errorf("%v after %v and %d requests", err, time.Since(start), len(s.seen))
		}
	})
}
