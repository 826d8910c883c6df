package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// settleWaits are the pauses before each look at an attempt whose submit call's outcome
// is not known. They leave an upstream two minutes to show the job, or to call back on
// the attempt's own token; after the last one the outcome stays unknown for good.
var settleWaits = []time.Duration{
	0, 2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second,
}

// unsettle parks an attempt of unknown outcome for the settle loop. Its generation counts
// as running: something may be.
func (e *Engine) unsettle(l *lane, a *kinora.Attempt) {
	from := a.State
	now := time.Now()
	a.State, a.LeaseOwner, a.ReadErrors = kinora.AttemptUnsettled, "", 0
	a.DoneAt = now // the end of the lost call; Quiet counts from here
	a.DueAt = now
	err := e.persist("unsettled attempt", func(tx *store.Tx) error {
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		return tx.StartGeneration(a.GenerationID, now)
	})
	e.logLost("unsettled attempt", a, err)
	e.metrics.unsettled.WithLabelValues(a.Provider).Inc()
	l.settle.ring()
}

// settleLoop takes up attempts of unknown outcome, and those that a crash or a lost node
// left in the middle of their submit call.
func (e *Engine) settleLoop(l *lane) {
	for {
		var claimed []*kinora.Attempt
		var err error
		for _, state := range []kinora.AttemptState{kinora.AttemptSubmitting, kinora.AttemptUnsettled} {
			var list []*kinora.Attempt
			if list, err = e.claim(l, state, 32); err != nil {
				break
			}
			claimed = append(claimed, list...)
		}
		if err != nil && e.run.Err() == nil {
			e.log.Warn("claiming unsettled attempts failed", "lane", l.name, "error", err)
		}
		for _, a := range claimed {
			e.take([]*kinora.Attempt{a}, func() { e.settle(l, a) })
		}
		if len(claimed) > 0 && e.run.Err() == nil {
			continue
		}
		if !e.sleep(l.settle, e.nextDue(l, kinora.AttemptUnsettled, err)) {
			return
		}
	}
}

// claim leases due attempts of a lane in a state; it looks before it opens a write
// transaction, because most wake-ups find nothing.
func (e *Engine) claim(l *lane, state kinora.AttemptState, limit int) ([]*kinora.Attempt, error) {
	if limit <= 0 || e.run.Err() != nil {
		return nil, nil
	}
	now := time.Now()
	var due time.Time
	err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		due, err = tx.NextDue(l.name, state)
		return err
	})
	if err != nil || due.IsZero() || due.After(now) {
		return nil, err
	}
	var claimed []*kinora.Attempt
	err = e.db.Update(e.run, func(tx *store.Tx) (err error) {
		claimed, err = tx.ClaimAttempts(l.name, state, e.node.id, now, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// settle looks once whether a lost submit created anything.
func (e *Engine) settle(l *lane, a *kinora.Attempt) {
	from := a.State
	now := time.Now()
	if from == kinora.AttemptSubmitting {
		// The process that was calling is gone. The call may have ended just now.
		a.State, a.DoneAt, a.ReadErrors = kinora.AttemptUnsettled, now, 0
	}
	acc, m := e.accounts[a.Account], e.models[a.Model]
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		e.later(a, from, 0)
		return
	}
	if g.State.Terminal() {
		a.State = from
		e.drop(a)
		return
	}
	if acc == nil || m == nil {
		e.giveUp(g, a, from)
		return
	}
	ctx, cancel := context.WithTimeout(e.work, e.timing.Poll)
	defer cancel()
	if got, ok := e.found(ctx, l, acc, a, e.request(g, a, m)); ok {
		a.State = from
		e.log.Info("a submit of unknown outcome was found upstream", "attempt", a.ID(), "provider", a.Provider)
		e.accepted(l, a, got)
		return
	}
	reconciler, certain := l.provider.(provider.Reconciler)
	if certain {
		got, err := reconciler.Reconcile(ctx, e.upstream(acc), e.request(g, a, m))
		switch {
		case err == nil:
			a.State = from
			e.log.Info("a submit of unknown outcome was found upstream", "attempt", a.ID(), "provider", a.Provider)
			e.accepted(l, a, got)
			return
		case errors.Is(err, provider.ErrNotSubmitted) && now.Sub(a.DoneAt) >= e.timing.Quiet:
			// Seen after a pause, so that a call that was still on its way cannot surface
			// afterwards: this and only this makes a second call safe.
			a.State = from
			if a.Tries+1 >= maxTries {
				e.fail(g, a, kinora.FailureUpstream, "the upstream was not available")
				return
			}
			e.log.Info("a submit of unknown outcome created nothing; it is made again", "attempt", a.ID(), "provider", a.Provider)
			e.requeue(a, 0)
			return
		}
	}
	if !certain && a.CallbackMode != kinora.CallbackManaged {
		e.giveUp(g, a, from) // nothing will ever tell
		return
	}
	e.later(a, from, a.ReadErrors+1)
}

// found confirms an upstream id that a callback on the attempt's own token brought.
func (e *Engine) found(ctx context.Context, l *lane, acc *account, a *kinora.Attempt, req provider.Request) (provider.Accepted, bool) {
	upstreamID, handle := a.UpstreamID, a.Handle
	if upstreamID == "" {
		upstreamID, handle = e.hints.of(a.CallbackToken)
	}
	if upstreamID == "" {
		return provider.Accepted{}, false
	}
	reports, err := l.provider.Poll(ctx, e.upstream(acc), []provider.Job{{
		UpstreamID: upstreamID, Handle: handle, ClientRef: req.ClientRef, UpstreamModel: req.UpstreamModel, Kind: req.Kind,
	}})
	if err != nil || len(reports) != 1 || reports[0].State == "" {
		return provider.Accepted{}, false
	}
	return provider.Accepted{UpstreamID: upstreamID, Handle: handle}, true
}

// later keeps an attempt unsettled until its next look, or gives up after the last one.
func (e *Engine) later(a *kinora.Attempt, from kinora.AttemptState, looks int) {
	if looks >= len(settleWaits) {
		if g, err := e.readGeneration(a.GenerationID); err == nil {
			e.giveUp(g, a, from)
			return
		}
		looks = len(settleWaits) - 1
	}
	wait := time.Duration(float64(settleWaits[looks]) * e.timing.Backoff)
	if _, ok := e.providers[a.Provider].(provider.Reconciler); ok && looks > 0 {
		// One look must fall after the quiet time, however short the waits are.
		wait = max(wait, e.timing.Quiet/4)
	}
	a.State, a.LeaseOwner, a.ReadErrors = kinora.AttemptUnsettled, "", looks
	a.DueAt = time.Now().Add(max(wait, 10*time.Millisecond))
	err := e.persist("unsettled attempt", func(tx *store.Tx) error {
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		return tx.StartGeneration(a.GenerationID, time.Now())
	})
	e.logLost("unsettled attempt", a, err)
}

// giveUp fails a generation whose submit's outcome nobody can tell. Nothing is repeated.
func (e *Engine) giveUp(g *kinora.Generation, a *kinora.Attempt, from kinora.AttemptState) {
	a.State = from
	code, message := failureOf(&provider.Error{Class: provider.OutcomeUnknown})
	a.ErrorClass = string(provider.OutcomeUnknown)
	e.log.Error("the outcome of a submit stays unknown", "attempt", a.ID(), "provider", a.Provider, "account", a.Account)
	e.fail(g, a, code, message)
}
