package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxTried bounds the connection attempts for one name, for each address family: a name can have thousands of
	// addresses, all of them silent.
	maxTried = 4

	// familyDelay is the head start of the preferred address family (RFC 8305, section 8, allows up to 2 s and
	// recommends a quarter; 300 ms is net.Dialer's own).
	familyDelay = 300 * time.Millisecond

	// leastAttempt is how long an attempt gets while others still wait for their turn, if there is that much time.
	leastAttempt = 2 * time.Second
)

// DialContext connects to address ("host:port") if it may be dialled for purpose. The network is "tcp", "tcp4" or
// "tcp6". It resolves the name once and dials the addresses of that one answer.
//
// The error is a [*Refusal] with the constant text, a [*net.DNSError] without the name server's address, a
// [*net.OpError] of the last attempt, or the context's.
func (g *Guard) DialContext(ctx context.Context, purpose Purpose, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.ConnectTimeout)
	defer cancel()
	hop := hopFrom(ctx)

	dst, err := g.resolve(ctx, purpose, address)
	if err != nil {
		return nil, err
	}
	addrs := dst.addrs
	if network != "tcp" {
		addrs = ofFamily(addrs, network == "tcp4")
	}
	if len(addrs) == 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "no suitable address", Addr: dst.name}}
	}

	hop.connecting()
	d := &net.Dialer{Control: g.control(purpose, dst.opened)}
	conn, err := g.connect(ctx, d, addrs)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, refusal // without the address that net.OpError would add
	case err != nil:
		hop.connectFailed(err)
		return nil, err
	}
	hop.connected(conn.RemoteAddr())
	return conn, nil
}

// control is the decisive check. The runtime calls it with the numeric address of the socket that is about to be
// connected, after every resolution, rewriting and folding there may have been.
func (g *Guard) control(purpose Purpose, opened bool) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		dst, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" {
			return notPublic("%s %q is not a TCP address", network, address)
		}
		if r := g.judge(dst, purpose, opened); r != nil {
			return r
		}
		return nil
	}
}

// destination is what a "host:port" stands for: addresses that are all permitted.
type destination struct {
	name   string
	addrs  []netip.AddrPort
	opened bool // by name, in Config.AllowHosts
}

// resolve turns address into permitted addresses. A look-up runs to its end before anything is judged, so that the
// time until a refusal says nothing about which answer was at fault.
func (g *Guard) resolve(ctx context.Context, purpose Purpose, address string) (destination, error) {
	hostText, portText, err := net.SplitHostPort(address)
	if err != nil {
		return destination{}, notPublic("address %q has no port", address)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return destination{}, notPublic("port %q is not a number", portText)
	}
	h, err := parseHost(hostText)
	if err != nil {
		return destination{}, notPublic("host %q is not valid", hostText)
	}

	dst := destination{name: h.name}
	addrs := []netip.Addr{h.addr}
	if !h.addr.IsValid() {
		if r := g.judgeName(h.name); r != nil {
			return destination{}, r
		}
		dst.opened = g.opensHost(h.name)
		if addrs, err = g.lookup(ctx, h.name, dst.opened); err != nil {
			return destination{}, err
		}
	}
	for _, a := range addrs {
		to := netip.AddrPortFrom(a, uint16(port))
		if r := g.judge(to, purpose, dst.opened); r != nil {
			return destination{}, r
		}
		dst.addrs = append(dst.addrs, to)
	}
	return dst, nil
}

func (g *Guard) lookup(ctx context.Context, name string, opened bool) ([]netip.Addr, error) {
	if below(name, "localhost") {
		return g.loopback(opened), nil
	}
	query := name + "."
	if opened && !strings.Contains(name, ".") {
		// A container's or a cluster's short name lives in hosts files and search lists, which an absolute name
		// bypasses. The operator wrote this one down, so there is nothing for a user to choose.
		query = name
	}
	hop := hopFrom(ctx)
	hop.resolving()
	addrs, err := g.cfg.Resolver.LookupNetIP(ctx, "ip", query)
	if err != nil {
		return nil, lookupError(err, name)
	}
	hop.resolved()
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: name, IsNotFound: true}
	}
	unmapped := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		// net.Resolver gives A records in mapped form. An AAAA record with a mapped address looks the same, and the
		// kernel would connect to the IPv4 address inside: judge that one.
		unmapped[i] = a.Unmap()
	}
	return unmapped, nil
}

// lookupError keeps the address of the operator's name server out of an error that ends in a user's delivery log.
func lookupError(err error, name string) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return &net.DNSError{UnwrapErr: err, Err: "lookup failed", Name: name, IsTemporary: true}
	}
	public := *dns
	public.Name, public.Server = name, ""
	return &public
}

// connect dials addrs, the family of the first one with a head start. All are permitted, and each attempt is judged
// again by the dialer's Control.
func (g *Guard) connect(ctx context.Context, d *net.Dialer, addrs []netip.AddrPort) (net.Conn, error) {
	v4first := addrs[0].Addr().Is4()
	first, second := ofFamily(addrs, v4first), ofFamily(addrs, !v4first)
	first, second = first[:min(len(first), maxTried)], second[:min(len(second), maxTried)]
	if len(second) == 0 {
		return g.connectEach(ctx, d, first)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn  net.Conn
		err   error
		first bool
	}
	outcomes := make(chan outcome)
	returned := make(chan struct{})
	defer close(returned)
	race := func(addrs []netip.AddrPort, isFirst bool) {
		conn, err := g.connectEach(ctx, d, addrs)
		select {
		case outcomes <- outcome{conn, err, isFirst}:
		case <-returned:
			if conn != nil {
				conn.Close()
			}
		}
	}

	go race(first, true)
	delay := time.NewTimer(familyDelay)
	defer delay.Stop()
	running, secondStarted := 1, false
	var firstErr error
	for {
		select {
		case <-delay.C:
			if !secondStarted {
				secondStarted = true
				running++
				go race(second, false)
			}
		case o := <-outcomes:
			if o.err == nil {
				return o.conn, nil
			}
			running--
			if o.first || firstErr == nil {
				firstErr = o.err
			}
			if !secondStarted {
				secondStarted = true
				running++
				go race(second, false)
			}
			if running == 0 {
				return nil, firstErr
			}
		}
	}
}

// connectEach tries addrs in order and shares the time that is left among them.
func (g *Guard) connectEach(ctx context.Context, d *net.Dialer, addrs []netip.AddrPort) (net.Conn, error) {
	var firstErr error
	for i, a := range addrs {
		conn, err := g.connectOne(ctx, d, a, len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if firstErr == nil {
			firstErr = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, firstErr
}

func (g *Guard) connectOne(ctx context.Context, d *net.Dialer, a netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share := max(time.Until(deadline)/time.Duration(left), leastAttempt)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return g.dial(ctx, d, a.String())
}

func ofFamily(addrs []netip.AddrPort, v4 bool) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Is4() == v4 {
			out = append(out, a)
		}
	}
	return out
}
