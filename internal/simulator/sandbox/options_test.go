package sandbox

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

const plain = `"model":"sandbox-image","prompt":"x","client_ref":"r",` + smallSize

func TestFailAtSubmit(t *testing.T) {
	for _, tc := range []struct {
		options    string
		status     int
		code       string
		retryAfter string
	}{
		{`"fail":"invalid"`, 400, "invalid", ""},
		{`"fail":"moderation"`, 400, "moderation", ""},
		{`"moderation":"input"`, 400, "moderation", ""},
		{`"fail":"credential"`, 401, "credential", ""},
		{`"fail":"balance"`, 402, "balance", ""},
		{`"fail":"permission"`, 403, "permission", ""},
		{`"fail":"model_gone"`, 404, "model_gone", ""},
		{`"fail":"rate"`, 429, "rate", "1"},
		{`"fail":"rate","retry_after":"2.5s"`, 429, "rate", "3"},
		{`"fail":"unavailable"`, 503, "unavailable", ""},
		{`"fail":"unavailable","retry_after":30`, 503, "unavailable", "30"},
	} {
		b := newBench(t, nil)
		a := b.call("POST", "/v1/jobs", testKey, "{"+plain+`,"options":{`+tc.options+"}}")
		if a.status != tc.status || a.problem(t).Code != tc.code || a.header.Get("Retry-After") != tc.retryAfter {
			t.Errorf("%s: %d %s, Retry-After %q", tc.options, a.status, a.body, a.header.Get("Retry-After"))
		}
		if n := b.Stats().Accepted; n != 0 {
			t.Errorf("%s: %d jobs were created", tc.options, n)
		}
	}
}

func TestFailTimes(t *testing.T) {
	b := newBench(t, nil)
	var got []int
	for _, ref := range []string{"r1", "r2", "r1", "r1", "r1"} {
		body := `{"model":"sandbox-image","prompt":"x","client_ref":"` + ref + `","options":{"fail":"rate","fail_times":2}}`
		got = append(got, b.call("POST", "/v1/jobs", testKey, body).status)
	}
	// After it has passed, the count starts anew.
	if want := []int{429, 429, 429, 200, 429}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}

func TestFailAtTheEnd(t *testing.T) {
	for _, tc := range []struct{ options, code string }{
		{`"fail":"generation"`, "generation"},
		{`"moderation":"output"`, "moderation"},
	} {
		b := newBench(t, nil)
		id := b.submit(plain + `,"options":{` + tc.options + "}")
		b.clock.Advance(time.Minute)
		got := b.status(id)
		if got.Status != "failed" || got.Error == nil || got.Error.Code != tc.code || got.Outputs != nil {
			t.Errorf("%s: %+v", tc.options, got)
		}
		if a := b.get(b.url + "/v1/files/" + id + "-0.jpg"); a.status != 404 {
			t.Errorf("%s: its file: %d", tc.options, a.status)
		}
	}
}

func TestFailGone(t *testing.T) {
	b := newBench(t, nil)
	id := b.submit(plain + `,"options":{"fail":"gone"}`)
	if got := b.status(id); got.Status != "queued" {
		t.Errorf("at first: %+v", got)
	}
	b.clock.Advance(time.Minute)
	if a := b.call("GET", "/v1/jobs/"+id, testKey, ""); a.status != 404 || a.problem(t).Code != "gone" {
		t.Errorf("at its end: %d %s", a.status, a.body)
	}
	if got := b.query("ids=" + id); len(got) != 0 {
		t.Errorf("at its end: %+v", got)
	}
}

// The three ways to leave a caller in the dark: in each, the reference tells.
func TestAmbiguousSubmits(t *testing.T) {
	for _, tc := range []struct {
		options  string
		status   int // 0 = no answer
		accepted int64
	}{
		{`"drop":"before_accept"`, 0, 0},
		{`"drop":"after_accept"`, 0, 1},
		{`"fail":"outcome_unknown"`, 500, 1},
	} {
		b := newBench(t, nil)
		a := b.call("POST", "/v1/jobs", testKey, "{"+plain+`,"options":{`+tc.options+"}}")
		if a.status != tc.status || (a.err != nil) != (tc.status == 0) {
			t.Errorf("%s: %d %v", tc.options, a.status, a.err)
		}
		if got := b.Stats().Accepted; got != tc.accepted {
			t.Errorf("%s: %d jobs accepted, want %d", tc.options, got, tc.accepted)
		}
		if got := b.query("client_ref=r"); len(got) != int(tc.accepted) {
			t.Errorf("%s: found by its reference: %+v", tc.options, got)
		}
	}
}

func TestLateAnswer(t *testing.T) {
	b := newBench(t, nil)
	answered := make(chan answer, 1)
	go func() {
		answered <- b.call("POST", "/v1/jobs", testKey, "{"+plain+`,"options":{"late_answer":"1h"}}`)
	}()
	b.awaitTimer()
	if got := b.query("client_ref=r"); len(got) != 1 {
		t.Errorf("before the answer: %+v", got)
	}
	select {
	case a := <-answered:
		t.Errorf("answered early: %d", a.status)
	default:
	}
	b.clock.Advance(time.Hour)
	if a := <-answered; a.status != 200 {
		t.Errorf("answer %d %v", a.status, a.err)
	}
}

