package netguard

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

func TestCheckURLNormalises(t *testing.T) {
	g := newGuard(t, Config{Ports: []uint16{8443}})
	for _, tt := range []struct{ raw, want string }{
		{"https://example.com", "https://example.com"},
		{"https://example.com/", "https://example.com/"},
		{"HTTPS://Example.COM/Hook?A=b", "https://example.com/Hook?A=b"},
		{"https://example.com:443/hook", "https://example.com/hook"},
		{"https://example.com:00443/hook", "https://example.com/hook"},
		{"https://example.com:/hook", "https://example.com/hook"},
		{"https://example.com:8443/hook", "https://example.com:8443/hook"},
		{"https://example.com./hook", "https://example.com/hook"},
		{"https://bücher.example/hook", "https://xn--bcher-kva.example/hook"},
		{"https://BÜCHER。example/hook", "https://xn--bcher-kva.example/hook"},
		{"https://xn--bcher-kva.example/hook", "https://xn--bcher-kva.example/hook"},
		{"https://exa\u00admple.com/hook", "https://example.com/hook"},
		{"https://ｅｘａｍｐｌｅ.com/hook", "https://example.com/hook"},
		{"https://b%C3%BCcher.example/hook", ""},
		{"https://r3---sn-abc.example.com/", "https://r3---sn-abc.example.com/"},
		{"https://my_bucket.s3.example.com/", "https://my_bucket.s3.example.com/"},
		{"https://1.2.3.4.example.com/", "https://1.2.3.4.example.com/"},
		{"https://0x7f.example.com/", "https://0x7f.example.com/"},
		{"https://localhost.example.com/", "https://localhost.example.com/"},
		{"https://mylocal/", ""},
		{"https://notlocalhost.com/", "https://notlocalhost.com/"},
		{"https://internal.example.com/", "https://internal.example.com/"},
		{"https://8.8.8.8/", "https://8.8.8.8/"},
		{"https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"},
		{"https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"},
		{"https://example.com/a%20b?c=%2F&d=%41", "https://example.com/a%20b?c=%2F&d=%41"},
		{"https://example.com/ä?q=ä", "https://example.com/%C3%A4?q=%C3%A4"},
		{"https://example.com/?u=https://a:b@127.0.0.1/", "https://example.com/?u=https://a:b@127.0.0.1/"},
		{"https://example.com/a@b:c", "https://example.com/a@b:c"},
		{"https://example.com/" + strings.Repeat("a", MaxWebhookURLLength-20), "https://example.com/" + strings.Repeat("a", MaxWebhookURLLength-20)},
		{"https://example.com/" + strings.Repeat("ä", 700), ""}, // too long once it is encoded
	} {
		u, err := g.CheckURL(tt.raw, Webhook)
		got := ""
		if err == nil {
			got = u.String()
		}
		if got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", name(tt.raw), got, err, tt.want)
		}
	}
}

