package kinora

import "time"

// TrialRequest says where a test event goes: to an endpoint, to a URL, or, when both are
// empty, to the organisation's default callback URL.
type TrialRequest struct {
	Organisation string
	Endpoint     string // an endpoint's id
	URL          string
	EventType    EventType // empty = EventCompleted
	Sample       string    // of what it tells, one of TrialSamples; empty = the first
}

// TrialSamples are what a test event of a type can tell of: the outputs of a generation that was
// completed, or the code that one failed with. nil for other types.
func TrialSamples(t EventType) []string {
	switch t {
	case EventCompleted:
		return []string{"image", "images", "video"}
	case EventFailed:
		return []string{string(FailureUpstream), string(FailureContentRejected), string(FailureTimeout), string(FailureCancelled)}
	}
	return nil
}

// Trial is a test event that was sent, or could not be.
type Trial struct {
	ID             string // "dlv_" + ULID, as its receiver saw it; its attempt is in the delivery log under it
	OrganisationID string
	EndpointID     string // empty = to a URL, or the organisation's default
	URL            string
	EventID        string
	EventType      EventType
	Sample         string // one of TrialSamples
	JobID          string // of a generation that never was
	CreatedAt      time.Time

	Attempt   LoggedAttempt
	Delivered bool // a 2xx came back
}
