package blob

import (
	"context"
	"errors"
	"io"
)

// maxEmptyReads is how often in a row a reader may return neither data nor an error.
const maxEmptyReads = 100

// errSource stands in for the error of a Put's reader while that passes through code that gives io.ErrUnexpectedEOF a
// meaning of its own: taken for an ordinary end it would store a file that was cut off.
var errSource = errors.New("source failed")

// source reads the data of one Put: it ends when the context does, and keeps the reader's error for the caller.
type source struct {
	ctx   context.Context
	r     io.Reader
	err   error // why reading stopped, unless at a proper end
	empty int
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, errSource
	}
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, errSource
	}
	n, err := s.r.Read(p)
	if n > 0 {
		s.empty = 0
	} else if err == nil && len(p) > 0 {
		if s.empty++; s.empty >= maxEmptyReads {
			err = io.ErrNoProgress
		}
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	s.err = err
	return n, errSource
}

// fill reads until p is full or the source ends. done says that the source ended properly.
func (s *source) fill(p []byte) (n int, done bool, err error) {
	for n < len(p) {
		read, err := s.Read(p[n:])
		n += read
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}
