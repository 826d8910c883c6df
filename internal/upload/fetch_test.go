package upload

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestSaveURL(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fetch.download = func(_ context.Context, w io.Writer) error {
		_, err := w.Write(pngFile())
		return err
	}
	for url, name := range map[string]string{
		"https://a.example/dir/cat.jpeg?sig=secret": "cat.jpeg", "http://a.example": "upload.png", "https://a.example/": "upload.png", "https://a.example/k%C3%B6ter.png": "köter.png",
	} {
		u, err := f.SaveURL(t.Context(), testOrg, "demo", url)
		if err != nil || u.OriginalName != name || !strings.HasPrefix(u.BlobKey, "temp/demo/") || u.ContentType != "image/png" {
			t.Errorf("%s: %+v, %v", url, u, err)
		}
	}
	if len(f.fetch.urls) != 4 || f.fetch.limit != f.MaxSize() {
		t.Errorf("fetched %v with limit %d", f.fetch.urls, f.fetch.limit)
	}
}

func TestSaveURLRefusals(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fetch.download = func(context.Context, io.Writer) error {
		t.Error("something was fetched")
		return nil
	}
	for _, url := range []string{"", "x", "ftp://a.example/x.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "://", "https//a", "javascript:1", "gopher://a", "http://[::1"} {
		_, err := f.SaveURL(t.Context(), testOrg, "", url)
		wantError(t, url, err, kinora.ErrInvalid, "Invalid URL")
	}
	_, err := f.SaveURL(t.Context(), testOrg, "../x", "https://a.example/x.png")
	wantError(t, "bad path", err, kinora.ErrInvalid, "Invalid upload path")
	f.wantNothing("refusals")
}

func TestSaveURLErrors(t *testing.T) {
	const secret = "https://a.example/x.png?token=hush"
	for name, tc := range map[string]struct {
		err  error
		code kinora.ErrorCode
		text string
	}{
		"refused":   {&netguard.Refusal{Code: netguard.CodeNotPublic, Message: "destination is not a public address"}, kinora.ErrInvalid, "Invalid URL"},
		"status":    {&netguard.StatusError{Status: 404}, kinora.ErrInvalid, "Invalid URL"},
		"too large": {&netguard.TooLargeError{Limit: 5}, kinora.ErrTooLarge, "File too large"},
		"cut off":   {io.ErrUnexpectedEOF, kinora.ErrInvalid, "Invalid URL"},
		"time":      {context.DeadlineExceeded, kinora.ErrInvalid, "Invalid URL"},
	} {
		for _, before := range [][]byte{nil, pngFile(), padded(pngFile(), 30_000)} {
			f := newFixture(t, storetest.SQLite(t))
			f.fetch.download = func(_ context.Context, w io.Writer) error {
				if _, err := w.Write(before); err != nil {
					return err
				}
				return tc.err
			}
			_, err := f.SaveURL(t.Context(), testOrg, "", secret)
			wantError(t, name, err, tc.code, tc.text)
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%s: the error quotes the URL: %v", name, err)
			}
			f.wantNothing(name)
		}
	}
}

// A page instead of a picture: the rest of it is not fetched, and whoever sends it is not waited for.
func TestSaveURLStopsWhatIsNotWanted(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	var failed error
	f.fetch.download = func(_ context.Context, w io.Writer) error {
		for {
			if _, failed = w.Write([]byte(strings.Repeat("<html>", 1000))); failed != nil {
				return failed
			}
		}
	}
	_, err := f.SaveURL(t.Context(), testOrg, "", "https://a.example/x.png")
	wantError(t, "a page", err, kinora.ErrInvalid, "Invalid file data")
	if failed == nil {
		t.Error("SaveURL came back before the download had ended")
	}
	f.wantNothing("a page")
}

func TestSaveURLEndsWithItsContext(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t), func(c *Config) { c.FetchTimeout = time.Millisecond })
	f.fetch.download = func(ctx context.Context, _ io.Writer) error {
		<-ctx.Done()
		return ctx.Err()
	}
	_, err := f.SaveURL(t.Context(), testOrg, "", "https://a.example/x.png")
	wantError(t, "a source that hangs", err, kinora.ErrInvalid, "Invalid URL")

	f.cfg.FetchTimeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.SaveURL(ctx, testOrg, "", "https://a.example/x.png"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %v", err)
	}
}

// The real guard, in front of a server on this machine: refused unless the operator opens it.
func TestSaveURLThroughTheGuard(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
			return
		}
		_, _ = w.Write(pngFile())
	}))
	defer server.Close()

	closed := netguard.New(netguard.Config{})
	defer closed.Close()
	f := newFixture(t, storetest.SQLite(t), func(c *Config) { c.Fetch = closed })
	_, err := f.SaveURL(t.Context(), testOrg, "", server.URL+"/cat.png")
	wantError(t, "a private address", err, kinora.ErrInvalid, "Invalid URL")
	if requests.Load() != 0 {
		t.Error("the private server was reached")
	}

	loopback := netip.MustParsePrefix("127.0.0.0/8")
	if host, _, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://")); strings.Contains(host, ":") {
		loopback = netip.MustParsePrefix("::1/128")
	}
	open := netguard.New(netguard.Config{AllowPrefixes: []netip.Prefix{loopback}})
	defer open.Close()
	f.cfg.Fetch = open
	u, err := f.SaveURL(t.Context(), testOrg, "", server.URL+"/cat.png")
	if err != nil || u.OriginalName != "cat.png" || u.Bytes != int64(len(pngFile())) {
		t.Errorf("an address that the operator opened: %+v, %v", u, err)
	}
	_, err = f.SaveURL(t.Context(), testOrg, "", server.URL+"/away")
	wantError(t, "a redirect to a metadata endpoint", err, kinora.ErrInvalid, "Invalid URL")
	if len(f.keys()) != 1 {
		t.Errorf("kept: %v", f.keys())
	}
}
