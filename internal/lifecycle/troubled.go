package lifecycle

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	// troubledReach is how many live attempts a search looks at, those with the nearest deadlines: some
	// twenty milliseconds.
	troubledReach = 10_000
	// lateFactor is how many times as long as all but one in twenty of its model an attempt runs that is late.
	lateFactor = 3
	// lateLeast is how much longer than those it runs at least.
	lateLeast = time.Minute
	// waitLong is how long a queued attempt is due before it is told of that no account takes it.
	waitLong = time.Minute
	// troubledSince is how far back a search goes for attempts that have ended.
	troubledSince = 7 * 24 * time.Hour
	// troubledLimit is how many attempts are listed where no number is asked for.
	troubledLimit = 50
)

// TroubledAttempts finds attempts that need a person's eye, newest first. It costs the same however many have
// ended well. Whether an account takes work is told as this node has learnt it.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) TroubledAttempts(ctx context.Context, q kinora.TroubleSearch) (*kinora.TroubledAttempts, error) {
	if q.Limit <= 0 {
		q.Limit = troubledLimit
	}
	now := time.Now()
	if q.Since.IsZero() {
		q.Since = now.Add(-troubledSince)
	}
	found := &kinora.TroubledAttempts{}
	err := e.db.View(ctx, func(tx *store.Tx) error {
		*found = kinora.TroubledAttempts{List: []kinora.TroubledAttempt{}}
		return e.findTroubled(tx, q, found, now)
	})
	return found, err
}

func (e *Engine) findTroubled(tx *store.Tx, q kinora.TroubleSearch, found *kinora.TroubledAttempts, now time.Time) error {
	whole := map[string]*kinora.Attempt{}
	var candidates []*kinora.Attempt
	for _, read := range []func(limit int) ([]*kinora.Attempt, error){
		func(limit int) ([]*kinora.Attempt, error) { return tx.UnknownAttempts(q.Since, limit) },
		func(limit int) ([]*kinora.Attempt, error) { return tx.ContestedAttempts(q.Since, limit) },
		tx.UnsettledAttempts, tx.UnreadableAttempts,
	} {
		list, err := read(q.Limit + 1)
		if err != nil {
			return err
		}
		found.More = found.More || len(list) > q.Limit
		for _, a := range list {
			if whole[a.ID()] == nil {
				whole[a.ID()] = a
				candidates = append(candidates, a)
			}
		}
	}
	live, err := tx.LiveAttempts(troubledReach)
	if err != nil {
		return err
	}
	found.More = found.More || len(live) == troubledReach
	for _, a := range live {
		if whole[a.ID()] == nil {
			candidates = append(candidates, a)
		}
	}
	for _, a := range candidates {
		if t := e.troubled(a, now); len(t.Troubles) > 0 && (q.Trouble == "" || slices.Contains(t.Troubles, q.Trouble)) {
			found.List = append(found.List, t)
		}
	}
	slices.SortFunc(found.List, func(a, b kinora.TroubledAttempt) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID(), a.ID()))
	})
	if len(found.List) > q.Limit {
		found.List, found.More = found.List[:q.Limit], true
	}
	for i := range found.List {
		t := &found.List[i]
		if whole[t.ID()] != nil {
			continue
		}
		a, err := tx.Attempt(t.GenerationID, t.Ordinal)
		if err != nil {
			return err
		}
		t.Attempt = *a
	}
	return nil
}

// troubled tells what is wrong with an attempt.
func (e *Engine) troubled(a *kinora.Attempt, now time.Time) kinora.TroubledAttempt {
	t := kinora.TroubledAttempt{Attempt: *a, Expected: e.durations.usual(e.learntAs(a))}
	if a.ContestedID != "" {
		t.Troubles = append(t.Troubles, kinora.TroubleContested)
	}
	if a.State.Terminal() {
		if a.Failure != nil && a.Failure.Code == kinora.FailureOutcomeUnknown {
			t.Troubles = append(t.Troubles, kinora.TroubleUnknown)
		}
		return t
	}
	for _, one := range []struct {
		is      bool
		trouble kinora.Trouble
	}{
		{late(a, t.Expected, now), kinora.TroubleLate},
		{a.State == kinora.AttemptUnsettled, kinora.TroubleUnsettled},
		{a.State != kinora.AttemptUnsettled && a.ReadErrors >= kinora.UnreadableFrom, kinora.TroubleUnreadable},
		{a.State == kinora.AttemptQueued && !a.DueAt.IsZero() && now.Sub(a.CreatedAt) >= waitLong && !e.anyTakes(a, now), kinora.TroubleWaiting},
		{a.DeadlineAt.Sub(now) < a.DeadlineAt.Sub(a.CreatedAt)/10, kinora.TroubleDeadline},
	} {
		if one.is {
			t.Troubles = append(t.Troubles, one.trouble)
		}
	}
	return t
}

func late(a *kinora.Attempt, expected time.Duration, now time.Time) bool {
	return a.State == kinora.AttemptOpen && expected > 0 && now.Sub(a.AcceptedAt) > max(lateFactor*expected, expected+lateLeast)
}

// anyTakes tells whether some account of an attempt's lane takes work of its model at present, or would if it had room.
func (e *Engine) anyTakes(a *kinora.Attempt, now time.Time) bool {
	if e.providers[a.Provider] == nil {
		return false
	}
	return slices.ContainsFunc(e.laneAccounts(a.Lane), func(acc *account) bool {
		return acc.usable(now, a.UpstreamModel, a.DeadlineAt) && !acc.resting(now, isSynchronous(a.Lane))
	})
}

// resting tells whether the account is left alone because its upstream gave no usable answers.
func (a *account) resting(now time.Time, synchronous bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.breaker(synchronous).resting(now)
}

// usual is what all but one in twenty jobs of this model took; 0 = nothing is known of it.
func (d *durations) usual(model string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.samples[model]
	if s == nil || len(s.kept) < learnFrom {
		return 0
	}
	sorted := s.inOrder()
	return sorted[(len(sorted)*95+99)/100-1]
}
