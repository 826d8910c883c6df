package server

import (
	"context"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
)

// Limit is a token bucket. A caller may at once do Burst requests that it has saved up, and gains PerMinute of them in a
// minute.
type Limit struct {
	PerMinute int // 0 = the default; negative = no limit
	Burst     int // 0 = PerMinute
}

// Limits are the rate limits. Those of routes that need a key hold per key; those of routes without one hold per client
// address.
type Limits struct {
	Submit Limit // POST /api/generate/submit
	Status Limit // GET /api/generate/status/…, and the model list
	Upload Limit // the three uploads together
	// Those of the generations API (contract 9.2) hold for all keys of an organisation together as well.
	AssetCreate Limit // POST /api/v1/source-assets
	AssetRead   Limit // GET /api/v1/source-assets/…
	Create      Limit // POST /api/v1/generations
	Generation  Limit // GET /api/v1/generations…, and cancels
	Regenerate  Limit // POST /api/v1/generations/…/regenerate
	Usage       Limit // GET /api/v1/usage/summary
	Billing     Limit // GET /api/v1/billing/events
	SourceURL   Limit // fetches of source_url, by whichever route it was sent
	// PerAddress is how many times those of the generations API one client address may use, whichever keys it sends. 0: no
	// limit.
	PerAddress int
	// File bounds downloads and CallbackAddress inbound callbacks per client address. Behind a proxy all clients share
	// its address unless Config.TrustedProxies names it.
	File            Limit
	CallbackAddress Limit
	// CallbackToken bounds the inbound callbacks of one attempt.
	CallbackToken Limit
}

// limitClass names one of the Limits.
type limitClass string

const (
	limitNone            limitClass = ""
	limitSubmit          limitClass = "submit"
	limitStatus          limitClass = "status"
	limitUpload          limitClass = "upload"
	limitAssetCreate     limitClass = "source_assets_create"
	limitAssetRead       limitClass = "source_assets_read"
	limitCreate          limitClass = "generations_create"
	limitGeneration      limitClass = "generations_read"
	limitRegenerate      limitClass = "generations_regenerate"
	limitUsage           limitClass = "usage_summary"
	limitBilling         limitClass = "billing_events"
	limitSourceURL       limitClass = "source_url_fetches"
	limitFile            limitClass = "file"
	limitCallbackAddress limitClass = "callback_address"
	limitCallbackToken   limitClass = "callback_token"
)

// complete fills in the defaults. The submit API documents no limit, so its own only stop a caller that has run wild;
// the rest are the contracts' numbers.
func (l *Limits) complete() {
	for _, d := range []struct {
		limit     *Limit
		perMinute int
	}{
		{&l.Submit, 600_000}, {&l.Status, 600_000}, {&l.Upload, 60},
		{&l.AssetCreate, 120}, {&l.AssetRead, 1200}, {&l.Create, 120}, {&l.Generation, 1200}, {&l.Regenerate, 120},
		{&l.Usage, 120}, {&l.Billing, 120}, {&l.SourceURL, 60},
		{&l.File, 6000}, {&l.CallbackAddress, 60_000}, {&l.CallbackToken, 120},
	} {
		setDefault(&d.limit.PerMinute, d.perMinute)
		setDefault(&d.limit.Burst, d.limit.PerMinute)
	}
}

// byClass are the limits by the name of their class.
func (l *Limits) byClass() map[limitClass]Limit {
	return map[limitClass]Limit{
		limitSubmit: l.Submit, limitStatus: l.Status, limitUpload: l.Upload,
		limitAssetCreate: l.AssetCreate, limitAssetRead: l.AssetRead, limitCreate: l.Create, limitGeneration: l.Generation,
		limitRegenerate: l.Regenerate, limitUsage: l.Usage, limitBilling: l.Billing, limitSourceURL: l.SourceURL,
		limitFile: l.File, limitCallbackAddress: l.CallbackAddress, limitCallbackToken: l.CallbackToken,
	}
}

// sharedClasses are those of the generations API: beside each key an organisation's keys together have the limit, and a
// client address some times as much. They hold over all nodes that share a database.
var sharedClasses = []limitClass{
	limitAssetCreate, limitAssetRead, limitCreate, limitGeneration, limitRegenerate, limitUsage, limitBilling, limitSourceURL,
}

func (c limitClass) shared() bool { return slices.Contains(sharedClasses, c) }

// admit applies the route's rate limit, and tells the caller about it where the dialect does so.
func (s *Server) admit(ctx context.Context, x *exchange, r *http.Request) error {
	class := x.route.limit
	if class == limitNone {
		return nil
	}
	x.address = s.bucketAddress(r)
	v, err := s.take(ctx, x, class)
	if err != nil {
		return err
	}
	if v.limited && x.route.dialect == &generationsDialect {
		h := x.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(v.limit))
		h.Set("RateLimit-Remaining", strconv.Itoa(v.remaining))
		h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil(v.reset.Seconds()))))
	}
	return s.refusal(class, v)
}

// take asks for one request of a class, of all that bound it for this caller.
func (s *Server) take(ctx context.Context, x *exchange, class limitClass) (verdict, error) {
	limit := s.limits.limitOf(class, x.organisation)
	switch {
	case x.key == nil:
		return s.limits.take(ctx, class, share{x.address, limit})
	case !class.shared():
		return s.limits.take(ctx, class, share{x.key.ID, limit})
	}
	address := Limit{PerMinute: -1}
	if limit.PerMinute > 0 && s.cfg.Limits.PerAddress > 0 {
		address = Limit{PerMinute: limit.PerMinute * s.cfg.Limits.PerAddress, Burst: limit.Burst * s.cfg.Limits.PerAddress}
	}
	return s.limits.take(ctx, class, share{x.key.ID, limit}, share{x.organisation.ID, limit}, share{x.address, address})
}

// charge counts something that a request does beside what its route is counted as. It is called once the request is
// known to do so, and before anything is done about it.
func (s *Server) charge(ctx context.Context, x *exchange, class limitClass) error {
	v, err := s.take(ctx, x, class)
	if err != nil {
		return err
	}
	return s.refusal(class, v)
}

// admitFetch counts a fetch of a source_url, which has a limit of its own (contract 9.2).
func (s *Server) admitFetch(ctx context.Context, x *exchange) error {
	return s.charge(ctx, x, limitSourceURL)
}

func (s *Server) refusal(class limitClass, v verdict) error {
	if v.allowed {
		return nil
	}
	s.metrics.limited.WithLabelValues(string(class)).Inc()
	return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many requests", RetryAfter: v.wait}
}

// clientAddress is where the request comes from: the peer, or what trusted proxies say of it. It is read from the
// right, because everything left of the last trusted entry is whatever the client wrote.
func (s *Server) clientAddress(r *http.Request) string {
	return clientAddress(s.cfg.TrustedProxies, r)
}

func clientAddress(proxies []netip.Prefix, r *http.Request) string {
	address := r.RemoteAddr
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if len(proxies) == 0 || !trusted(proxies, address) {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		if address = hop; !trusted(proxies, hop) {
			break
		}
	}
	return address
}

func trusted(proxies []netip.Prefix, address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap()
	for _, p := range proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// bucketAddress is the network of the client's address.
func (s *Server) bucketAddress(r *http.Request) string { return network(s.clientAddress(r)) }

// network is an address, or its /64 where it is one of IPv6: that much belongs to one customer.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
