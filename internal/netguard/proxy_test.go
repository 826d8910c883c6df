package netguard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

// fakeProxy takes CONNECT, writes down what it was asked for, and leads every tunnel to one local address.
type fakeProxy struct {
	*httptest.Server
	leads  string
	refuse int // status to answer with instead; 0 = none

	mu    sync.Mutex
	asked []string
	auth  []string
}

func newFakeProxy(t *testing.T, leads string, secure bool) *fakeProxy {
	t.Helper()
	p := &fakeProxy{leads: leads}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *fakeProxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	p.auth = append(p.auth, r.Header.Get("Proxy-Authorization"))
	refuse := p.refuse
	p.mu.Unlock()
	if refuse != 0 {
		w.WriteHeader(refuse)
		return
	}
	far, err := net.Dial("tcp", p.leads)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(far, buffered); far.(*net.TCPConn).CloseWrite(); done <- struct{}{} }()
	go func() { _, _ = io.Copy(near, far); near.Close(); done <- struct{}{} }()
	<-done
	<-done
}

func (p *fakeProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// through makes a guard whose way out is p.
func (p *fakeProxy) through(t *testing.T, cfg Config) *Guard {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("kinora", "pw-hush")
	cfg.Proxy = u
	return proxyGuard(t, cfg)
}

func proxyGuard(t *testing.T, cfg Config) *Guard {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg.ConnectTimeout, cfg.TLSTimeout = time.Minute, time.Minute
	g := New(cfg)
	t.Cleanup(g.Close)
	return g
}

// TLS is spoken with the destination under its own name; the proxy learns the judged address and nothing else.
func TestProxyIsAskedForTheJudgedAddress(t *testing.T) {
	for _, secure := range []bool{false, true} {
		server, pool := tlsServer(t, nil)
		p := newFakeProxy(t, server.Listener.Addr().String(), secure)
		if secure {
			pool.AddCert(p.Certificate())
		}
		g := p.through(t, Config{RootCAs: pool, Resolver: &zone{t: t, answers: map[string][]string{
			"receiver.test": {"93.184.216.34"}, "other.test": {"93.184.216.34"}, "six.test": {"2606:4700:4700::1111"}}}})
		var trace Trace
		resp, err := get(t, g.WebhookClient(), WithTrace(t.Context(), &trace), "https://receiver.test/hook")
		if err != nil {
			t.Fatal(err)
		}
		body, _, _ := ReadBounded(resp.Body, 100)
		if facts := trace.Facts(); string(body) != "HTTP/2.0" || facts.Address != "93.184.216.34:443" || facts.TLS <= 0 || facts.DNS <= 0 {
			t.Errorf("%s, %+v", body, facts)
		}
		if got := p.requests(); !slices.Equal(got, []string{"CONNECT 93.184.216.34:443"}) || p.auth[0] != "Basic a2lub3JhOnB3LWh1c2g=" {
			t.Errorf("the proxy was asked %q with %q", got, p.auth)
		}
		if _, err := g.Download(t.Context(), "https://receiver.test/file", 100, io.Discard); err != nil {
			t.Errorf("download: %v", err)
		}
		// The certificate still has to be the destination's.
		if _, err := get(t, g.WebhookClient(), t.Context(), "https://other.test/"); err == nil {
			t.Error("a wrong certificate was taken")
		}
		if _, err := get(t, g.WebhookClient(), t.Context(), "https://six.test/"); err == nil || !slices.Contains(p.requests(), "CONNECT [2606:4700:4700::1111]:443") {
			t.Errorf("IPv6: %v, %q", err, p.requests())
		}
	}
}

// What the guard refuses never reaches the proxy, which would connect to anything.
func TestNothingGetsThroughAProxy(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	p := newFakeProxy(t, f.Addr(), false)
	g := p.through(t, Config{AllowHTTP: true, Ports: []uint16{f.Port()}, Resolver: &zone{t: t, answers: netguardtest.Names()}})
	for _, v := range netguardtest.Vectors(f.Port()) {
		raw := v.URL
		mustFail(t, g.WebhookClient(), raw)
		mustFail(t, g.FetchClient(3), raw)
		mustFail(t, &http.Client{Transport: g.fetch}, raw)
	}
	if got := p.requests(); len(got) != 0 {
		t.Errorf("the proxy was asked %q", got)
	}
	f.AssertUntouched()
}

// A name server that answers public first and private afterwards is asked once for each tunnel, and its answer judged.
func TestRebindingThroughAProxy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	p := newFakeProxy(t, server.Listener.Addr().String(), false)
	answers := []string{"93.184.216.34", "127.0.0.1"}
	g := p.through(t, Config{AllowHTTP: true, Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		next := netip.MustParseAddr(answers[0])
		answers = answers[1:]
		return []netip.Addr{next}, nil
	})})
	if _, err := get(t, g.WebhookClient(), t.Context(), "http://rebind.test/"); err != nil {
		t.Fatal(err)
	}
	g.Close()
	_, err := get(t, g.WebhookClient(), t.Context(), "http://rebind.test/")
	if r := refusalOf(t, err); r.Code != CodeNotPublic {
		t.Errorf("code %s", r.Code)
	}
	if got := p.requests(); !slices.Equal(got, []string{"CONNECT 93.184.216.34:80"}) {
		t.Errorf("the proxy was asked %q", got)
	}
}

