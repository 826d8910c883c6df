package kinora

import (
	"strings"
	"time"
)

// GenerationSearch says which of an organisation's generations are listed. Zero fields do not matter.
type GenerationSearch struct {
	State     GenerationState
	Reference string // exactly this one
	// ReferencePrefix is how the reference begins. It does not matter where Reference is given.
	ReferencePrefix string
	Model           string // its public name
	Workflow        string
	Source          string // id of the asset that it is made from
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

// Matches tells whether a generation is one that the search finds, whoever's it is.
func (q GenerationSearch) Matches(g *Generation) bool {
	workflow, reference := "", ""
	if g.Request != nil {
		workflow = g.Request.Workflow
	}
	if g.Reference != nil {
		reference = *g.Reference
	}
	named := q.Reference == reference
	if q.Reference == "" {
		named = strings.HasPrefix(reference, q.ReferencePrefix)
	}
	return named && (q.State == "" || q.State == g.State) && (q.Model == "" || q.Model == g.Model) && (q.Workflow == "" || q.Workflow == workflow) &&
		(q.Source == "" || q.Source == g.SourceAssetID) &&
		!g.CreatedAt.Before(q.Since) && (q.Until.IsZero() || g.CreatedAt.Before(q.Until))
}
