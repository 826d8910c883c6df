package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
)

const imageBody = `{"model":"nano-banana-2","prompt":"a boat"}`

// images are the answer of the Images API.
type images struct {
	ID, Status string
	Data       []struct {
		URL    string
		Base64 []byte `json:"b64_json"`
	}
	Error *openaiFault
}

func readAnswer[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %d %s", err, w.Code, w.Body)
	}
	return v
}

// begin sends a request that is held, in a bubble; answer waits for what it is told.
func (f *fixture) begin(ctx context.Context, target, body string, change ...func(*http.Request)) (answer func() *httptest.ResponseRecorder) {
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		done <- f.do("POST", target, body, append(change, func(r *http.Request) { *r = *r.WithContext(ctx) })...)
	}()
	synctest.Wait()
	return func() *httptest.ResponseRecorder { return <-done }
}

// The answer is held until the generation ends, without a place among the requests that are worked on.
func TestImagesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.generations.store(imageIn(kinora.GenerationRunning, nil))
		answer := f.begin(t.Context(), imagesPath, imageBody)
		if f.inFlight.inside.Load() != 0 || f.held.inside.Load() != 1 {
			t.Errorf("%d are worked on and %d are held", f.inFlight.inside.Load(), f.held.inside.Load())
		}
		f.put("a.png", []byte("first"))
		f.put("b.png", []byte("the second"))
		time.Sleep(time.Minute)
		f.generations.end(imageIn(kinora.GenerationSucceeded, nil),
			kinora.Output{BlobKey: "a.png", ContentType: "image/png", Width: 8, Height: 4}, kinora.Output{BlobKey: "b.png", ContentType: "image/png"},
			kinora.Output{BlobKey: "c.png", RemovedAt: testTime})
		w := answer()
		got := readAnswer[images](t, w)
		if w.Code != 200 || got.ID != taskOne || got.Status != "completed" || len(got.Data) != 2 || string(got.Data[0].Base64) != "first" || string(got.Data[1].Base64) != "the second" {
			t.Errorf("answered %d %s", w.Code, w.Body)
		}
		if w.Header().Get("Content-Length") != itoa(w.Body.Len()) || f.held.inside.Load() != 0 {
			t.Errorf("headers %v of %d bytes, %d are held", w.Header(), w.Body.Len(), f.held.inside.Load())
		}
	})
}

func itoa(n int) string { raw, _ := json.Marshal(n); return string(raw) }

// Where the wait is over, or the caller does not want to wait, the answer says where the generation is read.
func TestImagesThatAreNotWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		body   string
		prefer string
		status int
		after  time.Duration
		taken  string
	}{
		"the time is over":           {body: imageBody, status: 504, after: 5 * time.Minute},
		"async":                      {body: strings.Replace(imageBody, "{", `{"async":true,`, 1), status: 202},
		"background":                 {body: strings.Replace(imageBody, "{", `{"background":true,`, 1), status: 202},
		"background and not async":   {body: strings.Replace(imageBody, "{", `{"background":true,"async":false,`, 1), status: 202},
		"background: false":          {body: strings.Replace(imageBody, "{", `{"background":false,`, 1), status: 504, after: 5 * time.Minute},
		"a background of GPT Image":  {body: strings.Replace(imageBody, "{", `{"background":"opaque",`, 1), status: 504, after: 5 * time.Minute},
		"respond-async":              {body: imageBody, prefer: "respond-async", status: 202, taken: "respond-async"},
		"respond-async after a wait": {body: imageBody, prefer: "respond-async, wait=10", status: 202, after: 10 * time.Second, taken: "respond-async"},
		"wait":                       {body: imageBody, prefer: "wait=20", status: 202, after: 20 * time.Second},
		"a longer wait than allowed": {body: imageBody, prefer: "wait=9999", status: 202, after: 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.generations.store(imageIn(kinora.GenerationRunning, nil))
				began := time.Now()
				w := f.begin(t.Context(), imagesPath, tt.body, func(r *http.Request) {
					if tt.prefer != "" {
						r.Header.Set("Prefer", tt.prefer)
					}
				})()
				h := w.Header()
				if w.Code != tt.status || time.Since(began) != tt.after || !strings.Contains(w.Body.String(), taskOne) || h.Get(generationName) != taskOne ||
					h.Get(preferenceTaken) != tt.taken || h.Get(shouldRetry) != "false" {
					t.Errorf("after %s: %d %v %s", time.Since(began), w.Code, h, w.Body)
				}
				if w.Code == 202 && (h.Get("Location") != imagesPath+"/"+taskOne || h.Get(pollAfter) == "") {
					t.Errorf("headers %v", h)
				}
			})
		})
	}
}

