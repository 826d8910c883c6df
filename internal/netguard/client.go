package netguard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrTooManyRedirects ends a fetch whose redirects went on beyond the client's limit.
var ErrTooManyRedirects = errors.New("too many redirects")

// WebhookClient returns the client for deliveries. It follows no redirect (the 3xx answer is the result), keeps no
// cookies, uses no proxy and decodes nothing. It has no time limit of its own beyond dialling and TLS: the caller's
// context holds the one deadline over connection, headers and body.
//
// All clients of one purpose share their connections. Errors of its methods quote the URL; see [Cause].
func (g *Guard) WebhookClient() *http.Client {
	return &http.Client{
		Transport:     g.RoundTripper(Webhook),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// FetchClient returns the client for URLs to read from: the same as WebhookClient, but http is allowed, and GET and
// HEAD follow up to maxRedirects redirects, each checked like a URL that a user sent, and dialled like one. Beyond the
// limit the error is [ErrTooManyRedirects]; with maxRedirects 0 or less the 3xx answer is the result. A redirected
// request carries no header of the first but Accept, Range and User-Agent, so that neither a key nor a signed URL (as
// Referer) travels on.
func (g *Guard) FetchClient(maxRedirects int) *http.Client {
	return &http.Client{
		Transport: &roundTripper{g: g, purpose: Fetch, base: g.fetch, follow: maxRedirects > 0},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if maxRedirects <= 0 || !redirectable(via[0].Method) {
				return http.ErrUseLastResponse
			}
			if len(via) > maxRedirects {
				return ErrTooManyRedirects
			}
			for name := range req.Header {
				switch name {
				case "Accept", "Range", "User-Agent":
				default:
					delete(req.Header, name)
				}
			}
			return nil
		},
	}
}

// RoundTripper returns the guarded transport of a purpose, for callers who bring their own http.Client. Each request's
// URL is checked again and sent in its normalised spelling.
func (g *Guard) RoundTripper(purpose Purpose) http.RoundTripper {
	base := g.webhook
	if purpose == Fetch {
		base = g.fetch
	}
	return &roundTripper{g: g, purpose: purpose, base: base}
}

// Cause returns the error inside a [*url.Error]. Those quote the request's URL, which may be signed or hold a token,
// and so must not reach a log or an API caller.
func Cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (g *Guard) transport(purpose Purpose) *http.Transport {
	return &http.Transport{
		// A proxy from the environment would take the dial out of the guard's hands.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return g.DialContext(ctx, purpose, network, address)
		},
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.cfg.RootCAs},
		TLSHandshakeTimeout: g.cfg.TLSTimeout,

		// No answer is ever decoded. A webhook's answer is kept for the log only, and a limit on what is read bounds
		// memory only if a kilobyte on the wire is a kilobyte read; a fetched file is wanted byte for byte.
		DisableCompression: true,

		MaxResponseHeaderBytes: g.cfg.MaxHeaderBytes,
		MaxIdleConns:           g.cfg.MaxIdle,
		MaxIdleConnsPerHost:    g.cfg.MaxIdlePerHost,
		IdleConnTimeout:        g.cfg.IdleTimeout,

		// With a DialContext of one's own, net/http speaks HTTP/2 only when told to.
		ForceAttemptHTTP2: true,
		HTTP2: &http.HTTP2Config{
			MaxDecoderHeaderTableSize: 4 << 10,
			MaxReadFrameSize:          16 << 10,
			// What a peer may send unasked stays in memory until it is read.
			MaxReceiveBufferPerStream:     receiveBuffer(purpose),
			MaxReceiveBufferPerConnection: 4 * receiveBuffer(purpose),
			// A connection that died silently is found before a delivery is lost to it.
			SendPingTimeout:  15 * time.Second,
			PingTimeout:      5 * time.Second,
			WriteByteTimeout: 15 * time.Second,
		},
	}
}

// receiveBuffer is the HTTP/2 window of one stream, in bytes: the part of an answer that arrives without being read.
func receiveBuffer(purpose Purpose) int {
	if purpose == Fetch {
		return 512 << 10
	}
	return 64 << 10
}

// roundTripper checks each request's URL before the transport sees it, and each redirect's before http.Client does.
type roundTripper struct {
	g       *Guard
	purpose Purpose
	base    *http.Transport
	follow  bool // the client in front follows redirects
}

func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, hop := startHop(req.Context())
	resp, err := t.roundTrip(req.WithContext(ctx))
	var refusal *Refusal
	if errors.As(err, &refusal) {
		hop.refused()
		return nil, refusal
	}
	return resp, err
}

// roundTrip owns req, which is a shallow copy of the caller's.
func (t *roundTripper) roundTrip(req *http.Request) (*http.Response, error) {
	u, err := t.g.checkParsed(req.URL, t.purpose)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(t.prepare(req, u))
	if err != nil {
		return nil, err
	}
	if err := t.checkLocation(resp, u); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// CloseIdleConnections lets http.Client's method of that name work.
func (t *roundTripper) CloseIdleConnections() { t.base.CloseIdleConnections() }

// prepare turns req into what is sent.
func (t *roundTripper) prepare(req *http.Request, u *url.URL) *http.Request {
	if req.Host == req.URL.Host {
		req.Host = ""
	}
	req.URL = u
	if _, set := req.Header["User-Agent"]; !set && t.g.cfg.UserAgent != "" {
		req.Header = req.Header.Clone()
		if req.Header == nil {
			req.Header = make(http.Header)
		}
		req.Header.Set("User-Agent", t.g.cfg.UserAgent)
	}
	return req
}

// checkLocation judges a redirect by its text, before http.Client reads it. Where redirects are followed, a bad one is
// refused; http.Client would quote it in its error. Where they are not, http.Client parses the header all the same and
// would turn the answer into an error, so that an unreadable one is taken out and the 3xx stays the result.
func (t *roundTripper) checkLocation(resp *http.Response, from *url.URL) error {
	location := resp.Header.Get("Location")
	if location == "" || !isRedirect(resp.StatusCode) {
		return nil
	}
	to, parseErr := from.Parse(location)
	if !t.follow || !redirectable(resp.Request.Method) {
		if parseErr != nil {
			resp.Header.Del("Location")
		}
		return nil
	}
	if err := checkText(location, t.purpose); err != nil {
		return err
	}
	if parseErr != nil {
		return refuse(CodeMalformed, "URL cannot be parsed")
	}
	_, err := t.g.checkParsed(to, t.purpose)
	return err
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func redirectable(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == ""
}

// ReadBounded reads at most limit bytes of body and closes it. It reports whether there was more. What was read before
// an error is returned with it.
//
// The limit counts what the reader yields: give it a body that nobody decompresses, as the guard's clients do, or one
// that is decompressed already, never the compressed side. A body read to its end leaves the connection fit for reuse;
// a longer one costs the sender its connection. A body that drips ends with the request's context.
func ReadBounded(body io.ReadCloser, limit int64) (data []byte, more bool, err error) {
	defer body.Close()
	limit = max(limit, 0)
	data, err = io.ReadAll(io.LimitReader(body, limit))
	if err != nil || int64(len(data)) < limit {
		return data, false, err
	}
	switch _, err = io.ReadFull(body, make([]byte, 1)); err {
	case nil:
		return data, true, nil
	case io.EOF:
		return data, false, nil
	}
	return data, false, err
}
