package webhook

import (
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	reviveBatch     = 512 // missed deliveries that are put back to wait in one transaction
	replayEndpoints = 64  // endpoints that are looked at in one round
)

// ReplayMissed says that a replay of what an endpoint missed was committed, so that it begins
// at once and not with the next look. It never blocks.
func (s *Dispatcher) ReplayMissed() { ring(s.missedBell) }

// replayMissed puts what endpoints missed back to wait for them, where that was asked for: a bite
// at a time, so that it costs others nothing however much there is, and so that a node that
// dies in the middle loses nothing. From there they are taken as any that wait: in order of
// age, and no faster than the endpoint answers.
func (s *Dispatcher) replayMissed() {
	var trouble trouble
	for s.claim.Err() == nil {
		more, err := s.replayMissedRound()
		if err != nil {
			if s.claim.Err() == nil {
				trouble.note(s, "replaying missed deliveries failed", err)
				s.sleep(trouble.wait(s.cfg.Random), nil)
			}
			continue
		}
		trouble.over(s)
		if !more {
			s.sleep(s.cfg.Rescan, s.missedBell)
		}
	}
}

// replayMissedRound takes a bite for each endpoint, and tells whether there may be more.
func (s *Dispatcher) replayMissedRound() (more bool, err error) {
	var list []*kinora.Endpoint
	err = s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		list, err = tx.ReplayingEndpoints(replayEndpoints)
		return err
	})
	for _, x := range list {
		began := time.Now()
		limit := s.pace.most(reviveBatch, yieldWrite)
		n, err := s.revive(x.ID, limit)
		if err != nil {
			return false, err
		}
		if n > 0 {
			s.gate.discover(endpointDestination(x))
			more = true
		}
		s.giveWay(began, 0)
	}
	return more || len(list) == replayEndpoints, err
}

func (s *Dispatcher) revive(endpointID string, limit int) (n int, err error) {
	err = s.cfg.DB.Update(s.claim, func(tx *store.Tx) error {
		n = 0
		x, err := tx.LockEndpoint(endpointID)
		if errors.Is(err, store.ErrNotFound) || err == nil && x.ReplayFrom.IsZero() {
			return nil // removed or disabled again, or another node was quicker
		}
		if err != nil {
			return err
		}
		if n, err = tx.ReviveMissed(x.ID, x.ReplayFrom, x.ReplayUntil, limit); err != nil || n == limit {
			return err
		}
		left, err := tx.MissedLeft(x.ID, x.ReplayFrom, x.ReplayUntil)
		if err != nil || left {
			return err // what somebody else holds is looked at again
		}
		x.EndpointHealth = x.Replayed()
		return tx.SaveEndpointHealth(x)
	})
	return n, err
}
