package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// counters count requests.
type counters struct {
	submits, unauthorized, polls, lookups, cancels, downloads atomic.Int64
}

// Stats is what the server was asked to do since it was made (jobs of an earlier
// server's journal count as accepted), and which jobs it remembers.
type Stats struct {
	Submits      int64 `json:"submits"`      // requests, refused ones too
	Unauthorized int64 `json:"unauthorized"` // requests with a wrong key
	Accepted     int64 `json:"accepted"`     // jobs created
	Repeated     int64 `json:"repeated"`     // jobs created although one with their client_ref was remembered
	InFlight     int   `json:"in_flight"`
	Polls        int64 `json:"polls"`   // requests by id, of one job or many
	Lookups      int64 `json:"lookups"` // requests by client_ref
	Cancels      int64 `json:"cancels"` // jobs cancelled
	Downloads    int64 `json:"downloads"`

	Callbacks simulator.CallbackCounts `json:"callbacks"`
	// Jobs are the remembered jobs, oldest first.
	Jobs []JobStats `json:"jobs"`
}

// JobStats is what was asked about one job.
type JobStats struct {
	ID        string    `json:"id"`
	ClientRef string    `json:"client_ref"`
	Model     string    `json:"model"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero while in flight
	Polls     int       `json:"polls"`             // looks that named it
	Callbacks int       `json:"callbacks"`         // tries
	Downloads int       `json:"downloads"`
}

// Stats returns the statistics of now.
func (s *Server) Stats() Stats {
	now := s.clock.Now()
	out := Stats{
		Submits: s.counts.submits.Load(), Unauthorized: s.counts.unauthorized.Load(),
		Polls: s.counts.polls.Load(), Lookups: s.counts.lookups.Load(),
		Cancels: s.counts.cancels.Load(), Downloads: s.counts.downloads.Load(),
		Callbacks: s.callbacks.Counts(), Jobs: []JobStats{},
	}
	r := s.jobs
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(now)
	out.Accepted, out.Repeated, out.InFlight = r.accepted, r.repeated, len(r.ending)
	for _, j := range r.byID {
		status, _ := j.state(now)
		shown := JobStats{
			ID: j.id, ClientRef: j.ClientRef, Model: j.Model, Status: status, CreatedAt: j.created,
			Polls: j.polls, Callbacks: j.callbacks, Downloads: j.downloads,
		}
		if at, ok := j.final(now); ok {
			shown.EndedAt = at
		}
		out.Jobs = append(out.Jobs, shown)
	}
	slices.SortFunc(out.Jobs, func(a, b JobStats) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// adminStats is GET /v1/admin/stats. The parameter jobs bounds how many of the
// latest jobs are listed, 1000 if it is absent.
func (s *Server) adminStats(w http.ResponseWriter, r *http.Request) error {
	key, ok := bearer(r)
	given, want := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(s.cfg.AdminKey))
	if !ok || s.cfg.AdminKey == "" || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return problem(http.StatusUnauthorized, "credential", "", "the admin key is not known")
	}
	limit := 1000
	if v := r.URL.Query().Get("jobs"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return invalid("jobs", "jobs must be a whole number from 0")
		}
		limit = n
	}
	stats := s.Stats()
	if len(stats.Jobs) > limit {
		stats.Jobs = stats.Jobs[len(stats.Jobs)-limit:]
	}
	writeJSON(w, http.StatusOK, stats)
	return nil
}
