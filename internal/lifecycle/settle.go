package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// settleCalls bounds the attempts of a lane that are being settled at once.
const settleCalls = 16

// settleWaits are the pauses before each look at an attempt whose submit call's outcome
// is not known and whose upstream cannot tell: they leave it two minutes to call back on
// the attempt's own token, or to show the job. After the last one the outcome stays
// unknown for good. Where the upstream can be asked with certainty, or has proven that it accepted, the looks go on, a
// minute apart, until the deadline.
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
	var calls atomic.Int64
	for {
		var claimed []*kinora.Attempt
		var err error
		for _, state := range []kinora.AttemptState{kinora.AttemptSubmitting, kinora.AttemptUnsettled} {
			var list []*kinora.Attempt
			if list, err = e.claim(l, state, settleCalls-int(calls.Load())-len(claimed)); err != nil {
				break
			}
			claimed = append(claimed, list...)
		}
		if err != nil && e.run.Err() == nil {
			e.log.Warn("claiming unsettled attempts failed", "lane", l.name, "error", err)
		}
		for _, a := range claimed {
			calls.Add(1)
			e.take([]*kinora.Attempt{a}, func() {
				defer func() { calls.Add(-1); l.settle.ring() }()
				e.settle(l, a)
			})
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
		// The process that was calling is gone, or was declared so. Its call may still be under
		// way unless this process alone can have been calling.
		a.State, a.DoneAt, a.ReadErrors = kinora.AttemptUnsettled, now, 0
		if over := a.SubmittedAt.Add(e.submitTimeout(l, a)); e.db.Shared() && over.After(now) {
			a.DoneAt = over
		}
	}
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		e.lookAgain(a, from, time.Second)
		return
	}
	if g.State.Terminal() {
		a.State = from
		e.drop(a)
		return
	}
	if a.ContestedID != "" && a.UpstreamID == "" {
		e.endContested(g, a, from)
		return
	}
	acc := e.accounts[a.Account]
	if acc == nil {
		// Only this account's upstream can tell; it may be configured again before the deadline.
		e.lookAgain(a, from, time.Minute)
		return
	}
	ctx, cancel := context.WithTimeout(e.work, e.timing.Poll)
	defer cancel()
	req := e.request(g, a, e.modelOf(g, a))
	if upstreamID, handle := e.proof(a); upstreamID != "" {
		// A callback on the attempt's own token has named the job: it exists, whatever else
		// anybody says. Once a poll confirms it, it is watched like any other.
		a.State = from
		if router, ok := l.provider.(provider.Router); ok && len(handle) == 0 {
			handle = router.Route(req)
		}
		if e.confirmed(ctx, l, acc, upstreamID, handle, req) {
			e.log.Info("a submit of unknown outcome was found by its callback", "attempt", a.ID(), "provider", a.Provider)
			e.accepted(l, a, provider.Accepted{UpstreamID: upstreamID, Handle: handle})
			return
		}
		a.ReadErrors = min(a.ReadErrors+1, 20)
		e.lookAgain(a, from, e.backoff(a.ReadErrors, 2*time.Second, time.Minute, 0))
		return
	}
	reconciler, asks := l.provider.(provider.Reconciler)
	asks = asks && !l.provider.Describe().Model(a.UpstreamModel).Synchronous // such a call leaves nothing to ask for
	if asks {
		got, err := reconciler.Reconcile(ctx, e.upstream(acc), req)
		if !errors.Is(err, provider.ErrUncertain) {
			e.reconciled(l, g, a, from, got, err)
			return
		}
	}
	if !asks && a.CallbackMode != kinora.CallbackManaged || a.ReadErrors+1 >= len(settleWaits) && now.After(a.DoneAt) {
		e.giveUp(g, a, from) // nothing will ever tell
		return
	}
	a.ReadErrors++
	wait := settleWaits[min(a.ReadErrors, len(settleWaits)-1)]
	e.lookAgain(a, from, time.Duration(float64(wait)*e.timing.Grace))
}

