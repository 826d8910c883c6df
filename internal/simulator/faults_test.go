package simulator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	const whole = "0123456789"
	for _, tc := range []struct {
		name    string
		fault   Fault
		effect  int32
		status  int // 0 = no answer
		body    string
		readErr error
	}{
		{"none", Fault{Op: "other"}, 1, 201, whole, nil},
		{"status", Fault{Op: "op", Status: 503, RetryAfter: 1500 * time.Millisecond}, 0, 503, "injected fault 503\n", nil},
		{"every operation", Fault{Status: 429}, 0, 429, "injected fault 429\n", nil},
		{"cut before", Fault{Cut: CutBefore}, 0, 0, "", nil},
		{"cut after", Fault{Cut: CutAfter}, 1, 0, "", nil},
		{"cut body", Fault{Cut: CutBody}, 1, 201, whole[:5], io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var faults Faults
			var effect atomic.Int32
			srv := httptest.NewServer(faults.Wrap("op", SystemClock{}, func(w http.ResponseWriter, _ *http.Request) {
				effect.Add(1)
				w.Header().Set("x-kept", "yes")
				w.WriteHeader(201)
				_, _ = io.WriteString(w, whole)
			}))
			defer srv.Close()
			takeBack := faults.Inject(tc.fault)
			res, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("x"))
			if (err != nil) != (tc.status == 0) {
				t.Fatalf("error %v, want status %d", err, tc.status)
			}
			if effect.Load() != tc.effect {
				t.Errorf("took effect %d times, want %d", effect.Load(), tc.effect)
			}
			if err == nil {
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if res.StatusCode != tc.status || string(body) != tc.body || !errors.Is(err, tc.readErr) {
					t.Errorf("status %d body %q error %v, want %d %q %v", res.StatusCode, body, err, tc.status, tc.body, tc.readErr)
				}
				if tc.fault.RetryAfter > 0 && res.Header.Get("Retry-After") != "2" {
					t.Errorf("Retry-After %q, want 2", res.Header.Get("Retry-After"))
				}
			}
			takeBack()
			takeBack()
			res, err = srv.Client().Post(srv.URL, "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatalf("after the fault was taken back: %v", err)
			}
			defer res.Body.Close()
			if res.StatusCode != 201 || res.Header.Get("x-kept") != "yes" {
				t.Errorf("after the fault was taken back: status %d", res.StatusCode)
			}
		})
	}
}

func TestFaultTimes(t *testing.T) {
	var faults Faults
	faults.Inject(Fault{Status: 500, Times: 2})
	faults.Inject(Fault{Op: "a", Status: 501, Times: 1})
	var got []int
	for range 4 {
		fault, _ := faults.take("a")
		got = append(got, fault.Status)
	}
	if want := []int{500, 500, 501, 0}; !slices.Equal(got, want) {
		t.Errorf("hit by %v, want %v", got, want)
	}
	if len(faults.active) != 0 {
		t.Errorf("%d faults left", len(faults.active))
	}
}

func TestFaultDelay(t *testing.T) {
	clock := NewManualClock(start)
	var faults Faults
	faults.Inject(Fault{Delay: time.Hour})
	var effect atomic.Int32
	handler := faults.Wrap("op", clock, func(http.ResponseWriter, *http.Request) { effect.Add(1) })
	srv := httptest.NewServer(handler)
	defer srv.Close()

	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		res, err := srv.Client().Do(req)
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	for clock.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for clock.Waiting() != 0 {
		time.Sleep(time.Millisecond)
	}
	if effect.Load() != 0 {
		t.Error("a caller that left during the delay had its effect")
	}
}
