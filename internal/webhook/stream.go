package webhook

import (
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	// streamPage is how many events of a stream are in memory at once.
	streamPage = 32
	// placeBatch is how many events get their position in one transaction.
	placeBatch = 500
	// lateness is how long a transaction may take from the creation of its event to its commit, clocks that differ
	// included. A stream "from now on" goes back so far, and passes over what is there already.
	lateness = 2 * time.Minute
	// streamDelivery stands where a delivery's id does: a stream has no deliveries.
	streamDelivery = "stream"
)

// Listen streams an organisation's events as they become visible, signed as a delivery made now would be. None is left
// out and none comes twice between one stream and the next that begins at its last place, on whichever node. It
// returns when ctx ends, when the sink has had enough, or when the database or the secrets cannot be read.
func (s *Dispatcher) Listen(ctx context.Context, organisation string, at kinora.StreamPlace, heartbeat time.Duration, sink kinora.StreamSink) error {
	bell, leave := s.listeners.join(organisation)
	defer leave()
	if at.IsZero() {
		var err error
		if at, err = s.streamEnd(ctx, organisation); err != nil {
			return err
		}
	}
	if err := sink.Begin(at); err != nil {
		return err
	}
	beat, poll := time.NewTicker(heartbeat), time.NewTicker(s.cfg.Poll)
	defer beat.Stop()
	defer poll.Stop()
	for {
		page, err := s.streamPage(ctx, organisation, at)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := sink.Event(e); err != nil {
				return err
			}
			at = e.Place
		}
		select {
		case <-beat.C:
			if err := sink.Idle(); err != nil {
				return err
			}
		default:
		}
		if len(page) == streamPage {
			continue // there may be more
		}
		if err := awaitNews(ctx, sink, bell, beat.C, poll.C); err != nil {
			return err
		}
	}
}

// awaitNews returns when there may be more to read, and shows meanwhile that the stream is
// alive.
func awaitNews(ctx context.Context, sink kinora.StreamSink, bell <-chan struct{}, beat, poll <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-bell:
			return nil
		case <-poll: // events of other nodes ring no bell here
			return nil
		case <-beat:
			if err := sink.Idle(); err != nil {
				return err
			}
		}
	}
}

// streamEnd returns the place behind everything that is there. What was created before the place's time gets no
// position for it, however much that is.
func (s *Dispatcher) streamEnd(ctx context.Context, organisation string) (kinora.StreamPlace, error) {
	at := kinora.StreamPlace{Since: s.cfg.Now().Add(-lateness).UTC().Truncate(time.Microsecond)}
	for more := true; more; {
		var err error
		if more, err = s.placeEvents(ctx, organisation, at.Since); err != nil {
			return at, err
		}
	}
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		at.Position, err = tx.LastPosition(organisation)
		return err
	})
	return at, err
}

// placeEvents gives some of the events created since then their position, the oldest first. more says that there were
// any.
func (s *Dispatcher) placeEvents(ctx context.Context, organisation string, since time.Time) (more bool, err error) {
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		more, err = tx.HasUnplacedEvents(organisation, since)
		return err
	})
	if err != nil || !more {
		return false, err
	}
	return true, s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.PlaceEvents(organisation, since, s.cfg.Now(), placeBatch)
		return err
	})
}

// streamPage reads the next events of a stream. Positions are given no faster than its reader takes events: whoever
// asks for a month of them does not keep the database from everything else.
func (s *Dispatcher) streamPage(ctx context.Context, organisation string, at kinora.StreamPlace) ([]kinora.Streamed, error) {
	var (
		placed   []store.PlacedEvent
		contents map[string]*store.EventContent
	)
	for {
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
			if placed, err = tx.EventsAfter(organisation, at.Position, at.Since, streamPage); err != nil || len(placed) == 0 {
				return err
			}
			ids := make([]string, len(placed))
			for i, p := range placed {
				ids[i] = p.ID
			}
			contents, err = tx.EventContents(ids)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(placed) == streamPage {
			break
		}
		more, err := s.placeEvents(ctx, organisation, at.Since)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if len(placed) == 0 {
		return nil, nil
	}
	secrets, err := s.cfg.Secrets.WebhookSecrets(ctx, organisation)
	if err != nil {
		return nil, err
	}
	page := make([]kinora.Streamed, 0, len(placed))
	for _, p := range placed {
		content := contents[p.ID]
		if content == nil {
			continue // its generation was removed in between
		}
		e, err := s.streamed(kinora.StreamPlace{Position: p.Position, Since: at.Since}, content, secrets)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	return page, nil
}

func (s *Dispatcher) streamed(place kinora.StreamPlace, content *store.EventContent, secrets []kinora.WebhookSecret) (kinora.Streamed, error) {
	body := []byte(content.Event.Body)
	if len(body) == 0 {
		var err error
		if body, err = Payload(content.Event, content.Generation, content.Outputs, s.cfg.FileURL).Encode(); err != nil {
			return kinora.Streamed{}, err
		}
	}
	header, err := signature{
		delivery: streamDelivery, event: content.Event.ID, eventType: content.Event.Type, attempt: 1,
		at: s.cfg.Now(), secrets: secrets, userAgent: s.courier.userAgent,
	}.headers(body)
	return kinora.Streamed{Place: place, Type: content.Event.Type, Header: header, Body: body}, err
}

// listeners are the streams of this node, by organisation, to be woken when an event of it was committed here.
type listeners struct {
	mu    sync.Mutex
	bells map[string]map[chan struct{}]struct{}
}

func (l *listeners) join(organisation string) (bell chan struct{}, leave func()) {
	bell = make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bells == nil {
		l.bells = map[string]map[chan struct{}]struct{}{}
	}
	if l.bells[organisation] == nil {
		l.bells[organisation] = map[chan struct{}]struct{}{}
	}
	l.bells[organisation][bell] = struct{}{}
	return bell, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if delete(l.bells[organisation], bell); len(l.bells[organisation]) == 0 {
			delete(l.bells, organisation)
		}
	}
}

func (l *listeners) wake(organisation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for bell := range l.bells[organisation] {
		ring(bell)
	}
}
