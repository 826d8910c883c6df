package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kinds of failure. Find them with errors.Is; the details are in *Error.
var (
	// ErrInvalid: the request itself is wrong (400, 405, 413, 415, 422, …). Repeating it is pointless.
	ErrInvalid = errors.New("invalid request")
	// ErrUnauthorized: the key is missing, wrong or revoked (401).
	ErrUnauthorized = errors.New("unauthorised")
	// ErrInsufficientQuota: there is no balance left (402).
	ErrInsufficientQuota = errors.New("insufficient quota")
	// ErrForbidden: the key may not do this (403). From Download: the signed URL is wrong or has expired; read the
	// task or generation again for a fresh one.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound: it is not there, or belongs to another organisation (404, 410).
	ErrNotFound = errors.New("not found")
	// ErrConflict: the idempotency key was used for another request (409).
	ErrConflict = errors.New("conflict")
	// ErrRateLimited: too many requests (429). Error.RetryAfter says how long to wait.
	ErrRateLimited = errors.New("rate limited")
	// ErrUnavailable: the server cannot answer now (5xx, 408), or no whole answer came from it.
	// For a submit this means: it may or may not have been accepted.
	ErrUnavailable = errors.New("unavailable")
)

// Error is an answer that reports a failure, read from any of the server's three envelopes:
// {code, error{message, type}}, {error{code, message, retryable, retry_after}} and {detail}.
type Error struct {
	// StatusCode is the HTTP status.
	StatusCode int
	// Code is the machine-readable word: error.type of the submit API, error.code of the generations API, the
	// first type of a list in detail. Empty when the answer holds none.
	Code string
	// Message is the server's text for people, without control characters and shortened to 1 KiB. When the
	// answer is in no envelope, as from a proxy in between, it is the standard text of the status.
	Message string
	// Retryable says that the same request may succeed later: what the server states, otherwise by status
	// (408, 425, 429, 500, 502, 503, 504).
	Retryable bool
	// RetryAfter is the least time to wait before another try, from the header or the body; 0 = nothing said.
	RetryAfter time.Duration
	// Details say what is wrong with each field, where the generations API tells; nil otherwise.
	Details []FieldError
	// RequestID is X-Request-Id, for the server's operator. Empty when there is none.
	RequestID string

	op string // method and route, without ids
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"` // complete; names the field
}

// Error names the operation, the status, the code and the message. It holds no key, no URL and no id but the
// request's.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client: %s: %d", e.op, e.StatusCode)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// Is reports whether target is the kind of e: exactly one of the Err… values of this package, or none for a
// redirect.
func (e *Error) Is(target error) bool { return kindOf(e.StatusCode) == target }

// kindOf is the one table from statuses to kinds.
func kindOf(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusPaymentRequired:
		return ErrInsufficientQuota
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return ErrNotFound
	case http.StatusConflict:
		return ErrConflict
	case http.StatusTooManyRequests:
		return ErrRateLimited
	case http.StatusRequestTimeout:
		return ErrUnavailable
	}
	switch status / 100 {
	case 4:
		return ErrInvalid
	case 5:
		return ErrUnavailable
	}
	return nil
}

// retryableStatus says whether a status alone promises that another try may succeed.
func retryableStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// connectionError says that no whole answer came. It is ErrUnavailable, and what caused it.
type connectionError struct {
	op    string
	text  string // of the cause, redacted
	cause error
}

func (e *connectionError) Error() string   { return "client: " + e.op + ": " + e.text }
func (e *connectionError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }
