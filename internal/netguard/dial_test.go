package netguard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

// resolverFunc answers every look-up itself.
type resolverFunc func(ctx context.Context, host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return f(ctx, host)
}

// The attack: answer public when checked, private when dialled. There is one look-up for each dial, and its answer is
// what gets dialled.
func TestRebinding(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()

	var lookups atomic.Int64
	g := newGuard(t, Config{
		AllowHTTP: true,
		Ports:     []uint16{f.Port()},
		Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			if lookups.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}),
	})
	g.dial = netguardtest.Behind(server.Listener.Addr().String())
	target := "http://rebind.test:" + strconv.Itoa(int(f.Port())) + "/"

	if _, err := g.CheckURL(target, Webhook); err != nil {
		t.Fatal(err)
	}
	resp, err := g.WebhookClient().Get(target)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := lookups.Load(); n != 1 {
		t.Fatalf("%d look-ups for one dial", n)
	}

	// The connection that was allowed stays usable; the next dial is judged on its own.
	g.Close()
	stayLocal(t, g)
	_, err = g.WebhookClient().Get(target)
	if r := refusalOf(t, err); r.Code != CodeNotPublic {
		t.Errorf("code %s", r.Code)
	}
	f.AssertUntouched()
}

func TestAnswersAreJudgedTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		answer  []string
		port    string
		cfg     Config
		refused bool
	}{
		"public":                        {answer: []string{"93.184.216.34", "2606:4700:4700::1111"}, port: "443"},
		"public in mapped form":         {answer: []string{"::ffff:93.184.216.34"}, port: "443"},
		"private":                       {answer: []string{"10.0.0.1"}, port: "443", refused: true},
		"private in mapped form":        {answer: []string{"::ffff:10.0.0.1"}, port: "443", refused: true},
		"public first":                  {answer: []string{"93.184.216.34", "10.0.0.1"}, port: "443", refused: true},
		"private first":                 {answer: []string{"10.0.0.1", "93.184.216.34"}, port: "443", refused: true},
		"with a zone":                   {answer: []string{"fe80::1%lo"}, port: "443", refused: true},
		"a port that is not for HTTP":   {answer: []string{"93.184.216.34"}, port: "25", refused: true},
		"port 0":                        {answer: []string{"93.184.216.34"}, port: "0", refused: true},
		"opened by prefix, any port":    {answer: []string{"10.0.0.1"}, port: "25", cfg: Config{AllowPrefixes: prefixes("10.0.0.0/8")}},
		"opened by prefix, in part":     {answer: []string{"10.0.0.1", "172.16.0.1"}, port: "443", cfg: Config{AllowPrefixes: prefixes("10.0.0.0/8")}, refused: true},
		"opened prefix, public port 25": {answer: []string{"10.0.0.1", "93.184.216.34"}, port: "25", cfg: Config{AllowPrefixes: prefixes("10.0.0.0/8")}, refused: true},
		"opened by name":                {answer: []string{"10.0.0.1", "fd00::7", "127.0.0.1", "100.64.0.1", "93.184.216.34"}, port: "25", cfg: Config{AllowHosts: []string{"name.test"}}},
		"opened by name, link-local":    {answer: []string{"169.254.1.1"}, port: "80", cfg: Config{AllowHosts: []string{"name.test"}}, refused: true},
		"opened by name, metadata":      {answer: []string{"10.0.0.1", "169.254.169.254"}, port: "80", cfg: Config{AllowHosts: []string{"name.test"}}, refused: true},
		"opened by name, metadata v6":   {answer: []string{"fd00:ec2::254"}, port: "80", cfg: Config{AllowHosts: []string{"name.test"}}, refused: true},
		"opened by name, shared range":  {answer: []string{"100.100.100.200"}, port: "80", cfg: Config{AllowHosts: []string{"name.test"}}, refused: true},
		"another name opened":           {answer: []string{"10.0.0.1"}, port: "443", cfg: Config{AllowHosts: []string{"other.test"}}, refused: true},
		"NAT64, public inside":          {answer: []string{"64:ff9b::8.8.8.8"}, port: "443", cfg: Config{AllowPrefixes: prefixes("64:ff9b::/96")}},
		"NAT64, private inside":         {answer: []string{"64:ff9b::10.0.0.1"}, port: "443", cfg: Config{AllowPrefixes: prefixes("64:ff9b::/96")}, refused: true},
		"NAT64, odd port":               {answer: []string{"64:ff9b::8.8.8.8"}, port: "25", cfg: Config{NAT64Prefixes: prefixes("64:ff9b::/96")}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			z := &zone{t: t, answers: map[string][]string{"name.test": tt.answer}}
			tt.cfg.Resolver = z
			g := newGuard(t, tt.cfg)
			server, client := net.Pipe()
			defer server.Close()
			defer client.Close()
			g.dial = func(_ context.Context, d *net.Dialer, address string) (net.Conn, error) {
				if err := d.Control(familyOf(address), address, nil); err != nil {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
				}
				return client, nil
			}
			_, err := g.DialContext(t.Context(), Webhook, "tcp", net.JoinHostPort("name.test", tt.port))
			if !tt.refused {
				if err != nil {
					t.Error(err)
				}
				return
			}
			r := refusalOf(t, err)
			if r.Code != CodeNotPublic || err.Error() != notPublicMessage {
				t.Errorf("%s: %q is not the constant answer", r.Code, err)
			}
			if r.Detail() == "" {
				t.Error("the operator learns nothing")
			}
		})
	}
}

