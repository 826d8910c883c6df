package lifecycle

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// Ingests is what the lifecycle needs of the service that brings source images.
type Ingests interface {
	// CheckURL refuses, with a *kinora.Error of code ErrInvalid, a URL that would never be fetched.
	CheckURL(rawURL string) error
	// Nudge says that an ingest was committed.
	Nudge()
	// Discard removes what was received for an asset that was never recorded.
	Discard(ctx context.Context, a *kinora.SourceAsset)
}

const (
	// sourceURLLife is how long the URL of a source that an upstream is given works at least: upstreams fetch it when they
	// begin, and may have a queue.
	sourceURLLife = time.Hour
	// anySource stands for a source that is not there yet, where a request is only checked.
	anySource = "assets/source.jpg"
)

// takeSource sees to the source of a generation that is being accepted, in its transaction: it records the ingest that
// comes with it, and holds the asset as it is until both are committed, so that neither its ingest ends nor anybody
// removes it in between. g and its attempts are changed to wait for a source that is not ready.
//
// Errors: ErrNotFound for an asset that is not the organisation's, ErrInvalid for one that cannot be used.
func (e *Engine) takeSource(tx *store.Tx, source kinora.Source, begun *kinora.SourceAsset, g *kinora.Generation, attempts []*kinora.Attempt) error {
	assetID, named := source.AssetID, "source_asset_id"
	switch {
	case !source.Given():
		return nil
	case begun != nil:
		g.State, g.SourceAssetID = kinora.GenerationIngesting, begun.ID
		if err := tx.InsertAsset(begun); err != nil {
			return err
		}
	default:
		if source.IngestID != "" {
			a, err := tx.Ingest(g.OrganisationID, source.IngestID)
			if err != nil {
				return sourceMissing(err)
			}
			assetID, named = a.ID, "ingest_id"
		}
		a, err := tx.LockSource(g.OrganisationID, assetID)
		if err != nil {
			return sourceMissing(err)
		}
		g.State, g.SourceAssetID = kinora.GenerationQueued, a.ID
		switch {
		case a.State == kinora.AssetReady:
			fingerprint(g, a)
		case a.State == kinora.AssetFailed || source.AssetID != "":
			return kinora.Errorf(kinora.ErrInvalid, "%s is not ready; its status is %s", named, a.State)
		default:
			g.State = kinora.GenerationIngesting
		}
	}
	for _, a := range attempts {
		if a.DueAt = g.CreatedAt; g.State == kinora.GenerationIngesting {
			a.DueAt = time.Time{}
		}
	}
	return nil
}

func sourceMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &kinora.Error{Code: kinora.ErrNotFound, Message: "source asset not found", Err: err}
	}
	return err
}

// beginIngest returns the asset that is recorded with a generation; nil = its source was recorded before, or it has none.
func (e *Engine) beginIngest(s *kinora.Submission, now time.Time) (*kinora.SourceAsset, error) {
	switch source := s.Source; {
	case source.URL == "" && source.Received == nil:
		return nil, nil
	case e.cfg.Ingests == nil:
		return nil, errors.New("accept: nothing can bring the source")
	case source.Received != nil:
		if source.Received.OrganisationID != s.OrganisationID {
			return nil, errors.New("accept: the source is another organisation's")
		}
		return source.Received, nil
	}
	if err := e.cfg.Ingests.CheckURL(s.Source.URL); err != nil {
		return nil, err
	}
	return &kinora.SourceAsset{
		IngestID: id.New(id.Ingest, now), ID: id.New(id.Asset, now), OrganisationID: s.OrganisationID, State: kinora.AssetPending,
		SourceURL: s.Source.URL, DueAt: now, CreatedAt: now, UpdatedAt: now,
	}, nil
}

