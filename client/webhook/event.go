package webhook

import (
	"encoding/json"
	"fmt"
	"time"
)

// The event types of the contract. Others may be added; ignore what you do not know, with a nil error.
const (
	GenerationCompleted = "generation.completed"
	GenerationFailed    = "generation.failed" // failed or cancelled
)

// Event tells that a generation has reached its end. As JSON it has the seven keys of the
// generations API contract, 10.2, in that order; the fields that come from headers are not part of it.
type Event struct {
	// EventType is GenerationCompleted or GenerationFailed. Never empty.
	EventType string `json:"event_type"`
	// JobID is the generation's id as its API shows it: job_… or task_…
	JobID string `json:"job_id"`
	// SourceAssetID is nil for tasks of the submit API, and when an inline ingest failed before there was an
	// asset.
	SourceAssetID *string `json:"source_asset_id"`
	// Reference is the caller's own id as it was sent; nil when none was.
	Reference *string `json:"reference"`
	// Outputs holds only outputs that passed, the primary one first. Empty, never nil, when the generation failed.
	Outputs []Output `json:"outputs"`
	// Failure is nil unless the generation failed.
	Failure *Failure `json:"failure"`
	// Metadata is the caller's own object as it was sent; {} when none was.
	Metadata json.RawMessage `json:"metadata"`

	// ID is webhook-id: the event's id, the same on every attempt. Signed; empty when the
	// delivery was accepted on x-katalo-signature alone, which does not cover it.
	ID string `json:"-"`
	// Timestamp is webhook-timestamp: when this attempt was made, in whole seconds. Signed; zero
	// when the delivery was accepted on x-katalo-signature alone.
	Timestamp time.Time `json:"-"`
	// Attempt is x-katalo-attempt, 1-based; 0 when it is not there. NOT signed: for logs only.
	Attempt int `json:"-"`
}

// Output is one produced file (generations API contract, 6.1).
type Output struct {
	ID string `json:"output_id"`
	// Role is "primary" or "alternate".
	Role string `json:"role"`
	// URL is signed and short-lived: anybody who has it can read the file until ExpiresAt. Read the
	// generation for a fresh one.
	URL         string    `json:"url"`
	ExpiresAt   time.Time `json:"expires_at"`
	ContentType string    `json:"content_type"`
	Width       int       `json:"width"`  // pixels; 0 = not known
	Height      int       `json:"height"` // pixels; 0 = not known
}

// Failure is why a generation did not succeed (generations API contract, 6.3).
type Failure struct {
	// Code is one of the contract's closed list, for example "quality_rejected".
	Code string `json:"code"`
	// Message is for people.
	Message string `json:"message"`
	// Retryable says that the same request may succeed when it is submitted again.
	Retryable bool `json:"retryable"`
}

// decodeEvent reads a body whose signature has been checked.
func decodeEvent(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrBody, err)
	}
	if e.EventType == "" {
		return Event{}, fmt.Errorf("%w: event_type is missing", ErrBody)
	}
	if e.JobID == "" && (e.EventType == GenerationCompleted || e.EventType == GenerationFailed) {
		return Event{}, fmt.Errorf("%w: job_id is missing", ErrBody)
	}
	if e.Outputs == nil {
		e.Outputs = []Output{}
	}
	if len(e.Metadata) == 0 || string(e.Metadata) == "null" {
		e.Metadata = json.RawMessage("{}")
	}
	return e, nil
}
