package vidu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// The vectors of the documented scheme.
func TestSignatureVectors(t *testing.T) {
	date, nonce := "Tue, 06 May 2025 12:09:42 GMT", "123e4567-e89b-12d3-a456-426614174000"
	for url, want := range map[string]string{
		"http://127.0.0.1:8080/vidu/callback?name=james&age=36": "NPh3qkvh2qDB3e8NbcSL4lpYvLveDSUkfJug6u/K46g=",
		"https://gw.example/cb/vidu/JOBTOKEN":                   "sPdkeqZnXu2ep4Q9zY4BSgKsAkTg9ZCKO86Mpx91ixU=",
	} {
		if got := signature("POST", url, key, date, [][2]string{{"Date", date}, {"x-request-nonce", nonce}}); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	if signature("POST", "https://gw.example", key, date, nil) != signature("POST", "https://gw.example/", key, date, nil) {
		t.Error("an empty path is not /")
	}
}

// received is a call as a receiver saw it.
type received struct {
	Shown
	signed bool
	age    time.Duration // of its Date
}

// receiver takes calls, answers with what it is told, and checks signatures by a reading
// of the documents of its own.
func receiver(t *testing.T, w *world, answers ...int) (url string, calls chan received) {
	calls = make(chan received, 100)
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var got received
		if err := json.Unmarshal(body, &got.Shown); err != nil {
			t.Errorf("body %s: %v", body, err)
		}
		text := []string{"POST", "/cb/TOKEN", "b=2&a=1", "vidu", r.Header.Get("Date")}
		for _, name := range strings.Split(r.Header.Get("X-HMAC-SIGNED-HEADERS"), ";") {
			text = append(text, name+":"+r.Header.Get(name))
		}
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(strings.Join(text, "\n") + "\n"))
		got.signed = r.Header.Get("X-HMAC-SIGNATURE") == base64.StdEncoding.EncodeToString(mac.Sum(nil)) &&
			r.Header.Get("X-HMAC-ALGORITHM") == "hmac-sha256" && r.Header.Get("X-HMAC-ACCESS-KEY") == "vidu" && r.Header.Get("x-request-nonce") != ""
		if sent, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			got.age = w.clock.Now().Sub(sent)
		}
		if n < len(answers) {
			out.WriteHeader(answers[n])
		}
		n++
		calls <- got
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/cb/TOKEN?b=2&a=1", calls
}

func (w *world) withCallback(t *testing.T, url, orders string) string {
	t.Helper()
	return w.submit(t, "text2video", `{"model":"viduq3-turbo","prompt":"x `+orders+`","payload":"r","callback_url":"`+url+`"}`)
}

// states takes n calls and returns what they tell.
func states(calls chan received, n int) (out []string) {
	for range n {
		out = append(out, (<-calls).State)
	}
	return out
}

func TestCallbacks(t *testing.T) {
	w := newWorld(t, nil)
	url, calls := receiver(t, w)
	id := w.withCallback(t, url, "")
	w.clock.Advance(2 * time.Second)
	if got := <-calls; got.State != "processing" || got.ID != id || got.Payload != "r" || !got.signed || got.age > time.Second {
		t.Errorf("the first call tells %+v", got)
	}
	w.clock.Advance(8 * time.Second)
	got := <-calls
	if got.State != "success" || len(got.Creations) != 1 || !got.signed {
		t.Errorf("the second call tells %+v", got)
	}
	// A call has the same shape as the answer to a query.
	if url := w.look(t, id)["creations"].([]any)[0].(map[string]any)["url"]; url != got.Creations[0].URL {
		t.Errorf("the call names %s, the query %v", got.Creations[0].URL, url)
	}
	id = w.withCallback(t, url, "[[end=AuditSubmitIllegal]]")
	w.clock.Advance(2 * time.Second)
	<-calls
	w.clock.Advance(8 * time.Second)
	if got := <-calls; got.State != "failed" || got.ErrCode != "AuditSubmitIllegal" {
		t.Errorf("a failure tells %+v", got)
	}
	id = w.withCallback(t, url, "")
	if status, _ := w.call(t, "POST", "tasks/"+id+"/cancel", `{"id":"`+id+`"}`); status != 200 {
		t.Fatalf("cancel: status %d", status)
	}
	if got := <-calls; got.State != "failed" || got.ErrCode != "UserCancelled" {
		t.Errorf("a cancel tells %+v", got)
	}
}

