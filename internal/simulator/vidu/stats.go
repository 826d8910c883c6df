package vidu

import (
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// counts are guarded by the simulator's lock.
type counts struct {
	submits, unauthorized, polls, lists, cancels, downloads int64
	events                                                  int
}

func (s *Simulator) count(f func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// Stats is what the simulator was asked to do, and what became of it.
type Stats struct {
	Submits      int64 `json:"submits"`      // requests, refused ones too
	Unauthorized int64 `json:"unauthorized"` // requests without a good key
	Polls        int64 `json:"polls"`        // queries of one task
	Lists        int64 `json:"lists"`        // lists of tasks
	Cancels      int64 `json:"cancels"`      // tasks cancelled
	Downloads    int64 `json:"downloads"`

	Callbacks simulator.CallbackCounts `json:"callbacks"`
	// Tasks are those that were accepted in the last seven days, oldest first.
	Tasks []TaskStats `json:"tasks"`
}

// TaskStats is what was asked about one task.
type TaskStats struct {
	ID          string    `json:"id"`
	Route       string    `json:"route"`
	Model       string    `json:"model"`
	Payload     string    `json:"payload"` // the client's reference
	CallbackURL string    `json:"callback_url"`
	State       string    `json:"state"`
	ErrCode     string    `json:"err_code"`
	CreatedAt   time.Time `json:"created_at"`
	EndedAt     time.Time `json:"ended_at,omitzero"` // zero while in flight
	Looks       int       `json:"looks"`             // queries of its own
	Lists       int       `json:"lists"`             // lists that showed it
	Callbacks   int       `json:"callbacks"`
	Downloads   int       `json:"downloads"`
}

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	now := s.clock.Now()
	sent := s.callbacks.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	c := s.counts
	out := Stats{
		Submits: c.submits, Unauthorized: c.unauthorized, Polls: c.polls, Lists: c.lists, Cancels: c.cancels, Downloads: c.downloads,
		Callbacks: sent, Tasks: make([]TaskStats, 0, len(s.order)),
	}
	for _, t := range s.order {
		out.Tasks = append(out.Tasks, TaskStats{
			ID: t.id, Route: t.route, Model: t.Model, Payload: t.Payload, CallbackURL: t.CallbackURL, State: t.state(now), ErrCode: t.errCode,
			CreatedAt: t.created, EndedAt: t.ended, Looks: t.looks, Lists: t.lists, Callbacks: t.callbacks, Downloads: t.downloads,
		})
	}
	return out
}

// Accepted counts the tasks that were made for each client's reference.
func (s *Simulator) Accepted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, t := range s.order {
		out[t.Payload]++
	}
	return out
}
