// Package inputs opens the files that callers name by URL, for upstreams that want bytes
// instead of URLs. A file of this server's own comes from storage, without HTTP; everything
// else is fetched under the rules of an upload by URL (submit API contract, section 5).
//
// Not its duty: which types an upstream takes, how it wants them encoded, and keeping them.
package inputs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/provider"
)

// DefaultTimeout bounds one fetch, as an upload by URL is bounded.
const DefaultTimeout = 30 * time.Second

// Files is where own files are. Every blob.Store is one.
type Files interface {
	Open(ctx context.Context, key string) (blob.Object, error)
}

// Verifier knows the signed URLs of own files. A *blob.Signer is one.
type Verifier interface {
	Verify(path, query string, now time.Time) (expires time.Time, err error)
}

// Fetcher downloads what a caller names by URL. A *netguard.Guard is one.
type Fetcher interface {
	Download(ctx context.Context, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error)
}

// Config is what Inputs work with. Files, Signer, Fetch and the limits are needed.
type Config struct {
	Files  Files
	Signer Verifier
	Fetch  Fetcher
	// Folder is where a fetched file lies while it is in use; empty = the system's. Such files
	// have no name, so that nothing is left of them after a crash.
	Folder             string
	MaxImage, MaxVideo int64         // bytes
	MaxOwn             int64         // of an own file, where that is more: it was taken in under limits of its own; bytes
	Timeout            time.Duration // of one fetch; 0 = DefaultTimeout
	Now                func() time.Time
}

// Inputs implements provider.Sources.
type Inputs struct {
	cfg Config
}

var _ provider.Sources = (*Inputs)(nil)

// New returns Inputs.
func New(cfg Config) (*Inputs, error) {
	if cfg.Files == nil || cfg.Signer == nil || cfg.Fetch == nil || cfg.MaxImage <= 0 || cfg.MaxVideo <= 0 {
		return nil, errors.New("inputs: config: Files, Signer, Fetch and limits are needed")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Inputs{cfg: cfg}, nil
}

// Open implements provider.Sources.
func (in *Inputs) Open(ctx context.Context, rawURL string) (io.ReadCloser, string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", provider.Errorf(provider.Invalid, "must be an http or https URL") // url.Parse quotes the URL
	}
	key, err := in.ownKey(u)
	if err != nil {
		return nil, "", err
	}
	var file io.ReadSeekCloser
	if key != "" {
		file, err = in.stored(ctx, key)
	} else {
		file, err = in.fetched(ctx, rawURL)
	}
	if err != nil {
		return nil, "", err
	}
	contentType, err := in.judge(file, key != "")
	if err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, contentType, nil
}

// ownKey is the key of an own file's URL, and empty for any other URL.
func (in *Inputs) ownKey(u *url.URL) (string, error) {
	switch key, err := OwnKey(in.cfg.Signer, u, in.cfg.Now()); {
	case errors.Is(err, blob.ErrExpired):
		return "", provider.Errorf(provider.Invalid, "could not be fetched: the URL has expired")
	case err != nil:
		return "", provider.Errorf(provider.Invalid, "could not be fetched: the file is not there")
	default:
		return key, nil
	}
}

// OwnKey is the key of an own file's URL, and empty for any other URL. The signature alone
// decides: nobody else can make one, and this server may be known by many names. A path may
// have a beginning that a proxy takes off.
//
// Errors: blob.ErrExpired, with the key, for a URL that has worked; blob.ErrNotFound for one that
// cannot lead to a file.
func OwnKey(signer Verifier, u *url.URL, now time.Time) (string, error) {
	for at := 0; ; {
		next := strings.Index(u.Path[at:], blob.FilesPath)
		if next < 0 {
			return "", nil
		}
		at += next
		path := u.Path[at:]
		if _, err := signer.Verify(path, u.RawQuery, now); err == nil || errors.Is(err, blob.ErrExpired) {
			key, fault := blob.KeyOf(path)
			if fault != nil {
				return "", fault
			}
			return key, err
		}
		at++
	}
}

