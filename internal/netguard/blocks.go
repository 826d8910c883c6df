package netguard

import "net/netip"

// reach says what an operator's switch can do about a block.
type reach uint8

const (
	closed   reach = iota // only a prefix in AllowPrefixes opens it
	local                 // a host in AllowHosts may have addresses here
	metadata              // only a prefix at least as long as the block's own opens it
)

// block is one refused range. why ends in the document that set the range aside.
type block struct {
	prefix netip.Prefix
	why    string
	reach  reach
}

func at(prefix, why string, r reach) block {
	return block{prefix: netip.MustParsePrefix(prefix), why: why, reach: r}
}

// blocks holds every refused range that has a name. The first match counts, so that the narrow ranges stand before the
// wide ones that hold them.
//
// Sources: the IANA IPv4 Special-Purpose Address Registry and the IANA IPv6 Special-Purpose Address Registry (state of
// 2025-10), RFC 5771 and RFC 4291 for multicast, and each cloud's own documentation for the platform endpoints.
var blocks = [...]block{
	// Endpoints that hand out credentials to whoever can reach them. They have a row of their own so that opening a
	// wide private range for receivers does not open them by accident.
	at("169.254.169.254/32", "instance metadata of most clouds", metadata),
	at("169.254.170.2/32", "AWS task credentials", metadata),
	at("169.254.170.23/32", "AWS pod identity", metadata),
	at("100.100.100.200/32", "Alibaba Cloud metadata", metadata),
	at("168.63.129.16/32", "Azure platform endpoint on a public-looking address", metadata),
	at("192.0.0.192/32", "Oracle Cloud classic metadata", metadata),
	at("fd00:ec2::/32", "AWS instance services", metadata),
	at("fd20:ce::254/128", "Google Cloud metadata", metadata),
	at("fd00:c1::a9fe:a9fe/128", "Oracle Cloud metadata", metadata),
	at("fd00:42::42/128", "Scaleway metadata", metadata),
	at("fd00:a9fe:a9fe::1/128", "Akamai metadata", metadata),
	at("fd00:100::100:200/128", "Alibaba Cloud metadata", metadata),

	at("0.0.0.0/8", "this host on this network, RFC 791", closed),
	at("10.0.0.0/8", "private use, RFC 1918", local),
	at("100.64.0.0/10", "shared address space, RFC 6598", local),
	at("127.0.0.0/8", "loopback, RFC 1122", local),
	at("169.254.0.0/16", "link-local, RFC 3927", closed),
	at("172.16.0.0/12", "private use, RFC 1918", local),
	at("192.0.0.0/24", "IETF protocol assignments, RFC 6890", closed),
	at("192.0.2.0/24", "documentation, RFC 5737", closed),
	at("192.31.196.0/24", "AS112, RFC 7535", closed),
	at("192.52.193.0/24", "AMT, RFC 7450", closed),
	at("192.88.99.0/24", "6to4 relay anycast, RFC 7526", closed),
	at("192.168.0.0/16", "private use, RFC 1918", local),
	at("192.175.48.0/24", "AS112, RFC 7534", closed),
	at("198.18.0.0/15", "benchmarking, RFC 2544", closed),
	at("198.51.100.0/24", "documentation, RFC 5737", closed),
	at("203.0.113.0/24", "documentation, RFC 5737", closed),
	at("224.0.0.0/4", "multicast, RFC 5771", closed),
	at("255.255.255.255/32", "limited broadcast, RFC 919", closed),
	at("240.0.0.0/4", "reserved, RFC 1112", closed),

	at("::1/128", "loopback, RFC 4291", local),
	at("::/128", "unspecified, RFC 4291", closed),
	at("::/96", "IPv4-compatible, RFC 4291", closed),
	at("::ffff:0:0/96", "IPv4-mapped, RFC 4291", closed),
	at("::ffff:0:0:0/96", "IPv4-translated, RFC 2765", closed),
	at("64:ff9b::/96", "NAT64, RFC 6052", closed),
	at("64:ff9b:1::/48", "local-use NAT64, RFC 8215", closed),
	at("100::/64", "discard only, RFC 6666", closed),
	at("100:0:0:1::/64", "dummy prefix, RFC 9780", closed),
	at("2001::/32", "Teredo, RFC 4380", closed),
	at("2001:2::/48", "benchmarking, RFC 5180", closed),
	at("2001:3::/32", "AMT, RFC 7450", closed),
	at("2001:4:112::/48", "AS112, RFC 7535", closed),
	at("2001:10::/28", "ORCHID, RFC 4843", closed),
	at("2001:20::/28", "ORCHIDv2, RFC 7343", closed),
	at("2001:30::/28", "drone remote identifiers, RFC 9374", closed),
	at("2001::/23", "IETF protocol assignments, RFC 2928", closed),
	at("2001:db8::/32", "documentation, RFC 3849", closed),
	at("2002::/16", "6to4, RFC 3056", closed),
	at("2620:4f:8000::/48", "AS112, RFC 7534", closed),
	at("3fff::/20", "documentation, RFC 9637", closed),
	at("5f00::/16", "segment routing identifiers, RFC 9602", closed),
	at("fc00::/7", "unique local, RFC 4193", local),
	at("fe80::/10", "link-local, RFC 4291", closed),
	at("fec0::/10", "site-local, RFC 3879", closed),
	at("ff00::/8", "multicast, RFC 4291", closed),
}

