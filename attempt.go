package kinora

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// AttemptState is where one try of a generation at one upstream account stands.
type AttemptState string

// The states of an attempt. The lifecycle's steps are named after them: `submit`
// claims queued attempts, `watch` open ones, `collect` those being collected.
const (
	AttemptQueued     AttemptState = "queued"     // waits for a free slot at an account
	AttemptSubmitting AttemptState = "submitting" // intent committed; the upstream may be called at any moment
	AttemptUnsettled  AttemptState = "unsettled"  // the call's outcome is not known; being reconciled
	AttemptOpen       AttemptState = "open"       // accepted by the upstream; being watched
	AttemptCollecting AttemptState = "collecting" // done upstream; outputs are being copied
	AttemptSucceeded  AttemptState = "succeeded"
	AttemptFailed     AttemptState = "failed"
	AttemptCancelled  AttemptState = "cancelled"
)

// attemptMoves is the whole state machine of an attempt. The only way back leads to
// queued, taken when the upstream provably created nothing. Should proof of the contrary
// arrive after that, queued → unsettled keeps a second call from being made.
var attemptMoves = map[AttemptState][]AttemptState{
	AttemptQueued:     {AttemptSubmitting, AttemptUnsettled, AttemptFailed, AttemptCancelled},
	AttemptSubmitting: {AttemptOpen, AttemptCollecting, AttemptUnsettled, AttemptQueued, AttemptFailed, AttemptCancelled},
	AttemptUnsettled:  {AttemptOpen, AttemptQueued, AttemptFailed, AttemptCancelled},
	AttemptOpen:       {AttemptCollecting, AttemptFailed, AttemptCancelled},
	AttemptCollecting: {AttemptSucceeded, AttemptFailed, AttemptCancelled},
	AttemptSucceeded:  nil,
	AttemptFailed:     nil,
	AttemptCancelled:  nil,
}

// Terminal reports whether s is an end.
func (s AttemptState) Terminal() bool { moves, ok := attemptMoves[s]; return ok && len(moves) == 0 }

// CanMove reports whether the state machine allows s → to.
func (s AttemptState) CanMove(to AttemptState) bool {
	for _, next := range attemptMoves[s] {
		if next == to {
			return true
		}
	}
	return false
}

// AttemptStates lists every state, for table tests and metrics.
func AttemptStates() []AttemptState {
	return []AttemptState{
		AttemptQueued, AttemptSubmitting, AttemptUnsettled, AttemptOpen,
		AttemptCollecting, AttemptSucceeded, AttemptFailed, AttemptCancelled,
	}
}

// CallbackMode says whom an upstream calls back about an attempt.
type CallbackMode string

const (
	CallbackNone      CallbackMode = "none"      // nobody; found out by polling
	CallbackManaged   CallbackMode = "managed"   // Kinora, on the attempt's own token
	CallbackForwarded CallbackMode = "forwarded" // the caller's own URL, byte for byte; Kinora polls
)

// JobNaming says who named an attempt's job upstream.
type JobNaming string

const (
	NamedByUpstream JobNaming = ""     // its submit call's answer, or a callback on its own token
	NamedByHand     JobNaming = "hand" // an operator
	NamedLate       JobNaming = "late" // one of the upstream's, which came after the attempt had ended
)

// ErrorCodeContested stands in the error code of an attempt that ended because another one has the job that was named for it.
const ErrorCodeContested = "contested"

// Attempt is one try of a generation at one upstream account.
type Attempt struct {
	GenerationID string
	Ordinal      int // 0-based within the generation
	// Part is which of the attempts that run side by side it is, of Parts; both are 0 and 1
	// where one attempt makes the whole generation. Round counts how often the parts were
	// made anew. All count from 0.
	Part, Parts, Round int
	// Route is its place among the model's routes, and RoutesLeft those that the part may go to
	// when this one does not serve, in order. MoveAt is when it does so if it is still queued;
	// zero = never.
	Route          int
	RoutesLeft     []int
	MoveAt         time.Time
	OrganisationID string
	// Lane names the accounts it may run on. Steps of one lane never wait for another's.
	Lane          string
	Model         string // public name
	Provider      string
	Account       string // the last one chosen; empty until the first submit
	UpstreamModel string
	State         AttemptState

	// UpstreamID is the upstream's job; empty until accepted. One that has not ended shares it with no other attempt of its account.
	UpstreamID string
	Handle     json.RawMessage // what the provider needs beside the id to find it again; nil = nothing
	NamedBy    JobNaming       // who told UpstreamID
	// ContestedID is an upstream's job that was named for the attempt although another one has it; empty = none was. It is for
	// an operator to find out whose it is.
	ContestedID string
	// CallbackToken is the unguessable part of the inbound URL's path. Only whoever has just claimed the attempt to
	// submit it knows it: what is stored is CallbackHash of it.
	CallbackToken string
	CallbackHash  string // empty until submitting
	CallbackMode  CallbackMode

	// DueAt is when the attempt is to be looked at next; zero while somebody holds
	// its lease and when it is terminal.
	DueAt      time.Time
	LeaseOwner string // node that works on it now; empty = nobody
	// Version fences the lease: it grows with every claim and every write of a step,
	// and a write names the version it read. A late worker therefore writes nothing.
	Version int64

	Tries      int // submit calls that provably created nothing
	Polls      int // looks, whatever they found
	ReadErrors int // consecutive failed looks or downloads
	Progress   int // 0..99, as last seen

	Result json.RawMessage // upstream outputs still to be collected

	ErrorClass   string // provider.Class of the last error
	ErrorCode    string // the upstream's own code
	ErrorMessage string // for operators alone: it may quote the upstream
	// Failure is what the generation fails with where this attempt's end is the one that tells
	// most; nil unless failed.
	Failure *Failure

	CreatedAt   time.Time
	HintedAt    time.Time // the upstream's last callback; zero = none
	SubmittedAt time.Time // the intent's commit
	AcceptedAt  time.Time
	DoneAt      time.Time // the upstream's end was seen
	FinishedAt  time.Time
	DeadlineAt  time.Time
}

// ID names the attempt for operators, and for the upstream where it takes a reference of
// the caller's making: the generation's id, "_" and the ordinal.
func (a *Attempt) ID() string { return a.GenerationID + "_" + strconv.Itoa(a.Ordinal) }

// CallbackHash is what is stored of a callback token, and found by: its SHA-256. The token is random and long enough that
// nothing slower is needed.
func CallbackHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
