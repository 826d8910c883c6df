package openai

import "time"

// Stats is what the simulator was asked to do since it was made.
type Stats struct {
	Submits    int64 `json:"submits"`     // of videos and responses, refused ones too
	ImageCalls int64 `json:"image_calls"` // refused ones too
	Polls      int64 `json:"polls"`
	Lists      int64 `json:"lists"`
	Cancelled  int64 `json:"cancelled"`
	Deleted    int64 `json:"deleted"`
	Made       int64 `json:"made"` // images, by image calls

	// Jobs are all videos and responses that were accepted, oldest first, and Images the image
	// calls that were carried out: each of either is paid for once.
	Jobs   []JobStats  `json:"jobs"`
	Images []ImageCall `json:"images"`
}

// JobStats is one video or response.
type JobStats struct {
	ID         string    `json:"id"`
	Model      string    `json:"model"`
	Prompt     string    `json:"prompt"` // without orders
	Seconds    int       `json:"seconds,omitempty"`
	Size       string    `json:"size,omitempty"`
	References []string  `json:"references,omitempty"`
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"created_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"` // zero while in flight
	Looks      int       `json:"looks"`
	Downloads  int       `json:"downloads"`
}

// ImageCall is one image call that was carried out.
type ImageCall struct {
	Model      string    `json:"model"`
	Prompt     string    `json:"prompt"` // without orders
	N          int       `json:"n"`
	References []string  `json:"references,omitempty"`
	Stream     bool      `json:"stream"`
	At         time.Time `json:"at"`
}

func (s *Simulator) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

func (s *Simulator) note(c ImageCall) { s.count(func(st *Stats) { st.Images = append(st.Images, c) }) }
func (s *Simulator) made(n int)       { s.count(func(st *Stats) { st.Made += int64(n) }) }

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Images = append([]ImageCall{}, s.stats.Images...)
	out.Jobs = []JobStats{}
	for _, j := range s.order {
		shown := JobStats{
			ID: j.id, Model: j.model, Prompt: j.prompt, Seconds: j.seconds, Size: j.size, References: j.references, Status: j.state(now),
			CreatedAt: j.created, Looks: j.looks, Downloads: j.downloads,
		}
		switch shown.Status {
		case completed, failed:
			shown.EndedAt = j.ended()
		case cancelled:
			shown.EndedAt = j.cancelled
		}
		out.Jobs = append(out.Jobs, shown)
	}
	return out
}
