package google

import (
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// counts are guarded by the simulator's lock.
type counts struct {
	submits, unauthorized, polls, cancels, downloads, tokens, keys int64
}

func (s *Simulator) count(f func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counts)
}

// Stats is what the simulator was asked to do, and what became of it.
type Stats struct {
	Submits      int64 `json:"submits"`      // requests, refused ones too
	Unauthorized int64 `json:"unauthorized"` // requests without a good key or token
	Polls        int64 `json:"polls"`
	Cancels      int64 `json:"cancels"` // jobs cancelled
	Downloads    int64 `json:"downloads"`
	Tokens       int64 `json:"tokens"` // granted
	Keys         int64 `json:"keys"`   // fetches of the webhooks' keys

	Callbacks simulator.CallbackCounts `json:"callbacks"`
	Jobs      []JobStats               `json:"jobs"` // oldest first
}

// JobStats is what was asked about one job.
type JobStats struct {
	ID        string    `json:"id"` // as the caller knows it: of Veo an operation's name
	Kind      string    `json:"kind"`
	Model     string    `json:"model"`
	Prompt    string    `json:"prompt"`
	Hook      string    `json:"hook"` // the webhook's address
	Files     int       `json:"files"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero while in flight
	Looks     int       `json:"looks"`
	Downloads int       `json:"downloads"`
	Callbacks int       `json:"callbacks"`
}

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	now := s.clock.Now()
	sent := s.callbacks.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	out := Stats{
		Submits: c.submits, Unauthorized: c.unauthorized, Polls: c.polls, Cancels: c.cancels, Downloads: c.downloads, Tokens: c.tokens, Keys: c.keys,
		Callbacks: sent, Jobs: make([]JobStats, 0, len(s.order)),
	}
	for _, j := range s.order {
		shown := JobStats{
			ID: j.reference(), Kind: j.kind, Model: j.model, Prompt: j.prompt, Hook: j.hook, Files: j.files, State: j.state(now), CreatedAt: j.created,
			Looks: j.looks, Downloads: j.downloads, Callbacks: j.callbacks,
		}
		switch shown.State {
		case "cancelled":
			shown.EndedAt = j.cancelled
		case "ended":
			shown.EndedAt = j.ends
		}
		out.Jobs = append(out.Jobs, shown)
	}
	return out
}

// Accepted counts the jobs that were made for each prompt.
func (s *Simulator) Accepted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, j := range s.order {
		out[j.prompt]++
	}
	return out
}
