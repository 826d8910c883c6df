package lifecycle

import (
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// missedBeats is how many signs of life a node may miss before others take its leases.
const missedBeats = 5

// auditBeats is how many beats lie between two audits of this node's own leases.
const auditBeats = 5

// node is this process among those that share the database.
//
// Leases carry a node's id and have no clock of their own: a node that is alive keeps
// what it claimed for as long as it takes. Whether another is dead is judged by watching
// its sign of life with our own clock, and only while we can read the database
// ourselves, so that neither clock skew nor a database outage kills the living.
type node struct {
	id      string
	started time.Time
	seen    map[string]sighting // used by the keeper only
}

type sighting struct {
	beat  time.Time // as the node wrote it
	since time.Time // when we first saw that value, by our monotonic clock
}

// join makes this node known, and takes back all leases when no other process can hold any.
func (e *Engine) join(ctx context.Context) error {
	now := time.Now()
	name := e.cfg.Node
	if name == "" {
		name = id.New(id.Node, now)
	}
	e.node = node{id: name, started: now, seen: map[string]sighting{}}
	return e.db.Update(ctx, func(tx *store.Tx) error {
		if !e.db.Shared() {
			n, err := tx.RemoveAllNodes(now)
			if err != nil {
				return err
			}
			if n > 0 {
				e.log.Info("took over work that was in hand when the last process ended", "items", n)
			}
		}
		return tx.Beat(e.node.id, e.node.started, now)
	})
}

// leave gives this node's leases back.
func (e *Engine) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := e.saveDurations(ctx); err != nil {
		e.log.Warn("learnt durations were not saved", "error", err)
	}
	return e.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.RemoveNode(e.node.id, time.Now())
		return err
	})
}

// keepNode beats, takes over from dead nodes, opens lanes that appear in the database,
// and saves what was learnt.
func (e *Engine) keepNode() {
	tick := time.NewTicker(e.timing.Beat)
	defer tick.Stop()
	lastSave := time.Now()
	for beats := 1; ; beats++ {
		if err := e.keep(time.Now()); err != nil {
			e.log.Warn("keeping the node's lease failed", "error", err)
			// What was seen before the outage proves nothing about the nodes' silence in it.
			clear(e.node.seen)
		}
		if beats%auditBeats == 0 {
			if err := e.auditLeases(); err != nil && e.run.Err() == nil {
				e.log.Warn("auditing leases failed", "error", err)
			}
		}
		if time.Since(lastSave) > 30*time.Second {
			lastSave = time.Now()
			if err := e.saveDurations(e.run); err != nil && e.run.Err() == nil {
				e.log.Warn("learnt durations were not saved", "error", err)
			}
		}
		select {
		case <-e.run.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) keep(now time.Time) error {
	ctx, cancel := context.WithTimeout(e.run, e.timing.Beat)
	defer cancel()
	var lanes []string
	var nodes map[string]time.Time
	err := e.db.Update(ctx, func(tx *store.Tx) (err error) {
		if err = tx.Beat(e.node.id, e.node.started, now); err != nil {
			return err
		}
		if nodes, err = tx.Nodes(); err != nil {
			return err
		}
		lanes, err = tx.LiveLanes()
		return err
	})
	if err != nil {
		return err
	}
	e.openLanes(lanes)
	for name, beat := range nodes {
		last, ok := e.node.seen[name]
		if !ok || !last.beat.Equal(beat) {
			e.node.seen[name] = sighting{beat, now}
			continue
		}
		if name == e.node.id || now.Sub(last.since) < missedBeats*e.timing.Beat {
			continue
		}
		var released int64
		err := e.db.Update(ctx, func(tx *store.Tx) (err error) {
			released, err = tx.RemoveNode(name, time.Now())
			return err
		})
		if err != nil {
			return err
		}
		delete(e.node.seen, name)
		e.log.Warn("took over from a node that has stopped", "node", name, "items", released)
	}
	return nil
}

// openLanes starts loops for lanes that have work but no model in this configuration.
func (e *Engine) openLanes(names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.started {
		return
	}
	for _, name := range names {
		providerName := name
		for i, r := range name {
			if r == ':' {
				providerName = name[:i]
				break
			}
		}
		e.startLane(name, providerName)
	}
}

// heldLeases knows which leased attempts this process really works on. A claim whose
// commit succeeded but whose answer was lost leaves a lease that nobody works on; so
// does a step that could not even read its row.
type heldLeases struct {
	mu      sync.Mutex
	inHand  map[string]bool
	suspect map[string]int64 // leased by us but not in hand at the last audit: version seen
}

// take runs work on claimed attempts and counts them as in hand meanwhile.
func (e *Engine) take(list []*kinora.Attempt, work func()) {
	h := &e.held
	h.mu.Lock()
	if h.inHand == nil {
		h.inHand = map[string]bool{}
	}
	for _, a := range list {
		h.inHand[a.ID()] = true
	}
	h.mu.Unlock()
	e.inHand.Go(func() {
		defer func() {
			h.mu.Lock()
			for _, a := range list {
				delete(h.inHand, a.ID())
			}
			h.mu.Unlock()
		}()
		work()
	})
}

// auditLeases gives back leases that were in nobody's hand at two audits running.
func (e *Engine) auditLeases() error {
	var leased []*kinora.Attempt
	err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		leased, err = tx.LeasedAttempts(e.node.id)
		return err
	})
	if err != nil {
		return err
	}
	h := &e.held
	h.mu.Lock()
	before := h.suspect
	h.suspect = map[string]int64{}
	var orphans []*kinora.Attempt
	for _, a := range leased {
		if h.inHand[a.ID()] {
			continue
		}
		if v, ok := before[a.ID()]; ok && v == a.Version {
			orphans = append(orphans, a)
			continue
		}
		h.suspect[a.ID()] = a.Version
	}
	h.mu.Unlock()
	if len(orphans) == 0 {
		return nil
	}
	e.log.Warn("gave back leases that nothing was working on", "items", len(orphans))
	return e.db.Update(e.run, func(tx *store.Tx) error {
		for _, a := range orphans {
			if err := tx.ReleaseAttempt(a, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}
