package kinora

import "time"

// ReviewState is where a review stands. Terminal states never change.
type ReviewState string

const (
	ReviewPending   ReviewState = "pending"
	ReviewApproved  ReviewState = "approved"
	ReviewRejected  ReviewState = "rejected"
	ReviewWithdrawn ReviewState = "withdrawn" // the generation was cancelled meanwhile
)

// Review holds a generation whose outputs have passed its gate until a person has decided on
// them. A generation has one for each round that came so far.
type Review struct {
	GenerationID   string
	Round          int // of the attempts whose outputs are held, 0-based
	OrganisationID string
	State          ReviewState
	Outputs        []string // ids of the approved ones, the primary first
	Reason         string   // the decider's words; empty = none
	DecidedBy      string
	CreatedAt      time.Time
	DecidedAt      time.Time // zero while pending
}

// ReviewPosition is a place in the queue of reviews, oldest first; the zero value is its
// beginning.
type ReviewPosition struct {
	CreatedAt    time.Time
	GenerationID string
}

// HeldGeneration is a generation that waits for a review, with what it would publish, the best first.
type HeldGeneration struct {
	Generation *Generation
	Outputs    []Output
}

// ReviewDecision is what a person decided on a held generation.
type ReviewDecision struct {
	// Round is the round that was looked at; nil = whichever waits. Another one waits for a decision of its own.
	Round *int
	// Approve are the ids of the outputs to publish, the primary first; empty = the best ones
	// that passed the gate, as many as the plan publishes. Only when not Reject.
	Approve []string
	Reject  bool
	Reason  string // at most 1,000 characters
	By      string // who; at most 200 characters, must not be empty
}
