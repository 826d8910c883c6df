package lifecycle

import (
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/provider"
)

// defaultInFlight is how many attempts may be in flight at an account that sets no limit.
const defaultInFlight = 1000

// Account is an upstream account with its limits.
type Account struct {
	provider.Account
	// MaxInFlight is how many attempts may be at the upstream at once, from the submit call to
	// the upstream's end; 0 = 1,000. It holds across all nodes.
	MaxInFlight int
	// PerMinute is how many submit calls may be made in a minute; 0 = no limit. Each node
	// keeps to it on its own.
	PerMinute int
	// Weight is the account's share among those with room; 0 counts as 1.
	Weight int
	// Retired keeps new work away for good; what was submitted is followed to its end.
	Retired bool
}

// account is an Account and what this node has learnt about its health.
type account struct {
	Account
	limiter *rate.Limiter // nil = no limit

	mu           sync.Mutex
	parkedUntil  time.Time
	refusedUntil time.Time
}

func newAccount(a Account) *account {
	if a.MaxInFlight <= 0 {
		a.MaxInFlight = defaultInFlight
	}
	if a.Weight <= 0 {
		a.Weight = 1
	}
	acc := &account{Account: a}
	if a.PerMinute > 0 {
		acc.limiter = rate.NewLimiter(rate.Limit(float64(a.PerMinute)/60), max(1, a.PerMinute/10))
	}
	return acc
}

// park keeps new work away from the account for a while. refused says that the account
// itself was refused (money, key, permission), which more waiting does not mend.
func (a *account) park(now time.Time, d time.Duration, refused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := now.Add(d)
	if until.After(a.parkedUntil) {
		a.parkedUntil = until
	}
	if refused && until.After(a.refusedUntil) {
		a.refusedUntil = until
	}
}

// refused tells whether the account itself is refused at present, or takes no work at all.
func (a *account) refused(now time.Time) bool {
	if a.Retired {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.refusedUntil)
}

// parked tells whether the account takes no new work at present.
func (a *account) parked(now time.Time) bool {
	if a.Retired {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.parkedUntil)
}

// jitterUnit is a random number in [-1, 1).
func jitterUnit() float64 { return 2*rand.Float64() - 1 }

// jitter spreads a wait by ±20 %.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
