package jsonstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxField bounds the fields of a server-sent event beside its data, in bytes.
const maxField = 4 << 10

// Events reads a stream of server-sent events whose data may be of any size, one event after the
// other. Ids and retry times are passed over.
type Events struct {
	in   *bufio.Reader
	name string
	data *lines // of the current event
	err  error
}

// NewEvents reads events from r.
func NewEvents(r io.Reader) *Events { return &Events{in: bufio.NewReader(r)} }

// Next goes to the next event that has data, skipping what is unread of the last one; false = the
// stream has ended, or failed: see Err.
func (e *Events) Next() bool {
	if e.data != nil {
		if _, err := io.Copy(io.Discard, e.data); err != nil {
			e.err = err
		}
		e.data = nil
	}
	for e.name = ""; e.err == nil; {
		field, err := e.field()
		if err != nil {
			e.err = err
			break
		}
		switch field {
		case "": // the end of an event without data
			e.name = ""
		case "event":
			e.name, e.err = e.line()
		case "data":
			e.data = &lines{e: e}
			return true
		default:
			e.err = e.pass()
		}
	}
	return false
}

// Name is the current event's; empty where its name does not come before its data.
func (e *Events) Name() string { return e.name }

// Data is the current event's. It is valid until the next call of Next.
func (e *Events) Data() io.Reader { return e.data }

// Err is what ended the stream; nil = its end.
func (e *Events) Err() error {
	if errors.Is(e.err, io.EOF) {
		return nil
	}
	return e.err
}

// field reads a line's beginning, up to its colon and the space behind it. A line without a
// colon, read whole, counts as a comment; an empty line is "".
func (e *Events) field() (string, error) {
	var name []byte
	for {
		b, err := e.in.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case b == '\n' && len(name) == 0:
			return "", nil
		case b == '\n':
			return "comment", e.in.UnreadByte()
		case b == ':':
			if next, err := e.in.Peek(1); err == nil && next[0] == ' ' {
				_, _ = e.in.Discard(1) // it is buffered
			}
			if len(name) == 0 {
				return "comment", nil
			}
			return string(name), nil
		case b == '\r':
		case len(name) == maxField:
			return "", ErrTooLarge
		default:
			name = append(name, b)
		}
	}
}

// line reads the rest of a short line.
func (e *Events) line() (string, error) {
	var text []byte
	for {
		part, err := e.in.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case len(text) > maxField:
			return "", ErrTooLarge
		case err == nil, errors.Is(err, io.EOF):
			return strings.TrimRight(string(text), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// pass skips the rest of a line.
func (e *Events) pass() error {
	for {
		_, err := e.in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// lines is the data of one event: the rest of its line, and of the data lines right behind it.
// It ends with its last line, and without an error where the stream ends there.
type lines struct {
	e    *Events
	done bool
}

func (l *lines) Read(p []byte) (int, error) {
	if l.done || len(p) == 0 {
		return 0, doneOr(l.done)
	}
	if l.e.in.Buffered() == 0 {
		if _, err := l.e.in.Peek(1); err != nil {
			l.done = true
			return 0, err
		}
	}
	have, _ := l.e.in.Peek(min(l.e.in.Buffered(), len(p)))
	end := bytes.IndexByte(have, '\n')
	if end < 0 {
		n := copy(p, have)
		_, _ = l.e.in.Discard(n) // it is buffered
		return n, nil
	}
	n := copy(p, have[:end])
	_, _ = l.e.in.Discard(end + 1) // it is buffered
	if !l.e.goesOn() {
		l.done = true
		return n, doneOr(n == 0)
	}
	p[n] = '\n'
	return n + 1, nil
}

// goesOn reads the name of another line of data, which belongs to this event, and leaves any other
// line alone. It looks at no more bytes than it needs to tell: behind the empty line that ends an
// event nothing may come for minutes.
func (e *Events) goesOn() bool {
	const more = "data:"
	for n := 1; n <= len(more); n++ {
		if ahead, _ := e.in.Peek(n); string(ahead) != more[:n] {
			return false
		}
	}
	_, _ = e.in.Discard(len(more)) // it was looked at
	return true
}

func doneOr(done bool) error {
	if done {
		return io.EOF
	}
	return nil
}
