package netguard

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest URLs that are accepted, in bytes, before and after normalisation. A fetch gets more room: object stores
// sign URLs with session tokens that alone take 2 KB, and refusing one would lose an output that was paid for.
const (
	MaxWebhookURLLength = 2048
	MaxFetchURLLength   = 8192
)

// CheckURL is the early check: it looks at the URL's text only and never at the DNS. It returns the URL in the
// spelling that will be dialled (host folded to lower-case ASCII without a trailing dot, default port left out,
// non-ASCII bytes percent-encoded), or a [*Refusal]. Store and show what it returns, not what it was given.
//
// Passing does not mean that a connection will be made: the address is judged when it is dialled.
func (g *Guard) CheckURL(raw string, purpose Purpose) (*url.URL, error) {
	if err := checkText(raw, purpose); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Parse quotes the URL, which may hold a token.
		return nil, refuse(CodeMalformed, "URL cannot be parsed")
	}
	if strings.Contains(raw, "#") {
		return nil, refuse(CodeFragment, "URL must not have a fragment")
	}
	if strings.Contains(writtenHost(raw), "%") {
		return nil, hostInvalid()
	}
	return g.checkParsed(u, purpose)
}

func checkLength(raw string, purpose Purpose) error {
	limit := MaxWebhookURLLength
	if purpose == Fetch {
		limit = MaxFetchURLLength
	}
	if len(raw) > limit {
		return refuse(CodeTooLong, "URL is longer than "+strconv.Itoa(limit)+" bytes")
	}
	return nil
}

func checkText(raw string, purpose Purpose) error {
	if err := checkLength(raw, purpose); err != nil {
		return err
	}
	if !utf8.ValidString(raw) {
		return refuse(CodeMalformed, "URL is not valid UTF-8")
	}
	for _, r := range raw {
		if r == '\\' || unicode.IsControl(r) || unicode.IsSpace(r) {
			return refuse(CodeMalformed, "URL has white space, a control character or a backslash")
		}
	}
	return nil
}

// writtenHost returns the host and port as they were written: url.Parse has decoded them, and the question is whether
// there was anything to decode.
func writtenHost(raw string) string {
	_, rest, _ := strings.Cut(raw, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[strings.LastIndex(rest, "@")+1:]
}

// checkParsed checks a parsed URL and returns a normalised copy. A fragment is dropped: net/http does not send it, and
// redirects may carry one (RFC 9110, section 10.2.2).
func (g *Guard) checkParsed(u *url.URL, purpose Purpose) (*url.URL, error) {
	if err := g.checkScheme(u.Scheme, purpose); err != nil {
		return nil, err
	}
	if u.User != nil {
		return nil, refuse(CodeUserinfo, "URL must not have a user name or password")
	}
	if u.Opaque != "" || u.Host == "" {
		return nil, hostMissing()
	}
	h, err := parseHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	port, err := portOf(u)
	if err != nil {
		return nil, err
	}
	if err := g.judgeHost(h, port, purpose); err != nil {
		return nil, err
	}

	out := *u
	out.Host = joinHost(h, port, u.Scheme)
	out.Fragment, out.RawFragment = "", ""
	out.RawQuery = escapeNonASCII(u.RawQuery)
	if err := checkLength(out.String(), purpose); err != nil {
		return nil, err
	}
	return &out, nil
}

func (g *Guard) checkScheme(scheme string, purpose Purpose) error {
	switch {
	case scheme == "https":
		return nil
	case purpose != Fetch && !g.cfg.AllowHTTP:
		return refuse(CodeScheme, "URL must use https")
	case scheme == "http":
		return nil
	}
	return refuse(CodeScheme, "URL must use https or http")
}

// judgeHost says about a host and port what can be said without a look-up. A name on an unusual port passes where
// prefixes are opened, because its address may turn out to lie inside one; the dial decides then.
func (g *Guard) judgeHost(h host, port uint16, purpose Purpose) error {
	if h.addr.IsValid() {
		dst := netip.AddrPortFrom(h.addr, port)
		r := g.judge(dst, purpose, false)
		if r == nil {
			return nil
		}
		// Address and port are both the caller's own words: to say which of them is wrong gives nothing away.
		if g.judge(netip.AddrPortFrom(h.addr, 443), purpose, false) == nil {
			return portRefused()
		}
		return r
	}
	if r := g.judgeName(h.name); r != nil {
		return r
	}
	if !g.portAllowed(purpose, port) && !g.opensHost(h.name) && len(g.prefixes) == 0 {
		return portRefused()
	}
	return nil
}

func portRefused() *Refusal { return refuse(CodePort, "URL has a port that is not allowed") }

// portOf returns the port that will be dialled.
func portOf(u *url.URL) (uint16, error) {
	text := u.Port()
	if text == "" {
		if u.Scheme == "http" {
			return 80, nil
		}
		return 443, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, portRefused()
	}
	return uint16(port), nil
}

func joinHost(h host, port uint16, scheme string) string {
	if scheme == "https" && port == 443 || scheme == "http" && port == 80 {
		if h.addr.Is6() {
			return "[" + h.name + "]"
		}
		return h.name
	}
	return net.JoinHostPort(h.name, strconv.Itoa(int(port)))
}

// escapeNonASCII percent-encodes the bytes that may not stand in a request line. url.URL does so for the path, and
// leaves the query as it was written.
func escapeNonASCII(query string) string {
	if isASCII(query) {
		return query
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c < 0x80 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