func (in *Inputs) stored(ctx context.Context, key string) (io.ReadSeekCloser, error) {
	object, err := in.cfg.Files.Open(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrInvalidKey):
		return nil, provider.Errorf(provider.Invalid, "could not be fetched: the file is not there, or not any more")
	case err != nil:
		return nil, ours(err)
	}
	return object, nil
}

// ours says that this server is to blame.
func ours(err error) *provider.Error {
	return &provider.Error{Class: provider.Unavailable, Message: "could not be read from storage", Err: err}
}

// fetched downloads a file as a whole, before anybody begins to send it on.
func (in *Inputs) fetched(ctx context.Context, rawURL string) (io.ReadSeekCloser, error) {
	temp, err := newTemporary(in.cfg.Folder)
	if err != nil {
		return nil, ours(err)
	}
	fetchCtx, cancel := context.WithTimeout(ctx, in.cfg.Timeout)
	defer cancel()
	if _, err := in.cfg.Fetch.Download(fetchCtx, rawURL, max(in.cfg.MaxImage, in.cfg.MaxVideo), temp); err != nil {
		return nil, errors.Join(fetchError(ctx, err), temp.Close())
	}
	return temp, nil
}

// fetchError says no more than the caller may know: not whether an address exists here.
func fetchError(ctx context.Context, err error) *provider.Error {
	var (
		refusal  *netguard.Refusal
		status   *netguard.StatusError
		tooLarge *netguard.TooLargeError
		write    *netguard.WriteError
		proxy    *netguard.ProxyError
	)
	e := &provider.Error{Class: provider.Invalid, Err: err}
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // this server is about to stop
		e.Class, e.Message = provider.Unavailable, "could not be fetched"
	case errors.As(err, &write):
		return ours(err)
	case errors.As(err, &proxy):
		e.Class, e.Message = provider.Unavailable, "could not be fetched"
	case errors.As(err, &tooLarge):
		e.Message = fmt.Sprintf("must be at most %d bytes", tooLarge.Limit)
	case errors.As(err, &refusal):
		e.Message = "could not be fetched: " + refusal.Message
	case errors.As(err, &status):
		e.Message = fmt.Sprintf("could not be fetched: its server answered with status %d", status.Status)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		// Also where the time of the whole call is over: slow hosts are no fault of an upstream's,
		// and must not make its account rest.
		e.Message = "could not be fetched in time"
	default:
		e.Message = "could not be fetched"
	}
	return e
}

// judge finds out what a file is and holds it against the limit of its kind.
func (in *Inputs) judge(file io.ReadSeeker, own bool) (string, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", ours(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", ours(err)
	}
	head := make([]byte, min(size, media.HeadSize))
	if _, err := io.ReadFull(file, head); err != nil {
		return "", ours(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", ours(err)
	}
	typ, limit := media.Detect(head), in.cfg.MaxImage
	switch typ.Kind() {
	case media.KindImage:
	case media.KindVideo:
		limit = in.cfg.MaxVideo
	default:
		return "", provider.Errorf(provider.Invalid, "must be an image or a video")
	}
	if own {
		limit = max(limit, in.cfg.MaxOwn)
	}
	if size > limit {
		return "", provider.Errorf(provider.Invalid, "must be at most %d bytes", limit)
	}
	return typ.ContentType(), nil
}

// temporary is a file that is gone when it is closed.
type temporary struct {
	*os.File
	named bool
}

// newTemporary makes a file and takes its name away at once, where the system lets it.
func newTemporary(folder string) (*temporary, error) {
	f, err := os.CreateTemp(folder, ".input-*")
	if err != nil {
		return nil, err
	}
	return &temporary{File: f, named: os.Remove(f.Name()) != nil}, nil
}

// Close ends the use of the file.
func (t *temporary) Close() error {
	err := t.File.Close()
	if t.named {
		err = errors.Join(err, os.Remove(t.Name()))
	}
	return err
}
