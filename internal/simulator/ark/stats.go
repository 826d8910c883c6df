package ark

import (
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// counts count requests.
type counts struct{ submits, imageCalls, polls, lists, cancelled, destroyed int64 }

func (s *Simulator) count(f func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// Stats is what the simulator was asked to do since it was made.
type Stats struct {
	Submits    int64 `json:"submits"`     // of videos, refused ones too
	ImageCalls int64 `json:"image_calls"` // refused ones too
	Polls      int64 `json:"polls"`       // queries of one task
	Lists      int64 `json:"lists"`       // queries of many
	Cancelled  int64 `json:"cancelled"`   // tasks
	Destroyed  int64 `json:"destroyed"`   // records of ended tasks, by DELETE

	Callbacks simulator.CallbackCounts `json:"callbacks"`
	// Tasks are all that were accepted within RecordLife, oldest first, and Images the image
	// calls that were carried out: each of either is paid for once.
	Tasks  []TaskStats `json:"tasks"`
	Images []ImageCall `json:"images"`
}

// TaskStats is one task.
type TaskStats struct {
	ID          string    `json:"id"`
	Reference   string    `json:"reference"` // safety_identifier; empty = none was sent
	Model       string    `json:"model"`
	Prompt      string    `json:"prompt"` // without orders and text parameters
	Seconds     int64     `json:"seconds"`
	CallbackURL string    `json:"callback_url,omitempty"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"created_at"`
	EndedAt     time.Time `json:"ended_at,omitzero"` // zero while in flight
	Looks       int       `json:"looks"`             // queries that named it
	Callbacks   int       `json:"callbacks"`         // sends
	Downloads   int       `json:"downloads"`
}

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{
		Submits: s.stats.submits, ImageCalls: s.stats.imageCalls, Polls: s.stats.polls, Lists: s.stats.lists,
		Cancelled: s.stats.cancelled, Destroyed: s.stats.destroyed, Callbacks: s.callbacks.Counts(), Tasks: []TaskStats{},
		Images: append([]ImageCall{}, s.calls...),
	}
	for _, t := range s.order {
		status, since := t.state(now)
		shown := TaskStats{ID: t.id, Model: t.Model, Prompt: t.prompt, Seconds: t.seconds, CallbackURL: t.CallbackURL, Status: status,
			CreatedAt: t.created, Looks: t.looks, Callbacks: t.notices, Downloads: t.downloads}
		if final(status) {
			shown.EndedAt = since
		}
		if t.SafetyIdentifier != nil {
			shown.Reference = *t.SafetyIdentifier
		}
		out.Tasks = append(out.Tasks, shown)
	}
	return out
}

// Accepted counts the accepted tasks by the reference that they carry.
func (s *Simulator) Accepted() map[string]int {
	out := map[string]int{}
	for _, t := range s.Stats().Tasks {
		out[t.Reference]++
	}
	return out
}
