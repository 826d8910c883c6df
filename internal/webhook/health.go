package webhook

import "time"

// breaker is whether a destination is asked at all.
type breaker int

const (
	closed   breaker = iota // asked, up to its limit
	open                    // left alone until reopen
	halfOpen                // one probe at a time
)

// health is what a node has learnt about a destination: how many POSTs at once it gets, and
// whether it gets any.
//
// sony/gobreaker was looked at and does not fit: what waits for a destination lies in the
// database and has to be woken when the breaker half-opens, so the instant must be known;
// pauses grow while probes fail; and a destination that comes back starts with one POST at
// a time. It has none of the three.
type health struct {
	limit   int  // POSTs at once while closed
	proven  bool // has answered with a 2xx
	sickRun int  // consecutive sick signals
	latency time.Duration
	breaker breaker
	reopen  time.Time     // when an open breaker half-opens
	pause   time.Duration // length of the last opening; 0 = healthy since
}

// width is how many POSTs may be under way at once.
func (h *health) width() int {
	switch h.breaker {
	case open:
		return 0
	case halfOpen:
		return 1
	}
	return h.limit
}

// backWidth is how much of width retries and deliveries from waiting may use: a quarter is
// kept for first attempts, where there is more than a little.
func (h *health) backWidth() int {
	w := h.width()
	if w < 4 {
		return w
	}
	return w - w/4
}

// slow says that a destination is not known to answer soon.
func (h *health) slow(after time.Duration) bool {
	return !h.proven || h.sickRun > 0 || h.breaker != closed || h.latency > after
}

// observe learns from an attempt that took that long.
func (h *health) observe(s signal, took time.Duration, now time.Time, l *Limits, random float64) {
	switch s {
	case signalGood:
		h.answered(took)
		h.proven = true
		if h.breaker != closed {
			h.recover()
		} else {
			h.limit = min(h.limit+1, l.PerDestination)
		}
	case signalAlive:
		h.answered(took)
		switch {
		case h.breaker != closed:
			h.recover()
		case h.limit < l.Unproven:
			h.limit++
		case h.limit > l.Unproven:
			h.limit--
		}
	case signalSick:
		h.sickRun++
		h.limit = max(1, h.limit/2)
		if h.breaker == halfOpen || h.breaker == closed && h.sickRun >= l.OpenAfter {
			h.pause = min(max(2*h.pause, l.Pause), l.MaxPause)
			h.breaker = open
			h.reopen = now.Add(h.pause + time.Duration(float64(h.pause)*0.1*(2*random-1)))
		}
	case signalNone:
	}
}

// recover closes the breaker with room for one: each 2xx then adds one more, so that what
// has piled up does not fall upon a receiver that has just come back.
func (h *health) recover() { h.breaker, h.limit, h.pause = closed, 1, 0 }

func (h *health) answered(took time.Duration) {
	h.sickRun = 0
	if h.latency == 0 {
		h.latency = took
		return
	}
	h.latency += (took - h.latency) / 8
}

// wake half-opens an open breaker whose time has come.
func (h *health) wake(now time.Time) {
	if h.breaker == open && !now.Before(h.reopen) {
		h.breaker = halfOpen
	}
}
