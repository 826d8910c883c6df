package server

import (
	"context"
	"crypto/sha256"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Assets keeps source images.
type Assets interface {
	// Receive streams a file into storage and returns an asset that is not recorded yet, with the SHA-256 of the file as
	// it came. It is then recorded, alone or with a generation (kinora.Source.Received), or discarded. An error of file
	// that is a *kinora.Error comes back as it is. With an error nothing is kept.
	//
	// Errors: kinora.ErrInvalid with a message for the caller, kinora.ErrUnavailable.
	Receive(ctx context.Context, organisationID string, file io.Reader) (*kinora.SourceAsset, [sha256.Size]byte, error)
	// FromURL returns an asset that is not recorded yet, of an image that is to be fetched.
	//
	// Errors: kinora.ErrInvalid for a URL that would never be fetched.
	FromURL(organisationID, rawURL string) (*kinora.SourceAsset, error)
	// Recall returns what an earlier request with this key has recorded, as it is now; nil = there was none.
	//
	// Errors: kinora.ErrConflict when the key stands for another request, kinora.ErrUnavailable.
	Recall(ctx context.Context, organisationID string, once kinora.Idempotency) (*kinora.SourceAsset, error)
	// Record begins the ingest of such an asset, or returns what an earlier request with the key has recorded and discards
	// this one. Errors as for Recall.
	Record(ctx context.Context, a *kinora.SourceAsset, once kinora.Idempotency) (recorded *kinora.SourceAsset, replayed bool, err error)
	// Discard forgets an asset that was never recorded; nil is none.
	Discard(ctx context.Context, a *kinora.SourceAsset)
	// Ingest reads an ingest of an organisation. Errors: kinora.ErrNotFound, for a foreign one too; kinora.ErrUnavailable.
	Ingest(ctx context.Context, organisationID, ingestID string) (*kinora.SourceAsset, error)
	// Asset is Ingest by the asset's own id, in whatever state it is.
	Asset(ctx context.Context, organisationID, assetID string) (*kinora.SourceAsset, error)
	// MaxSize is the largest file that is taken, in bytes.
	MaxSize() int64

	// List reads an organisation's assets, newest first: those whose ingest is older than before ("" = all), in a state ("" =
	// any), at most limit. For operators, as Remove is.
	List(ctx context.Context, organisationID string, state kinora.AssetState, before string, limit int) ([]*kinora.SourceAsset, error)
	// Remove forgets an asset, and its file where it was the last one with that content.
	//
	// Errors: kinora.ErrNotFound, kinora.ErrConflict while it is in use, kinora.ErrUnavailable.
	Remove(ctx context.Context, organisationID, ingestID string) error
}

// The source assets (generations API contract, section 4).
func (s *Server) assetRoutes() []route {
	if s.cfg.Assets == nil {
		return nil
	}
	return []route{
		{method: http.MethodPost, pattern: "/api/v1/source-assets", dialect: &generationsDialect, auth: keyed,
			limit: limitAssetCreate, load: transfer, handler: s.createSourceAsset},
		{method: http.MethodGet, pattern: "/api/v1/source-assets/{ingest_id}", dialect: &generationsDialect, auth: keyed,
			limit: limitAssetRead, handler: s.sourceAsset},
	}
}

// ingestRecord is the public record of an ingest. Every key is always there.
type ingestRecord struct {
	IngestID      string            `json:"ingest_id"`
	Status        kinora.AssetState `json:"status"`
	SourceAssetID *string           `json:"source_asset_id"` // null until ready
	Failure       *kinora.Failure   `json:"failure"`         // null unless failed
	CreatedAt     *string           `json:"created_at"`
	UpdatedAt     *string           `json:"updated_at"`
}

func viewIngest(a *kinora.SourceAsset) ingestRecord {
	v := ingestRecord{IngestID: a.IngestID, Status: a.State, Failure: a.Failure, CreatedAt: apiTime(a.CreatedAt), UpdatedAt: apiTime(a.UpdatedAt)}
	if a.State == kinora.AssetReady {
		v.SourceAssetID = &a.ID
	}
	return v
}

// createSourceAsset begins an ingest: of the file of a form, or of what lies at the URL of a JSON body or a form.
func (s *Server) createSourceAsset(ctx context.Context, x *exchange, r *http.Request) error {
	key, err := requiredIdempotencyKey(r.Header)
	if err != nil {
		return err
	}
	boundary, isForm, err := bodyKind(r.Header)
	if err != nil {
		return err
	}
	if !isForm {
		doc, err := s.readJSON(x, r)
		if err != nil {
			return err
		}
		sourceURL, err := sourceURLOf(doc)
		if err != nil {
			return err
		}
		return s.ingest(ctx, x, sourceURL, nil, idempotencyOf(r, key, doc.hash()))
	}
	form, err := s.readSourceForm(ctx, x, r, boundary)
	if err != nil {
		return err
	}
	sourceURL, given := form.value("source_url")
	if given == (form.file != nil) {
		s.cfg.Assets.Discard(ctx, form.file)
		return oneSource()
	}
	return s.ingest(ctx, x, sourceURL, form.file, idempotencyOf(r, key, form.digest.hash()))
}

func oneSource() error {
	return refuse(errMalformed, "exactly one source must be sent: file, or source_url")
}

// sourceURLOf reads the one member of a JSON body that counts. A member that is null counts as left out.
func sourceURLOf(doc *document) (string, error) {
	if doc.root().kind() != jsonObject {
		return "", refuse(errMalformed, "JSON body must be an object")
	}
	var sourceURL value
	for key, val := range doc.root().members() {
		switch name := key.text(); {
		case !val.given():
		case name == "file":
			return "", refuse(errMalformed, "file must be sent as a file of a multipart form; exactly one source must be sent")
		case name == "source_url":
			sourceURL = val
		}
	}
	if !sourceURL.given() {
		return "", oneSource()
	}
	return parseString(sourceURL, "source_url", maxURL)
}

// ingest records an ingest of a file that was received, or of a URL.
func (s *Server) ingest(ctx context.Context, x *exchange, sourceURL string, received *kinora.SourceAsset, once kinora.Idempotency) error {
	work, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if received == nil {
		// A repeat fetches nothing, so it is not counted as a fetch.
		before, err := s.cfg.Assets.Recall(work, x.organisation.ID, once)
		if err != nil {
			return err
		}
		if before != nil {
			return s.ingesting(x, before, true)
		}
		if received, err = s.cfg.Assets.FromURL(x.organisation.ID, sourceURL); err != nil {
			return err
		}
		if err := s.admitFetch(work, x); err != nil {
			return err
		}
	}
	recorded, replayed, err := s.cfg.Assets.Record(work, received, once)
	if err != nil {
		return err
	}
	return s.ingesting(x, recorded, replayed)
}

func (s *Server) ingesting(x *exchange, a *kinora.SourceAsset, replayed bool) error {
	x.tellReplay(replayed)
	writeJSON(x, http.StatusAccepted, viewIngest(a))
	return nil
}

func (s *Server) sourceAsset(ctx context.Context, x *exchange, r *http.Request) error {
	ingestID := r.PathValue("ingest_id")
	if !id.WellFormed(ingestID, id.Ingest) {
		return assetNotFound()
	}
	a, err := s.cfg.Assets.Ingest(ctx, x.organisation.ID, ingestID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return assetNotFound()
	}
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewIngest(a))
	return nil
}

func assetNotFound() error { return refuse(kinora.ErrNotFound, "source asset not found") }

// bodyKind tells a form from a JSON document. What does not say what it is is taken for JSON.
func bodyKind(h http.Header) (boundary string, isForm bool, err error) {
	given := h.Get("Content-Type")
	if given == "" {
		return "", false, nil
	}
	mediaType, params, err := mime.ParseMediaType(given)
	switch {
	case err == nil && mediaType == "multipart/form-data":
		return params["boundary"], true, nil
	case err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")):
		return "", false, nil
	}
	return "", false, refuse(errMedia, "Content-Type must be application/json or multipart/form-data")
}
