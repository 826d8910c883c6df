package vidu

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// query is GET /ent/v2/tasks/{id}/creations.
func (s *Simulator) query(w http.ResponseWriter, r *http.Request, a *account) error {
	now := s.clock.Now()
	s.mu.Lock()
	s.settle(now)
	s.counts.polls++
	t := s.tasks[r.PathValue("id")]
	if t == nil || t.account != a || t.vanished() {
		s.mu.Unlock()
		return problem("TaskNotFound", "task not found")
	}
	t.looks++
	nth, shown := t.looks, s.show(t, t.state(now))
	s.mu.Unlock()
	switch o := t.orders; {
	case nth <= o.faults:
		return problem("InternalServiceFailure", "as ordered")
	case nth <= o.faults+o.broken:
		out, err := json.Marshal(shown)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out[:len(out)/2])
		return nil
	}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

// Limits of a list.
const (
	pageSize    = 10
	maxPageSize = 100
	listedLife  = 7 * 24 * time.Hour
)

// list is GET /ent/v2/tasks.
func (s *Simulator) list(w http.ResponseWriter, r *http.Request, a *account) error {
	now := s.clock.Now()
	q, f := readListQuery(r.URL.Query(), now)
	if f != nil {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	s.counts.lists++
	found := s.find(a, q, now)
	answer := struct {
		NextPageToken string   `json:"next_page_token"`
		Tasks         []listed `json:"tasks"`
	}{Tasks: []listed{}}
	for i, t := range found {
		if i < q.from {
			continue
		}
		if i == q.from+q.size {
			answer.NextPageToken = strconv.Itoa(i)
			break
		}
		t.lists++
		answer.Tasks = append(answer.Tasks, s.item(t, now))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// find returns the account's tasks that a query matches, newest first. The lock is held.
func (s *Simulator) find(a *account, q listQuery, now time.Time) (found []*task) {
	candidates := s.order
	if len(q.ids) > 0 {
		candidates = nil
		for _, id := range q.ids {
			if t := s.tasks[id]; t != nil && !slices.Contains(candidates, t) {
				candidates = append(candidates, t)
			}
		}
		slices.SortFunc(candidates, func(x, y *task) int { return x.created.Compare(y.created) })
	}
	for i := len(candidates) - 1; i >= 0; i-- {
		if t := candidates[i]; t.account == a && !t.vanished() && !t.orders.unlisted && q.matches(t, now) {
			found = append(found, t)
		}
	}
	return found
}

// listQuery is what a list asks for.
type listQuery struct {
	after, before time.Time
	ids, states   []string
	from, size    int
}

// readListQuery reads the parameters. The documents spell the page's ones "paper." and
// "pager."; both are taken.
func readListQuery(v url.Values, now time.Time) (listQuery, *failure) {
	q := listQuery{after: now.Add(-listedLife), before: now, ids: v["task_ids"], states: v["states"], size: pageSize}
	for key, to := range map[string]*time.Time{"created_at.from": &q.after, "created_at.to": &q.before} {
		if text := v.Get(key); text != "" {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return q, invalid("created_at")
			}
			*to = at
		}
	}
	for key, to := range map[string]*int{
		"paper.pagesz": &q.size, "pager.pagesz": &q.size, "paper.page": &q.from, "pager.page": &q.from,
	} {
		if text := v.Get(key); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return q, invalid("pager")
			}
			*to = n
		}
	}
	if q.size < 1 || q.size > maxPageSize {
		return q, problem("PageSizeOutOfRange", "page size out of range")
	}
	q.from *= q.size
	if token := v.Get("pager.page_token"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 {
			return q, invalid("page_token")
		}
		q.from = n
	}
	return q, nil
}

func (q listQuery) matches(t *task, now time.Time) bool {
	return !t.created.Before(q.after) && !t.created.After(q.before) &&
		(len(q.states) == 0 || slices.Contains(q.states, t.state(now)))
}

// cancel is POST /ent/v2/tasks/{id}/cancel.
func (s *Simulator) cancel(w http.ResponseWriter, r *http.Request, a *account) error {
	var body struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&body); err != nil {
		return problem("BadRequest", "bad request")
	}
	id := r.PathValue("id")
	if body.ID != id {
		return invalid("id")
	}
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	t := s.tasks[id]
	if t == nil || t.account != a || t.vanished() {
		return problem("TaskNotFound", "task not found")
	}
	if !t.started.IsZero() || !t.ended.IsZero() {
		word := "scheduled"
		if !t.ended.IsZero() {
			word = t.state(now)
		}
		return problem("BadRequest", "task state is "+word+", can not cancel")
	}
	s.counts.cancels++
	s.end(t, "UserCancelled", now)
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}
