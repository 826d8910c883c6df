package ark

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// announce begins to tell a task's receiver of its states.
func (s *Simulator) announce(ctx context.Context, t *task) {
	if t.CallbackURL == "" || t.orders.callback == "lost" {
		return
	}
	if t.orders.callback == "early" {
		s.callbacks.Try(ctx, s.notice(t, nil))
	}
	if t.orders.callback == "forged" {
		s.callbacks.SendAt(s.clock.Now(), s.notice(t, func(shown *Task) {
			shown.Status, shown.Error = succeeded, json.RawMessage("null")
			shown.Content = &Content{VideoURL: "https://forged.invalid/" + t.id + ".mp4"}
		}))
	}
	s.tellAt(t, s.clock.Now())
}

// tellAt tells of the task's state at a time, if it has not been told, and comes back when
// it changes. Queued, running, succeeded, failed and expired are told; cancelled is not.
func (s *Simulator) tellAt(t *task, at time.Time) {
	s.schedule.At(at, func(ctx context.Context) {
		now := s.clock.Now()
		s.mu.Lock()
		status, _ := t.state(now)
		news := status != t.told && status != cancelled
		if t.orders.callback == "reordered" && status == running {
			news = false // told after the end
		}
		if news {
			t.told = status
		}
		next := t.next(now)
		s.mu.Unlock()
		if news {
			s.tell(ctx, t, status)
		}
		if !next.IsZero() {
			s.tellAt(t, next)
		}
	})
}

// tell sends one callback. Only the two ends with a result are sent again when they are not
// answered with success within five seconds: three sends in all.
func (s *Simulator) tell(ctx context.Context, t *task, status string) {
	again := 1
	if t.orders.callback == "duplicate" {
		again = 2
	}
	for range again {
		if status == succeeded || status == failed {
			s.callbacks.SendAt(s.clock.Now(), s.notice(t, nil))
		} else {
			s.callbacks.Try(ctx, s.notice(t, nil))
		}
	}
	if t.orders.callback == "reordered" && final(status) {
		s.callbacks.SendAt(s.clock.Now().Add(s.cfg.CallbackPause), s.notice(t, func(shown *Task) {
			*shown = Task{ID: shown.ID, Model: shown.Model, Status: running, ServiceTier: shown.ServiceTier,
				ExecutionExpiresAfter: shown.ExecutionExpiresAfter, SafetyIdentifier: shown.SafetyIdentifier, CreatedAt: shown.CreatedAt, UpdatedAt: shown.CreatedAt}
		}))
	}
}

// notice is a callback: the body is that of a query, changed where it is to be wrong. The
// vendor documents no signature.
func (s *Simulator) notice(t *task, change func(*Task)) simulator.Callback {
	return simulator.Callback{
		URL: t.CallbackURL,
		Body: func(now time.Time) []byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			shown := t.show(now, s.signer(t.host, now))
			if change != nil {
				change(&shown)
			}
			body, err := json.Marshal(shown)
			if err != nil {
				return []byte("{}") // a Task can always be marshalled
			}
			return body
		},
		Tried: func(int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.notices++
		},
	}
}
