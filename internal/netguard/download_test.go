package netguard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDownload(t *testing.T) {
	g := loopbackGuard(t, nil)
	file := bytes.Repeat([]byte("0123456789"), 100_000)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Header().Set("Content-Type", "video/mp4")
			w.Write(file)
		case "/announced":
			w.Header().Set("Content-Length", "1000000")
			w.Write(file)
		case "/short":
			w.Header().Set("Content-Length", "1000001")
			w.Write(file)
		case "/moved":
			http.Redirect(w, r, "/file?signature=2", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/inside":
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		case "/badly":
			w.Header()["Location"] = []string{"http://[hunter2/"}
			w.WriteHeader(http.StatusFound)
		case "/nowhere":
			w.WriteHeader(http.StatusFound)
		default:
			http.Error(w, "gone", http.StatusGone)
		}
	})
	const size = 1_000_000
	for name, tt := range map[string]struct {
		path    string
		limit   int64
		check   func(error) bool
		written int
	}{
		"file":                   {path: "/file", limit: size, written: size},
		"with room":              {path: "/file", limit: size + 1, written: size},
		"through a redirect":     {path: "/moved", limit: size, written: size},
		"too large":              {path: "/file", limit: size - 1, check: isType[*TooLargeError], written: size - 1},
		"announced as too large": {path: "/announced", limit: size - 1, check: isType[*TooLargeError]},
		"no limit given":         {path: "/file", limit: 0, check: isType[*TooLargeError]},
		"ends early":             {path: "/short", limit: 2 * size, check: func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, written: size},
		"gone":                   {path: "/gone", limit: size, check: func(err error) bool { var s *StatusError; return errors.As(err, &s) && s.Status == 410 }},
		"redirect to nowhere":    {path: "/nowhere", limit: size, check: isType[*StatusError]},
		"redirect loop":          {path: "/loop", limit: size, check: func(err error) bool { return errors.Is(err, ErrTooManyRedirects) }},
		"redirect inside":        {path: "/inside", limit: size, check: isType[*Refusal]},
		"unreadable redirect":    {path: "/badly", limit: size, check: isType[*Refusal]},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := g.Download(t.Context(), server.URL+tt.path+"?token=hunter2", tt.limit, &out)
			if out.Len() != tt.written || !bytes.HasPrefix(file, out.Bytes()) {
				t.Errorf("%d bytes written", out.Len())
			}
			if tt.check != nil {
				if err == nil || !tt.check(err) {
					t.Fatalf("got %v", err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%q quotes the URL", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Bytes != size || got.ContentType != "video/mp4" || got.URL.Path != "/file" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func isType[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestDownloadTellsWhoseFaultItWas(t *testing.T) {
	g := loopbackGuard(t, nil)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "start")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/drip" {
			<-r.Context().Done()
		}
	})
	full := errors.New("disk full")
	_, err := g.Download(t.Context(), server.URL, 100, writerFunc(func([]byte) (int, error) { return 0, full }))
	if !isType[*WriteError](err) || !errors.Is(err, full) {
		t.Errorf("full disk: %v", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	late := errors.New("took too long")
	_, err = g.Download(ctx, server.URL+"/drip?token=hunter2", 100, writerFunc(func(p []byte) (int, error) { cancel(late); return len(p), nil }))
	if !errors.Is(err, late) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("dripping: %v", err)
	}

	_, err = g.Download(t.Context(), "http://absent.test/?token=hunter2", 100, io.Discard)
	if err == nil || isType[*Refusal](err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("unknown name: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
