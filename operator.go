package kinora

import (
	"slices"
	"time"
)

// Trouble is why an attempt needs a person's eye.
type Trouble string

const (
	TroubleLate       Trouble = "late"            // runs upstream for several times as long as others of its model
	TroubleUnsettled  Trouble = "unsettled"       // whether the upstream has taken it is not known yet
	TroubleUnreadable Trouble = "unreadable"      // looks or downloads failed several times in a row
	TroubleWaiting    Trouble = "waiting"         // no account takes it: they are refused, rest or are retired
	TroubleDeadline   Trouble = "deadline"        // its deadline is near, or over
	TroubleUnknown    Trouble = "outcome_unknown" // ended without its outcome being known; money may be spent
	TroubleContested  Trouble = "contested"       // a job was named for it that another attempt has
)

// Troubles lists them all, for documentation and filters.
func Troubles() []Trouble {
	return []Trouble{TroubleLate, TroubleUnsettled, TroubleUnreadable, TroubleWaiting, TroubleDeadline, TroubleUnknown, TroubleContested}
}

// UnreadableFrom is how many failed looks or downloads in a row make an attempt one that needs an eye.
const UnreadableFrom = 5

// TroubleSearch says which attempts an operator looks for. Zero fields do not matter.
type TroubleSearch struct {
	Trouble Trouble
	// Since bounds how long ago attempts of TroubleUnknown and TroubleContested have ended; zero = a week.
	Since time.Time
	Limit int // attempts, at most; 0 = 50
}

// TroubledAttempt is an attempt that needs a person's eye.
type TroubledAttempt struct {
	Attempt
	Troubles []Trouble // at least one
	// Expected is what all but one in twenty of its model took upstream; 0 = not known.
	Expected time.Duration
}

// TroubledAttempts is a list of them, newest first.
type TroubledAttempts struct {
	List []TroubledAttempt
	More bool // there are, or may be, more than the list holds
}

// SettledByHand is what became of an attempt for which a person has named the upstream's job.
type SettledByHand struct {
	Attempt Attempt
	// Watched says that the attempt goes on with that job. Otherwise it has ended before, which stays
	// as it is: the id is kept with it, and the upstream was asked to stop the job.
	Watched bool
}

// Span is a time with a beginning and an end.
type Span struct {
	From, To time.Time // From ≤ t < To
}

// Percentiles are of durations; both are zero where Of is.
type Percentiles struct {
	P50, P95 time.Duration
	Of       int // how many there were
}

// UpstreamHealth tells how attempts went that one account made of one model.
type UpstreamHealth struct {
	Provider, Account, Model string // Account is empty for attempts that no account took
	Succeeded                int
	Failed                   int
	Cancelled                int
	// Errors counts failed attempts by the class of their last error; where there was none, by the code that
	// their generation fails with.
	Errors map[string]int
	// Submits is from the intent to the upstream's acceptance; for calls that last as long as the generation,
	// that long.
	Submits Percentiles
	// Jobs is from the upstream's acceptance to its success being seen.
	Jobs Percentiles
}

// UpstreamReport tells how the attempts went of generations that ended within a time. It is read from the
// database, and so of all nodes.
type UpstreamReport struct {
	Span
	// More says that more ended within the time asked for than are counted at once: the newest are counted,
	// and From is when the oldest of them ended.
	More      bool
	Attempts  int
	Upstreams []UpstreamHealth // by provider, account and model
}

// Health is how the upstreams are.
type Health struct {
	Node string // that answers, and as which Accounts are seen
	// Accounts are in flight over all nodes; their state and last error are what this node has learnt.
	Accounts  []AccountHealth
	Hour, Day UpstreamReport // the last hour, and the last 24
}

// CountedUpTo bounds every count of waiting work: one that reaches it says "or more".
const CountedUpTo = 10_000

// LaneDepth is how many attempts of a lane wait in one state.
type LaneDepth struct {
	Lane    string
	State   AttemptState
	Due     int // claimable now
	Waiting int // for their time
	// OldestDue is since when the first of the due ones waits; zero = none does.
	OldestDue time.Time
}

// WorkDepth is how much work of a kind waits.
type WorkDepth struct {
	Due     int // claimable now
	Waiting int // for its time
	InHand  int // of some node
}

