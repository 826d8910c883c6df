package webhook

import (
	"context"
	"net/http"
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
	// lateness is how much later than it was created an event may still become visible: a result that could not be
	// written while the database was away is written when it is back.
	lateness = 24 * time.Hour
	// streamDelivery stands where a delivery's id does: a stream has no deliveries.
	streamDelivery = "stream"
)

// StreamStart says where a stream begins. The zero value: with what comes from now on.
type StreamStart struct {
	After int64     // behind this position, which an earlier stream told; 0 = none
	Since time.Time // with the first event that was created then; zero = none. After goes first
}

// Streamed is an event as its delivery would be.
type Streamed struct {
	Position int64
	Type     kinora.EventType
	Header   http.Header
	Body     []byte
}

// StreamSink takes a stream. An error of its methods ends it.
type StreamSink struct {
	Begin func(position int64) error // once, before the first event: where the stream can be taken up again
	Event func(Streamed) error
	Idle  func() error // every Heartbeat, whether or not events come
}

// Listen streams an organisation's events as they become visible, signed as a delivery made now would be. None is left
// out and none comes twice between one stream and the next that begins behind its last position, on whichever node. It
// returns when ctx ends, when the sink has had enough, or when the database or the secrets cannot be read.
func (s *Dispatcher) Listen(ctx context.Context, organisation string, from StreamStart, heartbeat time.Duration, sink StreamSink) error {
	bell, leave := s.listeners.join()
	defer leave()
	after, err := s.streamStart(ctx, organisation, from)
	if err != nil {
		return err
	}
	if err := sink.Begin(after); err != nil {
		return err
	}
	if from.After > 0 {
		from.Since = time.Time{}
	}
	beat, poll := time.NewTicker(heartbeat), time.NewTicker(s.cfg.Poll)
	defer beat.Stop()
	defer poll.Stop()
	for {
		page, err := s.streamPage(ctx, organisation, after, from)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := sink.Event(e); err != nil {
				return err
			}
			after = e.Position
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
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			if err := sink.Idle(); err != nil {
				return err
			}
		case <-bell:
		case <-poll.C: // events of other nodes ring no bell here
		}
	}
}

// streamStart returns the position behind which a stream begins.
func (s *Dispatcher) streamStart(ctx context.Context, organisation string, from StreamStart) (int64, error) {
	switch {
	case from.After > 0:
		return from.After, nil
	case !from.Since.IsZero():
		return 0, nil
	}
	// What is there already is before now.
	if err := s.placeEvents(ctx, organisation, s.cfg.Now().Add(-lateness)); err != nil {
		return 0, err
	}
	var last int64
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		last, err = tx.LastPosition(organisation)
		return err
	})
	return max(last, 1), err // 0 would mean: from the beginning
}

// placeEvents gives every event created since floor its position.
func (s *Dispatcher) placeEvents(ctx context.Context, organisation string, floor time.Time) error {
	for {
		some := false
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
			some, err = tx.HasUnplacedEvents(organisation, floor)
			return err
		})
		if err != nil || !some {
			return err
		}
		err = s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.PlaceEvents(organisation, floor, s.cfg.Now(), placeBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// streamPage reads the next events behind a position.
func (s *Dispatcher) streamPage(ctx context.Context, organisation string, after int64, from StreamStart) ([]Streamed, error) {
	// A position is about the time at which it was given: whatever had none then is not much older.
	floor := store.Time(after).Add(-lateness)
	if after <= 1 {
		floor = s.cfg.Now().Add(-lateness)
	}
	if !from.Since.IsZero() && from.Since.Before(floor) {
		floor = from.Since
	}
	if err := s.placeEvents(ctx, organisation, floor); err != nil {
		return nil, err
	}
	var (
		placed   []store.PlacedEvent
		contents map[string]*store.EventContent
	)
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		if placed, err = tx.EventsAfter(organisation, after, from.Since, streamPage); err != nil || len(placed) == 0 {
			return err
		}
		ids := make([]string, len(placed))
		for i, p := range placed {
			ids[i] = p.ID
		}
		contents, err = tx.EventContents(ids)
		return err
	})
	if err != nil || len(placed) == 0 {
		return nil, err
	}
	secrets, err := s.cfg.Secrets.WebhookSecrets(ctx, organisation)
	if err != nil {
		return nil, err
	}
	page := make([]Streamed, 0, len(placed))
	for _, p := range placed {
		content := contents[p.ID]
		if content == nil {
			continue // its generation was removed in between
		}
		e, err := s.streamed(p.Position, content, secrets)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	return page, nil
}

func (s *Dispatcher) streamed(position int64, content *store.EventContent, secrets []kinora.WebhookSecret) (Streamed, error) {
	body := []byte(content.Event.Body)
	if len(body) == 0 {
		var err error
		if body, err = Payload(content.Event, content.Generation, content.Outputs, s.cfg.FileURL).Encode(); err != nil {
			return Streamed{}, err
		}
	}
	header, err := signature{
		delivery: streamDelivery, event: content.Event.ID, eventType: content.Event.Type, attempt: 1,
		at: s.cfg.Now(), secrets: secrets, userAgent: s.courier.userAgent,
	}.headers(body)
	return Streamed{Position: position, Type: content.Event.Type, Header: header, Body: body}, err
}

// listeners are the streams of this node, to be woken when something was committed here.
type listeners struct {
	mu    sync.Mutex
	bells map[chan struct{}]struct{}
}

func (l *listeners) join() (bell chan struct{}, leave func()) {
	bell = make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bells == nil {
		l.bells = map[chan struct{}]struct{}{}
	}
	l.bells[bell] = struct{}{}
	return bell, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.bells, bell)
	}
}

func (l *listeners) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for bell := range l.bells {
		ring(bell)
	}
}
