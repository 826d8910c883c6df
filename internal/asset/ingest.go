package asset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

const (
	// patience is how long an ingest is begun anew for reasons of our own: storage or egress proxy out of reach.
	patience = time.Hour
	// ownWait and ownWaitMost are the waits between such tries, doubling.
	ownWait, ownWaitMost = time.Second, time.Minute
)

// fetchWaits are the waits before the second and third try of a fetch that may do better then. A caller waits for it, so
// that all of them are over within two minutes.
var fetchWaits = []time.Duration{2 * time.Second, 10 * time.Second}

// fetchFile is the first step of an ingest by URL: the file comes into storage as it is.
func (s *Service) fetchFile(ctx context.Context, a *kinora.SourceAsset) {
	started := time.Now()
	key := receivedKey(a.IngestID, a.CreatedAt, "fetched-"+token())
	n, err := s.download(ctx, a.SourceURL, key)
	s.metrics.fetched(err, n, time.Since(started))
	if err == nil {
		next := *a
		next.ReceivedKey, next.LeaseOwner, next.DueAt, next.UpdatedAt = key, "", s.now(), s.now()
		switch err := s.persist(ctx, func(tx *store.Tx) error { return tx.SaveIngest(&next) }); {
		case errors.Is(err, store.ErrStale):
			s.tidyLost(ctx, a.IngestID, key)
		case err != nil:
			s.log.Error("a fetched source could not be recorded", "ingest", a.IngestID, "error", err)
		}
		s.prepare.ring()
		return
	}
	s.discard(ctx, key)
	var (
		mine     *ownFault
		tooLarge *netguard.TooLargeError
	)
	switch {
	case ctx.Err() != nil:
		// The node stops: its last sign of life gives the ingest back.
	case errors.As(err, &mine):
		s.troubled(ctx, a, mine.Err)
	case errors.As(err, &tooLarge):
		s.fail(ctx, a, kinora.NewFailure(kinora.FailureSourceInvalid, fmt.Sprintf("the file at source_url is larger than %d bytes", s.cfg.MaxSize)))
	case transient(err) && a.Tries < len(fetchWaits):
		s.log.Info("a source could not be fetched; it is tried again", "ingest", a.IngestID, "try", a.Tries+1, "error", told(err))
		wait := fetchWaits[a.Tries]
		a.Tries++
		s.putBack(ctx, a, jitter(time.Duration(float64(wait)*s.cfg.Backoff)))
	default:
		s.log.Info("a source could not be fetched", "ingest", a.IngestID, "tries", a.Tries+1, "error", told(err))
		s.fail(ctx, a, kinora.NewFailure(kinora.FailureSourceUnreachable, unreachable(err)))
	}
}

// ownFault is a failure that the source is not to blame for.
type ownFault struct{ Err error }

func (o *ownFault) Error() string { return o.Err.Error() }

// download streams what lies at a URL into storage.
func (s *Service) download(ctx context.Context, rawURL, key string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.FetchTimeout)
	defer cancel()
	file, pipe := io.Pipe()
	done := make(chan error, 1)
	var got netguard.Downloaded
	go func() {
		var err error
		got, err = s.cfg.Fetch.DownloadVia(ctx, s.cfg.MaxRedirects, rawURL, s.cfg.MaxSize, pipe)
		pipe.CloseWithError(err) // nil: the end
		done <- err
	}()
	_, putErr := s.cfg.Files.Put(ctx, key, file, blob.PutOptions{})
	file.CloseWithError(errStopped)
	fetchErr := <-done
	var (
		write *netguard.WriteError
		proxy *netguard.ProxyError
	)
	switch {
	case errors.As(fetchErr, &proxy):
		return 0, &ownFault{fetchErr}
	case fetchErr != nil && !errors.As(fetchErr, &write):
		return 0, fetchErr
	case putErr != nil && ctx.Err() != nil:
		return 0, ctx.Err() // the time was over between the two
	case putErr != nil:
		return 0, &ownFault{putErr}
	}
	return got.Bytes, nil
}

// errStopped ends a download whose file is not wanted any more.
var errStopped = errors.New("asset: stopped")

// transient reports whether a fetch may succeed when it is made again soon.
func transient(err error) bool {
	var (
		refusal *netguard.Refusal
		status  *netguard.StatusError
	)
	switch {
	case errors.As(err, &refusal), errors.Is(err, netguard.ErrTooManyRedirects):
		return false
	case errors.As(err, &status):
		return status.Status >= 500 || status.Status == 408 || status.Status == 425 || status.Status == 429
	}
	return true
}

