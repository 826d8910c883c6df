package kinora

import (
	"slices"
	"strings"
	"time"
)

// Endpoint is a destination that an organisation has registered: each event that it takes goes
// there by a delivery of its own, beside the one to the request's own URL or the default.
type Endpoint struct {
	ID             string // "ep_" + ULID
	OrganisationID string
	Name           string // unique in the organisation
	URL            string
	Description    string
	EventTypes     []EventType // those that go there; empty = all
	HeaderNames    []string    // of the headers that are sent with each delivery, in order
	SealedHeaders  string      // those headers, encrypted; empty = none
	Rate           int         // deliveries a second at most; 0 = no limit
	CreatedAt      time.Time
	UpdatedAt      time.Time // of its settings; its health changes without

	EndpointHealth
}

// DefaultEndpointName is the name of an organisation's default callback URL among its endpoints.
const DefaultEndpointName = "default"

// DefaultEndpointID is the id under which an organisation's default callback URL is an
// endpoint: the organisation's own, with the prefix of endpoints.
func DefaultEndpointID(organisationID string) string {
	return "ep_" + strings.TrimPrefix(organisationID, "org_")
}

// Default tells whether this is the organisation's default callback URL.
func (e *Endpoint) Default() bool { return e.ID == DefaultEndpointID(e.OrganisationID) }

// EndpointEventTypes are those that an endpoint can take.
func EndpointEventTypes() []EventType { return []EventType{EventCompleted, EventFailed} }

// Takes tells whether events of a type go to the endpoint, enabled or not.
func (e *Endpoint) Takes(t EventType) bool {
	return len(e.EventTypes) == 0 || slices.Contains(e.EventTypes, t)
}

// DisableReason says why an endpoint is disabled.
type DisableReason string

const (
	DisabledByOperator DisableReason = "operator" // switched off by hand
	DisabledGone       DisableReason = "gone"     // it answered 410
	DisabledFailing    DisableReason = "failing"  // nothing but failure for long enough
)

// DisableRule says when an endpoint that only fails is disabled: when both are reached.
type DisableRule struct {
	After    time.Duration // since the first failed attempt; 0 = never
	Attempts int           // failed attempts in that time; 0 = one
}

// EndpointHealth is how an endpoint has fared, and whether it is disabled. While it is,
// deliveries to it are made and end as dead at once, so that they can be replayed. The zero
// value is an enabled endpoint of which nothing bad is known.
//
// Its methods return the health after something has happened.
type EndpointHealth struct {
	FailingSince time.Time // start of the first failed attempt since a success; zero = none
	Failures     int       // failed attempts since then, counted no further than DisableRule needs
	DisabledAt   time.Time // zero = enabled
	Reason       DisableReason

	// MissedSince says from when on deliveries that died were missed because of being disabled,
	// and were not replayed. It is never after DisabledAt. Zero = none.
	MissedSince time.Time
	// ReplayFrom and ReplayUntil bound what is being replayed, by when it died. Zero = nothing is.
	ReplayFrom, ReplayUntil time.Time
}

// Enabled tells whether attempts are made.
func (h EndpointHealth) Enabled() bool { return h.DisabledAt.IsZero() }

// Succeeded is after an attempt that was answered with a 2xx. One that was under way when
// the endpoint was disabled changes nothing: somebody has been told.
func (h EndpointHealth) Succeeded() EndpointHealth {
	if h.Enabled() {
		h.FailingSince, h.Failures = time.Time{}, 0
	}
	return h
}

// Moved is after the endpoint has got another URL. How it failed until then was about the old one.
func (h EndpointHealth) Moved() EndpointHealth {
	if h.Enabled() {
		h.FailingSince, h.Failures = time.Time{}, 0
	}
	return h
}

// Failed is after an attempt that failed and that began at started.
func (h EndpointHealth) Failed(started, now time.Time, rule DisableRule) EndpointHealth {
	if !h.Enabled() {
		return h.late(started)
	}
	if started = instant(started); h.FailingSince.IsZero() || started.Before(h.FailingSince) {
		h.FailingSince = started
	}
	enough := max(rule.Attempts, 1)
	h.Failures = min(h.Failures+1, enough)
	if rule.After > 0 && h.Failures >= enough && now.Sub(h.FailingSince) >= rule.After {
		return h.Disable(DisabledFailing, now)
	}
	return h
}

// Gone is after an answer of 410 to an attempt that began at started. The delivery of that
// attempt counts as missed.
func (h EndpointHealth) Gone(started, now time.Time) EndpointHealth {
	if !h.Enabled() {
		return h.late(started)
	}
	h.FailingSince = earliest(h.FailingSince, instant(started))
	return h.Disable(DisabledGone, now)
}

// late is after a failed attempt that was still under way when the endpoint was disabled. Its
// delivery may have died before what disabled the endpoint happened, and was missed as well.
func (h EndpointHealth) late(started time.Time) EndpointHealth {
	h.MissedSince = earliest(h.MissedSince, instant(started))
	return h
}

// Disable switches off. A disabled endpoint stays disabled as it is.
func (h EndpointHealth) Disable(reason DisableReason, now time.Time) EndpointHealth {
	if !h.Enabled() {
		return h
	}
	h.DisabledAt, h.Reason = instant(now), reason
	h.MissedSince = earliest(h.MissedSince, h.ReplayFrom, h.FailingSince, h.DisabledAt)
	h.ReplayFrom, h.ReplayUntil = time.Time{}, time.Time{}
	return h
}

// replaySlack is how much later a delivery may die that was under way when its endpoint was
// enabled.
const replaySlack = time.Second

// Enable switches on, with a new time to prove itself in. With replay, what was missed since
// the endpoint began to fail is delivered after all, as far as it died until then; without, that
// can still be asked for later.
func (h EndpointHealth) Enable(replay bool, until time.Time) EndpointHealth {
	missed := earliest(h.MissedSince, h.FailingSince)
	if !h.Enabled() {
		h.DisabledAt, h.Reason, h.FailingSince, h.Failures = time.Time{}, "", time.Time{}, 0
	}
	if replay && !missed.IsZero() {
		h.ReplayFrom, h.ReplayUntil = earliest(missed, h.ReplayFrom), instant(until).Add(replaySlack)
		h.MissedSince = time.Time{}
	}
	return h
}

// Replayed is after everything that was missed is on its way.
func (h EndpointHealth) Replayed() EndpointHealth {
	h.ReplayFrom, h.ReplayUntil = time.Time{}, time.Time{}
	return h
}

// earliest leaves out zero times; zero = there is no other.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// instant is a time as databases keep it, so that equal ones compare equal.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
