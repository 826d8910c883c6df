package server

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// SharedRates counts for all nodes that share a database.
type SharedRates interface {
	// TakeRates asks for one of each rate: of all of them or, where one gives none, of none. The states are in the order
	// of the rates. Errors: kinora.ErrUnavailable.
	TakeRates(ctx context.Context, rates []kinora.Rate) ([]kinora.RateState, error)
}

// maxBuckets bounds the memory of each class, at about 200 bytes a bucket. The bucket that was longest idle goes first; if
// it comes back it is full again, which by then it mostly was.
const maxBuckets = 8192

// limiter counts requests. Each class has buckets of its own, so that whoever makes up callers in one class throws away
// no bucket of another.
type limiter struct {
	now     func() time.Time
	limits  map[limitClass]Limit
	buckets map[limitClass]*buckets
	shared  SharedRates // nil: this node is the only one
}

func newLimiter(l Limits, shared SharedRates, now func() time.Time) *limiter {
	limiter := &limiter{now: now, limits: l.byClass(), buckets: make(map[limitClass]*buckets), shared: shared}
	for class := range limiter.limits {
		limiter.buckets[class] = &buckets{byName: make(map[string]*list.Element), recent: list.New()}
	}
	return limiter
}

// limitOf is the limit of a class for an organisation, which may have a number of its own.
func (l *limiter) limitOf(class limitClass, o *kinora.Organisation) Limit {
	if o != nil {
		if own, has := o.Allowance.Limits[string(class)]; has {
			if own <= 0 {
				return Limit{PerMinute: -1}
			}
			return Limit{PerMinute: own, Burst: own}
		}
	}
	return l.limits[class]
}

// share is somebody's limit within a class.
type share struct {
	who   string
	limit Limit
}

func (s share) rate(class limitClass) kinora.Rate {
	step := time.Minute / time.Duration(s.limit.PerMinute)
	return kinora.Rate{Who: string(class) + " " + s.who, Step: step, Burst: step * time.Duration(s.limit.Burst)}
}

// verdict is what a limit said: of several, the one that refuses for the longest or, where all give, leaves the least.
type verdict struct {
	limited   bool // there is a limit at all
	allowed   bool
	limit     int           // PerMinute
	remaining int           // whole requests left
	reset     time.Duration // until all requests are saved up again
	wait      time.Duration // until the next request, when not allowed
}

// take asks for one request of each of the shares of a class, of all or of none.
func (l *limiter) take(ctx context.Context, class limitClass, shares ...share) (verdict, error) {
	var (
		rates  []kinora.Rate
		limits []int
	)
	for _, s := range shares {
		if s.limit.PerMinute > 0 {
			rates, limits = append(rates, s.rate(class)), append(limits, s.limit.PerMinute)
		}
	}
	if len(rates) == 0 {
		return verdict{allowed: true}, nil
	}
	states, err := l.ask(ctx, class, rates)
	if err != nil {
		return verdict{}, err
	}
	var worst verdict
	for i, state := range states {
		v := verdict{limited: true, allowed: state.Given, limit: limits[i], reset: state.Full, remaining: int((rates[i].Burst - state.Full) / rates[i].Step)}
		if !v.allowed {
			v.remaining, v.wait = 0, max(time.Millisecond, state.Full+rates[i].Step-rates[i].Burst)
		}
		v.remaining = max(0, v.remaining)
		if i == 0 || worse(v, worst) {
			worst = v
		}
	}
	return worst, nil
}

func worse(v, than verdict) bool {
	switch {
	case v.allowed != than.allowed:
		return than.allowed
	case !v.allowed:
		return v.wait > than.wait
	}
	return v.remaining < than.remaining
}

// ask counts here or, for the classes whose numbers hold over all nodes, in the database. Of those this node remembers
// where they stood last: a caller who has none left costs the database one look for each that is gained.
func (l *limiter) ask(ctx context.Context, class limitClass, rates []kinora.Rate) ([]kinora.RateState, error) {
	b := l.buckets[class]
	if l.shared == nil || !class.shared() {
		return b.take(l.now(), rates, true), nil
	}
	known := b.take(l.now(), rates, false)
	for _, state := range known {
		if !state.Given {
			return known, nil
		}
	}
	states, err := l.shared.TakeRates(ctx, rates)
	if err == nil {
		b.learn(l.now(), rates, states)
	}
	return states, err
}

// buckets say when each of the rates of one class is full again.
type buckets struct {
	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List // of *bucket, most recently used first
}

type bucket struct {
	who  string
	full time.Time
}

func (b *buckets) of(who string) *bucket {
	if e, ok := b.byName[who]; ok {
		b.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if b.recent.Len() >= maxBuckets {
		delete(b.byName, b.recent.Remove(b.recent.Back()).(*bucket).who)
	}
	fresh := &bucket{who: who}
	b.byName[who] = b.recent.PushFront(fresh)
	return fresh
}

// take asks for one of each rate, of all or of none, and keeps what was taken only where keep says so.
func (b *buckets) take(now time.Time, rates []kinora.Rate, keep bool) []kinora.RateState {
	b.mu.Lock()
	defer b.mu.Unlock()
	states, after := make([]kinora.RateState, len(rates)), make([]time.Time, len(rates))
	for i, r := range rates {
		after[i], states[i].Given = r.Take(b.of(r.Who).full, now)
		keep = keep && states[i].Given
	}
	for i, r := range rates {
		full := b.of(r.Who)
		if keep {
			full.full = after[i]
		}
		states[i].Full = max(0, full.full.Sub(now))
	}
	return states
}

// learn notes where the rates stand in the database.
func (b *buckets) learn(now time.Time, rates []kinora.Rate, states []kinora.RateState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range rates {
		full := b.of(r.Who)
		if at := now.Add(states[i].Full); at.After(full.full) {
			full.full = at
		}
	}
}
