package kinora

import (
	"encoding/json"
	"fmt"
	"time"
)

// Limits of a generation's own fields, as both public contracts state them.
const (
	// MaxReference is the longest caller's reference, in characters.
	MaxReference = 255
	// MaxMetadata is the largest caller's metadata object, in bytes of JSON.
	MaxMetadata = 16 << 10
)

// GenerationState is where a generation stands. The zero value is not a state.
type GenerationState string

// The states of a generation. Terminal states never change.
const (
	GenerationIngesting GenerationState = "ingesting" // its source is still being fetched
	GenerationQueued    GenerationState = "queued"    // committed; no upstream has accepted it yet
	GenerationRunning   GenerationState = "running"   // an upstream has it, or may have it
	GenerationSucceeded GenerationState = "succeeded" // outputs are in our storage
	GenerationFailed    GenerationState = "failed"
	GenerationCancelled GenerationState = "cancelled"
)

// generationMoves is the whole state machine: from each state, the states it may go to.
var generationMoves = map[GenerationState][]GenerationState{
	GenerationIngesting: {GenerationQueued, GenerationFailed, GenerationCancelled},
	GenerationQueued:    {GenerationRunning, GenerationSucceeded, GenerationFailed, GenerationCancelled},
	GenerationRunning:   {GenerationSucceeded, GenerationFailed, GenerationCancelled},
	GenerationSucceeded: nil,
	GenerationFailed:    nil,
	GenerationCancelled: nil,
}

// Valid reports whether s is one of the states above.
func (s GenerationState) Valid() bool { _, ok := generationMoves[s]; return ok }

// Terminal reports whether s is an end: succeeded, failed or cancelled.
func (s GenerationState) Terminal() bool {
	moves, ok := generationMoves[s]
	return ok && len(moves) == 0
}

// CanMove reports whether the state machine allows s → to.
func (s GenerationState) CanMove(to GenerationState) bool {
	for _, next := range generationMoves[s] {
		if next == to {
			return true
		}
	}
	return false
}

// GenerationStates lists every state, for table tests and documentation.
func GenerationStates() []GenerationState {
	return []GenerationState{
		GenerationIngesting, GenerationQueued, GenerationRunning,
		GenerationSucceeded, GenerationFailed, GenerationCancelled,
	}
}

// Surface is the public API through which a generation came. It decides the prefix
// of its id and nothing else about its way.
type Surface string

const (
	SurfaceSubmit      Surface = "submit"      // /api/generate/submit; ids task_…
	SurfaceGenerations Surface = "generations" // /api/v1/generations; ids job_…
	SurfaceOpenAI      Surface = "openai"      // /v1/videos and /v1/images; ids task_…
)

// Kind says what a model makes.
type Kind string

const (
	KindImage Kind = "image"
	KindVideo Kind = "video"
)

// Input is what the caller asked for, after validation, in the words of the submit API.
// It is stored as JSON with the generation and handed to the provider.
type Input struct {
	Prompt string   `json:"prompt"`
	Size   string   `json:"size,omitempty"`   // "WxH", "W:H" or "auto"; empty = the model's default
	Images []string `json:"images,omitempty"` // reference images, http(s) URLs, first one first
	// ImageItems is how many items the caller's list of images had, where those are not all of
	// Images, because one more was named beside the list or some repeat; 0 = they are.
	ImageItems int `json:"image_items,omitempty"`
	Duration   int `json:"duration,omitempty"` // seconds of video; 0 = the model's default
	// Metadata are the model's own fields, passed through. Never holds callback_url:
	// that one is kept in CallbackURL.
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
	// CallbackURL is input.metadata.callback_url exactly as it was sent; the upstream,
	// not Kinora, calls it. Empty = none.
	CallbackURL string `json:"callback_url,omitempty"`
	// CallbackIgnored says that the model's upstream cannot call back, so that nobody
	// will ever call CallbackURL.
	CallbackIgnored bool `json:"callback_ignored,omitempty"`
}

// Generation is one accepted request, the root noun.
type Generation struct {
	ID             string // "task_" or "job_" + ULID; what the caller knows
	OrganisationID string
	Surface        Surface
	Model          string // the public name the caller sent
	Kind           Kind
	State          GenerationState
	Progress       int // 0..100; never goes down
	Input          Input
	// SourceAssetID is the asset it is made from, "src_…"; empty = none, or its ingest has not ended well (yet).
	SourceAssetID string
	// AwaitedAssetID is the asset that was still being brought when the generation ended; there may never be one of that id.
	AwaitedAssetID string

	Reference  *string         // the caller's own id, echoed; nil when not sent
	Metadata   json.RawMessage // the caller's own object, echoed byte for byte; nil when not sent
	WebhookURL string          // destination of this generation's event; empty = the organisation's default

	Request  *WorkflowRequest // what was asked for by the generations API; nil for other APIs
	ParentID string           // the generation that this one was regenerated from; empty = none

	Failure *Failure // set when failed or cancelled
	Plan    Plan     // of how many attempts it is made

	// What its ledger entry will say; see UsageEntry.
	UsageType   UsageType
	Fingerprint string
	Price       Money // what it costs if it succeeds, settled when it was accepted

	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time // zero until terminal
	DeadlineAt  time.Time // when it fails with FailureTimeout if it has not ended
}

// Finish moves g to a terminal state in memory, and is the one place that says what a
// terminal generation looks like. It fails when the state machine forbids the move.
func (g *Generation) Finish(to GenerationState, failure *Failure, at time.Time) error {
	if !to.Terminal() || !g.State.CanMove(to) {
		return fmt.Errorf("kinora: generation %s cannot move from %s to %s", g.ID, g.State, to)
	}
	g.State, g.Failure, g.UpdatedAt, g.CompletedAt = to, failure, at, at
	if to == GenerationSucceeded {
		g.Progress, g.Failure = 100, nil
	}
	return nil
}

// OutputState says whether callers see an output.
type OutputState string

const (
	OutputCandidate OutputState = "candidate" // not decided on, or good and not wanted
	OutputPublished OutputState = "published"
	OutputRejected  OutputState = "rejected" // by the gate or a reviewer
)

// Output is one produced file, kept in our own storage.
type Output struct {
	ID           string // "out_" + ULID
	GenerationID string
	Attempt      int // ordinal of the attempt that made it
	Place        int // among the files of that attempt, 0-based, upstream order
	State        OutputState
	Verdict      *Verdict // the gate's; nil = not judged
	Ordinal      int      // among the published ones, 0-based; -1 = not published
	Role         string   // "primary" for ordinal 0, "alternate" for the others
	BlobKey      string
	Kind         Kind
	ContentType  string
	Bytes        int64
	SHA256       string // lower-case hex
	Width        int    // pixels; 0 = not known
	Height       int
	Duration     time.Duration // 0 for images or when not known
	CreatedAt    time.Time
	RemovedAt    time.Time // zero until retention removed the file
}