// Failures are errors that an SDK does not answer with another try; who reads the generation later gets a record.
func TestImagesThatFail(t *testing.T) {
	for code, want := range map[kinora.FailureCode]string{
		kinora.FailureContentRejected:  "400 image_generation_user_error moderation_blocked",
		kinora.FailureInvalidRequest:   "400 invalid_request_error invalid_request",
		kinora.FailureUpstream:         "502 server_error upstream_error",
		kinora.FailureOutcomeUnknown:   "502 server_error outcome_unknown",
		kinora.FailureTimeout:          "504 server_error timeout",
		kinora.FailureModelUnavailable: "503 server_error model_unavailable",
		kinora.FailureInternal:         "500 server_error internal_error",
	} {
		f := newFixture(t)
		f.generations.store(imageIn(kinora.GenerationFailed, kinora.NewFailure(code, "why")))
		w := f.do("POST", imagesPath, imageBody)
		e := readAnswer[openaiError](t, w).Error
		if got := itoa(w.Code) + " " + e.Type + " " + *e.Code; got != want || e.Message != "why" || w.Header().Get(shouldRetry) != "false" {
			t.Errorf("%s: answered %s %v", code, w.Body, w.Header())
		}
		r := readAnswer[images](t, f.do("GET", imagesPath+"/"+taskOne, ""))
		if r.Status != "failed" || r.Error == nil || r.Error.Message != "why" {
			t.Errorf("%s: read as %+v", code, r)
		}
	}
}

// An SDK's repeat of a request whose caller went away gets the generation of the first try; other requests do not.
func TestSDKRepeatsMakeNoSecondGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.generations.store(imageIn(kinora.GenerationRunning, nil))
		first, again := header(stainlessRetry, "0"), header(stainlessRetry, "1")
		leave := func(change ...func(*http.Request)) {
			t.Helper()
			ctx, gone := context.WithCancel(t.Context())
			answer := f.begin(ctx, imagesPath, imageBody, change...)
			gone()
			if w := answer(); w.Code != statusClientGone {
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
		}
		accepted := func(want int, why string) {
			t.Helper()
			if n := len(f.generations.accepted); n != want {
				t.Errorf("%s: %d were accepted, want %d", why, n, want)
			}
		}
		leave(first)
		accepted(1, "the first try")
		f.begin(t.Context(), imagesPath, `{"model":"nano-banana-2","prompt":"another boat"}`, again, header("Prefer", "respond-async"))()
		accepted(2, "a repeat of something else")
		f.begin(t.Context(), imagesPath, imageBody, key(otherKey), again, header("Prefer", "respond-async"))()
		accepted(3, "a repeat by somebody else")
		leave(again)
		accepted(3, "the repeat, whose caller goes away as well")
		w := f.begin(t.Context(), imagesPath, imageBody, header(stainlessRetry, "2"), header("Prefer", "respond-async"))()
		accepted(3, "its repeat")
		if w.Code != 202 || w.Header().Get(idempotentReplay) != "true" || w.Header().Get(generationName) != taskOne {
			t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
		}
		f.begin(t.Context(), imagesPath, imageBody, again, header("Prefer", "respond-async"))()
		accepted(4, "a repeat of what was answered")
		leave(first)
		f.begin(t.Context(), imagesPath, imageBody, first, header("Prefer", "respond-async"))()
		accepted(6, "the same on purpose")
		f.clock.move(repeatWindow + time.Second)
		f.begin(t.Context(), imagesPath, imageBody, again, header("Prefer", "respond-async"))()
		accepted(7, "a repeat long after")
		leave()
		leave(again)
		accepted(9, "one that is no SDK's")
	})
}

