package ark

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// find returns the account's task while its record is there. It is called with the lock held.
func (s *Simulator) find(id string, a *account) (*task, error) {
	t := s.tasks[id]
	if t == nil || t.account != a || !t.readable(s.clock.Now(), &s.cfg) {
		return nil, refuse("ResourceNotFound", "id", "the task does not exist")
	}
	return t, nil
}

// query is GET /contents/generations/tasks/{id}. A failed task is a success of the query.
func (s *Simulator) query(w http.ResponseWriter, r *http.Request, a *account) error {
	now := s.clock.Now()
	s.mu.Lock()
	s.stats.polls++
	t, err := s.find(r.PathValue("id"), a)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	mishap := t.look()
	shown := t.show(now, s.signer(s.host(r), now))
	s.mu.Unlock()
	return answerLook(w, mishap, shown)
}

// mishap is what a look at a task asked for.
type mishap int

const (
	fine mishap = iota
	busy
	cut
)

// look counts a query that names the task.
func (t *task) look() mishap {
	t.looks++
	switch {
	case t.looks <= t.orders.busy:
		return busy
	case t.looks <= t.orders.busy+t.orders.cut:
		return cut
	}
	return fine
}

// answerLook answers a query, or spoils the answer.
func answerLook(w http.ResponseWriter, how mishap, body any) error {
	switch how {
	case busy:
		p := refuse("InternalServiceError", "", "the service is busy, as asked")
		p.status = http.StatusServiceUnavailable
		return p
	case cut:
		whole, err := json.Marshal(body)
		if err != nil {
			simulator.Abort() // nothing here cannot be marshalled
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(whole[:len(whole)/2])
	default:
		writeJSON(w, http.StatusOK, body)
	}
	return nil
}

// list is GET /contents/generations/tasks: pages of the account's tasks, the latest first.
func (s *Simulator) list(w http.ResponseWriter, r *http.Request, a *account) error {
	q := r.URL.Query()
	page, size, err := pageOf(q.Get("page_num"), q.Get("page_size"))
	if err != nil {
		return err
	}
	ids := q["filter.task_ids"]
	now := s.clock.Now()
	s.mu.Lock()
	s.stats.lists++
	found := s.listed(a, q, now)
	total := len(found)
	found = found[min(len(found), (page-1)*size):]
	found = found[:min(len(found), size)]
	how, items := fine, []Task{}
	for _, t := range found {
		if len(ids) > 0 { // a look at everything is nobody's look
			how = max(how, t.look())
		}
		items = append(items, t.show(now, s.signer(s.host(r), now)).listed())
	}
	s.mu.Unlock()
	return answerLook(w, how, struct {
		Total int    `json:"total"`
		Items []Task `json:"items"`
	}{total, items})
}

// listed are the account's tasks that fit the filters, the latest first. It is called with
// the lock held.
func (s *Simulator) listed(a *account, q url.Values, now time.Time) []*task {
	candidates := s.order
	if ids := q["filter.task_ids"]; len(ids) > 0 {
		candidates = nil
		for _, id := range ids {
			if t := s.tasks[id]; t != nil && !slices.Contains(candidates, t) {
				candidates = append(candidates, t)
			}
		}
		slices.SortStableFunc(candidates, func(x, y *task) int { return x.created.Compare(y.created) })
	}
	fits := func(filter, value string) bool { return q.Get(filter) == "" || q.Get(filter) == value }
	var found []*task
	for _, t := range slices.Backward(candidates) {
		status, _ := t.state(now)
		if t.account == a && t.readable(now, &s.cfg) && !t.orders.unlisted &&
			fits("filter.status", status) && fits("filter.model", t.Model) && fits("filter.service_tier", t.ServiceTier) {
			found = append(found, t)
		}
	}
	return found
}

func pageOf(num, size string) (int, int, error) {
	number := func(text string, usual int) (int, bool) {
		if text == "" {
			return usual, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 1 && n <= 500
	}
	p, okPage := number(num, 1)
	n, okSize := number(size, 10)
	if !okPage {
		return 0, 0, invalid("page_num", "must be within [1, 500]")
	}
	if !okSize {
		return 0, 0, invalid("page_size", "must be within [1, 500]")
	}
	return p, n, nil
}

// remove is DELETE /contents/generations/tasks/{id}: it cancels a queued task, destroys the
// record of an ended one, and is refused for the others.
func (s *Simulator) remove(w http.ResponseWriter, r *http.Request, a *account) error {
	now := s.clock.Now()
	s.mu.Lock()
	t, err := s.find(r.PathValue("id"), a)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	var moved []*task
	switch status, _ := t.state(now); status {
	case queued:
		t.cancelled = now
		s.stats.cancelled++
		moved = s.replan(t, now)
	case running:
		err = refuse("OperationDenied.TaskRunning", "id", "the task is running")
	case cancelled:
		err = refuse("OperationDenied.TaskCancelled", "id", "the task is cancelled")
	default:
		t.deleted = true
		s.stats.destroyed++
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, t := range moved {
		if t.CallbackURL != "" && t.orders.callback != "lost" {
			s.tellAt(t, now)
		}
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}
