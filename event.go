package kinora

import "time"

// EventType names what an event tells.
type EventType string

const (
	EventCompleted EventType = "generation.completed"
	EventFailed    EventType = "generation.failed" // failed and cancelled generations

	// EventEndpointDisabled goes to an organisation's operator hook only.
	EventEndpointDisabled EventType = "endpoint.disabled"
)

// EventTypeOf returns the event that belongs to a terminal state.
func EventTypeOf(s GenerationState) EventType {
	if s == GenerationSucceeded {
		return EventCompleted
	}
	return EventFailed
}

// Event is the one notice of a terminal generation, or of something else that an
// organisation is to know. The body of a generation's is made anew for each delivery
// attempt, because output URLs are signed anew (generations API contract 10.3).
type Event struct {
	ID             string // "evt_" + ULID; the webhook-id on every attempt
	OrganisationID string
	GenerationID   string // empty = not about a generation
	Type           EventType
	Body           string // as it is sent; empty for a generation's
	CreatedAt      time.Time
}

// DeliveryState is where one event stands on its way to one destination.
type DeliveryState string

const (
	DeliveryPending   DeliveryState = "pending"   // due at DueAt
	DeliveryHeld      DeliveryState = "held"      // its destination is full or broken; waits in order of age
	DeliveryDelivered DeliveryState = "delivered" // a 2xx came back
	DeliveryDead      DeliveryState = "dead"      // given up; kept, visible, replayable
)

var deliveryMoves = map[DeliveryState][]DeliveryState{
	DeliveryPending:   {DeliveryPending, DeliveryHeld, DeliveryDelivered, DeliveryDead},
	DeliveryHeld:      {DeliveryPending, DeliveryDelivered, DeliveryDead},
	DeliveryDelivered: {DeliveryPending},               // redelivered by hand
	DeliveryDead:      {DeliveryPending, DeliveryHeld}, // revived by hand; missed and replayed
}

// CanMove reports whether the state machine allows s → to.
func (s DeliveryState) CanMove(to DeliveryState) bool {
	for _, next := range deliveryMoves[s] {
		if next == to {
			return true
		}
	}
	return false
}

// Delivery is one event on its way to one destination.
type Delivery struct {
	ID             string // "dlv_" + ULID
	EventID        string
	EventType      EventType // its event's
	OrganisationID string
	GenerationID   string // empty = the event is not about one
	// EndpointID is the endpoint that it goes to, DefaultEndpointID for the default callback
	// URL. Empty = the request's own URL, or the operator hook.
	EndpointID string
	URL        string // where it was to go when it was made
	// Destination is what breaker, concurrency and queueing hang on, so that one bad URL never
	// slows others: organisation and endpoint; or, for a request's own URL and the default
	// callback URL, organisation, scheme, host and port.
	Destination string
	// Rate is how many deliveries a second the endpoint takes, 0 = no limit. It is known of
	// claimed deliveries only.
	Rate     int
	State    DeliveryState
	Attempts int // attempts made so far
	// ScheduleFrom is how many of them were made before it was last revived: the schedule
	// counts from there.
	ScheduleFrom int
	DueAt        time.Time
	LeaseOwner   string
	Version      int64
	LastStatus   int    // HTTP status of the last attempt; 0 = none
	LastError    string // what went wrong last, for people
	CreatedAt    time.Time
	FinishedAt   time.Time
}

// Fault says who is to blame for a failed delivery attempt.
type Fault string

const (
	FaultNone   Fault = ""
	FaultOurs   Fault = "ours"
	FaultDNS    Fault = "dns"
	FaultTCP    Fault = "tcp"
	FaultTLS    Fault = "tls"
	FaultHTTP   Fault = "http"
	FaultPolicy Fault = "policy" // address rules or the allowlist
)

// DeliveryAttempt is the log of one POST.
type DeliveryAttempt struct {
	DeliveryID string
	Number     int // 1-based, over the delivery's whole life
	StartedAt  time.Time
	Duration   time.Duration
	Status     int // 0 = no answer
	Fault      Fault
	Error      string
	Address    string        // dialled address, host:port
	DNS        time.Duration // zero when the connection was reused
	Connect    time.Duration
	TLS        time.Duration
	FirstByte  time.Duration
	// Sent says what the request was made of; the zero value says that none was sent.
	Sent SentRequest
	// ResponseHead holds the answer's header lines, "name: value", in order of name. Those that
	// carry credentials have no value.
	ResponseHead string // at most 2 KiB of text
	Response     string // start of the answer's body, at most 4 KiB of text
	NextAt       time.Time
}

// SentRequest is what cannot be told from a delivery and its attempt about the request that
// was sent. The rest of its headers, and its body, are made again from their rows.
type SentRequest struct {
	Host       string    `json:"o,omitempty"` // where it is not that of the delivery's URL: its endpoint has another one by now
	UserAgent  string    `json:"ua,omitempty"`
	Secrets    int       `json:"n,omitempty"` // that signed the body, x-katalo-signature
	Standard   int       `json:"s,omitempty"` // of these, that signed by Standard Webhooks too
	Custom     []string  `json:"h,omitempty"` // names of the endpoint's own headers
	BodyBytes  int       `json:"b,omitempty"`
	BodySHA256 string    `json:"d,omitempty"` // of the body as sent, base64 without padding
	LinksUntil time.Time `json:"u,omitzero"`  // when the file URLs in it end
	Sample     string    `json:"t,omitempty"` // of a test event, one of TrialSamples; empty = the first
}

// IsZero says that no request was sent.
func (s SentRequest) IsZero() bool { return s.UserAgent == "" && s.BodyBytes == 0 }