func familyOf(address string) string {
	if netip.MustParseAddrPort(address).Addr().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// Control is the last word even when everything before it was wrong.
func TestControlAloneRefuses(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	g := newGuard(t, Config{Ports: []uint16{f.Port()}})
	d := &net.Dialer{Control: g.control(Webhook, false)}
	port := strconv.Itoa(int(f.Port()))
	for _, host := range []string{"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "::ffff:127.0.0.1", ""} {
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			conn.Close()
			t.Errorf("connected to %q", host)
		}
	}
	for _, network := range []string{"udp4", "unix", "tcp", ""} {
		if err := g.control(Webhook, false)(network, "93.184.216.34:443", nil); err == nil {
			t.Errorf("network %q passed", network)
		}
	}
	for _, address := range []string{"", "example.com:443", "93.184.216.34", "/run/x.sock"} {
		if err := g.control(Webhook, false)("tcp4", address, nil); err == nil {
			t.Errorf("address %q passed", address)
		}
	}
	f.AssertUntouched()
}

// Should the kernel be handed another address than the one that was judged, the answer is the same constant text,
// without the address that net.OpError would print.
func TestControlsRefusalIsBare(t *testing.T) {
	g := newGuard(t, Config{})
	g.dial = func(_ context.Context, d *net.Dialer, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp4", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, Err: d.Control("tcp4", "10.0.0.1:443", nil)}
	}
	_, err := g.DialContext(t.Context(), Webhook, "tcp", "93.184.216.34:443")
	if refusalOf(t, err); err.Error() != notPublicMessage {
		t.Errorf("%q", err)
	}
}

func TestOnlyAbsoluteNamesAreLookedUp(t *testing.T) {
	z := &zone{t: t, answers: map[string][]string{"name.test": {"10.0.0.1"}, "receiver": {"169.254.0.1"}}}
	g := newGuard(t, Config{Resolver: z, AllowHosts: []string{"receiver"}})
	for _, host := range []string{"name.test", "NAME.test.", "receiver", "localhost", "a.localhost", "printer", "x.internal", "10.0.0.1"} {
		_, err := g.DialContext(t.Context(), Webhook, "tcp", net.JoinHostPort(host, "443"))
		refusalOf(t, err)
	}
	// The opened short name goes to hosts files and search lists on purpose; private names are not asked for at all.
	if got := strings.Join(z.asked, " "); got != "name.test. name.test. receiver" {
		t.Errorf("asked for %s", got)
	}
}