// unused removes what came with a request that did not use it: it was refused, or a repeat. Where it is not known whether
// the commit was made it stays, and a sweep removes it if nothing refers to it.
func (e *Engine) unused(ctx context.Context, source kinora.Source, err error) {
	if source.Received != nil && e.cfg.Ingests != nil && kinora.CodeOf(err) != kinora.ErrUnavailable {
		e.cfg.Ingests.Discard(ctx, source.Received)
	}
}

// SourceReady makes the generations due that wait for an asset, in the transaction that makes it ready. after is called
// once that is committed.
func (e *Engine) SourceReady(tx *store.Tx, a *kinora.SourceAsset, now time.Time) (after func(), err error) {
	waiting, err := tx.WaitingFor(a.ID)
	if err != nil {
		return nil, err
	}
	lanes, err := tx.ReleaseWaiting(a.ID, now) // attempts before generations, in the order of locks
	if err != nil {
		return nil, err
	}
	return func() {
		for _, name := range lanes {
			e.nudge(name, func(l *lane) bell { return l.submit })
		}
	}, settleFingerprints(tx, waiting, a)
}

// SourceFailed ends the generations that wait for an asset, in the transaction that ends its ingest. Each gets its one
// event. after is called once that is committed.
func (e *Engine) SourceFailed(tx *store.Tx, a *kinora.SourceAsset, now time.Time) (after func(), err error) {
	waiting, err := tx.WaitingFor(a.ID)
	if err != nil {
		return nil, err
	}
	var ended []*kinora.Generation
	for _, generationID := range waiting {
		g, err := e.endWaiting(tx, generationID, a.Failure, now)
		if err != nil {
			return nil, err
		}
		if g != nil {
			ended = append(ended, g)
		}
	}
	return func() {
		for _, g := range ended {
			e.follow(aftermath{ended: g})
		}
	}, nil
}

// endWaiting fails a generation that waits for its source, with its attempts; nil = it waits no more. A cancel or a
// deadline may be at work on them at the same time: whoever comes second sees what the first has done.
func (e *Engine) endWaiting(tx *store.Tx, generationID string, failure *kinora.Failure, now time.Time) (*kinora.Generation, error) {
	for range cancelTries {
		attempts, err := tx.Attempts(generationID)
		if err != nil {
			return nil, err
		}
		attempts = slices.DeleteFunc(attempts, func(a *kinora.Attempt) bool { return a.State.Terminal() })
		saves := make([]store.AttemptSave, len(attempts))
		for i, a := range attempts {
			saves[i] = store.AttemptSave{Attempt: a, From: a.State}
			a.State, a.Failure, a.LeaseOwner, a.DueAt, a.FinishedAt = kinora.AttemptFailed, failure, "", time.Time{}, now
		}
		stale, err := tx.SaveAttempts(saves)
		if err != nil {
			return nil, err
		}
		if len(stale) > 0 {
			continue
		}
		g, err := tx.Generation("", generationID)
		if err != nil || g.State.Terminal() {
			return nil, err
		}
		return e.end(tx, g, kinora.GenerationFailed, failure, 0, now)
	}
	return nil, store.ErrStale
}

// withSource puts a URL of the source, signed anew, in front of the caller's own images. It lives long enough for the
// upstream to come for it in its own time.
func (e *Engine) withSource(req provider.Request, key string, until time.Time) provider.Request {
	if e.cfg.SourceURL == nil {
		return req
	}
	now := time.Now()
	if least := now.Add(sourceURLLife); until.Before(least) {
		until = least
	}
	req.Images = append([]string{e.cfg.SourceURL(key, until)}, req.Images...)
	if req.ImageItems > 0 {
		req.ImageItems++
	}
	return req
}

// sourceOf reads where a generation's source is kept; "" = it has none.
func (e *Engine) sourceOf(g *kinora.Generation) (key string, err error) {
	if g.SourceAssetID == "" {
		return "", nil
	}
	err = e.db.View(e.work, func(tx *store.Tx) error {
		a, err := tx.Asset(g.OrganisationID, g.SourceAssetID)
		if err == nil {
			key = a.BlobKey
		}
		return err
	})
	return key, err
}
