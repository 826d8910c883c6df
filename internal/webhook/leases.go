package webhook

import (
	"sync"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// leases knows which deliveries this node has in hand, to find those that it has leased
// without knowing it: a claim whose commit was not confirmed, because the connection broke
// in that moment, may have been carried out. Such deliveries would lie still until the node
// is restarted.
type leases struct {
	claiming sync.RWMutex // held for reading from before a claim until its deliveries are in hand

	mu     sync.Mutex
	inHand map[string]int64 // delivery → the version that fences its lease
	doubt  bool             // a claim's outcome is not known
}

func (l *leases) take(claimed []*kinora.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range claimed {
		l.inHand[d.ID] = d.Version
	}
}

// drop lets go of a lease that has ended. The delivery may have been claimed anew since.
func (l *leases) drop(d *kinora.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inHand[d.ID] == d.Version {
		delete(l.inHand, d.ID)
	}
}

func (l *leases) setDoubt(doubt bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt = doubt
}

func (l *leases) inDoubt() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubt
}

func (l *leases) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.inHand[id]
	return ok
}

// claimed runs a claim and takes what it leased in hand.
func (s *Dispatcher) claimed(fn func(tx *store.Tx) ([]*kinora.Delivery, error)) ([]*kinora.Delivery, error) {
	s.leases.claiming.RLock()
	defer s.leases.claiming.RUnlock()
	var list []*kinora.Delivery
	err := s.cfg.DB.Update(s.claim, func(tx *store.Tx) (err error) {
		list, err = fn(tx)
		return err
	})
	if err != nil {
		s.leases.setDoubt(true)
		return nil, err
	}
	s.leases.take(list)
	return list, nil
}

// settleDoubt gives back what the node has leased and does not have in hand. It is called
// when the database answers again after a failed claim.
func (s *Dispatcher) settleDoubt() error {
	if !s.leases.inDoubt() {
		return nil
	}
	s.leases.claiming.Lock()
	defer s.leases.claiming.Unlock()
	s.leases.setDoubt(false)
	var lost []store.DeliveryResult
	err := s.cfg.DB.Update(s.claim, func(tx *store.Tx) error {
		leased, err := tx.LeasedDeliveries(s.cfg.Node)
		if err != nil {
			return err
		}
		lost = lost[:0]
		for _, d := range leased {
			if !s.leases.has(d.ID) {
				d.DueAt = s.cfg.Now()
				lost = append(lost, store.DeliveryResult{Delivery: d})
			}
		}
		_, err = tx.SaveDeliveries(lost)
		return err
	})
	if err != nil {
		s.leases.setDoubt(true)
		return err
	}
	if len(lost) > 0 {
		s.log.Warn("deliveries that were claimed without a confirmation are due again", "count", len(lost))
	}
	return nil
}
