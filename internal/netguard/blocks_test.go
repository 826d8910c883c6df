package netguard

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"code.dny.dev/ssrf"
	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

func TestPublicNeighboursStayReachable(t *testing.T) {
	g := newGuard(t, Config{})
	for _, text := range netguardtest.PublicNeighbours() {
		addr := netip.MustParseAddr(text)
		if !IsPublic(addr) {
			b, _ := blockOf(addr)
			t.Errorf("%s is refused as %s (%s)", addr, b.prefix, b.why)
		}
		dst := netip.AddrPortFrom(addr, 443)
		network := "tcp4"
		if addr.Is6() {
			network = "tcp6"
		}
		for _, p := range []Purpose{Webhook, Fetch} {
			if err := g.control(p, false)(network, dst.String(), nil); err != nil {
				t.Errorf("dialling %s: %v", dst, err)
			}
			host := addr.String()
			if addr.Is6() {
				host = "[" + host + "]"
			}
			if _, err := g.CheckURL("https://"+host+"/hook", p); err != nil {
				t.Errorf("CheckURL of %s: %v", host, err)
			}
		}
	}
}

// The registries' rows, written down once more and apart from the table, so that an edit of the table that loses one
// is noticed.
func TestRegistryRowsAreRefusedToTheirEnds(t *testing.T) {
	rows := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29",
		"192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24",
		"192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
		"::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32",
		"2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
		"2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
		"fec0::/10", "ff00::/8",
		"::/3", "4000::/2", "8000::/1", // all that is not 2000::/3
	}
	for _, row := range rows {
		p := netip.MustParsePrefix(row)
		for _, a := range []netip.Addr{p.Addr(), lastOf(p)} {
			if IsPublic(a) {
				t.Errorf("%s of %s counts as public", a, row)
			}
		}
	}
	if IsPublic(netip.Addr{}) || IsPublic(netip.MustParseAddr("2606:4700:4700::1111%eth0")) {
		t.Error("no address, or one with a zone, counts as public")
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// A row behind a wider one would never be found, and its reach would not count.
func TestNarrowBlocksStandBeforeWideOnes(t *testing.T) {
	for i, b := range blocks {
		if b.prefix != b.prefix.Masked() {
			t.Errorf("%s has bits beyond its length", b.prefix)
		}
		for _, earlier := range blocks[:i] {
			if earlier.prefix.Bits() <= b.prefix.Bits() && earlier.prefix.Contains(b.prefix.Addr()) {
				t.Errorf("%s stands behind %s", b.prefix, earlier.prefix)
			}
		}
	}
}

// Opening the range around them is how credentials get lost: an operator who opens fd00::/8 for receivers means those.
func TestMetadataStaysShutInsideOpenedRanges(t *testing.T) {
	wide := newGuard(t, Config{AllowPrefixes: prefixes("169.254.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "168.63.0.0/16", "fc00::/7", "0.0.0.0/1", "::/0")})
	for _, text := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
	} {
		dst := netip.AddrPortFrom(netip.MustParseAddr(text), 80)
		if wide.judge(dst, Fetch, true) == nil {
			t.Errorf("%s is open", text)
		}
		named := newGuard(t, Config{AllowHosts: []string{text}})
		if r := named.judge(dst, Fetch, false); r != nil {
			t.Errorf("%s named: %s", text, r.Detail())
		}
	}
}

// anyAddr draws addresses, most of them near the edge of a block.
func anyAddr() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
		case 1:
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")))
		case 2:
			b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "unicast")
			b[0] = 0x20 | b[0]&0x1f
			return netip.AddrFrom16([16]byte(b))
		}
		p := rapid.SampledFrom(blocks[:]).Draw(t, "block").prefix
		edges := []netip.Addr{p.Addr(), p.Addr().Prev(), p.Addr().Next(), lastOf(p), lastOf(p).Next(), lastOf(p).Prev()}
		edges = slices.DeleteFunc(edges, func(a netip.Addr) bool { return !a.IsValid() })
		return rapid.SampledFrom(edges).Draw(t, "edge")
	})
}

// The library's list was made from the registries independently of ours. Whatever it refuses, we refuse; what we
// refuse beyond it is known by name.
func TestAgreesWithTheSecondList(t *testing.T) {
	second := ssrf.New(ssrf.WithAnyPort())
	rapid.Check(t, func(t *rapid.T) {
		addr := anyAddr().Draw(t, "addr")
		theirs, ours := second.SafeAddr(addr) == nil, IsPublic(addr)
		if ours && !theirs {
			t.Fatalf("%s: only the library refuses it", addr)
		}
		if theirs && !ours {
			_, wrapped := isatap(addr)
			if !wrapped && addr != netip.MustParseAddr("168.63.129.16") {
				t.Fatalf("%s: refused here without a known reason", addr)
			}
		}
	})
}

func refusedV4() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		var v4 []netip.Prefix
		for _, b := range blocks {
			if b.prefix.Addr().Is4() {
				v4 = append(v4, b.prefix)
			}
		}
		p := rapid.SampledFrom(v4).Draw(t, "prefix")
		host := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "host")
		b := p.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			b[i/8] |= host[i/8] & (1 << (7 - i%8))
		}
		return netip.AddrFrom4(b)
	})
}

