package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a resolver with fixed answers. It holds the rule that only absolute names are asked for.
type zone struct {
	t       testing.TB
	answers map[string][]string

	mu    sync.Mutex
	asked []string
}

func (z *zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	z.asked = append(z.asked, host)
	z.mu.Unlock()
	if network != "ip" {
		z.t.Errorf("looked up network %q: both families have to be seen", network)
	}
	name, absolute := strings.CutSuffix(host, ".")
	if !absolute && strings.Contains(name, ".") {
		z.t.Errorf("looked up %q: a search list would apply", host)
	}
	texts, ok := z.answers[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.0.0.53:53", IsNotFound: true}
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// forbidden is a listener on every address of this machine that nobody may reach. The proof of a refusal is that it
// accepted nothing, not that an error came back.
type forbidden struct {
	t        testing.TB
	ln       net.Listener
	accepted atomic.Int64
	signal   chan struct{}
}

func newForbidden(t testing.TB) *forbidden {
	t.Helper()
	ln, err := net.Listen("tcp", ":0") // both families where the machine has both
	if err != nil {
		t.Fatal(err)
	}
	f := &forbidden{t: t, ln: ln, signal: make(chan struct{}, 4096)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			conn.Close()
			f.signal <- struct{}{}
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return f
}

func (f *forbidden) port() uint16 { return f.ln.Addr().(*net.TCPAddr).AddrPort().Port() }

// assertUntouched connects once itself: connections are accepted in the order in which they were made, so that after
// this one nothing can still be on its way.
func (f *forbidden) assertUntouched() {
	f.t.Helper()
	before := f.accepted.Load()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.port()).String())
	if err != nil {
		f.t.Fatal(err)
	}
	conn.Close()
	for range before + 1 {
		<-f.signal
	}
	if n := f.accepted.Load() - 1; n != 0 {
		f.t.Errorf("the forbidden listener accepted %d connections", n)
	}
	f.accepted.Store(0)
}

var errLeftMachine = errors.New("this test may not leave the machine")

// stayLocal makes an attempt that the guard would let out of this machine fail the test instead.
func stayLocal(t testing.TB, g *Guard) {
	g.dial = func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
		local := *d
		local.Control = func(network, dialled string, c syscall.RawConn) error {
			if err := d.Control(network, dialled, c); err != nil {
				return err
			}
			if !netip.MustParseAddrPort(dialled).Addr().IsLoopback() {
				t.Errorf("would have connected to %s", dialled)
				return errLeftMachine
			}
			return nil
		}
		return local.DialContext(ctx, "tcp", address)
	}
}

// behind puts a local listener behind public addresses: Control judges the public address, the connection goes to the
// listener.
func behind(g *Guard, local string) {
	g.dial = func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
		network := "tcp6"
		if netip.MustParseAddrPort(address).Addr().Is4() {
			network = "tcp4"
		}
		if err := d.Control(network, address, nil); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		var plain net.Dialer
		return plain.DialContext(ctx, "tcp", local)
	}
}

func newGuard(t testing.TB, cfg Config) *Guard {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.Resolver == nil {
		cfg.Resolver = &zone{t: t}
	}
	// Generous, so that a loaded machine never decides a test.
	cfg.ConnectTimeout, cfg.TLSTimeout = time.Minute, time.Minute
	g := New(cfg)
	stayLocal(t, g)
	t.Cleanup(g.Close)
	return g
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// refusalOf fails the test unless err is a refusal.
func refusalOf(t testing.TB, err error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return r
}
