package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// The routes of the generations API by which every generation can be read and cancelled, whichever API it came by
// (contract, section 6).
func (s *Server) generationRoutes() []route {
	const one = "/api/v1/generations/{job_id}"
	return []route{
		{method: http.MethodGet, pattern: one, dialect: &generationsDialect, auth: keyed, limit: limitGeneration, handler: s.generation},
		{method: http.MethodPost, pattern: one + "/cancel", dialect: &generationsDialect, auth: keyed, limit: limitGeneration, handler: s.cancelGeneration},
	}
}

// generationRecord is the public record of a generation. Every key is always there. The fields that only workflows fill
// are null for tasks.
type generationRecord struct {
	JobID         string          `json:"job_id"`
	Status        string          `json:"status"`
	Workflow      *string         `json:"workflow"`
	CaptureType   *string         `json:"capture_type"`
	Mode          *string         `json:"mode"`
	RoomTypes     []string        `json:"room_types"`
	StylePreset   *string         `json:"style_preset"`
	SourceAssetID *string         `json:"source_asset_id"`
	Reference     *string         `json:"reference"`
	Metadata      json.RawMessage `json:"metadata"`
	ParentJobID   *string         `json:"parent_job_id"`
	Outputs       []outputRecord  `json:"outputs"`
	Failure       *kinora.Failure `json:"failure"`
	CreatedAt     *string         `json:"created_at"`
	UpdatedAt     *string         `json:"updated_at"`
	CompletedAt   *string         `json:"completed_at"`
}

// outputRecord is one published output (contract 6.1).
type outputRecord struct {
	OutputID    string `json:"output_id"`
	Role        string `json:"role"`
	URL         string `json:"url"`
	ExpiresAt   string `json:"expires_at"`
	ContentType string `json:"content_type"`
	Width       *int   `json:"width"` // null = not known
	Height      *int   `json:"height"`
}

func (s *Server) generation(ctx context.Context, x *exchange, r *http.Request) error {
	jobID := r.PathValue("job_id")
	if !id.WellFormed(jobID, id.Job) && !id.WellFormed(jobID, id.Task) {
		return generationNotFound()
	}
	g, outputs, err := s.cfg.Generations.Generation(ctx, x.organisation.ID, jobID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return generationNotFound()
	}
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, s.generationRecord(g, outputs))
	return nil
}

// cancelGeneration answers with the record as it is after the cancel. It needs no idempotency key: a repeat finds the
// generation cancelled and answers alike.
func (s *Server) cancelGeneration(ctx context.Context, x *exchange, r *http.Request) error {
	jobID := r.PathValue("job_id")
	if !id.WellFormed(jobID, id.Job) && !id.WellFormed(jobID, id.Task) {
		return generationNotFound()
	}
	g, err := s.cfg.Generations.Cancel(ctx, x.organisation.ID, jobID)
	switch kinora.CodeOf(err) {
	case "":
	case kinora.ErrNotFound:
		return generationNotFound()
	case kinora.ErrConflict:
		return refuse(errEnded, "the generation has ended and cannot be cancelled")
	default:
		return err
	}
	writeJSON(x, http.StatusOK, s.generationRecord(g, nil))
	return nil
}

func generationNotFound() error { return refuse(kinora.ErrNotFound, "generation not found") }

func (s *Server) generationRecord(g *kinora.Generation, outputs []kinora.Output) generationRecord {
	record := generationRecord{
		JobID: g.ID, Status: generationWord(g.State), Reference: g.Reference,
		Metadata: g.Metadata, Outputs: []outputRecord{},
		CreatedAt: apiTime(g.CreatedAt), UpdatedAt: apiTime(g.UpdatedAt), CompletedAt: apiTime(g.CompletedAt),
	}
	if len(record.Metadata) == 0 {
		record.Metadata = json.RawMessage("{}")
	}
	switch g.State {
	case kinora.GenerationSucceeded:
		for _, o := range kept(outputs) {
			record.Outputs = append(record.Outputs, s.outputRecord(o))
		}
	case kinora.GenerationFailed, kinora.GenerationCancelled:
		record.Failure = failureOf(g)
	}
	return record
}

func (s *Server) outputRecord(o kinora.Output) outputRecord {
	url, expires := s.cfg.FileURL(o.BlobKey)
	return outputRecord{
		OutputID: o.ID, Role: o.Role, URL: url, ExpiresAt: expires.UTC().Format(time.RFC3339),
		ContentType: o.ContentType, Width: known(o.Width), Height: known(o.Height),
	}
}

func known(pixels int) *int {
	if pixels <= 0 {
		return nil
	}
	return &pixels
}

// failureOf makes sure that whatever has failed says why.
func failureOf(g *kinora.Generation) *kinora.Failure {
	switch {
	case g.Failure != nil:
		return g.Failure
	case g.State == kinora.GenerationCancelled:
		return kinora.NewFailure(kinora.FailureCancelled, failureMessage(g))
	}
	return kinora.NewFailure(kinora.FailureInternal, failureMessage(g))
}

// generationWord is a state in the generations API's words (contract, section 6).
func generationWord(state kinora.GenerationState) string {
	if state == kinora.GenerationRunning {
		return "processing"
	}
	return string(state)
}
