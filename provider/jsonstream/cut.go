// Package jsonstream reads JSON answers that carry files: strings of many megabytes, which are
// cut out of the document and handed over as streams while they arrive, so that what stays is a
// document of ordinary size.
//
// It knows no upstream's fields and stores nothing: which strings are cut out, and where they
// go, its caller says.
package jsonstream

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxDepth bounds how deep values may lie within each other.
const maxDepth = 200

var (
	// ErrTooLarge says that what is left beside the strings cut out exceeds the limit.
	ErrTooLarge = errors.New("jsonstream: the document is too large")
	// ErrSyntax says that the text is no JSON.
	ErrSyntax = errors.New("jsonstream: not JSON")
)

// Choose decides about the string at a path, the names of members and the numbers of elements
// from the outermost value inwards ("data", "0", "b64_json"): nil leaves it in the document,
// anything else is called with the string's content, unescaped, as it arrives. What it does
// not read is skipped; its error ends the reading and is returned. The path is valid for the
// length of the call only. A document that is a string itself has an empty path.
type Choose func(path []string) func(content io.Reader) error

// Drop is what Choose answers for strings that nobody wants: they are left out unread.
func Drop(io.Reader) error { return nil }

// Cut reads the one JSON value that r holds and returns it with each string that choose takes
// replaced by an empty one. What it holds in memory are at most limit bytes of the document,
// white space and the names of members included, and a buffer of some kilobytes.
//
// The error of r is returned as it is, and an end that comes too early is io.ErrUnexpectedEOF.
func Cut(r io.Reader, limit int, choose Choose) ([]byte, error) {
	c := cutter{in: bufio.NewReader(r), limit: limit, choose: choose}
	if err := c.document(); err != nil {
		return nil, err
	}
	if !json.Valid(c.rest) {
		return nil, ErrSyntax
	}
	return c.rest, nil
}

// cutter walks along a document. It checks only what it needs to find its way: whether the
// rest is JSON is asked in the end.
type cutter struct {
	in     *bufio.Reader
	choose Choose
	path   []string
	rest   []byte
	limit  int
}

// document reads a value and wants nothing but white space behind it.
func (c *cutter) document() error {
	b, err := c.next()
	if err != nil {
		return early(err)
	}
	if err := c.value(b); err != nil {
		return early(err)
	}
	switch _, err := c.next(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return ErrSyntax
}

// early turns an end into one that comes too early.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// value reads the value that begins with b.
func (c *cutter) value(b byte) error {
	if len(c.path) > maxDepth {
		return fmt.Errorf("%w: nested too deeply", ErrSyntax)
	}
	switch b {
	case '{':
		return c.list('}', c.member)
	case '[':
		return c.list(']', c.element)
	case '"':
		return c.text()
	}
	return c.scalar(b)
}

// list reads an object or an array, whose opening bracket has been read.
func (c *cutter) list(end byte, item func(n int, first byte) error) error {
	b, err := c.next()
	if err != nil || b == end {
		return err
	}
	for n := 0; ; n++ {
		if err := item(n, b); err != nil {
			return err
		}
		if b, err = c.next(); err != nil || b == end {
			return err
		}
		if b != ',' {
			return ErrSyntax
		}
		if b, err = c.next(); err != nil {
			return err
		}
	}
}

func (c *cutter) element(n int, first byte) error {
	c.path = append(c.path, strconv.Itoa(n))
	defer func() { c.path = c.path[:len(c.path)-1] }()
	return c.value(first)
}

func (c *cutter) member(_ int, first byte) error {
	if first != '"' {
		return ErrSyntax
	}
	from := len(c.rest) - 1
	if err := c.copyText(); err != nil {
		return err
	}
	var name string
	if json.Unmarshal(c.rest[from:], &name) != nil {
		return ErrSyntax
	}
	b, err := c.next()
	if err != nil {
		return err
	}
	if b != ':' {
		return ErrSyntax
	}
	if b, err = c.next(); err != nil {
		return err
	}
	c.path = append(c.path, name)
	defer func() { c.path = c.path[:len(c.path)-1] }()
	return c.value(b)
}

// scalar copies a number or a word, whose first byte has been.
func (c *cutter) scalar(b byte) error {
	if !plain(b) {
		return ErrSyntax
	}
	for {
		b, err := c.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil // the end of a document that is a scalar, or too early: the caller sees
		}
		if err != nil {
			return err
		}
		if !plain(b) {
			return c.in.UnreadByte()
		}
		if err := c.keep(b); err != nil {
			return err
		}
	}
}

func plain(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' || b == '+' || b == '.'
}

// text reads a string, whose opening quote has been copied.
func (c *cutter) text() error {
	var take func(io.Reader) error
	if c.choose != nil {
		take = c.choose(c.path)
	}
	if take == nil {
		return c.copyText()
	}
	content := &text{in: c.in}
	if err := take(content); err != nil {
		// Where the stream itself has failed, that is the reason, whatever was made of it.
		if content.err != nil && !errors.Is(content.err, io.EOF) {
			return content.err
		}
		return err
	}
	if err := content.skip(); err != nil {
		return err
	}
	return c.keep('"')
}

// copyText copies the rest of a string up to its closing quote.
func (c *cutter) copyText() error {
	for escaped := false; ; {
		b, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		if err := c.keep(b); err != nil {
			return err
		}
		switch {
		case escaped:
			escaped = false
		case b == '\\':
			escaped = true
		case b == '"':
			return nil
		}
	}
}

// next copies white space and the byte behind it, which it returns.
func (c *cutter) next() (byte, error) {
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if err := c.keep(b); err != nil {
			return 0, err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return b, nil
	}
}

func (c *cutter) keep(b byte) error {
	if len(c.rest) == c.limit {
		return ErrTooLarge
	}
	c.rest = append(c.rest, b)
	return nil
}
