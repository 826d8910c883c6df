package asset

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

// tidyTimeout bounds the removal of a file that is not needed. It does not end with the caller.
const tidyTimeout = 30 * time.Second

// Receive streams a file of an organisation into storage and returns an asset that is not recorded yet, with the SHA-256
// of the file as it came. What can be told from its headers is refused at once. The caller has it recorded, alone (Record)
// or with the generation that it is for (kinora.Source.Received), or gives it to Discard.
//
// An error of file ends it; a *kinora.Error comes back as it is. With an error nothing is kept.
//
// Errors: ErrInvalid, with a message for the caller; ErrUnavailable when the storage is out of reach.
func (s *Service) Receive(ctx context.Context, organisationID string, file io.Reader) (*kinora.SourceAsset, [sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	source := &incoming{r: file, limit: s.cfg.MaxSize, hash: sha256.New()}
	buffered := bufio.NewReaderSize(source, 2*media.HeadSize)
	head, err := buffered.Peek(media.HeadSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, sum, sourceError(ctx, err)
	}
	if err := s.limits.CheckType(head); err != nil {
		return nil, sum, refused(err)
	}
	a := s.newAsset(organisationID)
	a.ReceivedKey = receivedKey(a.IngestID, a.CreatedAt, "sent"+media.Detect(head).Extension())
	if _, err := s.cfg.Files.Put(ctx, a.ReceivedKey, buffered, blob.PutOptions{}); err != nil {
		s.discard(ctx, a.ReceivedKey) // a Put whose last confirmation was lost has stored it
		if source.err != nil {
			return nil, sum, sourceError(ctx, source.err)
		}
		return nil, sum, storageError(ctx, err)
	}
	if err := s.checkStored(ctx, a.ReceivedKey); err != nil {
		s.discard(ctx, a.ReceivedKey)
		return nil, sum, err
	}
	source.hash.Sum(sum[:0])
	return a, sum, nil
}

// checkStored looks at the headers of a file.
func (s *Service) checkStored(ctx context.Context, key string) error {
	object, err := s.cfg.Files.Open(ctx, key)
	if err != nil {
		return storageError(ctx, err)
	}
	defer object.Close()
	_, err = s.limits.Check(object)
	var unfit *media.Unfit
	switch {
	case errors.As(err, &unfit):
		return refused(err)
	case err != nil:
		return storageError(ctx, err)
	}
	return nil
}

// FromURL returns an asset that is not recorded yet, of an image that is to be fetched. It looks at the URL's text only.
//
// Errors: ErrInvalid, with a message for the caller.
func (s *Service) FromURL(organisationID, rawURL string) (*kinora.SourceAsset, error) {
	if err := s.CheckURL(rawURL); err != nil {
		return nil, err
	}
	a := s.newAsset(organisationID)
	a.SourceURL = rawURL
	return a, nil
}

// CheckURL refuses what no ingest would ever fetch.
func (s *Service) CheckURL(rawURL string) error {
	err := s.cfg.Fetch.CheckFetch(rawURL)
	var refusal *netguard.Refusal
	switch {
	case errors.As(err, &refusal):
		return kinora.Errorf(kinora.ErrInvalid, "source_url: %s", refusal.Message)
	case err != nil:
		return kinora.Errorf(kinora.ErrInvalid, "source_url is not a URL that can be fetched")
	case strings.ContainsRune(rawURL, 0): // no database takes it
		return kinora.Errorf(kinora.ErrInvalid, "source_url holds a character that no URL has")
	}
	return nil
}

func (s *Service) newAsset(organisationID string) *kinora.SourceAsset {
	now := s.now()
	return &kinora.SourceAsset{IngestID: id.New(id.Ingest, now), ID: id.New(id.Asset, now), OrganisationID: organisationID,
		State: kinora.AssetPending, DueAt: now, CreatedAt: now, UpdatedAt: now}
}

// Record commits an asset that Receive or FromURL has made, so that its ingest begins. A repeat of the request gets what
// the first one made, as it is now; what it has sent itself is discarded, as it is with every error but one: where it is
// not known whether the commit was made, the file stays, and a sweep removes it if nothing refers to it.
//
// Errors (*kinora.Error): ErrConflict when the idempotency key stands for another request; ErrUnavailable.
func (s *Service) Record(ctx context.Context, a *kinora.SourceAsset, once kinora.Idempotency) (recorded *kinora.SourceAsset, replayed bool, err error) {
	var made *kinora.SourceAsset
	err = s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
		made = nil
		ingestID, err := tx.Once(a.OrganisationID, once, a.IngestID, a.CreatedAt)
		if err != nil {
			return err
		}
		if ingestID == "" {
			return insert(tx, a)
		}
		made, err = tx.Ingest(a.OrganisationID, ingestID)
		if errors.Is(err, store.ErrNotFound) { // removed since: the key stands for nothing any more
			return &kinora.Error{Code: kinora.ErrConflict, Message: "what the idempotency key stands for has been removed", Err: err}
		}
		return err
	})
	if made != nil || err != nil && kinora.CodeOf(err) != kinora.ErrUnavailable {
		s.Discard(ctx, a)
	}
	if err != nil {
		return nil, false, err
	}
	if made != nil {
		return made, true, nil
	}
	s.Nudge()
	return a, false, nil
}

