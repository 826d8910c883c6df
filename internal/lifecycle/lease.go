package lifecycle

import (
	"context"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	// missedBeats is how many signs of life a node may miss before others take its leases.
	missedBeats = 5
	// silentBeats is how many a node may miss itself before it breaks off its submit calls: one
	// fewer, so that they have ended when others begin to settle them.
	silentBeats = missedBeats - 1
	// auditBeats is how many beats lie between two audits of this node's own leases.
	auditBeats = 5
	// maxPanics is how often work on one attempt may panic before its generation is failed.
	maxPanics = 3
)

// node is this process among those that share the database.
//
// Leases carry a node's id and have no clock of their own: a node that is alive keeps
// what it claimed for as long as it takes, while it drains for a stop too. Whether
// another is dead is judged by watching its sign of life with our own clock, and only
// while we can read the database ourselves, so that neither clock skew nor a database
// outage kills the living.
//
// A node that was declared dead and is not cannot write: versions see to that. What it
// may not do either is call an upstream, so its calls are tied to its own last good beat.
type node struct {
	id      string
	started time.Time
	seen    map[string]sighting // used by the keeper only

	mu       sync.Mutex
	lastBeat time.Time            // when the last beat that found our row was begun
	silent   map[string]time.Time // nodes that miss beats, since when; made anew by each look of the keeper
	calls    context.Context      // submit calls run under it; ends when we may be taken for dead
	endCalls context.CancelFunc
}

type sighting struct {
	beat  time.Time // as the node wrote it
	since time.Time // when we first saw that value, by our monotonic clock
}

// join makes this node known, and takes back all leases when no other process can hold any.
func (e *Engine) join(ctx context.Context) error {
	now := time.Now()
	e.node.id, e.node.started, e.node.seen = e.cfg.Node, now, map[string]sighting{}
	if e.node.id == "" {
		e.node.id = id.New(id.Node, now)
	}
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		if !e.db.Shared() {
			n, err := tx.RemoveAllNodes(now)
			if err != nil {
				return err
			}
			if n > 0 {
				e.log.Info("took over work that was in hand when the last process ended", "items", n)
			}
		}
		_, err := tx.Beat(e.node.id, e.masterKeys(), e.node.started, now)
		return err
	})
	if err == nil {
		e.beaten(now, false)
	}
	return err
}

