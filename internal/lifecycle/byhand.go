package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// What a person may do about an attempt. None of it makes an upstream be called for a job a second time, and none
// changes an end.

// givenUp stands in the error code of an attempt that a person has given up. No round follows it: what the upstream
// has taken is not made again.
const givenUp = "given_up"

// LookNow makes an attempt due that waits for its time: its next step is taken at once, by its own rules. One that is due already, or in
// somebody's hand, stays as it is.
//
// Errors (*kinora.Error): ErrNotFound; ErrConflict when it has ended or waits for its source; ErrUnavailable.
func (e *Engine) LookNow(ctx context.Context, attemptID string) (*kinora.Attempt, error) {
	for range cancelTries {
		_, a, err := e.attempt(ctx, attemptID)
		if err != nil {
			return nil, err
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		switch {
		case a.State.Terminal():
			return nil, endedAlready(a)
		case a.State == kinora.AttemptQueued && a.DueAt.IsZero() && a.LeaseOwner == "":
			return nil, kinora.Errorf(kinora.ErrConflict, "the attempt waits for its source image")
		case a.LeaseOwner != "" || !a.DueAt.After(now) || a.State == kinora.AttemptSubmitting:
			return a, nil
		}
		hastened := false
		err = e.db.Update(ctx, func(tx *store.Tx) (err error) {
			if hastened, err = tx.HastenAttempt(a, now); err != nil || !hastened {
				return err
			}
			return tx.Audit(kinora.AuditAttemptLook, a.OrganisationID, a.ID(), nil)
		})
		if err != nil {
			return nil, fmt.Errorf("look now: %w", err)
		}
		if hastened {
			a.DueAt = now
			e.nudge(a.Lane, bellOf(a.State))
			return a, nil
		}
	}
	return nil, kinora.Errorf(kinora.ErrUnavailable, "the attempt could not be changed now")
}

// CancelAttempt cancels the generation of an attempt, as Cancel does for its caller. Errors as there.
func (e *Engine) CancelAttempt(ctx context.Context, attemptID string) (*kinora.Generation, error) {
	g, _, err := e.attempt(ctx, attemptID)
	if err != nil {
		return nil, err
	}
	return e.Cancel(ctx, "", g.ID)
}

// bellOf is the bell of the step that takes up attempts of a state.
func bellOf(s kinora.AttemptState) func(*lane) bell {
	return func(l *lane) bell {
		switch s {
		case kinora.AttemptUnsettled, kinora.AttemptSubmitting:
			return l.settle
		case kinora.AttemptOpen:
			return l.watch
		case kinora.AttemptCollecting:
			return l.collect
		default:
			return l.submit
		}
	}
}

// GiveUp ends an attempt as failed, as its deadline would, and returns it. One of which it is not known whether the upstream has it ends
// with its outcome unknown. A job that is known upstream is cancelled there where that can be done; it may be paid for. No
// other attempt takes its place. reason is for the records.
//
// Errors (*kinora.Error): ErrNotFound; ErrConflict when it has ended; ErrUnavailable.
func (e *Engine) GiveUp(ctx context.Context, attemptID, reason string) (*kinora.Attempt, error) {
	for range cancelTries {
		g, a, err := e.attempt(ctx, attemptID)
		switch {
		case err != nil:
			return nil, err
		case a.State.Terminal():
			return nil, endedAlready(a)
		case g.State.Terminal():
			return nil, kinora.Errorf(kinora.ErrConflict, "the generation has ended as %s", g.State)
		}
		after, err := e.abandon(ctx, g, a, reason)
		switch {
		case errors.Is(err, store.ErrStale):
			continue // a step was quicker: see what is there now
		case err != nil:
			return nil, fmt.Errorf("give up: %w", err)
		}
		e.nudgeProvider(a.Provider)
		e.metrics.attemptEnded(a)
		e.follow(after)
		if a.UpstreamID != "" {
			e.cancelUpstream(a)
		}
		e.log.Warn("an attempt was given up by hand", "attempt", a.ID(), "provider", a.Provider, "account", a.Account)
		return a, nil
	}
	return nil, kinora.Errorf(kinora.ErrUnavailable, "the attempt could not be given up now")
}

// abandon ends a as failed in one transaction; ErrStale = it has moved on.
func (e *Engine) abandon(ctx context.Context, g *kinora.Generation, a *kinora.Attempt, reason string) (after aftermath, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	from := a.State
	failure := kinora.NewFailure(kinora.FailureUpstream, "the generation was given up: its upstream did not bring it to an end")
	switch from {
	case kinora.AttemptQueued:
		failure.Message = "the generation was given up before an upstream had taken it"
	case kinora.AttemptSubmitting, kinora.AttemptUnsettled:
		failure = kinora.NewFailure(failureOf(&provider.Error{Class: provider.OutcomeUnknown}))
	}
	if from == kinora.AttemptSubmitting || from == kinora.AttemptUnsettled {
		a.ErrorClass = string(provider.OutcomeUnknown)
	}
	a.State, a.Failure, a.ErrorCode = kinora.AttemptFailed, failure, givenUp
	a.LeaseOwner, a.DueAt, a.FinishedAt, a.Result = "", time.Time{}, now, nil
	err = e.db.Update(ctx, func(tx *store.Tx) (err error) {
		if a.UpstreamID == "" {
			named, err := tx.Attempt(a.GenerationID, a.Ordinal)
			if err != nil {
				return err
			}
			a.UpstreamID, a.Handle = named.UpstreamID, named.Handle // by a callback since it was read
		}
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		if after, err = e.resolve(tx, g, a, nil, now); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditAttemptGiveUp, a.OrganisationID, a.ID(), struct {
			State  kinora.AttemptState `json:"state"`
			Reason string              `json:"reason,omitempty"`
		}{from, reason})
	})
	return after, err
}

