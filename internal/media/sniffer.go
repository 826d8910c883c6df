package media

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// maxEmptyReads is how often in a row a reader may return neither data nor an error.
const maxEmptyReads = 100

// Sniffer passes a stream on while it learns what the stream is: its type, which is known before the first byte is passed
// on, and in the end its length and SHA-256. So one pass over a download is enough to name, store and identify it. It
// is not safe for concurrent use.
type Sniffer struct {
	r      io.Reader
	hash   hash.Hash
	head   []byte // the beginning, up to HeadSize, which is its capacity
	passed int    // how much of head has been passed on
	size   int64  // bytes passed on
	err    error  // what r ended with
}

// NewSniffer returns a Sniffer that reads from r.
func NewSniffer(r io.Reader) *Sniffer {
	return &Sniffer{r: r, hash: sha256.New(), head: make([]byte, 0, HeadSize)}
}

// Type reads ahead as far as it needs and returns the stream's type. It may be called at any time. Its error is the
// stream's own; an end is none, and an empty stream is Other.
func (s *Sniffer) Type() (Type, error) {
	for empty := 0; len(s.head) < HeadSize && s.err == nil; {
		var n int
		n, s.err = s.r.Read(s.head[len(s.head):HeadSize])
		s.head = s.head[:len(s.head)+n]
		if n > 0 {
			empty = 0
		} else if empty++; empty >= maxEmptyReads && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
	if s.err != nil && s.err != io.EOF {
		return Detect(s.head), s.err
	}
	return Detect(s.head), nil
}

// Read passes the stream on.
func (s *Sniffer) Read(p []byte) (int, error) {
	if s.passed < len(s.head) {
		n := copy(p, s.head[s.passed:])
		s.passed += n
		s.pass(p[:n])
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.err = err
	if missing := HeadSize - len(s.head); missing > 0 {
		s.head = append(s.head, p[:min(n, missing)]...)
		s.passed = len(s.head)
	}
	s.pass(p[:n])
	return n, err
}

func (s *Sniffer) pass(p []byte) {
	s.hash.Write(p) // never fails
	s.size += int64(len(p))
}

// Size returns how many bytes have been passed on.
func (s *Sniffer) Size() int64 { return s.size }

// SHA256 returns the hash of the bytes passed on, in lower-case hexadecimal.
func (s *Sniffer) SHA256() string { return hex.EncodeToString(s.hash.Sum(nil)) }
