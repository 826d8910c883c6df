package webhook

import (
	"context"
	"errors"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

func deliveryFilter(s kinora.DeliverySearch) (store.DeliveryFilter, error) {
	f := store.DeliveryFilter{Organisation: s.Organisation, Generation: s.Generation, Endpoint: s.Endpoint, EventType: s.EventType, State: s.State, Status: s.Status}
	if s.Organisation == "" && s.Destination+s.Endpoint != "" {
		return f, kinora.FieldErrorf(kinora.ErrInvalid, "destination", "destination and endpoint_id need organisation_id: each organisation has its own")
	}
	if err := checkFilters(s.EventType, s.Destination, s.Since, s.Until); err != nil {
		return f, err
	}
	if s.Destination != "" {
		f.Destination = Destination(s.Organisation, s.Destination)
	}
	if !s.Since.IsZero() {
		f.From = id.Least(id.Delivery, s.Since)
	}
	if !s.Until.IsZero() {
		f.To = id.Least(id.Delivery, s.Until)
	}
	return f, nil
}

// checkFilters refuses what no delivery can match: whoever asks for it has mistyped, and would take
// the empty answer for good news.
func checkFilters(eventType kinora.EventType, destination string, since, until time.Time) error {
	switch eventType {
	case "", kinora.EventCompleted, kinora.EventFailed, kinora.EventEndpointDisabled:
	default:
		return kinora.FieldErrorf(kinora.ErrInvalid, "event_type", "event_type must be %s, %s or %s", kinora.EventCompleted, kinora.EventFailed, kinora.EventEndpointDisabled)
	}
	if destination != "" {
		u, err := url.Parse(destination)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !utf8.ValidString(u.Host) {
			return kinora.FieldErrorf(kinora.ErrInvalid, "destination", "destination must be a URL with http:// or https:// and a host")
		}
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return kinora.FieldErrorf(kinora.ErrInvalid, "since", "since must lie before until")
	}
	return nil
}

// searchReach is how many deliveries one page of a search looks at: some ten milliseconds.
const searchReach = 10_000

// Search reads a page of deliveries, newest first: at most limit of them, from the one behind
// before on ("" = from the newest). next goes on from there; "" = that was all. A page may be
// short and have a next one all the same, because one page looks at a bounded number of
// deliveries. Errors: ErrInvalid, ErrUnavailable.
func (s *Dispatcher) Search(ctx context.Context, q kinora.DeliverySearch, before string, limit int) (page []*kinora.Delivery, next string, err error) {
	f, err := deliveryFilter(q)
	if err != nil {
		return nil, "", err
	}
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		page, next, err = tx.SearchDeliveries(f, store.SearchPage{Before: before, Limit: limit, Reach: searchReach})
		return err
	})
	return page, next, err
}

// Deliveries reads an organisation's deliveries by their ids; those that there are not, and foreign ones, are left out. Errors:
// ErrUnavailable.
func (s *Dispatcher) Deliveries(ctx context.Context, organisation string, ids []string) (found map[string]*kinora.Delivery, err error) {
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.DeliveriesByID(organisation, ids)
		return err
	})
	return found, err
}

// Log reads a delivery with its newest hundred attempts, oldest first, and what each of them
// sent. An empty organisation means any. Errors: ErrNotFound, also for another organisation's
// delivery; ErrUnavailable.
func (s *Dispatcher) Log(ctx context.Context, organisation, deliveryID string) (d *kinora.Delivery, log []kinora.LoggedAttempt, err error) {
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		if d, err = tx.Delivery(organisation, deliveryID); err != nil {
			return err
		}
		log, err = s.logged(tx, d)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, kinora.Errorf(kinora.ErrNotFound, "there is no delivery %s", deliveryID)
	}
	return d, log, err
}

// Version tells which version of a delivery there is, by which whoever has read it sees that it has changed. Errors as of Log.
func (s *Dispatcher) Version(ctx context.Context, organisation, deliveryID string) (version int64, err error) {
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		version, err = tx.DeliveryVersion(organisation, deliveryID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return 0, kinora.Errorf(kinora.ErrNotFound, "there is no delivery %s", deliveryID)
	}
	return version, err
}

func (s *Dispatcher) logged(tx *store.Tx, d *kinora.Delivery) ([]kinora.LoggedAttempt, error) {
	attempts, err := tx.DeliveryAttempts(d.ID)
	if err != nil {
		return nil, err
	}
	log := make([]kinora.LoggedAttempt, len(attempts))
	for i := range attempts {
		a := &attempts[i]
		content, err := tx.EventContentAt(d.EventID, a.StartedAt)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		body, err := SentBody(content, a, s.cfg.FileURL)
		if err != nil {
			return nil, err
		}
		log[i] = kinora.LoggedAttempt{DeliveryAttempt: *a, RequestHeaders: SentHeaders(d, a), RequestBody: body}
	}
	return log, nil
}
