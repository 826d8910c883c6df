package lifecycle

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// fail ends a generation without outputs.
func (e *Engine) fail(g *kinora.Generation, a *kinora.Attempt, code kinora.FailureCode, message string) {
	e.finish(g, a, kinora.GenerationFailed, kinora.NewFailure(code, message), nil)
}

// finish ends a generation and keeps trying while the database is out of reach; also is
// written in the same transaction. It reports whether this end won.
func (e *Engine) finish(g *kinora.Generation, a *kinora.Attempt, to kinora.GenerationState, failure *kinora.Failure, outputs []kinora.Output, also ...func(*store.Tx) error) bool {
	from := a.State
	keep := func(write func(*store.Tx) error) error {
		return e.persist("end of generation", func(tx *store.Tx) error {
			if err := write(tx); err != nil {
				return err
			}
			for _, do := range also {
				if err := do(tx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := e.end(keep, g, a, to, failure, outputs)
	if errors.Is(err, errEnded) {
		a.State = from
		e.drop(a)
		return false
	}
	e.logLost("end of generation", a, err)
	return err == nil
}

// errEnded says that a generation's state allows no end any more.
var errEnded = errors.New("lifecycle: the generation has ended already")

// end commits the end of a generation: its terminal state, the attempt's, the outputs,
// the usage entry, the event and its deliveries, all in one transaction, guarded by the
// attempt's version and the generation's state. Exactly one end of a generation wins.
func (e *Engine) end(commit func(func(*store.Tx) error) error, g *kinora.Generation, a *kinora.Attempt, to kinora.GenerationState, failure *kinora.Failure, outputs []kinora.Output) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	from := a.State
	if err := g.Finish(to, failure, now); err != nil {
		return errors.Join(errEnded, err)
	}
	switch to {
	case kinora.GenerationSucceeded:
		a.State = kinora.AttemptSucceeded
	case kinora.GenerationCancelled:
		a.State = kinora.AttemptCancelled
	default:
		a.State = kinora.AttemptFailed
	}
	a.LeaseOwner, a.DueAt, a.FinishedAt, a.Result = "", time.Time{}, now, nil
	event := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: g.OrganisationID, GenerationID: g.ID, Type: kinora.EventTypeOf(to), CreatedAt: now}
	err := commit(func(tx *store.Tx) error {
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		if err := tx.FinishGeneration(g); err != nil {
			return err
		}
		if to == kinora.GenerationSucceeded {
			if err := tx.InsertOutputs(outputs, e.cfg.OutputRetention); err != nil {
				return err
			}
			if err := tx.InsertUsage(id.New(id.Usage, now), g, "generation", len(outputs)); err != nil {
				return err
			}
		}
		return e.cfg.Events.Emit(tx, event, g, now)
	})
	e.nudgeProvider(a.Provider)
	if err != nil {
		return err
	}
	e.announce(g)
	e.metrics.finished(g)
	e.log.Debug("generation ended", "generation", g.ID, "state", string(g.State), "model", g.Model)
	return nil
}

// sweepDeadlines ends what would otherwise never end: unknown status words, lost tasks,
// accounts that never have room, providers that are configured no more.
func (e *Engine) sweepDeadlines() {
	never := newBell()
	for {
		n, err := e.endOverdue(time.Now())
		if err != nil && e.run.Err() == nil {
			e.log.Warn("sweeping deadlines failed", "error", err)
		}
		if n == sweepBatch {
			continue
		}
		if !e.sleep(never, time.Time{}) {
			return
		}
	}
}

const sweepBatch = 100

func (e *Engine) endOverdue(now time.Time) (int, error) {
	var list []*kinora.Attempt
	err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		list, err = tx.OverdueAttempts(now, sweepBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	// Ending may have to wait for the database, and a stop must not wait for the sweep.
	var batch sync.WaitGroup
	for _, a := range list {
		batch.Add(1)
		e.inHand.Go(func() { defer batch.Done(); e.endOne(a) })
	}
	ended := make(chan struct{})
	go func() { batch.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-e.run.Done():
	}
	return len(list), nil
}

// endOne fails the generation of an attempt whose deadline has passed.
func (e *Engine) endOne(a *kinora.Attempt) {
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		return // the next sweep finds it again
	}
	if g.State.Terminal() {
		e.drop(a)
		return
	}
	failure := kinora.NewFailure(kinora.FailureTimeout, "the generation did not end within its deadline")
	switch a.State {
	case kinora.AttemptQueued:
		failure.Message = "no upstream had room for the generation within its deadline"
	case kinora.AttemptSubmitting, kinora.AttemptUnsettled:
		// Not a time-out that may be tried again: the upstream may have it.
		failure = kinora.NewFailure(failureOf(&provider.Error{Class: provider.OutcomeUnknown}))
	}
	upstreamID := a.UpstreamID
	if e.finish(g, a, kinora.GenerationFailed, failure, nil) && upstreamID != "" {
		e.cancelUpstream(a)
	}
}

// cancelUpstream asks the upstream to stop work that nobody waits for any more. It is
// tried once; the upstream's own limits do the rest.
func (e *Engine) cancelUpstream(a *kinora.Attempt) {
	acc := e.accounts[a.Account]
	canceler, ok := e.providers[a.Provider].(provider.Canceler)
	if !ok || acc == nil {
		return
	}
	e.inHand.Go(func() {
		ctx, cancel := context.WithTimeout(e.work, e.timing.Poll)
		defer cancel()
		if err := canceler.Cancel(ctx, e.upstream(acc), e.job(a)); err != nil && !errors.Is(err, provider.ErrNotCancellable) {
			e.log.Info("a task could not be cancelled upstream", "attempt", a.ID(), "error", err)
		}
	})
}
