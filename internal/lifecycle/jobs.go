package lifecycle

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// Whose an upstream's job is. No two attempts of an account are to have one: both would publish its outputs, one of them
// perhaps to another organisation. What an upstream says of an attempt, by the answer to its submit call or by a callback on
// its token, is never forgotten for that: where another attempt keeps the job, the id stays with this one as a contested one, no
// second call is made for it, and an operator is told.

// takenTries bounds how often a write begins anew because another attempt got the job between its look and its write.
const takenTries = 5

// contest is what became of a job that the upstream named for an attempt while others had it. Without holders there was none.
type contest struct {
	upstreamID string
	holders    []*kinora.Attempt
	yielded    bool // they gave it up; else the one for which it was named goes without
}

// lost tells whether the attempt for which the job was named goes without.
func (c contest) lost() bool { return len(c.holders) > 0 && !c.yielded }

// runs tells whether a live attempt keeps the job, so that it must not be stopped.
func (c contest) runs() bool {
	return c.lost() && slices.ContainsFunc(c.holders, func(b *kinora.Attempt) bool { return !b.State.Terminal() })
}

// noteJob keeps a job that the upstream has named for an attempt, unless it knows its job. Where its submit call has not been
// settled, settling finds the id; where it has ended, its end stays as it is. accepted is when the call was answered with it; zero = it was not.
// It reports the attempt's state, and whether the id was kept; a contest is settled only where it was.
//
// Errors: store.ErrTaken when another attempt got the job meanwhile: the transaction is to be run again.
func (e *Engine) noteJob(tx *store.Tx, a *kinora.Attempt, upstreamID string, handle json.RawMessage, accepted, now time.Time) (state kinora.AttemptState, noted bool, c contest, err error) {
	c, err = e.contestOf(tx, a, upstreamID)
	if err != nil {
		return "", false, c, err
	}
	row, err := tx.LockAttempt(a.GenerationID, a.Ordinal)
	switch {
	case err != nil:
		return "", false, c, err
	case row.UpstreamID == upstreamID:
		return row.State, false, contest{}, nil
	case row.UpstreamID != "" || row.CallbackHash != a.CallbackHash:
		return row.State, false, c, nil
	}
	if err := c.yield(tx, row.State.Terminal(), now); err != nil {
		return row.State, false, c, err
	}
	switch {
	case c.lost():
		noted, err = tx.ContestJob(a, upstreamID, now)
	case row.State.Terminal():
		noted, err = tx.NoteLateUpstreamID(a, upstreamID, kinora.NamedLate, accepted)
	default:
		noted, err = tx.NoteUpstreamID(a, upstreamID, handle, kinora.NamedByUpstream, now)
	}
	return row.State, noted, c, err
}

// contestOf finds the other attempts of a's account that have a job. One that watched its job to an end before a was submitted is none of them:
// a has a later job, and its upstream begins its ids anew.
func (e *Engine) contestOf(tx *store.Tx, a *kinora.Attempt, upstreamID string) (contest, error) {
	others, err := tx.JobHolders(a, upstreamID)
	return contest{upstreamID: upstreamID, holders: slices.DeleteFunc(others, func(b *kinora.Attempt) bool {
		past := b.State.Terminal() && b.NamedBy == kinora.NamedByUpstream && b.FinishedAt.Before(a.SubmittedAt)
		return past || b.Account != a.Account // elsewhere the same id may be another job
	})}, err
}

// yield has the holders of a job give it up, if all of their claims are weaker than that of an attempt for which the upstream itself names it:
// people make mistakes, and what has ended needs the id for the bill alone. ended says that so does the other.
func (c *contest) yield(tx *store.Tx, ended bool, now time.Time) error {
	c.yielded = !slices.ContainsFunc(c.holders, func(b *kinora.Attempt) bool {
		return b.NamedBy != kinora.NamedByHand && (b.NamedBy != kinora.NamedLate || ended)
	})
	if !c.yielded {
		return nil
	}
	for _, b := range c.holders {
		if _, err := tx.YieldJob(b, now); err != nil {
			return err
		}
		if b.NamedBy != kinora.NamedByHand {
			continue
		}
		// Whoever named the job is told where he would look: beside his own entry.
		if err := tx.AuditBy(kinora.Actor{Kind: kinora.ActorSystem}, kinora.AuditAttemptYield, b.OrganisationID, b.ID(), jobDetail{b.UpstreamID}); err != nil {
			return err
		}
	}
	return nil
}