// wrap puts v4 into IPv6 in every way that a kernel, a router or a translator somewhere would undo.
func wrap(t *rapid.T, v4 netip.Addr) netip.Addr {
	a := v4.As4()
	b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "rest"))
	put := func(at int, bytes ...byte) { copy(b[at:], bytes) }
	switch rapid.IntRange(0, 8).Draw(t, "wrapping") {
	case 0: // mapped
		return netip.AddrFrom16(v4.As16())
	case 1: // compatible
		b = [16]byte{}
		put(12, a[:]...)
	case 2: // translated
		b = [16]byte{8: 0xff, 9: 0xff}
		put(12, a[:]...)
	case 3: // NAT64, well-known prefix
		b = [16]byte{1: 0x64, 2: 0xff, 3: 0x9b}
		put(12, a[:]...)
	case 4: // NAT64, local use: anything may follow the 48 bits
		put(0, 0, 0x64, 0xff, 0x9b, 0, 1)
		put(12, a[:]...)
	case 5: // 6to4
		put(0, 0x20, 0x02)
		put(2, a[:]...)
	case 6: // Teredo: the client's address, inverted
		put(0, 0x20, 0x01, 0, 0)
		put(12, ^a[0], ^a[1], ^a[2], ^a[3])
	case 7: // Teredo: the server's address
		put(0, 0x20, 0x01, 0, 0)
		put(4, a[:]...)
	case 8: // ISATAP below any prefix
		put(8, b[8]&0x02, 0, 0x5e, 0xfe)
		put(12, a[:]...)
	}
	return netip.AddrFrom16(b)
}

func TestWrappedPrivateAddressesAreRefused(t *testing.T) {
	g := newGuard(t, Config{})
	rapid.Check(t, func(t *rapid.T) {
		v4 := refusedV4().Draw(t, "v4")
		v6 := wrap(t, v4)
		dst := netip.AddrPortFrom(v6, 443)
		if err := g.control(Fetch, false)("tcp6", dst.String(), nil); err == nil {
			t.Fatalf("%s inside %s may be dialled", v4, v6)
		}
		if u, err := g.CheckURL("https://["+v6.String()+"]/", Fetch); err == nil {
			t.Fatalf("%s inside %s passes as %s", v4, v6, u)
		}
	})
}

// Under a translation prefix the address inside counts, and nothing else.
func TestTranslationPrefixJudgesTheWrappedAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]int{32, 40, 48, 56, 64, 96}).Draw(t, "bits")
		b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "prefix"))
		b[0], b[1] = 0x26, 0x00
		prefix := netip.PrefixFrom(netip.AddrFrom16(b), bits).Masked()
		g := New(Config{NAT64Prefixes: []netip.Prefix{prefix}})

		private := rapid.Bool().Draw(t, "private")
		v4 := netip.MustParseAddr(rapid.SampledFrom(netguardtest.PublicNeighbours()[:6]).Draw(t, "public"))
		if private {
			v4 = refusedV4().Draw(t, "v4")
		}
		v6 := embed(prefix, v4)
		if got := translated(prefix, v6); got != v4 {
			t.Fatalf("%s under %s carries %s, read back as %s", v6, prefix, v4, got)
		}
		err := g.control(Webhook, false)("tcp6", netip.AddrPortFrom(v6, 443).String(), nil)
		if (err != nil) != private {
			t.Fatalf("%s (%s) under %s: %v", v6, v4, prefix, err)
		}
	})
}

func embed(prefix netip.Prefix, v4 netip.Addr) netip.Addr {
	b := prefix.Addr().As16()
	at := prefix.Bits() / 8
	for _, c := range v4.As4() {
		if at == 8 {
			b[at] = 0
			at++
		}
		b[at] = c
		at++
	}
	return netip.AddrFrom16(b)
}

// The examples of RFC 6052, section 2.4.
func TestTranslatedMatchesRFC6052(t *testing.T) {
	for prefix, addr := range map[string]string{
		"2001:db8::/32":         "2001:db8:c000:221::",
		"2001:db8:100::/40":     "2001:db8:1c0:2:21::",
		"2001:db8:122::/48":     "2001:db8:122:c000:2:2100::",
		"2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
		"2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
		"2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
		"64:ff9b::/96":          "64:ff9b::192.0.2.33",
	} {
		if got := translated(netip.MustParsePrefix(prefix), netip.MustParseAddr(addr)); got.String() != "192.0.2.33" {
			t.Errorf("%s under %s: %s", addr, prefix, got)
		}
	}
}

// CheckURL may not promise an address that the dial refuses, nor refuse one that it would take.
func TestEarlyCheckAgreesWithTheDial(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cfg Config
		for range rapid.IntRange(0, 3).Draw(t, "opened") {
			a := anyAddr().Draw(t, "prefix")
			cfg.AllowPrefixes = append(cfg.AllowPrefixes, netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")))
		}
		g := New(cfg)
		addr := anyAddr().Draw(t, "addr")
		port := rapid.SampledFrom([]string{"443", "80", "8080", "22"}).Draw(t, "port")
		network := "tcp4"
		if addr.Is6() {
			network = "tcp6"
		}
		address := net.JoinHostPort(addr.String(), port)
		dial := g.control(Fetch, false)(network, address, nil)
		_, early := g.CheckURL("https://"+address+"/", Fetch)
		if (dial == nil) != (early == nil) {
			t.Fatalf("%s with %v opened: dial says %v, CheckURL says %v", address, cfg.AllowPrefixes, dial, early)
		}
	})
}
