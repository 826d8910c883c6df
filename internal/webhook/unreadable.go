package webhook

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

const (
	// unreadyWait is how long a delivery is left alone that could not be prepared.
	unreadyWait = time.Second
	// unreadableWait is the same where an organisation's signing secrets cannot be read. Somebody has to put a master
	// key back: until then looking often only wears the database out.
	unreadableWait = 30 * time.Second
	// unreadableEvery is how often that is logged, whatever the number of deliveries and organisations.
	unreadableEvery = time.Minute
)

// unreadable notes signing secrets that no key of this server opens. It is our fault: the deliveries wait, and none of
// their attempts is used up.
type unreadable struct {
	mu     sync.Mutex
	logged time.Time
}

// isUnreadable tells secrets that cannot be read from those that cannot be had now.
func isUnreadable(err error) bool {
	return err != nil && kinora.CodeOf(err) != kinora.ErrUnavailable && !errors.Is(err, context.Canceled)
}

func (s *Dispatcher) noteUnreadable(organisation string, err error) {
	s.metrics.unreadable.Inc()
	u, now := &s.unreadable, s.cfg.Now()
	u.mu.Lock()
	quiet := !u.logged.IsZero() && now.Sub(u.logged) < unreadableEvery
	if !quiet {
		u.logged = now
	}
	u.mu.Unlock()
	if !quiet {
		s.log.Error("signing secrets cannot be read: deliveries wait", "organisation", organisation, "error", err)
	}
}

// wait is how long a delivery is left alone that this batch could not prepare.
func (b *batch) wait(d *kinora.Delivery) time.Duration {
	from := b.senders[d.OrganisationID]
	if b.err != nil || from == nil {
		return unreadyWait
	}
	if x := from.endpoints[d.EndpointID]; isUnreadable(from.err) || x != nil && isUnreadable(x.err) {
		return unreadableWait
	}
	return unreadyWait
}
