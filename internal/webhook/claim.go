package webhook

import (
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// claimBatch is how many deliveries are claimed at once. A larger batch saves little, and
// makes more of it be held when the destinations' room is small.
const claimBatch = 128

// A claim of fewer than leastClaim waits lingerForRoom for more room.
const (
	leastClaim    = 32
	lingerForRoom = 2 * time.Millisecond
)

const (
	manyHeld  = 8   // of one claim and destination: more of its deliveries are probably due
	holdBatch = 512 // deliveries that are held in one transaction without being claimed
)

// maxUnwritten stops claiming while so many results wait to be written.
const maxUnwritten = 2048

// claimer leases due deliveries of one track and has them started.
type claimer struct {
	s     *Dispatcher
	track trackID
	bell  chan struct{}

	mu   sync.Mutex
	next time.Time // when it will look again by itself
}

func newClaimer(s *Dispatcher, t trackID) *claimer {
	return &claimer{s: s, track: t, bell: make(chan struct{}, 1)}
}

// expect says that a delivery of the track falls due at the instant at.
func (c *claimer) expect(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Before(c.next) {
		c.next = at
		ring(c.bell)
	}
}

func (c *claimer) run() {
	s := c.s
	var trouble trouble
	for s.claim.Err() == nil {
		n := 0
		if s.writer.unwritten() < maxUnwritten {
			n = s.gate.reserve(c.track, c.most())
		}
		if n > 0 && n < leastClaim && n < s.gate.tracks[c.track].room/4 {
			// The track is nearly full: a few more places in a moment make one claim of
			// what would be many.
			s.sleep(lingerForRoom, nil)
			n += s.gate.reserve(c.track, claimBatch-n)
		}
		if n == 0 {
			s.sleep(s.cfg.Poll, s.gate.freed[c.track])
			continue
		}
		began := time.Now()
		list, err := s.claimed(func(tx *store.Tx) ([]*kinora.Delivery, error) {
			return tx.ClaimDeliveries(c.track == trackRetry, s.cfg.Node, s.cfg.Now(), n)
		})
		s.gate.release(c.track, n-len(list))
		if err == nil {
			err = s.settleDoubt()
		}
		a := s.admit(c.track, list)
		if c.track == trackFresh {
			s.pace.fresh(len(list), a.crowded || len(list) == n, time.Now())
		}
		if err == nil {
			err = c.clear(a.full())
		}
		if err != nil {
			if s.claim.Err() == nil {
				trouble.note(s, "claiming deliveries failed", err)
				s.sleep(trouble.wait(s.cfg.Random), nil)
			}
			continue
		}
		trouble.over(s)
		if c.track != trackFresh && len(list) > 0 {
			s.giveWay(began, a.started)
		}
		if len(list) == n {
			continue // there may be more
		}
		s.sleep(c.untilDue(), c.bell)
	}
}

// clear holds what else is due for destinations that have no room, so that what is behind
// it in the queue is reached soon.
func (c *claimer) clear(full []string) error {
	if len(full) == 0 {
		return nil
	}
	s := c.s
	limit := holdBatch
	if c.track != trackFresh {
		limit = s.pace.most(holdBatch, yieldWrite)
	}
	err := s.cfg.DB.Update(s.claim, func(tx *store.Tx) error {
		for _, destination := range full {
			if _, err := tx.HoldDue(destination, c.track == trackRetry, s.cfg.Now(), limit/len(full)+1); err != nil {
				return err
			}
		}
		return nil
	})
	for _, destination := range full {
		s.gate.discover(destination) // after an error too: the commit may have been carried out
	}
	return err
}

func (c *claimer) most() int {
	if c.track == trackFresh {
		return claimBatch
	}
	return c.s.pace.most(claimBatch, yieldClaim)
}

// giveWay pauses after a claim that was not of first attempts, if any are about.
func (s *Dispatcher) giveWay(began time.Time, started int) {
	if pause := s.pace.pause(time.Since(began), started); pause > 0 {
		s.sleep(pause, nil)
	}
}

// untilDue returns how long to sleep: until the next delivery of the track falls due, but no
// longer than Config.Poll.
func (c *claimer) untilDue() time.Duration {
	s := c.s
	now := s.cfg.Now()
	c.mu.Lock()
	c.next = now.Add(s.cfg.Poll)
	c.mu.Unlock()
	var due time.Time
	err := s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		due, err = tx.NextDeliveryDue(c.track == trackRetry)
		return err
	})
	if err != nil || due.IsZero() {
		return s.cfg.Poll
	}
	c.expectQuietly(due)
	// What is overdue and was not claimed is locked by another node at this moment.
	return min(max(due.Sub(now), 5*time.Millisecond), s.cfg.Poll)
}

func (c *claimer) expectQuietly(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Before(c.next) {
		c.next = at
	}
}

// admission is what became of a claim.
type admission struct {
	started int            // deliveries that are not held
	held    map[string]int // those that are, by destination
	crowded bool           // one of them goes to a healthy destination
}

// full returns the destinations that had no room for many.
func (a admission) full() (list []string) {
	for destination, n := range a.held {
		if n >= manyHeld {
			list = append(list, destination)
		}
	}
	return list
}

// admit lets the gate place claimed deliveries, and starts, keeps or holds them accordingly.
func (s *Dispatcher) admit(t trackID, list []*kinora.Delivery) admission {
	var a admission
	if len(list) == 0 {
		return a
	}
	sortByAge(list)
	b := newBatch()
	jobs, places := make([]*job, len(list)), make([]placement, len(list))
	for i, d := range list {
		jobs[i] = &job{delivery: d, track: t, batch: b}
		places[i] = s.gate.admit(jobs[i])
		if places[i] != placeHold {
			a.started++
			continue
		}
		if a.held == nil {
			a.held = map[string]int{}
		}
		a.held[d.Destination]++
		a.crowded = a.crowded || !jobs[i].slow
	}
	s.place(b, jobs, places)
	return a
}

// place carries out what the gate has decided.
func (s *Dispatcher) place(b *batch, jobs []*job, places []placement) {
	var kept, start, hold []*job
	for i, j := range jobs {
		switch places[i] {
		case placeHold:
			hold = append(hold, j)
			continue
		case placeStart:
			start = append(start, j)
		case placeWait:
		}
		kept = append(kept, j)
	}
	s.hold(hold)
	if len(kept) == 0 {
		return
	}
	s.attempts.Go(func() { s.load(b, kept) })
	s.start(start)
}

func (s *Dispatcher) start(jobs []*job) {
	for _, j := range jobs {
		s.attempts.Go(func() { s.run(j) })
	}
}

// hold writes deliveries back to wait for their destination.
func (s *Dispatcher) hold(jobs []*job) {
	list := make([]result, len(jobs))
	for i, j := range jobs {
		d := *j.delivery
		d.State, d.DueAt = kinora.DeliveryHeld, time.Time{}
		list[i] = result{DeliveryResult: store.DeliveryResult{Delivery: &d}, held: true}
	}
	s.writer.add(list...)
}

// giveBack ends a lease without an attempt.
func (s *Dispatcher) giveBack(j *job, due time.Time) {
	d := *j.delivery
	d.State, d.DueAt = kinora.DeliveryPending, due
	s.writer.add(result{DeliveryResult: store.DeliveryResult{Delivery: &d}})
}
