package netguard

import "fmt"

// Code says which rule refused a URL or a connection. The values are stable: they are stored in delivery logs and
// counted in metrics.
type Code string

// The closed list of codes. All but CodeNotPublic come from the URL's text alone.
const (
	CodeTooLong   Code = "url_too_long"
	CodeMalformed Code = "url_malformed"
	CodeScheme    Code = "url_scheme"
	CodeUserinfo  Code = "url_userinfo"
	CodeFragment  Code = "url_fragment"
	CodeHost      Code = "url_host"
	CodePort      Code = "url_port"

	// CodeNotPublic covers every reason that has to do with where a destination really is: the only code that a dial
	// gives, whether an address, a mixture of addresses or a port on an address stood in the way.
	CodeNotPublic Code = "not_public"
)

// notPublicMessage is the one text for every destination refused for where it is. A text that told a private address
// from a closed port, or a known name from an unknown one, would map the operator's network for whoever can submit URLs.
const notPublicMessage = "destination is not a public address"

// Refusal is the guard's answer to a URL or a connection that policy forbids. It is final: the same request will be
// refused again, so that it must not be retried. A failed look-up, a refused TCP connection or a TLS error to a
// permitted address is never a Refusal.
type Refusal struct {
	Code    Code
	Message string // fit for the API's caller: names the rule, never an address that was looked up

	detail string
}

// Error returns Message.
func (r *Refusal) Error() string { return r.Message }

// Detail names the block, address or port that was in the way, for the operator's own log. It must never reach an API
// caller: it says how names resolve from inside the operator's network. It may be empty.
func (r *Refusal) Detail() string { return r.detail }

func refuse(code Code, message string) *Refusal { return &Refusal{Code: code, Message: message} }

func notPublic(format string, args ...any) *Refusal {
	return &Refusal{Code: CodeNotPublic, Message: notPublicMessage, detail: fmt.Sprintf(format, args...)}
}
