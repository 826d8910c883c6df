package sandbox

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

// registry holds the jobs: those in flight all, those that ended up to a number.
type registry struct {
	keep int

	mu       sync.Mutex
	byID     map[string]*job
	byRef    map[string][]*job // of all accounts, oldest first
	ending   endHeap           // by the time at which each ends by itself
	finished []*job            // oldest first; a queue
	inFlight map[*account]int
	accepted int64
	repeated int64 // accepted although a job with the same client_ref was there
}

func newRegistry(keep int) *registry {
	return &registry{keep: keep, byID: map[string]*job{}, byRef: map[string][]*job{}, inFlight: map[*account]int{}}
}

// reserve counts a job of the account as in flight, unless it has too many. It is
// followed by insert or release.
func (r *registry) reserve(a *account, now time.Time) (ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(now)
	if a.max > 0 && r.inFlight[a] >= a.max {
		return false
	}
	r.inFlight[a]++
	return true
}

// release takes a reserve back.
func (r *registry) release(a *account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight[a]--
}

// insert takes in a job that was reserved.
func (r *registry) insert(j *job, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted++
	r.byID[j.id] = j
	if j.ClientRef != "" {
		if len(r.byRef[j.ClientRef]) > 0 {
			r.repeated++
		}
		r.byRef[j.ClientRef] = append(r.byRef[j.ClientRef], j)
	}
	heap.Push(&r.ending, j)
	r.settle(now)
}

// settle counts the jobs that have ended by now and forgets the oldest of them
// beyond the limit. It is called with the lock held.
func (r *registry) settle(now time.Time) {
	for len(r.ending) > 0 && !r.ending[0].finished.After(now) {
		r.end(r.ending[0])
	}
	for len(r.finished) > r.keep {
		r.forget(r.finished[0])
		r.finished[0] = nil
		r.finished = r.finished[1:]
	}
}

// end moves a job from those in flight to those that ended.
func (r *registry) end(j *job) {
	heap.Remove(&r.ending, j.place)
	r.inFlight[j.account]--
	r.finished = append(r.finished, j)
}

func (r *registry) forget(j *job) {
	delete(r.byID, j.id)
	same := r.byRef[j.ClientRef]
	if i := slices.Index(same, j); i == 0 {
		same = same[1:] // the common case, and cheap however many there are
	} else if i > 0 {
		same = slices.Delete(same, i, i+1)
	}
	if len(same) == 0 {
		delete(r.byRef, j.ClientRef)
	} else {
		r.byRef[j.ClientRef] = same
	}
}

// with calls f with the account's job of that id, under the lock; false if there
// is none.
func (r *registry) with(id string, of *account, now time.Time, f func(*job)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(now)
	j, ok := r.byID[id]
	if !ok || (of != nil && j.account != of) || j.vanished(now) {
		return false
	}
	f(j)
	return true
}

// eachRef calls f with the account's jobs of a client_ref, oldest first, under the
// lock.
func (r *registry) eachRef(ref string, of *account, now time.Time, f func(*job)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(now)
	for _, j := range r.byRef[ref] {
		if j.account == of && !j.vanished(now) {
			f(j)
		}
	}
}

// cancel ends a job now; false if it has ended already. It is called with the lock
// held.
func (r *registry) cancel(j *job, now time.Time) bool {
	if _, over := j.final(now); over {
		return false
	}
	j.cancelled = now
	r.end(j)
	return true
}

// endHeap orders jobs by when they end by themselves.
type endHeap []*job

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, k int) bool { return h[i].finished.Before(h[k].finished) }
func (h endHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].place, h[k].place = i, k
}
func (h *endHeap) Push(x any) {
	j := x.(*job)
	j.place = len(*h)
	*h = append(*h, j)
}
func (h *endHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return j
}
