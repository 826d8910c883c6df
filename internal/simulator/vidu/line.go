package vidu

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// event is something that happens to a task by itself.
type event struct {
	at   time.Time
	n    int // order among those of one moment
	task *task
	kind eventKind
}

type eventKind int

const (
	becomesReady eventKind = iota
	ends
	givesUp // an off-peak task that found no time
)

// plan lets something happen to a task. The lock is held.
func (s *Simulator) plan(at time.Time, t *task, kind eventKind) {
	s.counts.events++
	heap.Push(&s.events, event{at, s.counts.events, t, kind})
	// Callbacks go out when it happens, whether anybody looks or not.
	s.schedule.At(at, func(context.Context) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settle(s.clock.Now())
	})
}

// settle lets everything happen that is due by now, each at its own time and in order,
// so that what a look sees does not depend on who looked before. The lock is held.
func (s *Simulator) settle(now time.Time) {
	for len(s.events) > 0 && !s.events[0].at.After(now) {
		e := heap.Pop(&s.events).(event)
		switch {
		case !e.task.ended.IsZero():
		case e.kind == becomesReady:
			e.task.account.waiting = append(e.task.account.waiting, e.task)
			s.start(e.task.account, e.at)
		case e.kind == ends:
			s.end(e.task, e.task.orders.end, e.at)
		case e.task.started.IsZero():
			s.end(e.task, "", e.at)
		}
	}
}

// start begins as many waiting tasks as the account may run.
func (s *Simulator) start(a *account, at time.Time) {
	for len(a.waiting) > 0 && a.running < a.Concurrent {
		t := a.waiting[0]
		a.waiting = a.waiting[1:]
		t.started = at
		a.running++
		s.plan(at.Add(t.takes), t, ends)
		s.tell(t, processing, at)
	}
}

// end ends a task: failed with an err_code, or given up, or succeeded.
func (s *Simulator) end(t *task, errCode string, at time.Time) {
	t.ended, t.errCode = at, errCode
	if !t.started.IsZero() {
		t.account.running--
		t.succeeded = errCode == ""
	} else {
		t.account.waiting = slices.DeleteFunc(t.account.waiting, func(w *task) bool { return w == t })
	}
	if t.succeeded {
		s.tell(t, success, at)
	} else {
		t.account.credits -= t.cost
		s.tell(t, failed, at)
	}
	s.start(t.account, at)
}

// eventHeap orders events by their time.
type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, k int) bool {
	if h[i].at.Equal(h[k].at) {
		return h[i].n < h[k].n
	}
	return h[i].at.Before(h[k].at)
}
func (h eventHeap) Swap(i, k int) { h[i], h[k] = h[k], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = event{} // let the task go
	*h = old[:len(old)-1]
	return last
}