func (e *Engine) masterKeys() []string {
	if e.cfg.MasterKeys == nil {
		return nil
	}
	return e.cfg.MasterKeys()
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

// beat gives signs of life until the very end of a stop: what is in hand then is still
// this node's.
func (e *Engine) beat(done <-chan struct{}) {
	tick := time.NewTicker(e.timing.Beat)
	defer tick.Stop()
	for {
		now := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), e.timing.Beat)
		made := false
		err := e.db.Update(ctx, func(tx *store.Tx) (err error) {
			made, err = tx.Beat(e.node.id, e.masterKeys(), e.node.started, now)
			return err
		})
		cancel()
		if err == nil {
			e.beaten(now, made)
		} else {
			e.unbeaten(now)
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// beaten notes a good beat. revived says that our row was gone: others had declared this
// node dead, and its calls must not go on.
func (e *Engine) beaten(at time.Time, revived bool) {
	n := &e.node
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastBeat = at
	if revived {
		n.endCalls()
		e.log.Warn("this node had been taken for dead; its submit calls were broken off")
	}
	if n.calls == nil || n.calls.Err() != nil {
		n.calls, n.endCalls = context.WithCancel(context.Background())
	}
}

// unbeaten breaks off submit calls when the silence has lasted too long.
func (e *Engine) unbeaten(now time.Time) {
	n := &e.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.db.Shared() && now.Sub(n.lastBeat) >= silentBeats*e.timing.Beat {
		n.endCalls()
	}
}

// mayCall tells whether this node may begin a call that costs money for something that
// it claimed at that time, and under which context. On a database of our own it always
// may; on a shared one the lease must be certain to be ours still. release ends what
// belongs to the call. Both clocks are asked:
// the monotonic one stands still while a machine is suspended.
func (e *Engine) mayCall(claimed time.Time) (ctx context.Context, release func(), ok bool) {
	n := &e.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if !e.db.Shared() {
		return e.work, func() {}, e.work.Err() == nil
	}
	const least = silentBeats - 1
	for _, since := range []time.Time{n.lastBeat, claimed} {
		if time.Since(since) > least*e.timing.Beat || time.Now().Round(0).Sub(since.Round(0)) > least*e.timing.Beat {
			return nil, nil, false
		}
	}
	ctx, cancel := context.WithCancel(e.work)
	stop := context.AfterFunc(n.calls, cancel)
	return ctx, func() { stop(); cancel() }, e.work.Err() == nil && n.calls.Err() == nil
}

// keepHouse takes over from dead nodes, opens lanes that appear in the database, audits
// this node's leases and saves what was learnt.
func (e *Engine) keepHouse() {
	tick := time.NewTicker(e.timing.Beat)
	defer tick.Stop()
	lastSave := time.Now()
	for beats := 1; ; beats++ {
		e.tried("keeping house", e.keep)
		if beats%auditBeats == 0 {
			e.tried("auditing leases", e.auditLeases)
		}
		if time.Since(lastSave) > 30*time.Second {
			lastSave = time.Now()
			e.tried("saving learnt durations", e.saveDurations)
			e.tried("looking after the accounts", e.observeAccounts)
			e.tried("counting reviews", e.observeReviews)
		}
		select {
		case <-e.run.Done():
			return
		case <-tick.C:
		}
	}
}

// tried runs one of the keeper's duties with a limit of time and reports its failure.
func (e *Engine) tried(what string, fn func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(e.run, max(e.timing.Beat, 5*time.Second))
	defer cancel()
	if err := fn(ctx); err != nil && e.run.Err() == nil {
		e.log.Warn("a duty of the node failed; it comes round again", "duty", what, "error", err)
		// What was seen before an outage proves nothing about the nodes' silence in it.
		clear(e.node.seen)
		e.node.tellSilent(nil)
	}
}

func (e *Engine) keep(ctx context.Context) error {
	now := time.Now()
	var (
		lanes, strangers []string
		nodes            map[string]time.Time
	)
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		if nodes, err = tx.Nodes(); err != nil {
			return err
		}
		if strangers, err = tx.StrangeOwners(); err != nil {
			return err
		}
		lanes, err = tx.LiveLanes()
		return err
	})
	if err != nil {
		return err
	}
	e.openLanes(lanes)
	for _, name := range strangers {
		if name == e.node.id {
			continue // our own row comes back with the next beat
		}
		nodes["?"+name] = time.Time{} // judged by two sightings, like silence
	}
	silent := map[string]time.Time{}
	defer func() { e.node.tellSilent(silent) }()
	for name, beat := range nodes {
		last, ok := e.node.seen[name]
		if !ok || !last.beat.Equal(beat) {
			e.node.seen[name] = sighting{beat, now}
			continue
		}
		if name != e.node.id && now.Sub(last.since) >= 2*e.timing.Beat {
			silent[name] = last.since
		}
		if name == e.node.id || now.Sub(last.since) < missedBeats*e.timing.Beat {
			continue
		}
		if err := e.takeOver(ctx, name, beat); err != nil {
			return err
		}
		delete(e.node.seen, name)
		delete(silent, name)
	}
	return nil
}

func (n *node) tellSilent(since map[string]time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = since
}

// SilentNodes tells for how long this node has seen no sign of life of those others that miss theirs. It has watched them by its own
// clock, and only while it could read the database: whoever is not named is alive, as far as this node knows.
func (e *Engine) SilentNodes() map[string]time.Duration {
	e.node.mu.Lock()
	defer e.node.mu.Unlock()
	found := make(map[string]time.Duration, len(e.node.silent))
	for name, since := range e.node.silent {
		found[name] = time.Since(since)
	}
	return found
}

// takeOver gives back what a dead node holds.
func (e *Engine) takeOver(ctx context.Context, name string, beat time.Time) error {
	stranger, unknown := strings.CutPrefix(name, "?")
	var released int64
	err := e.db.Update(ctx, func(tx *store.Tx) (err error) {
		if unknown {
			released, err = tx.RemoveNode(stranger, time.Now())
		} else {
			released, err = tx.RemoveSilentNode(name, beat, time.Now())
		}
		return err
	})
	if err == nil && (released > 0 || !unknown) {
		e.log.Warn("took over from a node that has stopped", "node", strings.TrimPrefix(name, "?"), "items", released)
	}
	return err
}

// openLanes starts loops for lanes that have work but no model in this configuration.
func (e *Engine) openLanes(names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage != stageRunning {
		return
	}
	for _, name := range names {
		e.startLane(name, laneProvider(name))
	}
}

