package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	windowSize = HeadSize

	// maxSteps bounds how many elements (boxes, chunks, table entries) one Probe looks at, in any file. A photograph has
	// some thousand, a film of hours cut into fragments some ten thousand.
	maxSteps = 1 << 18

	// maxHeader bounds how far a decoder reads in search of the image's size. Photographs with depth maps in their metadata
	// have some megabytes in front of it.
	maxHeader = 16 << 20
)

// window gives random access to a file through one small buffer. Nothing is ever allocated by a length that the file
// states.
type window struct {
	r     io.ReadSeeker
	size  int64
	buf   [windowSize]byte
	start int64 // offset of buf
	n     int   // bytes in buf
	steps int
}

func newWindow(r io.ReadSeeker) (*window, error) {
	size, err := r.Seek(0, io.SeekEnd)
	return &window{r: r, size: size}, err
}

// read returns the n bytes at off, which stay valid until the next call; n is at most windowSize. Beyond the end of the
// file the error is ErrTruncated.
func (w *window) read(off int64, n int) ([]byte, error) {
	if off < 0 || off > w.size || int64(n) > w.size-off {
		return nil, ErrTruncated
	}
	if off < w.start || off+int64(n) > w.start+int64(w.n) {
		if err := w.fill(off); err != nil {
			return nil, err
		}
		if n > w.n {
			return nil, ErrTruncated // the file has shrunk
		}
	}
	from := int(off - w.start)
	return w.buf[from : from+n], nil
}

func (w *window) fill(off int64) error {
	w.n = 0
	if _, err := w.r.Seek(off, io.SeekStart); err != nil {
		return err
	}
	n, err := io.ReadFull(w.r, w.buf[:min(windowSize, w.size-off)])
	// Compared by identity: a store may wrap io.ErrUnexpectedEOF to say that its connection broke.
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return err
	}
	w.start, w.n = off, n
	return nil
}

func (w *window) uint16(off int64) (uint16, error) {
	b, err := w.read(off, 2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

func (w *window) uint32(off int64) (uint32, error) {
	b, err := w.read(off, 4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (w *window) uint64(off int64) (uint64, error) {
	b, err := w.read(off, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// step counts one element.
func (w *window) step() error {
	if w.steps++; w.steps > maxSteps {
		return malformed("more than %d elements", maxSteps)
	}
	return nil
}

// head returns what Detect wants to see.
func (w *window) head() ([]byte, error) {
	return w.read(0, int(min(HeadSize, w.size)))
}

// windowReader reads the whole file in order, for decoders that take an io.Reader. Decoders put the reader's error into a
// text of their own, or into none, so it notes itself what happened.
type windowReader struct {
	w      *window
	offset int64
	limit  int64 // where the decoder is stopped
	ended  bool  // the decoder asked for more than there is
	err    error // of the underlying reader
}

func (r *windowReader) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), windowSize, r.w.size-r.offset, r.limit-r.offset))
	if n == 0 && len(p) > 0 {
		r.ended = r.offset == r.w.size
		return 0, io.EOF
	}
	b, err := r.w.read(r.offset, n)
	if errors.Is(err, ErrTruncated) {
		r.ended = true
		return 0, io.ErrUnexpectedEOF
	}
	if err != nil {
		r.err = err
	}
	r.offset += int64(len(b))
	return copy(p, b), err
}

// malformed returns an ErrFormat that says why.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}
