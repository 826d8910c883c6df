package webhook

import "time"

// trouble paces a loop while the database is away, and logs an outage once and not at every try.
type trouble struct {
	tries int
	since time.Time
}

func (t *trouble) note(s *Dispatcher, message string, err error) {
	if t.tries++; t.tries == 1 {
		t.since = s.cfg.Now()
		s.log.Warn(message, "error", err)
	}
}

func (t *trouble) over(s *Dispatcher) {
	if t.tries > 0 {
		s.log.Info("delivering again", "failed_tries", t.tries, "after", s.cfg.Now().Sub(t.since).Round(time.Millisecond).String())
		*t = trouble{}
	}
}

// wait is the next pause: 50 ms, doubled up to a second, ± 20 %. Deliveries resume well
// within five seconds of the database's return.
func (t *trouble) wait(random func() float64) time.Duration {
	d := min(50*time.Millisecond<<min(max(t.tries-1, 0), 5), time.Second)
	return d + time.Duration(float64(d)*0.2*(2*random()-1))
}