// heldLeases knows which leased attempts this process really works on. A claim whose
// commit succeeded but whose answer was lost leaves a lease that nobody works on; so
// does a step that could not even read its row.
type heldLeases struct {
	mu      sync.Mutex
	inHand  map[string]int       // pieces of work on an attempt; one step may hand over to the next
	suspect map[string]int64     // leased by us but not in hand at the last audit: version seen
	calls   map[string]time.Time // attempts for which Submit was entered, and when
	panics  map[string]int
}

// take runs work on claimed attempts and counts them as in hand meanwhile. A panic in it
// stays there: what was claimed is given back by the audit, and after a few the
// generation is failed, so that one hostile file cannot stop everybody's work.
func (e *Engine) take(list []*kinora.Attempt, work func()) {
	h := &e.held
	h.mu.Lock()
	if h.inHand == nil {
		h.inHand, h.calls, h.panics = map[string]int{}, map[string]time.Time{}, map[string]int{}
	}
	for _, a := range list {
		h.inHand[a.ID()]++
	}
	h.mu.Unlock()
	e.inHand.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				e.panicked(list, p)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, a := range list {
				if h.inHand[a.ID()]--; h.inHand[a.ID()] <= 0 {
					delete(h.inHand, a.ID())
				}
			}
		}()
		work()
	})
}

func (e *Engine) panicked(list []*kinora.Attempt, p any) {
	e.metrics.panics.Inc()
	e.log.Error("work on an attempt panicked", "attempts", len(list), "first", list[0].ID(), "panic", p, "stack", string(debug.Stack()))
	for _, a := range list {
		e.held.mu.Lock()
		e.held.panics[a.ID()]++
		n := e.held.panics[a.ID()]
		e.held.mu.Unlock()
		if n < maxPanics {
			continue
		}
		if g, err := e.readGeneration(a.GenerationID); err == nil && !g.State.Terminal() {
			e.fail(g, a, kinora.FailureInternal, "the generation could not be worked on")
		}
	}
}

// called notes that the paid call of an attempt is being entered.
func (h *heldLeases) called(a *kinora.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[a.ID()] = time.Now()
}

// callsKept is longer than any submit call and its settling by this process.
const callsKept = time.Hour

// auditLeases gives back leases that were in nobody's hand at two audits running.
func (e *Engine) auditLeases(ctx context.Context) error {
	var leased []*kinora.Attempt
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		leased, err = tx.LeasedAttempts(e.node.id)
		return err
	})
	if err != nil {
		return err
	}
	orphans, uncalled := e.held.orphans(leased)
	if len(orphans)+len(uncalled) == 0 {
		return nil
	}
	e.log.Warn("gave back leases that nothing was working on", "items", len(orphans)+len(uncalled))
	return e.db.Update(ctx, func(tx *store.Tx) error {
		for _, a := range orphans {
			if err := tx.ReleaseAttempt(a, time.Now()); err != nil {
				return err
			}
		}
		// This process knows that it never called anything for these: nothing is unknown.
		saves := make([]store.AttemptSave, len(uncalled))
		for i, a := range uncalled {
			again := *a
			again.State, again.LeaseOwner, again.DueAt = kinora.AttemptQueued, "", time.Now()
			saves[i] = store.AttemptSave{Attempt: &again, From: kinora.AttemptSubmitting}
		}
		_, err := tx.SaveAttempts(saves)
		return err
	})
}

// orphans sorts out the leased attempts that nothing works on, those apart whose submit
// was claimed and never called.
func (h *heldLeases) orphans(leased []*kinora.Attempt) (orphans, uncalled []*kinora.Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.suspect
	h.suspect = map[string]int64{}
	for _, a := range leased {
		if h.inHand[a.ID()] > 0 {
			continue
		}
		if v, ok := before[a.ID()]; !ok || v != a.Version {
			h.suspect[a.ID()] = a.Version
			continue
		}
		if called, ok := h.calls[a.ID()]; a.State == kinora.AttemptSubmitting && (!ok || called.Before(a.SubmittedAt)) {
			uncalled = append(uncalled, a)
			continue
		}
		orphans = append(orphans, a)
	}
	for attempt, at := range h.calls {
		if time.Since(at) > callsKept && h.inHand[attempt] == 0 {
			delete(h.calls, attempt)
		}
	}
	return orphans, uncalled
}
