package jsonstream

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// text is the content of a string in a document, whose opening quote has been read. It ends
// behind the closing quote.
type text struct {
	in   *bufio.Reader
	left []byte // decoded and not yet passed on
	room [utf8.UTFMax]byte
	err  error
}

// Read implements io.Reader. What encoding/json makes of a string, this does: a byte that is no
// UTF-8 becomes the replacement character.
func (t *text) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for n := 0; ; {
		if len(t.left) > 0 {
			moved := copy(p[n:], t.left)
			t.left = t.left[moved:]
			if n += moved; n == len(p) {
				return n, nil
			}
		}
		if t.err != nil {
			return n, t.err
		}
		n += t.simple(p[n:])
		if n == len(p) {
			return n, nil
		}
		if n > 0 && t.in.Buffered() == 0 {
			return n, nil // what is there goes on before more is waited for
		}
		t.left, t.err = t.character()
	}
}

// simple passes on what the buffer holds of characters that stand for themselves.
func (t *text) simple(p []byte) int {
	have, _ := t.in.Peek(min(t.in.Buffered(), len(p)))
	n := 0
	for n < len(have) && have[n] >= ' ' && have[n] < utf8.RuneSelf && have[n] != '"' && have[n] != '\\' {
		n++
	}
	copy(p, have[:n])
	_, _ = t.in.Discard(n) // it is buffered
	return n
}

// character reads one character in whatever form; io.EOF = the closing quote.
func (t *text) character() ([]byte, error) {
	r, _, err := t.in.ReadRune()
	switch {
	case err != nil:
		return nil, early(err)
	case r == '"':
		return nil, io.EOF
	case r < ' ':
		return nil, ErrSyntax
	case r == '\\':
		r, err = t.escaped()
		if err != nil {
			return nil, early(err)
		}

	}
	return t.room[:utf8.EncodeRune(t.room[:], r)], nil
}

// escaped reads what follows a backslash.
func (t *text) escaped() (rune, error) {
	b, err := t.in.ReadByte()
	if err != nil {
		return 0, err
	}
	switch b {
	case '"', '\\', '/':
		return rune(b), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
	default:
		return 0, ErrSyntax
	}
	var digits [4]byte
	if _, err := io.ReadFull(t.in, digits[:]); err != nil {
		return 0, err
	}
	r, err := unit(digits[:])
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	// The other half follows, or this one stands for nothing.
	ahead, err := t.in.Peek(6)
	if err != nil && len(ahead) < 6 && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if len(ahead) == 6 && ahead[0] == '\\' && ahead[1] == 'u' {
		if second, err := unit(ahead[2:]); err == nil {
			if whole := utf16.DecodeRune(r, second); whole != utf8.RuneError {
				_, _ = t.in.Discard(6)
				return whole, nil
			}
		}
	}
	return utf8.RuneError, nil
}

// unit reads the four hexadecimal digits of an escape.
func unit(digits []byte) (rune, error) {
	var b [2]byte
	if _, err := hex.Decode(b[:], digits); err != nil {
		return 0, ErrSyntax
	}
	return rune(b[0])<<8 | rune(b[1]), nil
}

// skip reads on to the closing quote.
func (t *text) skip() error {
	_, err := io.Copy(io.Discard, t)
	return err
}
