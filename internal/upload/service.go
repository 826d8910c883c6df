// Package upload keeps files that callers bring for a limited time, so that upstreams can
// fetch them as reference images and clips (submit API contract, section 5).
//
// A file is judged by its content, streamed to storage in bounded memory, and becomes known
// by a row that is committed after the file is safe: what is answered is there, and what
// failed leaves nothing behind. [Service.RemoveExpired] removes file and row when their
// time is over.
//
// Upload URLs are signed, for as long as the upload lives. The contract's sample shows a bare
// URL, but its file names hold 32 random bits only, too few for a secret; a query string
// behind the path changes nothing for a client, for the path still ends in the extension.
//
// Not its duty: HTTP and its envelopes, rate limits, serving the files, and what becomes of
// them after they were handed to an upstream.
package upload

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

// Defaults of Config (submit API contract, section 5).
const (
	DefaultMaxImage     = 20 << 20
	DefaultMaxVideo     = 100 << 20
	DefaultKeepImage    = 72 * time.Hour
	DefaultKeepVideo    = 24 * time.Hour
	DefaultFetchTimeout = 30 * time.Second
)

// tidyTimeout bounds the removal of what a failed upload left in storage. It does not end with the caller.
const tidyTimeout = 30 * time.Second

// Files is where the bytes go. Every blob.Store is one.
type Files interface {
	Put(ctx context.Context, key string, r io.Reader, opts blob.PutOptions) (blob.Attributes, error)
	Open(ctx context.Context, key string) (blob.Object, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string, fn func(blob.Attributes) error) error
}

// Fetcher downloads what a caller names by URL. A *netguard.Guard is one.
type Fetcher interface {
	Download(ctx context.Context, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error)
}

// Config is what a Service works with. DB, Files, Fetch and URL are needed.
type Config struct {
	DB    *store.DB
	Files Files
	Fetch Fetcher
	// URL makes the signed URL of a stored file that works until expires.
	URL func(key string, expires time.Time) string

	MaxImage, MaxVideo   int64         // bytes; 0 = the defaults
	KeepImage, KeepVideo time.Duration // 0 = the defaults
	FetchTimeout         time.Duration // of one upload by URL; 0 = DefaultFetchTimeout
	Now                  func() time.Time
}

// Service is safe for concurrent use.
type Service struct {
	cfg Config
}

// New returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Files == nil || cfg.Fetch == nil || cfg.URL == nil {
		return nil, errors.New("upload: config: DB, Files, Fetch and URL are needed")
	}
	if cfg.MaxImage < 0 || cfg.MaxVideo < 0 || cfg.KeepImage < 0 || cfg.KeepVideo < 0 || cfg.FetchTimeout < 0 {
		return nil, errors.New("upload: config: limits must not be negative")
	}
	setDefault(&cfg.MaxImage, DefaultMaxImage)
	setDefault(&cfg.MaxVideo, DefaultMaxVideo)
	setDefault(&cfg.KeepImage, DefaultKeepImage)
	setDefault(&cfg.KeepVideo, DefaultKeepVideo)
	setDefault(&cfg.FetchTimeout, DefaultFetchTimeout)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg}, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// MaxSize is the largest file that is taken, of whatever kind, in bytes.
func (s *Service) MaxSize() int64 { return max(s.cfg.MaxImage, s.cfg.MaxVideo) }

// URL is the signed URL of an upload. It works until the upload expires.
func (s *Service) URL(u *kinora.Upload) string { return s.cfg.URL(u.BlobKey, u.ExpiresAt) }

// Save keeps a file of an organisation. name is what the caller calls it and is only
// echoed; empty = "upload" and the extension. folder is the sub-folder that the caller
// wants; empty = none.
//
// An error of file ends the upload; a *kinora.Error comes back as it is. rest, when not nil,
// is called once file is at its end, and returns a folder that came behind it in the same
// request, "" for none: the file is then copied there. When Save returns an error, nothing
// is kept.
//
// Errors: ErrInvalid, whose messages are the contract's texts; ErrTooLarge; ErrUnavailable when
// storage or database are out of reach.
func (s *Service) Save(ctx context.Context, organisationID, name, folder string, file io.Reader, rest func() (folder string, err error)) (*kinora.Upload, error) {
	now := s.cfg.Now().UTC()
	folder, err := folderOf(folder, now)
	if err != nil {
		return nil, err
	}
	source := &body{r: file, limit: s.MaxSize()}
	sniffer := media.NewSniffer(source)
	kind, err := sniffer.Type()
	if err != nil {
		return nil, sourceError(ctx, err)
	}
	u, limit, err := s.admit(kind, now)
	if err != nil {
		return nil, err
	}
	source.limit = limit
	u.OrganisationID, u.OriginalName = organisationID, originalName(name, kind)
	u.BlobKey = folder + "/" + fileName(now, kind)
	if err := s.put(ctx, u, sniffer, source); err != nil {
		return nil, err
	}
	u.Bytes = sniffer.Size()
	if err := s.finish(ctx, u, now, rest); err != nil {
		s.discard(ctx, u.BlobKey)
		return nil, err
	}
	return u, nil
}

