package netguard

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"code.dny.dev/ssrf"
)

// Purpose says what a URL is for; the rules for schemes and ports hang on it.
type Purpose uint8

const (
	Webhook Purpose = iota + 1 // https only, unless Config.AllowHTTP
	Fetch                      // http and https: source URLs, uploads by URL, outputs
)

// Resolver looks names up. It is asked for fully qualified names ("example.com."), so that no search list applies; the
// only exception is a name without a dot that the operator listed in AllowHosts.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what an operator decides about ways out. The zero value is the safe default: public addresses, https for
// webhooks, the standard ports.
type Config struct {
	// AllowPrefixes opens the named ranges, on every port. Nothing beside them: names of private name spaces stay
	// refused unless AllowHosts names them, except localhost, which goes with its loopback prefix. A cloud metadata
	// endpoint opens only to a prefix at least as long as its own, so that fd00::/8 does not open fd00:ec2::254.
	// 64:ff9b::/96 listed here is treated as if listed in NAT64Prefixes.
	AllowPrefixes []netip.Prefix

	// AllowHosts opens named hosts, on every port: an exact name ("hooks.corp.internal", "receiver"), all names below
	// one ("*.corp.internal"), or an address. Such a name may have loopback, private-use, shared and unique-local
	// addresses besides public ones; link-local, metadata and all other special addresses stay refused.
	AllowHosts []string

	// NAT64Prefixes lists translation prefixes of this network (RFC 6052: 32, 40, 48, 56, 64 or 96 bits). An address
	// inside one is judged by the IPv4 address that it wraps. Hosts behind DNS64 need 64:ff9b::/96 here; a network
	// with a prefix of its own should name it, because a wrapped private address there looks public otherwise.
	NAT64Prefixes []netip.Prefix

	AllowHTTP bool     // webhooks may use plain http
	Ports     []uint16 // allowed besides 443 (and 80 where http is allowed)

	// Proxy is an HTTP proxy through which every connection is made, with CONNECT: http://host:port or https://host:port,
	// with a user and password where it wants them. Nothing that the guard checks changes: names are resolved here, and
	// the proxy is asked for an address that was judged. nil means none; the environment is never read for one.
	Proxy *url.URL

	// Dial makes one connection to a numeric address, and asks d's Control about it first; nil means d itself. Tests put
	// a local listener behind public addresses with it. Not together with Proxy.
	Dial func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error)

	Resolver Resolver       // nil means net.Resolver in pure Go
	RootCAs  *x509.CertPool // nil means the host's roots

	// UserAgent is sent where a request has none. Empty leaves net/http's own.
	UserAgent string

	ConnectTimeout time.Duration // look-up and TCP connection together; 0 means 5 s
	TLSTimeout     time.Duration // TLS handshake; 0 means 5 s
	IdleTimeout    time.Duration // an idle connection is closed after it; 0 means 30 s
	MaxIdle        int           // idle connections in total, for each purpose; 0 means 512
	MaxIdlePerHost int           // idle connections to one host; 0 means 32
	MaxHeaderBytes int64         // of a response; 0 means 64 KiB
}

// Validate reports entries that New would have to ignore, so that an operator's typing error is told instead of
// silently opening nothing.
func (c Config) Validate() error {
	for _, p := range slices.Concat(c.AllowPrefixes, c.NAT64Prefixes) {
		if !p.IsValid() {
			return fmt.Errorf("netguard: invalid prefix %q", p)
		}
	}
	for _, p := range c.NAT64Prefixes {
		if !isTranslation(p) {
			return fmt.Errorf("netguard: %s is not an RFC 6052 translation prefix", p)
		}
	}
	for _, h := range c.AllowHosts {
		if _, err := parseHost(strings.TrimPrefix(h, "*.")); err != nil {
			return fmt.Errorf("netguard: host %q: %w", h, err)
		}
	}
	if c.Proxy != nil {
		if err := checkProxy(c.Proxy); err != nil {
			return fmt.Errorf("netguard: %w", err)
		}
	}
	if slices.Contains(c.Ports, 0) {
		return fmt.Errorf("netguard: port 0 cannot be opened")
	}
	return nil
}

// Guard checks URLs and makes the connections. It is safe for concurrent use and does not change after New.
type Guard struct {
	cfg      Config
	prefixes []netip.Prefix
	nat64    []netip.Prefix
	hosts    map[string]bool
	suffixes []string // with the leading dot

	// second is an independent list of special-purpose blocks. Where it and blocks disagree, the stricter one counts.
	second *ssrf.Guardian

	// dial makes one connection attempt to a numeric address.
	dial func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error)

	webhook, fetch *http.Transport
}

