package webhook

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// run makes one attempt, has its result written and starts what its end makes room for.
func (s *Dispatcher) run(j *job) {
	<-j.batch.done
	o, log := s.attempt(j)
	took := time.Duration(0)
	if log != nil {
		took = log.Duration
	}
	start, hold := s.gate.finish(j, o.signal, took)
	s.settle(j, o, log)
	s.hold(hold)
	s.start(start)
}

// attempt makes the attempt, if there is anything to send. The log is nil when no attempt counts.
func (s *Dispatcher) attempt(j *job) (o outcome, log *kinora.DeliveryAttempt) {
	if s.claim.Err() != nil {
		return outcome{verdict: interrupted}, nil
	}
	p, unready, early := j.batch.parcel(j.delivery)
	if early == nil && !unready && p.url != j.delivery.URL {
		j.delivery.URL, j.moved = p.url, true
	}
	switch {
	case unready:
		return outcome{verdict: interrupted}, nil
	case early != nil && early.verdict == missed:
		return *early, nil
	case early != nil:
		return *early, s.unsent(j, *early)
	}
	defer func() {
		// One delivery that trips over a bug must not take the process, and everybody
		// else's deliveries, down with it.
		if r := recover(); r != nil {
			s.log.Error("an attempt panicked", "delivery", j.delivery.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			o = ours("internal error")
			log = s.unsent(j, o)
		}
	}()
	o, log = s.courier.attempt(s.post, p)
	if o.verdict == interrupted {
		return o, nil
	}
	return o, log
}

func (s *Dispatcher) unsent(j *job, o outcome) *kinora.DeliveryAttempt {
	return &kinora.DeliveryAttempt{DeliveryID: j.delivery.ID, Number: j.delivery.Attempts + 1,
		StartedAt: s.cfg.Now(), Fault: o.fault, Error: o.err}
}

// settle turns an outcome into the delivery's next state and hands it to the writer.
func (s *Dispatcher) settle(j *job, o outcome, log *kinora.DeliveryAttempt) {
	now := s.cfg.Now()
	if o.verdict == missed {
		s.miss(j, o, now)
		return
	}
	if log == nil {
		due := now
		if j.batch.err != nil || s.claim.Err() == nil {
			due = now.Add(j.batch.wait(j.delivery))
		}
		s.giveBack(j, due)
		return
	}
	d := *j.delivery
	d.Attempts, d.DueAt = log.Number, time.Time{}
	if j.moved && d.EndpointID == kinora.DefaultEndpointID(d.OrganisationID) {
		d.Destination = Destination(d.OrganisationID, d.URL) // from now on it waits for the new host
	}
	d.LastStatus, d.LastError = o.status, o.err
	switch o.verdict {
	case delivered:
		d.State, d.FinishedAt = kinora.DeliveryDelivered, now
	case final:
		d.State, d.FinishedAt = kinora.DeliveryDead, now
	default:
		wait, again := s.schedule.wait(log.Number-d.ScheduleFrom, o.status, o.retryAfter, s.cfg.Random())
		if again {
			d.State, d.DueAt = kinora.DeliveryPending, now.Add(wait)
			log.NextAt = d.DueAt
		} else {
			d.State, d.FinishedAt = kinora.DeliveryDead, now
		}
	}
	s.metrics.attempt(&d, o, log)
	s.log.Debug("webhook attempt", "delivery", d.ID, "event", d.EventID, "generation", d.GenerationID, "attempt", log.Number,
		"status", o.status, "fault", string(o.fault), "state", string(d.State))
	s.writer.add(result{DeliveryResult: store.DeliveryResult{Delivery: &d, Attempt: log}, news: s.news(j, o, log), moved: j.moved})
}

// miss ends a delivery that its endpoint is not asked to take. It has cost no attempt.
func (s *Dispatcher) miss(j *job, o outcome, now time.Time) {
	d := *j.delivery
	d.State, d.DueAt, d.FinishedAt, d.LastError = kinora.DeliveryDead, time.Time{}, now, o.err
	s.metrics.missed.Inc()
	s.writer.add(result{DeliveryResult: store.DeliveryResult{Delivery: &d}, missed: true})
}

// refill takes back held deliveries where their destinations have room, and looks now and
// then for destinations that others have left with held deliveries.
func (s *Dispatcher) refill() {
	var (
		trouble trouble
		scanned time.Time
		after   string
	)
	for s.claim.Err() == nil {
		if scanned.IsZero() || time.Since(scanned) >= s.cfg.Rescan {
			next, err := s.scan(after)
			if err != nil {
				if s.claim.Err() == nil {
					trouble.note(s, "looking for held deliveries failed", err)
					s.sleep(trouble.wait(s.cfg.Random), nil)
				}
				continue
			}
			if after = next; after == "" {
				scanned = time.Now()
			}
		}
		if s.writer.unwritten() >= maxUnwritten {
			s.sleep(50*time.Millisecond, nil)
			continue
		}
		began := time.Now()
		list := s.gate.refills(refillBatch, s.pace.most(refillRows, yieldClaim))
		if len(list) == 0 {
			wait := time.Until(scanned.Add(s.cfg.Rescan))
			if probe := s.gate.nextProbe(); !probe.IsZero() {
				wait = min(wait, probe.Sub(s.cfg.Now()))
			}
			s.sleep(max(wait, time.Millisecond), s.gate.changed)
			continue
		}
		started, err := s.takeBack(list)
		if err != nil && s.claim.Err() == nil {
			trouble.note(s, "taking back held deliveries failed", err)
			s.sleep(trouble.wait(s.cfg.Random), nil)
			continue
		}
		trouble.over(s)
		s.giveWay(began, started)
	}
}

const (
	refillBatch = 64   // destinations whose held deliveries are claimed in one transaction
	refillRows  = 256  // deliveries that are so
	scanPage    = 1000 // destinations found by one look
)

// scan reads one page of destinations with held deliveries and returns where the next one
// begins; "" = from the start.
func (s *Dispatcher) scan(after string) (next string, err error) {
	var page []string
	err = s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		page, err = tx.HeldDestinations(after, scanPage)
		return err
	})
	if err != nil {
		return after, err
	}
	for _, key := range page {
		if !s.gate.discover(key) {
			return "", nil
		}
	}
	if len(page) == scanPage {
		next = page[len(page)-1]
	}
	return next, nil
}

// takeBack claims held deliveries of several destinations in one transaction, and returns
// how many there were.
func (s *Dispatcher) takeBack(list []refill) (int, error) {
	var byDest [][]*kinora.Delivery
	_, err := s.claimed(func(tx *store.Tx) (all []*kinora.Delivery, err error) {
		byDest = make([][]*kinora.Delivery, len(list))
		for i, r := range list {
			if byDest[i], err = tx.ClaimHeld(r.dest.key, s.cfg.Node, r.n); err != nil {
				return nil, err
			}
			all = append(all, byDest[i]...)
		}
		return all, nil
	})
	if err != nil {
		for _, r := range list {
			s.gate.abandon(r)
		}
		return 0, err
	}
	b := newBatch()
	var (
		jobs   []*job
		places []placement
	)
	for i, r := range list {
		sortByAge(byDest[i])
		j, p := s.gate.arrive(r, byDest[i], b)
		jobs, places = append(jobs, j...), append(places, p...)
	}
	s.place(b, jobs, places)
	return len(jobs), nil
}
