package webhook

import (
	"container/heap"
	"container/list"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// trackID names the three kinds of work that never take each other's room.
type trackID int

const (
	trackFresh trackID = iota // first attempts
	trackRetry                // due retries
	trackHeld                 // deliveries that were held, whatever their attempt
	trackCount
)

func (t trackID) String() string { return [...]string{"fresh", "retry", "held"}[t] }

// track is the room for one kind of work. Slow destinations share half of it.
type track struct {
	room   int
	inHand int // reserved, loading, waiting in memory or under way

	slow      int // those of inHand that go to slow destinations
	slowByOrg map[string]int
}

// slowRoom is how many deliveries to slow destinations an organisation may add. Half of the
// room is kept for destinations that answer soon. Of the other half an organisation may have
// only as much as it leaves free: one alone gets half of it, two get a third each, and a
// newcomer always finds some.
func (t *track) slowRoom(organisation string) int {
	free := max(1, t.room/2) - t.slow
	if free <= 0 {
		return 0
	}
	// It has h and takes n: afterwards h+n of its own must not exceed free-n.
	return (free - t.slowByOrg[organisation] + 1) / 2
}

func (t *track) admitsSlow(organisation string) bool { return t.slowRoom(organisation) > 0 }

func (t *track) takeSlow(organisation string, n int) {
	t.slow += n
	if t.slowByOrg[organisation] += n; t.slowByOrg[organisation] == 0 {
		delete(t.slowByOrg, organisation)
	}
}

// destination is what a node knows of one destination.
type destination struct {
	key          string
	organisation string
	health
	rateLimit

	posting      int    // POSTs under way
	postingFresh int    // first attempts among them
	waiting      []*job // claimed, about to start as soon as a POST ends; first attempts in front
	coming       int    // room set aside for deliveries that are being taken back

	backlog   bool // has held deliveries, or may have
	holding   int  // deliveries on their way to being held
	refilling bool
	noted     uint64 // grows when backlog is set

	used   time.Time
	queue  *fairQueue // where it stands, nil = nowhere
	place  *list.Element
	paused int       // index in pauses; -1 = not there
	resume time.Time // when it may be taken from pauses
}

// job is a claimed delivery in hand.
type job struct {
	delivery *kinora.Delivery
	dest     *destination
	track    trackID
	slow     bool // goes to a slow destination, and counts as such in its track
	batch    *batch
	moved    bool // its endpoint's URL has been changed since it was made
}

func (j *job) fresh() bool { return j.track == trackFresh }

// placement is what the gate says about a claimed delivery.
type placement int

const (
	placeStart placement = iota // POST it now
	placeWait                   // keep it in memory: one of its destination's POSTs ends soon
	placeHold                   // write it back as held
)

// gate decides what may be under way. It holds no deliveries but those that start within a
// moment; it does no I/O. Its methods are safe for concurrent use.
type gate struct {
	limits Limits
	now    func() time.Time
	random func() float64

	changed chan struct{}             // held deliveries may be taken
	freed   [trackCount]chan struct{} // a track has room again

	mu     sync.Mutex
	tracks [trackCount]track
	dests  map[string]*destination
	ready  [2]fairQueue // with a backlog and room: 0 those that answer soon, 1 slow ones
	turn   int          // which of ready is asked first
	pauses pauses
	nodes  int // that share the rate limits of endpoints
}

func newGate(l Limits, now func() time.Time, random func() float64) *gate {
	g := &gate{limits: l.withDefaults(), now: now, random: random, changed: make(chan struct{}, 1), dests: map[string]*destination{}, nodes: 1}
	for i, room := range []int{g.limits.Fresh, g.limits.Retries, g.limits.Held} {
		g.tracks[i] = track{room: room, slowByOrg: map[string]int{}}
		g.freed[i] = make(chan struct{}, 1)
	}
	return g
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// reserve sets room aside for up to want deliveries that are about to be claimed.
func (g *gate) reserve(t trackID, want int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(want, g.tracks[t].room-g.tracks[t].inHand)
	g.tracks[t].inHand += n
	return n
}

// release gives back room that reserve set aside.
func (g *gate) release(t trackID, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(t, n)
}

func (g *gate) leave(t trackID, n int) {
	if n == 0 {
		return
	}
	g.tracks[t].inHand -= n
	if t == trackHeld {
		ring(g.changed)
		return
	}
	ring(g.freed[t])
}

// admit places a delivery that was claimed as a first attempt or a retry, with the room that
// was reserved for it. Room of a delivery that is to be held is given back.
func (g *gate) admit(j *job) placement {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.at(j.delivery.Destination)
	j.dest = d
	now := g.now()
	d.wake(now)
	d.limitTo(j.delivery.Rate, g.nodes)
	p := g.place(d, j, now)
	j.slow = d.slow(g.limits.SlowAfter)
	if p == placeHold {
		d.holding++
		g.leave(j.track, 1)
		return p
	}
	if j.slow {
		g.tracks[j.track].takeSlow(d.organisation, 1)
	}
	g.put(d, j, p, now)
	return p
}

func (g *gate) place(d *destination, j *job, now time.Time) placement {
	slow := d.slow(g.limits.SlowAfter)
	if d.backlog || d.holding > 0 || d.refilling {
		// Others wait already, older ones first. Only a first attempt to a healthy
		// destination passes, in the quarter that is kept for it: the backlog of an outage
		// that is over must not delay what happens now. Where the rate is limited nothing
		// passes: what is older would wait for ever.
		if j.fresh() && !slow && !d.limited() && d.postingFresh < d.width()/4 && d.posting < d.width() {
			return placeStart
		}
		return placeHold
	}
	switch {
	case slow && !g.tracks[j.track].admitsSlow(d.organisation):
		return placeHold
	case d.startable(j.fresh(), now):
		return placeStart
	case len(d.waiting) < g.depth(d):
		return placeWait
	}
	return placeHold
}

// put books a placement other than placeHold.
func (g *gate) put(d *destination, j *job, p placement, now time.Time) {
	if p == placeWait {
		d.wait(j)
		return
	}
	d.spend(now)
	d.posting++
	if j.fresh() {
		d.postingFresh++
	}
}

func (d *destination) startable(fresh bool, now time.Time) bool {
	return d.posting < d.width() && d.allows(now) > 0 && (fresh || d.posting-d.postingFresh < d.backWidth())
}

// wait queues a job: first attempts before others, and each kind in its order.
func (d *destination) wait(j *job) {
	at := len(d.waiting)
	if j.fresh() {
		for at > 0 && !d.waiting[at-1].fresh() {
			at--
		}
	}
	d.waiting = append(d.waiting, nil)
	copy(d.waiting[at+1:], d.waiting[at:])
	d.waiting[at] = j
}

// maxMemoryWait bounds how long a claimed delivery is expected to wait in memory.
const maxMemoryWait = 250 * time.Millisecond

// depth is how many deliveries may wait in memory for a destination: as many as a healthy
// one takes within maxMemoryWait, and none for any other.
func (g *gate) depth(d *destination) int {
	if d.slow(g.limits.SlowAfter) || d.limited() {
		return 0
	}
	turns := int(maxMemoryWait / max(d.latency, time.Millisecond))
	return d.limit * min(turns, 3)
}

// finish ends a POST, or an attempt that was not made, and learns from it. It returns the
// jobs to start now, and those that have to be held because their destination fell ill
// while they waited in memory.
func (g *gate) finish(j *job, s signal, took time.Duration) (start, hold []*job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, now := j.dest, g.now()
	d.used = now
	d.posting--
	if j.fresh() {
		d.postingFresh--
	}
	g.free(j)
	d.observe(s, took, now, &g.limits, g.random())
	if len(d.waiting) > 0 && g.depth(d) == 0 {
		hold, d.waiting = d.waiting, nil
		for _, w := range hold {
			d.holding++
			g.free(w)
		}
	}
	for i := 0; i < len(d.waiting); {
		w := d.waiting[i]
		if !d.startable(w.fresh(), now) {
			i++
			continue
		}
		d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
		g.put(d, w, placeStart, now)
		start = append(start, w)
	}
	g.file(d)
	return start, hold
}

// free gives back the room of a job.
func (g *gate) free(j *job) {
	if j.slow {
		g.tracks[j.track].takeSlow(j.dest.organisation, -1)
		j.slow = false
	}
	g.leave(j.track, 1)
}

// drain takes all jobs that wait in memory, and gives back their room.
func (g *gate) drain() []*job {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []*job
	for _, d := range g.dests {
		for _, j := range d.waiting {
			g.free(j)
			list = append(list, j)
		}
		d.waiting = nil
	}
	return list
}

// at returns the destination's entry, making it when it is not known.
func (g *gate) at(key string) *destination {
	d := g.dests[key]
	if d == nil {
		d = &destination{key: key, organisation: organisationOf(key), health: health{limit: g.limits.Unproven}, paused: -1}
		g.dests[key] = d
	}
	d.used = g.now()
	return d
}

// file puts a destination where its deliveries will be taken from: with those that have
// room, with those whose breaker is open or whose rate is used up, or nowhere.
func (g *gate) file(d *destination) {
	now := g.now()
	d.wake(now)
	var queue *fairQueue
	pause := false
	if d.backlog && !d.refilling {
		switch {
		case d.breaker == open:
			pause, d.resume = true, d.reopen
		case d.allows(now) == 0:
			pause, d.resume = true, d.rested()
		case g.refillRoom(d, now) > 0:
			queue = &g.ready[0]
			if d.slow(g.limits.SlowAfter) {
				queue = &g.ready[1]
			}
		}
	}
	if d.queue != queue {
		if d.queue != nil {
			d.queue.remove(d)
		}
		if queue != nil {
			queue.push(d)
		}
	}
	switch {
	case pause && d.paused < 0:
		heap.Push(&g.pauses, d)
	case pause:
		heap.Fix(&g.pauses, d.paused)
	case d.paused >= 0:
		heap.Remove(&g.pauses, d.paused)
	}
	if queue != nil || pause {
		ring(g.changed)
	}
}

// forget removes what was learnt of destinations that have been idle, and keeps the number
// of entries bounded.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for key, d := range g.dests {
		if d.posting+len(d.waiting)+d.coming+d.holding > 0 || d.backlog || d.refilling || d.breaker == open && now.Before(d.reopen) {
			continue
		}
		if now.Sub(d.used) >= g.limits.IdleFor || len(g.dests) > g.limits.Tracked {
			delete(g.dests, key)
		}
	}
}

// share says how many nodes share the rate limits of endpoints.
func (g *gate) share(nodes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes = max(nodes, 1)
}

// inHand counts what each track has in hand, for metrics.
func (g *gate) inHand() (n [trackCount]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.tracks {
		n[i] = g.tracks[i].inHand
	}
	return n
}
