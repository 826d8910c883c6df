package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	maxReviewReason = 1000 // characters
	maxReviewer     = kinora.MaxEmail
)

// PendingReviews reads the generations of an organisation that wait for a person, the one that has waited
// longest first, from behind a position on. An empty organisation reads everybody's.
func (e *Engine) PendingReviews(ctx context.Context, organisationID string, after kinora.ReviewPosition, limit int) ([]*kinora.Review, error) {
	var list []*kinora.Review
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.PendingReviews(organisationID, after, limit)
		return err
	})
	return list, err
}

// Reviews reads all reviews of a generation, in order of its rounds.
func (e *Engine) Reviews(ctx context.Context, generationID string) ([]*kinora.Review, error) {
	var list []*kinora.Review
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Reviews(generationID)
		return err
	})
	return list, err
}

// HeldOutputs reads what a generation that waits for a review would publish, the best first.
func (e *Engine) HeldOutputs(ctx context.Context, generationID string) ([]kinora.Output, error) {
	var held []kinora.Output
	err := e.db.View(ctx, func(tx *store.Tx) error {
		g, err := tx.Generation("", generationID)
		if err != nil {
			return err
		}
		attempts, err := tx.Attempts(generationID)
		if err != nil {
			return err
		}
		all, err := tx.Candidates(generationID)
		if err != nil {
			return err
		}
		round, made := lastRound(attempts, all)
		held = eligible(g.Plan, round, made)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
	}
	return held, err
}

// Decide ends a review: what is approved is published and the generation succeeds; a
// rejection is followed by another round if the plan has one left, else the generation fails
// with quality_rejected. The time that a review took does not count towards the deadline.
// Decisions race with cancels, and exactly one wins.
//
// Errors (*kinora.Error): ErrNotFound when there is no such generation; ErrConflict when it
// waits for no review; ErrInvalid; ErrUnavailable.
func (e *Engine) Decide(ctx context.Context, generationID string, d kinora.ReviewDecision) (*kinora.Generation, *kinora.Review, error) {
	if err := checkDecision(d); err != nil {
		return nil, nil, err
	}
	var (
		g     *kinora.Generation
		r     *kinora.Review
		after aftermath
	)
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		now := time.Now().UTC().Truncate(time.Microsecond)
		_, err := tx.LockGeneration(generationID)
		if err == nil {
			g, err = tx.Generation("", generationID)
		}
		if errors.Is(err, store.ErrNotFound) {
			return &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
		}
		if err != nil {
			return err
		}
		r, err = tx.PendingReview(generationID)
		if errors.Is(err, store.ErrNotFound) {
			return kinora.Errorf(kinora.ErrConflict, "the generation waits for no review")
		}
		if err != nil {
			return err
		}
		if d.Round != nil && *d.Round != r.Round {
			return kinora.Errorf(kinora.ErrConflict, "another round of the generation waits for a review now")
		}
		if after, err = e.review(tx, g, r, d, now); err != nil {
			return err
		}
		return auditDecision(tx, g, r)
	})
	if err != nil {
		if kinora.CodeOf(err) == kinora.ErrInternal {
			err = fmt.Errorf("decide: %w", err)
		}
		return nil, nil, err
	}
	e.metrics.reviews.WithLabelValues(string(r.State)).Inc()
	e.log.Info("a review was decided", "generation", generationID, "round", r.Round, "decision", string(r.State), "by", r.DecidedBy)
	e.follow(after)
	if after.ended != nil {
		g = after.ended
	}
	return g, r, nil
}

func auditDecision(tx *store.Tx, g *kinora.Generation, r *kinora.Review) error {
	action := kinora.AuditReviewApprove
	if r.State == kinora.ReviewRejected {
		action = kinora.AuditReviewReject
	}
	return tx.Audit(action, g.OrganisationID, g.ID, map[string]any{"by": r.DecidedBy, "reason": r.Reason, "outputs": r.Outputs, "round": r.Round})
}