// Queues is what waits, all of it counted up to CountedUpTo.
type Queues struct {
	Lanes          []LaneDepth // those with something in them, by lane and state
	AttemptsInHand int
	Deliveries     WorkDepth
	HeldDeliveries int // wait for their destination
	DeadDeliveries int // given up, and replayable
	Replays        int // that run
	Ingests        WorkDepth
	Reviews        int       // generations that wait for a person
	OldestReview   time.Time // zero = none waits
	Upkeep         []UpkeepDepth
	Nodes          []Node
}

// UpkeepDepth is how many jobs of upkeep are in a state, as River names it.
type UpkeepDepth struct {
	State string
	Jobs  int
}

// Node is a server process that shares the database.
type Node struct {
	ID        string
	StartedAt time.Time
	BeatAt    time.Time // last sign of life, by the node's own clock
	InHand    int       // attempts, deliveries and ingests that it works on, counted up to CountedUpTo
	Answers   bool      // it is the one that tells this
	// Silent is for how long the one that tells this has seen no sign of life of it, by its own clock and as far as it could look; 0 = it
	// gives signs of life.
	Silent time.Duration
}

// FilesKept is how much is stored of one kind.
type FilesKept struct {
	Files int64
	Bytes int64
	More  bool // there are more than are counted at once
}

// StorageUse is what is kept where.
type StorageUse struct {
	Outputs, Assets, Uploads FilesKept
	// Folder is where files lie on this node; empty where they lie in Bucket.
	Folder, Bucket string
	Free           int64 // bytes left for Folder; -1 = not known, or a bucket
	Database       string
	DatabaseBytes  int64
	At             time.Time // when it was found out
}

// SettingOrigin is where a setting's value came from.
type SettingOrigin string

const (
	OriginDefault     SettingOrigin = "default"
	OriginFile        SettingOrigin = "file"
	OriginEnvironment SettingOrigin = "environment"
)

// Setting is one value of the configuration as it was loaded, without secrets.
type Setting struct {
	Key      string // as in the file, such as retention.outputs or accounts[0].settings.api_key
	Value    string // empty = none; of a secret "set" or "unset"
	Secret   bool
	Origin   SettingOrigin // empty = not known
	Variable string        // of the environment; empty = the file alone can set it
}

// Migration is one change of the database's schema.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// OfferedModel is a model that callers may ask for.
type OfferedModel struct {
	Model
	Price Money // of a generation that succeeds; 0 = costs nothing
}

// OfferedWorkflow is a workflow that callers may ask for.
type OfferedWorkflow struct {
	Name, Description string
	Model             string
	Kind              Kind
	File              string // its path; "built-in" for one that ships with the program
	Review            bool   // a person decides on what it makes
	Price             *Money // nil = the model's
}

// DestinationHour is what was sent to a destination in one hour.
type DestinationHour struct {
	At        time.Time // its beginning
	Delivered int       // attempts that were answered with a 2xx
	Failed    int       // other attempts
	Answers   Percentiles
}

// DestinationHealth is how one of an organisation's destinations takes what is sent to it.
type DestinationHealth struct {
	Destination string // scheme, host and port
	EndpointID  string // empty = requests' own URLs
	// Deliveries made within the time, by their state now.
	Pending, Held, Delivered, Dead int
	Answers                        Percentiles // of answered attempts
	Hours                          []DestinationHour
	// Breaker, Until and Room are what the node that answers has learnt: "closed", "open" or "half-open",
	// when an open one lets the next attempt through, and how many attempts at once it makes. Breaker is empty
	// where the node has sent nothing there lately.
	Breaker string
	Until   time.Time
	Room    int
	// Backlog is how many deliveries of whatever age are held for it, counted up to CountedUpTo.
	Backlog    int
	LastFailed *DestinationFailure // nil = none within the time
}

// DestinationFailure is a failed attempt.
type DestinationFailure struct {
	DeliveryID string
	At         time.Time
	Status     int // 0 = no answer
	Fault      Fault
	Error      string
}

// DestinationReport tells of all of an organisation's destinations that deliveries were made for within a time.
type DestinationReport struct {
	Span
	// More says that more deliveries were made than are looked at at once: the newest are, and From is when
	// the oldest of them was made.
	More         bool
	Deliveries   int
	Node         string              // that answers
	Destinations []DestinationHealth // by endpoint and destination
}

// PercentilesOf sorts the durations and tells how they are spread.
func PercentilesOf(list []time.Duration) Percentiles {
	if len(list) == 0 {
		return Percentiles{}
	}
	slices.Sort(list)
	at := func(percent int) time.Duration { return list[(len(list)*percent+99)/100-1] }
	return Percentiles{P50: at(50), P95: at(95), Of: len(list)}
}