// SettleByHand names the upstream's job of an attempt whose submit call's outcome is not known. The upstream is asked for the
// job by the account that made the call; once it knows it, the attempt is watched as usual. Where the attempt has ended, its end stays, the id
// is kept for whoever reads the upstream's bill, and the job is cancelled where that can be done.
//
// Errors (*kinora.Error): ErrNotFound; ErrInvalid when the upstream does not know the job, or shows that it is another attempt's; ErrConflict when the attempt is not
// one of unknown outcome, its job is known already, or another attempt has the job; ErrUnavailable.
func (e *Engine) SettleByHand(ctx context.Context, attemptID, upstreamID string) (*kinora.SettledByHand, error) {
	if upstreamID == "" || len(upstreamID) > 512 || upstreamID != storable(upstreamID) {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "upstream_id", "upstream_id must be the upstream's id of the job")
	}
	g, a, err := e.attempt(ctx, attemptID)
	if err != nil {
		return nil, err
	}
	if err := settleable(a); err != nil {
		return nil, err
	}
	// Asked for in any case: an id that was mistyped is nobody's, or a stranger's, and would be cancelled.
	handle, err := e.askFor(ctx, g, a, upstreamID)
	if err != nil {
		return nil, err
	}
	return e.nameJob(ctx, a, upstreamID, handle)
}

// settleable tells whether naming a job can settle anything about an attempt.
func settleable(a *kinora.Attempt) error {
	unknown := a.Failure != nil && a.Failure.Code == kinora.FailureOutcomeUnknown || a.State == kinora.AttemptCancelled && !a.SubmittedAt.IsZero()
	switch {
	case a.UpstreamID != "":
		return kinora.Errorf(kinora.ErrConflict, "the attempt's job is known already: %s", a.UpstreamID)
	case a.State == kinora.AttemptSubmitting:
		return kinora.Errorf(kinora.ErrConflict, "the attempt's submit call has not ended yet")
	case a.State == kinora.AttemptUnsettled, a.State.Terminal() && unknown:
		return nil
	}
	return kinora.Errorf(kinora.ErrConflict, "the attempt is %s: nothing about its submit is unknown", a.State)
}

// askFor has the upstream confirm a job with the key that would have made it, and returns what finds the job again. Where the upstream can
// be asked which job is the attempt's, its answer stands against the hand's.
func (e *Engine) askFor(ctx context.Context, g *kinora.Generation, a *kinora.Attempt, upstreamID string) (json.RawMessage, error) {
	acc, p := e.accounts[a.Account], e.providers[a.Provider]
	if acc == nil || p == nil {
		return nil, kinora.Errorf(kinora.ErrUnavailable, "the account %s is not configured: only it can ask for the job", a.Account)
	}
	if p.Describe().Model(a.UpstreamModel).Synchronous {
		return nil, kinora.Errorf(kinora.ErrConflict, "the upstream keeps no jobs of this model that could be asked for")
	}
	req := e.request(g, a, e.modelOf(g, a))
	var handle json.RawMessage
	if router, ok := p.(provider.Router); ok {
		handle = router.Route(req)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timing.Poll)
	defer cancel()
	reports, err := p.Poll(ctx, e.upstream(acc), []provider.Job{{
		UpstreamID: upstreamID, Handle: handle, ClientRef: req.ClientRef, UpstreamModel: req.UpstreamModel, Kind: req.Kind,
	}})
	switch pe := provider.AsError(err, provider.Unavailable); {
	case err == nil && len(reports) == 1 && reports[0].UpstreamID == upstreamID && reports[0].State != "":
	case err == nil, pe.Class == provider.Gone, pe.Class == provider.Invalid:
		return nil, kinora.Errorf(kinora.ErrInvalid, "the upstream does not know a job %s of account %s, or has made it for another attempt", upstreamID, a.Account)
	default:
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Op: "settle", Message: "the upstream could not be asked for the job", Err: err}
	}
	reconciler, ok := p.(provider.Reconciler)
	if !ok {
		return handle, nil
	}
	own, err := reconciler.Reconcile(ctx, e.upstream(acc), req)
	settled := a.SubmittedAt.Add(e.timing.Submit)
	if a.DoneAt.After(settled) {
		settled = a.DoneAt
	}
	switch {
	case err == nil && own.UpstreamID != upstreamID:
		return nil, kinora.Errorf(kinora.ErrInvalid, "the job %s is not this attempt's: the upstream has made %s for it", upstreamID, own.UpstreamID)
	case errors.Is(err, provider.ErrNotSubmitted) && time.Since(settled) >= e.timing.Quiet:
		return nil, kinora.Errorf(kinora.ErrInvalid, "the job %s is not this attempt's: the upstream has made none for it", upstreamID)
	}
	return handle, nil // what it cannot tell is no objection
}

