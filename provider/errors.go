package provider

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Class is what kind of failure an upstream reported; the closed list decides retries,
// failover and what the caller reads.
type Class string

const (
	Invalid        Class = "invalid"         // bad parameter or unusable input file
	Moderation     Class = "moderation"      // content refused, input or output
	Credential     Class = "credential"      // key wrong, expired, wrong region
	Permission     Class = "permission"      // key or account may not do this
	Balance        Class = "balance"         // no money or quota left; park the account
	Rate           Class = "rate"            // too many requests, or too many at once
	Unavailable    Class = "unavailable"     // fault or overload, and surely nothing was created
	Generation     Class = "generation"      // it ran and produced nothing usable
	ModelGone      Class = "model_gone"      // the model is retired or unknown
	Gone           Class = "gone"            // task or file is not there any more
	OutcomeUnknown Class = "outcome_unknown" // whether the submit created anything is not known
)

// Classes lists every class, for table tests and metric labels.
func Classes() []Class {
	return []Class{
		Invalid, Moderation, Credential, Permission, Balance, Rate,
		Unavailable, Generation, ModelGone, Gone, OutcomeUnknown,
	}
}

// Error is a failure at an upstream.
type Error struct {
	Class      Class
	Code       string        // the upstream's own code or word; for operators
	Message    string        // clean text: no ids, URLs, keys or raw bodies of the upstream
	Detail     string        // the upstream's own message, for operators; no secrets
	HTTPStatus int           // 0 = none
	RetryAfter time.Duration // the upstream's wish; 0 = none
	Err        error         // transport cause; not for callers
	// Scope is what a refusal of the account concerns; "" = see AccountWide.
	Scope Scope
	// CallbackRefused says that an Invalid submit was refused for its callback URL alone,
	// which the upstream has tried in vain. Where that is this server's own, the lifecycle
	// submits again without one.
	CallbackRefused bool
}

// AccountWide tells whether a refusal of class Balance, Credential or Permission concerns the
// account as a whole, and not one model alone: a plan that lacks a model is no reason to
// leave the others alone. Credentials always do; what a provider says in Scope decides
// for the rest, by default money does and permission does not.
func (e *Error) AccountWide() bool {
	switch e.Scope {
	case ScopeAccount:
		return true
	case ScopeModel:
		return false
	}
	return e.Class != Permission
}

// Scope is what a refusal of an account concerns.
type Scope string

const (
	ScopeAccount Scope = "account"
	ScopeModel   Scope = "model"
)

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Class, e.Message)
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a class.
func Errorf(class Class, format string, args ...any) *Error {
	return &Error{Class: class, Message: fmt.Sprintf(format, args...)}
}

// AsError returns err as an *Error; anything else becomes one of class otherwise.
func AsError(err error, otherwise Class) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Class: otherwise, Message: "the upstream could not be reached", Err: err}
}

var (
	// ErrNotCancellable says that the upstream will not end the job early.
	ErrNotCancellable = errors.New("provider: the job cannot be cancelled upstream")
	// ErrResultLost says that a job had ended when it was to be cancelled, and that the
	// upstream has deleted its result. Upstreams that answer so are looked at first, which
	// leaves an instant for this to happen in.
	ErrResultLost = errors.New("provider: the job's result was deleted")
	// ErrNotSubmitted says that the upstream is certain that it has no such job.
	ErrNotSubmitted = errors.New("provider: the upstream has no such job")
	// ErrUncertain says that the upstream shows no such job, or cannot be asked, and that
	// this proves nothing.
	ErrUncertain = errors.New("provider: the upstream cannot tell whether it has the job")
)

// byStatus is what a status means wherever an upstream's body does not say.
var byStatus = map[int]Class{
	http.StatusUnauthorized:    Credential,
	http.StatusPaymentRequired: Balance,
	http.StatusForbidden:       Permission,
	http.StatusNotFound:        ModelGone,
	http.StatusGone:            ModelGone,
	http.StatusTooManyRequests: Rate,
}

// ClassOfStatus is what a refusal's status means where the body does not say; empty = the
// status does not either.
func ClassOfStatus(status int) Class { return byStatus[status] }

// Refused translates an answer outside 2xx, below 500, by its status alone.
func Refused(a Answer) *Error {
	e := &Error{Class: ClassOfStatus(a.Status), HTTPStatus: a.Status, RetryAfter: a.RetryAfter(time.Now())}
	switch {
	case e.Class != "":
	case a.Status < 400:
		e.Class = Unavailable // a redirect is not followed
	default:
		e.Class = Invalid
	}
	e.Message = fmt.Sprintf("the upstream answered with status %d", a.Status)
	return e
}

// Unreadable says that an answer is not what the upstream documents.
func Unreadable(class Class, status int) *Error {
	return &Error{Class: class, HTTPStatus: status, Message: "the upstream's answer could not be read"}
}

// Moved says that an output is to be had at another address: by a download through the guard,
// without any key.
type Moved struct {
	URL string // may be signed, so not for logs
}

func (m *Moved) Error() string { return "provider: the output lies at another address" }
