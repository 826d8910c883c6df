package lifecycle

import (
	"fmt"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// How long an account takes no new work after it refused us.
const (
	parkBalance    = 10 * time.Minute
	parkCredential = 5 * time.Minute
	parkRate       = 2 * time.Second
)

// refused decides what an upstream's refusal or silence means.
func (e *Engine) refused(l *lane, g *kinora.Generation, a *kinora.Attempt, acc *account, pe *provider.Error) {
	now := time.Now()
	note(a, pe)
	if pe.CallbackRefused && pe.Class == provider.Invalid && a.CallbackMode == kinora.CallbackManaged {
		// The caller asked for no callback: that this server cannot be reached is not his fault.
		e.log.Warn("an upstream could not call this server back; the generation is polled instead", "attempt", a.ID(), "account", acc.Name)
		a.CallbackMode = kinora.CallbackNone
		e.requeue(a, 0)
		return
	}
	switch pe.Class {
	case provider.OutcomeUnknown:
		e.unsettle(l, a)
	case provider.Rate:
		acc.park(now, max(parkRate, min(pe.RetryAfter, time.Hour)))
		// The account rests as a whole; how often it was too busy says nothing about this attempt.
		wait := e.backoff(2, time.Second, 30*time.Second, pe.RetryAfter)
		if patient(a, wait) || !e.moveOn(g, a, e.hasRoom) {
			e.requeue(a, wait)
		}
	case provider.Unavailable:
		a.Tries++
		wait := e.backoff(a.Tries, time.Second, time.Minute, pe.RetryAfter)
		last := a.Tries >= maxTries
		switch {
		case last && e.moveOn(g, a, nil), !last && !patient(a, wait) && e.moveOn(g, a, e.hasRoom):
		case last:
			e.reject(g, a, kinora.FailureUpstream, "the upstream was not available")
		default:
			e.requeue(a, wait)
		}
	case provider.Balance, provider.Credential, provider.Permission:
		e.barred(l, g, a, acc, pe, now)
	case provider.ModelGone:
		if e.moveOn(g, a, nil) {
			return
		}
		code, message := failureOf(pe)
		e.reject(g, a, code, message)
	case provider.Generation:
		// Its answer was the end of the job, which was made and came to nothing.
		code, message := failureOf(pe)
		e.failJob(g, a, pe.Class, code, message)
	default:
		code, message := failureOf(pe)
		e.reject(g, a, code, message)
	}
}

// barred deals with a refusal that is about the account, or about the account with this
// model: it takes no such work for a while, and another account may.
func (e *Engine) barred(l *lane, g *kinora.Generation, a *kinora.Attempt, acc *account, pe *provider.Error, now time.Time) {
	rest := parkCredential
	if pe.Class == provider.Balance {
		rest = parkBalance
	}
	if !acc.Indifferent {
		model := a.UpstreamModel
		if pe.AccountWide() {
			model = ""
		}
		already := acc.bar(now, rest, model)
		if !already {
			e.log.Error("an upstream refuses the account; it takes no such work for a while", "account", acc.Name, "provider", acc.Provider,
				"model", model, "class", string(pe.Class), "code", pe.Code, "for", rest)
		}
		if e.otherAccount(l, a.UpstreamModel, now) {
			e.requeue(a, 0)
			return
		}
		if e.moveOn(g, a, nil) {
			return
		}
		if already && model == "" {
			e.requeue(a, rest) // one generation has told that the account is refused; the others wait
			return
		}
	}
	if acc.Indifferent && e.moveOn(g, a, nil) {
		return
	}
	e.reject(g, a, kinora.FailureUpstream, "the upstream account cannot be used at present")
}

// otherAccount tells whether some account of the lane takes work of a model, now or after a rest.
func (e *Engine) otherAccount(l *lane, upstreamModel string, now time.Time) bool {
	for _, acc := range l.accounts {
		if !acc.barred(now, upstreamModel) {
			return true
		}
	}
	return false
}

// maxDetail is how much of an upstream's own words an attempt keeps, in characters: a sentence and an id.
const maxDetail = 400

// note keeps an upstream's error with the attempt, for operators.
func note(a *kinora.Attempt, pe *provider.Error) {
	text := pe.Message
	if pe.Detail != "" {
		text += ": " + clipTo(pe.Detail, maxDetail)
	}
	a.ErrorClass, a.ErrorCode, a.ErrorMessage = string(pe.Class), storable(clip(pe.Code)), storable(text)
}

// requeue puts a submitting attempt back, because the upstream provably created nothing. A
// callback that has named a job meanwhile proves the contrary, whatever the call's answer
// was: then it is settled instead.
func (e *Engine) requeue(a *kinora.Attempt, after time.Duration) {
	from := a.State
	a.LeaseOwner, a.ReadErrors = "", 0
	err := e.persist("requeued attempt", func(tx *store.Tx) error {
		now := time.Now()
		own, contested, err := tx.NamedUpstreamID(a)
		if err != nil {
			return err
		}
		if own+contested != "" {
			a.State, a.DueAt, a.DoneAt = kinora.AttemptUnsettled, now, now
			if err := tx.SaveAttempt(a, from); err != nil {
				return err
			}
			return tx.StartGeneration(a.GenerationID, now)
		}
		a.State, a.DueAt = kinora.AttemptQueued, now.Add(after)
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		return e.uncount(tx, a)
	})
	e.logLost("requeued attempt", a, err)
	e.nudge(a.Lane, func(l *lane) bell { return l.submit })
	e.nudge(a.Lane, func(l *lane) bell { return l.settle })
}

// uncount takes a submit that created nothing out of its account's day.
func (e *Engine) uncount(tx *store.Tx, a *kinora.Attempt) error {
	acc := e.accounts[a.Account]
	if acc == nil || acc.PerDay == 0 {
		return nil
	}
	acc.noteSpent(time.Now(), false)
	return tx.CountSubmits(a.Account, e.cfg.DayOf(a.SubmittedAt), -1)
}

// reject ends an attempt whose submit was refused or not made, so that nothing exists upstream. As with a
// requeue, a callback that has named a job proves the contrary: then it is settled instead.
func (e *Engine) reject(g *kinora.Generation, a *kinora.Attempt, code kinora.FailureCode, message string) {
	e.finish(g, a, conclusion{failure: kinora.NewFailure(code, message), also: func(tx *store.Tx) error {
		if err := unnamed(tx, a); err != nil {
			return err
		}
		return e.uncount(tx, a)
	}})
}

// failureOf maps an upstream's error to what the caller reads.
func failureOf(pe *provider.Error) (kinora.FailureCode, string) {
	switch pe.Class {
	case provider.Invalid:
		return kinora.FailureInvalidRequest, pe.Message
	case provider.Moderation:
		return kinora.FailureContentRejected, "the upstream refused the content"
	case provider.ModelGone:
		return kinora.FailureModelUnavailable, "the upstream does not offer the model any more"
	case provider.OutcomeUnknown:
		return kinora.FailureOutcomeUnknown, "it is not known whether the upstream accepted the request; it was not repeated"
	case provider.Gone:
		return kinora.FailureUpstream, "the upstream has lost the task"
	case provider.Generation:
		return kinora.FailureUpstream, fmt.Sprintf("the upstream produced nothing usable: %s", pe.Message)
	}
	return kinora.FailureUpstream, "the upstream failed"
}
