package kling

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// one is a GET of one task of the older family, by its id or its external_task_id, under
// the path that it was submitted to.
func (s *Simulator) one(w http.ResponseWriter, r *http.Request, a *account, at *route) error {
	now := s.clock.Now()
	id := r.PathValue("id")
	s.mu.Lock()
	s.counts.polls++
	t := s.tasks[id]
	if t == nil {
		t = s.lookUp(a, id)
	}
	if t == nil || t.account != a || t.route != at || t.vanished(now) {
		s.mu.Unlock()
		return problem(1203, "the requested resource does not exist, such as the task")
	}
	t.looks++
	nth, shown := t.looks, s.showLegacy(t, now)
	s.mu.Unlock()
	return spoilt(w, nth, t.orders, shown)
}

// lookUp finds a task by its reference, unless it is to be hidden still.
func (s *Simulator) lookUp(a *account, external string) *task {
	t := s.byReference(a, external)
	if t == nil {
		return nil
	}
	t.lookups++
	if t.lookups <= t.orders.hidden {
		return nil
	}
	return t
}

// spoilt answers with what a query shows, unless the task wants this look to fail.
func spoilt(w http.ResponseWriter, nth int, o orders, shown any) error {
	switch {
	case nth == 0:
	case nth <= o.faults:
		return problem(5000, "")
	case nth <= o.faults+o.broken:
		out, err := json.Marshal(succeeded(shown))
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(out[:len(out)/2])
		return nil
	}
	answer(w, shown)
	return nil
}

// page is a GET of a page of the older family's tasks of one path.
func (s *Simulator) page(w http.ResponseWriter, r *http.Request, a *account, at *route) error {
	number, size := 1, 30
	for key, p := range map[string]struct {
		into *int
		most int
	}{"pageNum": {&number, 1000}, "pageSize": {&size, 500}} {
		if text := r.URL.Query().Get(key); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > p.most {
				return illegal(key)
			}
			*p.into = n
		}
	}
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.lists++
	shown := []any{}
	for _, t := range part(s.newest(a, now, func(t *task) bool { return t.route == at }), (number-1)*size, size) {
		shown = append(shown, s.show(t, now))
	}
	answer(w, shown)
	return nil
}

// many is GET /tasks. An id that is not known gives no element.
func (s *Simulator) many(w http.ResponseWriter, r *http.Request, a *account) error {
	q := r.URL.Query()
	ids, references := q.Get("task_ids"), q.Get("external_task_ids")
	if (ids == "") == (references == "") {
		return problem(1201, "exactly one of task_ids and external_task_ids is needed")
	}
	now := s.clock.Now()
	s.mu.Lock()
	s.counts.polls++
	shown := []any{}
	var nth int
	var unwell orders
	for _, id := range strings.Split(ids+references, ",") {
		t := s.tasks[id]
		if references != "" {
			t = s.lookUp(a, id)
		}
		if t == nil || t.account != a || t.route.family != modern || t.vanished(now) {
			continue
		}
		t.looks++
		if t.looks <= t.orders.faults+t.orders.broken {
			nth, unwell = t.looks, t.orders
		}
		shown = append(shown, s.show(t, now))
	}
	s.mu.Unlock()
	return spoilt(w, nth, unwell, shown)
}

// cursor is POST /tasks.
func (s *Simulator) cursor(w http.ResponseWriter, r *http.Request, a *account) error {
	var q struct {
		From    millis `json:"start_time"`
		To      millis `json:"end_time"`
		Cursor  string `json:"cursor"`
		Limit   *int   `json:"limit"`
		Filters []struct {
			Key    string   `json:"key"`
			Values []string `json:"values"`
		} `json:"filters"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&q); err != nil {
		return problem(1200, "the request body cannot be read")
	}
	now := s.clock.Now()
	limit, from := 100, 0
	if q.Limit != nil {
		limit = *q.Limit
	}
	if limit < 1 || limit > 500 {
		return illegal("limit")
	}
	to, since := now, now.Add(-30*24*time.Hour)
	if q.To > 0 {
		to = time.UnixMilli(int64(q.To))
		since = to.Add(-30 * 24 * time.Hour)
	}
	if q.From > 0 {
		since = time.UnixMilli(int64(q.From))
	}
	if q.Cursor != "" {
		n, err := strconv.Atoi(q.Cursor)
		if err != nil || n < 0 {
			return illegal("cursor")
		}
		from = n
	}
	matches := func(t *task) bool {
		ok := t.route.family == modern && !t.created.Before(since) && !t.created.After(to)
		for _, f := range q.Filters {
			value := map[string]string{"status": t.state(now), "product_type": "video"}[f.Key]
			ok = ok && value != "" && slices.Contains(f.Values, value)
		}
		return ok
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.lists++
	found := s.newest(a, now, matches)
	out := struct {
		Result     []any  `json:"result"`
		Count      int    `json:"count"`
		NextCursor string `json:"next_cursor"`
		HasMore    bool   `json:"has_more"`
	}{Result: []any{}}
	for _, t := range part(found, from, limit) {
		out.Result = append(out.Result, s.show(t, now))
	}
	if out.Count, out.HasMore = len(out.Result), from+limit < len(found); out.HasMore {
		out.NextCursor = strconv.Itoa(from + limit)
	}
	answer(w, out)
	return nil
}

// millis is a time in milliseconds since 1970, as a number or a string: the documents
// have both.
type millis int64

func (m *millis) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "" || text == "null" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	*m = millis(n)
	return err
}

// newest are an account's tasks, the latest first. The lock is held.
func (s *Simulator) newest(a *account, now time.Time, matches func(*task) bool) (found []*task) {
	for i := len(s.order) - 1; i >= 0; i-- {
		if t := s.order[i]; t.account == a && !t.vanished(now) && matches(t) {
			found = append(found, t)
		}
	}
	return found
}

func part(list []*task, from, size int) []*task {
	from = min(from, len(list))
	return list[from:min(from+size, len(list))]
}