// New returns a guard for cfg. Entries that [Config.Validate] complains about open nothing.
func New(cfg Config) *Guard {
	setDefault(&cfg.ConnectTimeout, 5*time.Second)
	setDefault(&cfg.TLSTimeout, 5*time.Second)
	setDefault(&cfg.IdleTimeout, 30*time.Second)
	setDefault(&cfg.MaxIdle, 512)
	setDefault(&cfg.MaxIdlePerHost, 32)
	setDefault(&cfg.MaxHeaderBytes, 64<<10)
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	g := &Guard{
		cfg:    cfg,
		hosts:  make(map[string]bool),
		second: ssrf.New(ssrf.WithAnyPort(), ssrf.WithNetworks("tcp4", "tcp6")),
		dial: func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		},
	}
	if cfg.Dial != nil {
		g.dial = cfg.Dial
	}
	if cfg.Proxy != nil {
		g.dial = newProxy(cfg.Proxy, cfg.RootCAs).dial
	}
	for _, p := range cfg.NAT64Prefixes {
		if isTranslation(p) {
			g.nat64 = append(g.nat64, p.Masked())
		}
	}
	for _, p := range cfg.AllowPrefixes {
		g.open(p)
	}
	for _, h := range cfg.AllowHosts {
		g.openHost(h)
	}
	g.webhook = g.transport(Webhook)
	g.fetch = g.transport(Fetch)
	return g
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

func (g *Guard) open(p netip.Prefix) {
	if !p.IsValid() {
		return
	}
	p = p.Masked()
	switch {
	case p == wellKnownNAT64:
		g.nat64 = append(g.nat64, p)
		return
	case p.Addr().Is4In6() && p.Bits() >= 96:
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	g.prefixes = append(g.prefixes, p)
}

func (g *Guard) openHost(entry string) {
	name, below := strings.CutPrefix(entry, "*.")
	h, err := parseHost(name)
	switch {
	case err != nil:
	case h.addr.IsValid():
		g.open(netip.PrefixFrom(h.addr, h.addr.BitLen()))
	case below:
		g.suffixes = append(g.suffixes, "."+h.name)
	default:
		g.hosts[h.name] = true
	}
}

// opensHost reports whether the operator opened name, which is folded already.
func (g *Guard) opensHost(name string) bool {
	return g.hosts[name] || slices.ContainsFunc(g.suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

// opens reports whether a prefix of the operator's opens addr.
func (g *Guard) opens(addr netip.Addr) bool {
	return slices.ContainsFunc(g.prefixes, func(p netip.Prefix) bool {
		if !p.Contains(addr) {
			return false
		}
		b, special := blockOf(addr)
		return !special || b.reach != metadata || p.Bits() >= b.prefix.Bits()
	})
}

func (g *Guard) portAllowed(p Purpose, port uint16) bool {
	switch port {
	case 0:
		return false
	case 443:
		return true
	case 80:
		if p == Fetch || g.cfg.AllowHTTP {
			return true
		}
	}
	return slices.Contains(g.cfg.Ports, port)
}

// judge decides about one address and port; it is the single place where an address is permitted. opened says that
// the operator opened the host by name. The result is nil, or why the destination is refused.
func (g *Guard) judge(dst netip.AddrPort, p Purpose, opened bool) *Refusal {
	addr, port := dst.Addr(), dst.Port()
	if port == 0 {
		return notPublic("port 0")
	}
	for _, prefix := range g.nat64 {
		if !prefix.Contains(addr) {
			continue
		}
		return g.judge(netip.AddrPortFrom(translated(prefix, addr), port), p, opened)
	}
	if g.opens(addr) {
		return nil
	}
	if b, special := blockOf(addr); special {
		if opened && b.reach == local {
			return nil
		}
		return notPublic("%s is in %s (%s)", addr, b.prefix, b.why)
	}
	if err := g.second.SafeAddr(addr); err != nil {
		return notPublic("%s: %v", addr, err)
	}
	if !opened && !g.portAllowed(p, port) {
		return notPublic("port %d of %s is not opened", port, addr)
	}
	return nil
}

// Close closes idle connections. Connections in use end with their requests.
func (g *Guard) Close() {
	g.webhook.CloseIdleConnections()
	g.fetch.CloseIdleConnections()
}
