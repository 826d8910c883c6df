package lifecycle

import (
	"context"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// farthestPlace is up to which place in a queue attempts are counted.
const farthestPlace = 1000

// Outlook tells where a generation that has not ended stands in the queue and how long it will probably take. What is
// not known, and what has ended, is left zero. It costs two short reads, however long the queue is.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Outlook(ctx context.Context, g *kinora.Generation) (kinora.Outlook, error) {
	var look kinora.Outlook
	if g.State.Terminal() || g.State == kinora.GenerationIngesting {
		return look, nil
	}
	now, known := time.Now(), true
	err := e.db.View(ctx, func(tx *store.Tx) error {
		look, known = kinora.Outlook{}, true
		attempts, err := tx.Attempts(g.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			if !a.FinishedAt.IsZero() {
				continue
			}
			ahead := 0
			if a.State == kinora.AttemptQueued {
				if !a.DueAt.IsZero() { // else it is being claimed
					if ahead, err = tx.QueuedBefore(a, farthestPlace); err != nil {
						return err
					}
				}
				if ahead < farthestPlace && (look.Position == 0 || ahead+1 < look.Position) {
					look.Position = ahead + 1
				}
			}
			eta := e.remaining(a, ahead, now)
			known = known && eta > 0
			look.ETA = max(look.ETA, eta) // it ends with the last of its attempts
		}
		return nil
	})
	if !known {
		look.ETA = 0
	}
	return look, err
}

// remaining guesses how long an attempt will take from now on, with that many ahead of it in its lane; 0 = not known.
func (e *Engine) remaining(a *kinora.Attempt, ahead int, now time.Time) time.Duration {
	if a.State != kinora.AttemptQueued {
		age := time.Duration(0)
		if !a.AcceptedAt.IsZero() {
			age = max(now.Sub(a.AcceptedAt), 0)
		}
		return e.durations.left(e.learntAs(a), age)
	}
	if ahead >= farthestPlace {
		return 0
	}
	slots := 0
	for _, acc := range e.laneAccounts(a.Lane) {
		if !acc.Retired {
			slots += acc.MaxInFlight
		}
	}
	if slots == 0 {
		return 0
	}
	// Slots become free one by one, evenly over the time that a job takes.
	whole := e.durations.left(e.learntAs(a), 0)
	return whole + whole*time.Duration(ahead+1)/time.Duration(slots)
}

// left is how long a job of this model that is that old will run on: the median of those that ran longer, or a quarter
// of its age where none is known to have; 0 = nothing is known of the model.
func (d *durations) left(model string, age time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.samples[model]
	if s == nil || len(s.kept) < learnFrom {
		return 0
	}
	sorted := s.inOrder()
	i, _ := slices.BinarySearch(sorted, age+1)
	if i == len(sorted) {
		return max(age/4, time.Second)
	}
	return sorted[i+(len(sorted)-i)/2] - age
}
