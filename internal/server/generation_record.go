package server

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/kinora/kinora"
)

// generationRecord is the public record of a generation (contract, section 6). Every key is always there. The fields
// that only workflows fill are null for generations of other APIs.
//
// It is written in two parts, with the caller's metadata between them byte for byte: encoding/json would take white space
// out of it.
type generationRecord struct {
	head     recordHead
	metadata json.RawMessage
	tail     recordTail
}

type recordHead struct {
	JobID         string   `json:"job_id"`
	Status        string   `json:"status"`
	Workflow      *string  `json:"workflow"`
	CaptureType   *string  `json:"capture_type"`
	Mode          *string  `json:"mode"`
	RoomTypes     []string `json:"room_types"`
	StylePreset   *string  `json:"style_preset"`
	SourceAssetID *string  `json:"source_asset_id"`
	Reference     *string  `json:"reference"`
}

type recordTail struct {
	ParentJobID *string         `json:"parent_job_id"`
	Outputs     []outputRecord  `json:"outputs"`
	Failure     *kinora.Failure `json:"failure"`
	CreatedAt   *string         `json:"created_at"`
	UpdatedAt   *string         `json:"updated_at"`
	CompletedAt *string         `json:"completed_at"`

	// Additions of this project.
	Model         string `json:"model"`
	Progress      int    `json:"progress"`       // 0..100
	QueuePosition *int   `json:"queue_position"` // null = it does not wait, or that is not known
	ETASeconds    *int   `json:"eta_seconds"`    // null = not known
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

func (s *Server) generationRecord(g *kinora.Generation, outputs []kinora.Output, look kinora.Outlook) generationRecord {
	record := generationRecord{
		head: recordHead{JobID: g.ID, Status: generationWord(g.State), SourceAssetID: optional(g.SourceAssetID), Reference: g.Reference},
		tail: recordTail{
			ParentJobID: optional(g.ParentID), Outputs: []outputRecord{},
			CreatedAt: apiTime(g.CreatedAt), UpdatedAt: apiTime(g.UpdatedAt), CompletedAt: apiTime(g.CompletedAt),
			Model: g.Model, Progress: g.Progress, QueuePosition: known(look.Position), ETASeconds: known(int(math.Ceil(look.ETA.Seconds()))),
		},
		metadata: g.Metadata,
	}
	if len(record.metadata) == 0 {
		record.metadata = json.RawMessage("{}")
	}
	if w := g.Request; w != nil {
		record.head.Workflow, record.head.CaptureType, record.head.Mode = optional(w.Workflow), optional(w.CaptureType), optional(w.Mode)
		record.head.RoomTypes, record.head.StylePreset = w.RoomTypes, optional(w.StylePreset)
	}
	switch g.State {
	case kinora.GenerationSucceeded:
		for _, o := range kept(outputs) {
			record.tail.Outputs = append(record.tail.Outputs, s.outputRecord(o))
		}
	case kinora.GenerationFailed, kinora.GenerationCancelled:
		record.tail.Failure = failureOf(g).Listed()
	}
	return record
}

// writeTo appends the record as JSON.
func (r generationRecord) writeTo(buf *bytes.Buffer) {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false) // signed URLs hold "&", and are read by people too
	must := func(err error) {
		if err != nil {
			panic(err) // types of this package only, which always encode
		}
	}
	must(enc.Encode(r.head))
	buf.Truncate(buf.Len() - len("}\n"))
	buf.WriteString(`,"metadata":`)
	buf.Write(r.metadata)
	joint := buf.Len()
	must(enc.Encode(r.tail))
	buf.Bytes()[joint] = ',' // the brace that opens the tail
	buf.Truncate(buf.Len() - len("\n"))
}

func (s *Server) outputRecord(o kinora.Output) outputRecord {
	url, expires := s.cfg.FileURL(o.BlobKey)
	return outputRecord{
		OutputID: o.ID, Role: o.Role, URL: url, ExpiresAt: expires.UTC().Format(time.RFC3339),
		ContentType: o.ContentType, Width: known(o.Width), Height: known(o.Height),
	}
}

// known is null for what is not known, and so is not positive.
func known(n int) *int {
	if n <= 0 {
		return nil
	}
	return &n
}

// optional is null for a text that is not there.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
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