// The errors tell the proxy's faults from the destination's.
func TestWhoseFaultBehindAProxy(t *testing.T) {
	names := &zone{t: t, answers: map[string][]string{"receiver.test": {"93.184.216.34"}}}
	attempt := func(g *Guard) error {
		_, err := get(t, g.WebhookClient(), t.Context(), "https://receiver.test/")
		return err
	}
	for status, ours := range map[int]bool{407: true, 403: true, 500: true, 301: true, 502: false, 503: false, 504: false} {
		p := newFakeProxy(t, "", false)
		p.refuse = status
		err := attempt(p.through(t, Config{Resolver: names}))
		var proxy *ProxyError
		var op *net.OpError
		if errors.As(err, &proxy) != ours || ours && proxy.Status != status || errors.As(err, &op) == ours || !ours && op.Op != "dial" {
			t.Errorf("%d: %v", status, err)
		}
		if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), p.Listener.Addr().String()) {
			t.Errorf("%d: the error shows the proxy: %v", status, err)
		}
	}
	for name, answer := range map[string]string{
		"endless head": "HTTP/1.1 200 OK\r\n" + strings.Repeat("x: "+strings.Repeat("y", 1000)+"\r\n", 64),
		"no HTTP":      "SSH-2.0-x\r\n\r\n",
		"nothing":      "",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = io.WriteString(conn, answer)
		}()
		g := proxyGuard(t, Config{Resolver: names, Proxy: &url.URL{Scheme: "http", Host: ln.Addr().String()}})
		if err := attempt(g); err == nil {
			t.Errorf("%s: no error", name)
		}
		ln.Close()
		<-done
	}
	g := proxyGuard(t, Config{Resolver: names, Proxy: &url.URL{Scheme: "http", Host: nobody}})
	var proxy *ProxyError
	if err := attempt(g); !errors.As(err, &proxy) || proxy.Status != 0 || proxy.Err == nil {
		t.Errorf("a proxy that is not there: %v", err)
	}
}

// A proxy that never answers ends with the time for connecting, and leaves no connection behind.
func TestSilentProxyEndsInTime(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, conn) // until the guard hangs up
			conn.Close()
		}
		closed <- err
	}()
	g := New(Config{ConnectTimeout: 2 * time.Second, Proxy: &url.URL{Scheme: "http", Host: ln.Addr().String()},
		Resolver: &zone{t: t, answers: map[string][]string{"receiver.test": {"93.184.216.34"}}}})
	if _, err := get(t, g.WebhookClient(), t.Context(), "https://receiver.test/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ln.Close()
	// On a machine that is too busy to connect in time, the proxy has seen nobody.
	if err := <-closed; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

// What comes together with the proxy's answer belongs to the tunnel.
func TestEarlyBytesAreKept(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = far.Read(make([]byte, 1000))
		_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\nhello ")
		_, _ = io.WriteString(far, "world")
		far.Close()
	}()
	conn, err := (&proxy{}).connect(near, &net.TCPAddr{IP: net.IPv4(1, 1, 1, 1), Port: 443})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || string(text) != "hello world" || conn.RemoteAddr().String() != "1.1.1.1:443" {
		t.Errorf("%q, %v, %s", text, err, conn.RemoteAddr())
	}
	near.Close()
}

func TestProxyAddressIsValidated(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://proxy:3128": true, "https://u:p@proxy": true, "http://[fd00::1]:3128/": true,
		"socks5://proxy:1080": false, "http://": false, "http://proxy/path": false, "http://proxy?x": false, "http://proxy#x": false, "proxy:3128": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := (Config{Proxy: u}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
