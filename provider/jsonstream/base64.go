package jsonstream

import (
	"bufio"
	"encoding/base64"
	"io"
)

// Base64 decodes what r holds, in either alphabet, with or without padding and line breaks, and
// behind the head of a data URL where there is one. A failure of r is returned as it is;
// another is a base64.CorruptInputError.
func Base64(r io.Reader) io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &standard{in: bufio.NewReaderSize(r, 1<<10)})
}

// scheme begins a data URL. Its colon is in no alphabet.
const scheme = "data:"

// standard turns base64 in any of its forms into the one without padding.
type standard struct {
	in     *bufio.Reader
	begun  bool
	padded bool // the padding has begun: nothing may follow
	n      int64
}

func (s *standard) Read(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		if head, _ := s.in.Peek(len(scheme)); string(head) == scheme {
			if _, err := s.in.ReadSlice(','); err != nil {
				return 0, base64.CorruptInputError(0)
			}
		}
	}
	for {
		n, err := s.in.Read(p)
		kept := 0
		for _, b := range p[:n] {
			switch b {
			case '\r', '\n', ' ', '\t':
				continue
			case '=':
				s.padded = true
				continue
			case '-':
				b = '+'
			case '_':
				b = '/'
			}
			if s.padded {
				return 0, base64.CorruptInputError(s.n)
			}
			s.n++
			p[kept] = b
			kept++
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}
