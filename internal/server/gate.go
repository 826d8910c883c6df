package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora"
)

// gate counts the requests that are worked on and lets only so many in: so many in all, and of these so many of one
// organisation, so that none can keep the others out.
type gate struct {
	inside atomic.Int64
	most   int64

	share int // of one organisation
	mu    sync.Mutex
	held  map[string]int // by organisation
}

// newGate makes a gate for most requests; share is the part of one organisation, 0 = a half: whoever is alone on a
// server is not refused early, and nobody takes all places.
func newGate(most, share int) *gate {
	if share == 0 {
		share = max(1, most/2)
	}
	return &gate{most: int64(most), share: share, held: make(map[string]int)}
}

func (g *gate) enter() bool {
	if g.inside.Add(1) <= g.most {
		return true
	}
	g.inside.Add(-1)
	return false
}

func (g *gate) leave() { g.inside.Add(-1) }

// hold counts a request that is inside for its organisation as well.
func (g *gate) hold(organisation string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[organisation] >= g.share {
		return false
	}
	g.held[organisation]++
	return true
}

func (g *gate) release(organisation string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[organisation]--; g.held[organisation] <= 0 {
		delete(g.held, organisation)
	}
}

// place is what a request holds in a gate. It is given back while the request's body is awaited: how long that takes is
// up to the caller.
type place struct {
	gate  *gate // nil: this request is never refused
	in    bool
	owner string // organisation that it is counted for; "" = not known, or none
}

func errBusy() error { return refuse(errOverload, "the server is busy; try again shortly") }

// errTooMany is for a caller who has more going on at once than is his due: not for the lack of room for others.
func errTooMany() error {
	return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many requests at once", RetryAfter: time.Second}
}

// take enters the gate, and does it anew after give.
func (p *place) take() error {
	if p.gate == nil || p.in {
		return nil
	}
	if !p.gate.enter() {
		return errBusy()
	}
	if p.owner != "" && !p.gate.hold(p.owner) {
		p.gate.leave()
		return errTooMany()
	}
	p.in = true
	return nil
}

// own counts the place for an organisation from now on.
func (p *place) own(organisation string) error {
	if p.gate == nil || !p.in || p.owner != "" {
		return nil
	}
	if !p.gate.hold(organisation) {
		return errTooMany()
	}
	p.owner = organisation
	return nil
}

// give leaves the gate. It does nothing when that has been done.
func (p *place) give() {
	if !p.in {
		return
	}
	p.in = false
	if p.owner != "" {
		p.gate.release(p.owner)
	}
	p.gate.leave()
}
