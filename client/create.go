package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const (
	opCreate     = "POST /api/v1/generations"
	opRegenerate = "POST /api/v1/generations/{job_id}/regenerate"
)

// GenerationRequest asks for a generation of a workflow (generations API contract, sections 5 and 7). The server checks it;
// what it refuses is ErrInvalid, with every broken rule in Error.Details.
type GenerationRequest struct {
	// SourceAssetID is a source asset that is ready; SourceURL is a public http or https URL that the server fetches.
	// A create needs exactly one of the two, or a file (CreateFromFile); a regenerate takes none.
	SourceAssetID string `json:"source_asset_id,omitempty"`
	SourceURL     string `json:"source_url,omitempty"`

	Workflow    string `json:"workflow,omitempty"`     // "staging", "pro_capture", or one of the operator's own
	CaptureType string `json:"capture_type,omitempty"` // "photo", "panorama360" or "floorplan"
	Mode        string `json:"mode,omitempty"`         // "furnish" or "clean", only where the capture type has modes
	// RoomTypes are several only of one family. In a regenerate nil keeps those of the parent, and an empty list leaves
	// them out.
	RoomTypes   []string `json:"room_types,omitzero"`
	StylePreset string   `json:"style_preset,omitempty"`
	// Fields are further ones that the operator's own workflow has.
	Fields map[string]any `json:"-"`

	// Webhook is where this generation's event goes; nil = the organisation's default, in a regenerate the parent's own.
	Webhook *Webhook `json:"webhook,omitempty"`
	// Reference is the caller's own id, echoed; at most 255 characters, empty = none, in a regenerate the parent's.
	Reference string `json:"reference,omitempty"`
	// Metadata is the caller's own JSON object, echoed byte for byte as it is here; at most 16 KiB. nil = none, in a regenerate the
	// parent's.
	Metadata json.RawMessage `json:"-"`
}

// MarshalJSON writes the request as the server reads it.
func (r GenerationRequest) MarshalJSON() ([]byte, error) {
	type known GenerationRequest
	body, err := json.Marshal(known(r))
	if err != nil {
		return nil, err
	}
	extra := body[:len(body)-1] // the closing brace comes last
	add := func(name string, raw []byte) {
		if len(extra) > 1 {
			extra = append(extra, ',')
		}
		key, _ := json.Marshal(name)
		extra = append(append(append(extra, key...), ':'), raw...)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		raw, err := json.Marshal(r.Fields[name])
		if err != nil {
			return nil, err
		}
		add(name, raw)
	}
	if r.Metadata != nil {
		add("metadata", r.Metadata)
	}
	return append(extra, '}'), nil
}

// body is the request as it is sent: MarshalJSON's, which encoding/json would take the white space of Metadata out of.
func (r GenerationRequest) body(op string) ([]byte, error) {
	body, err := r.MarshalJSON()
	if err == nil && !json.Valid(body) {
		err = errors.New("Metadata is not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w: %w", op, ErrInvalid, err)
	}
	return body, nil
}

// formFields is the request as the values of a form.
func (r GenerationRequest) formFields(op string) ([][2]string, error) {
	fields := [][2]string{}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, [2]string{name, value})
		}
	}
	add("workflow", r.Workflow)
	add("capture_type", r.CaptureType)
	add("mode", r.Mode)
	for _, room := range r.RoomTypes {
		add("room_types", room)
	}
	add("style_preset", r.StylePreset)
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		switch value := r.Fields[name].(type) {
		case []string:
			for _, one := range value {
				add(name, one)
			}
		default:
			add(name, fmt.Sprint(value))
		}
	}
	if r.Webhook != nil {
		raw, err := marshal(op, r.Webhook)
		if err != nil {
			return nil, err
		}
		add("webhook", string(raw))
	}
	add("reference", r.Reference)
	add("metadata", string(r.Metadata))
	return fields, nil
}

