package webhook

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	// replayReach is how many deliveries one step of a replay looks at, at most.
	replayReach = 2000
	// replayBatch is how many one step revives, at most.
	replayBatch = 200
	// replaysAtOnce is how many replays a node works on at the same time.
	replaysAtOnce = 32
)

// replays works on replays: each node on those that it has leased. A replay's position commits
// with what was revived up to it, and every write names the version that it read. So whatever
// dies, and whenever: nothing is passed over, and nothing is revived twice.
type replays struct {
	s    *Dispatcher
	bell chan struct{}

	mu     sync.Mutex
	inHand map[string]bool
}

func newReplays(s *Dispatcher) *replays {
	return &replays{s: s, bell: make(chan struct{}, 1), inHand: map[string]bool{}}
}

func (w *replays) working() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.inHand)
}

func (w *replays) has(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inHand[id]
}

func (w *replays) set(id string, inHand bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inHand[id] = inHand; !inHand {
		delete(w.inHand, id)
	}
}

// run takes replays that nobody works on, and those that this node has leased without knowing
// it: a commit whose answer was lost.
func (w *replays) run() {
	s := w.s
	var trouble trouble
	for s.claim.Err() == nil {
		taken, err := w.take()
		switch {
		case err != nil && s.claim.Err() == nil:
			trouble.note(s, "looking for replays failed", err)
			s.sleep(trouble.wait(s.cfg.Random), nil)
			continue
		case err == nil:
			trouble.over(s)
		}
		for _, id := range taken {
			w.set(id, true)
			s.loops.Go(func() {
				defer ring(w.bell)
				defer w.set(id, false)
				w.work(id)
			})
		}
		s.sleep(s.cfg.Poll, w.bell)
	}
}

func (w *replays) take() (taken []string, err error) {
	s, room := w.s, replaysAtOnce-w.working()
	if room <= 0 {
		return nil, nil
	}
	var list []*kinora.Replay
	err = s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		list, err = tx.RunningReplays("", 1000)
		return err
	})
	for _, r := range list {
		if len(taken) == room || err != nil {
			break
		}
		if w.has(r.ID) || r.LeaseOwner != "" && r.LeaseOwner != s.cfg.Node {
			continue
		}
		r.LeaseOwner = s.cfg.Node
		err = s.cfg.DB.Update(s.claim, func(tx *store.Tx) error { return tx.SaveReplay(r) })
		if errors.Is(err, store.ErrStale) {
			err = nil // somebody else was quicker
			continue
		}
		if err == nil {
			taken = append(taken, r.ID)
		}
	}
	return taken, err
}

// work goes on with a replay until it has ended, is another node's, or the dispatcher stops.
func (w *replays) work(id string) {
	s := w.s
	var (
		trouble trouble
		pace    *rate.Limiter
	)
	for s.claim.Err() == nil {
		more, err := w.step(id, &pace)
		switch {
		case errors.Is(err, store.ErrStale):
			continue // cancelled, taken over, or our own write whose answer was lost: the next look tells
		case err != nil && s.claim.Err() == nil:
			trouble.note(s, "a replay's step failed", err)
			s.sleep(trouble.wait(s.cfg.Random), nil)
			continue
		case err != nil:
			break
		case !more:
			return
		}
		trouble.over(s)
	}
	w.giveBack(id)
}

// step revives the next few deliveries. more says that there is something left to do here.
func (w *replays) step(id string, pace **rate.Limiter) (more bool, err error) {
	s := w.s
	r, err := w.read(id)
	if err != nil || r == nil {
		return false, err
	}
	if r.Total < 0 {
		return true, w.count(r)
	}
	if *pace == nil {
		*pace = rate.NewLimiter(rate.Limit(r.Rate), stepSize(r.Rate))
	}
	var (
		ids      []string
		position string
		done     bool
	)
	err = s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		ids, position, done, err = tx.ReplayStep(r, r.Position, stepSize(r.Rate), replayReach)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := (*pace).WaitN(s.claim, len(ids)); err != nil {
		return false, err
	}
	next := *r
	err = s.cfg.DB.Update(s.claim, func(tx *store.Tx) error {
		now := s.cfg.Now()
		revived, err := tx.Revive(r, ids, now)
		if err != nil {
			return err
		}
		next = *r
		next.Position, next.UpdatedAt = position, now
		next.Revived, next.Passed = r.Revived+revived, r.Passed+len(ids)-revived
		if done {
			next.State, next.LeaseOwner, next.FinishedAt = kinora.ReplayFinished, "", now
		}
		return tx.SaveReplay(&next)
	})
	if err != nil {
		return false, err
	}
	s.metrics.revived.Add(float64(next.Revived - r.Revived))
	s.claimers[trackRetry].expect(s.cfg.Now())
	if done {
		s.log.Info("replay ends", "replay", r.ID, "organisation", r.OrganisationID, "revived", next.Revived, "passed", next.Passed)
	}
	return !done, nil
}

// stepSize is how many deliveries a step revives: four steps a second, each of one at least.
func stepSize(perSecond int) int { return min(max(perSecond/4, 1), replayBatch) }

// read returns the replay, or nil when there is nothing more to do about it here.
func (w *replays) read(id string) (*kinora.Replay, error) {
	var r *kinora.Replay
	err := w.s.cfg.DB.View(w.s.claim, func(tx *store.Tx) (err error) {
		r, err = tx.Replay("", id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil || r.State != kinora.ReplayRunning || r.LeaseOwner != w.s.cfg.Node {
		return nil, err
	}
	return r, nil
}

// count finds out how many deliveries there are to revive, in small bites.
func (w *replays) count(r *kinora.Replay) error {
	s := w.s
	total, position, done := 0, r.Position, false
	for !done {
		err := s.cfg.DB.View(s.claim, func(tx *store.Tx) error {
			ids, next, last, err := tx.ReplayStep(r, position, replayReach, replayReach)
			if err == nil {
				total, position, done = total+len(ids), next, last
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	counted := *r
	counted.Total, counted.UpdatedAt = total, s.cfg.Now()
	return s.cfg.DB.Update(s.claim, func(tx *store.Tx) error { return tx.SaveReplay(&counted) })
}

// giveBack leaves a replay to others when the dispatcher stops. If it fails, the lease ends
// with the node.
func (w *replays) giveBack(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
		r, err := tx.Replay("", id)
		if err != nil || r.LeaseOwner != w.s.cfg.Node {
			return err
		}
		r.LeaseOwner = ""
		return tx.SaveReplay(r)
	})
}
