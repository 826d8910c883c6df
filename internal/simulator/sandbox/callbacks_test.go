package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// call is a callback as it arrived.
type call struct {
	Status
	header http.Header
	body   []byte
	path   string
}

// receiver takes callbacks; answer gives the status for each.
func receiver(t *testing.T, answer func(n int) int) (url string, calls chan call) {
	calls = make(chan call, 100)
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got := call{header: r.Header, body: body, path: r.URL.Path}
		if err != nil || json.Unmarshal(body, &got.Status) != nil || r.Method != http.MethodPost {
			t.Errorf("callback %s %q: %v", r.Method, body, err)
		}
		nth := int(n.Add(1))
		if answer != nil {
			w.WriteHeader(answer(nth))
		}
		calls <- got
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/hook/token", calls
}

// words takes that many callbacks and returns their status words.
func words(calls chan call, n int) (out []string) {
	for range n {
		out = append(out, (<-calls).Status.Status)
	}
	return out
}

func verified(t *testing.T, c call) bool {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	// The library knows only the machine's time.
	return w.VerifyIgnoringTimestamp(c.body, c.header) == nil
}

func callbackJob(url, options string) string {
	return `"model":"sandbox-image-callback","prompt":"x","client_ref":"r",` + smallSize + `,"callback_url":"` + url + `","options":{"delay":10` + options + "}"
}

