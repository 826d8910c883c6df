package webhook

import (
	"math"
	"time"
)

// burstFor is how much of a rate limit's allowance gathers while nothing is sent: a tenth of a
// second's, and one delivery at least. In any span of time no more than the limit's share of
// it and this are sent.
const burstFor = 100 * time.Millisecond

// rateLimit is a destination's limit on how often it is sent to, and how much of it is used up. The
// zero value is no limit.
type rateLimit struct {
	perSecond int           // the endpoint's limit; 0 = none
	interval  time.Duration // of this node's share of it
	burst     int
	// full is when the whole burst has gathered again (the theoretical arrival time of the
	// generic cell rate algorithm).
	full time.Time
}

// limitTo sets the limit, which nodes share evenly. What is used up stays used up.
func (r *rateLimit) limitTo(perSecond, nodes int) {
	if r.perSecond = perSecond; perSecond <= 0 {
		r.perSecond = 0
		return
	}
	r.interval = max(time.Second*time.Duration(nodes)/time.Duration(perSecond), 1)
	r.burst = max(1, int(burstFor/r.interval))
}

func (r *rateLimit) limited() bool { return r.perSecond > 0 }

// allows is how many may be sent now.
func (r *rateLimit) allows(now time.Time) int {
	if !r.limited() {
		return math.MaxInt32
	}
	owed := max(r.full.Sub(now), 0)
	return max(0, r.burst-int((owed+r.interval-1)/r.interval))
}

// spend notes that one is sent.
func (r *rateLimit) spend(now time.Time) {
	if !r.limited() {
		return
	}
	if r.full.Before(now) {
		r.full = now
	}
	r.full = r.full.Add(r.interval)
}

// rested is when half of the burst has gathered: taking what waits in bites costs less than
// taking it one by one.
func (r *rateLimit) rested() time.Time {
	return r.full.Add(-time.Duration(r.burst/2) * r.interval)
}
