package netguard

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// privateSuffixes are name spaces that the public DNS does not hold: RFC 6761 (localhost), RFC 6762 with the list of
// its appendix G (local, intranet, internal, private, corp, home, lan), RFC 8375 (home.arpa) and the traditional
// localdomain. A public name cannot end in one, so refusing them costs nobody a destination.
var privateSuffixes = [...]string{
	"localhost", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "localdomain",
}

// host is a host in the one spelling that is dialled: an address, or a lower-case ASCII name without a trailing dot.
type host struct {
	name string
	addr netip.Addr // valid when the host is an address; name is its text then
}

func hostMissing() *Refusal { return refuse(CodeHost, "URL must name a host") }

func hostInvalid() *Refusal {
	return refuse(CodeHost, "URL has a host that is not a valid name or address")
}

// parseHost folds raw the way net/http does before it dials, and then reads the result strictly. raw has no port and
// no brackets. What comes out survives another fold unchanged.
func parseHost(raw string) (host, error) {
	if raw == "" {
		return host{}, hostMissing()
	}
	if strings.Contains(raw, ":") {
		return parseIPv6(raw)
	}
	if addr, err := netip.ParseAddr(raw); err == nil {
		return host{name: addr.String(), addr: addr}, nil
	}
	name := strings.ToLower(raw)
	if !isASCII(raw) {
		var err error
		if name, err = idna.Lookup.ToASCII(raw); err != nil {
			return host{}, hostInvalid()
		}
	}
	name = strings.TrimSuffix(name, ".")
	if !validName(name) {
		return host{}, hostInvalid()
	}
	return host{name: name}, nil
}

func parseIPv6(raw string) (host, error) {
	addr, err := netip.ParseAddr(raw)
	if err != nil || addr.Zone() != "" {
		return host{}, hostInvalid()
	}
	return host{name: addr.String(), addr: addr}, nil
}

// validName reports whether name is a host name that means the same to every resolver. A last label that is a number
// would be an IPv4 address in some spelling (the "ends in a number" rule of the WHATWG URL standard): plain dotted
// decimal has been taken out before, so that whatever arrives here is a spelling meant to be misread.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	return !isNumber(labels[len(labels)-1])
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	if !strings.HasPrefix(label, "xn--") {
		return true
	}
	// net/http passes ASCII hosts through unread. A punycode label that does not decode, or that decodes to something
	// which folding would not have turned into it (ASCII, full-width letters), was made by hand to look like another.
	decoded, err := idna.Lookup.ToUnicode(label)
	if err != nil {
		return false
	}
	again, err := idna.Lookup.ToASCII(decoded)
	return err == nil && again == label
}

func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func below(name, suffix string) bool {
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// privateName reports whether name can only mean something inside a network.
func privateName(name string) bool {
	return !strings.Contains(name, ".") ||
		slices.ContainsFunc(privateSuffixes[:], func(s string) bool { return below(name, s) })
}

// judgeName decides about a name before anything is looked up.
func (g *Guard) judgeName(name string) *Refusal {
	switch {
	case g.opensHost(name):
		return nil
	case below(name, "localhost") && len(g.loopback(false)) > 0:
		return nil
	case privateName(name):
		return notPublic("%s is a private name", name)
	}
	return nil
}

// loopback returns what localhost stands for: the loopback addresses that may be dialled. Localhost is never looked up
// (RFC 6761, section 6.3), because a resolver could answer anything.
func (g *Guard) loopback(opened bool) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if opened || g.opens(a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