func TestCallbacks(t *testing.T) {
	b := newBench(t, nil)
	url, calls := receiver(t, nil)
	id := b.submit(callbackJob(url, ""))
	b.clock.Advance(300 * time.Millisecond)
	first := <-calls
	b.clock.Advance(10 * time.Second)
	last := <-calls
	if first.Status.Status != "running" || last.Status.Status != "succeeded" || len(last.Outputs) != 1 || first.ID != id || last.ClientRef != "r" || last.path != "/hook/token" {
		t.Errorf("callbacks %+v and %+v", first.Status, last.Status)
	}
	if !verified(t, first) || !verified(t, last) || first.header.Get("webhook-id") == last.header.Get("webhook-id") {
		t.Error("callbacks are not signed one by one")
	}
	if got, want := last.header.Get("webhook-timestamp"), "1780315210"; got != want {
		t.Errorf("webhook-timestamp %s, want the second of sending, %s", got, want)
	}
	if a := b.get(last.Outputs[0].URL); a.status != 200 {
		t.Errorf("the output that the callback names: %d", a.status)
	}
	polled := b.status(id)
	if want, got := mustJSON(t, polled), string(last.body); got != want {
		t.Errorf("callback says\n%s, a poll says\n%s", got, want)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestCallbackOptions(t *testing.T) {
	type step struct {
		after time.Duration
		words []string
	}
	for _, tc := range []struct {
		option string
		steps  []step
	}{
		{"duplicate", []step{{9 * time.Second, []string{"running", "running"}}, {time.Second, []string{"succeeded", "succeeded"}}}},
		{"reordered", []step{{10 * time.Second, []string{"succeeded"}}, {time.Second, []string{"running"}}}},
		{"lost", nil},
	} {
		b := newBench(t, nil)
		url, calls := receiver(t, nil)
		b.submit(callbackJob(url, `,"callback":"`+tc.option+`"`))
		for _, s := range tc.steps {
			b.clock.Advance(s.after)
			if got := words(calls, len(s.words)); !slices.Equal(got, s.words) {
				t.Errorf("%s: %v, want %v", tc.option, got, s.words)
			}
		}
		if n := b.schedule.Waiting(); n != 0 {
			t.Errorf("%s: %d more callbacks are planned", tc.option, n)
		}
	}
}

func TestEarlyCallback(t *testing.T) {
	b := newBench(t, nil)
	url, calls := receiver(t, nil)
	answered := make(chan answer, 1)
	go func() {
		answered <- b.call("POST", "/v1/jobs", testKey, "{"+callbackJob(url, `,"callback":"early","late_answer":"1h"`)+"}")
	}()
	early := <-calls
	select {
	case <-answered:
		t.Error("the submit was answered first")
	default:
	}
	if early.Status.Status != "queued" || !strings.HasPrefix(early.ID, "sbx_") || !verified(t, early) {
		t.Errorf("early callback %+v", early.Status)
	}
	b.awaitTimer()
	b.clock.Advance(time.Hour)
	if a := <-answered; a.status != 200 || !strings.Contains(string(a.body), early.ID) {
		t.Errorf("answer %d %s", a.status, a.body)
	}
}

func TestForgedCallback(t *testing.T) {
	b := newBench(t, nil)
	url, calls := receiver(t, nil)
	id := b.submit(callbackJob(url, `,"callback":"forged"`))
	b.clock.Advance(time.Second)
	good, forged := 0, 0
	for range 2 {
		c := <-calls
		switch {
		case verified(t, c):
			good++
			if c.Status.Status != "running" {
				t.Errorf("a true callback says %+v", c.Status)
			}
		default:
			forged++
			if c.Status.Status != "succeeded" || c.ID != id || !strings.HasPrefix(c.Outputs[0].URL, "https://forged.invalid/") {
				t.Errorf("the forged callback says %+v", c.Status)
			}
		}
	}
	if good != 1 || forged != 1 {
		t.Errorf("%d true and %d forged callbacks", good, forged)
	}
	if got := b.status(id); got.Status != "running" {
		t.Errorf("the job itself: %+v", got)
	}
}

func TestCallbackOfACancelledJob(t *testing.T) {
	b := newBench(t, nil)
	url, calls := receiver(t, nil)
	id := b.submit(callbackJob(url, ""))
	b.call("POST", "/v1/jobs/"+id+"/cancel", testKey, "")
	// A second job's callbacks prove that the first has no more to come.
	b.submit(callbackJob(url, `,"fail":"generation"`))
	b.clock.Advance(time.Minute)
	got := words(calls, 3)
	slices.Sort(got)
	if want := []string{"cancelled", "failed", "failed"}; !slices.Equal(got, want) {
		t.Errorf("callbacks %v, want %v", got, want)
	}
	if n := b.schedule.Waiting(); n != 0 {
		t.Errorf("%d tasks wait", n)
	}
}

func TestCallbackIsRepeatedUntilAnswered(t *testing.T) {
	b := newBench(t, nil)
	url, calls := receiver(t, func(n int) int {
		if n == 1 {
			return 500
		}
		return 204
	})
	id := b.submit(callbackJob(url, ""))
	b.clock.Advance(300 * time.Millisecond)
	first := <-calls
	// The next try is one second after the first has ended.
	for b.callbacks.Counts().Sent == 0 || b.schedule.Waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	b.clock.Advance(time.Second)
	second := <-calls
	if first.header.Get("webhook-id") != second.header.Get("webhook-id") || !verified(t, second) {
		t.Error("the second try is not the same message")
	}
	b.clock.Advance(time.Minute)
	<-calls
	for b.callbacks.Counts().Delivered != 2 {
		time.Sleep(time.Millisecond)
	}
	if got := b.Stats(); got.Callbacks.Sent != 3 || got.Callbacks.Lost != 0 || got.Jobs[0].Callbacks != 3 || got.Jobs[0].ID != id {
		t.Errorf("statistics %+v", got)
	}
}

func TestWhoIsNotCalled(t *testing.T) {
	b := newBench(t, nil)
	url, _ := receiver(t, nil)
	b.submit(`"model":"sandbox-image","prompt":"x","callback_url":"` + url + `"`)
	b.submit(`"model":"sandbox-video-callback","prompt":"x"`)
	if n := b.schedule.Waiting(); n != 0 {
		t.Errorf("%d callbacks are planned for jobs that want none", n)
	}
	// An account without a secret signs nothing.
	signedBy := signer{}
	h := http.Header{}
	signedBy.sign(h, "msg_1", start, []byte("{}"))
	if len(h) != 0 {
		t.Errorf("headers %v without a secret", h)
	}
}
