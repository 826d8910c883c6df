package lifecycle

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

const (
	// defaultInFlight is how many attempts may be in flight at an account that sets no limit.
	defaultInFlight = 1000
	// breakAfter is how many submits in a row may go unanswered before the account rests.
	breakAfter = 5
	// The rests double from the first to the longest; after each, one submit is let through.
	firstRest, longestRest = 2 * time.Second, time.Minute
	// readPatience is how long a poll waits in place for the account's read budget.
	readPatience = 5 * time.Second
)

// Account is an upstream account with its limits.
type Account struct {
	provider.Account
	// MaxInFlight is how many attempts may be at the upstream at once, from the submit call to
	// the upstream's end; 0 = 1,000. It holds across all nodes.
	MaxInFlight int
	// PerMinute is how many submit calls may be made in a minute; 0 = no limit. Each node
	// keeps to it on its own.
	PerMinute int
	// PerDay is how many submits the upstream may take in a day of UTC; 0 = no limit. It holds
	// across all nodes and restarts. A call that may have been taken counts.
	PerDay int
	// ReadsPerMinute is how many poll calls may be made in a minute; 0 = no limit. Each node
	// keeps to it on its own.
	ReadsPerMinute int
	// Weight is the account's share among those with room; 0 counts as 1.
	Weight int
	// Retired keeps new work away for good; what was submitted is followed to its end.
	Retired bool
	// Indifferent keeps refusals and silence from resting or parking the account: for the
	// built-in sandbox, where any caller may ask for them and others must not wait for it.
	Indifferent bool
}

// account is an Account and what this node has learnt about its health.
type account struct {
	Account
	submits *rate.Limiter // nil = no limit
	reads   *rate.Limiter // nil = no limit
	trust   callbackTrust
	scale   float64                   // of every rest; 1 outside tests
	dayOf   func(time.Time) time.Time // as Config.DayOf

	mu          sync.Mutex
	parkedUntil time.Time            // the upstream is too busy for us
	barredModel map[string]time.Time // it refuses the account, by upstream model; "" = for all of them
	spentOn     time.Time            // the day that was found to be used up
	doubtful    bool                 // it refused the account as a whole, and has taken nothing since
	readsAfter  time.Time            // it is too busy for polls
	breakers    [2]breaker           // of short calls, and of those that last as long as the generation
	lastClass   provider.Class
	lastCode    string
	lastAt      time.Time
}

// breaker keeps submits from an upstream that gives no usable answers. Short and long calls
// have one each: a long one is a bad probe for short ones.
type breaker struct {
	unanswered int       // submits in a row
	restUntil  time.Time // what is made of them
	probing    bool      // after the rest: one submit is out
}

func (b *breaker) resting(now time.Time) bool {
	return now.Before(b.restUntil) || b.unanswered >= breakAfter
}

func (a *account) breaker(synchronous bool) *breaker {
	if synchronous {
		return &a.breakers[1]
	}
	return &a.breakers[0]
}

func newAccount(a Account, scale float64, dayOf func(time.Time) time.Time) *account {
	if a.MaxInFlight <= 0 {
		a.MaxInFlight = defaultInFlight
	}
	if a.Weight <= 0 {
		a.Weight = 1
	}
	return &account{Account: a, scale: scale, dayOf: dayOf, submits: perMinute(a.PerMinute), reads: perMinute(a.ReadsPerMinute)}
}

// perMinute allows a tenth of a minute's calls at once; nil = no limit.
func perMinute(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(float64(n)/60), max(1, n/10))
}

