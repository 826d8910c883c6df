package lifecycle

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

const (
	// pollCalls bounds the poll calls that a lane has open at once. It is meant for upstreams that
	// take one job in a call: a hundred ends in a second must not wait for each other's looks.
	pollCalls = 64
	// watchBatch bounds how many due attempts one claim takes.
	watchBatch = 400
	// gather is how long a lane whose upstream takes many jobs in one call lets due ones come
	// together, so that fifty jobs in flight do not cost a call each time one falls due.
	gather = 250 * time.Millisecond
	// gatherUrgent is as much for those that a callback has made due: the first of a number is
	// looked at now, and those that follow share a call. Without it each end would cost one.
	gatherUrgent = 100 * time.Millisecond
	// goneLooks is how often in a row an upstream must say "no such task", or that an output is
	// not there, before it is believed: about four minutes. Some say so right after the submit,
	// and some while their readers fail over; what they have made has been paid for.
	goneLooks = 9
)

// watchLoop looks at the open attempts of a lane when they fall due, as many in one call
// as the upstream allows.
func (e *Engine) watchLoop(l *lane) {
	var calls atomic.Int64
	describe := l.provider.Describe()
	size := 1 // the largest seen; the first claim finds out
	// A claim may fall into more calls than there is room for: several accounts, jobs asked for alone.
	places := make(chan struct{}, pollCalls)
	for {
		free := pollCalls - int(calls.Load())
		claimed, err := e.claim(l, kinora.AttemptOpen, min(free*size, watchBatch))
		if err != nil && e.run.Err() == nil {
			e.log.Warn("claiming due attempts failed", "lane", l.name, "error", err)
			e.metrics.databaseErrors.Inc()
		}
		cut := batches(claimed, describe)
		size = max(size, cut.size)
		for _, batch := range cut.calls {
			calls.Add(1)
			e.take(batch, func() {
				places <- struct{}{}
				defer func() { <-places; calls.Add(-1); l.watch.ring() }()
				e.look(l, batch)
			})
		}
		if len(claimed) == watchBatch && e.run.Err() == nil {
			continue
		}
		if len(claimed) > 0 && size > 1 && !e.gather(l) {
			return
		}
		if len(claimed) > 0 && e.run.Err() == nil {
			continue
		}
		if !e.sleep(l.watch, e.nextDue(l, kinora.AttemptOpen, err)) {
			return
		}
	}
}

// gather waits after a call for what else falls due; false = no new work may be claimed.
func (e *Engine) gather(l *lane) bool {
	now := time.Now()
	return e.sleep(nil, now.Add(gatherUrgent)) && e.sleep(l.urgent, now.Add(gather))
}

// polls is claimed work cut into pieces of one call each.
type polls struct {
	calls [][]*kinora.Attempt
	size  int // how many attempts one call may hold, where the most fit
}

// batches groups attempts by account and by what one call may mix, each group cut into
// pieces of one call. A job that the last answer left out is asked for alone: a list may
// lag or be cut short, and what it lacks has still been paid for.
func batches(list []*kinora.Attempt, d provider.Description) polls {
	type call struct{ account, batch string }
	groups := map[call][]*kinora.Attempt{}
	out := polls{size: 1}
	for _, a := range list {
		traits := d.Model(a.UpstreamModel)
		key, size := call{a.Account, traits.Batch}, max(1, traits.BatchPoll)
		out.size = max(out.size, size)
		if a.ErrorClass == string(provider.Gone) {
			out.calls = append(out.calls, []*kinora.Attempt{a})
			continue
		}
		groups[key] = append(groups[key], a)
		if len(groups[key]) == size {
			out.calls = append(out.calls, groups[key])
			delete(groups, key)
		}
	}
	for _, group := range groups {
		out.calls = append(out.calls, group)
	}
	return out
}