// insert writes an asset that is not recorded yet, and who had it taken in where that is a person. Of an asset that comes with
// a generation, the generation's entry tells.
func insert(tx *store.Tx, a *kinora.SourceAsset) error {
	if err := tx.InsertAsset(a); err != nil {
		return err
	}
	detail := map[string]any{"asset": a.ID}
	if a.SourceURL != "" {
		detail["url"] = kinora.AuditURL(a.SourceURL)
	}
	return tx.Audit(kinora.AuditAssetCreate, a.OrganisationID, a.IngestID, detail)
}

// Recall returns what an earlier request with this key has recorded, as it is now; nil = there was none, or it has been
// removed since.
//
// Errors (*kinora.Error): ErrConflict when the key stands for another request; ErrUnavailable.
func (s *Service) Recall(ctx context.Context, organisationID string, once kinora.Idempotency) (*kinora.SourceAsset, error) {
	var made *kinora.SourceAsset
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) error {
		ingestID, err := tx.Recall(organisationID, once, s.now())
		if err != nil || ingestID == "" {
			return err
		}
		made, err = tx.Ingest(organisationID, ingestID)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return made, err
}

// Discard forgets an asset that was never recorded.
func (s *Service) Discard(ctx context.Context, a *kinora.SourceAsset) {
	if a != nil && a.ReceivedKey != "" {
		s.discard(ctx, a.ReceivedKey)
	}
}

// discard removes a file that no row will refer to. Where even that fails, RemoveOrphans finds it.
func (s *Service) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	_ = s.cfg.Files.Delete(ctx, key)
}

// incoming counts and hashes what it passes on, ends at the limit, and keeps the error with which it ended: storage wraps
// it in one of its own.
type incoming struct {
	r     io.Reader
	limit int64
	n     int64
	hash  hash.Hash
	err   error
}

func (i *incoming) Read(p []byte) (int, error) {
	if i.err != nil {
		return 0, i.err
	}
	n, err := i.r.Read(p)
	if i.n += int64(n); i.n > i.limit {
		i.err = tooLarge(i.limit)
		return 0, i.err
	}
	i.hash.Write(p[:n]) // never fails
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}

func tooLarge(limit int64) error {
	return kinora.Errorf(kinora.ErrInvalid, "the file is larger than %s", humanize.IBytes(uint64(limit)))
}

// refused turns what media has against a file into an answer.
func refused(err error) error {
	var unfit *media.Unfit
	if !errors.As(err, &unfit) {
		return err
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "receive source", Message: unfit.Message, Err: unfit.Err}
}

// sourceError tells what is wrong with the file that was being read.
func sourceError(ctx context.Context, err error) error {
	var known *kinora.Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "receive source", Message: "the file could not be read", Err: err}
}

// storageError tells what is wrong with storage.
func storageError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	hint := ""
	var b *blob.Error
	if errors.As(err, &b) {
		hint = b.Hint
	}
	return &kinora.Error{Code: kinora.ErrUnavailable, Op: "receive source", Message: "the storage is out of reach", Hint: hint, Err: err}
}

// token is a short random word that keeps two tries apart.
func token() string { return strings.ToLower(rand.Text()[:8]) }
