package lifecycle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// conclusion is how an attempt ends by itself.
type conclusion struct {
	failure *kinora.Failure // nil = it succeeded, or only goes elsewhere
	next    *kinora.Attempt // takes its part over; nil = none does
	outputs []kinora.Output // what it made; judged where the plan has a gate
	also    func(*store.Tx) error
}

// errNamed says that a callback has named a job for an attempt that was to end because nothing
// had been created, or nobody could tell.
var errNamed = errors.New("lifecycle: the upstream has the job after all")

// unnamed lets an end be committed only where no callback has named a job, and keeps callbacks
// from naming one before the commit. Else the end is undone, by errNamed.
func unnamed(tx *store.Tx, a *kinora.Attempt) error {
	own, contested, err := tx.NamedUpstreamID(a)
	if err == nil && own+contested != "" {
		err = errNamed
	}
	return err
}

// fail ends an attempt without outputs.
func (e *Engine) fail(g *kinora.Generation, a *kinora.Attempt, code kinora.FailureCode, message string) {
	e.finish(g, a, conclusion{failure: kinora.NewFailure(code, message)})
}

// finish ends an attempt, and keeps trying while the database is out of reach. Where it was
// the last live one of its generation, what becomes of that is decided and committed in the
// same transaction. It reports whether this end of the attempt won.
func (e *Engine) finish(g *kinora.Generation, a *kinora.Attempt, o conclusion) bool {
	if g.State.Terminal() {
		e.drop(a)
		return false
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	before, from := *a, a.State
	a.State, a.Failure = kinora.AttemptSucceeded, o.failure
	if o.failure != nil || o.next != nil {
		a.State = kinora.AttemptFailed
	}
	a.LeaseOwner, a.DueAt, a.FinishedAt, a.Result = "", time.Time{}, now, nil
	var after aftermath
	err := e.persist("end of attempt", func(tx *store.Tx) (err error) {
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		if o.also != nil {
			if err := o.also(tx); err != nil {
				return err
			}
		}
		if o.next != nil {
			after, err = e.succeed(tx, a, o.next)
		} else {
			after, err = e.resolve(tx, g, a, o.outputs, now)
		}
		return err
	})
	if errors.Is(err, errNamed) {
		*a = before
		if o.next == nil {
			e.requeue(a, 0) // which settles it, for a job once named stays named
		}
		return false
	}
	e.nudgeProvider(a.Provider)
	e.logLost("end of attempt", a, err)
	if err != nil {
		return false
	}
	e.metrics.attemptEnded(a)
	e.follow(after)
	return true
}

// aftermath is what a transaction that ended an attempt or decided on a generation brought
// about: to be told once it is committed.
type aftermath struct {
	ended *kinora.Generation // as it is now; nil = it goes on
	born  []*kinora.Attempt
}

func (e *Engine) follow(after aftermath) {
	for _, a := range after.born {
		e.nudge(a.Lane, func(l *lane) bell { return l.submit })
	}
	if g := after.ended; g != nil {
		e.announce(g)
		e.metrics.finished(g)
		e.log.Debug("generation ended", "generation", g.ID, "state", string(g.State), "model", g.Model)
	}
}

// succeed writes the attempt that takes over the part of another one, which has just ended,
// unless the generation has ended meanwhile.
func (e *Engine) succeed(tx *store.Tx, a, next *kinora.Attempt) (aftermath, error) {
	next.Ordinal = a.Ordinal + 1
	if a.Parts > 1 {
		state, err := tx.LockGeneration(a.GenerationID)
		if err != nil || state.Terminal() {
			return aftermath{}, err
		}
		list, err := tx.Attempts(a.GenerationID)
		if err != nil {
			return aftermath{}, err
		}
		next.Ordinal = len(list)
	}
	return aftermath{born: []*kinora.Attempt{next}}, tx.InsertAttempts(next)
}

// resolve keeps the outputs of an attempt that has ended in this transaction and, where no
// other attempt of the generation is live, decides what becomes of it.
//
// A generation of one part has one live attempt at a time, whose version is lock enough.
// Where there are several, the generation's row is locked: of two last ones that end at once
// the second sees the first as ended.
func (e *Engine) resolve(tx *store.Tx, g *kinora.Generation, a *kinora.Attempt, outputs []kinora.Output, now time.Time) (aftermath, error) {
	if a.Parts <= 1 {
		d := decide(g, []*kinora.Attempt{a}, outputs, e.repeatable(g))
		if err := tx.InsertOutputs(settled(outputs, d.published), e.cfg.OutputRetention); err != nil {
			return aftermath{}, err
		}
		return e.carryOut(tx, g, d, a.Round, a.Ordinal+1, now)
	}
	// The lock comes before the outputs: PostgreSQL gives whoever writes one a share in the row that it refers to, and two that
	// hold a share and want the row for themselves wait for each other.
	state, err := tx.LockGeneration(g.ID)
	if err != nil {
		return aftermath{}, err
	}
	if err := tx.InsertOutputs(outputs, e.cfg.OutputRetention); err != nil || state.Terminal() {
		return aftermath{}, err
	}
	attempts, err := tx.Attempts(g.ID)
	if err != nil {
		return aftermath{}, err
	}
	round := 0
	for _, b := range attempts {
		round = max(round, b.Round)
		if b.FinishedAt.After(now) {
			now = b.FinishedAt // this end began earlier, and came to the lock later
		}
		if !b.State.Terminal() {
			mean, err := tx.MeanProgress(g.ID)
			if err != nil {
				return aftermath{}, err
			}
			return aftermath{}, tx.RaiseProgress(map[string]int{g.ID: mean}, now)
		}
	}
	all, err := tx.Candidates(g.ID)
	if err != nil {
		return aftermath{}, err
	}
	d := decide(g, attempts, all, e.repeatable(g))
	if err := tx.PublishOutputs(d.published, now, e.cfg.OutputRetention); err != nil {
		return aftermath{}, err
	}
	return e.carryOut(tx, g, d, round, len(attempts), now)
}

// repeatable tells whether another round of a generation could be made by what is configured now.
func (e *Engine) repeatable(g *kinora.Generation) bool {
	if g.Plan.Rounds <= 1 {
		return false
	}
	_, err := e.places(g)
	return err == nil && e.models[g.Model] != nil
}

// settled are outputs with the published ones among them in their places.
func settled(outputs, published []kinora.Output) []kinora.Output {
	list := slices.Clone(outputs)
	for _, p := range published {
		if i := slices.IndexFunc(list, func(o kinora.Output) bool { return o.ID == p.ID }); i >= 0 {
			list[i] = p
		}
	}
	return list
}

// carryOut writes a decision on a generation whose last round was round; the next attempt's
// ordinal is next.
func (e *Engine) carryOut(tx *store.Tx, g *kinora.Generation, d decision, round, next int, now time.Time) (aftermath, error) {
	switch {
	case d.again:
		places, err := e.places(g)
		if err != nil {
			return aftermath{}, err
		}
		born, _ := e.newRound(g, places, round+1, next, now)
		return aftermath{born: born}, tx.InsertAttempts(born...)
	case d.hold:
		if err := tx.RaiseProgress(map[string]int{g.ID: 99}, now); err != nil {
			return aftermath{}, err
		}
		return aftermath{}, tx.InsertReview(&kinora.Review{GenerationID: g.ID, Round: round, OrganisationID: g.OrganisationID, CreatedAt: now})
	}
	to := kinora.GenerationSucceeded
	if d.failure != nil {
		to = kinora.GenerationFailed
	}
	ended, err := e.end(tx, g, to, d.failure, len(d.published), now)
	return aftermath{ended: ended}, err
}

// end writes the end of a generation: its terminal state, the usage entry, the event and its
// deliveries, guarded by the generation's state. Exactly one end of a generation wins, and it
// is written with, or after, those of all its attempts.
func (e *Engine) end(tx *store.Tx, g *kinora.Generation, to kinora.GenerationState, failure *kinora.Failure, outputs int, now time.Time) (*kinora.Generation, error) {
	ended := *g
	if err := ended.Finish(to, failure, now); err != nil {
		return nil, err
	}
	if err := tx.FinishGeneration(&ended); err != nil {
		return nil, err
	}
	if to == kinora.GenerationSucceeded {
		if err := tx.InsertUsage(id.New(id.Usage, now), &ended, outputs); err != nil {
			return nil, err
		}
	}
	event := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: g.OrganisationID, GenerationID: g.ID, Type: kinora.EventTypeOf(to), CreatedAt: now}
	return &ended, e.cfg.Events.Emit(tx, event, &ended, now)
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

// endOne fails an attempt whose deadline has passed.
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
		if g.State == kinora.GenerationIngesting {
			failure.Message = "the source was not ready within the generation's deadline"
		}
	case kinora.AttemptSubmitting, kinora.AttemptUnsettled:
		// Not a time-out that may be tried again: the upstream may have it.
		failure = kinora.NewFailure(failureOf(&provider.Error{Class: provider.OutcomeUnknown}))
	}
	upstreamID := a.UpstreamID
	if e.finish(g, a, conclusion{failure: failure}) && upstreamID != "" {
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
		switch err := canceler.Cancel(ctx, e.upstream(acc), e.job(a)); {
		case err == nil, errors.Is(err, provider.ErrNotCancellable):
		case errors.Is(err, provider.ErrResultLost):
			// It has been made and paid for, and nobody can have it any more.
			e.log.Error("a task ended while it was being cancelled, and the upstream deleted its result", "attempt", a.ID(), "provider", a.Provider, "account", a.Account)
		default:
			e.log.Info("a task could not be cancelled upstream", "attempt", a.ID(), "error", err)
		}
	})
}
