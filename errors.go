package kinora

import (
	"errors"
	"fmt"
	"time"
)

// ErrorCode is the closed set of ways in which an operation can be refused. Each
// public dialect maps it to a status and an envelope in one table.
type ErrorCode string

const (
	ErrInvalid      ErrorCode = "invalid"      // the request itself is wrong
	ErrUnauthorized ErrorCode = "unauthorized" // no key, or a wrong or revoked one
	ErrForbidden    ErrorCode = "forbidden"    // the organisation may not
	ErrNotFound     ErrorCode = "not_found"    // not there for this caller
	ErrConflict     ErrorCode = "conflict"     // idempotency key reused, or a state that forbids it
	ErrTooLarge     ErrorCode = "too_large"
	ErrRateLimited  ErrorCode = "rate_limited"
	ErrBudget       ErrorCode = "budget_spent" // the organisation's budget allows no more
	ErrNoUpstream   ErrorCode = "no_upstream"  // known model without a usable account
	// Database or storage out of reach; a later try may succeed. Nothing was changed, except
	// that a database may have made a commit whose answer was lost on the way: then all of
	// the operation stands, never a part. Repeating it is safe for a caller that sent an
	// Idempotency-Key: the repetition finds what the first try made, or makes it.
	ErrUnavailable ErrorCode = "unavailable"
	ErrInternal    ErrorCode = "internal"
)

// Error is what services return for anything a caller or operator should understand.
// Every other error is internal: logged with the request id, never shown.
type Error struct {
	Code       ErrorCode
	Op         string        // what was being done, e.g. "accept generation"
	Message    string        // for the caller; complete, no secrets
	Hint       string        // for the operator: what to do next
	RetryAfter time.Duration // 0 = nothing to say
	Details    []FieldError  // what is wrong with each field, where several may be; Message tells the first
	Err        error         // cause, never shown to callers
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"` // complete; names the field
}

func (e *Error) Error() string {
	s := e.Message
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a message for the caller.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FieldErrorf makes an Error about one field of a request. The message names the field, for those who read nothing else; field is its
// name as the API has it.
func FieldErrorf(code ErrorCode, field, format string, args ...any) *Error {
	e := Errorf(code, format, args...)
	e.Details = []FieldError{{Field: field, Message: e.Message}}
	return e
}

// CodeOf returns the code of err: "" for nil, ErrInternal for anything that is not an *Error.
func CodeOf(err error) ErrorCode {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ErrInternal
}

// FailureCode is the list of reasons a generation failed for (generations API contract 6.3), and one more: see Failure.Listed.
type FailureCode string

const (
	FailureSourceUnreachable FailureCode = "source_unreachable"
	FailureSourceInvalid     FailureCode = "source_invalid"
	FailureInvalidRequest    FailureCode = "invalid_request" // own addition: the upstream refused a parameter, or a file
	FailureContentRejected   FailureCode = "content_rejected"
	FailureQualityRejected   FailureCode = "quality_rejected"
	FailureUpstream          FailureCode = "upstream_error"
	FailureTimeout           FailureCode = "timeout"
	FailureOutcomeUnknown    FailureCode = "outcome_unknown"
	FailureCancelled         FailureCode = "cancelled"
	FailureModelUnavailable  FailureCode = "model_unavailable"
	FailureInternal          FailureCode = "internal_error"
)

// failureRetryable says whether the same request may succeed when the caller sends it again.
var failureRetryable = map[FailureCode]bool{
	FailureSourceUnreachable: true,
	FailureQualityRejected:   true,
	FailureUpstream:          true,
	FailureTimeout:           true,
	FailureInternal:          true,
}

// Failure is why a generation did not succeed.
type Failure struct {
	Code      FailureCode `json:"code"`
	Message   string      `json:"message"`
	Retryable bool        `json:"retryable"`
}

// NewFailure makes a Failure; whether it is retryable follows from its code.
func NewFailure(code FailureCode, message string) *Failure {
	return &Failure{Code: code, Message: message, Retryable: failureRetryable[code]}
}

// Listed is a failure as the generations API and its events tell it: the contract's list is closed, and a client that knows no
// other code must not break on FailureInvalidRequest. It reads as one of the upstream's that the same request would meet
// again. f may be nil.
func (f *Failure) Listed() *Failure {
	if f == nil || f.Code != FailureInvalidRequest {
		return f
	}
	return &Failure{Code: FailureUpstream, Message: f.Message}
}
