package provider

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
)

// Inline is a JSON body in which callers' files stand as base64. The files are never held in
// memory: where one belongs, the document holds a mark, and the file is encoded while the
// request is sent. Release it when the call is over.
type Inline struct {
	nonce string
	files []io.ReadSeekCloser
	sizes []int64
	types []string

	mu     sync.Mutex
	turn   int // the reader that may read: an earlier one of the same request is dead
	closed bool
}

// NewInline returns a body without files.
func NewInline() *Inline { return &Inline{nonce: rand.Text()} }

// InlineFile is a caller's file within a body.
type InlineFile struct {
	Mark        string // is a string of the document, which the file's base64 takes the place of
	ContentType string
}

// Add opens a caller's file, which has to be of one of some types ("image/png"). field is the
// caller's.
func (p *Inline) Add(ctx context.Context, up Upstream, field, url string, types []string) (InlineFile, error) {
	content, contentType, err := up.OpenSource(ctx, field, url, types)
	if err != nil {
		return InlineFile{}, err
	}
	seeker, ok := content.(io.ReadSeekCloser)
	if !ok {
		return InlineFile{}, errors.Join(&Error{Class: Unavailable, Message: field + " could not be read"}, content.Close())
	}
	p.files = append(p.files, seeker)
	size, err := seeker.Seek(0, io.SeekEnd)
	if err != nil {
		return InlineFile{}, &Error{Class: Unavailable, Message: field + " could not be read", Err: err}
	}
	p.sizes, p.types = append(p.sizes, size), append(p.types, contentType)
	return InlineFile{Mark: p.mark(len(p.files) - 1), ContentType: contentType}, nil
}

// mark is a text that nobody else can have written.
func (p *Inline) mark(i int) string { return fmt.Sprintf("%s-%d", p.nonce, i) }

// Attach gives a request the document as its body.
func (p *Inline) Attach(req *http.Request, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return &Error{Class: Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	type span struct{ from, to, file int }
	var spans []span
	length := int64(len(text))
	for i := range p.files {
		mark := []byte(p.mark(i))
		from := bytes.Index(text, append(mark, '"')) // "-1" is the beginning of "-10"
		if from < 0 {
			continue
		}
		spans = append(spans, span{from, from + len(mark), i})
		length += int64(base64.StdEncoding.EncodedLen(int(p.sizes[i]))) - int64(len(mark))
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	open := func() (io.ReadCloser, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.turn++
		var parts []io.Reader
		at := 0
		for _, s := range spans {
			if _, err := p.files[s.file].Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			parts = append(parts, bytes.NewReader(text[at:s.from]), &encoder{src: p.files[s.file]})
			at = s.to
		}
		parts = append(parts, bytes.NewReader(text[at:]))
		return &inlineBody{p: p, turn: p.turn, r: io.MultiReader(parts...)}, nil
	}
	if req.Body, err = open(); err != nil {
		return &Error{Class: Unavailable, Message: "an input could not be read", Err: err}
	}
	// With this net/http may send the request again where it provably was not sent: over a
	// connection that the upstream had closed long ago.
	req.GetBody = open
	req.ContentLength = length
	req.Header.Set("Content-Type", "application/json")
	return nil
}

// Release closes the files. net/http may still be reading when a call has returned early.
func (p *Inline) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, f := range p.files {
		_ = f.Close() // they were only read
	}
}

// inlineBody is one reading of a body.
type inlineBody struct {
	p    *Inline
	turn int
	r    io.Reader
}

func (b *inlineBody) Read(q []byte) (int, error) {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	if b.p.closed || b.turn != b.p.turn {
		return 0, os.ErrClosed
	}
	return b.r.Read(q)
}

// Close leaves the files open, for another reading.
func (b *inlineBody) Close() error { return nil }

// encoder reads a file as base64, in pieces that need no padding between them.
type encoder struct {
	src  io.Reader
	raw  [3 << 10]byte
	text [4 << 10]byte
	left []byte
	err  error
}

func (e *encoder) Read(p []byte) (int, error) {
	for len(e.left) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := io.ReadFull(e.src, e.raw[:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		e.err = err
		base64.StdEncoding.Encode(e.text[:], e.raw[:n])
		e.left = e.text[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}