func TestLocalhostIsLoopbackWithoutALookup(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for name, cfg := range map[string]Config{
		"prefix": {AllowPrefixes: prefixes("127.0.0.0/8")},
		"host":   {AllowHosts: []string{"localhost"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.AllowHTTP = true
			g := newGuard(t, cfg) // its zone is empty
			resp, err := g.WebhookClient().Get("http://localhost:" + port + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
}

// nobody is an address at which nothing listens, and nothing will: the port is not one that processes are given.
const nobody = "127.0.0.1:1"

// A failed look-up and a closed port on a permitted address are the network's errors: they are retried.
func TestNetworkErrorsAreNotRefusals(t *testing.T) {
	g := newGuard(t, Config{AllowPrefixes: prefixes("127.0.0.1/32"), Resolver: &zone{t: t, answers: map[string][]string{"empty.test": {}}}})
	var refusal *Refusal
	var op *net.OpError
	if _, err := g.DialContext(t.Context(), Webhook, "tcp", nobody); !errors.As(err, &op) || errors.As(err, &refusal) {
		t.Errorf("closed port: %v", err)
	}
	for _, name := range []string{"absent.test:443", "empty.test:443"} {
		_, err := g.DialContext(t.Context(), Webhook, "tcp", name)
		var dns *net.DNSError
		if !errors.As(err, &dns) || errors.As(err, &refusal) || !dns.IsNotFound {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "10.0.0.53") {
			t.Errorf("%q tells the name server", err)
		}
	}
	g.cfg.Resolver = resolverFunc(func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("asking 10.0.0.53") })
	_, err := g.DialContext(t.Context(), Webhook, "tcp", "broken.test:443")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsTemporary || strings.Contains(err.Error(), "10.0.0.53") {
		t.Errorf("broken resolver: %v", err)
	}
}

// A resolver that hangs ends with the connect time-out: net/http lets a dial outlive the request that began it, so that
// the request's own deadline does not stop it.
func TestSilentResolverEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{ConnectTimeout: 3 * time.Second, Resolver: resolverFunc(func(ctx context.Context, host string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, &net.DNSError{Err: ctx.Err().Error(), Name: host, IsTimeout: true}
		})})
		began := time.Now()
		_, err := g.DialContext(context.Background(), Fetch, "tcp", "slow.test:443")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsTimeout || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// attempts scripts connection attempts: how long each address takes, and whether it answers at all.
type attempts struct {
	answer map[string]time.Duration // absent means silence
	refuse map[string]bool
	made   atomic.Int64
	closed atomic.Int64
}

type countedConn struct {
	net.Conn
	closed *atomic.Int64
	remote net.Addr
}

func (c *countedConn) Close() error         { c.closed.Add(1); return c.Conn.Close() }
func (c *countedConn) RemoteAddr() net.Addr { return c.remote }

func (a *attempts) dial(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
	if err := d.Control(familyOf(address), address, nil); err != nil {
		return nil, err
	}
	a.made.Add(1)
	remote := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
	if a.refuse[address] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: remote, Err: errors.New("connection refused")}
	}
	after, ok := a.answer[address]
	if !ok {
		after = time.Hour
	}
	select {
	case <-time.After(after):
		server, client := net.Pipe()
		server.Close()
		return &countedConn{client, &a.closed, remote}, nil
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: remote, Err: ctx.Err()}
	}
}