// unreachable says to the caller why a source could not be fetched. It says no more than what he could find out from
// outside: what a name resolves to in here, or which part of a connection failed, is none of it.
func unreachable(err error) string {
	var (
		refusal *netguard.Refusal
		status  *netguard.StatusError
	)
	switch {
	case errors.As(err, &refusal):
		return "source_url cannot be fetched: " + refusal.Message
	case errors.Is(err, netguard.ErrTooManyRedirects):
		return "source_url has too many redirects"
	case errors.As(err, &status):
		return fmt.Sprintf("source_url answered with status %d", status.Status)
	case errors.Is(err, context.DeadlineExceeded):
		return "source_url did not answer in time"
	}
	return "source_url could not be fetched"
}

// told is what the log says of a failed fetch: kinds of errors, never a URL.
func told(err error) string {
	var refusal *netguard.Refusal
	if errors.As(err, &refusal) && refusal.Detail() != "" {
		return refusal.Message + " (" + refusal.Detail() + ")"
	}
	return err.Error()
}

// prepareFile is the last step: the file that has come is checked, made upright and private, and kept.
func (s *Service) prepareFile(ctx context.Context, a *kinora.SourceAsset) {
	started := time.Now()
	n, err := s.normalise(ctx, a.ReceivedKey)
	var unfit *media.Unfit
	switch {
	case ctx.Err() != nil:
		return
	case errors.As(err, &unfit):
		if unfit.Err != nil {
			s.log.Info("a source is no usable image", "ingest", a.IngestID, "error", unfit.Err)
		}
		s.fail(ctx, a, kinora.NewFailure(kinora.FailureSourceInvalid, unfit.Message))
		return
	case errors.Is(err, blob.ErrNotFound):
		s.log.Error("a received source has gone from storage", "ingest", a.IngestID)
		s.fail(ctx, a, kinora.NewFailure(kinora.FailureInternal, "the file was lost"))
		return
	case err != nil:
		s.troubled(ctx, a, err)
		return
	}
	key := keptKey(a, a.CreatedAt, token(), n.Type)
	if err := s.keep(ctx, key, n); err != nil {
		s.discard(ctx, key)
		if ctx.Err() == nil {
			s.troubled(ctx, a, err)
		}
		return
	}
	s.succeed(ctx, a, key, n)
	s.metrics.prepared.Observe(time.Since(started).Seconds())
}

// normalise reads a received file and works on it as soon as there is memory for that.
func (s *Service) normalise(ctx context.Context, key string) (media.Normalised, error) {
	object, err := s.cfg.Files.Open(ctx, key)
	if err != nil {
		return media.Normalised{}, err
	}
	defer object.Close()
	size := object.Attributes().Size
	if size > s.cfg.MaxSize { // the limit has been lowered since
		return media.Normalised{}, &media.Unfit{Message: fmt.Sprintf("the file is larger than %d bytes", s.cfg.MaxSize)}
	}
	file := make([]byte, size)
	if _, err := io.ReadFull(object, file); err != nil {
		return media.Normalised{}, fmt.Errorf("read the file: %w", err)
	}
	source, err := s.limits.OpenSource(file)
	if err != nil {
		return media.Normalised{}, err
	}
	need := source.Memory()
	if err := s.memory.Acquire(ctx, need); err != nil {
		return media.Normalised{}, err
	}
	defer s.memory.Release(need)
	return source.Normalise()
}

func (s *Service) keep(ctx context.Context, key string, n media.Normalised) error {
	_, err := s.cfg.Files.Put(ctx, key, bytes.NewReader(n.File), blob.PutOptions{ContentType: n.Type.ContentType()})
	return err
}

