package webhook

import (
	"container/heap"
	"container/list"
	"time"
)

// fairQueue holds destinations whose waiting deliveries may be taken: organisations in
// turn, and each organisation's destinations in turn.
type fairQueue struct {
	turns list.List // of *turn
	byOrg map[string]*turn
}

type turn struct {
	organisation string
	destinations list.List // of *destination
	place        *list.Element
}

func (q *fairQueue) push(d *destination) {
	t := q.byOrg[d.organisation]
	if t == nil {
		if q.byOrg == nil {
			q.byOrg = map[string]*turn{}
		}
		t = &turn{organisation: d.organisation}
		t.place = q.turns.PushBack(t)
		q.byOrg[d.organisation] = t
	}
	d.queue, d.place = q, t.destinations.PushBack(d)
}

func (q *fairQueue) remove(d *destination) {
	t := q.byOrg[d.organisation]
	t.destinations.Remove(d.place)
	d.queue, d.place = nil, nil
	if t.destinations.Len() == 0 {
		q.turns.Remove(t.place)
		delete(q.byOrg, t.organisation)
	}
}

// next takes the destination whose turn it is, of the first organisation that admits says
// yes to; nil = none.
func (q *fairQueue) next(admits func(organisation string) bool) *destination {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		t := e.Value.(*turn)
		if !admits(t.organisation) {
			continue
		}
		q.turns.MoveToBack(e)
		d := t.destinations.Front().Value.(*destination)
		q.remove(d)
		return d
	}
	return nil
}

// pauses holds destinations with waiting deliveries whose breaker is open or whose rate is used
// up, the one that may go on next first.
type pauses []*destination

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].resume.Before(p[j].resume) }
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].paused, p[j].paused = i, j
}

func (p *pauses) Push(x any) {
	d := x.(*destination)
	d.paused = len(*p)
	*p = append(*p, d)
}

func (p *pauses) Pop() any {
	last := len(*p) - 1
	d := (*p)[last]
	(*p)[last], *p = nil, (*p)[:last]
	d.paused = -1
	return d
}

// next is when the first of them may go on; zero = there is none.
func (p pauses) next() time.Time {
	if len(p) == 0 {
		return time.Time{}
	}
	return p[0].resume
}

// due takes the first one if its time has come.
func (p *pauses) due(now time.Time) *destination {
	if len(*p) == 0 || now.Before((*p)[0].resume) {
		return nil
	}
	return heap.Pop(p).(*destination)
}
