package webhook

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// writeBatch is how many results share one transaction.
const writeBatch = 256

// A batch of more than lingerAfter results is followed by a pause of lingerFor.
const (
	lingerAfter = 8
	lingerFor   = 8 * time.Millisecond
)

// result is the end of a lease, to be written.
type result struct {
	store.DeliveryResult
	held    bool  // written back to wait for its destination
	moved   bool  // it went to another URL than before
	missed  bool  // its endpoint is disabled or gone
	news    *news // about its endpoint; nil = nothing new
	refused int   // how often the database would not take it, when it was written alone
}

// writer writes results, many per transaction, and keeps them until they have landed: when
// the database is away they wait in memory. There are never more than what the node had in
// hand, because nothing is claimed then either.
type writer struct {
	s    *Dispatcher
	bell chan struct{}

	mu      sync.Mutex
	pending []result
	busy    int  // results of the batch that is being written
	closing bool // no more are added after those in pending

	ctx    context.Context // ends when the last results are given up
	cancel context.CancelFunc
	ended  chan struct{}
}

func newWriter(s *Dispatcher) *writer {
	w := &writer{s: s, bell: make(chan struct{}, 1), ended: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *writer) add(list ...result) {
	if len(list) == 0 {
		return
	}
	w.mu.Lock()
	w.pending = append(w.pending, list...)
	w.mu.Unlock()
	ring(w.bell)
}

// unwritten counts results that are not in the database yet.
func (w *writer) unwritten() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) + w.busy
}

func (w *writer) run() {
	defer close(w.ended)
	for w.ctx.Err() == nil {
		list, closing := w.next()
		if len(list) > 0 {
			w.write(list)
			if len(list) > lingerAfter && !closing {
				w.linger()
			}
			continue
		}
		if closing {
			return
		}
		select {
		case <-w.bell:
		case <-w.ctx.Done():
		}
	}
}

// linger lets results gather after a batch of some size: fewer and larger transactions cost
// the database less, and nobody waits for them.
func (w *writer) linger() {
	if w.unwritten() >= writeBatch {
		return
	}
	t := time.NewTimer(lingerFor)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ctx.Done():
	}
}

func (w *writer) next() (list []result, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.pending), w.s.pace.most(writeBatch, yieldWrite))
	list = slices.Clone(w.pending[:n])
	w.pending = slices.Delete(w.pending, 0, n)
	w.busy = n
	return list, w.closing
}

// close waits until everything is written, or until a second after ctx ends.
func (w *writer) close(ctx context.Context) error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	ring(w.bell)
	defer w.cancel()
	select {
	case <-w.ended:
		return nil
	case <-ctx.Done():
	}
	last := time.NewTimer(time.Second)
	defer last.Stop()
	select {
	case <-w.ended:
		return nil
	case <-last.C:
		w.cancel()
		<-w.ended
		return ctx.Err()
	}
}

// write repeats until the results have landed. When one of them is what the database will
// not take, it is found by writing each alone, loses its texts, and in the end lets the
// others go first.
func (w *writer) write(list []result) {
	var trouble trouble
	for {
		err := w.save(list)
		if err == nil {
			trouble.over(w.s)
			return
		}
		if w.ctx.Err() != nil {
			return
		}
		refused := kinora.CodeOf(err) != kinora.ErrUnavailable
		if refused && len(list) > 1 {
			for i := range list {
				w.write(list[i : i+1])
			}
			return
		}
		if refused {
			list[0].refused++
			list[0].withoutTexts()
		}
		if list[0].refused <= refusedBefore {
			trouble.note(w.s, "writing delivery results failed", err)
		}
		t := time.NewTimer(trouble.wait(w.s.cfg.Random))
		select {
		case <-t.C:
		case <-w.ctx.Done():
			t.Stop()
		}
		if refused && list[0].refused >= refusedBefore {
			w.add(list[0])
			return
		}
	}
}

// refusedBefore is how often a single result is refused before it goes to the end of the queue.
const refusedBefore = 3

func (r *result) withoutTexts() {
	d := *r.Delivery
	d.LastError = ""
	if r.Attempt != nil {
		a := *r.Attempt
		a.Error, a.Response, a.ResponseHead, a.Address, a.Sent = "", "", "", "", kinora.SentRequest{}
		r.Attempt = &a
	}
	r.Delivery = &d
}

func (w *writer) save(list []result) error {
	var (
		stale    []*kinora.Delivery
		disabled []*kinora.Endpoint
	)
	err := w.s.cfg.DB.Update(w.ctx, func(tx *store.Tx) error {
		rows, err := w.s.rows(tx, list)
		if err != nil {
			return err
		}
		if stale, err = tx.SaveDeliveries(rows); err != nil {
			return err
		}
		if err = tx.MoveDeliveries(moved(list)); err != nil {
			return err
		}
		disabled, err = w.s.learn(tx, list)
		return err
	})
	if err != nil {
		return err
	}
	w.s.written(list, stale)
	w.s.announce(disabled)
	return nil
}

func moved(list []result) (deliveries []*kinora.Delivery) {
	for _, r := range list {
		if r.moved {
			deliveries = append(deliveries, r.Delivery)
		}
	}
	return deliveries
}

// written lets go of deliveries whose leases have ended, and wakes whoever they concern. A
// stale one was leased anew by somebody else, who took this node for dead: what we found out
// about it is dropped, and its receiver gets it twice.
func (s *Dispatcher) written(list []result, stale []*kinora.Delivery) {
	var next [2]time.Time
	for _, r := range list {
		d := r.Delivery
		s.leases.drop(d)
		if r.held {
			s.gate.held(d.Destination)
		}
		if d.State == kinora.DeliveryPending {
			t := &next[trackFresh]
			if d.Attempts > 0 {
				t = &next[trackRetry]
			}
			if t.IsZero() || d.DueAt.Before(*t) {
				*t = d.DueAt
			}
		}
	}
	for i, at := range next {
		if !at.IsZero() {
			s.claimers[i].expect(at)
		}
	}
	s.metrics.stale.Add(float64(len(stale)))
}

func sortByAge(list []*kinora.Delivery) {
	slices.SortFunc(list, func(a, b *kinora.Delivery) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}
