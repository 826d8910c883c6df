package vidu

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// submit is POST /ent/v2/{route}.
func (s *Simulator) submit(w http.ResponseWriter, r *http.Request, a *account, word string) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return problem("BadRequest", "bad request")
	}
	s.count(func(c *counts) { c.submits++ })
	now := s.clock.Now()
	if a.limit != nil && !a.limit.AllowN(now, 1) {
		return problem("TooManyRequests", "too many requests")
	}
	b, f := readSubmission(raw, word)
	if f != nil {
		return f
	}
	texts := []string{b.Prompt}
	for _, piece := range b.ImageSettings {
		texts = append(texts, piece.Prompt)
	}
	o, f := readOrders(r.Header, texts...)
	if f != nil {
		return f
	}
	if o.drop == "before" {
		simulator.Abort()
	}
	if s.refuses(&b, o) {
		return problem(o.fail, "as ordered")
	}
	t, f := s.accept(&task{submission: b, route: word, account: a, host: s.host(r), orders: o}, now)
	if f != nil {
		return f
	}
	if o.callback == "early" && b.CallbackURL != "" {
		s.callbacks.Try(r.Context(), s.callback(t, s.lockedBody(t, processing), a.Key))
	}
	if simulator.Hold(r.Context(), s.clock, o.late) != nil || o.drop == "after" {
		simulator.Abort()
	}
	if o.drop == "error" {
		return problem("InternalServiceFailure", "internal service failure")
	}
	writeJSON(w, http.StatusOK, t.answer())
	return nil
}

// refuses says whether a submit gets the error that it orders, this time.
func (s *Simulator) refuses(b *submission, o orders) bool {
	if o.fail == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[b.Payload]++
	return o.times == 0 || s.refused[b.Payload] <= o.times
}

// accept makes the task, unless the account cannot pay for it or has too many.
func (s *Simulator) accept(t *task, now time.Time) (*task, *failure) {
	now = now.Truncate(time.Millisecond) // as answers show it
	s.fill(t, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	a := t.account
	switch {
	case a.Credits > 0 && a.credits+t.cost > a.Credits:
		return nil, problem("CreditInsufficient", "insufficient credits")
	case a.Waiting > 0 && a.running+s.unstarted(a) >= a.Concurrent+a.Waiting:
		return nil, problem("QuotaExceeded", "quota exceeded")
	}
	a.credits += t.cost
	s.forget(now)
	s.tasks[t.id] = t
	s.order = append(s.order, t)
	if t.OffPeak {
		s.plan(t.created.Add(offPeakLife), t, givesUp)
	}
	if !t.OffPeak || !t.orders.never {
		s.plan(t.ready, t, becomesReady)
	}
	return t, nil
}

// forget drops the tasks that ended and that no list shows any more. The lock is held.
func (s *Simulator) forget(now time.Time) {
	for len(s.order) > 0 && !s.order[0].ended.IsZero() && now.Sub(s.order[0].created) > listedLife {
		delete(s.tasks, s.order[0].id)
		s.order[0] = nil
		s.order = s.order[1:]
	}
}

// unstarted counts an account's tasks that have neither begun nor ended.
func (s *Simulator) unstarted(a *account) (n int) {
	for i := len(s.order) - 1; i >= 0; i-- {
		if t := s.order[i]; t.account == a && t.started.IsZero() && t.ended.IsZero() {
			n++
		}
	}
	return n
}

// fill gives a task its id, its times and what the caller left out.
func (s *Simulator) fill(t *task, now time.Time) {
	t.id, t.created = newID(), now
	total := s.cfg.VideoTime
	if t.image() {
		total = s.cfg.ImageTime
	}
	if t.orders.time >= 0 {
		total = t.orders.time
	}
	wait := min(total/5, 2*time.Second)
	t.takes = total - wait
	if t.OffPeak {
		wait = s.cfg.OffPeakWait
	}
	t.ready = now.Add(wait)
	if t.Seed == 0 {
		t.Seed = random(1<<31 - 1)
	}
	if t.Resolution == "" {
		t.Resolution = "720p"
		if t.image() || family(t.Model) == "viduq1" {
			t.Resolution = "1080p"
		}
	}
	if t.AspectRatio == "" {
		t.AspectRatio = "16:9"
	}
	t.fillDuration()
	t.cost = 4 * max(t.Duration, 1)
	if t.OffPeak {
		t.cost /= 2
	}
}

func (t *task) fillDuration() {
	switch {
	case t.image():
		t.Duration = 0
	case t.route == "multiframe":
		t.Duration = 0
		for _, f := range t.ImageSettings {
			if f.Duration == 0 {
				f.Duration = 5
			}
			t.Duration += f.Duration
		}
	case t.Duration == 0 && (family(t.Model) == "vidu2.0" || family(t.Model) == "vidu1.5" || t.Model == ""):
		t.Duration = 4
	case t.Duration == 0:
		t.Duration = 5
	}
}

// host is the start of output URLs for a request.
func (s *Simulator) host(r *http.Request) string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// newID is eighteen digits, as Vidu's ids are.
func newID() string { return fmt.Sprintf("86%016d", random(1e16)) }

func keyID(i int) string { return fmt.Sprintf("key_%d", i+1) }

func newSecret() (b [16]byte) {
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return b
}

// random is from 1 up to most.
func random(most int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(most))
	if err != nil {
		return 1 // crypto/rand never fails
	}
	return n.Int64() + 1
}
