package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// errNotCached undoes a look into the cache that found nothing.
var errNotCached = errors.New("lifecycle: no approved outputs of this configuration are kept")

// AcceptCached answers a submission from the approved-output cache: where the organisation has
// a generation of the same fingerprint, made by the model, plan and input that it stands for
// now, that succeeded and whose files are still kept, it commits a new one that has succeeded with the same outputs, its event and a ledger entry
// that is not billable. Nothing is sent upstream, and neither jobs in flight nor a budget
// bound it. It returns nil when there is no such generation: then Accept is to be called.
// Whether a workflow may be answered from the cache is the caller's to decide; a regenerate
// never is.
//
// Errors (*kinora.Error): ErrInvalid and ErrNotFound for a webhook that can never be delivered
// to; ErrConflict when the idempotency key stands for another request; ErrUnavailable.
func (e *Engine) AcceptCached(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	m := e.models[s.Model]
	if m == nil || s.Fingerprint == "" || s.Request == nil || s.ParentID != "" || s.Source.Given() && s.Source.AssetID == "" {
		return nil, nil
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	g := e.newGeneration(s, m, now)
	// The source is ready: its content is part of the fingerprint.
	g.State, g.UsageType, g.SourceAssetID = kinora.GenerationQueued, kinora.UsageCacheHit, s.Source.AssetID
	if err := e.checkWebhook(ctx, g); err != nil {
		return nil, err
	}
	var (
		made  string
		ended *kinora.Generation
	)
	err := e.db.Update(ctx, func(tx *store.Tx) (err error) {
		if made, err = tx.Once(g.OrganisationID, s.Idempotency(), g.ID, now); err != nil || made != "" {
			return err
		}
		outputs, err := tx.Approved(g)
		if err != nil {
			return err
		}
		if len(outputs) == 0 {
			return errNotCached
		}
		if err := insertAccepted(tx, g); err != nil {
			return err
		}
		newID := func() string { return id.New(id.Output, now) }
		if err := tx.ShareOutputs(g.ID, outputs, newID, now, e.cfg.OutputRetention); err != nil {
			return err
		}
		ended, err = e.end(tx, g, kinora.GenerationSucceeded, nil, len(outputs), now)
		return err
	})
	switch {
	case errors.Is(err, errNotCached):
		return nil, nil
	case err != nil:
		return nil, err
	case made != "":
		return e.replay(ctx, s.OrganisationID, made)
	}
	e.metrics.accepted.WithLabelValues(m.Name).Inc()
	e.follow(aftermath{ended: ended})
	return &kinora.Accepted{Generation: ended}, nil
}
