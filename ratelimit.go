package kinora

import "time"

// Rate bounds how often somebody may do something: saved up are at most Burst's worth of
// Step, and one is gained every Step. What is kept of it is one instant: when all of them
// are saved up again.
type Rate struct {
	Who   string        // what is counted, and for whom; one bound for each
	Step  time.Duration // in which one is gained
	Burst time.Duration // Step times how many may be saved up
}

// Take asks for one at an instant, given when all would be saved up again. It returns when
// they then are: later where one was given, the same where none is left.
func (r Rate) Take(full, now time.Time) (after time.Time, given bool) {
	if full.Before(now) {
		full = now
	}
	if after = full.Add(r.Step); after.Sub(now) > r.Burst {
		return full, false
	}
	return after, true
}

// RateState is where a Rate stands after one was asked for.
type RateState struct {
	Given bool
	Full  time.Duration // until all are saved up again
}