// reconciled acts on what the upstream said when it was asked for our reference.
func (e *Engine) reconciled(l *lane, g *kinora.Generation, a *kinora.Attempt, from kinora.AttemptState, got provider.Accepted, err error) {
	switch now := time.Now(); {
	case err == nil:
		a.State = from
		e.log.Info("a submit of unknown outcome was found upstream", "attempt", a.ID(), "provider", a.Provider)
		e.accepted(l, a, got)
	case errors.Is(err, provider.ErrNotSubmitted) && now.Sub(a.DoneAt) >= e.timing.Quiet:
		// Seen a quiet time after the call was certainly over, so that nothing that was still on
		// its way can surface afterwards: this and only this makes a second call safe.
		a.State = from
		a.Tries++
		if a.Tries >= maxTries {
			if e.moveOn(g, a, nil) {
				return
			}
			e.reject(g, a, kinora.FailureUpstream, "the upstream was not available")
			return
		}
		e.log.Info("a submit of unknown outcome created nothing; it is made again", "attempt", a.ID(), "provider", a.Provider)
		e.requeue(a, 0)
	case errors.Is(err, provider.ErrNotSubmitted):
		e.lookAgain(a, from, max(a.DoneAt.Add(e.timing.Quiet).Sub(now), 0))
	default:
		// It cannot be known now; an upstream that is down can be asked when it is back.
		a.ReadErrors = min(a.ReadErrors+1, 20)
		note(a, provider.AsError(err, provider.Unavailable))
		e.lookAgain(a, from, e.backoff(a.ReadErrors, 2*time.Second, time.Minute, 0))
	}
}

// proof returns the upstream id that a callback brought for an attempt; empty = none did.
func (e *Engine) proof(a *kinora.Attempt) (upstreamID string, handle json.RawMessage) {
	if a.UpstreamID != "" {
		return a.UpstreamID, a.Handle
	}
	return e.hints.of(a.CallbackHash)
}

// confirmed asks the upstream, with our own key, whether it has the job that a callback named.
func (e *Engine) confirmed(ctx context.Context, l *lane, acc *account, upstreamID string, handle json.RawMessage, req provider.Request) bool {
	reports, err := l.provider.Poll(ctx, e.upstream(acc), []provider.Job{{
		UpstreamID: upstreamID, Handle: handle, ClientRef: req.ClientRef, UpstreamModel: req.UpstreamModel, Kind: req.Kind,
	}})
	return err == nil && len(reports) == 1 && reports[0].State != ""
}

// modelOf returns the attempt's model, or what is known of one that is configured no more.
func (e *Engine) modelOf(g *kinora.Generation, a *kinora.Attempt) *kinora.Model {
	if m := e.routeOf(a); m != nil {
		return m
	}
	return &kinora.Model{Name: a.Model, Kind: g.Kind, Provider: a.Provider, UpstreamModel: a.UpstreamModel}
}

// lookAgain keeps an attempt unsettled until its next look, which comes at once where a job was named for it meanwhile.
func (e *Engine) lookAgain(a *kinora.Attempt, from kinora.AttemptState, wait time.Duration) {
	a.State, a.LeaseOwner = kinora.AttemptUnsettled, ""
	a.DueAt = time.Now().Add(max(wait, 10*time.Millisecond))
	err := e.persist("unsettled attempt", func(tx *store.Tx) error {
		own, contested, err := tx.NamedUpstreamID(a)
		if err != nil {
			return err
		}
		save := *a
		if own != a.UpstreamID || contested != a.ContestedID {
			save.DueAt = time.Now()
		}
		if err := tx.SaveAttempt(&save, from); err != nil {
			return err
		}
		return tx.StartGeneration(a.GenerationID, time.Now())
	})
	e.logLost("unsettled attempt", a, err)
}

// giveUp fails a generation whose submit's outcome nobody can tell. Nothing is repeated. A
// callback that another node has taken meanwhile can tell: then it is settled by that.
func (e *Engine) giveUp(g *kinora.Generation, a *kinora.Attempt, from kinora.AttemptState) {
	a.State = from
	code, message := failureOf(&provider.Error{Class: provider.OutcomeUnknown})
	a.ErrorClass = string(provider.OutcomeUnknown)
	if e.finish(g, a, conclusion{failure: kinora.NewFailure(code, message), also: func(tx *store.Tx) error { return unnamed(tx, a) }}) {
		e.log.Error("the outcome of a submit stays unknown", "attempt", a.ID(), "provider", a.Provider, "account", a.Account)
	}
}
