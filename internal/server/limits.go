package server

import (
	"container/list"
	"context"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

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

// maxBuckets bounds the memory of each class, at about 300 bytes a bucket. The bucket that was longest idle goes first; if
// it comes back it is full again, which by then it mostly was.
const maxBuckets = 8192

// limiter holds the token buckets. Each class has its own, so that whoever makes up callers in one class throws away no
// bucket of another.
type limiter struct {
	now     func() time.Time
	classes map[limitClass]*buckets
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	limiter := &limiter{now: now, classes: make(map[limitClass]*buckets)}
	for class, limit := range map[limitClass]Limit{
		limitSubmit: l.Submit, limitStatus: l.Status, limitUpload: l.Upload,
		limitAssetCreate: l.AssetCreate, limitAssetRead: l.AssetRead, limitCreate: l.Create, limitGeneration: l.Generation,
		limitRegenerate: l.Regenerate, limitUsage: l.Usage, limitBilling: l.Billing, limitSourceURL: l.SourceURL,
		limitFile: l.File, limitCallbackAddress: l.CallbackAddress, limitCallbackToken: l.CallbackToken,
	} {
		limiter.classes[class] = &buckets{limit: limit, byName: make(map[string]*list.Element), recent: list.New()}
	}
	return limiter
}

// buckets are the token buckets of one class.
type buckets struct {
	limit Limit

	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List // of *bucket, most recently used first
}

type bucket struct {
	who   string
	limit *rate.Limiter
}

func (b *buckets) of(who string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byName[who]; ok {
		b.recent.MoveToFront(e)
		return e.Value.(*bucket).limit
	}
	if b.recent.Len() >= maxBuckets {
		delete(b.byName, b.recent.Remove(b.recent.Back()).(*bucket).who)
	}
	fresh := &bucket{who: who, limit: rate.NewLimiter(rate.Limit(float64(b.limit.PerMinute)/60), b.limit.Burst)}
	b.byName[who] = b.recent.PushFront(fresh)
	return fresh.limit
}

// verdict is what a bucket said.
type verdict struct {
	limited   bool // there is a limit at all
	allowed   bool
	limit     int           // PerMinute
	remaining int           // whole requests left
	reset     time.Duration // until the bucket is full again
	wait      time.Duration // until the next request, when not allowed
}

// take asks for one request of who.
func (l *limiter) take(class limitClass, who string) verdict {
	table := l.classes[class]
	limit := table.limit
	if limit.PerMinute <= 0 {
		return verdict{allowed: true}
	}
	b, now := table.of(who), l.now()
	v := verdict{limited: true, allowed: b.AllowN(now, 1), limit: limit.PerMinute}
	tokens, perSecond := b.TokensAt(now), float64(b.Limit())
	v.remaining = max(0, int(math.Floor(tokens)))
	v.reset = seconds((float64(limit.Burst) - tokens) / perSecond)
	if !v.allowed {
		v.remaining = 0
		v.wait = seconds((1 - tokens) / perSecond)
	}
	return v
}

func seconds(s float64) time.Duration { return time.Duration(max(0, s) * float64(time.Second)) }

// admit applies the route's rate limit, and tells the caller about it where the dialect does so.
func (s *Server) admit(x *exchange, r *http.Request) error {
	class := x.route.limit
	if class == limitNone {
		return nil
	}
	if x.key == nil {
		return s.refusal(s.limits.take(class, s.bucketAddress(r)))
	}
	v := s.take(x, class)
	if v.limited && x.route.dialect == &generationsDialect {
		h := x.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(v.limit))
		h.Set("RateLimit-Remaining", strconv.Itoa(v.remaining))
		h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil(v.reset.Seconds()))))
	}
	return s.refusal(v)
}

// take asks for one request of a class, of all that bound it for this caller.
func (s *Server) take(x *exchange, class limitClass) verdict {
	v := s.limits.take(class, x.key.ID)
	if v.allowed && class.shared() {
		if o := s.limits.take(class, x.organisation.ID); !o.allowed || o.remaining < v.remaining {
			v = o
		}
	}
	return v
}

// admitFetch counts a fetch of a source_url, which has a limit of its own beside that of the route that it was sent to
// (contract 9.2). It is called once the request is known to name one, and before anything is done about it.
func (s *Server) admitFetch(_ context.Context, x *exchange) error {
	return s.refusal(s.take(x, limitSourceURL))
}

// shared tells whether an organisation's keys share the limit beside each having it.
func (c limitClass) shared() bool {
	switch c {
	case limitAssetCreate, limitAssetRead, limitCreate, limitGeneration, limitRegenerate, limitUsage, limitBilling, limitSourceURL:
		return true
	}
	return false
}

func (s *Server) refusal(v verdict) error {
	if v.allowed {
		return nil
	}
	return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many requests", RetryAfter: v.wait}
}

// clientAddress is where the request comes from: the peer, or what trusted proxies say of it. It is read from the
// right, because everything left of the last trusted entry is whatever the client wrote.
func (s *Server) clientAddress(r *http.Request) string {
	address := r.RemoteAddr
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if len(s.cfg.TrustedProxies) == 0 || !s.trusted(address) {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		if address = hop; !s.trusted(hop) {
			break
		}
	}
	return address
}

func (s *Server) trusted(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap()
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// bucketAddress is the client's address, or its /64 where it is an IPv6 address: that much belongs to one customer.
func (s *Server) bucketAddress(r *http.Request) string {
	address := s.clientAddress(r)
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