func checkDecision(d kinora.ReviewDecision) error {
	switch {
	case d.By == "" || utf8.RuneCountInString(d.By) > maxReviewer:
		return kinora.FieldErrorf(kinora.ErrInvalid, "by", "by must say who decided, in at most %d characters", maxReviewer)
	case storable(d.By) != d.By || storable(d.Reason) != d.Reason:
		return kinora.FieldErrorf(kinora.ErrInvalid, "by", "by and reason must be UTF-8 without NUL")
	case utf8.RuneCountInString(d.Reason) > maxReviewReason:
		return kinora.FieldErrorf(kinora.ErrInvalid, "reason", "reason must have at most %d characters", maxReviewReason)
	case d.Reject && len(d.Approve) > 0:
		return kinora.FieldErrorf(kinora.ErrInvalid, "outputs", "outputs cannot be named in a rejection: it concerns all of them")
	}
	for i, id := range d.Approve {
		if slices.Contains(d.Approve[:i], id) {
			return kinora.FieldErrorf(kinora.ErrInvalid, "outputs", "outputs names %s twice", clip(id))
		}
	}
	return nil
}

// review carries out a decision on a generation whose row is locked.
func (e *Engine) review(tx *store.Tx, g *kinora.Generation, r *kinora.Review, d kinora.ReviewDecision, now time.Time) (aftermath, error) {
	attempts, err := tx.Attempts(g.ID)
	if err != nil {
		return aftermath{}, err
	}
	all, err := tx.Candidates(g.ID)
	if err != nil {
		return aftermath{}, err
	}
	round, made := lastRound(attempts, all)
	held := eligible(g.Plan, round, made)
	r.State, r.Reason, r.DecidedBy, r.DecidedAt = kinora.ReviewApproved, d.Reason, d.By, now
	var what decision
	if d.Reject {
		r.State = kinora.ReviewRejected
		for i := range held {
			held[i].State = kinora.OutputRejected
		}
		what.failure = kinora.NewFailure(kinora.FailureQualityRejected, "no output was approved")
		// The person's time is not the upstream's.
		deadline := g.DeadlineAt.Add(now.Sub(r.CreatedAt))
		if e.repeatable(g) && mayRepeat(g, round, deadline) {
			what, g.DeadlineAt = decision{again: true}, deadline
			if err := tx.ExtendDeadline(g.ID, deadline); err != nil {
				return aftermath{}, err
			}
		}
	} else {
		if held, err = approved(g.Plan, held, d.Approve); err != nil {
			return aftermath{}, err
		}
		what.published = held
		for _, o := range held {
			r.Outputs = append(r.Outputs, o.ID)
		}
	}
	if err := tx.PublishOutputs(held, now, e.cfg.OutputRetention); err != nil {
		return aftermath{}, err
	}
	if err := tx.EndReview(r); err != nil {
		return aftermath{}, err
	}
	return e.carryOut(tx, g, what, r.Round, len(attempts), now)
}

// approved are the held outputs of the given ids in their order, or the best ones.
func approved(plan kinora.Plan, held []kinora.Output, ids []string) ([]kinora.Output, error) {
	if plan.Publish > 0 && len(ids) > plan.Publish {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "outputs", "outputs must name at most %d: no more are published", plan.Publish)
	}
	chosen := held
	if len(ids) > 0 {
		chosen = nil
	}
	for _, id := range ids {
		at := slices.IndexFunc(held, func(o kinora.Output) bool { return o.ID == id })
		if at < 0 {
			return nil, kinora.FieldErrorf(kinora.ErrInvalid, "outputs", "outputs must name outputs that wait for this review; %s is none", clip(id))
		}
		chosen = append(chosen, held[at])
	}
	if len(chosen) == 0 {
		return nil, kinora.Errorf(kinora.ErrConflict, "no file of the outputs is kept any more")
	}
	return published(plan, chosen), nil
}

// reviewsCounted bounds how many waiting reviews are counted for the metrics.
const reviewsCounted = 100_000

func (e *Engine) observeReviews(ctx context.Context) error {
	return e.db.View(ctx, func(tx *store.Tx) error {
		n, err := tx.PendingReviewCount(reviewsCounted)
		if err == nil {
			e.metrics.reviewsPending.Set(float64(n))
		}
		return err
	})
}
