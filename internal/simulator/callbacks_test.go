package simulator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// roundTrip is a transport in a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCallbackTries(t *testing.T) {
	for _, tc := range []struct {
		name    string
		tries   int
		answers []int // 0 = no answer
		want    CallbackCounts
	}{
		{"at once", 0, []int{200}, CallbackCounts{Sent: 1, Delivered: 1}},
		{"any 2xx", 0, []int{204}, CallbackCounts{Sent: 1, Delivered: 1}},
		{"after failures", 0, []int{0, 500, 200}, CallbackCounts{Sent: 3, Delivered: 1}},
		{"a redirect is a failure", 0, []int{302, 200}, CallbackCounts{Sent: 2, Delivered: 1}},
		{"given up", 0, []int{503, 404, 0}, CallbackCounts{Sent: 3, Lost: 1}},
		{"tried once only", 1, []int{500}, CallbackCounts{Sent: 1, Lost: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock := NewManualClock(start)
			schedule := NewSchedule(clock, 1)
			defer schedule.Close()
			var moments []time.Duration
			client := &http.Client{
				CheckRedirect: LoopbackClient().CheckRedirect,
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					moments = append(moments, clock.Now().Sub(start))
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					if got, want := string(body), clock.Now().Format(time.TimeOnly); got != want || r.Header.Get("x-signed") != want {
						t.Errorf("body %q signed %q, want both of %s", got, r.Header.Get("x-signed"), want)
					}
					status := tc.answers[len(moments)-1]
					if status == 0 {
						return nil, errors.New("connection reset")
					}
					return &http.Response{StatusCode: status, Body: http.NoBody, Request: r, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}, nil
				}),
			}
			cb := NewCallbacks(schedule, clock, client, time.Second)
			tried := make(chan int)
			cb.SendAt(start.Add(time.Minute), Callback{
				URL:   "http://127.0.0.1:1/hook",
				Body:  func(now time.Time) []byte { return []byte(now.Format(time.TimeOnly)) },
				Sign:  func(h http.Header, _ time.Time, body []byte) { h.Set("x-signed", string(body)) },
				Tried: func(status int) { tried <- status },
				Tries: tc.tries,
			})
			clock.Advance(time.Minute)
			for i, want := range tc.answers {
				if got := <-tried; got != want {
					t.Errorf("try %d ended with %d, want %d", i+1, got, want)
				}
				if i < len(tc.answers)-1 {
					awaitTask(t, schedule)
					clock.Advance(time.Duration(i+1) * time.Second)
				}
			}
			schedule.Close()
			if got := cb.Counts(); got != tc.want {
				t.Errorf("counts %+v, want %+v", got, tc.want)
			}
			for i, want := range []time.Duration{60 * time.Second, 61 * time.Second, 63 * time.Second}[:len(tc.answers)] {
				if moments[i] != want {
					t.Errorf("try %d at %v, want %v", i+1, moments[i], want)
				}
			}
		})
	}
}

// awaitTask returns once the schedule has taken the next task.
func awaitTask(t *testing.T, s *Schedule) {
	t.Helper()
	for s.Waiting() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing was scheduled")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLoopbackClientStaysOnThisMachine(t *testing.T) {
	client := LoopbackClient()
	defer client.CloseIdleConnections()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	res, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for _, url := range []string{"http://192.0.2.1/", "http://[2001:db8::1]/", "http://0.0.0.0:1/"} {
		if res, err := client.Get(url); !errors.Is(err, errNotLoopback) {
			t.Errorf("%s: error %v, want a refusal", url, err)
			if err == nil {
				res.Body.Close()
			}
		}
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost:0", "127.0.0.1"} {
		if l, err := Listen(address, http.NotFoundHandler()); err == nil {
			_ = l.Close(t.Context())
			t.Errorf("listens on %q", address)
		}
	}
	holding := make(chan struct{})
	var cut atomic.Bool
	l, err := Listen("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(holding)
		<-r.Context().Done()
		cut.Store(true)
	}))
	if err != nil {
		t.Fatal(err)
	}
	client := LoopbackClient()
	defer client.CloseIdleConnections()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		res, err := client.Get(l.URL + "/")
		if err == nil {
			res.Body.Close()
			t.Error("a request that hangs was answered")
		}
	}()
	<-holding
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that says that requests were cut", err)
	}
	<-ended
}
