package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kinora/kinora"
)

// FileURL makes a fresh signed URL for a stored object and says when it expires.
type FileURL func(blobKey string) (url string, expires time.Time)

// OutputItem is one output as callers see it, in webhooks and in the generations API alike
// (generations API contract, 6.1).
type OutputItem struct {
	OutputID    string    `json:"output_id"`
	Role        string    `json:"role"` // "primary" or "alternate"
	URL         string    `json:"url"`
	ExpiresAt   time.Time `json:"expires_at"` // whole seconds, UTC
	ContentType string    `json:"content_type"`
	Width       int       `json:"width"`  // pixels; 0 = not known
	Height      int       `json:"height"` // pixels; 0 = not known
}

// OutputItems gives outputs their fresh URLs. The result is never nil, so that it is
// written as [] and not as null.
func OutputItems(outputs []kinora.Output, link FileURL) []OutputItem {
	items := make([]OutputItem, 0, len(outputs))
	for _, o := range outputs {
		url, expires := link(o.BlobKey)
		items = append(items, OutputItem{
			OutputID: o.ID, Role: o.Role, URL: url, ExpiresAt: expires.UTC().Truncate(time.Second),
			ContentType: o.ContentType, Width: o.Width, Height: o.Height,
		})
	}
	return items
}

// Notice is the body of a delivery: a flat object whose seven keys are always there, in
// this order (generations API contract, 10.2).
type Notice struct {
	EventType     kinora.EventType `json:"event_type"`
	JobID         string           `json:"job_id"`
	SourceAssetID *string          `json:"source_asset_id"` // nil where there is none, or its ingest failed
	Reference     *string          `json:"reference"`       // nil when not sent
	Outputs       []OutputItem     `json:"outputs"`         // empty when failed
	Failure       *kinora.Failure  `json:"failure"`         // nil when completed
	Metadata      json.RawMessage  `json:"-"`               // as sent; nil is written as {}
}

// Payload is the notice of an event, made anew for each attempt because link signs the
// outputs' URLs anew.
func Payload(e *kinora.Event, g *kinora.Generation, outputs []kinora.Output, link FileURL) Notice {
	n := Notice{EventType: e.Type, JobID: g.ID, Reference: g.Reference, Outputs: []OutputItem{}, Metadata: g.Metadata}
	if g.SourceAssetID != "" {
		n.SourceAssetID = &g.SourceAssetID
	}
	if g.State == kinora.GenerationSucceeded {
		n.Outputs = OutputItems(outputs, link)
	} else {
		n.Failure = g.Failure.Listed()
	}
	return n
}

// Encode writes the body. Metadata is copied byte for byte: encoding/json would compact it,
// and would escape "<", ">" and "&", and a caller that compares or hashes what it gets back
// would not find what it sent.
func (n Notice) Encode() ([]byte, error) {
	if n.Outputs == nil {
		n.Outputs = []OutputItem{}
	}
	metadata := []byte(n.Metadata)
	switch {
	case len(metadata) == 0, string(metadata) == "null":
		metadata = []byte("{}")
	case !json.Valid(metadata):
		return nil, fmt.Errorf("webhook: the metadata of %s is not JSON", n.JobID)
	}
	var b bytes.Buffer
	b.Grow(512 + len(metadata))
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "&" in a URL stays readable
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("webhook: encode the body of %s: %w", n.JobID, err)
	}
	b.Truncate(b.Len() - len("}\n"))
	b.WriteString(`,"metadata":`)
	b.Write(metadata)
	b.WriteByte('}')
	return b.Bytes(), nil
}
