package netguard

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

// loopbackGuard reaches servers on 127.0.0.1 and nothing else on this machine; names ending in .test lead there.
func loopbackGuard(t testing.TB, change func(*Config)) *Guard {
	cfg := Config{
		AllowHTTP:     true,
		AllowPrefixes: prefixes("127.0.0.1/32"),
		Resolver: &zone{t: t, answers: map[string][]string{
			"receiver.test": {"127.0.0.1"}, "other.test": {"127.0.0.1"}, "private.test": {"127.0.0.2"}, "private6.test": {"::1"}, "bücher.test": {"127.0.0.1"},
			"xn--bcher-kva.test": {"127.0.0.1"},
		}},
	}
	if change != nil {
		change(&cfg)
	}
	return newGuard(t, cfg)
}

func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func portIn(t testing.TB, raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func get(t testing.TB, c *http.Client, ctx context.Context, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(req)
}

// redirectTargets are Location values that lead to the forbidden listener, or that no fetch may follow.
func redirectTargets(port uint16) []string {
	p := strconv.Itoa(int(port))
	return []string{
		"http://127.0.0.2:" + p + "/", "//127.0.0.2:" + p + "/", "http://[::1]:" + p + "/", "http://0.0.0.0:" + p + "/", "http://[::ffff:127.0.0.1]:" + p + "/",
		"http://private.test:" + p + "/", "http://private6.test:" + p + "/", "http://127.2:" + p + "/", "http://2130706434:" + p + "/", "http://１２７.0.0.2:" + p + "/",
		"http://u:p@127.0.0.1:" + p + "/", "http://printer:" + p + "/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/",
		"file:///etc/passwd", "ftp://127.0.0.1:" + p + "/", "gopher://127.0.0.1:" + p + "/", `http:\\127.0.0.2:` + p + `\`, "http://127.0.0.2:" + p + "/\t",
		"http://127.0.0.1:0/", "http://%31", "http://[::1%25lo]:" + p + "/", "javascript:0", "http:",
	}
}

func TestRedirectsAreRefusedByTheSameRules(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	g := loopbackGuard(t, func(c *Config) { c.Ports = []uint16{f.Port()} })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range redirectTargets(f.Port()) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Location"] = []string{target}
				w.WriteHeader(status)
			})
			var trace Trace
			_, err := get(t, g.FetchClient(3), WithTrace(t.Context(), &trace), server.URL+"/?token=hunter2")
			r := refusalOf(t, err)
			if r.Code == CodeNotPublic && r.Error() != notPublicMessage {
				t.Errorf("%s: %q", target, r)
			}
			if strings.Contains(Cause(err).Error(), "127.0.0.2") || strings.Contains(Cause(err).Error(), "hunter2") {
				t.Errorf("%s: %q quotes a URL", target, Cause(err))
			}
			if trace.Facts() != (Facts{}) {
				t.Errorf("%s: the trace says %+v", target, trace.Facts())
			}
		}
	}
	f.AssertUntouched()
}

func TestWebhooksFollowNoRedirect(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	g := loopbackGuard(t, nil)
	for _, target := range append(redirectTargets(f.Port()), "/elsewhere") {
		var requests atomic.Int64
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			w.Header()["Location"] = []string{target}
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		resp, err := g.WebhookClient().Post(server.URL, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Errorf("%s: %v", target, err) // the 3xx is the result, whatever it points to
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusTemporaryRedirect || requests.Load() != 1 {
			t.Errorf("%s: status %d after %d requests", target, resp.StatusCode, requests.Load())
		}
	}
	f.AssertUntouched()
}

func TestFetchFollowsALimitedNumberOfRedirects(t *testing.T) {
	g := loopbackGuard(t, nil)
	var seen []http.Header
	var server *httptest.Server
	server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if n == 0 {
			io.WriteString(w, "here")
			return
		}
		// To another host, with a fragment, which a Location may have.
		http.Redirect(w, r, fmt.Sprintf("http://other.test:%s/%d#part", portIn(t, server.URL), n-1), http.StatusFound)
	})
	for hops, want := range map[int]error{0: nil, 1: nil, 3: nil, 4: ErrTooManyRedirects} {
		seen = nil
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/%d?signature=hunter2", server.URL, hops), nil)
		req.Header.Set("Authorization", "Bearer hunter2")
		req.Header.Set("X-Goog-Api-Key", "hunter2")
		req.Header.Set("Accept", "image/png")
		resp, err := g.FetchClient(3).Do(req)
		if !errors.Is(err, want) || (err != nil) != (want != nil) {
			t.Errorf("%d redirects: %v", hops, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		for i, h := range seen[1:] {
			if s := fmt.Sprint(h); strings.Contains(s, "hunter2") || h.Get("Accept") != "image/png" {
				t.Errorf("hop %d was sent %s", i+1, s)
			}
		}
	}
	resp, err := get(t, g.FetchClient(0), t.Context(), server.URL+"/1")
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Errorf("without redirects: %v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = g.FetchClient(3).Post(server.URL+"/1", "text/plain", strings.NewReader("x"))
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Errorf("a POST was redirected: %v, %v", resp, err)
	}
	resp.Body.Close()
}

const proxyChild = "KINORA_NETGUARD_PROXY_CHILD"

// net/http reads the proxy variables once per process, and spares loopback names: hence a process of its own, and a
// name.
func TestProxyVariablesAreIgnored(t *testing.T) {
	if os.Getenv(proxyChild) != "" {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct") })
		g := loopbackGuard(t, nil)
		for _, c := range []*http.Client{g.WebhookClient(), g.FetchClient(3)} {
			resp, err := c.Get("http://receiver.test:" + portIn(t, server.URL) + "/")
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := ReadBounded(resp.Body, 100)
			if string(body) != "direct" {
				t.Errorf("%q, %v", body, err)
			}
		}
		return
	}
	f := netguardtest.NewForbidden(t)
	proxy := fmt.Sprintf("http://127.0.0.1:%d", f.Port())
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyVariablesAreIgnored$", "-test.count=1")
	child.Env = append(os.Environ(), proxyChild+"=1", "HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "https_proxy="+proxy,
		"ALL_PROXY="+proxy, "all_proxy="+proxy, "NO_PROXY=", "no_proxy=")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	f.AssertUntouched()
}

func TestWhatIsSent(t *testing.T) {
	g := loopbackGuard(t, func(c *Config) { c.UserAgent = "Kinora/1.2" })
	var got *http.Request
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	})
	client := g.WebhookClient()
	for range 2 {
		resp, err := client.Get("http://BÜCHER.test.:" + portIn(t, server.URL) + "/hook?a=b")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got.Host != "xn--bcher-kva.test:"+portIn(t, server.URL) {
			t.Errorf("Host %q", got.Host)
		}
		if got.Header.Get("Cookie") != "" || got.Header.Get("Accept-Encoding") != "" || got.UserAgent() != "Kinora/1.2" {
			t.Errorf("sent %v", got.Header)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	req.Header.Set("User-Agent", "mine")
	req.Host = "virtual.example"
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got.UserAgent() != "mine" || got.Host != "virtual.example" {
		t.Errorf("sent %q to %q", got.UserAgent(), got.Host)
	}
	if req.URL.String() != server.URL || len(req.Header) != 1 {
		t.Error("the caller's request was changed")
	}
}

func TestAnswersAreNotDecoded(t *testing.T) {
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	zw.Write(make([]byte, 10<<20))
	zw.Close()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	g := loopbackGuard(t, nil)
	for _, c := range []*http.Client{g.WebhookClient(), g.FetchClient(3)} {
		resp, err := get(t, c, t.Context(), server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, more, err := ReadBounded(resp.Body, 64<<10)
		if err != nil || more || !bytes.Equal(body, bomb.Bytes()) {
			t.Errorf("%d bytes, %v, %v; want the %d as sent", len(body), more, err, bomb.Len())
		}
	}
}

// endless is a server that answers every connection with head and then tail until the client hangs up.
func endless(t *testing.T, head, tail string) (url string, sent *atomic.Int64) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, head)
			for err == nil {
				_, err = io.WriteString(conn, tail)
				sent.Add(int64(len(tail)))
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "http://" + ln.Addr().String() + "/", sent
}

func TestEndlessAnswersEnd(t *testing.T) {
	g := loopbackGuard(t, nil)
	for name, tt := range map[string][2]string{
		"headers":      {"HTTP/1.1 200 OK\r\n", "X-Filler: " + strings.Repeat("a", 1000) + "\r\n"},
		"one header":   {"HTTP/1.1 200 OK\r\nX: ", strings.Repeat("a", 1000)},
		"status line":  {"HTTP/1.1 200 ", strings.Repeat("a", 1000)},
		"early hints":  {"", "HTTP/1.1 103 Early Hints\r\nX-Filler: " + strings.Repeat("a", 1000) + "\r\n\r\n"},
		"body":         {"HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("a", 1000)},
		"chunked body": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + strings.Repeat("a", 1024) + "\r\n"},
		"trailers":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X-Filler: " + strings.Repeat("a", 1000) + "\r\n"},
		"chunk line":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("0", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			url, sent := endless(t, tt[0], tt[1])
			resp, err := get(t, g.WebhookClient(), t.Context(), url)
			if err == nil {
				var body []byte
				body, _, _ = ReadBounded(resp.Body, 64<<10)
				if len(body) > 64<<10 {
					t.Errorf("read %d bytes", len(body))
				}
			}
			if n := sent.Load(); n > 64<<20 { // what socket buffers take, with room to spare
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

// fillHeader answers with as many KiB of headers as the query asks for.
func fillHeader(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("kib"))
	for i := range n {
		w.Header().Set(fmt.Sprintf("X-Filler-%d", i), strings.Repeat("a", 1000))
	}
}

func TestResponseHeadersAreLimited(t *testing.T) {
	server, pool := tlsServer(t, nil)
	plain := serve(t, fillHeader)
	g := loopbackGuard(t, func(c *Config) { c.RootCAs = pool })
	for _, base := range []string{plain.URL, "https://receiver.test:" + portIn(t, server.URL)} {
		for kib, ok := range map[string]bool{"32": true, "100": false} {
			resp, err := get(t, g.WebhookClient(), t.Context(), base+"/?kib="+kib)
			if (err == nil) != ok {
				t.Errorf("%s with %s KiB of headers: %v", base, kib, err)
			}
			if err == nil {
				resp.Body.Close()
			}
		}
	}
}

func TestDrippingBodyEndsWithTheContext(t *testing.T) {
	g := loopbackGuard(t, nil)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := get(t, g.WebhookClient(), ctx, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, more, err := ReadBounded(&cancelAfterRead{resp.Body, cancel}, 1000)
	if string(body) != "a" || more || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v, %v", body, more, err)
	}
}

// cancelAfterRead plays a deadline that passes once the first bytes are there.
type cancelAfterRead struct {
	io.ReadCloser
	cancel func()
}

func (c *cancelAfterRead) Read(p []byte) (int, error) {
	defer c.cancel()
	return c.ReadCloser.Read(p)
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func TestReadBounded(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		body  io.Reader
		limit int64
		want  string
		more  bool
		err   error
	}{
		"shorter":         {strings.NewReader("abc"), 4, "abc", false, nil},
		"exact":           {strings.NewReader("abcd"), 4, "abcd", false, nil},
		"longer":          {strings.NewReader("abcde"), 4, "abcd", true, nil},
		"empty":           {strings.NewReader(""), 4, "", false, nil},
		"nothing allowed": {strings.NewReader("a"), 0, "", true, nil},
		"negative limit":  {strings.NewReader("a"), -1, "", true, nil},
		"breaks within":   {io.MultiReader(strings.NewReader("ab"), &failing{broken}), 4, "ab", false, broken},
		"breaks at limit": {io.MultiReader(strings.NewReader("abcd"), &failing{broken}), 4, "abcd", false, broken},
	} {
		body := &closeRecorder{Reader: tt.body}
		data, more, err := ReadBounded(body, tt.limit)
		if string(data) != tt.want || more != tt.more || !errors.Is(err, tt.err) || !body.closed {
			t.Errorf("%s: %q, %v, %v, closed %v", name, data, more, err, body.closed)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// The body of a request that is refused before it is sent has to be closed all the same.
func TestRefusedRequestClosesItsBody(t *testing.T) {
	g := newGuard(t, Config{})
	body := &closeRecorder{Reader: strings.NewReader("x")}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://10.0.0.1/", body)
	_, err := g.WebhookClient().Do(req)
	refusalOf(t, err)
	if !body.closed {
		t.Error("left open")
	}
}

// A URL put together by hand went through no parser that could have objected.
func TestHandMadeURLsAreChecked(t *testing.T) {
	g := newGuard(t, Config{})
	for u, code := range map[*url.URL]Code{
		{Scheme: "https", Opaque: "//127.0.0.1/"}:                      CodeHost,
		{Scheme: "https", Opaque: "//127.0.0.1/", Host: "example.com"}: CodeHost,
		{Scheme: "https", Host: "127.0.0.1:x"}:                         CodeHost,
		{Scheme: "https", Host: "[::1"}:                                CodeHost,
		{Scheme: "https", Host: "::1"}:                                 CodeHost,
		{Scheme: "https", Host: "[fe80::1%lo]"}:                        CodeHost,
		{Scheme: "https", Host: "example.com\n"}:                       CodeHost,
		{Scheme: "https", Host: "example.com:443:22"}:                  CodeHost,
		{Scheme: "https", Host: "fc00::1:80"}:                          CodeNotPublic,
		{Scheme: "https", Host: "127.0.0.1", User: url.User("u")}:      CodeUserinfo,
		{Scheme: "HTTPS", Host: "example.com"}:                         CodeScheme,
		{Host: "example.com"}:                                          CodeScheme,
	} {
		_, err := g.RoundTripper(Webhook).RoundTrip(&http.Request{Method: http.MethodGet, URL: u})
		if r := refusalOf(t, err); r.Code != code {
			t.Errorf("%+v: %s", u, r.Code)
		}
	}
}

func TestCauseDropsTheURL(t *testing.T) {
	inner := errors.New("reset")
	if got := Cause(fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: "https://example.com/?token=1", Err: inner})); got != inner {
		t.Error(got)
	}
	if got := Cause(inner); got != inner {
		t.Error(got)
	}
	if Cause(nil) != nil {
		t.Error("an error out of nothing")
	}
}
