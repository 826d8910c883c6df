package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// VerifyRequest reads the body of r, checks it as Verify does, and returns the event and the raw body.
//
// It reads at most WithMaxBody bytes, and none when the headers alone show that the request is refused. The body
// is used up afterwards and is not put back into r. Errors: those of Verify, ErrTooLarge, and the
// reader's own error when the body breaks off; event and body are zero then. The raw body is
// returned with ErrBody too, for it is genuine.
func (v *Verifier) VerifyRequest(r *http.Request) (Event, []byte, error) {
	d, err := v.precheck(r.Header)
	if err != nil {
		return Event{}, nil, err
	}
	body, err := v.readBody(r)
	if err != nil {
		return Event{}, nil, err
	}
	event, err := v.verify(d, body)
	if err != nil && !errors.Is(err, ErrBody) {
		return Event{}, nil, err
	}
	return event, body, err
}

func (v *Verifier) readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > v.maxBody {
		return nil, ErrTooLarge
	}
	if r.Body == nil { // requests made for tests
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, v.maxBody))
	if err != nil {
		return nil, fmt.Errorf("webhook: read the body: %w", err)
	}
	if int64(len(body)) == v.maxBody {
		// One more byte tells a full body from a cut one.
		if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n > 0 {
			return nil, ErrTooLarge
		}
	}
	return body, nil
}

// Handler verifies each delivery and gives its event to handle.
//
//   - 200 when handle returns nil: the sender will not send the event again.
//   - 500 when handle returns an error: the sender tries again later. The error is not shown to it.
//   - 401 when the signature is missing, wrong or out of time, 400 when headers or body are malformed,
//     413 when the body is too large, 405 when the method is not POST. handle is not called.
//
// handle must tolerate repeats: drop events whose JobID and EventType (or ID) it has recorded already. The
// sender waits 10 s for the answer by default, so record the event and do long work afterwards.
// ctx is the request's: it ends when the sender hangs up.
//
// Handler panics when v or handle is nil.
func Handler(v *Verifier, handle func(ctx context.Context, event Event) error) http.Handler {
	if v == nil || handle == nil {
		panic("webhook: Handler needs a verifier and a function")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "only POST", http.StatusMethodNotAllowed)
			return
		}
		event, _, err := v.VerifyRequest(r)
		if err != nil {
			status, text := refusal(err)
			http.Error(w, text, status)
			return
		}
		if err := handle(r.Context(), event); err != nil {
			http.Error(w, "the event could not be handled", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// refusal gives away no more than the kind of fault: the sender's operator reads it in the delivery log.
func refusal(err error) (status int, text string) {
	var limit *http.MaxBytesError // set by a middleware in front of us
	switch {
	case errors.Is(err, ErrMissing), errors.Is(err, ErrMismatch), errors.Is(err, ErrTimestamp):
		return http.StatusUnauthorized, "invalid webhook signature"
	case errors.Is(err, ErrTooLarge), errors.As(err, &limit):
		return http.StatusRequestEntityTooLarge, "webhook body too large"
	default:
		return http.StatusBadRequest, "malformed webhook"
	}
}
