package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	// reportReach is how many ended generations one report counts, the newest: some fifty milliseconds.
	reportReach = 10_000
	// reportLife is how long a report is given out before another one is made.
	reportLife = 10 * time.Second
)

// reports keeps the last report, so that pages that many people look at cost one in a while.
type reports struct {
	mu   sync.Mutex
	at   time.Time
	last []store.EndedAttempt
	from time.Time // earlier ends are not among them; zero = all of the day are
}

// Health tells how the upstreams are: the accounts as this node sees them, and how the attempts went of the generations that ended
// in the last hour and day, on any node. The latter may be ten seconds old.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Health(ctx context.Context) (*kinora.Health, error) {
	accounts, err := e.AccountHealth(ctx)
	if err != nil {
		return nil, err
	}
	list, from, now, err := e.endedOfDay(ctx)
	if err != nil {
		return nil, err
	}
	return &kinora.Health{
		Node: e.node.id, Accounts: accounts,
		Hour: report(list, kinora.Span{From: now.Add(-time.Hour), To: now}, from),
		Day:  report(list, kinora.Span{From: now.Add(-24 * time.Hour), To: now}, from),
	}, nil
}

// endedOfDay reads how the attempts of a day's ended generations went, and when that was. One reads, others wait for it.
func (e *Engine) endedOfDay(ctx context.Context) (list []store.EndedAttempt, from, at time.Time, err error) {
	r := &e.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.at.IsZero() && now.Sub(r.at) < reportLife {
		return r.last, r.from, r.at, nil
	}
	err = e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, from, err = tx.EndedAttempts(now.Add(-24*time.Hour), reportReach)
		return err
	})
	if err == nil {
		r.at, r.last, r.from = now, list, from
	}
	return list, from, now, err
}

// report counts the attempts of generations that ended within a span, of which those before known are missing.
func report(list []store.EndedAttempt, span kinora.Span, known time.Time) kinora.UpstreamReport {
	r := kinora.UpstreamReport{Span: span, Upstreams: []kinora.UpstreamHealth{}}
	if known.After(span.From) {
		r.From, r.More = known, true
	}
	type key struct{ provider, account, model string }
	tallies := map[key]*tally{}
	for i := range list {
		a := &list[i]
		if a.CompletedAt.Before(r.From) || a.CompletedAt.After(r.To) {
			continue
		}
		k := key{a.Provider, a.Account, a.Model}
		if tallies[k] == nil {
			tallies[k] = &tally{UpstreamHealth: kinora.UpstreamHealth{Provider: a.Provider, Account: a.Account, Model: a.Model, Errors: map[string]int{}}}
		}
		tallies[k].add(&a.Attempt)
		r.Attempts++
	}
	for _, t := range tallies {
		t.Submits, t.Jobs = kinora.PercentilesOf(t.submits), kinora.PercentilesOf(t.jobs)
		r.Upstreams = append(r.Upstreams, t.UpstreamHealth)
	}
	slices.SortFunc(r.Upstreams, func(a, b kinora.UpstreamHealth) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Model, b.Model))
	})
	return r
}

// tally is an UpstreamHealth that is being counted.
type tally struct {
	kinora.UpstreamHealth
	submits, jobs []time.Duration
}

func (t *tally) add(a *kinora.Attempt) {
	if !a.SubmittedAt.IsZero() && a.AcceptedAt.After(a.SubmittedAt) {
		t.submits = append(t.submits, a.AcceptedAt.Sub(a.SubmittedAt))
	}
	switch a.State {
	case kinora.AttemptSucceeded:
		t.Succeeded++
		if !a.AcceptedAt.IsZero() && !a.DoneAt.Before(a.AcceptedAt) {
			t.jobs = append(t.jobs, a.DoneAt.Sub(a.AcceptedAt))
		}
	case kinora.AttemptCancelled:
		t.Cancelled++
	default:
		t.Failed++
		class := a.ErrorClass
		if class == "" && a.Failure != nil {
			class = string(a.Failure.Code)
		}
		t.Errors[class]++
	}
}
