package webhook

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

// gateModel is a database of deliveries and the loops around a gate, without the loops: the
// test decides what happens next.
type gateModel struct {
	t       *rapid.T
	g       *gate
	at      time.Time
	n       int
	due     [2][]*kinora.Delivery          // claimable first attempts and retries, in order
	writing []*kinora.Delivery             // to be held, not yet committed
	held    map[string][]*kinora.Delivery  // by destination, oldest first
	posting map[*destination]map[*job]bool // under way
	waiting map[*job]bool                  // in memory
	done    map[string]int
	starts  map[string][]time.Time // of destinations with a rate limit
}

// gateRates are the limits of some destinations, in POSTs a second.
var gateRates = map[string]int{"org1 b": 3, "org2 b": 40, "org3 a": 1}

func (m *gateModel) insert(track trackID, dest string) {
	m.n++
	d := &kinora.Delivery{ID: fmt.Sprintf("dlv_%06d", m.n), Destination: dest, Rate: gateRates[dest], CreatedAt: m.at.Add(time.Duration(m.n))}
	m.due[track] = append(m.due[track], d)
}

// claim is one round of a claimer.
func (m *gateModel) claim(track trackID, want int) {
	n := m.g.reserve(track, want)
	list := m.due[track][:min(n, len(m.due[track]))]
	m.due[track] = m.due[track][len(list):]
	m.g.release(track, n-len(list))
	for _, d := range list {
		j := &job{delivery: d, track: track}
		p := m.g.admit(j)
		if key := d.Destination; d.Rate > 0 && p != placeHold && len(m.held[key])+m.beingWritten(key) > 0 {
			m.t.Fatalf("%s: a delivery passes those that wait", key)
		}
		m.placed(j, p)
	}
}

func (m *gateModel) beingWritten(key string) (n int) {
	for _, d := range m.writing {
		if d.Destination == key {
			n++
		}
	}
	return n
}

// commitHeld is the writer.
func (m *gateModel) commitHeld(i int) {
	d := m.writing[i]
	m.writing = slices.Delete(m.writing, i, i+1)
	m.held[d.Destination] = append(m.held[d.Destination], d)
	sortByAge(m.held[d.Destination])
	m.g.held(d.Destination)
}

// refill is one round of the refiller; failing ones claim nothing.
func (m *gateModel) refill(limit, most int, fails bool) {
	for _, r := range m.g.refills(limit, most) {
		if r.n < 1 {
			m.t.Fatalf("room for %d", r.n)
		}
		if fails {
			m.g.abandon(r)
			continue
		}
		key := r.dest.key
		list := m.held[key][:min(r.n, len(m.held[key]))]
		m.held[key] = slices.Clone(m.held[key][len(list):])
		jobs, places := m.g.arrive(r, list, nil)
		if !slices.IsSorted(places) {
			m.t.Fatalf("an older delivery waits while a younger one starts: %v", places)
		}
		for i, j := range jobs {
			m.placed(j, places[i])
		}
	}
}

func (m *gateModel) placed(j *job, p placement) {
	switch p {
	case placeHold:
		m.writing = append(m.writing, j.delivery)
	case placeWait:
		m.waiting[j] = true
	case placeStart:
		m.started(j)
	}
}

func (m *gateModel) started(j *job) {
	d := j.dest
	if m.posting[d] == nil {
		m.posting[d] = map[*job]bool{}
	}
	m.posting[d][j] = true
	m.withinRate(j.delivery)
	others := 0
	for p := range m.posting[d] {
		if !p.fresh() {
			others++
		}
	}
	if len(m.posting[d]) > d.width() {
		m.t.Fatalf("%s: %d POSTs, width %d", d.key, len(m.posting[d]), d.width())
	}
	if !j.fresh() && others > d.backWidth() {
		m.t.Fatalf("%s: %d POSTs that are not first attempts, of a width of %d", d.key, others, d.width())
	}
}

// withinRate checks every span of time that ends now.
func (m *gateModel) withinRate(d *kinora.Delivery) {
	if d.Rate == 0 {
		return
	}
	list := append(m.starts[d.Destination], m.at)
	m.starts[d.Destination] = list
	for i, from := range list {
		span := m.at.Sub(from)
		burst := max(1, float64(d.Rate)*burstFor.Seconds())
		if n := len(list) - i; float64(n) > span.Seconds()*float64(d.Rate)+burst+1e-6 {
			m.t.Fatalf("%s: %d POSTs within %s at %d a second", d.Destination, n, span, d.Rate)
		}
	}
}

// finish ends a POST.
func (m *gateModel) finish(j *job, s signal, took time.Duration) {
	delete(m.posting[j.dest], j)
	if s != signalGood {
		m.due[trackRetry] = append(m.due[trackRetry], j.delivery)
	} else {
		m.done[j.delivery.ID]++
	}
	start, hold := m.g.finish(j, s, took)
	for _, w := range start {
		delete(m.waiting, w)
		m.started(w)
	}
	for _, w := range hold {
		delete(m.waiting, w)
		m.writing = append(m.writing, w.delivery)
	}
}

func (m *gateModel) all() (jobs []*job) {
	for _, d := range m.posting {
		for j := range d {
			jobs = append(jobs, j)
		}
	}
	slices.SortFunc(jobs, func(a, b *job) int { return compareIDs(a.delivery, b.delivery) })
	return jobs
}