// nameJob writes the job that the upstream has confirmed, unless another attempt at the provider has it. From there on it is as if a callback had
// named it, except that the upstream's own word for another attempt outweighs it. With an attempt that has ended the id is kept, and the upstream is told to stop.
func (e *Engine) nameJob(ctx context.Context, a *kinora.Attempt, upstreamID string, handle json.RawMessage) (*kinora.SettledByHand, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	ended, noted := a.State.Terminal(), false
	err := e.db.Update(ctx, func(tx *store.Tx) error {
		noted = false
		others, err := tx.JobHolders(a, upstreamID)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return store.ErrTaken
		}
		if ended {
			noted, err = tx.NoteLateUpstreamID(a, upstreamID, kinora.NamedByHand, time.Time{})
		} else {
			noted, err = tx.NoteUpstreamID(a, upstreamID, handle, kinora.NamedByHand, now)
		}
		if err != nil || !noted {
			return err
		}
		if !ended {
			if err := tx.StartGeneration(a.GenerationID, now); err != nil {
				return err
			}
		}
		return auditSettled(tx, a, upstreamID)
	})
	switch {
	case errors.Is(err, store.ErrTaken):
		return nil, kinora.Errorf(kinora.ErrConflict, "another attempt has this job")
	case err != nil:
		return nil, fmt.Errorf("settle: %w", err)
	case !noted:
		return nil, kinora.Errorf(kinora.ErrConflict, "the attempt has moved on meanwhile, or its job has become known")
	}
	a.UpstreamID, a.Handle, a.NamedBy = upstreamID, handle, kinora.NamedByHand
	if ended {
		e.cancelUpstream(a)
	} else {
		e.nudge(a.Lane, func(l *lane) bell { return l.settle })
	}
	return &kinora.SettledByHand{Attempt: *a, Watched: !ended}, nil
}

func auditSettled(tx *store.Tx, a *kinora.Attempt, upstreamID string) error {
	return tx.Audit(kinora.AuditAttemptSettle, a.OrganisationID, a.ID(), jobDetail{upstreamID})
}

// jobDetail is what the audit log keeps of an upstream's job.
type jobDetail struct {
	UpstreamID string `json:"upstream_id"`
}

// attempt reads an attempt by its id, of whatever organisation, and its generation.
func (e *Engine) attempt(ctx context.Context, attemptID string) (*kinora.Generation, *kinora.Attempt, error) {
	unknown := &kinora.Error{Code: kinora.ErrNotFound, Message: "attempt not found"}
	cut := strings.LastIndexByte(attemptID, '_')
	if cut < 0 {
		return nil, nil, unknown
	}
	generationID := attemptID[:cut]
	ordinal, err := strconv.Atoi(attemptID[cut+1:])
	if err != nil || ordinal < 0 || strconv.Itoa(ordinal) != attemptID[cut+1:] || !id.WellFormed(generationID, id.Job) && !id.WellFormed(generationID, id.Task) {
		return nil, nil, unknown
	}
	var (
		g *kinora.Generation
		a *kinora.Attempt
	)
	err = e.db.View(ctx, func(tx *store.Tx) (err error) {
		if a, err = tx.Attempt(generationID, ordinal); err != nil {
			return err
		}
		g, err = tx.Generation("", generationID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		unknown.Err = err
		return nil, nil, unknown
	}
	return g, a, err
}

func endedAlready(a *kinora.Attempt) error {
	return kinora.Errorf(kinora.ErrConflict, "the attempt has ended as %s", a.State)
}
