package netguardtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// Forbidden is a listener on every address of this machine that nobody may reach. The proof of a refusal is that it
// accepted nothing, not that an error came back.
type Forbidden struct {
	t        testing.TB
	ln       net.Listener
	accepted atomic.Int64
	signal   chan struct{}
}

// NewForbidden listens until the test ends.
func NewForbidden(t testing.TB) *Forbidden {
	t.Helper()
	ln, err := net.Listen("tcp", ":0") // both families where the machine has both
	if err != nil {
		t.Fatal(err)
	}
	f := &Forbidden{t: t, ln: ln, signal: make(chan struct{}, 4096)}
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

// Port is the one that nobody may reach.
func (f *Forbidden) Port() uint16 { return f.ln.Addr().(*net.TCPAddr).AddrPort().Port() }

// AssertUntouched connects once itself: connections are accepted in the order in which they were made, so that after
// this one nothing can still be on its way.
func (f *Forbidden) AssertUntouched() {
	f.t.Helper()
	before := f.accepted.Load()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.Port()).String())
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

// Resolver answers from a table. It holds the rule that only absolute names are asked for.
type Resolver map[string][]string

// LookupNetIP implements netguard.Resolver.
func (r Resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	name, absolute := strings.CutSuffix(host, ".")
	if network != "ip" || !absolute {
		return nil, errors.New("a look-up of one family, or one to which a search list would apply")
	}
	var addrs []netip.Addr
	for _, text := range r[name] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// Behind is a netguard.Config.Dial that puts a local listener behind every address which is not this machine's own:
// Control judges the address that was asked for, and the connection goes to the listener.
func Behind(local string) func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
	return func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
		to := netip.MustParseAddrPort(address)
		if to.Addr().IsLoopback() || to.Addr().IsUnspecified() {
			return d.DialContext(ctx, "tcp", address)
		}
		network := "tcp6"
		if to.Addr().Is4() {
			network = "tcp4"
		}
		if err := d.Control(network, address, nil); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		var plain net.Dialer
		return plain.DialContext(ctx, "tcp", local)
	}
}

// Addr is where the listener is on the loopback address.
func (f *Forbidden) Addr() string {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.Port()).String()
}