var (
	globalUnicast  = netip.MustParsePrefix("2000::/3")
	wellKnownNAT64 = netip.MustParsePrefix("64:ff9b::/96")

	outsideGlobalUnicast = at("::/0", "outside 2000::/3, IANA IPv6 address space", closed)
)

// IsPublic reports whether addr is globally reachable unicast: in no special-purpose block of the IANA registries, no
// IPv4 address wrapped in IPv6, no known cloud platform endpoint, and without a zone. It knows nothing of what an
// operator opened.
func IsPublic(addr netip.Addr) bool {
	_, special := blockOf(addr)
	return !special
}

// blockOf finds the refused block that holds addr. An IPv4-mapped address is taken for what it is, an IPv6 spelling:
// callers unmap first where the spelling was not the user's. No prefix contains an address with a zone, 2000::/3
// included, so that every such address is refused, as is the invalid one.
func blockOf(addr netip.Addr) (block, bool) {
	for _, b := range blocks {
		if b.prefix.Contains(addr) {
			return b, true
		}
	}
	if addr.Is4() {
		return block{}, false
	}
	if !globalUnicast.Contains(addr) {
		return outsideGlobalUnicast, true
	}
	if inner, ok := isatap(addr); ok {
		if b, special := blockOf(inner); special {
			b.why, b.reach = "inside ISATAP: "+b.why, closed
			return b, true
		}
	}
	return block{}, false
}

// isatap returns the IPv4 address inside an ISATAP interface identifier: 0000:5efe or 0200:5efe, then the address
// (RFC 5214, section 6.1).
func isatap(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	if b[8]&^0x02 != 0 || b[9] != 0 || b[10] != 0x5e || b[11] != 0xfe {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// isTranslation reports whether prefix has one of the six lengths of RFC 6052, section 2.2.
func isTranslation(prefix netip.Prefix) bool {
	if !prefix.IsValid() || !prefix.Addr().Is6() {
		return false
	}
	switch prefix.Bits() {
	case 32, 40, 48, 56, 64, 96:
		return true
	}
	return false
}

// translated returns the IPv4 address that addr carries under a translation prefix. Bits 64 to 71 are never part of it
// (RFC 6052, section 2.2).
func translated(prefix netip.Prefix, addr netip.Addr) netip.Addr {
	b := addr.As16()
	var v4 [4]byte
	from := prefix.Bits() / 8
	for i := range v4 {
		if from == 8 {
			from++
		}
		v4[i] = b[from]
		from++
	}
	return netip.AddrFrom4(v4)
}
