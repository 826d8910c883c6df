package lifecycle

import (
	"context"
	"errors"
	"fmt"

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
	commit := func(write func(*store.Tx) error) error { return e.db.Update(ctx, write) }
	for range cancelTries {
		g, a, err := e.current(ctx, organisationID, generationID)
		if err != nil {
			return nil, err
		}
		if g.State == kinora.GenerationCancelled {
			return g, nil
		}
		if g.State.Terminal() {
			return nil, kinora.Errorf(kinora.ErrConflict, "the generation has ended as %s and cannot be cancelled", g.State)
		}
		upstreamID := a.UpstreamID
		err = e.end(commit, g, a, kinora.GenerationCancelled, kinora.NewFailure(kinora.FailureCancelled, "cancelled"), nil)
		switch {
		case errors.Is(err, store.ErrStale):
			continue // a look, a submit or an end was quicker: see what is there now
		case err != nil:
			return nil, fmt.Errorf("cancel: %w", err)
		}
		if upstreamID != "" {
			// A job that is still being submitted is cancelled by whoever submits it.
			e.cancelUpstream(a)
		}
		return g, nil
	}
	return nil, kinora.Errorf(kinora.ErrUnavailable, "the generation could not be cancelled now")
}

// current reads a generation and its last attempt.
func (e *Engine) current(ctx context.Context, organisationID, generationID string) (*kinora.Generation, *kinora.Attempt, error) {
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
	if errors.Is(err, store.ErrNotFound) || err == nil && len(list) == 0 {
		return nil, nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
	}
	if err != nil {
		return nil, nil, err
	}
	return g, list[len(list)-1], nil
}
