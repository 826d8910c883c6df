package simulator

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Schedule runs tasks at their time: one heap and one waiting goroutine, however
// many tasks wait, so that ten thousand jobs in flight cost ten thousand small
// records. Tasks run in goroutines of their own, at most a fixed number at once;
// a task that is due while all are busy waits for the next free one.
type Schedule struct {
	clock Clock
	ctx   context.Context
	stop  context.CancelFunc
	slots chan struct{}
	wake  chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex
	tasks  taskHeap
	order  uint64
	closed bool
}

// NewSchedule starts a schedule that runs up to parallel tasks at once. Close ends
// it.
func NewSchedule(clock Clock, parallel int) *Schedule {
	ctx, stop := context.WithCancel(context.Background())
	s := &Schedule{
		clock: clock, ctx: ctx, stop: stop,
		slots: make(chan struct{}, parallel),
		wake:  make(chan struct{}, 1),
	}
	s.done.Go(s.dispatch)
	return s
}

// At runs a task at t, or as soon as possible if t has passed; tasks of the same
// time start in the order in which they were given. The task's context ends with
// Close. After Close nothing more is run.
func (s *Schedule) At(t time.Time, task func(context.Context)) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.order++
	heap.Push(&s.tasks, scheduled{at: t, order: s.order, run: task})
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is on its way already
	}
}

// Waiting returns how many tasks have not started yet.
func (s *Schedule) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

// Close drops the tasks that wait, ends the context of those that run, and waits
// for them. It may be called twice.
func (s *Schedule) Close() {
	s.mu.Lock()
	s.closed, s.tasks = true, nil
	s.mu.Unlock()
	s.stop()
	s.done.Wait()
}

func (s *Schedule) dispatch() {
	for {
		task, at := s.next()
		if task == nil {
			if !s.sleep(at) {
				return
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		s.done.Go(func() {
			defer func() { <-s.slots }()
			task(s.ctx)
		})
	}
}

// next takes the first task if it is due; otherwise it says when that will be,
// the zero time without any task.
func (s *Schedule) next() (task func(context.Context), at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) == 0 {
		return nil, time.Time{}
	}
	if at = s.tasks[0].at; at.After(s.clock.Now()) {
		return nil, at
	}
	return heap.Pop(&s.tasks).(scheduled).run, at
}

// sleep waits for that time, unless it is zero, or for a new task; false after
// Close.
func (s *Schedule) sleep(at time.Time) bool {
	var fired <-chan time.Time
	if !at.IsZero() {
		var stop func()
		fired, stop = s.clock.Timer(at)
		defer stop()
	}
	select {
	case <-fired:
	case <-s.wake:
	case <-s.ctx.Done():
		return false
	}
	return true
}

type scheduled struct {
	at    time.Time
	order uint64
	run   func(context.Context)
}

type taskHeap []scheduled

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].order < h[j].order
	}
	return h[i].at.Before(h[j].at)
}
func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *taskHeap) Push(x any)   { *h = append(*h, x.(scheduled)) }
func (h *taskHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = scheduled{} // let the task go
	*h = old[:len(old)-1]
	return last
}
