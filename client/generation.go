package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

const (
	opGeneration = "GET /api/v1/generations/{job_id}"
	opCancel     = "POST /api/v1/generations/{job_id}/cancel"
)

// GenerationStatus is where a generation stands (generations API contract, section 6). Words that are not
// listed here are not terminal.
type GenerationStatus string

// The states of a generation. The last three never change.
const (
	GenerationIngesting  GenerationStatus = "ingesting" // its inline source is still being fetched
	GenerationQueued     GenerationStatus = "queued"
	GenerationProcessing GenerationStatus = "processing"
	GenerationSucceeded  GenerationStatus = "succeeded" // told to webhooks as generation.completed
	GenerationFailed     GenerationStatus = "failed"
	GenerationCancelled  GenerationStatus = "cancelled" // told to webhooks as generation.failed
)

// Terminal reports whether s is an end.
func (s GenerationStatus) Terminal() bool {
	return s == GenerationSucceeded || s == GenerationFailed || s == GenerationCancelled
}

// Output is one produced file, as in webhooks.
type Output = webhook.Output

// Failure is why a generation did not succeed, as in webhooks.
type Failure = webhook.Failure

// Generation is a job as the generations API shows it. Fields that may be null are nil or, where no value is
// empty, the empty string.
type Generation struct {
	JobID       string           `json:"job_id"`
	Status      GenerationStatus `json:"status"`
	Workflow    string           `json:"workflow"`
	CaptureType string           `json:"capture_type"`
	Mode        string           `json:"mode"` // empty = null
	RoomTypes   []string         `json:"room_types"`
	StylePreset string           `json:"style_preset"` // empty = null
	// SourceAssetID is nil when there is no asset, or none yet.
	SourceAssetID *string `json:"source_asset_id"`
	// Reference is the caller's own id as it was sent; nil when none was.
	Reference *string `json:"reference"`
	// Metadata is the caller's own object as it was sent.
	Metadata json.RawMessage `json:"metadata"`
	// ParentJobID is the job that this one was regenerated from; empty = none.
	ParentJobID string `json:"parent_job_id"`
	// Outputs holds the outputs that passed, the primary one first. Empty unless succeeded, and
	// empty again once retention has removed the files. Their URLs are signed anew at each read.
	Outputs []Output `json:"outputs"`
	// Failure is nil unless failed or cancelled.
	Failure   *Failure  `json:"failure"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// CompletedAt is nil until the end.
	CompletedAt *time.Time `json:"completed_at"`
	// Model is the public name of the model that makes it.
	Model string `json:"model"`
	// Progress is 0 to 100.
	Progress int `json:"progress"`
	// QueuePosition is its place among what waits for the same upstream accounts, 1 = next; 0 = it does not wait, or that
	// is not known. It is not told in lists.
	QueuePosition int `json:"queue_position"`
	// ETASeconds is how long it will probably take from the read on; 0 = not known. It is not told in lists.
	ETASeconds int `json:"eta_seconds"`
}

// Generation reads a generation: the truth about it also where webhooks are used, and the way to fresh output
// URLs. Errors: *Error, with ErrNotFound for an id that is unknown or another organisation's; ErrUnavailable; the
// context's.
func (c *Client) Generation(ctx context.Context, jobID string) (*Generation, error) {
	if err := checkID(opGeneration, jobID); err != nil {
		return nil, err
	}
	a, err := c.get(ctx, opGeneration, "/api/v1/generations/"+url.PathEscape(jobID))
	if err != nil {
		return nil, err
	}
	return decodeGeneration(opGeneration, a)
}

// Cancel ends a generation, whichever API it came by, and returns it cancelled; one that is cancelled already is
// returned again, so that the call is repeated after failures that may pass. Errors: *Error, with ErrNotFound for an id that is
// unknown or another organisation's, ErrConflict when it has ended otherwise; ErrUnavailable; the context's.
func (c *Client) Cancel(ctx context.Context, jobID string) (*Generation, error) {
	if err := checkID(opCancel, jobID); err != nil {
		return nil, err
	}
	a, err := c.repeat(ctx, call{op: opCancel, method: http.MethodPost, path: "/api/v1/generations/" + url.PathEscape(jobID) + "/cancel"})
	if err != nil {
		return nil, err
	}
	return decodeGeneration(opCancel, a)
}

func decodeGeneration(op string, a answer) (*Generation, error) {
	var g Generation
	if err := json.Unmarshal(a.body, &g); err != nil {
		return nil, badAnswer(op, err)
	}
	if g.JobID == "" || g.Status == "" {
		return nil, fmt.Errorf("client: %s: the answer holds no generation", op)
	}
	return &g, nil
}
