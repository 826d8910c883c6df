package inputs_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/inputs"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/netguard/netguardtest"
	"github.com/kinora/kinora/provider"
)

const key = "temp/2026/11/22/1_a.png"

// fixture is Inputs over a real folder, a real signer and a guard that lets tests' own servers through.
type fixture struct {
	*inputs.Inputs
	t      *testing.T
	files  *blob.Folder
	signer *blob.Signer
	folder string
	now    time.Time
}

func newFixture(t *testing.T, change func(*inputs.Config)) *fixture {
	t.Helper()
	files, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	signer, err := blob.NewSigner(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	guard := netguard.New(netguard.Config{AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, AllowHTTP: true})
	t.Cleanup(guard.Close)
	f := &fixture{t: t, files: files, signer: signer, folder: t.TempDir(), now: time.Now()}
	cfg := inputs.Config{
		Files: files, Signer: signer, Fetch: guard, Folder: f.folder, MaxImage: 1 << 20, MaxVideo: 2 << 20,
		Now: func() time.Time { return f.now },
	}
	if change != nil {
		change(&cfg)
	}
	if f.Inputs, err = inputs.New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (f *fixture) put(content []byte) {
	f.t.Helper()
	if _, err := f.files.Put(f.t.Context(), key, bytes.NewReader(content), blob.PutOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) url(base string, life time.Duration) string {
	f.t.Helper()
	u, err := f.signer.URL(base, key, f.now.Add(life))
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

func (f *fixture) wantFile(name, url string, content []byte, contentType string) {
	f.t.Helper()
	file, typ, err := f.Open(f.t.Context(), url)
	if err != nil {
		f.t.Errorf("%s: %v", name, err)
		return
	}
	got, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(got, content) || typ != contentType {
		f.t.Errorf("%s: %d bytes of %s, %v; want %d of %s", name, len(got), typ, err, len(content), contentType)
	}
	if err := file.Close(); err != nil {
		f.t.Errorf("%s: close: %v", name, err)
	}
	f.wantNothingLeft(name)
}

func (f *fixture) wantNothingLeft(name string) {
	f.t.Helper()
	left, err := os.ReadDir(f.folder)
	if err != nil || len(left) != 0 {
		f.t.Errorf("%s: left behind: %v, %v", name, left, err)
	}
}

func (f *fixture) wantRefusal(name, url string, class provider.Class, message string) {
	f.t.Helper()
	_, _, err := f.Open(f.t.Context(), url)
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != class || e.Message != message {
		f.t.Errorf("%s: %v; want %s: %s", name, err, class, message)
		return
	}
	if text := err.Error(); strings.Contains(text, "hush") || strings.Contains(text, "sig=") {
		f.t.Errorf("%s: the error quotes the URL: %v", name, err)
	}
	f.wantNothingLeft(name)
}

func TestOwnFilesComeFromStorageUnderAnyName(t *testing.T) {
	forbidden := netguardtest.NewForbidden(t)
	f := newFixture(t, nil)
	content := picture(t)
	f.put(content)
	for _, base := range []string{
		"https://gw.example", "https://gw.example/kinora", "http://127.0.0.1:8080", "http://[::1]:1", "https://x.example/files", "http://10.0.0.1",
	} {
		f.wantFile(base, f.url(base, time.Hour), content, "image/png")
	}
	f.wantRefusal("expired", f.url("https://gw.example", -time.Second), provider.Invalid, "could not be fetched: the URL has expired")
	signed := f.url("https://gw.example", time.Hour)
	if err := f.files.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	f.wantRefusal("removed", signed, provider.Invalid, "could not be fetched: the file is not there, or not any more")
	f.put([]byte("no picture at all, but text"))
	f.wantRefusal("text", signed, provider.Invalid, "must be an image or a video")
	f.put(nil)
	f.wantRefusal("empty", signed, provider.Invalid, "must be an image or a video")
	f.put(append(content, make([]byte, 1<<20)...))
	f.wantRefusal("too large", signed, provider.Invalid, "must be at most 1048576 bytes")

	roomy := newFixture(t, func(c *inputs.Config) { c.MaxOwn = 3 << 20 })
	large := append(content, make([]byte, 2<<20)...)
	roomy.put(large)
	roomy.wantFile("a source asset", roomy.url("https://gw.example", time.Hour), large, "image/png")
	forbidden.AssertUntouched()
}

func TestOtherFilesGoThroughTheGuard(t *testing.T) {
	f := newFixture(t, nil)
	content := picture(t)
	f.put(content)
	mux := http.NewServeMux()
	mux.HandleFunc("/a.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain") // a claim, not a finding
		_, _ = w.Write(content)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(content)
		_, _ = w.Write(make([]byte, 3<<20))
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(content)
	})
	mux.HandleFunc("/hop/", func(w http.ResponseWriter, r *http.Request) {
		rest := strings.TrimPrefix(r.URL.Path, "/hop/")
		http.Redirect(w, r, "/"+rest, http.StatusFound)
	})
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest?hush", http.StatusFound)
	})
	mux.HandleFunc("/files/"+key, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	up := httptest.NewServer(mux)
	defer up.Close()

	f.wantFile("plain", up.URL+"/a.txt?hush", content, "image/png")
	f.wantFile("three hops", up.URL+"/hop/hop/hop/a.txt", content, "image/png")
	const prefix = "could not be fetched"
	f.wantRefusal("four hops", up.URL+"/hop/hop/hop/hop/a.txt?hush", provider.Invalid, prefix)
	f.wantRefusal("gone", up.URL+"/gone?hush", provider.Invalid, prefix+": its server answered with status 410")
	f.wantRefusal("large", up.URL+"/large?hush", provider.Invalid, "must be at most 2097152 bytes")
	f.wantRefusal("cut", up.URL+"/cut?hush", provider.Invalid, prefix)
	f.wantRefusal("inside", "http://10.1.2.3/hush", provider.Invalid, prefix+": destination is not a public address")
	f.wantRefusal("redirect inside", up.URL+"/inside", provider.Invalid, prefix+": destination is not a public address")
	f.wantRefusal("forged signature", up.URL+"/files/"+key+"?exp=1&n=hushhushhush&sig=hush", provider.Invalid, prefix+": its server answered with status 403")
	for _, url := range []string{"", "x", "ftp://a.example/x.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "://", "http://[::1"} {
		f.wantRefusal(url, url, provider.Invalid, "must be an http or https URL")
	}
}

// fetcher answers like a network would.
type fetcher func(ctx context.Context, w io.Writer) error

func (f fetcher) Download(ctx context.Context, _ string, _ int64, w io.Writer) (netguard.Downloaded, error) {
	return netguard.Downloaded{}, f(ctx, w)
}

func TestWhoIsToBlame(t *testing.T) {
	const url = "https://a.example/?hush"
	for name, tc := range map[string]struct {
		err     error
		class   provider.Class
		message string
	}{
		"disk":  {&netguard.WriteError{Err: errors.New("no space")}, provider.Unavailable, "could not be read from storage"},
		"proxy": {&netguard.ProxyError{}, provider.Unavailable, "could not be fetched"},
		"slow":  {context.DeadlineExceeded, provider.Invalid, "could not be fetched in time"},
		"name":  {&net.DNSError{Err: "no such host", Name: "a.example"}, provider.Invalid, "could not be fetched"},
	} {
		f := newFixture(t, func(c *inputs.Config) {
			c.Fetch = fetcher(func(context.Context, io.Writer) error { return tc.err })
		})
		f.wantRefusal(name, url, tc.class, tc.message)
	}
	f := newFixture(t, func(c *inputs.Config) { c.Folder = c.Folder + "/missing" })
	f.wantRefusal("no folder", url, provider.Unavailable, "could not be read from storage")

	ctx, cancel := context.WithCancel(t.Context())
	f = newFixture(t, func(c *inputs.Config) {
		c.Fetch = fetcher(func(ctx context.Context, _ io.Writer) error { cancel(); <-ctx.Done(); return ctx.Err() })
	})
	_, _, err := f.Open(ctx, url)
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.Unavailable {
		t.Errorf("a call that this server breaks off: %v", err)
	}
	f.wantNothingLeft("broken off")

	late, end := context.WithTimeout(t.Context(), time.Millisecond)
	defer end()
	f = newFixture(t, func(c *inputs.Config) {
		c.Fetch = fetcher(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() })
	})
	if _, _, err := f.Open(late, url); !errors.As(err, &e) || e.Class != provider.Invalid {
		t.Errorf("a call whose time is over: %v", err)
	}
}

func TestAHungHostDoesNotHoldACallForLong(t *testing.T) {
	f := newFixture(t, func(c *inputs.Config) {
		c.Timeout = time.Millisecond
		c.Fetch = fetcher(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() })
	})
	f.wantRefusal("hung", "https://a.example/?hush", provider.Invalid, "could not be fetched in time")
}