// look polls the attempts of one account and commits what was seen.
func (e *Engine) look(l *lane, list []*kinora.Attempt) {
	acc := e.accounts[list[0].Account]
	if acc == nil {
		for _, a := range list {
			e.unreadable(a, provider.Errorf(provider.Credential, "the account is not configured any more"), time.Now())
		}
		e.saveLooked(list, nil)
		return
	}
	if wait := acc.mayRead(e.work, time.Now()); wait > 0 {
		for _, a := range list {
			a.LeaseOwner, a.DueAt = "", time.Now().Add(jitter(wait))
		}
		e.saveLooked(list, nil)
		return
	}
	jobs := make([]provider.Job, len(list))
	for i, a := range list {
		jobs[i] = e.job(a)
	}
	ctx, cancel := context.WithTimeout(e.work, e.timing.Poll)
	defer cancel()
	reports, err := l.provider.Poll(ctx, e.upstream(acc), jobs)
	now := time.Now()
	e.metrics.observePoll(l.provider.Name(), len(jobs), err)
	if pe := provider.AsError(err, provider.Unavailable); err != nil && pe.Class == provider.Rate {
		acc.restReads(now, max(parkRate, min(pe.RetryAfter, time.Hour)))
	}
	byID := make(map[string]*provider.Report, len(reports))
	for i := range reports {
		byID[reports[i].UpstreamID] = &reports[i]
	}
	var open []*kinora.Attempt
	var ended []ending
	progress := map[string]int{} // of generations; -1 = to be made of those of their parts
	for _, a := range list {
		a.Polls++
		r := byID[a.UpstreamID]
		switch {
		case err != nil:
			e.unreadable(a, provider.AsError(err, provider.Unavailable), now)
			open = append(open, a)
		case r == nil:
			e.unreadable(a, provider.Errorf(provider.Gone, "the upstream does not know the task"), now)
			open = append(open, a)
		case r.State.Final():
			if a.CallbackMode == kinora.CallbackManaged {
				acc.trust.saw(hinted(a, now), now)
			}
			ended = append(ended, ending{a, *r})
		default:
			a.ReadErrors, a.ErrorClass, a.LeaseOwner = 0, "", ""
			a.DueAt = now.Add(e.nextLook(a, now, r.PollAfter))
			if p := e.progressOf(a, r, now); p > a.Progress {
				a.Progress = p
				progress[a.GenerationID] = p
				if a.Parts > 1 {
					progress[a.GenerationID] = -1
				}
			}
			open = append(open, a)
		}
	}
	var kept []*kinora.Attempt
	for _, a := range open {
		if a.ErrorClass != string(provider.Gone) || a.ReadErrors < goneLooks {
			kept = append(kept, a)
			continue
		}
		if g, err := e.readGeneration(a.GenerationID); err == nil {
			e.failJob(g, a, provider.Gone, kinora.FailureUpstream, "the upstream has lost the task")
		}
	}
	e.saveLooked(kept, progress)
	e.conclude(l, kinora.AttemptOpen, ended, now)
}

func (e *Engine) job(a *kinora.Attempt) provider.Job {
	job := provider.Job{UpstreamID: a.UpstreamID, Handle: a.Handle, ClientRef: a.ID(), UpstreamModel: a.UpstreamModel, Kind: kinora.KindImage}
	if m := e.models[a.Model]; m != nil {
		job.Kind = m.Kind
	}
	return job
}

// unreadable plans the next look after one that failed. Nothing but the deadline ends an
// attempt whose upstream cannot be read: the work there may go on.
func (e *Engine) unreadable(a *kinora.Attempt, pe *provider.Error, now time.Time) {
	e.countReadError(a, pe)
	a.LeaseOwner = ""
	a.DueAt = now.Add(e.backoff(a.ReadErrors, 2*time.Second, time.Minute, pe.RetryAfter))
}

// countReadError counts failed reads in a row. "Gone" is counted apart from the others: it
// is believed after a few, which must not have been time-outs.
func (e *Engine) countReadError(a *kinora.Attempt, pe *provider.Error) {
	if gone := pe.Class == provider.Gone; gone != (a.ErrorClass == string(provider.Gone)) {
		a.ReadErrors = 0
	}
	a.ReadErrors++
	note(a, pe)
}

// progressOf is the generation's progress after a look: the upstream's own figure, or a
// coarse one from the time that such jobs take, never reaching the end.
func (e *Engine) progressOf(a *kinora.Attempt, r *provider.Report, now time.Time) int {
	if r.Progress >= 0 {
		return min(r.Progress, 99)
	}
	if wait, known := e.durations.ahead(e.learntAs(a), 0, 0); known && wait > 0 {
		return int(min(90, 100*now.Sub(a.AcceptedAt)/(2*wait)))
	}
	return 0
}

