package asset

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// How much a node works on at once. Fetches wait for other servers; looking at images takes processors and memory. One
// organisation gets half, so that sources that hang or are huge keep nobody else's waiting.
const (
	fetchesAtOnce, fetchesOfOne   = 16, 8
	preparedAtOnce, preparedOfOne = 4, 2

	// auditEvery is the time between two looks for leases that nobody works on.
	auditEvery = 15 * time.Second
)

// lane is one of the two steps of an ingest with the workers that do it.
type lane struct {
	fetch bool
	most  int // at once
	share int // of one organisation
	work  func(context.Context, *kinora.SourceAsset)
	bell  chan struct{}

	mu     sync.Mutex
	inHand map[string]string // organisations, by ingest
}

func newLane(fetch bool, most, share int, work func(context.Context, *kinora.SourceAsset)) *lane {
	return &lane{fetch: fetch, most: most, share: share, work: work, bell: make(chan struct{}, 1), inHand: map[string]string{}}
}

func (l *lane) ring() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// free returns how many more ingests may be taken in hand, of one organisation at most share, and the organisations that
// have theirs.
func (l *lane) free() (n, share int, busy []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := map[string]int{}
	for _, organisation := range l.inHand {
		held[organisation]++
	}
	share = l.share
	for organisation, n := range held {
		if n >= l.share {
			busy = append(busy, organisation)
		} else {
			share = min(share, l.share-n)
		}
	}
	return l.most - len(l.inHand), share, busy
}

func (l *lane) take(a *kinora.SourceAsset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inHand[a.IngestID] = a.OrganisationID
}

func (l *lane) done(a *kinora.SourceAsset) {
	l.mu.Lock()
	delete(l.inHand, a.IngestID)
	l.mu.Unlock()
	l.ring()
}

func (l *lane) holds(ingestID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.inHand[ingestID]
	return ok
}

// Nudge says that an ingest may have been committed.
func (s *Service) Nudge() {
	s.fetch.ring()
	s.prepare.ring()
}

// Start begins to ingest. It does not block. Leases that a crash left are given back by whoever keeps the node's signs of
// life, which has to be running.
func (s *Service) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return
	}
	s.running = true
	s.claim, s.halt = context.WithCancel(context.Background())
	s.work, s.abort = context.WithCancel(context.Background())
	s.loops.Go(func() { s.run(s.fetch) })
	s.loops.Go(func() { s.run(s.prepare) })
	s.loops.Go(s.audit)
}

// Halt ends claiming and returns at once; work in hand goes on.
func (s *Service) Halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		s.halt()
	}
}

// Stop ends claiming, lets what is in hand finish until ctx ends and breaks off the rest, which the node's last sign of
// life gives back. It is idempotent.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil
	}
	s.running = false
	s.halt()
	finished := make(chan struct{})
	go func() { s.loops.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
	}
	s.abort()
	<-finished
	return nil
}

// run claims what is due as long as there is room, and sleeps.
func (s *Service) run(l *lane) {
	for s.claim.Err() == nil {
		n, next, err := s.claimSome(l)
		if err != nil && s.claim.Err() == nil {
			s.log.Warn("looking for ingests failed", "error", err)
		}
		if n > 0 {
			continue
		}
		wait := s.cfg.Poll
		if !next.IsZero() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.claim.Done():
		case <-l.bell:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// claimSome takes due ingests in hand and tells when the next one falls due, zero where that cannot be waited for.
func (s *Service) claimSome(l *lane) (n int, next time.Time, err error) {
	room, share, busy := l.free()
	if room <= 0 {
		return 0, time.Time{}, nil
	}
	var list []*kinora.SourceAsset
	err = s.cfg.DB.View(s.claim, func(tx *store.Tx) (err error) {
		next, err = tx.NextIngest()
		return err
	})
	if err != nil || next.IsZero() || next.After(s.now()) {
		return 0, next, err
	}
	err = s.cfg.DB.Update(s.claim, func(tx *store.Tx) (err error) {
		// No more than anybody's share at once: all of them may be one organisation's.
		list, err = tx.ClaimIngests(l.fetch, s.cfg.Node, s.now(), busy, min(room, share))
		return err
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	for _, a := range list {
		l.take(a)
		s.loops.Go(func() {
			defer l.done(a)
			s.carefully(l, a)
		})
	}
	return len(list), time.Time{}, nil
}

// carefully keeps a panic with the ingest that caused it: no file may stop everybody's work. What it was working on
// cannot be used.
func (s *Service) carefully(l *lane, a *kinora.SourceAsset) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		s.metrics.panics.Inc()
		s.log.Error("work on an ingest panicked", "ingest", a.IngestID, "panic", p, "stack", string(debug.Stack()))
		s.fail(s.work, a, kinora.NewFailure(kinora.FailureSourceInvalid, "the image could not be worked on"))
	}()
	l.work(s.work, a)
}

// audit gives back leases of this node that were in nobody's hand at two looks running: of a claim whose commit's answer
// was lost.
func (s *Service) audit() {
	suspects := map[string]int64{}
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.claim.Done():
			return
		case <-tick.C:
		}
		var err error
		if suspects, err = s.auditOnce(s.claim, suspects); err != nil && s.claim.Err() == nil {
			s.log.Warn("auditing the leases of ingests failed", "error", err)
		}
	}
}

// auditOnce returns the leases that nobody works on, with their versions, for the next look.
func (s *Service) auditOnce(ctx context.Context, before map[string]int64) (map[string]int64, error) {
	var leased []*kinora.SourceAsset
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		leased, err = tx.LeasedIngests(s.cfg.Node)
		return err
	})
	if err != nil {
		return map[string]int64{}, err
	}
	suspects := map[string]int64{}
	for _, a := range leased {
		if s.fetch.holds(a.IngestID) || s.prepare.holds(a.IngestID) {
			continue
		}
		if v, seen := before[a.IngestID]; !seen || v != a.Version {
			suspects[a.IngestID] = a.Version
			continue
		}
		s.putBack(ctx, a, 0)
	}
	return suspects, nil
}

// jitter spreads a wait by a quarter to both sides.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + 0.5*rand.Float64()))
}
