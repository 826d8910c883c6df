package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
)

// Sink takes outputs that come inside an answer, so that none of them is ever held in
// memory: what a provider reads goes to our storage while it arrives.
type Sink interface {
	// Keep stores what r holds as the attempt's output number i, from 0, and returns it for
	// the Report: with its kind and its place in our storage. Kept twice, the later one
	// counts; one that is in no Report is removed in the end.
	//
	// A failure of r is returned as it is, for the provider to judge. What is neither an
	// image nor a video, or too large, is an *Error of class Generation. Where our own
	// storage fails, the error is of class OutcomeUnknown: the output was paid for and is lost.
	Keep(ctx context.Context, i int, r io.Reader) (Output, error)
}

// Kept is an output that a Sink has stored.
type Kept struct {
	Key         string `json:"key"` // of the object in our storage
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256"` // lower-case hexadecimal
}

// Unusable is what the error of a Sink's Keep says of that output alone: that it is neither an image
// nor a video, or too large, or that its base64 is damaged. It is of class Generation, and other
// outputs of the same answer may be good. nil = the error is of something else, such as the
// reading of the answer or our storage.
func Unusable(err error) *Error {
	var known *Error
	switch {
	case errors.As(err, &known) && known.Class == Generation:
		return known
	case errors.As(err, new(base64.CorruptInputError)):
		return Errorf(Generation, "the output is damaged")
	}
	return nil
}
