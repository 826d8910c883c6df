package blob

import (
	"context"
	"io"
)

// maxEmptyReads is how often in a row a reader may return neither data nor an error.
const maxEmptyReads = 100

// source reads the data of one Put: it ends when the context does, and remembers that it failed, so that a failure of the
// source is not taken for one of the storage.
type source struct {
	ctx   context.Context
	r     io.Reader
	err   error // why reading stopped, unless at a proper end
	empty int
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, s.err
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
	return n, err
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
