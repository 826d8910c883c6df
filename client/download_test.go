package client_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/client"
)

const signedURL = "https://files.example/o/1.mp4?sig=do-not-show"

// part is a step that brings text and then breaks off, or ends well.
func part(status int, text string, breaks bool, length int64, headers ...string) step {
	return func(*http.Request) (*http.Response, error) {
		resp, err := reply(status, text, headers...)(nil)
		resp.ContentLength = length
		if breaks {
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text), failingReader{io.ErrUnexpectedEOF}))
		}
		return resp, err
	}
}

func TestDownload(t *testing.T) {
	const etag = `"v1"`
	tests := map[string]struct {
		steps  []step
		want   string
		ranges []string // of each request
		err    error

		guarded bool // ranges are asked for under the ETag
	}{
		"whole":                   {[]step{part(200, "0123456789", false, 10)}, "0123456789", []string{""}, nil, false},
		"whole, length not known": {[]step{part(200, "0123456789", false, -1)}, "0123456789", []string{""}, nil, false},
		"empty":                   {[]step{part(200, "", false, 0)}, "", []string{""}, nil, false},
		"resumed, ETag": {[]step{part(200, "0123", true, 10, "ETag", etag), part(206, "456789", false, 6, "ETag", etag, "Content-Range", "bytes 4-9/10")},
			"0123456789", []string{"", "bytes=4-"}, nil, true},
		"resumed, length": {[]step{part(200, "0123", true, 10), part(206, "456789", false, 6, "Content-Range", "bytes 4-9/10")},
			"0123456789", []string{"", "bytes=4-"}, nil, false},
		"resumed twice": {[]step{part(200, "01", true, 10), part(206, "234", true, 8, "Content-Range", "bytes 2-9/10"), part(206, "56789", false, 5, "Content-Range", "bytes 5-9/10")},
			"0123456789", []string{"", "bytes=2-", "bytes=5-"}, nil, false},
		"resumed after an outage": {[]step{part(200, "0123", true, 10), lost, unavailable, part(206, "456789", false, 6, "Content-Range", "bytes 4-9/10")},
			"0123456789", []string{"", "bytes=4-", "bytes=4-", "bytes=4-"}, nil, false},
		"resumed where ranges are not known": {[]step{part(200, "0123", true, 10, "ETag", etag), part(200, "0123456789", false, 10, "ETag", etag)},
			"0123456789", []string{"", "bytes=4-"}, nil, true},
		"a range shorter than asked for": {[]step{part(200, "0123", true, 10), part(206, "45", false, 2, "Content-Range", "bytes 4-5/10"), part(206, "6789", false, 4, "Content-Range", "bytes 6-9/10")},
			"0123456789", []string{"", "bytes=4-", "bytes=6-"}, nil, false},
		"a range that runs on": {[]step{part(200, "0123", true, 10), part(206, "456789junk", false, -1, "Content-Range", "bytes 4-9/10")},
			"0123456789", []string{"", "bytes=4-"}, nil, false},
		"begun anew before the first byte": {[]step{part(200, "", true, 10, "ETag", `"old"`), part(200, "abc", false, 3, "ETag", etag)}, "abc", []string{"", ""}, nil, false},
		"broken off behind the last byte":  {[]step{part(200, "0123", true, -1, "ETag", etag), part(416, "", false, 0, "Content-Range", "bytes */4")}, "0123", []string{"", "bytes=4-"}, nil, true},
		"four requests at most": {[]step{part(200, "0", true, 10), part(206, "", true, 9, "Content-Range", "bytes 1-9/10")},
			"0", []string{"", "bytes=1-", "bytes=1-", "bytes=1-"}, client.ErrUnavailable, false},
		"never reached": {[]step{lost}, "", []string{"", "", "", ""}, client.ErrUnavailable, false},

		"changed, ETag":            {[]step{part(200, "0123", true, 10, "ETag", etag), part(200, "abcdefghij", false, 10, "ETag", `"v2"`)}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, true},
		"changed, ETag of a range": {[]step{part(200, "0123", true, 10, "ETag", etag), part(206, "efghij", false, 6, "ETag", `"v2"`, "Content-Range", "bytes 4-9/10")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, true},
		"changed, length":          {[]step{part(200, "0123", true, 10), part(206, "efghijk", false, 7, "Content-Range", "bytes 4-10/11")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"changed, cut":             {[]step{part(200, "0123", true, 10), part(416, "", false, 0, "Content-Range", "bytes */3")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"nothing to compare":       {[]step{part(200, "0123", true, -1), part(206, "456789", false, 6, "Content-Range", "bytes 4-9/10")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"nothing to compare, 200":  {[]step{part(200, "0123", true, 10), part(200, "0123456789", false, 10)}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"nothing to compare, 416":  {[]step{part(200, "0123", true, -1), part(416, "", false, 0, "Content-Range", "bytes */4")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"a weak ETag is none":      {[]step{part(200, "0123", true, -1, "ETag", `W/"v1"`), part(200, "0123456789", false, 10, "ETag", `W/"v1"`)}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"another range":            {[]step{part(200, "0123", true, 10), part(206, "56789", false, 5, "Content-Range", "bytes 5-9/10")}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},
		"no Content-Range":         {[]step{part(200, "0123", true, 10), part(206, "456789", false, 6)}, "0123", []string{"", "bytes=4-"}, client.ErrFileChanged, false},

		"expired":             {[]step{reply(403, `{"error":{"code":"forbidden","message":"expired","retryable":false,"retry_after":null}}`)}, "", []string{""}, client.ErrForbidden, false},
		"expired on the way":  {[]step{part(200, "0123", true, 10), reply(403, "{}")}, "0123", []string{"", "bytes=4-"}, client.ErrForbidden, false},
		"removed":             {[]step{reply(404, "")}, "", []string{""}, client.ErrNotFound, false},
		"a page in its place": {[]step{reply(503, "<html>")}, "", []string{"", "", "", ""}, client.ErrUnavailable, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, tt.steps...)
			var got bytes.Buffer
			n, err := c.Download(t.Context(), signedURL, &got)
			if !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if got.String() != tt.want || n != int64(got.Len()) {
				t.Errorf("wrote %q and counted %d, want %q", got.String(), n, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("the error shows the signed URL: %v", err)
			}
			var ranges []string
			for _, e := range s.seen {
				ranges = append(ranges, e.header.Get("Range"))
				if guard := e.header.Get("If-Range"); guard != "" && guard != etag || (guard == "") != (e.header.Get("Range") == "" || !tt.guarded) {
					t.Errorf("If-Range %q", guard)
				}
				if e.header.Get("Authorization") != "" || e.header.Get("Accept-Encoding") != "identity" {
					t.Errorf("headers %v", e.header)
				}
			}
			if fmt.Sprint(ranges) != fmt.Sprint(tt.ranges) {
				t.Errorf("ranges %q, want %q", ranges, tt.ranges)
			}
		})
	}
}

func TestDownloadRefuses(t *testing.T) {
	t.Run("odd successes", func(t *testing.T) {
		for name, s := range map[string]step{
			"a range nobody asked for": part(206, "x", false, 1, "Content-Range", "bytes 0-0/1"),
			"no content":               part(204, "", false, 0),
			"compressed":               part(200, "x", false, 1, "Content-Encoding", "gzip"),
		} {
			c, sc, _ := scripted(t, s)
			if n, err := c.Download(t.Context(), signedURL, io.Discard); err == nil || n != 0 || len(sc.seen) != 1 {
				t.Errorf("%s: %d, %v after %d requests", name, n, err, len(sc.seen))
			}
		}
	})
	t.Run("URLs", func(t *testing.T) {
		c, s, _ := scripted(t, part(200, "x", false, 1))
		for _, u := range []string{"", "/o/1.mp4", "ftp://files.example/x", "file:///etc/passwd", "https://", "https://user:do-not-show@files.example/x", "https://files.example:do-not-show/x"} {
			if _, err := c.Download(t.Context(), u, io.Discard); !errors.Is(err, client.ErrInvalid) || strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("%q: %v", u, err)
			}
		}
		if len(s.seen) != 0 {
			t.Errorf("%d requests", len(s.seen))
		}
	})
	t.Run("redirects", func(t *testing.T) {
		for name, location := range map[string]string{
			"from https to http": "http://files.example/x?sig=do-not-show", "no URL": "https://files.example:do-not-show/", "none": "",
			"other scheme": "ftp://files.example/do-not-show", "user": "https://a:do-not-show@files.example/", "endless": "/again?sig=do-not-show",
		} {
			c, s, _ := scripted(t, reply(302, "", "Location", location))
			_, err := c.Download(t.Context(), signedURL, io.Discard)
			if err == nil || strings.Contains(err.Error(), "do-not-show") {
				t.Errorf("%s: %v", name, err)
			}
			if want := map[bool]int{false: 1, true: 11}[name == "endless"]; len(s.seen) != want {
				t.Errorf("%s: %d requests, want %d", name, len(s.seen), want)
			}
		}
	})
}

// TestDownloadWriteErrors: what goes wrong on the caller's side is told at once, and nothing is fetched again
// for it.
func TestDownloadWriteErrors(t *testing.T) {
	full := errors.New("disk full")
	inner, _, _ := scripted(t, unavailable)
	_, retryable := inner.UploadURL(t.Context(), "https://files.example/x")
	for name, tt := range map[string]struct {
		w    io.Writer
		want error
		n    int64
	}{
		"error":                         {writerFunc(func(p []byte) (int, error) { return 3, full }), full, 3},
		"short write":                   {writerFunc(func(p []byte) (int, error) { return len(p) - 1, nil }), io.ErrShortWrite, 9},
		"an error that looks retryable": {writerFunc(func(p []byte) (int, error) { return 0, retryable }), client.ErrUnavailable, 0},
	} {
		c, s, _ := scripted(t, part(200, "0123456789", false, 10))
		n, err := c.Download(t.Context(), signedURL, tt.w)
		if !errors.Is(err, tt.want) || n != tt.n || len(s.seen) != 1 {
			t.Errorf("%s: %d, %v after %d requests", name, n, err, len(s.seen))
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestDownloadNeverJoinsTwoFiles breaks transfers at random places, on servers of every ability, and replaces
// the file at a random moment. What was written is always a beginning of one file; and all of it when no
// error is told.
func TestDownloadNeverJoinsTwoFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "old")
		files := [][]byte{old}
		if rapid.Bool().Draw(t, "replaced") {
			files = append(files, rapid.SliceOfN(rapid.Byte(), 0, 200).Filter(func(b []byte) bool { return len(b) != len(old) }).Draw(t, "new"))
		}
		withETag, withRanges, withLength := rapid.Bool().Draw(t, "etag"), rapid.Bool().Draw(t, "ranges"), rapid.Bool().Draw(t, "length")
		version := 0
		server := func(req *http.Request) (*http.Response, error) {
			if version < len(files)-1 && rapid.Bool().Draw(t, "replace now") {
				version++
			}
			content, etag := files[version], `"`+strconv.Itoa(version)+`"`
			h, status, from := http.Header{}, 200, 0
			if withETag {
				h.Set("ETag", etag)
			}
			if span, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes="); ok && withRanges && (req.Header.Get("If-Range") == "" || req.Header.Get("If-Range") == etag) {
				from, _ = strconv.Atoi(strings.TrimSuffix(span, "-"))
				if from >= len(content) {
					h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(content)))
					return &http.Response{StatusCode: 416, Header: h, Body: http.NoBody}, nil
				}
				h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
				status = 206
			}
			rest := content[from:]
			resp := &http.Response{StatusCode: status, Header: h, ContentLength: -1}
			if withLength {
				resp.ContentLength = int64(len(rest))
			}
			if cut := rapid.IntRange(0, 2*len(rest)).Draw(t, "cut"); cut < len(rest) {
				resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(rest[:cut]), failingReader{io.ErrUnexpectedEOF}))
			} else {
				resp.Body = io.NopCloser(bytes.NewReader(rest))
			}
			return resp, nil
		}
		clock := newFakeClock()
		s := &script{clock: clock, steps: []step{server}}
		c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: s}), client.WithClock(clock))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		n, err := c.Download(context.Background(), signedURL, &got)
		if n != int64(got.Len()) {
			t.Fatalf("counted %d, wrote %d", n, got.Len())
		}
		for _, file := range files {
			if err == nil && bytes.Equal(got.Bytes(), file) || err != nil && bytes.HasPrefix(file, got.Bytes()) {
				return
			}
		}
		t.Fatalf("wrote %x with error %v; files %x", got.Bytes(), err, files)
	})
}

