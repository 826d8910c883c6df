package jsonstream

import (
	"bufio"
	"errors"
	"io"
)

// ErrAbsent says that a document has no string where one was wanted.
var ErrAbsent = errors.New("jsonstream: there is no such string")

// errPicked ends the reading of a document behind what was wanted of it.
var errPicked = errors.New("jsonstream: picked")

// Pick reads one base64 string of a document, decoded while the document arrives, so that neither is ever held. At each
// string's path, which is valid for the length of the call only, it asks which it is; what is Other counts towards limit,
// as in Cut. What goes wrong, ErrAbsent included, is what failed makes of it. Closing ends the reading of the document and
// closes it.
func Pick(document io.ReadCloser, limit int, which func(path []string) Found, failed func(error) error) io.ReadCloser {
	reader, writer := io.Pipe()
	p := &picked{PipeReader: reader, document: document, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		err := pick(writer, document, limit, which)
		if err != nil {
			err = failed(err)
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	return p
}

// Found is what the string at a path is to Pick.
type Found int

const (
	Other    Found = iota
	Wanted         // the one to read
	Unwanted       // left out unread, as it may be large
)

func pick(w io.Writer, document io.Reader, limit int, which func(path []string) Found) error {
	_, err := Cut(document, limit, func(path []string) func(io.Reader) error {
		switch which(path) {
		case Unwanted:
			return Drop
		case Wanted:
			return func(content io.Reader) error {
				if _, err := bufio.NewReader(Base64(content)).WriteTo(w); err != nil {
					return err
				}
				return errPicked
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errPicked):
		return nil
	case err == nil:
		return ErrAbsent
	}
	return err
}

// picked is a string that is being read out of a document.
type picked struct {
	*io.PipeReader
	document io.Closer
	done     chan struct{}
}

// Close returns when the reading of the document has ended.
func (p *picked) Close() error {
	_ = p.PipeReader.Close() // never fails
	err := p.document.Close()
	<-p.done
	return err
}
