package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// reviewsRetry is what a caller is told to wait where too many generations wait for a person.
const reviewsRetry = time.Minute

// inFlightRetry is what a caller is told to wait who has as many jobs in flight as it may:
// when one of them ends is not known.
const inFlightRetry = 5 * time.Second

// bill settles what the ledger will say of a generation that is about to be accepted.
func (e *Engine) bill(g *kinora.Generation, s *kinora.Submission) {
	g.UsageType = kinora.UsageGeneration
	if g.ParentID != "" {
		g.UsageType = kinora.UsageRegeneration
	}
	if g.Request == nil {
		g.Price, g.Fingerprint = e.cfg.Prices.Of(g.Model, ""), kinora.InputFingerprint(g.Model, g.Input)
		return
	}
	g.Price, g.Fingerprint = e.cfg.Prices.Of(g.Model, g.Request.Workflow), s.Fingerprint
}

// fingerprint settles a generation's fingerprint once its source is known.
func fingerprint(g *kinora.Generation, source *kinora.SourceAsset) {
	if g.Request != nil && g.Fingerprint == "" {
		g.Fingerprint = kinora.Fingerprint(*g.Request, source.SHA256)
	}
}

// settleFingerprints does so for generations that have waited for an asset which has become ready.
func settleFingerprints(tx *store.Tx, waited []string, a *kinora.SourceAsset) error {
	for _, generationID := range waited {
		g, err := tx.Generation("", generationID)
		if err != nil {
			return err
		}
		if g.Request == nil || g.Fingerprint != "" {
			continue
		}
		fingerprint(g, a)
		if err := tx.SetFingerprint(g.ID, g.Fingerprint); err != nil {
			return err
		}
	}
	return nil
}

// bounds is what an organisation's own settings bound about an accepted generation.
type bounds struct {
	jobs   bool // how many are in flight
	budget bool // what they cost
	// reviews is how many wait for a review. Only what may come to wait is held against it, and only here: what has been
	// made and paid for is never lost for want of a place.
	reviews bool
}

// boundsOf tells what has to be counted before a generation of an organisation is accepted,
// so that those without a bound pay for none: nearly all of the submit API's. What it knows
// of the organisation may be a second old; what is counted against is read anew.
func (e *Engine) boundsOf(ctx context.Context, g *kinora.Generation) (bounds, error) {
	b := bounds{jobs: g.Surface == kinora.SurfaceGenerations, reviews: g.Plan.Review && e.cfg.ReviewsWaiting > 0}
	if e.cfg.Organisation == nil {
		return b, nil
	}
	org, err := e.cfg.Organisation(ctx, g.OrganisationID)
	if err != nil {
		return b, err
	}
	b.budget = org.Allowance.Budget != nil && g.Price > 0
	return b, nil
}

// allow holds a generation that is about to be accepted against what its organisation may
// have in flight and may spend. The organisation's row stays locked until the commit, so that
// both hold exactly, whatever is accepted at once and on however many nodes. A budget also
// counts what is in flight, as if all of it succeeded: it cannot be overrun.
//
// Errors (*kinora.Error): ErrRateLimited, ErrBudget.
func (e *Engine) allow(tx *store.Tx, g *kinora.Generation, b bounds, now time.Time) error {
	if !b.jobs && !b.budget && !b.reviews {
		return nil
	}
	allowance, err := tx.LockAllowance(g.OrganisationID)
	if errors.Is(err, store.ErrNotFound) {
		return kinora.Errorf(kinora.ErrNotFound, "there is no such organisation")
	}
	if err != nil {
		return err
	}
	most := e.cfg.JobsInFlight
	if own := allowance.JobsInFlight; own != nil {
		most = *own
	}
	b.jobs = b.jobs && most > 0
	b.budget = g.Price > 0 && allowance.Budget != nil
	if !b.jobs && !b.budget && !b.reviews {
		return nil
	}
	has, err := tx.Commitments(g.OrganisationID, now)
	switch {
	case err != nil:
		return err
	case b.budget && has.Money+g.Price > *allowance.Budget:
		e.metrics.refused.WithLabelValues("budget").Inc()
		return &kinora.Error{Code: kinora.ErrBudget, Op: "accept",
			Message: fmt.Sprintf("the organisation's budget of %s USD for this calendar month is spent, or reserved by what is in flight", *allowance.Budget),
			Hint:    "kinora usage shows what was spent; kinora org update --budget raises it"}
	case b.reviews && has.Reviews >= e.cfg.ReviewsWaiting:
		e.metrics.refused.WithLabelValues("reviews").Inc()
		return &kinora.Error{Code: kinora.ErrRateLimited, Op: "accept", RetryAfter: reviewsRetry,
			Message: fmt.Sprintf("%d generations of the organisation wait for a review, the most that may; some have to be decided on first", has.Reviews),
			Hint:    "kinora review list shows them; limits.reviews_waiting says how many may wait"}
	case b.jobs && has.Jobs >= most:
		e.metrics.refused.WithLabelValues("in_flight").Inc()
		return &kinora.Error{Code: kinora.ErrRateLimited, Op: "accept", RetryAfter: inFlightRetry,
			Message: fmt.Sprintf("the organisation has %d jobs in flight, the most it may have", has.Jobs)}
	}
	return nil
}

// Usage reads what an organisation has used in the billing period of an instant; in the present
// one, what is in flight as well.
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Usage(ctx context.Context, organisationID string, at time.Time) (kinora.Usage, error) {
	var u kinora.Usage
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		u, err = tx.Usage(organisationID, at, time.Now())
		return err
	})
	return u, err
}

// Ledger reads an organisation's usage entries, the newest first, those older than the entry
// before; empty = from the newest on. Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Ledger(ctx context.Context, organisationID, before string, limit int) ([]kinora.UsageEntry, error) {
	var list []kinora.UsageEntry
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Ledger(organisationID, before, limit)
		return err
	})
	return list, err
}

// UsageSeries sums up what an organisation's generations that ended came to, step by step. Errors
// (*kinora.Error): ErrInvalid for a question that is not settled, ErrUnavailable.
func (e *Engine) UsageSeries(ctx context.Context, organisationID string, q kinora.UsageQuestion) ([]kinora.UsagePoint, error) {
	q, err := q.Settle(time.Now())
	if err != nil {
		return nil, err
	}
	var list []kinora.UsagePoint
	err = e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.UsageSeries(organisationID, q)
		return err
	})
	return list, err
}