// TestDownloadStall: a transfer that stands still is given up and resumed; a slow destination is not a stall.
func TestDownloadStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := func(req *http.Request) (*http.Response, error) {
			resp, err := part(200, "0123", false, 10)(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("0123"), readerFunc(func([]byte) (int, error) {
				<-req.Context().Done()
				return 0, req.Context().Err()
			})))
			return resp, err
		}
		s := &script{clock: newFakeClock(), steps: []step{silence, stalled, part(206, "456789", false, 6, "Content-Range", "bytes 4-9/10")}}
		c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: s}), client.WithRetryPolicy(client.RetryPolicy{AttemptTimeout: 10 * time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		start := time.Now()
		if _, err := c.Download(t.Context(), signedURL, &got); err != nil || got.String() != "0123456789" {
			t.Errorf("%q, %v", got.String(), err)
		}
		if took := time.Since(start); took < 20*time.Second || took > 22*time.Second {
			t.Errorf("took %v", took)
		}

		impatient := func(req *http.Request) (*http.Response, error) {
			resp, err := part(200, "0123456789", false, 10)(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("01234"), readerFunc(func([]byte) (int, error) {
				return 0, cmp.Or(req.Context().Err(), io.EOF)
			}), strings.NewReader("56789")))
			return resp, err
		}
		s.seen, s.steps = nil, []step{impatient}
		slow := writerFunc(func(p []byte) (int, error) { time.Sleep(time.Hour); return len(p), nil })
		if _, err := c.Download(t.Context(), signedURL, slow); err != nil || len(s.seen) != 1 {
			t.Errorf("a slow destination: %v after %d requests", err, len(s.seen))
		}

		s.seen, s.steps = nil, []step{stalled}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Download(ctx, signedURL, io.Discard); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnavailable) {
			t.Errorf("the caller's deadline: %v", err)
		}
	})
}

// TestDownloadOverHTTP uses a real server that cuts connections, serves ranges as net/http does, and redirects to
// another origin: the key arrives nowhere.
func TestDownloadOverHTTP(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	var requests atomic.Int32
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("ETag", `"v1"`)
		if requests.Add(1) <= 2 {
			w = &cutWriter{ResponseWriter: w, left: 300 << 10}
		}
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(content))
	}))
	defer files.Close()
	c, server := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the key was sent to a file URL")
		}
		http.Redirect(w, r, files.URL+"/x.bin?sig=1", http.StatusFound)
	}))
	var got bytes.Buffer
	n, err := c.Download(t.Context(), server.URL+"/o/x.bin?sig=0", &got)
	if err != nil || !bytes.Equal(got.Bytes(), content) || n != int64(len(content)) || requests.Load() != 3 {
		t.Errorf("%d bytes, %v after %d requests", n, err, requests.Load())
	}
}

// cutWriter hangs up after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(p)
}
