package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
)

// The files behind signed URLs (generations API contract, section 8). No key is needed: whoever holds the URL may read.
func (s *Server) fileRoutes() []route {
	get := route{
		method: http.MethodGet, pattern: blob.FilesPath + "{key...}", dialect: &generationsDialect,
		limit: limitFile, load: transfer, handler: s.file,
	}
	return []route{get}
}

const (
	// fileMaxAge is how long a client may keep a file; the end of the URL's life cuts it.
	fileMaxAge = 24 * time.Hour
	// stretch is how much of a file has to get through within stretchTime, else the client counts as stalled. It
	// stands in for the server's write time-out, which a large file on a slow line would run into.
	stretch     = 1 << 20
	stretchTime = time.Minute
)

// file serves one stored file. The signature is checked before anything else is looked at, and a bad one gets the same
// answer whether the file exists or not.
func (s *Server) file(ctx context.Context, x *exchange, r *http.Request) error {
	now := s.now()
	expires, err := s.cfg.FileSigner.Verify(r.URL.Path, r.URL.RawQuery, now)
	switch {
	case errors.Is(err, blob.ErrExpired):
		return refuse(kinora.ErrForbidden, "the URL has expired; read the generation again for a fresh one")
	case err != nil:
		return refuse(kinora.ErrForbidden, "the URL is not valid")
	}
	key, err := blob.KeyOf(r.URL.Path)
	if err != nil {
		return fileNotFound()
	}
	object, err := s.openFile(ctx, key)
	if err != nil {
		return err
	}
	defer object.Close()
	return serveFile(x, r, object, blob.ServeOptions{MaxAge: fileMaxAge, Expires: expires, Now: now})
}

// serveFile answers with a file, whole or in ranges. Its one refusal, that of a range outside the file, is for the route's
// dialect to tell.
func serveFile(x *exchange, r *http.Request, object blob.Object, opts blob.ServeOptions) error {
	x.Header().Del("Cache-Control") // it is ServeObject's to set
	w := &patientWriter{exchange: x, patience: patience(x)}
	blob.ServeObject(w, r, object, opts)
	if !w.outside {
		return nil
	}
	x.Header().Del("Content-Disposition") // it was the file's, as the policy was
	x.Header()["Content-Security-Policy"] = noContent
	return refuse(errRange, "the file has no such range: it is %d bytes long", object.Attributes().Size)
}

// openFile opens a stored file, with errors in the words of this package.
func (s *Server) openFile(ctx context.Context, key string) (blob.Object, error) {
	object, err := s.cfg.Files.Open(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrInvalidKey):
		return nil, fileNotFound()
	case errors.Is(err, blob.ErrUnavailable), errors.Is(err, blob.ErrDenied):
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Message: "the storage is out of reach", Err: err}
	}
	return object, err
}

func fileNotFound() error {
	return refuse(kinora.ErrNotFound, "the file is not there, or not any more")
}

// patientWriter gives the client new time for each stretch of a file. It keeps back the answer to a range that the file
// does not have, so that it can be given in the words of the route.
type patientWriter struct {
	*exchange
	patience patient
	outside  bool // 416 was to be answered, and nothing has been
}

func (p *patientWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		p.outside = true
		return
	}
	p.exchange.WriteHeader(status)
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if p.outside {
		return len(b), nil
	}
	written := 0
	for {
		p.patience.extend()
		n, err := p.exchange.Write(b[:min(len(b), stretch)])
		written += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// ReadFrom passes a file on stretch by stretch. Each stretch is a LimitedReader of the file itself, because that is the
// shape which net/http hands to the kernel to copy.
func (p *patientWriter) ReadFrom(r io.Reader) (int64, error) {
	source, left := r, int64(-1)
	if limited, ok := r.(*io.LimitedReader); ok {
		source, left = limited.R, limited.N
		defer func() { limited.N = left }()
	}
	var written int64
	for left != 0 {
		most := int64(stretch)
		if left > 0 {
			most = min(most, left)
		}
		p.patience.extend()
		n, err := p.exchange.ReadFrom(&io.LimitedReader{R: source, N: most})
		written += n
		if left > 0 {
			left -= n
		}
		if err != nil || n < most {
			return written, err
		}
	}
	return written, nil
}
