package webhook

import (
	"runtime"
	"sync"
	"time"
)

const (
	// yieldFor is how long first attempts are considered to be still coming after the last one.
	yieldFor = time.Second
	// yieldClaim and yieldWrite bound a transaction while first attempts come: theirs may
	// have to wait for its end, three times on their way. Twice or three times as much in one
	// made their slowest twentieth four times as slow beside 100,000 retries; less wins
	// nothing more, and costs retries.
	yieldClaim = 8
	yieldWrite = 12
	// yieldRate is how many POSTs a second each of the two other tracks starts for each
	// processor meanwhile: a processor that is always busy answers nobody quickly.
	yieldRate = 125
)

// pace makes retries and held deliveries give way. Having room of their own keeps them from
// taking the slots of first attempts, but not from taking the processors and the database,
// and a hundred thousand of them would: what happens now would take several times as long
// while they last. So while first attempts come, and each of them finds its destination
// free, the other tracks take small bites with pauses between them. When first attempts come
// in such numbers that they fill destinations, how long one of them takes is no longer what
// counts, and nobody gives way.
type pace struct {
	rate float64 // POSTs a second for each track

	mu    sync.Mutex
	alone time.Time // when first attempts came last
	crowd time.Time // when they came in crowds last
}

func newPace() *pace { return &pace{rate: yieldRate * float64(runtime.GOMAXPROCS(0))} }

// fresh notes that n first attempts were claimed; crowded says that there may be more, or
// that a healthy destination had no room for one of them.
func (p *pace) fresh(n int, crowded bool, now time.Time) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alone = now
	if crowded {
		p.crowd = now
	}
}

// yields says whether other tracks have to give way.
func (p *pace) yields(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.alone) < yieldFor && now.Sub(p.crowd) >= yieldFor
}

// most returns the size of a bite: all when nobody has to give way, else yielding.
func (p *pace) most(all, yielding int) int {
	if p.yields(time.Now()) {
		return yielding
	}
	return all
}

// pause is how long to leave the database and the processors to others after a claim that
// took so long and had that many POSTs started.
func (p *pace) pause(took time.Duration, started int) time.Duration {
	if !p.yields(time.Now()) {
		return 0
	}
	return max(4*took, time.Duration(float64(started)/p.rate*float64(time.Second)))
}
