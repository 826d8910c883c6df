package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
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