// succeed commits the end of an ingest with what waits for it. Where the same content is kept already, the file just
// stored is one too many.
func (s *Service) succeed(ctx context.Context, a *kinora.SourceAsset, key string, n media.Normalised) {
	sum := sha256.Sum256(n.File)
	ready := *a
	ready.Finish(nil, s.now())
	ready.ContentType, ready.Bytes, ready.SHA256 = n.Type.ContentType(), int64(len(n.File)), hex.EncodeToString(sum[:])
	ready.Width, ready.Height = n.Width, n.Height
	ended := s.end(ctx, a, &ready, key, s.cfg.Waiting.SourceReady, func(tx *store.Tx) (err error) {
		ready.BlobKey, err = tx.ShareAssetFile(a.OrganisationID, ready.SHA256, key)
		return err
	})
	if ended && ready.BlobKey != key {
		s.discard(ctx, key)
		s.metrics.shared.Inc()
	}
	if ended {
		s.metrics.bytes.Add(float64(ready.Bytes))
	}
}

// fail commits that an ingest has come to nothing, and with it what waits for it.
func (s *Service) fail(ctx context.Context, a *kinora.SourceAsset, failure *kinora.Failure) {
	failed := *a
	failed.Finish(failure, s.now())
	s.end(ctx, a, &failed, "", s.cfg.Waiting.SourceFailed, func(*store.Tx) error { return nil })
}

// end writes an end; made is the file that has been kept for it. It reports whether this end won.
func (s *Service) end(ctx context.Context, a, ended *kinora.SourceAsset, made string,
	tell func(*store.Tx, *kinora.SourceAsset, time.Time) (func(), error), first func(*store.Tx) error) bool {
	var after func()
	err := s.persist(ctx, func(tx *store.Tx) error {
		if err := first(tx); err != nil {
			return err
		}
		if err := tx.SaveIngest(ended); err != nil {
			return err
		}
		var err error
		after, err = tell(tx, ended, ended.UpdatedAt)
		return err
	})
	switch {
	case errors.Is(err, store.ErrStale):
		// Another node has it, or this very end was committed and its answer lost: then the row names the file.
		s.tidyLost(ctx, a.IngestID, made)
		return false
	case err != nil:
		s.log.Error("the end of an ingest could not be written", "ingest", a.IngestID, "error", err)
		return false
	}
	after()
	if a.ReceivedKey != "" {
		s.discard(ctx, a.ReceivedKey)
	}
	s.metrics.ended(ended)
	s.log.Debug("ingest ended", "ingest", a.IngestID, "state", string(ended.State))
	return true
}

// tidyLost removes a file that a lost race leaves behind, unless a row names it.
func (s *Service) tidyLost(ctx context.Context, ingestID, made string) {
	s.log.Info("an ingest had moved on before its end was written", "ingest", ingestID)
	if made == "" {
		return
	}
	known := true
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		known, err = tx.KnownAssetFile(made)
		return err
	})
	if err == nil && !known {
		s.discard(ctx, made)
	}
}

// troubled puts an ingest back that stands still through no fault of its source.
func (s *Service) troubled(ctx context.Context, a *kinora.SourceAsset, err error) {
	age := s.now().Sub(a.CreatedAt)
	if age > patience {
		s.log.Error("an ingest was given up", "ingest", a.IngestID, "error", err)
		s.fail(ctx, a, kinora.NewFailure(kinora.FailureInternal, "the file could not be worked on"))
		return
	}
	s.metrics.troubles.Inc()
	s.log.Warn("an ingest stands still; it is tried again", "ingest", a.IngestID, "error", err)
	// The waits double as the ingest grows older, without a count of their own.
	s.putBack(ctx, a, jitter(time.Duration(float64(min(max(age, ownWait), ownWaitMost))*s.cfg.Backoff)))
}

// putBack gives an ingest's lease back, to be claimed again after a while.
func (s *Service) putBack(ctx context.Context, a *kinora.SourceAsset, after time.Duration) {
	again := *a
	again.LeaseOwner, again.UpdatedAt = "", s.now()
	again.DueAt = again.UpdatedAt.Add(after)
	err := s.persist(ctx, func(tx *store.Tx) error { return tx.SaveIngest(&again) })
	if err != nil && !errors.Is(err, store.ErrStale) {
		s.log.Error("an ingest could not be put back", "ingest", a.IngestID, "error", err)
	}
	s.Nudge()
}

// persist repeats a write until the database takes it. It gives up only when work in hand must break off: the lease is
// then given back, and the step is done again.
func (s *Service) persist(ctx context.Context, fn func(tx *store.Tx) error) error {
	wait := 20 * time.Millisecond
	for {
		err := s.cfg.DB.Update(context.WithoutCancel(ctx), fn)
		if kinora.CodeOf(err) != kinora.ErrUnavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}
