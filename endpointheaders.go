package kinora

import (
	"slices"
	"strings"
)

// Bounds of an endpoint's own headers.
const (
	MaxEndpointHeaders     = 16
	MaxEndpointHeaderBytes = 4 << 10 // names and values together
)

// HiddenHeader stands for a header's value wherever endpoints are shown. It is refused as a
// value, so that what was read and is sent back cannot overwrite a secret.
const HiddenHeader = "[hidden]"

// CheckEndpointHeaders refuses what must not be sent as an endpoint's own headers. Names are
// tokens of RFC 9110, 5.6.2, each there once, in whatever case; values are visible ASCII, with
// spaces and tabs between (5.5, without the obsolete rest). Not allowed are the headers that
// are the sender's or the connection's own. Its errors have the code ErrInvalid, name the
// header, and show no value.
func CheckEndpointHeaders(headers map[string]string) error {
	if len(headers) > MaxEndpointHeaders {
		return FieldErrorf(ErrInvalid, "headers", "headers has more than %d entries", MaxEndpointHeaders)
	}
	seen, size := make(map[string]bool, len(headers)), 0
	for name, value := range headers {
		lower := strings.ToLower(name)
		switch {
		case !isToken(name):
			return FieldErrorf(ErrInvalid, "headers", "headers: %q is not the name of a header", shorten(name))
		case reservedHeader(lower):
			return FieldErrorf(ErrInvalid, "headers", "headers: %s is set by the sender or by the connection", name)
		case seen[lower]:
			return FieldErrorf(ErrInvalid, "headers", "headers: %s is there twice", name)
		case !isFieldValue(value):
			return FieldErrorf(ErrInvalid, "headers", "headers: the value of %s must be visible ASCII characters with no white space around them", name)
		}
		seen[lower] = true
		size += len(name) + len(value)
	}
	if size > MaxEndpointHeaderBytes {
		return FieldErrorf(ErrInvalid, "headers", "headers is longer than %d bytes", MaxEndpointHeaderBytes)
	}
	return nil
}

// reservedHeaders belong to the message as it is sent, to one hop of its way, or to a browser.
var reservedHeaders = []string{
	"accept-encoding", "connection", "cookie", "cookie2", "date", "expect",
	"host", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "set-cookie", "te",
	"trailer", "transfer-encoding", "upgrade", "user-agent", "via",
}

// reservedPrefixes begin the names of headers that describe the body, or by which a delivery is told and verified.
var reservedPrefixes = []string{"content-", "webhook-", "x-katalo-", "x-kinora-"}

func reservedHeader(lower string) bool {
	return slices.Contains(reservedHeaders, lower) ||
		slices.ContainsFunc(reservedPrefixes, func(prefix string) bool { return strings.HasPrefix(lower, prefix) })
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return s != "" && strings.Trim(s, " \t") == s
}

func shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
