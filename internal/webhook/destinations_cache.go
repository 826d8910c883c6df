package webhook

import (
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// healthQuestion is what a report of destinations is about.
type healthQuestion struct {
	organisation string
	endpoint     string // "" = all destinations
	span         time.Duration
}

// healthReports keeps the last reports for a while, so that pages that many people look at cost one each in a while. Of those who
// ask the same at once, one reads and the others wait for it.
type healthReports struct {
	mu   sync.Mutex
	kept map[healthQuestion]*healthReport
}

type healthReport struct {
	reading sync.Mutex
	at      time.Time
	last    *kinora.DestinationReport // nil = none was read
	waiting int                       // who has it in hand; guarded by healthReports.mu
}

// of returns a report that nobody may change.
func (h *healthReports) of(ctx context.Context, q healthQuestion, s *Dispatcher) (*kinora.DestinationReport, error) {
	r := h.take(q)
	defer h.giveBack(q, r, s)
	r.reading.Lock()
	defer r.reading.Unlock()
	now := s.cfg.Now()
	if r.last != nil && now.Sub(r.at) < s.cfg.HealthLife {
		return r.last, nil
	}
	report, err := s.readHealth(ctx, q)
	if err != nil {
		return nil, err
	}
	r.at, r.last = now, report
	return report, nil
}

func (h *healthReports) take(q healthQuestion) *healthReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept == nil {
		h.kept = map[healthQuestion]*healthReport{}
	}
	r := h.kept[q]
	if r == nil {
		r = &healthReport{}
		h.kept[q] = r
	}
	r.waiting++
	return r
}

// maxReports is how many reports are kept; a large one has some hundred kilobytes.
const maxReports = 64

// giveBack forgets reports that are over, and this one where there are too many.
func (h *healthReports) giveBack(q healthQuestion, mine *healthReport, s *Dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine.waiting--
	now := s.cfg.Now()
	for other, r := range h.kept {
		// Nobody writes what nobody has in hand.
		if r.waiting == 0 && (r.last == nil || now.Sub(r.at) >= s.cfg.HealthLife || len(h.kept) > maxReports && other == q) {
			delete(h.kept, other)
		}
	}
}
