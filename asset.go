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

// assetMoves is the whole state machine of an ingest.
var assetMoves = map[AssetState][]AssetState{
	AssetPending:    {AssetProcessing, AssetReady, AssetFailed},
	AssetProcessing: {AssetReady, AssetFailed},
	AssetReady:      nil,
	AssetFailed:     nil,
}

// Terminal reports whether s is an end: ready or failed.
func (s AssetState) Terminal() bool { moves, ok := assetMoves[s]; return ok && len(moves) == 0 }

// CanMove reports whether the state machine allows s → to.
func (s AssetState) CanMove(to AssetState) bool {
	for _, next := range assetMoves[s] {
		if next == to {
			return true
		}
	}
	return false
}

// AssetStates lists every state, for table tests, filters and metrics.
func AssetStates() []AssetState {
	return []AssetState{AssetPending, AssetProcessing, AssetReady, AssetFailed}
}

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

	// ReceivedKey is where the file lies as it came; empty = it is still to be fetched, or the ingest has ended.
	ReceivedKey string
	Tries       int // fetches that failed and may be repeated
	// DueAt is when the ingest is to be worked on next; zero while somebody holds its lease and when it has ended.
	DueAt      time.Time
	LeaseOwner string // node that works on it now; empty = nobody
	Version    int64  // grows with every claim and every write; a write names the version it read

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Finish moves a to an end in memory: ready without a failure, failed with one. What the ingest worked with is forgotten.
func (a *SourceAsset) Finish(failure *Failure, at time.Time) {
	a.State, a.Failure = AssetReady, failure
	if failure != nil {
		a.State = AssetFailed
	}
	a.ReceivedKey, a.DueAt, a.LeaseOwner, a.UpdatedAt = "", time.Time{}, "", at
}

// Source names the image that a generation is made from, in one of four ways; all empty = none.
type Source struct {
	// AssetID is an asset of the organisation, "src_…". It has to be ready.
	AssetID string
	// URL is fetched by an ingest that is recorded together with the generation.
	URL string
	// IngestID is an ingest of the organisation, "ing_…", that may still be going on.
	IngestID string
	// Received is a file that came with the request and is stored, but not recorded yet: its ingest is recorded together
	// with the generation. See asset.Service.Receive.
	Received *SourceAsset
}

// Given reports whether a source is named at all.
func (s Source) Given() bool { return s != (Source{}) }
