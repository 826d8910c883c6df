package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// maxSkip is how many bytes are read and thrown away instead of asking for a new range: below it the round trip costs
// more.
const maxSkip = 256 << 10

// s3Object reads an object with ranged requests, each sent at the first Read that needs it. All requests are bound to the
// entity tag of Open, so that an object that is replaced meanwhile gives an error instead of a mixture.
type s3Object struct {
	ctx        context.Context
	store      *S3
	attributes Attributes
	etag       string

	offset    int64         // of the next Read
	body      io.ReadCloser // nil when no request is open
	bodyAt    int64         // offset of body
	retriedAt int64         // where a broken body was last asked for again
	closed    bool
}

func (o *s3Object) Attributes() Attributes { return o.attributes }

// Read asks once more where a response breaks off; it fails when that brings no progress.
func (o *s3Object) Read(p []byte) (int, error) {
	if o.closed {
		return 0, &Error{Op: "read", Key: o.attributes.Key, Err: fs.ErrClosed}
	}
	if len(p) == 0 {
		return 0, nil
	}
	if o.offset >= o.attributes.Size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), o.attributes.Size-o.offset)]
	for {
		n, err := o.readOnce(p)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue // allowed to readers, though none does it for ever: the body is bound to ctx
		}
		o.drop()
		if o.ctx.Err() != nil || o.retriedAt == o.offset || !errors.As(err, new(brokenBody)) {
			return 0, o.fail(err)
		}
		o.retriedAt = o.offset
	}
}

// brokenBody is an error of a response that had started well.
type brokenBody struct{ err error }

func (b brokenBody) Error() string { return b.err.Error() }
func (b brokenBody) Unwrap() error { return b.err }

func (o *s3Object) readOnce(p []byte) (int, error) {
	if err := o.position(); err != nil {
		return 0, err
	}
	n, err := o.body.Read(p)
	o.offset += int64(n)
	o.bodyAt = o.offset
	if err == io.EOF && o.offset < o.attributes.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF || n > 0 {
		return n, nil // an error that came with data comes again at the next Read
	}
	if err != nil {
		err = brokenBody{err}
	}
	return n, err
}

// position makes body stand at offset.
func (o *s3Object) position() error {
	if gap := o.offset - o.bodyAt; o.body != nil && gap > 0 && gap <= maxSkip {
		n, err := io.CopyN(io.Discard, o.body, gap)
		o.bodyAt += n
		if err != nil {
			o.drop()
		}
	}
	if o.body != nil && o.bodyAt == o.offset {
		return nil
	}
	o.drop()
	return o.request()
}

func (o *s3Object) request() error {
	var options minio.GetObjectOptions
	if o.offset > 0 {
		if err := options.SetRange(o.offset, 0); err != nil {
			return err
		}
	}
	if o.etag != "" {
		if err := options.SetMatchETag(o.etag); err != nil {
			return err
		}
	}
	body, found, header, err := o.store.core.GetObject(o.ctx, o.store.bucket, o.store.prefix+o.attributes.Key, options)
	if err != nil {
		return err
	}
	// A service that does not honour the range or the condition must not pass for one that does.
	switch {
	case o.offset > 0 && !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", o.offset)):
		return errors.Join(errors.New("the service ignored the range"), body.Close())
	case found.ETag != o.etag:
		return errors.Join(errReplaced, body.Close())
	}
	o.body, o.bodyAt = body, o.offset
	return nil
}

var errReplaced = errors.New("the object was replaced while it was being read")

func (o *s3Object) fail(err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusPreconditionFailed {
		err = errReplaced
	}
	return s3Error(o.ctx, "read", o.attributes.Key, err)
}

func (o *s3Object) drop() {
	if o.body != nil {
		_ = o.body.Close() // it was read from only; there is nothing left to lose
		o.body = nil
	}
}

// Seek only sets the offset; the next Read acts on it.
func (o *s3Object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.attributes.Size
	default:
		return 0, &Error{Op: "seek", Key: o.attributes.Key, Err: fs.ErrInvalid}
	}
	if offset < 0 {
		return 0, &Error{Op: "seek", Key: o.attributes.Key, Err: fs.ErrInvalid}
	}
	o.offset = offset
	return offset, nil
}

// Close releases the connection. It is idempotent.
func (o *s3Object) Close() error {
	o.closed = true
	o.drop()
	return nil
}
