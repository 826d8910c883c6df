package ark

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
)

// submit is POST /contents/generations/tasks.
func (s *Simulator) submit(w http.ResponseWriter, r *http.Request, a *account) error {
	var in submission
	if err := readBody(w, r, &in); err != nil {
		s.count(func(c *counts) { c.submits++ })
		return err
	}
	s.count(func(c *counts) { c.submits++ })
	if err := s.admit(a, in.Model, videoModels); err != nil {
		return err
	}
	spec, err := understand(r.Header, in)
	if err != nil {
		return err
	}
	if err := s.refused(a, spec.prompt, spec.orders); err != nil {
		return err
	}
	if spec.orders.drop == "before" {
		simulator.Abort()
	}
	t, err := s.accept(spec, a, s.host(r))
	if err != nil {
		return err
	}
	s.announce(r.Context(), t)
	if err := s.after(r.Context(), spec.orders); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		ID               string  `json:"id"`
		SafetyIdentifier *string `json:"safety_identifier,omitempty"`
	}{t.id, t.SafetyIdentifier})
	return nil
}

// admit checks what the vendor checks before it looks at what is asked for.
func (s *Simulator) admit(a *account, model string, family *regexp.Regexp) error {
	if err := checkModel(model, family, a); err != nil {
		return err
	}
	if a.Overdue {
		return refuse("AccountOverdueError", "", "the account has an overdue balance")
	}
	if a.PerMinute == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := a.limits[model]
	if limit == nil {
		limit = rate.NewLimiter(rate.Limit(float64(a.PerMinute)/60), a.PerMinute)
		a.limits[model] = limit
	}
	if !limit.AllowN(s.clock.Now(), 1) {
		return refuse("ModelAccountRpmRateLimitExceeded", "", "the account's requests per minute to the model are exceeded")
	}
	return nil
}

// refused is the refusal that a submit asks for.
func (s *Simulator) refused(a *account, prompt string, o orders) error {
	if o.refuse == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := a.Key + "\x00" + prompt
	if s.tries[key]++; o.times > 0 && s.tries[key] > o.times {
		return nil
	}
	return refuse(o.refuse, "", "refused, as asked")
}

// accept makes the task and plans its course.
func (s *Simulator) accept(spec *spec, a *account, host string) (*task, error) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Queued > 0 && s.waiting(a, now) >= a.Queued {
		return nil, refuse("QuotaExceeded", "", "the account has too many tasks in the queue")
	}
	t := &task{spec: *spec, id: newID(now), account: a, host: host, created: now, run: or(spec.orders.time, s.cfg.RunTime)}
	s.forget(now)
	s.tasks[t.id] = t
	s.order = append(s.order, t)
	s.plan(t, now)
	return t, nil
}

// forget drops the oldest tasks once nothing can be asked about them any more.
func (s *Simulator) forget(now time.Time) {
	for len(s.order) > 0 && now.Sub(s.order[0].created) >= s.cfg.RecordLife {
		delete(s.tasks, s.order[0].id)
		s.order[0] = nil
		s.order = s.order[1:]
	}
}

// waiting counts an account's tasks in the queue.
func (s *Simulator) waiting(a *account, now time.Time) (n int) {
	for _, t := range s.order {
		if status, _ := t.state(now); t.account == a && status == queued {
			n++
		}
	}
	return n
}

// plan sets when a task starts: after its time in the queue, and once fewer of its model's
// tasks run than may. Tasks that came before it have been planned.
func (s *Simulator) plan(t *task, now time.Time) {
	t.started = t.created.Add(or(t.orders.queue, s.cfg.QueueTime))
	if t.account.Running == 0 {
		return
	}
	var ends []time.Time
	for _, other := range s.order {
		if other == t {
			break
		}
		if status, _ := other.state(now); other.account == t.account && other.Model == t.Model && !final(status) {
			end, _ := other.ends()
			ends = append(ends, end)
		}
	}
	if over := len(ends) - t.account.Running; over >= 0 {
		slices.SortFunc(ends, time.Time.Compare)
		if free := ends[over]; free.After(t.started) {
			t.started = free
		}
	}
}

// replan moves the tasks that wait behind one that was cancelled.
func (s *Simulator) replan(gone *task, now time.Time) (moved []*task) {
	for _, t := range s.order {
		if status, _ := t.state(now); t.account == gone.account && t.Model == gone.Model && status == queued && t != gone {
			s.plan(t, now)
			if t.started.Before(now) {
				t.started = now
			}
			moved = append(moved, t)
		}
	}
	return moved
}

// after does what a call asked for between its acceptance and the answer.
func (s *Simulator) after(ctx context.Context, o orders) error {
	if simulator.Hold(ctx, s.clock, o.late) != nil || o.drop == "after" {
		simulator.Abort()
	}
	if o.drop == "error" {
		return refuse("InternalServiceError", "", "the service failed after it had accepted the task, as asked")
	}
	return nil
}
