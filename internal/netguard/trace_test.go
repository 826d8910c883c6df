package netguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestTraceTellsWhatHappened(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			server, pool := tlsServer(t, func(_ *x509.Certificate, c *tls.Config) {
				if !h2 {
					c.NextProtos = []string{"http/1.1"}
				}
			})
			g := loopbackGuard(t, func(c *Config) { c.RootCAs = pool })
			url := "https://receiver.test:" + portIn(t, server.URL) + "/"
			for _, reused := range []bool{false, true} {
				var trace Trace
				if trace.Facts() != (Facts{}) {
					t.Error("a trace without a request has facts")
				}
				resp, err := get(t, g.WebhookClient(), WithTrace(t.Context(), &trace), url)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := ReadBounded(resp.Body, 100); err != nil {
					t.Fatal(err)
				}
				f := trace.Facts()
				if f.Reused != reused || f.Address != server.Listener.Addr().String() || f.FirstByte <= 0 {
					t.Errorf("reused %v: %+v", reused, f)
				}
				if dialled := f.Connect > 0 && f.TLS > 0; dialled == reused || reused && f.DNS+f.Connect+f.TLS > 0 {
					t.Errorf("reused %v: %+v", reused, f)
				}
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		ln.Close()
		g := loopbackGuard(t, nil)
		var trace Trace
		if _, err := get(t, g.WebhookClient(), WithTrace(t.Context(), &trace), "http://"+address); err == nil {
			t.Fatal("connected")
		}
		if f := trace.Facts(); f != (Facts{Address: address}) {
			t.Errorf("%+v", f)
		}
	})
}

// A request that reads its trace while the dial it started is still going on, and other requests beside it.
func TestTraceIsSafeWhileRunning(t *testing.T) {
	release := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	g := loopbackGuard(t, nil)
	var trace Trace
	done := make(chan error)
	for range 8 {
		go func() {
			resp, err := g.WebhookClient().Do(must(http.NewRequestWithContext(WithTrace(context.Background(), &trace), http.MethodGet, server.URL, nil)))
			if err == nil {
				_, _, err = ReadBounded(resp.Body, 10)
			}
			done <- err
		}()
	}
	for range 100 {
		trace.Facts()
	}
	close(release)
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A dial that a request started belongs to that request only until it has a connection, be it another one.
func TestTraceForgetsADialThatWasNotUsed(t *testing.T) {
	local, remote := net.Pipe()
	defer local.Close()
	defer remote.Close()
	var trace Trace
	_, h := startHop(WithTrace(t.Context(), &trace))
	h.resolving()
	h.resolved()
	h.connecting()
	h.gotConn(httptrace.GotConnInfo{Conn: local, Reused: true})
	h.connected(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	if f, want := trace.Facts(), (Facts{Reused: true, Address: "pipe"}); f != want {
		t.Errorf("%+v", f)
	}
}

func TestTraceMeasuresLookupAndConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = "93.184.216.34:443"
		a := &attempts{answer: map[string]time.Duration{target: 7 * time.Millisecond}}
		g := New(Config{Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			time.Sleep(5 * time.Millisecond)
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		})})
		g.dial = a.dial
		var trace Trace
		ctx, _ := startHop(WithTrace(context.Background(), &trace))
		conn, err := g.DialContext(ctx, Webhook, "tcp", "name.test:443")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if f, want := trace.Facts(), (Facts{Address: target, DNS: 5 * time.Millisecond, Connect: 7 * time.Millisecond}); f != want {
			t.Errorf("%+v", f)
		}
	})
}