// A refusal of which nobody knows whether something was accepted is not repeated without a key.
func TestUncertainRefusalsAreNotRepeated(t *testing.T) {
	for code, want := range map[kinora.ErrorCode][2]string{ // without a key, with one
		kinora.ErrUnavailable: {"false", ""}, kinora.ErrRateLimited: {"", ""}, kinora.ErrConflict: {"false", "false"}, kinora.ErrBudget: {"false", "false"}, kinora.ErrNoUpstream: {"", ""},
	} {
		f := newFixture(t)
		f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { return nil, refuse(code, "no") }
		without, with := f.do("POST", imagesPath, imageBody), f.do("POST", imagesPath, imageBody, header("Idempotency-Key", "k"))
		if got := [2]string{without.Header().Get(shouldRetry), with.Header().Get(shouldRetry)}; got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}

// pieces is a file that is never in memory whole.
type pieces struct {
	left, largest int64
	fail          bool
}

func (p *pieces) Read(b []byte) (int, error) {
	p.largest = max(p.largest, int64(len(b)))
	if p.left == 0 {
		if p.fail {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, io.EOF
	}
	n := min(int64(len(b)), p.left)
	for i := range b[:n] {
		b[i] = 'x'
	}
	p.left -= n
	return int(n), nil
}
func (p *pieces) Seek(int64, int) (int64, error) { return 0, nil }
func (p *pieces) Close() error                   { return nil }
func (p *pieces) Attributes() blob.Attributes    { return blob.Attributes{Size: 40 << 20} }

type oneFile struct{ file *pieces }

func (f oneFile) Open(context.Context, string) (blob.Object, error) { return f.file, nil }

// Base64 is streamed: a large image takes no more memory than a small one, and half an answer is broken off.
func TestBase64IsStreamed(t *testing.T) {
	output := kinora.Output{BlobKey: "a.png", ContentType: "image/png"}
	for _, fail := range []bool{false, true} {
		file := &pieces{left: 40 << 20, fail: fail}
		f := newFixture(t, func(c *Config) { c.Files = oneFile{file} })
		f.generations.store(imageIn(kinora.GenerationSucceeded, nil), output)
		broken := func() (broken bool) {
			defer func() { broken = recover() == http.ErrAbortHandler }()
			r := httptest.NewRequest("GET", imagesPath+"/"+taskOne+"?response_format=b64_json", nil)
			r.Header.Set("Authorization", "Bearer "+testKey)
			w := &counted{header: http.Header{}}
			f.Handler().ServeHTTP(w, r)
			if want := int64(base64.StdEncoding.EncodedLen(40 << 20)); w.bytes < want || w.bytes > want+1000 || w.header.Get("Content-Length") != itoa(int(w.bytes)) || w.largest > pieceBytes {
				t.Errorf("%d bytes in pieces of at most %d, headers %v", w.bytes, w.largest, w.header)
			}
			return false
		}()
		if broken != fail || file.largest > pieceBytes {
			t.Errorf("fail %t: broken off %t, read in pieces of %d", fail, broken, file.largest)
		}
	}
}

type counted struct {
	header         http.Header
	bytes, largest int64
}

func (c *counted) Header() http.Header { return c.header }
func (c *counted) WriteHeader(int)     {}
func (c *counted) Write(b []byte) (int, error) {
	c.bytes, c.largest = c.bytes+int64(len(b)), max(c.largest, int64(len(b)))
	return len(b), nil
}

// Through a real connection, a caller who hangs up is noticed while the answer is held.
func TestHangingUpIsNoticed(t *testing.T) {
	f := newFixture(t)
	f.generations.store(imageIn(kinora.GenerationRunning, nil))
	srv := httptest.NewServer(f.Handler())
	defer srv.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+imagesPath, bytes.NewReader([]byte(imageBody)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set(stainlessRetry, "0")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	over := make(chan struct{})
	go func() {
		defer close(over)
		if res, err := transport.RoundTrip(r); err == nil {
			res.Body.Close()
		}
	}()
	until(t, "it is held", func() bool { return f.held.inside.Load() == 1 })
	hangUp()
	<-over
	until(t, "it is held no more", func() bool { return f.held.inside.Load() == 0 })
	until(t, "the first try is noted", func() bool {
		f.unheard.mu.Lock()
		defer f.unheard.mu.Unlock()
		return len(f.unheard.notes) == 1
	})
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to pass that %s", what)
		}
	}
}
