package simulator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// CallbackTries is how often a callback is sent before it is given up, if it does not say.
const CallbackTries = 3

// callbackTimeout ends one try against a receiver that hangs. Ark allows five
// seconds by its documentation; the others do not say.
const callbackTimeout = 5 * time.Second

// Callback is one message to a receiver.
type Callback struct {
	URL string
	// Body is asked for at each try, with that moment; it must not block.
	Body func(now time.Time) []byte
	// Sign adds what proves the sender, once the body is known; nil = unsigned.
	Sign func(h http.Header, now time.Time, body []byte)
	// Tried is told of each try's end; nil = nobody. status is 0 without an answer.
	Tried func(status int)
	// Tries is how often it is sent before it is given up; 0 = CallbackTries.
	Tries int
}

// Callbacks sends callbacks, each as often as it says until one try is answered with
// 2xx.
type Callbacks struct {
	schedule *Schedule
	clock    Clock
	client   *http.Client
	pause    time.Duration

	sent, delivered, lost atomic.Int64
}

// CallbackCounts is what became of callbacks so far.
type CallbackCounts struct {
	Sent      int64 `json:"sent"`      // tries
	Delivered int64 `json:"delivered"` // callbacks answered with 2xx
	Lost      int64 `json:"lost"`      // callbacks given up
}

// NewCallbacks returns a sender that uses schedule and client, with pause between
// the first and the second try of one callback, and twice that before the third.
func NewCallbacks(schedule *Schedule, clock Clock, client *http.Client, pause time.Duration) *Callbacks {
	return &Callbacks{schedule: schedule, clock: clock, client: client, pause: pause}
}

// Counts returns what became of callbacks so far.
func (c *Callbacks) Counts() CallbackCounts {
	return CallbackCounts{Sent: c.sent.Load(), Delivered: c.delivered.Load(), Lost: c.lost.Load()}
}

// SendAt sends a callback at t, and again after failures.
func (c *Callbacks) SendAt(t time.Time, cb Callback) {
	if cb.Tries == 0 {
		cb.Tries = CallbackTries
	}
	c.sendAt(t, cb, 1)
}

func (c *Callbacks) sendAt(t time.Time, cb Callback, try int) {
	c.schedule.At(t, func(ctx context.Context) {
		switch {
		case c.Try(ctx, cb):
			c.delivered.Add(1)
		case try >= cb.Tries:
			c.lost.Add(1)
		default:
			c.sendAt(c.clock.Now().Add(c.pause*time.Duration(try)), cb, try+1)
		}
	})
}

// Try sends a callback once, now, and says whether it was answered with 2xx.
func (c *Callbacks) Try(ctx context.Context, cb Callback) (ok bool) {
	status := 0
	defer func() {
		c.sent.Add(1)
		if cb.Tried != nil {
			cb.Tried(status)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	now := c.clock.Now()
	body := cb.Body(now)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cb.URL, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if cb.Sign != nil {
		cb.Sign(req.Header, now, body)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	// An answer that is read to its end lets the connection be used again.
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	status = res.StatusCode
	return status >= 200 && status < 300
}
