package blob

import (
	"errors"
	"strconv"
	"strings"
)

// The kinds of failure. Test for them with errors.Is.
var (
	// ErrNotFound: no object has that key.
	ErrNotFound = errors.New("object not found")
	// ErrInvalidKey: the key breaks the rules of ValidateKey, or it collides with the path of another object.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrFull: no space or quota is left. Repeating helps only after somebody has made room.
	ErrFull = errors.New("storage is full")
	// ErrDenied: the storage refuses: read-only, missing permission, wrong credentials.
	ErrDenied = errors.New("storage denies access")
	// ErrUnavailable: the storage cannot be reached or fails. Repeating may help.
	ErrUnavailable = errors.New("storage is unavailable")
)

// Error is what the stores return. It unwraps to its kind and to its cause.
type Error struct {
	Op   string // "put", "open", "stat", "delete", "list", "check", "sweep", "read"
	Key  string // empty where the operation is not about one object
	Kind error  // one of the kinds above; nil when the source of a Put failed, or the context ended
	Hint string // what an operator can do about it; may be empty
	Err  error  // the cause; may be nil
}

// Error names operation, key, kind and cause, and ends with the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("blob: " + e.Op)
	if e.Key != "" {
		b.WriteString(" " + strconv.Quote(e.Key))
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the kind and the cause, as far as they are there.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
