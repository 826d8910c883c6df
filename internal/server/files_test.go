package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora/internal/blob"
)

func (f *fixture) put(key string, content []byte) string {
	f.t.Helper()
	if _, err := f.folder.Put(context.Background(), key, bytes.NewReader(content), blob.PutOptions{}); err != nil {
		f.t.Fatal(err)
	}
	url, _ := f.fileURL(key)
	return strings.TrimPrefix(url, "https://files.example")
}

func forbidden(message string) string {
	return `{"error":{"code":"forbidden","message":"` + message + `","retryable":false,"retry_after":null}}`
}

const (
	urlExpired  = "the URL has expired; read the generation again for a fresh one"
	urlNotValid = "the URL is not valid"
	fileGone    = `{"error":{"code":"not_found","message":"the file is not there, or not any more","retryable":false,"retry_after":null}}`
)

func TestFileIsServedUnderItsSignedURL(t *testing.T) {
	f := newFixture(t)
	content := []byte("\x89PNG pretended")
	target := f.put("out/2026/11/22/é 1.png", content)
	w := f.do("GET", target, "", func(r *http.Request) { r.Header.Del("Authorization") })
	is(t, w, 200, string(content))
	for name, want := range map[string]string{
		"Content-Type": "image/png", "Cache-Control": "private, max-age=900", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; sandbox", "Accept-Ranges": "bytes", "Content-Length": "14",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	part := f.do("GET", target, "", header("Range", "bytes=1-3"))
	if part.Code != 206 || part.Body.String() != "PNG" || part.Header().Get("Content-Range") != "bytes 1-3/14" {
		t.Errorf("a range answered %d %q %q", part.Code, part.Body, part.Header().Get("Content-Range"))
	}
	outside := f.do("GET", target, "", header("Range", "bytes=99-"))
	is(t, outside, 416, `{"error":{"code":"bad_request","message":"the file has no such range: it is 14 bytes long","retryable":false,"retry_after":null}}`)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Range": "bytes */14", "Cache-Control": "no-store", "Content-Disposition": "",
		"Content-Security-Policy": noContent[0],
	} {
		if got := outside.Header().Get(name); got != want {
			t.Errorf("a range outside: %s is %q, want %q", name, got, want)
		}
	}
	for _, ignored := range []string{"lines=1-2", "bytes=b-a", "bytes=3-1", "bytes"} {
		is(t, f.do("GET", target, "", header("Range", ignored)), 200, string(content))
	}
	head := f.do("HEAD", target, "")
	if head.Code != 200 || head.Header().Get("Content-Length") != "14" || head.Body.Len() != 0 {
		t.Errorf("HEAD answered %d with %d bytes, length %q", head.Code, head.Body.Len(), head.Header().Get("Content-Length"))
	}
}