// saveLooked commits the attempts that stay open, in one transaction.
func (e *Engine) saveLooked(list []*kinora.Attempt, progress map[string]int) {
	if len(list) == 0 {
		return
	}
	saves := make([]store.AttemptSave, len(list))
	for i, a := range list {
		saves[i] = store.AttemptSave{Attempt: a, From: kinora.AttemptOpen}
	}
	err := e.persist("looks", func(tx *store.Tx) error {
		if _, err := tx.SaveAttempts(saves); err != nil {
			return err
		}
		seen := maps.Clone(progress) // the transaction may run again
		for generationID, p := range seen {
			if p >= 0 {
				continue
			}
			mean, err := tx.MeanProgress(generationID)
			if err != nil {
				return err
			}
			seen[generationID] = mean
		}
		return tx.RaiseProgress(seen, time.Now())
	})
	e.logLost("looks", list[0], err)
}

// ending is an upstream's end of a job.
type ending struct {
	attempt *kinora.Attempt
	report  provider.Report
}

// conclude commits the ends of jobs, found by a look or brought by the submit answer
// itself: the good ones of a look in one transaction, so that a hundred which end at once
// do not wait for a hundred commits.
func (e *Engine) conclude(l *lane, from kinora.AttemptState, list []ending, now time.Time) {
	var saves []store.AttemptSave
	for _, end := range list {
		a, r := end.attempt, end.report
		if r.State != provider.StateSucceeded || len(r.Outputs) == 0 {
			a.State = from
			e.concludeFailed(a, r)
			continue
		}
		took := now.Sub(a.AcceptedAt)
		e.durations.learn(e.learntAs(a), took)
		e.metrics.upstreamDuration.WithLabelValues(a.Provider).Observe(took.Seconds())
		a.State, a.DoneAt, a.Result = kinora.AttemptCollecting, now, encodeResult(r.Outputs)
		a.LeaseOwner, a.DueAt, a.ReadErrors = "", now, 0
		// The output exists and has been paid for: it is fetched even if that takes past the deadline.
		if late := now.Add(e.timing.CollectGrace); a.DeadlineAt.Before(late) {
			a.DeadlineAt = late
		}
		saves = append(saves, store.AttemptSave{Attempt: a, From: from})
	}
	if len(saves) == 0 {
		return
	}
	var stale []*kinora.Attempt
	save := func(tx *store.Tx) (err error) {
		if stale, err = tx.SaveAttempts(saves); err != nil || from == kinora.AttemptOpen {
			return err // the generation of an open attempt runs already
		}
		for _, s := range saves {
			if err := tx.StartGeneration(s.Attempt.GenerationID, now); err != nil {
				return err
			}
		}
		return nil
	}
	err := e.persist("upstream success", save)
	if errors.Is(err, store.ErrTaken) && from != kinora.AttemptOpen {
		// What came with an attempt's own answer is its own, whatever else has the same name upstream.
		a := saves[0].Attempt
		e.log.Warn("an upstream gave one id to the results of two calls; it is kept with the first", "attempt", a.ID(), "provider", a.Provider, "upstream_id", a.UpstreamID)
		a.UpstreamID = ""
		err = e.persist("upstream success", save)
	}
	e.logLost("upstream success", saves[0].Attempt, err)
	for _, a := range stale {
		e.logLost("upstream success", a, store.ErrStale)
	}
	l.collect.ring()
	e.nudgeProvider(saves[0].Attempt.Provider)
}

func (e *Engine) concludeFailed(a *kinora.Attempt, r provider.Report) {
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		return // the lease is given back later and the look repeated
	}
	pe := r.Err
	switch {
	case pe != nil:
	case r.State == provider.StateSucceeded:
		pe = provider.Errorf(provider.Generation, "it reported success without an output")
	case r.State == provider.StateExpired:
		pe = provider.Errorf(provider.Generation, "it gave up on time")
	case r.State == provider.StateCancelled:
		pe = provider.Errorf(provider.Generation, "it cancelled the task")
	default:
		pe = provider.Errorf(provider.Generation, "no reason was given")
	}
	note(a, pe)
	a.DoneAt = time.Now()
	code, message := failureOf(pe)
	if r.State == provider.StateExpired {
		code = kinora.FailureTimeout
	}
	e.failJob(g, a, pe.Class, code, message)
}