// park keeps new work away from the account for a while.
func (a *account) park(now time.Time, d time.Duration) {
	if a.Indifferent {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if until := now.Add(d); until.After(a.parkedUntil) {
		a.parkedUntil = until
	}
}

// bar keeps work of an upstream model away from the account for a while, because it is
// refused (money, key, permission), which more waiting does not mend; "" = of all models.
// After that one submit is let through at a time until one is taken, so that a refusal that
// stands costs one generation and not a queue of them. It reports whether the account was
// barred so already, by a refusal that came a moment before.
func (a *account) bar(now time.Time, d time.Duration, upstreamModel string) (already bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	already = now.Before(a.barredModel[upstreamModel])
	if a.barredModel == nil {
		a.barredModel = map[string]time.Time{}
	}
	if until := now.Add(d); until.After(a.barredModel[upstreamModel]) {
		a.barredModel[upstreamModel] = until
	}
	a.doubtful = a.doubtful || upstreamModel == ""
	return already
}

// barred tells whether the account is refused at present, as a whole or for a model, or takes
// no work at all.
func (a *account) barred(now time.Time, upstreamModel string) bool {
	if a.Retired {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.barredModel[""]) || now.Before(a.barredModel[upstreamModel])
}

// usable tells whether the account may take work of a model that has to end by a deadline: it
// is not refused, and its day is not used up.
func (a *account) usable(now time.Time, upstreamModel string, deadline time.Time) bool {
	if a.barred(now, upstreamModel) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	day := a.dayOf(now)
	return !a.spentOn.Equal(day) || day.Add(24*time.Hour).Before(deadline)
}

// noteSpent remembers whether the day that is now is used up, as the database has it.
func (a *account) noteSpent(now time.Time, spent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spentOn = time.Time{}
	if spent {
		a.spentOn = a.dayOf(now)
	}
}

// barredUntil is when the account takes work of a model again, apart from its other rests.
func (a *account) barredUntil(upstreamModel string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.barredModel[upstreamModel]
}

// room is how many submits may begin now as far as this node's knowledge goes.
func (a *account) room(now time.Time, synchronous bool) int {
	if a.Retired {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n, b := a.MaxInFlight, a.breaker(synchronous)
	switch {
	case now.Before(a.parkedUntil), now.Before(a.barredModel[""]), now.Before(b.restUntil), b.probing:
		return 0
	case b.unanswered >= breakAfter, a.doubtful:
		n = 1
	}
	if a.submits != nil {
		n = min(n, int(a.submits.TokensAt(now)))
	}
	return max(n, 0)
}

// begun notes that n submits were claimed.
func (a *account) begun(now time.Time, n int, synchronous bool) {
	if a.submits != nil {
		a.submits.ReserveN(now, n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.breaker(synchronous)
	b.probing = b.unanswered >= breakAfter || a.doubtful
}

// withdrawn notes that a claimed submit has ended, made or not.
func (a *account) withdrawn(synchronous bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.breaker(synchronous).probing = false
}

// answered notes the outcome of a submit; nil = accepted. An upstream that refuses is
// alive; one that gives no usable answer several times in a row is left alone for a while,
// and then tried with one submit at a time until it answers.
func (a *account) answered(now time.Time, pe *provider.Error, synchronous bool) (rest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.breaker(synchronous)
	b.probing = false
	if pe != nil {
		a.lastClass, a.lastCode, a.lastAt = pe.Class, pe.Code, now
	}
	switch class := classOf(pe); class {
	case provider.Unavailable, provider.OutcomeUnknown:
	case provider.Balance, provider.Credential, provider.Permission, provider.Rate:
		b.unanswered, b.restUntil = 0, time.Time{}
		return 0
	default:
		// Taken, or refused for what it asks: the account itself is welcome.
		b.unanswered, b.restUntil, a.doubtful = 0, time.Time{}, false
		return 0
	}
	if a.Indifferent {
		return 0
	}
	b.unanswered++
	if b.unanswered < breakAfter || now.Before(b.restUntil) {
		return 0 // one of those that were under way when the rest began
	}
	rest = longestRest
	if doublings := b.unanswered - breakAfter; doublings < 6 {
		rest = min(firstRest<<doublings, longestRest)
	}
	rest = jitter(time.Duration(float64(rest) * a.scale))
	b.restUntil = now.Add(rest)
	return rest
}

func classOf(pe *provider.Error) provider.Class {
	if pe == nil {
		return ""
	}
	return pe.Class
}

// restReads keeps polls away for a while.
func (a *account) restReads(now time.Time, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if until := now.Add(d); until.After(a.readsAfter) {
		a.readsAfter = until
	}
}

// mayRead waits for the account's read budget, a short while at most. Otherwise it returns
// how long the poll has to wait elsewhere.
func (a *account) mayRead(ctx context.Context, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	wait = a.readsAfter.Sub(now)
	a.mu.Unlock()
	if wait > 0 {
		return wait
	}
	if a.reads == nil {
		return 0
	}
	turn := a.reads.ReserveN(now, 1)
	wait = turn.DelayFrom(now)
	if wait > readPatience {
		turn.CancelAt(now)
		return wait
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case <-ctx.Done():
		return time.Second
	}
}

// dayOfUTC names the day of UTC in which t lies, as its beginning.
func dayOfUTC(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// state is what keeps new work away from the account, and until when; zero = not known.
func (a *account) state(now time.Time, inFlight, today int) (kinora.AccountState, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.Retired:
		return kinora.AccountRetired, time.Time{}
	case now.Before(a.barredModel[""]), a.doubtful:
		return kinora.AccountRefused, a.barredModel[""]
	case a.breakers[0].resting(now):
		return kinora.AccountResting, a.breakers[0].restUntil
	case a.breakers[1].resting(now):
		return kinora.AccountResting, a.breakers[1].restUntil
	case a.PerDay > 0 && today >= a.PerDay:
		return kinora.AccountSpent, a.dayOf(now).Add(24 * time.Hour)
	case now.Before(a.parkedUntil):
		return kinora.AccountBusy, a.parkedUntil
	case inFlight >= a.MaxInFlight:
		return kinora.AccountFull, time.Time{}
	}
	return kinora.AccountReady, time.Time{}
}

// AccountHealth lists the configured accounts, by name, as this node sees them.
func (e *Engine) AccountHealth(ctx context.Context) ([]kinora.AccountHealth, error) {
	now := time.Now()
	var inFlight, today map[string]int
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		if inFlight, err = tx.InFlightByAccount(); err != nil {
			return err
		}
		today, err = tx.SubmitsOfDay(e.cfg.DayOf(now))
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]kinora.AccountHealth, 0, len(e.accounts))
	for _, a := range e.accountsByName() {
		h := kinora.AccountHealth{
			Name: a.Name, Provider: a.Provider, InFlight: inFlight[a.Name], MaxInFlight: a.MaxInFlight,
			Today: today[a.Name], PerDay: a.PerDay,
		}
		h.State, h.Until = a.state(now, h.InFlight, h.Today)
		a.mu.Lock()
		h.LastClass, h.LastCode, h.LastAt = string(a.lastClass), a.lastCode, a.lastAt
		a.mu.Unlock()
		list = append(list, h)
	}
	return list, nil
}

func (e *Engine) observeAccounts(ctx context.Context) error {
	list, err := e.AccountHealth(ctx)
	e.metrics.accounts(list)
	return err
}

// jitter spreads a wait by ±20 %.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
