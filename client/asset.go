package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"
)

const (
	opCreateAsset = "POST /api/v1/source-assets"
	opAsset       = "GET /api/v1/source-assets/{ingest_id}"
)

// IngestStatus is where the ingest of a source asset stands (generations API contract, section 4.2). Words that are not
// listed here are not terminal.
type IngestStatus string

// The states of an ingest. The last two never change.
const (
	IngestPending    IngestStatus = "pending"
	IngestProcessing IngestStatus = "processing"
	IngestReady      IngestStatus = "ready"
	IngestFailed     IngestStatus = "failed"
)

// Terminal reports whether s is an end.
func (s IngestStatus) Terminal() bool { return s == IngestReady || s == IngestFailed }

// Ingest brings a source image to the server; once it is ready, SourceAssetID may be used for any number of generations.
type Ingest struct {
	IngestID string       `json:"ingest_id"`
	Status   IngestStatus `json:"status"`
	// SourceAssetID is empty until the ingest is ready.
	SourceAssetID string `json:"source_asset_id"`
	// Failure is nil unless the ingest has failed.
	Failure   *Failure  `json:"failure"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// IngestFailedError says that a source image could not be taken.
type IngestFailedError struct {
	Ingest Ingest
}

// Error gives the ingest's id and the reason.
func (e *IngestFailedError) Error() string {
	code, message := "", ""
	if f := e.Ingest.Failure; f != nil {
		code, message = f.Code, f.Message
	}
	return fmt.Sprintf("client: ingest %s failed: %s: %s", e.Ingest.IngestID, code, message)
}

// CreateAsset sends a source image, from r's present position to its end: JPEG, PNG or WebP. name is what the file is
// called; empty = "source". Memory does not grow with the file. It carries an Idempotency-Key, and is repeated where r can
// be wound back (io.Seeker). r is not closed; see UploadStream about a Read that blocks. Errors as of Create.
func (c *Client) CreateAsset(ctx context.Context, name string, r io.Reader, opts ...SubmitOption) (*Ingest, error) {
	a, err := c.writeForm(ctx, opCreateAsset, "/api/v1/source-assets", form{nil, name, r}, opts)
	if err != nil {
		return nil, err
	}
	return decodeIngest(opCreateAsset, a)
}

// CreateAssetFromURL has the server fetch a source image from a public http or https URL. Errors as of Create.
func (c *Client) CreateAssetFromURL(ctx context.Context, sourceURL string, opts ...SubmitOption) (*Ingest, error) {
	body, err := marshal(opCreateAsset, map[string]string{"source_url": sourceURL})
	if err != nil {
		return nil, err
	}
	a, err := c.write(ctx, opCreateAsset, "/api/v1/source-assets", body, opts)
	if err != nil {
		return nil, err
	}
	return decodeIngest(opCreateAsset, a)
}

// Asset reads how an ingest stands. Errors: *Error, with ErrNotFound for an id that is unknown or another organisation's;
// ErrUnavailable; the context's.
func (c *Client) Asset(ctx context.Context, ingestID string) (*Ingest, error) {
	path, err := assetPath(ingestID)
	if err != nil {
		return nil, err
	}
	a, err := c.get(ctx, opAsset, path)
	if err != nil {
		return nil, err
	}
	return decodeIngest(opAsset, a)
}

// WaitAsset looks at an ingest until it has ended, like Wait. It returns the one that is ready, or *IngestFailedError
// together with the one that has failed; with every other error the ingest as last seen (nil when it never was).
func (c *Client) WaitAsset(ctx context.Context, ingestID string) (*Ingest, error) {
	path, err := assetPath(ingestID)
	if err != nil {
		return nil, err
	}
	var seen *Ingest
	err = await(ctx, c, "an ingest", 0, func(ctx context.Context) (look, error) {
		a, err := c.once(ctx, call{op: opAsset, method: "GET", path: path})
		if err != nil {
			return look{after: retryAfter(err)}, err
		}
		if seen, err = decodeIngest(opAsset, a); err != nil {
			return look{}, err
		}
		if seen.Status == IngestFailed {
			return look{}, &IngestFailedError{Ingest: *seen}
		}
		return look{ended: seen.Status.Terminal()}, nil
	})
	return seen, err
}

func assetPath(ingestID string) (string, error) {
	return "/api/v1/source-assets/" + url.PathEscape(ingestID), checkID(opAsset, ingestID)
}

func decodeIngest(op string, a answer) (*Ingest, error) {
	var i Ingest
	if err := json.Unmarshal(a.body, &i); err != nil {
		return nil, badAnswer(op, err)
	}
	if i.IngestID == "" || i.Status == "" {
		return nil, fmt.Errorf("client: %s: the answer holds no ingest", op)
	}
	return &i, nil
}