func TestBothFamiliesGetTheirChance(t *testing.T) {
	const v6, v6b, v4, v4b = "[2606:4700::1]:443", "[2606:4700::2]:443", "93.184.216.34:443", "93.184.216.35:443"
	addr := func(address string) netip.Addr { return netip.MustParseAddrPort(address).Addr() }
	for name, tt := range map[string]struct {
		names  []string
		answer map[string]time.Duration
		refuse map[string]bool
		want   string
		after  time.Duration
	}{
		"preferred family answers":           {names: []string{v6, v4}, answer: map[string]time.Duration{v6: time.Millisecond, v4: 0}, want: v6, after: time.Millisecond},
		"preferred family is silent":         {names: []string{v6, v4}, answer: map[string]time.Duration{v4: time.Millisecond}, want: v4, after: familyDelay + time.Millisecond},
		"preferred family refuses":           {names: []string{v6, v4}, answer: map[string]time.Duration{v4: time.Millisecond}, refuse: map[string]bool{v6: true}, want: v4, after: time.Millisecond},
		"IPv4 preferred":                     {names: []string{v4, v6}, answer: map[string]time.Duration{v4: 0, v6: 0}, want: v4},
		"second address of a family":         {names: []string{v4, v4b}, answer: map[string]time.Duration{v4b: 0}, refuse: map[string]bool{v4: true}, want: v4b},
		"first address silent":               {names: []string{v4, v4b}, answer: map[string]time.Duration{v4b: 0}, want: v4b, after: 5 * time.Second},
		"slow, but first":                    {names: []string{v6, v4}, answer: map[string]time.Duration{v6: time.Second, v4: 2 * time.Second}, want: v6, after: time.Second},
		"nothing answers":                    {names: []string{v6, v6b, v4}, want: "", after: 10 * time.Second},
		"everything refuses":                 {names: []string{v6, v4}, refuse: map[string]bool{v6: true, v4: true}, want: ""},
		"preferred refuses, other is silent": {names: []string{v6, v4}, refuse: map[string]bool{v6: true}, want: "", after: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &attempts{answer: tt.answer, refuse: tt.refuse}
				g := New(Config{ConnectTimeout: 10 * time.Second, Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
					var out []netip.Addr
					for _, n := range tt.names {
						out = append(out, addr(n))
					}
					return out, nil
				})})
				g.dial = a.dial
				began := time.Now()
				conn, err := g.DialContext(context.Background(), Webhook, "tcp", "name.test:443")
				took := time.Since(began)
				synctest.Wait() // the loser notices and ends; a goroutine left behind would fail the bubble
				if tt.want == "" {
					if err == nil {
						t.Fatal("connected")
					}
				} else {
					if err != nil {
						t.Fatal(err)
					}
					if got := conn.RemoteAddr().String(); got != tt.want {
						t.Errorf("connected to %s", got)
					}
					conn.Close()
				}
				if took != tt.after {
					t.Errorf("took %s, want %s", took, tt.after)
				}
			})
		})
	}
}

// A connection that comes up after another has won must not stay open.
func TestLateConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{answer: map[string]time.Duration{"93.184.216.34:443": 0}}
		g := New(Config{Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("2606:4700::1"), netip.MustParseAddr("93.184.216.34")}, nil
		})})
		g.dial = func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
			if familyOf(address) == "tcp4" {
				return a.dial(ctx, d, address)
			}
			<-ctx.Done() // the kernel was faster than the cancellation
			server, client := net.Pipe()
			server.Close()
			return &countedConn{client, &a.closed, &net.TCPAddr{}}, nil
		}
		conn, err := g.DialContext(context.Background(), Webhook, "tcp", "name.test:443")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a.closed.Load() != 1 {
			t.Errorf("%d connections closed, want the late one", a.closed.Load())
		}
		conn.Close()
	})
}

func TestManySilentAddressesAreNotAllTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{}
		g := New(Config{Resolver: resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
			var out []netip.Addr
			first := netip.MustParseAddr("93.184.216.1")
			for range 1000 {
				out = append(out, first)
				first = first.Next()
			}
			return out, nil
		})})
		g.dial = func(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
			a.refuse = map[string]bool{address: true}
			return a.dial(ctx, d, address)
		}
		if _, err := g.DialContext(context.Background(), Webhook, "tcp", "name.test:443"); err == nil {
			t.Error("connected")
		}
		if n := a.made.Load(); n != maxTried {
			t.Errorf("%d attempts", n)
		}
	})
}
