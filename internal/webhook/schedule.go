package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// leastWait429 is how long a receiver that says "too many requests" and nothing more is
// left alone (generations API contract, 10.4).
const leastWait429 = time.Minute

// Schedule says when a failed delivery is tried again.
type Schedule struct {
	// Steps are the waits after the first, second, … failed attempt. One more attempt than
	// there are steps is made in all. Empty = no retry.
	Steps []time.Duration
	// Jitter spreads each wait by up to this share of it, either way: 0.1 = ± 10 %. A wait
	// that the receiver asked for is only ever lengthened.
	Jitter float64
}

// DefaultSchedule is the schedule of the generations API contract, 10.4: ten attempts over
// about 75 hours.
func DefaultSchedule() Schedule {
	return Schedule{
		Steps: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		Jitter: 0.1,
	}
}

// wait returns how long to wait after failed attempt number n (1-based), or false when that
// was the last one. status is the answer's, 0 = none; asked is its Retry-After, 0 = none.
// random is in [0, 1).
//
// Retry-After lengthens a wait and never shortens it: a receiver that always says "in a
// second" would use up all attempts at once. It is believed up to the length of the step
// that comes after this one.
func (s Schedule) wait(n, status int, asked time.Duration, random float64) (time.Duration, bool) {
	if n < 1 || n > len(s.Steps) {
		return 0, false
	}
	step := s.Steps[n-1]
	w := step + time.Duration(float64(step)*s.Jitter*(2*random-1))

	longest := s.Steps[min(n, len(s.Steps)-1)]
	var least time.Duration
	switch status {
	case http.StatusTooManyRequests:
		least = min(asked, max(longest, step))
		if asked <= 0 {
			least = leastWait429
		}
	case http.StatusServiceUnavailable:
		least = min(asked, max(longest, step))
	}
	if least > 0 {
		w = max(w, least+time.Duration(float64(least)*s.Jitter*random))
	}
	return w, true
}

// maxRetryAfter keeps a number of seconds far from overflow; every schedule is shorter.
const maxRetryAfter = 365 * 24 * time.Hour

// parseRetryAfter reads a Retry-After header: seconds, or a date (RFC 9110, 10.2.3). 0 = not
// there, not readable, or in the past.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		if seconds > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
