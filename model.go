package kinora

import "time"

// Model is a public name that callers send, and what configuration makes of it.
type Model struct {
	Name          string
	Kind          Kind
	Provider      string
	UpstreamModel string   // the upstream's id; empty = Name
	Accounts      []string // names of accounts it may run on; empty = all of the provider
	// Deadline is how long a generation may take from acceptance to its end; 0 = 10 minutes
	// for images and 60 minutes for videos.
	Deadline time.Duration
}

// Deadlines that hold where a model's configuration says nothing (submit API contract 3.4).
const (
	DefaultImageDeadline = 10 * time.Minute
	DefaultVideoDeadline = 60 * time.Minute
)

// DeadlineAfter returns the model's deadline, or the default of its kind.
func (m *Model) DeadlineAfter() time.Duration {
	switch {
	case m.Deadline > 0:
		return m.Deadline
	case m.Kind == KindVideo:
		return DefaultVideoDeadline
	}
	return DefaultImageDeadline
}