// SaveBase64 is Save for a file in base64, as DecodeBase64 reads it.
func (s *Service) SaveBase64(ctx context.Context, organisationID, folder string, text io.Reader, rest func() (folder string, err error)) (*kinora.Upload, error) {
	return s.Save(ctx, organisationID, "", folder, DecodeBase64(text), rest)
}

// admit takes the types of the contract's list and says how large the file may be.
func (s *Service) admit(kind media.Type, now time.Time) (u *kinora.Upload, limit int64, err error) {
	u = &kinora.Upload{ID: randomHex(16), ContentType: kind.ContentType(), CreatedAt: now.Truncate(time.Microsecond)}
	keep := s.cfg.KeepImage
	switch kind {
	case media.PNG, media.JPEG, media.GIF, media.WebP:
		u.Kind, limit = kinora.KindImage, s.cfg.MaxImage
	case media.MP4, media.MOV, media.WebM, media.Matroska, media.AVI:
		u.Kind, limit, keep = kinora.KindVideo, s.cfg.MaxVideo, s.cfg.KeepVideo
	default:
		return nil, 0, errFileData(nil)
	}
	u.ExpiresAt = u.CreatedAt.Add(keep)
	return u, limit, nil
}

func (s *Service) put(ctx context.Context, u *kinora.Upload, r io.Reader, source *body) error {
	_, err := s.cfg.Files.Put(ctx, u.BlobKey, r, blob.PutOptions{ContentType: u.ContentType})
	if err == nil {
		return nil
	}
	// A Put whose last confirmation was lost has stored the file.
	s.discard(ctx, u.BlobKey)
	if source.err != nil {
		return sourceError(ctx, source.err)
	}
	return storageError(ctx, err)
}

// finish does what is left once the file is stored: move it where a folder that came late
// wants it, look at it as a whole, and commit its row.
func (s *Service) finish(ctx context.Context, u *kinora.Upload, now time.Time, rest func() (string, error)) error {
	if rest != nil {
		late, err := rest()
		if err != nil {
			return sourceError(ctx, err)
		}
		if late != "" {
			folder, err := folderOf(late, now)
			if err != nil {
				return err
			}
			if err := s.move(ctx, u, folder+"/"+path.Base(u.BlobKey)); err != nil {
				return err
			}
		}
	}
	if err := s.inspect(ctx, u); err != nil {
		return err
	}
	err := s.cfg.DB.Update(ctx, func(tx *store.Tx) error { return insertUpload(tx, u) })
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	return nil
}

// insertUpload writes an upload, and who sent it where that is a person.
func insertUpload(tx *store.Tx, u *kinora.Upload) error {
	if err := tx.InsertUpload(u); err != nil {
		return err
	}
	return tx.Audit(kinora.AuditUploadCreate, u.OrganisationID, u.ID, map[string]any{"type": u.ContentType, "bytes": u.Bytes})
}

// inspect reads the stored file's headers, and looks whether there is a picture behind them: what merely begins like an
// image is not one.
func (s *Service) inspect(ctx context.Context, u *kinora.Upload) error {
	object, err := s.cfg.Files.Open(ctx, u.BlobKey)
	if err != nil {
		return storageError(ctx, err)
	}
	defer object.Close()
	if _, err = media.Probe(object); err == nil {
		err = media.CheckPicture(object)
	}
	switch {
	case err == nil, errors.Is(err, media.ErrUnsupported): // a variant that we need not understand
		return nil
	case errors.Is(err, media.ErrFormat), errors.Is(err, media.ErrTruncated):
		return errFileData(err)
	}
	return storageError(ctx, err)
}

// move copies the file to another key and removes it from the old one.
func (s *Service) move(ctx context.Context, u *kinora.Upload, key string) error {
	if key == u.BlobKey {
		return nil
	}
	object, err := s.cfg.Files.Open(ctx, u.BlobKey)
	if err != nil {
		return storageError(ctx, err)
	}
	defer object.Close()
	if _, err := s.cfg.Files.Put(ctx, key, object, blob.PutOptions{ContentType: u.ContentType}); err != nil {
		s.discard(ctx, key)
		return storageError(ctx, err)
	}
	old := u.BlobKey
	u.BlobKey = key
	if err := s.cfg.Files.Delete(ctx, old); err != nil {
		s.discard(ctx, old)
		return storageError(ctx, err)
	}
	return nil
}

// discard removes a file that no row will refer to. Where even that fails, RemoveOrphans finds it.
func (s *Service) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	_ = s.cfg.Files.Delete(ctx, key)
}

// fileName is unix nanoseconds, "_", 8 hexadecimal digits and the true extension.
func fileName(now time.Time, kind media.Type) string {
	return strconv.FormatInt(now.UnixNano(), 10) + "_" + randomHex(4) + kind.Extension()
}

func randomHex(n int) string {
	random := make([]byte, n)
	rand.Read(random) // never fails
	return hex.EncodeToString(random)
}
