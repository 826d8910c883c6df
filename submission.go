package kinora

import "encoding/json"

// Submission is a request for a generation, parsed by a public surface and not yet
// accepted. Accepting it checks it against the model's and provider's own limits.
type Submission struct {
	OrganisationID string
	Surface        Surface
	Model          string
	Input          Input
	Source         Source          // the image that it is made from; zero = none
	Reference      *string         // nil = not sent
	Metadata       json.RawMessage // the caller's own object, as sent; nil = not sent
	WebhookURL     string          // for this generation only; empty = the organisation's default
	Plan           Plan            // of how many attempts it is to be made

	Request  *WorkflowRequest // what the generations API was asked for; nil for other APIs
	ParentID string           // the generation that is regenerated; empty = none

	// DurationField is the field that Input.Duration was taken from, for messages; empty = "input.duration".
	DurationField string
	// DurationFault says what is wrong with a length that was asked for. It only matters to models that make videos:
	// others ignore lengths. Empty = nothing.
	DurationFault string

	// Fingerprint is that of the Request and its source, for the ledger; empty = settled when the
	// source is known. Without a Request it is made from the Input.
	Fingerprint string

	// CacheApproved says that outputs which were approved for the same Fingerprint may answer it.
	CacheApproved bool

	// IdempotencyKey makes a repeat of the same request answer with the same generation
	// for 24 hours. Empty = none.
	IdempotencyKey string
	// IdempotencyScope is the method and route that the key is good for.
	IdempotencyScope string
	// RequestHash identifies the request's content: equal for equal JSON documents
	// whatever their key order and white space.
	RequestHash string
}

// Idempotency is what makes a repeat of the submission find the generation of its first try.
func (s *Submission) Idempotency() Idempotency {
	return Idempotency{Key: s.IdempotencyKey, Scope: s.IdempotencyScope, RequestHash: s.RequestHash}
}

// Accepted is the answer to a Submission.
type Accepted struct {
	Generation *Generation
	Replayed   bool // an earlier generation under the same idempotency key
}
