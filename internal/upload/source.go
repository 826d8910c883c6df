package upload

import (
	"context"
	"errors"
	"io"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
)

// The contract's texts (submit API contract, section 5).
const (
	textFileData = "Invalid file data"
	textURL      = "Invalid URL"
	textPath     = "Invalid upload path"
	textTooLarge = "File too large"
)

func errFileData(cause error) error {
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "upload", Message: textFileData, Err: cause}
}

func errURL(cause error) error {
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "upload by URL", Message: textURL, Err: cause}
}

func errPath() error {
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "upload", Message: textPath}
}

func errTooLarge() error {
	return &kinora.Error{Code: kinora.ErrTooLarge, Op: "upload", Message: textTooLarge}
}

// body counts what it passes on, ends at the limit, and keeps the error with which it
// ended: storage wraps it in one of its own.
type body struct {
	r     io.Reader
	limit int64
	n     int64
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n > b.limit {
		b.err = errTooLarge()
		return 0, b.err
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// sourceError tells what is wrong with the file that was being read.
func sourceError(ctx context.Context, err error) error {
	var known *kinora.Error
	if errors.As(err, &known) {
		return known
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errFileData(err)
}

// storageError tells what is wrong with storage.
func storageError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, blob.ErrInvalidKey): // the caller's folder has the name of a file
		return errPath()
	case errors.Is(err, blob.ErrFull), errors.Is(err, blob.ErrDenied), errors.Is(err, blob.ErrUnavailable):
		var b *blob.Error
		hint := ""
		if errors.As(err, &b) {
			hint = b.Hint
		}
		return &kinora.Error{Code: kinora.ErrUnavailable, Op: "upload", Message: "the storage is out of reach", Hint: hint, Err: err}
	}
	return err
}