func TestFileRefusals(t *testing.T) {
	f := newFixture(t)
	target := f.put("out/1.png", []byte("x"))
	elsewhere := strings.Replace(target, "1.png", "2.png", 1)
	is(t, f.do("GET", elsewhere, ""), 403, forbidden(urlNotValid))
	is(t, f.do("GET", "/files/out/1.png", ""), 403, forbidden(urlNotValid))
	is(t, f.do("GET", target+"x", ""), 403, forbidden(urlNotValid))
	is(t, f.do("GET", strings.Replace(target, "exp=", "exp=9", 1), ""), 403, forbidden(urlNotValid))
	is(t, f.do("GET", target+"&sig=again", ""), 403, forbidden(urlNotValid))
	is(t, f.do("GET", "/files/out/none.png?"+strings.Repeat("a", 5000), ""), 403, forbidden(urlNotValid))

	// A good signature for a file that is gone, was never there, or cannot be.
	gone, _ := f.fileURL("out/gone.png")
	is(t, f.do("GET", strings.TrimPrefix(gone, "https://files.example"), ""), 404, fileGone)
	for _, path := range []string{"/files/.secret", "/files/a\\b", "/files/out"} {
		query := f.signer.Sign(path, f.clock.now().Add(time.Minute))
		is(t, f.do("GET", strings.ReplaceAll(path, `\`, "%5c")+"?"+query, ""), 404, fileGone)
	}

	is(t, f.do("POST", target, ""), 405, `{"error":{"code":"bad_request","message":"method POST is not allowed here","retryable":false,"retry_after":null}}`)
	for _, path := range []string{"/files", "/files/", "/fil%65s", "/files//out/1.png", "/files/a/../out/1.png", "/files/out/1.png/"} {
		if w := f.do("GET", path, ""); w.Code != 404 && w.Code != 403 {
			t.Errorf("%s answered %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}

	f.clock.move(15 * time.Minute)
	is(t, f.do("GET", target, ""), 403, forbidden(urlExpired))
	is(t, f.do("GET", target+"x", ""), 403, forbidden(urlNotValid))
	if strings.Contains(f.log.String(), "sig=") {
		t.Error("a signed URL stands in the log")
	}
}

// brokenFiles fails in one way.
type brokenFiles struct{ err error }

func (b brokenFiles) Open(context.Context, string) (blob.Object, error) { return nil, b.err }

func TestFileStorageFailures(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		text   string
	}{
		"out of reach": {&blob.Error{Op: "open", Key: "a.png", Kind: blob.ErrUnavailable}, 503, "the storage is out of reach"},
		"denied":       {&blob.Error{Op: "open", Key: "a.png", Kind: blob.ErrDenied}, 503, "the storage is out of reach"},
		"unknown":      {errors.New("bucket kinora-prod at 10.0.0.1"), 500, "internal error (request r1)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Files = brokenFiles{tt.err} })
			url, _ := f.fileURL("a.png")
			w := f.do("GET", strings.TrimPrefix(url, "https://files.example"), "", header("X-Request-Id", "r1"))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) || strings.Contains(w.Body.String(), "10.0.0.1") {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
}

// A file larger than one stretch comes whole over a real connection whose write time-out is shorter than the transfer:
// each stretch gets time of its own.
func TestFileOutlivesTheWriteTimeout(t *testing.T) {
	f := newFixture(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), (3*stretch+12345)/16)
	target := f.put("big.mp4", content)
	srv := httptest.NewUnstartedServer(f.Handler())
	srv.Config = HTTPServer(HTTPConfig{WriteTimeout: time.Nanosecond}, f.Handler())
	srv.Start()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + target)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d of %d bytes, %v", len(got), len(content), err)
	}
}

// copyCounter is a connection's end that counts what is handed to it by ReadFrom, the way to the kernel's copying.
type copyCounter struct {
	*httptest.ResponseRecorder
	limits []int64
}

func (c *copyCounter) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("not a LimitedReader")
	}
	if _, ok := limited.R.(interface{ Fd() uintptr }); !ok {
		return 0, errors.New("not a file")
	}
	c.limits = append(c.limits, limited.N)
	return io.Copy(c.ResponseRecorder, limited)
}

func TestFileIsHandedToTheKernelInStretches(t *testing.T) {
	f := newFixture(t)
	content := bytes.Repeat([]byte("x"), 2*stretch+7)
	r := httptest.NewRequest("GET", f.put("big.mp4", content), nil)
	w := &copyCounter{ResponseRecorder: httptest.NewRecorder()}
	f.Handler().ServeHTTP(w, r)
	if !bytes.Equal(w.Body.Bytes(), content) {
		t.Errorf("%d of %d bytes came through", w.Body.Len(), len(content))
	}
	if len(w.limits) != 3 || w.limits[0] != stretch || w.limits[2] != 7 {
		t.Errorf("stretches of %d", w.limits)
	}
}

func TestFileWithoutAFileBehindIt(t *testing.T) {
	w := httptest.NewRecorder()
	x := &exchange{w: w}
	p := &patientWriter{exchange: x, patience: patience(x)}
	text := strings.Repeat("abc", stretch)
	if n, err := p.Write([]byte(text)); err != nil || n != len(text) {
		t.Errorf("Write took %d, %v", n, err)
	}
	if n, err := p.ReadFrom(strings.NewReader(text)); err != nil || n != int64(len(text)) {
		t.Errorf("ReadFrom took %d, %v", n, err)
	}
	if n, err := p.Write(nil); err != nil || n != 0 {
		t.Errorf("Write of nothing took %d, %v", n, err)
	}
	if w.Body.String() != text+text {
		t.Error("the bytes changed on the way")
	}
}

func TestHTTPServerTimesOutSlowHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := HTTPServer(HTTPConfig{ReadHeaderTimeout: 10 * time.Second}, http.NotFoundHandler())
		l := pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		near, far := net.Pipe()
		defer near.Close()
		began := time.Now()
		l.conns <- far
		io.WriteString(near, "GET / HTTP/1.1\r\nHost:")
		if _, err := io.ReadAll(near); err != nil { // ends when the server gives up
			t.Errorf("the connection ended with %v", err)
		}
		if after := time.Since(began); after != 10*time.Second {
			t.Errorf("the server gave up after %v", after)
		}
		srv.Close()
		<-done
		if srv.WriteTimeout == 0 || srv.ReadTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
			t.Error("a bound is missing")
		}
	})
}

// pipes is a listener whose connections are made by a test.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error { close(p.closed); return nil }

func (pipes) Addr() net.Addr { return &net.TCPAddr{} }