func TestSchemesAndPorts(t *testing.T) {
	strict := newGuard(t, Config{})
	loose := newGuard(t, Config{AllowHTTP: true, Ports: []uint16{8080}})
	for _, tt := range []struct {
		g       *Guard
		raw     string
		purpose Purpose
		code    Code
	}{
		{strict, "https://example.com/", Webhook, ""},
		{strict, "http://example.com/", Webhook, CodeScheme},
		{strict, "http://example.com/", 0, CodeScheme}, // no purpose gets the strict rules
		{strict, "http://example.com/", Fetch, ""},
		{strict, "http://example.com:443/", Fetch, ""},
		{strict, "https://example.com:80/", Fetch, ""},
		{strict, "https://example.com:80/", Webhook, CodePort},
		{strict, "https://example.com:8080/", Webhook, CodePort},
		{strict, "ftp://example.com/", Fetch, CodeScheme},
		{strict, "https://example.com/?" + strings.Repeat("a", 6000), Webhook, CodeTooLong},
		{strict, "https://example.com/?" + strings.Repeat("a", 6000), Fetch, ""},
		{strict, "https://example.com/?" + strings.Repeat("a", MaxFetchURLLength), Fetch, CodeTooLong},
		{loose, "http://example.com/", Webhook, ""},
		{loose, "https://example.com:80/", Webhook, ""},
		{loose, "http://example.com:8080/", Webhook, ""},
		{loose, "http://example.com:8081/", Webhook, CodePort},
		{loose, "http://example.com:0/", Webhook, CodePort},
	} {
		_, err := tt.g.CheckURL(tt.raw, tt.purpose)
		if tt.code == "" {
			if err != nil {
				t.Errorf("%.60s (%d): %v", tt.raw, tt.purpose, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%.60s (%d) passed", tt.raw, tt.purpose)
		} else if r := refusalOf(t, err); r.Code != tt.code {
			t.Errorf("%.60s (%d): %s, want %s", tt.raw, tt.purpose, r.Code, tt.code)
		}
	}
}

func TestOperatorOpensExactlyWhatIsNamed(t *testing.T) {
	g := newGuard(t, Config{
		AllowHTTP:     true,
		AllowPrefixes: prefixes("127.0.0.0/8", "10.1.0.0/16", "fd00::/8", "::ffff:192.168.7.0/120", "169.254.0.0/16"),
		AllowHosts:    []string{"Receiver", "hooks.corp.internal", "*.svc.cluster.local", "172.16.0.9", "bücher.internal"},
	})
	for raw, pass := range map[string]bool{
		"http://127.0.0.1:9/":                true,
		"http://127.255.255.255:65535/":      true,
		"http://128.0.0.0:9/":                false,
		"http://10.1.2.3:5432/":              true,
		"http://10.2.0.0/":                   false,
		"http://[fd12::1]:8080/":             true,
		"http://[fc12::1]:8080/":             false,
		"http://[::1]:8080/":                 false,
		"http://192.168.7.3:8080/":           true,
		"http://192.168.8.3:8080/":           false,
		"http://[::ffff:127.0.0.1]:8080/":    false, // a spelling, whatever it means
		"http://169.254.1.1/":                true,
		"http://169.254.169.254/":            false, // metadata opens to its own name only
		"http://[fd00:ec2::254]/":            false,
		"http://localhost:8080/":             true,
		"http://a.localhost:8080/":           true,
		"http://receiver:8080/":              true,
		"http://RECEIVER.:8080/":             true,
		"http://receiver2:8080/":             false,
		"http://hooks.corp.internal:8080/":   true,
		"http://x.hooks.corp.internal:8080/": false,
		"http://corp.internal:8080/":         false,
		"http://a.svc.cluster.local:8080/":   true,
		"http://a.b.svc.cluster.local:8080/": true,
		"http://svc.cluster.local:8080/":     false,
		"http://xsvc.cluster.local:8080/":    false,
		"http://172.16.0.9:8080/":            true,
		"http://172.16.0.10:8080/":           false,
		"http://bücher.internal/":            true,
		"http://BÜCHER.internal/":            true,
		"http://public.example:8080/":        true, // may lie inside an opened prefix; the dial decides
		"http://receiver:0/":                 false,
		"http://127.0.0.1:0/":                false,
		"http://93.184.216.34:8080/":         false,
	} {
		if _, err := g.CheckURL(raw, Webhook); (err == nil) != pass {
			t.Errorf("%s: %v", raw, err)
		}
	}
	named := newGuard(t, Config{AllowPrefixes: prefixes("169.254.169.254/32")})
	if _, err := named.CheckURL("https://169.254.169.254/", Webhook); err != nil {
		t.Errorf("metadata opened by its own address: %v", err)
	}
}

func TestValidateNamesWhatOpensNothing(t *testing.T) {
	if err := (Config{
		AllowPrefixes: prefixes("10.0.0.0/8"), AllowHosts: []string{"receiver", "*.corp.internal", "10.0.0.1", "::1"},
		NAT64Prefixes: prefixes("64:ff9b::/96"), Ports: []uint16{8443},
	}).Validate(); err != nil {
		t.Error(err)
	}
	for what, cfg := range map[string]Config{
		"prefix":      {AllowPrefixes: []netip.Prefix{{}}},
		"host":        {AllowHosts: []string{"http://receiver"}},
		"host port":   {AllowHosts: []string{"receiver:8080"}},
		"bare star":   {AllowHosts: []string{"*."}},
		"inner star":  {AllowHosts: []string{"a.*.b"}},
		"translation": {NAT64Prefixes: prefixes("64:ff9b::/95")},
		"v4":          {NAT64Prefixes: prefixes("10.0.0.0/32")},
		"port":        {Ports: []uint16{0}},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s: valid", what)
		}
		New(cfg) // must not panic on it either
	}
}

func TestRefusalQuotesNothing(t *testing.T) {
	g := newGuard(t, Config{})
	for _, raw := range []string{"https://u:hunter2@example.com/", "https://example.com/%zz?token=hunter2", "https://10.0.0.1/?token=hunter2", "https://example.com:1/hunter2"} {
		_, err := g.CheckURL(raw, Webhook)
		if r := refusalOf(t, err); strings.Contains(r.Error()+r.Detail(), "hunter2") {
			t.Errorf("%s: %q, %q", raw, r.Error(), r.Detail())
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, v := range netguardtest.Vectors(8443) {
		f.Add(v.URL, true)
	}
	for _, a := range netguardtest.PublicNeighbours() {
		f.Add("https://["+a+"]/", false)
		f.Add("http://"+a+"/", true)
	}
	f.Add("https://bücher.example:8443/ä?ö", true)
	g := New(Config{AllowHTTP: true, Ports: []uint16{8443}})
	f.Fuzz(func(t *testing.T, raw string, webhook bool) {
		purpose := Fetch
		if webhook {
			purpose = Webhook
		}
		u, err := g.CheckURL(raw, purpose)
		if err != nil {
			refusalOf(t, err)
			return
		}
		again, err := g.CheckURL(u.String(), purpose)
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q gives %q, which gives %v (%v)", raw, u, again, err)
		}
		assertHarmless(t, u)
		// The same for the text as it came, in case a caller stored that one.
		if written, err := url.Parse(raw); err == nil {
			assertHarmless(t, written)
		}
	})
}

// assertHarmless does to u what net/http does before it dials, and then reads the host as leniently as the most lenient
// resolver.
func assertHarmless(t *testing.T, u *url.URL) {
	t.Helper()
	host := u.Hostname()
	if !isASCII(host) {
		folded, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return // net/http gives up as well
		}
		host = folded
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if !IsPublic(addr) {
			t.Fatalf("%s leads to %s", u, addr)
		}
		return
	}
	if addr, ok := lenientIPv4(strings.TrimSuffix(host, ".")); ok {
		t.Fatalf("%s leads to %s in the eyes of inet_aton", u, addr)
	}
	if !strings.Contains(strings.TrimSuffix(host, "."), ".") {
		t.Fatalf("%s has a name without a dot", u)
	}
}

// lenientIPv4 reads what inet_aton(3) reads: one to four numbers, decimal, octal or hexadecimal, the last of which
// fills the remaining bytes.
func lenientIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		if part == "" || strings.Contains(part, "_") {
			return netip.Addr{}, false
		}
		n, err := strconv.ParseUint(part, 0, 32)
		if strings.HasPrefix(strings.ToLower(part), "0b") || strings.HasPrefix(strings.ToLower(part), "0o") || err != nil {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			value |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}, false
		}
		value |= n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}
