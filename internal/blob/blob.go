// Package blob keeps the files that Kinora stores: outputs, uploads and source assets. It writes them durably to a
// folder or to S3-compatible object storage, reads them back in ranges, and hands them out under signed, expiring URLs.
//
// Not its duty: what a file is (package media), who may see it, how long it is kept and which key it gets. It holds no
// record of its own about an object: the database row is the truth, an object without a row is an orphan.
package blob

import (
	"context"
	"io"
	"time"
)

// Store keeps immutable objects under slash-separated keys such as "out/2026/11/22/out_01J….png"; ValidateKey has the
// rules for keys. All methods are safe for concurrent use. Errors are of type *Error, or wrap the context's error.
//
// A key is written once in normal operation. Putting it again replaces the object as a whole: a reader sees the old
// object or the new one, never a mixture. A replacement exists so that a step that was interrupted can be repeated.
type Store interface {
	// Put stores everything that r yields under key and returns once that is durable. Memory use is bounded whatever
	// the size. Until Put succeeds nothing is visible under key: not after an error of r, not after ctx ends, not after
	// a crash. One exception, because it cannot be excluded: when the very last confirmation is lost, Put fails
	// although the whole object is there.
	//
	// An error of r comes back wrapped, so that errors.Is and errors.As find it; io.ErrUnexpectedEOF is such an error and
	// not an end. A Read that blocks cannot be interrupted from here: r has to watch ctx itself.
	//
	// Errors: ErrInvalidKey, ErrFull, ErrDenied, ErrUnavailable.
	Put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Attributes, error)

	// Open returns the object for reading. The caller closes it. ctx covers the reads too, as they may go over a network.
	// Nothing is read ahead: a Seek followed by a Read costs one ranged read.
	//
	// Errors: ErrNotFound, ErrInvalidKey, ErrDenied, ErrUnavailable.
	Open(ctx context.Context, key string) (Object, error)

	// Stat returns the object's attributes. Errors as for Open.
	Stat(ctx context.Context, key string) (Attributes, error)

	// Delete removes the object. A key that does not exist is no error. An object that is being read stays readable to
	// its end in a folder; in S3 the reader may fail.
	//
	// Errors: ErrInvalidKey, ErrDenied, ErrUnavailable.
	Delete(ctx context.Context, key string) error

	// List calls fn for each object whose key starts with prefix, which need not end at a slash; "" is every object.
	// The order is not defined, and objects that come or go meanwhile may be reported or not. An error of fn ends the
	// listing and is returned as it is, except fs.SkipAll, which ends it without an error. Files that no key can name
	// (hidden ones, links) are left out.
	List(ctx context.Context, prefix string, fn func(Attributes) error) error

	// Check writes, reads and deletes a small object, to show that the store works. Its errors carry a hint.
	Check(ctx context.Context) error
}

// Sweeper removes what interrupted Puts left behind: temporary files, unfinished multipart uploads. Both stores of this
// package are Sweepers.
type Sweeper interface {
	// Sweep removes leftovers last touched before olderThan and returns how many. A Put that is still running must not be
	// hit: choose a time before the start of the longest upload, for instance 24 hours ago.
	Sweep(ctx context.Context, olderThan time.Time) (removed int, err error)
}

// PutOptions says what is known about an object when it is stored.
type PutOptions struct {
	// ContentType is kept by S3 only. Empty means: what the key's extension stands for. A folder always goes by the
	// extension, which is why keys end in the extension of their true type.
	ContentType string
}

// Attributes describes a stored object.
type Attributes struct {
	Key         string
	Size        int64  // bytes
	ContentType string // empty when not known
	ModTime     time.Time
}

// Object is an open object. Its methods are not safe for concurrent use.
type Object interface {
	io.ReadSeekCloser
	// Attributes are those at the time of Open.
	Attributes() Attributes
}
