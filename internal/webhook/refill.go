package webhook

import (
	"time"

	"github.com/kinora/kinora"
)

// refill is room for held deliveries of one destination, set aside until they are claimed.
type refill struct {
	dest  *destination
	n     int
	slow  bool
	noted uint64
}

// refillRoom is how many held deliveries of a destination may be taken. Where some may wait
// in memory it is nothing until half of them have gone, so that they are taken in batches.
func (g *gate) refillRoom(d *destination, now time.Time) int {
	depth := g.depth(d)
	if len(d.waiting) > depth/2 {
		return 0
	}
	others := d.posting - d.postingFresh
	room := d.backWidth() + depth - others - len(d.waiting) - d.coming
	return min(room, d.width()+depth-d.posting-len(d.waiting)-d.coming, d.allows(now))
}

// refills sets room aside for up to most held deliveries of up to limit destinations:
// healthy and slow ones in turn, as far as the track has room for them.
func (g *gate) refills(limit, most int) []refill {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for {
		d := g.pauses.due(now)
		if d == nil {
			break
		}
		g.file(d)
	}
	t := &g.tracks[trackHeld]
	var list []refill
	for len(list) < limit && most > 0 && t.inHand < t.room {
		d, slow := g.nextReady()
		if d == nil {
			break
		}
		n := min(g.refillRoom(d, now), t.room-t.inHand, most)
		if n <= 0 {
			g.file(d) // first attempts have filled it since
			continue
		}
		if slow {
			n = min(n, t.slowRoom(d.organisation))
			t.takeSlow(d.organisation, n)
		}
		most -= n
		t.inHand += n
		d.coming += n
		d.refilling = true
		list = append(list, refill{dest: d, n: n, slow: slow, noted: d.noted})
	}
	return list
}

func (g *gate) nextReady() (d *destination, slow bool) {
	for range 2 {
		g.turn = 1 - g.turn
		if g.turn == 0 {
			if d := g.ready[0].next(func(string) bool { return true }); d != nil {
				return d, false
			}
			continue
		}
		if d := g.ready[1].next(g.tracks[trackHeld].admitsSlow); d != nil {
			return d, true
		}
	}
	return nil, false
}

// arrive places the deliveries that were claimed with a refill, oldest first. Fewer than
// there was room for mean that no more are held, unless one was held meanwhile.
func (g *gate) arrive(r refill, claimed []*kinora.Delivery, b *batch) (jobs []*job, places []placement) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := r.dest
	d.coming -= r.n
	d.refilling = false
	now := g.now()
	d.used = now
	g.giveUp(r, r.n-len(claimed))
	if len(claimed) < r.n && d.noted == r.noted {
		d.backlog = false
	}
	for _, delivery := range claimed {
		j := &job{delivery: delivery, dest: d, track: trackHeld, slow: r.slow, batch: b}
		d.limitTo(delivery.Rate, g.nodes)
		p := placeHold
		switch {
		case d.startable(false, now):
			p = placeStart
		case len(d.waiting) < g.depth(d):
			p = placeWait
		}
		if p == placeHold {
			d.holding++
			g.free(j)
		} else {
			g.put(d, j, p, now)
		}
		jobs, places = append(jobs, j), append(places, p)
	}
	g.file(d)
	return jobs, places
}

// abandon gives back the room of a refill whose claim failed.
func (g *gate) abandon(r refill) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.dest.coming -= r.n
	r.dest.refilling = false
	g.giveUp(r, r.n)
	g.file(r.dest)
}

func (g *gate) giveUp(r refill, n int) {
	if r.slow {
		g.tracks[trackHeld].takeSlow(r.dest.organisation, -n)
	}
	g.leave(trackHeld, n)
}

// held notes that a delivery that was to be held is in the database now.
func (g *gate) held(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.at(key)
	d.holding = max(0, d.holding-1)
	g.note(d)
}

// discover notes that a destination has held deliveries. It reports false when no more
// destinations can be followed; they are found again when others have gone.
func (g *gate) discover(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dests[key] == nil && len(g.dests) >= g.limits.Tracked {
		return false
	}
	g.note(g.at(key))
	return true
}

func (g *gate) note(d *destination) {
	d.backlog = true
	d.noted++
	g.file(d)
}

// nextProbe is when the first paused destination with a backlog may go on; zero = none.
func (g *gate) nextProbe() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pauses.next()
}