func compareIDs(a, b *kinora.Delivery) int {
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// check compares the gate's books with what the model knows.
func (m *gateModel) check() {
	var inHand [trackCount]int
	slow := [trackCount]map[string]int{{}, {}, {}}
	count := func(j *job) {
		inHand[j.track]++
		if j.slow {
			slow[j.track][j.dest.organisation]++
		}
	}
	for _, j := range m.all() {
		count(j)
	}
	for j := range m.waiting {
		count(j)
	}
	for i, t := range m.g.tracks {
		if t.inHand != inHand[i] || t.inHand > t.room || t.inHand < 0 {
			m.t.Fatalf("track %s: %d in hand, counted %d, room %d", trackID(i), t.inHand, inHand[i], t.room)
		}
		total := 0
		for org, n := range slow[i] {
			total += n
			if t.slowByOrg[org] != n {
				m.t.Fatalf("track %s: %d slow ones of %s, counted %d", trackID(i), t.slowByOrg[org], org, n)
			}
		}
		if t.slow != total || len(t.slowByOrg) != len(slow[i]) || total > max(1, t.room/2) {
			m.t.Fatalf("track %s: %d slow, counted %d, room %d", trackID(i), t.slow, total, t.room)
		}
	}
	holding := map[string]int{}
	for _, d := range m.writing {
		holding[d.Destination]++
	}
	for key, d := range m.g.dests {
		if d.holding != holding[key] || d.posting != len(m.posting[d]) || d.coming != 0 || d.refilling {
			m.t.Fatalf("%s: holding %d (%d), posting %d (%d), coming %d", key, d.holding, holding[key], d.posting, len(m.posting[d]), d.coming)
		}
		if len(m.held[key]) > 0 && !d.backlog {
			m.t.Fatalf("%s has %d held deliveries that nobody will look for", key, len(m.held[key]))
		}
		if len(d.waiting) > 0 && d.posting == 0 {
			m.t.Fatalf("%s: %d wait in memory, and no POST is under way to make room", key, len(d.waiting))
		}
	}
}

// TestGateProperties: whatever happens in whatever order, no limit is passed, no delivery is
// lost, and once the receivers are well every delivery is made exactly once.
func TestGateProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &gateModel{t: rt, at: time.Unix(1790000000, 0), held: map[string][]*kinora.Delivery{},
			posting: map[*destination]map[*job]bool{}, waiting: map[*job]bool{}, done: map[string]int{}, starts: map[string][]time.Time{}}
		room := rapid.IntRange(2, 24)
		m.g = newGate(Limits{
			Fresh: room.Draw(rt, "fresh"), Retries: room.Draw(rt, "retries"), Held: room.Draw(rt, "held"),
			PerDestination: rapid.IntRange(1, 8).Draw(rt, "per destination"), Unproven: rapid.IntRange(1, 4).Draw(rt, "unproven"),
			OpenAfter: rapid.IntRange(1, 5).Draw(rt, "open after"),
		}, func() time.Time { return m.at }, func() float64 { return half })
		dests := []string{"org1 a", "org1 b", "org1 c", "org2 a", "org2 b", "org3 a"}
		dest := rapid.SampledFrom(dests)
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { m.check() },
			"insert": func(rt *rapid.T) {
				track := trackID(rapid.IntRange(0, 1).Draw(rt, "track"))
				to := dest.Draw(rt, "destination")
				for range rapid.IntRange(1, 30).Draw(rt, "n") {
					m.insert(track, to)
				}
			},
			"claim": func(rt *rapid.T) {
				m.claim(trackID(rapid.IntRange(0, 1).Draw(rt, "track")), rapid.IntRange(1, 30).Draw(rt, "want"))
			},
			"commit": func(rt *rapid.T) {
				for i := rapid.IntRange(0, len(m.writing)).Draw(rt, "n"); i > 0; i-- {
					m.commitHeld(rapid.IntRange(0, len(m.writing)-1).Draw(rt, "which"))
				}
			},
			"refill": func(rt *rapid.T) {
				m.refill(rapid.IntRange(1, 8).Draw(rt, "limit"), rapid.IntRange(1, 30).Draw(rt, "most"), rapid.Bool().Draw(rt, "fails"))
			},
			"finish": func(rt *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(rt, "n") {
					jobs := m.all()
					if len(jobs) == 0 {
						return
					}
					s := rapid.SampledFrom([]signal{signalGood, signalGood, signalAlive, signalSick, signalSick, signalNone}).Draw(rt, "signal")
					took := time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond
					m.finish(rapid.SampledFrom(jobs).Draw(rt, "job"), s, took)
				}
			},
			"moment": func(rt *rapid.T) {
				m.at = m.at.Add(time.Duration(rapid.IntRange(1, 500).Draw(rt, "ms")) * time.Millisecond)
			},
			"time":   func(rt *rapid.T) { m.at = m.at.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "s")) * time.Second) },
			"forget": func(*rapid.T) { m.g.forget() },
		})
		m.finishAll()
		for i := range m.n {
			if got := m.done[fmt.Sprintf("dlv_%06d", i+1)]; got != 1 {
				rt.Fatalf("delivery %d was made %d times", i+1, got)
			}
		}
	})
}

// finishAll lets every receiver be well until nothing is left.
func (m *gateModel) finishAll() {
	for round := 0; len(m.done) < m.n; round++ {
		if round > 1000+10*m.n {
			m.t.Fatalf("%d of %d deliveries starve: due %d and %d, being written %d, held %v", m.n-len(m.done), m.n,
				len(m.due[0]), len(m.due[1]), len(m.writing), len(m.held))
		}
		before := len(m.done)
		m.claim(trackFresh, 10)
		m.claim(trackRetry, 10)
		for len(m.writing) > 0 {
			m.commitHeld(0)
		}
		m.refill(8, 100, false)
		for _, j := range m.all() {
			m.finish(j, signalGood, time.Millisecond)
		}
		m.check()
		if len(m.done) == before {
			m.at = m.at.Add(10 * time.Second) // a breaker may be open
		}
	}
}
