package webhook

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

// Guard says which URLs may be called at all, by their text. It returns the URL in the
// spelling that will be dialled, or a *netguard.Refusal.
type Guard interface {
	CheckURL(raw string, purpose netguard.Purpose) (*url.URL, error)
}

// Policy decides whether an organisation's events may go to a URL: the address rules for
// everybody, and the organisation's own allowlist of hosts.
type Policy struct {
	Guard Guard
}

// errNotAllowed is shown to callers and kept in the log of attempts.
var errNotAllowed = errors.New("the host is not on the organisation's allowlist")

// CheckDestination is the early check, made when a generation or a default is accepted. The
// same rules apply again at each attempt, and the address rules once more when the
// connection is made. It fails with a *kinora.Error of code ErrInvalid whose message names
// webhook.url.
func (p Policy) CheckDestination(org *kinora.Organisation, rawURL string) error {
	if _, err := p.permit(org.WebhookHosts, rawURL); err != nil {
		refused := kinora.FieldErrorf(kinora.ErrInvalid, "webhook.url", "webhook.url: %s", err)
		refused.Op = "check webhook.url"
		return refused
	}
	return nil
}

// permit returns the URL to call. Its errors are final and fit to be shown.
func (p Policy) permit(allowed []string, rawURL string) (*url.URL, error) {
	u, err := p.Guard.CheckURL(rawURL, netguard.Webhook)
	if err != nil {
		return nil, err
	}
	if !hostAllowed(allowed, u.Hostname()) {
		return nil, errNotAllowed
	}
	return u, nil
}

// hostAllowed matches a host against an allowlist of exact hosts and "*.suffix"; the latter
// stands for all names below the suffix, not for the suffix itself. An empty list allows
// every host.
func hostAllowed(allowed []string, host string) bool {
	if len(allowed) == 0 {
		return true
	}
	host = plainHost(host)
	return slices.ContainsFunc(allowed, func(entry string) bool {
		if suffix, below := strings.CutPrefix(entry, "*."); below {
			return strings.HasSuffix(host, "."+plainHost(suffix))
		}
		return host == plainHost(entry)
	})
}

// plainHost is the spelling in which hosts are compared: the guard's.
func plainHost(s string) string {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if ascii, err := idna.Lookup.ToASCII(s); err == nil {
		return ascii
	}
	return s
}