// A failed call about an end is repeated three times, one about a start not at all.
func TestCallbacksAreRepeated(t *testing.T) {
	w := newWorld(t, nil)
	url, calls := receiver(t, w, 500, 500, 404, 302, 503)
	w.withCallback(t, url, "")
	w.clock.Advance(2 * time.Second)
	if got := states(calls, 1); got[0] != "processing" {
		t.Errorf("calls %v", got)
	}
	w.clock.Advance(8 * time.Second)
	for n := range 4 {
		if got := <-calls; got.State != "success" || !got.signed || got.age > time.Second {
			t.Errorf("call %d about the end tells %+v", n+1, got)
		}
		// The next try is planned after this one's answer was read.
		for n < 3 && w.schedule.Waiting() == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		w.clock.Advance(10 * time.Second)
	}
	for w.callbacks.Counts().Lost < 2 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if c := w.callbacks.Counts(); c.Sent != 5 || c.Delivered != 0 || c.Lost != 2 {
		t.Errorf("counts %+v", c)
	}
}

func TestCallbackOrders(t *testing.T) {
	const p, s = "processing", "success"
	for order, want := range map[string]struct {
		start, end, after []string // what comes when the task starts, when it ends, and a little later
	}{
		"lost":      {},
		"duplicate": {[]string{p, p}, []string{s, s}, nil},
		"reordered": {nil, []string{s}, []string{p}},
		"unsigned":  {[]string{p}, []string{s}, nil},
		"stale":     {[]string{p}, []string{s}, nil},
		"forged":    {[]string{p, s}, []string{s}, nil},
		"liar":      {[]string{p, s}, []string{s}, nil},
	} {
		w := newWorld(t, nil)
		url, calls := receiver(t, w)
		other := w.text(t, "another task")
		id := w.withCallback(t, url, "[[callback="+order+"]]")
		unsigned, stale, lies := 0, 0, 0
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{{2 * time.Second, want.start}, {8 * time.Second, want.end}, {time.Second, want.after}} {
			w.clock.Advance(step.wait)
			var words []string
			for range step.want {
				c := <-calls
				words = append(words, c.State)
				if !c.signed {
					unsigned++
				}
				if c.age > time.Minute {
					stale++
				}
				if c.ID == other {
					lies++
				} else if c.ID != id {
					t.Errorf("%s: a call names %s", order, c.ID)
				}
			}
			slices.Sort(words)
			if !slices.Equal(words, step.want) {
				t.Errorf("%s: calls %v, want %v", order, words, step.want)
			}
		}
		if want := map[string]int{"unsigned": 2, "forged": 1}[order]; unsigned != want {
			t.Errorf("%s: %d calls are not signed, want %d", order, unsigned, want)
		}
		if want := map[string]int{"stale": 2}[order]; stale != want {
			t.Errorf("%s: %d calls are old, want %d", order, stale, want)
		}
		if want := map[string]int{"liar": 1}[order]; lies != want {
			t.Errorf("%s: %d calls name another task, want %d", order, lies, want)
		}
		if n := len(calls); n != 0 {
			t.Errorf("%s: %d more calls", order, n)
		}
	}
}

// A call may come before the submit is answered.
func TestEarlyCallback(t *testing.T) {
	w := newWorld(t, nil)
	url, calls := receiver(t, w)
	id := w.withCallback(t, url, "[[callback=early]]")
	if len(calls) != 1 {
		t.Fatalf("%d calls before the answer, want 1", len(calls))
	}
	if got := <-calls; got.State != "processing" || got.ID != id || !got.signed {
		t.Errorf("the early call tells %+v", got)
	}
}
