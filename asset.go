package kinora

import "time"

// AssetState is where the ingest of a source asset stands (generations API contract 4.2).
type AssetState string

// The states of an ingest; the last two are ends.
const (
	AssetPending    AssetState = "pending"    // committed, not started
	AssetProcessing AssetState = "processing" // being fetched and checked
	AssetReady      AssetState = "ready"
	AssetFailed     AssetState = "failed"
)

// SourceAsset is a source image kept for reuse, and the ingest that brought it.
type SourceAsset struct {
	IngestID       string // "ing_" + ULID
	ID             string // "src_" + ULID; callers learn it once the state is ready
	OrganisationID string
	State          AssetState
	SourceURL      string   // where it is fetched from; empty = it was sent
	Failure        *Failure // set when failed

	// What was kept: upright, without metadata. Empty until ready.
	BlobKey     string
	ContentType string
	Bytes       int64
	SHA256      string // of the kept file, lower-case hex
	Width       int    // pixels
	Height      int

	CreatedAt time.Time
	UpdatedAt time.Time
}