// awaitTimer returns once something waits for the clock.
func (b *bench) awaitTimer() {
	for b.clock.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestStatusOptions(t *testing.T) {
	b := newBench(t, nil)
	id := b.submit(plain + `,"options":{"status_word":"warming_up","status_5xx":2}`)
	fine := b.submit(plain)
	b.clock.Advance(200 * time.Millisecond)
	if a := b.call("GET", "/v1/jobs/"+id, testKey, ""); a.status != 503 || a.problem(t).Code != "unavailable" {
		t.Errorf("first look: %d %s", a.status, a.body)
	}
	if a := b.call("GET", "/v1/jobs?ids="+fine+","+id, testKey, ""); a.status != 503 {
		t.Errorf("second look, among others: %d", a.status)
	}
	if got := b.status(id); got.Status != "warming_up" {
		t.Errorf("third look: %+v", got)
	}
	b.clock.Advance(time.Minute)
	if got := b.status(id); got.Status != "succeeded" {
		t.Errorf("at the end: %+v", got)
	}
}

// done makes a job that has ended, and returns its only output's URL.
func (b *bench) done(options string) string {
	b.t.Helper()
	got := b.status(b.submit(plain + `,"seed":5,"options":{"delay":0` + options + "}"))
	if len(got.Outputs) != 1 {
		b.t.Fatalf("the job has not ended well: %+v", got)
	}
	return got.Outputs[0].URL
}

func TestDownloadOptions(t *testing.T) {
	b := newBench(t, nil)
	whole := b.get(b.done("")).body

	url := b.done(`,"output_404":2`)
	var got []int
	for range 4 {
		got = append(got, b.get(url).status)
	}
	if want := []int{404, 404, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("output_404 2: %v, want %v", got, want)
	}
	if a := b.get(b.done(`,"output_404":true`)); a.status != 404 || a.problem(t).Code != "gone" {
		t.Errorf("output_404 true: %d %s", a.status, a.body)
	}

	url = b.done(`,"truncate_download":1`)
	a := b.get(url)
	if !errors.Is(a.err, io.ErrUnexpectedEOF) || a.header.Get("Content-Length") == "" || !bytes.HasPrefix(whole, a.body) || len(a.body) != len(whole)/2 {
		t.Errorf("truncate_download: %d bytes of %d, error %v", len(a.body), len(whole), a.err)
	}
	if a := b.get(url); a.err != nil || !bytes.Equal(a.body, whole) {
		t.Errorf("the second download: %d bytes, error %v", len(a.body), a.err)
	}
}

func TestSlowDownload(t *testing.T) {
	b := newBench(t, nil)
	url := b.done(`,"slow_download":"200ms"`)
	got := make(chan answer, 1)
	go func() { got <- b.get(url) }()
	for range dripPieces {
		b.awaitTimer()
		select {
		case a := <-got:
			t.Fatalf("the download ended early: %d %v", a.status, a.err)
		default:
		}
		b.clock.Advance(200 * time.Millisecond / dripPieces)
	}
	if a := <-got; a.err != nil || a.header.Get("Content-Type") != "image/jpeg" || !bytes.Equal(a.body, b.get(b.done("")).body) {
		t.Errorf("download: %d %d bytes %v", a.status, len(a.body), a.err)
	}
}

func TestURLsExpire(t *testing.T) {
	b := newBench(t, func(c *Config) { c.URLLife = time.Minute })
	url := b.done("")
	b.clock.Advance(time.Minute - time.Millisecond)
	if a := b.get(url); a.status != 200 {
		t.Errorf("shortly before: %d", a.status)
	}
	b.clock.Advance(time.Millisecond)
	if a := b.get(url); a.status != 410 || a.problem(t).Code != "gone" {
		t.Errorf("shortly after: %d %s", a.status, a.body)
	}
	for _, name := range []string{"x", "x-0.jpg", "sbx_a-b.c", "-", "..%2f..", url[len(b.url+"/v1/files/"):] + "x"} {
		if a := b.call("GET", "/v1/files/"+name, "", ""); a.status != 404 {
			t.Errorf("file %q: %d", name, a.status)
		}
	}
}

func TestPublicURL(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PublicURL = "https://sandbox.example" })
	if url, want := b.done(""), "https://sandbox.example/v1/files/"; len(url) < len(want) || url[:len(want)] != want {
		t.Errorf("output URL %q, want one below %s", url, want)
	}
}

func TestFaultsHitOperations(t *testing.T) {
	b := newBench(t, nil)
	b.Faults().Inject(simulator.Fault{Op: "poll", Times: 1, Status: 502})
	b.Faults().Inject(simulator.Fault{Op: "submit", Times: 1, Cut: simulator.CutAfter})
	if a := b.call("POST", "/v1/jobs", testKey, "{"+plain+"}"); a.err == nil {
		t.Errorf("submit was answered: %d", a.status)
	}
	id := b.submit(plain)
	if a := b.call("GET", "/v1/jobs/"+id, testKey, ""); a.status != 502 {
		t.Errorf("poll: %d", a.status)
	}
	b.status(id)
	if n := b.Stats().Repeated; n != 1 {
		t.Errorf("%d repeated submits, want 1", n)
	}
}
