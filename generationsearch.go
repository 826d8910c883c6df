package kinora

import "time"

// GenerationSearch says which of an organisation's generations are listed. Zero fields do not matter.
type GenerationSearch struct {
	State     GenerationState
	Reference string // exactly this one
	Model     string // its public name
	Workflow  string
	// Since and Until bound when the generation was accepted: Since ≤ t < Until.
	Since, Until time.Time
}

// Listed is a generation in a list, with those of its outputs that may be published.
type Listed struct {
	Generation *Generation
	Outputs    []Output
}

// Outlook is what can be said about a generation that has not ended yet.
type Outlook struct {
	// Position is its place among the work that waits for the same upstream accounts, 1 = next, whoever's that work
	// is; 0 = it does not wait, or too far behind to be counted.
	Position int
	// ETA is how long it will probably take from now on; 0 = not known.
	ETA time.Duration
}

// Standing is how far a generation has come.
type Standing struct {
	State    GenerationState
	Progress int // 0..100
}
