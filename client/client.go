// Package client speaks to a Kinora server over both of its public APIs: the submit API
// (/api/generate/…, /api/common/upload/…) and the generations API (/api/v1/…).
//
// A [Client] submits work, waits for it, uploads inputs and fetches outputs. It repeats what is safe
// to repeat, and nothing else: reads, and a submit that carries an Idempotency-Key (every submit does unless it
// is told otherwise). It never sends the API key anywhere but to its base URL, follows no redirect with it, and
// shows it in no error and no printed value.
//
// Every call ends when its context does. A context without a deadline is fine for single calls, which have
// time-outs of their own; uploads, downloads and Wait last as long as they need to.
//
// Receiving webhooks is the duty of the package client/webhook. Persisting task ids and idempotency keys across
// restarts of the calling program is the caller's.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultUserAgent is sent unless WithUserAgent says otherwise.
const DefaultUserAgent = "kinora-go"

// headerTimeout is how long the default HTTP client waits for the head of an answer once the request is
// written. It is the only limit of its kind for uploads: fetching a URL may take the server 30 s, receiving a
// large file longer.
const headerTimeout = 2 * time.Minute

// Client speaks to one server with one API key. It is safe for concurrent use.
type Client struct {
	base      string // scheme, host and path prefix, without a slash at the end
	http      *http.Client
	userAgent string
	policy    RetryPolicy
	clock     Clock

	// The key lives in these two closures and in no field, so that printing a Client by any verb cannot show it.
	authorise func(http.Header)
	redact    func(string) string
}

// Option changes a default of New.
type Option func(*options)

type options struct {
	http      *http.Client
	userAgent string
	policy    RetryPolicy
	clock     Clock
}

// WithHTTPClient sets the HTTP client whose transport, cookie jar and time-out are used; its CheckRedirect is
// not. h itself is not changed. The default has its own connection pool and waits at most two minutes for the
// head of an answer. h.Timeout also limits whole uploads and each request of a download; leave it zero for
// large files.
func WithHTTPClient(h *http.Client) Option { return func(o *options) { o.http = h } }

// WithUserAgent sets the User-Agent header. Default DefaultUserAgent.
func WithUserAgent(name string) Option { return func(o *options) { o.userAgent = name } }

// WithRetryPolicy sets how often and how patiently calls are repeated. Zero fields keep their defaults.
func WithRetryPolicy(p RetryPolicy) Option { return func(o *options) { o.policy = p } }

// WithClock sets the clock that pauses between tries, and dates in Retry-After, are measured with. Time-outs of
// single requests keep real time. Default: the system's clock.
func WithClock(c Clock) Option { return func(o *options) { o.clock = c } }

// New makes a Client for the server at baseURL, for example "https://kinora.example" or, behind a path
// prefix, "https://gateway.example/kinora". apiKey is what the server issued: sk-… or kat_live_…
//
// It fails when baseURL is not an absolute http or https URL without user, query and fragment, when apiKey is
// empty or holds anything but visible ASCII, and for a bad option; no error shows the key. It sends nothing.
func New(baseURL, apiKey string, opts ...Option) (*Client, error) {
	o := options{userAgent: DefaultUserAgent}
	for _, opt := range opts {
		opt(&o)
	}
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	if !visibleASCII(apiKey) {
		return nil, errors.New("client: the API key is empty or holds more than visible ASCII (a line break from a file?)")
	}
	if !visibleASCII(strings.ReplaceAll(o.userAgent, " ", "")) {
		return nil, errors.New("client: the user agent must be printable ASCII")
	}
	policy, err := o.policy.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.clock == nil {
		o.clock = systemClock{}
	}
	return &Client{
		base: base, http: withoutRedirects(o.http), userAgent: o.userAgent, policy: policy, clock: o.clock,
		authorise: func(h http.Header) { h.Set("Authorization", "Bearer "+apiKey) },
		redact:    func(s string) string { return strings.ReplaceAll(s, apiKey, "[redacted]") },
	}, nil
}

// String tells which server the Client speaks to, and not with which key.
func (c *Client) String() string { return "client.Client(" + c.base + ")" }

// CloseIdleConnections closes connections that are kept for reuse and not in use now. The Client stays usable.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

func parseBase(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // err would repeat the text, which may hold a password
		return "", errors.New("client: the base URL is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", errors.New("client: the base URL must start with http:// or https:// and a host")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", errors.New("client: the base URL must have no user, query or fragment")
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

func visibleASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// withoutRedirects copies h so that redirects come back as answers. net/http would send the key on to a
// subdomain and from https to http, and would tell the next host a signed URL as Referer.
func withoutRedirects(h *http.Client) *http.Client {
	copied := http.Client{}
	if h != nil {
		copied = *h
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.ResponseHeaderTimeout = headerTimeout
		copied.Transport = t
	}
	if copied.Transport == nil {
		copied.Transport = http.DefaultTransport
	}
	copied.Transport = locationFilter{copied.Transport}
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &copied
}

// locationFilter takes off a Location that is no URL: net/http's error for it would quote it, signature and all.
type locationFilter struct{ next http.RoundTripper }

func (f locationFilter) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.next.RoundTrip(req)
	if err != nil || resp.StatusCode/100 != 3 {
		return resp, err
	}
	if _, bad := req.URL.Parse(resp.Header.Get("Location")); bad != nil {
		resp.Header.Del("Location")
	}
	return resp, nil
}

// CloseIdleConnections is what http.Client looks for.
func (f locationFilter) CloseIdleConnections() {
	if t, ok := f.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Clock is the time that pauses are measured with. Implementations must be safe for concurrent use.
type Clock interface {
	// Now returns the present time.
	Now() time.Time
	// Sleep returns nil after d, or ctx.Err() as soon as ctx ends. A d of zero or less returns at once.
	Sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkID refuses ids that cannot be one element of a path.
func checkID(op, id string) error {
	if id == "" || id == "." || id == ".." {
		return fmt.Errorf("client: %s: %w: the id is empty or no id", op, ErrInvalid)
	}
	return nil
}
