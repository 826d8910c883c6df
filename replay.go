package kinora

import "time"

// ReplayState is where a replay stands.
type ReplayState string

const (
	ReplayRunning   ReplayState = "running"   // some node works on it, or will
	ReplayFinished  ReplayState = "finished"  // it has been through all deliveries
	ReplayCancelled ReplayState = "cancelled" // ended by hand; what it had revived goes on
)

// Replay revives an organisation's deliveries that failed, at a bounded rate: each gets its
// whole schedule once more, under the same webhook-id.
type Replay struct {
	ID             string // "rpl_" + ULID
	OrganisationID string
	Filter         ReplayFilter
	Rate           int // deliveries a second, at most
	State          ReplayState

	// Position is the id of the last delivery that it has been through; it goes along from the
	// oldest to End. Position and what was revived up to it commit together.
	Position string
	End      string // deliveries from here on were made after the replay, and are not its concern

	Total   int // deliveries that matched when it began; -1 = not counted yet
	Revived int
	Passed  int // that matched and were on their way again, by somebody else, when their turn came

	LeaseOwner string
	Version    int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time
}

// ReplayFilter says which of an organisation's deliveries are revived. Zero fields do not
// matter: the zero filter takes every dead one.
type ReplayFilter struct {
	EndpointID  string    `json:"endpoint_id,omitempty"`
	Destination string    `json:"destination,omitempty"` // as Delivery.Destination
	EventType   EventType `json:"event_type,omitempty"`
	// Since and Until bound when the delivery was made, to the millisecond: Since ≤ t < Until.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Delivered takes those too that arrived: their receivers get them again.
	Delivered bool `json:"delivered,omitempty"`
}

// Rates of replays, in deliveries a second.
const (
	DefaultReplayRate = 50
	MaxReplayRate     = 1000
)

// ReplayRequest says what of an organisation's deliveries is to be revived: what failed, and
// on request what arrived too. Zero fields do not matter.
type ReplayRequest struct {
	Organisation string
	Endpoint     string // an endpoint's id
	Destination  string // a URL of which scheme, host and port count
	EventType    EventType
	// Since and Until bound when the delivery was made, to the millisecond: Since ≤ t < Until.
	// What is made after the replay is not its concern.
	Since, Until time.Time
	Delivered    bool // those too that arrived
	Rate         int  // deliveries a second; 0 = DefaultReplayRate
}

// ReplayProgress is a replay and what has become of what it revived.
type ReplayProgress struct {
	*Replay
	// Outcomes counts by state the deliveries that no later replay has revived again.
	Outcomes map[DeliveryState]int
}