// Create asks for a generation and returns it as accepted: queued, or ingesting while its SourceURL is fetched. When it
// returns, the server has the generation safely on disk.
//
// Each call carries an Idempotency-Key, by default a new random one, and therefore is repeated after failures that may
// pass; see IdempotencyKey.
//
// Errors: *Error with ErrInvalid, ErrUnauthorized, ErrForbidden, ErrNotFound (the asset), ErrConflict, ErrRateLimited or
// ErrUnavailable; ErrUnavailable alone when no answer came; the context's. After ErrUnavailable and after the context's end
// it is not known whether the generation exists: create it again with the same key of your own to find out.
func (c *Client) Create(ctx context.Context, request GenerationRequest, opts ...SubmitOption) (*Generation, error) {
	body, err := request.body(opCreate)
	if err != nil {
		return nil, err
	}
	return c.writeGeneration(ctx, opCreate, "/api/v1/generations", body, opts)
}

// Regenerate makes a new generation from the source of an earlier one, which stays as it is. What the request leaves out
// is as it was there. Errors as of Create, with ErrNotFound for an id that is unknown or another organisation's.
func (c *Client) Regenerate(ctx context.Context, jobID string, request GenerationRequest, opts ...SubmitOption) (*Generation, error) {
	if err := checkID(opRegenerate, jobID); err != nil {
		return nil, err
	}
	body, err := request.body(opRegenerate)
	if err != nil {
		return nil, err
	}
	return c.writeGeneration(ctx, opRegenerate, "/api/v1/generations/"+url.PathEscape(jobID)+"/regenerate", body, opts)
}

func (c *Client) writeGeneration(ctx context.Context, op, path string, body []byte, opts []SubmitOption) (*Generation, error) {
	a, err := c.write(ctx, op, path, body, opts)
	if err != nil {
		return nil, err
	}
	return decodeGeneration(op, a)
}

// write makes a write of the generations API, all of which want a key and so may be repeated.
func (c *Client) write(ctx context.Context, op, path string, body []byte, opts []SubmitOption) (answer, error) {
	header, err := requiredKey(op, opts)
	if err != nil {
		return answer{}, err
	}
	return c.repeat(ctx, call{op: op, method: http.MethodPost, path: path, header: header, body: body})
}

func requiredKey(op string, opts []SubmitOption) (http.Header, error) {
	key, err := keyOf(op, opts)
	if err == nil && key == "" {
		err = fmt.Errorf("client: %s: %w: the generations API wants an idempotency key on every write", op, ErrInvalid)
	}
	return http.Header{"Idempotency-Key": {key}}, err
}

// CreateFromFile is Create with the source in r, from its present position to its end; the request names no other. name is
// what the file is called; empty = "source". Memory does not grow with the file. It is repeated where r can be wound back
// (io.Seeker), and else tried once. r is not closed; see UploadStream about a Read that blocks.
func (c *Client) CreateFromFile(ctx context.Context, request GenerationRequest, name string, r io.Reader, opts ...SubmitOption) (*Generation, error) {
	if request.SourceAssetID != "" || request.SourceURL != "" {
		return nil, fmt.Errorf("client: %s: %w: the file is the source; name no other", opCreate, ErrInvalid)
	}
	fields, err := request.formFields(opCreate)
	if err != nil {
		return nil, err
	}
	a, err := c.writeForm(ctx, opCreate, "/api/v1/generations", form{fields, name, r}, opts)
	if err != nil {
		return nil, err
	}
	return decodeGeneration(opCreate, a)
}

// writeForm is write for a form with a source image.
func (c *Client) writeForm(ctx context.Context, op, path string, form form, opts []SubmitOption) (answer, error) {
	if form.name == "" {
		form.name = "source"
	}
	if strings.ContainsFunc(form.name, unicode.IsControl) {
		return answer{}, fmt.Errorf("client: %s: %w: control characters in the file name", op, ErrInvalid)
	}
	header, err := requiredKey(op, opts)
	if err != nil {
		return answer{}, err
	}
	file, canSeek := form.file.(io.Seeker)
	start := int64(0)
	if canSeek {
		start, err = file.Seek(0, io.SeekCurrent)
		canSeek = err == nil // a pipe is an *os.File, too
	}
	if !canSeek {
		return c.sendForm(ctx, op, path, form, header)
	}
	var a answer
	err = c.retry(ctx, func(ctx context.Context) (err error) {
		if _, err := file.Seek(start, io.SeekStart); err != nil {
			return &fileError{op, err}
		}
		a, err = c.sendForm(ctx, op, path, form, header)
		return err
	})
	return a, err
}
