// Package simulator holds what the simulated upstreams share: a clock that tests
// can move, a loopback listener, a schedule for things that happen later, a
// sender of callbacks, faults that can be switched on, and a journal of what was
// accepted.
//
// A simulated upstream is a real HTTP server that behaves as its vendor's
// documents say, so that everything around it (the lifecycle, the benchmark, a
// newcomer's first run) works against the same thing. What one upstream's
// protocol looks like is the duty of its own folder below this one; nothing here
// knows a vendor.
package simulator

import (
	"context"
	"sync"
	"time"
)

// Clock is the time that a simulated upstream lives in.
type Clock interface {
	Now() time.Time
	// Timer returns a channel that gets one value when the clock shows at, or at
	// once if it does already. stop gives up the timer; it may be called at any
	// time, and twice. The time is absolute because a clock that is moved by hand
	// may move between the reckoning of a duration and the start of a timer.
	Timer(at time.Time) (fired <-chan time.Time, stop func())
}

// SystemClock is the machine's time.
type SystemClock struct{}

func (SystemClock) Now() time.Time { return time.Now() }

func (SystemClock) Timer(at time.Time) (<-chan time.Time, func()) {
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}

// ManualClock stands still until it is told to move: an hour's generation takes a
// test no time. Its zero value is not usable.
type ManualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*manualTimer]struct{}
}

type manualTimer struct {
	at    time.Time
	fired chan time.Time
}

// NewManualClock returns a clock that shows start.
func NewManualClock(start time.Time) *ManualClock {
	return &ManualClock{now: start, timers: map[*manualTimer]struct{}{}}
}

func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ManualClock) Timer(at time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{at: at, fired: make(chan time.Time, 1)}
	if !at.After(c.now) {
		t.fired <- c.now
		return t.fired, func() {}
	}
	c.timers[t] = struct{}{}
	return t.fired, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

// Advance moves the clock forward and fires the timers that became due. What they
// set off happens in other goroutines, which may still be at it on return.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.at.After(c.now) {
			t.fired <- c.now
			delete(c.timers, t)
		}
	}
}

// Waiting returns how many timers wait for the clock to move: a test that wants to
// know whether something holds asks for it.
func (c *ManualClock) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// Hold waits for d of the clock's time, or until ctx ends, whose error it returns.
func Hold(ctx context.Context, clock Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	fired, stop := clock.Timer(clock.Now().Add(d))
	defer stop()
	select {
	case <-fired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
