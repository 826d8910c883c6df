package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// record is a line of the journal.
type record struct {
	Event string `json:"event"` // "accepted" or "cancelled"
	ID    string `json:"id"`
	At    int64  `json:"at"` // unix milliseconds

	// Of an accepted job.
	Account    int           `json:"account,omitempty"` // index in Config.Accounts
	Host       string        `json:"host,omitempty"`
	FinishesIn time.Duration `json:"finishes_in,omitempty"`
	Spec       *spec         `json:"spec,omitempty"`
}

const (
	eventAccepted  = "accepted"
	eventCancelled = "cancelled"
)

func (s *Server) recordAccepted(j *job) error {
	if s.journal == nil {
		return nil
	}
	return s.journal.Append(record{
		Event: eventAccepted, ID: j.id, At: j.created.UnixMilli(), Account: j.account.index, Host: j.host,
		FinishesIn: j.finished.Sub(j.created), Spec: &j.spec,
	})
}

func (s *Server) recordCancelled(j *job, now time.Time) error {
	if s.journal == nil {
		return nil
	}
	return s.journal.Append(record{Event: eventCancelled, ID: j.id, At: now.UnixMilli()})
}

// openJournal takes up the jobs of an earlier Server and goes on with its file. A
// job that runs goes on as if nothing had happened, since its state depends on its
// times alone; callbacks that fell into the gap are not sent any more.
func (s *Server) openJournal() error {
	if s.cfg.Journal == "" {
		return nil
	}
	now := s.clock.Now()
	err := simulator.ReadJournal(s.cfg.Journal, func(line []byte) error {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("sandbox: the journal is not one of a sandbox: %w", err)
		}
		s.replay(&r)
		return nil
	})
	if err != nil {
		return err
	}
	if s.journal, err = simulator.OpenJournal(s.cfg.Journal); err != nil {
		return err
	}
	for _, j := range s.jobs.ending {
		s.planCallbacks(j, now)
	}
	return nil
}

// replay applies one record as of its own time, so that a long journal's ended jobs
// are forgotten on the way. Jobs of accounts that are no longer configured are
// passed over.
func (s *Server) replay(r *record) {
	at := time.UnixMilli(r.At)
	switch {
	case r.Event == eventCancelled:
		s.jobs.with(r.ID, nil, at, func(j *job) { s.jobs.cancel(j, at) })
	case r.Event == eventAccepted && r.Spec != nil && r.Account >= 0 && r.Account < len(s.accounts):
		a := s.accounts[r.Account]
		s.jobs.reserve(a, at)
		s.jobs.insert(newJob(r.ID, r.Spec, a, r.Host, at, r.FinishesIn), at)
	}
}

// Accepted is one job in a journal.
type Accepted struct {
	ID        string
	ClientRef string
	Model     string
	At        time.Time
}

// ReadJournal returns every job that was ever accepted by the sandboxes that wrote
// a journal, in order, also while one is writing it: what a test counts after any
// crash. A file that is not there holds none.
func ReadJournal(path string) ([]Accepted, error) {
	var out []Accepted
	err := simulator.ReadJournal(path, func(line []byte) error {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("sandbox: the journal is not one of a sandbox: %w", err)
		}
		if r.Event != eventAccepted {
			return nil
		}
		if r.Spec == nil {
			return errors.New("sandbox: the journal has an accepted job without its request")
		}
		out = append(out, Accepted{ID: r.ID, ClientRef: r.Spec.ClientRef, Model: r.Spec.Model, At: time.UnixMilli(r.At)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