// contested makes it known, once it is committed, that a job was named for an attempt while others had it.
func (e *Engine) contested(a *kinora.Attempt, c contest) {
	if len(c.holders) == 0 {
		return
	}
	held := make([]string, len(c.holders))
	for i, b := range c.holders {
		held[i] = b.ID()
	}
	without := "named"
	if c.yielded {
		without = "holder"
	}
	e.metrics.contested.WithLabelValues(a.Provider, without).Inc()
	e.log.Error("an upstream's job was named for an attempt while another one had it; somebody has to find out whose it is", "attempt", a.ID(), "held_by", held,
		"without", without, "provider", a.Provider, "account", a.Account, "upstream_id", c.upstreamID)
	for _, b := range c.holders {
		e.nudge(b.Lane, func(l *lane) bell { return l.settle })
	}
}

// noting runs a transaction that notes a job, anew where another attempt got the job while it ran.
func noting(update func() error) (err error) {
	for range takenTries {
		if err = update(); !errors.Is(err, store.ErrTaken) {
			return err
		}
	}
	return err
}

// acceptContested writes the acceptance of a job that another attempt has. Either that one gives it up, or this one is settled, which ends it.
func (e *Engine) acceptContested(l *lane, a *kinora.Attempt, from kinora.AttemptState) {
	var c contest
	tries := 0
	err := noting(func() error {
		tries++
		return e.persist("contested acceptance", func(tx *store.Tx) (err error) {
			now := time.Now()
			if c, err = e.contestOf(tx, a, a.UpstreamID); err != nil {
				return err
			}
			// The last try takes the job from nobody: what it writes is that this one goes without.
			if tries < takenTries {
				if err := c.yield(tx, false, now); err != nil {
					return err
				}
				if !c.lost() {
					if err := tx.SaveAttempt(a, from); err != nil {
						return err
					}
					return tx.StartGeneration(a.GenerationID, now)
				}
			}
			without := *a
			without.State, without.UpstreamID, without.Handle, without.AcceptedAt = kinora.AttemptUnsettled, "", nil, time.Time{}
			without.LeaseOwner, without.DoneAt, without.DueAt = "", now, now
			if err := tx.SaveAttempt(&without, from); err != nil {
				return err
			}
			noted, err := tx.ContestJob(a, a.UpstreamID, now)
			if err != nil {
				return err
			}
			if !noted {
				c = contest{} // it is known already, by a callback
			}
			return tx.StartGeneration(a.GenerationID, now)
		})
	})
	if errors.Is(err, store.ErrStale) {
		e.overtaken(l, a)
		return
	}
	if err == nil {
		e.contested(a, c)
	}
	e.logLost("contested acceptance", a, err)
	l.settle.ring()
	l.watch.ring()
}

// endContested ends an attempt for which the upstream itself named a job that another one keeps. Whether the upstream has made another for it is not known, so that
// nothing is repeated.
func (e *Engine) endContested(g *kinora.Generation, a *kinora.Attempt, from kinora.AttemptState) {
	a.State = from
	a.ErrorClass, a.ErrorCode = string(provider.OutcomeUnknown), kinora.ErrorCodeContested
	a.ErrorMessage = "the upstream's job " + clip(a.ContestedID) + " was named for it, which another attempt has"
	e.finish(g, a, conclusion{failure: kinora.NewFailure(failureOf(&provider.Error{Class: provider.OutcomeUnknown})), also: func(tx *store.Tx) error {
		id, _, err := tx.NamedUpstreamID(a)
		if err == nil && id != "" {
			err = errNamed // a job of its own, after all
		}
		return err
	}})
}
