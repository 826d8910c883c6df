package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// cancelTries bounds how often a cancel begins anew because a step moved the attempt on
// between its read and its write.
const cancelTries = 50

// Cancel ends a generation at its caller's wish and returns it as it is then. An upstream that can be told to
// stop is told, once; elsewhere the work runs on unseen and may still be paid for. Cancel races with
// every other end, and exactly one wins. A generation that is cancelled already is returned again.
//
// Errors (*kinora.Error): ErrNotFound when the organisation has none of that id; ErrConflict
// when it has ended otherwise; ErrUnavailable.
func (e *Engine) Cancel(ctx context.Context, organisationID, generationID string) (*kinora.Generation, error) {
	for range cancelTries {
		g, live, err := e.current(ctx, organisationID, generationID)
		if err != nil {
			return nil, err
		}
		if g.State == kinora.GenerationCancelled {
			return g, nil
		}
		if g.State.Terminal() {
			return nil, kinora.Errorf(kinora.ErrConflict, "the generation has ended as %s and cannot be cancelled", g.State)
		}
		cancelled, err := e.cancelAll(ctx, g, live)
		switch {
		case errors.Is(err, store.ErrStale):
			continue // a look, a submit or an end was quicker: see what is there now
		case err != nil:
			return nil, fmt.Errorf("cancel: %w", err)
		}
		for _, a := range live {
			e.nudgeProvider(a.Provider)
			e.metrics.attemptEnded(a)
			if a.UpstreamID != "" {
				// A job that is still being submitted is cancelled by whoever submits it.
				e.cancelUpstream(a)
			}
		}
		e.follow(aftermath{ended: cancelled})
		return cancelled, nil
	}
	return nil, kinora.Errorf(kinora.ErrUnavailable, "the generation could not be cancelled now")
}

// cancelAll ends a generation and its live attempts in one transaction; ErrStale = one of
// them has moved on. No attempt can have been born since they were read, because each is
// born in the transaction that ends another, or a review.
func (e *Engine) cancelAll(ctx context.Context, g *kinora.Generation, live []*kinora.Attempt) (*kinora.Generation, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	saves := make([]store.AttemptSave, len(live))
	for i, a := range live {
		saves[i] = store.AttemptSave{Attempt: a, From: a.State}
		a.State, a.LeaseOwner, a.DueAt, a.FinishedAt, a.Result = kinora.AttemptCancelled, "", time.Time{}, now, nil
	}
	var cancelled *kinora.Generation
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		stale, err := tx.SaveAttempts(saves)
		if err == nil && len(stale) > 0 {
			err = store.ErrStale
		}
		if err != nil {
			return err
		}
		if len(live) == 0 { // in the order in which a decision locks them
			if _, err := tx.LockGeneration(g.ID); err != nil {
				return err
			}
			if err := tx.WithdrawReview(g.ID, now); err != nil {
				return err
			}
		}
		cancelled, err = e.end(tx, g, kinora.GenerationCancelled, kinora.NewFailure(kinora.FailureCancelled, "cancelled"), 0, now)
		if err != nil {
			return err
		}
		return tx.Audit(kinora.AuditGenerationCancel, g.OrganisationID, g.ID, map[string]any{"model": g.Model})
	})
	return cancelled, err
}

// current reads a generation and its live attempts.
func (e *Engine) current(ctx context.Context, organisationID, generationID string) (*kinora.Generation, []*kinora.Attempt, error) {
	var (
		g    *kinora.Generation
		list []*kinora.Attempt
	)
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		if g, err = tx.Generation(organisationID, generationID); err != nil {
			return err
		}
		list, err = tx.Attempts(g.ID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
	}
	if err != nil {
		return nil, nil, err
	}
	return g, slices.DeleteFunc(list, func(a *kinora.Attempt) bool { return a.State.Terminal() }), nil
}
