package sandbox

import (
	"net/http"
	"strings"
)

// poll is GET /v1/jobs/{id}.
func (s *Server) poll(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.polls.Add(1)
	found, failing := s.look([]string{r.PathValue("id")}, a, s.host(r))
	switch {
	case failing:
		return overloaded()
	case len(found) == 0:
		return unknownJob()
	}
	writeJSON(w, http.StatusOK, found[0])
	return nil
}

// query is GET /v1/jobs with ids or client_ref.
func (s *Server) query(w http.ResponseWriter, r *http.Request, a *account) error {
	q := r.URL.Query()
	var found []Status
	switch {
	case q.Has("ids"):
		ids := strings.Split(q.Get("ids"), ",")
		if len(ids) > MaxIDs {
			return invalid("ids", "ids must be at most 200")
		}
		s.counts.polls.Add(1)
		var failing bool
		if found, failing = s.look(ids, a, s.host(r)); failing {
			return overloaded()
		}
	case q.Has("client_ref"):
		s.counts.lookups.Add(1)
		now := s.clock.Now()
		s.jobs.eachRef(q.Get("client_ref"), a, now, func(j *job) {
			found = append(found, j.show(now, s.host(r)))
		})
	default:
		return invalid("", "ids or client_ref is required")
	}
	if found == nil {
		found = []Status{}
	}
	writeJSON(w, http.StatusOK, struct {
		Jobs []Status `json:"jobs"`
	}{found})
	return nil
}

// look counts a poll of each job and shows those that exist. failing says that a
// job among them wants this look to fail.
func (s *Server) look(ids []string, a *account, host string) (found []Status, failing bool) {
	now := s.clock.Now()
	for _, id := range ids {
		s.jobs.with(id, a, now, func(j *job) {
			j.polls++
			failing = failing || j.polls <= j.Options.Status5xx
			found = append(found, j.show(now, host))
		})
	}
	return found, failing
}

// cancel is POST /v1/jobs/{id}/cancel.
func (s *Server) cancel(w http.ResponseWriter, r *http.Request, a *account) error {
	now := s.clock.Now()
	var shown Status
	var done bool
	var j *job
	ok := s.jobs.with(r.PathValue("id"), a, now, func(found *job) {
		j = found
		done = s.jobs.cancel(j, now)
		shown = j.show(now, s.host(r))
	})
	switch {
	case !ok:
		return unknownJob()
	case !done:
		return problem(http.StatusConflict, "invalid", "", "the job has ended")
	}
	if err := s.recordCancelled(j, now); err != nil {
		return err
	}
	s.counts.cancels.Add(1)
	s.planEndCallback(j, now)
	writeJSON(w, http.StatusOK, shown)
	return nil
}

func unknownJob() *Problem {
	return problem(http.StatusNotFound, "gone", "", "there is no such job")
}

func overloaded() *Problem {
	return problem(http.StatusServiceUnavailable, "unavailable", "", "the sandbox is overloaded, as asked")
}
