package kinora

import "time"

// TrialRequest says where a test event goes: to an endpoint, to a URL, or, when both are
// empty, to the organisation's default callback URL.
type TrialRequest struct {
	Organisation string
	Endpoint     string // an endpoint's id
	URL          string
}

// Trial is a test event that was sent, or could not be.
type Trial struct {
	ID             string // "dlv_" + ULID, as its receiver saw it; its attempt is in the delivery log under it
	OrganisationID string
	EndpointID     string // empty = to a URL, or the organisation's default
	URL            string
	EventID        string
	JobID          string // of a generation that never was
	CreatedAt      time.Time

	Attempt   LoggedAttempt
	Delivered bool // a 2xx came back
}
