package kling

import (
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// counts are guarded by the simulator's lock.
type counts struct{ submits, unauthorized, polls, lists, downloads int64 }

func (s *Simulator) count(f func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// Stats is what the simulator was asked to do, and what became of it.
type Stats struct {
	Submits      int64 `json:"submits"`      // requests with good keys, refused ones too
	Unauthorized int64 `json:"unauthorized"` // requests without good keys
	Polls        int64 `json:"polls"`        // queries by id or reference, of one task or many
	Lists        int64 `json:"lists"`        // pages of tasks
	Downloads    int64 `json:"downloads"`

	Callbacks simulator.CallbackCounts `json:"callbacks"`
	// Tasks are all that were accepted, oldest first.
	Tasks []TaskStats `json:"tasks"`
}

// TaskStats is what was asked about one task.
type TaskStats struct {
	ID          string    `json:"id"`
	Path        string    `json:"path"` // that it was submitted to
	Model       string    `json:"model"`
	ExternalID  string    `json:"external_id"` // the client's reference
	CallbackURL string    `json:"callback_url"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"created_at"`
	EndedAt     time.Time `json:"ended_at,omitzero"` // zero while in flight
	Looks       int       `json:"looks"`             // queries that showed it
	Callbacks   int       `json:"callbacks"`
	Downloads   int       `json:"downloads"`
}

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	now := s.clock.Now()
	sent := s.callbacks.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	out := Stats{
		Submits: c.submits, Unauthorized: c.unauthorized, Polls: c.polls, Lists: c.lists, Downloads: c.downloads,
		Callbacks: sent, Tasks: make([]TaskStats, 0, len(s.order)),
	}
	for _, t := range s.order {
		path := t.route.path()
		if t.route.family == modern {
			path = "/" + t.route.name + "/" + t.model
		}
		shown := TaskStats{
			ID: t.id, Path: path, Model: t.model, ExternalID: t.external, CallbackURL: t.callback, Status: t.state(now), CreatedAt: t.created,
			Looks: t.looks, Callbacks: t.callbacks, Downloads: t.downloads,
		}
		if t.over(now) {
			shown.EndedAt = t.ended
		}
		out.Tasks = append(out.Tasks, shown)
	}
	return out
}

// Accepted counts the tasks that were made for each client's reference.
func (s *Simulator) Accepted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, t := range s.order {
		out[t.external]++
	}
	return out
}
