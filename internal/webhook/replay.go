package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// Bounds of replays.
const (
	// maxRunningReplays is how many replays of one organisation may be unfinished.
	maxRunningReplays = 10
	// maxReplayList is how many replays are listed: the newest.
	maxReplayList = 100
)

// StartReplay begins a replay. It is durable when StartReplay returns, and goes on whatever
// happens to this node. Errors: ErrNotFound, the organisation or the endpoint; ErrInvalid; ErrConflict when the
// organisation has too many unfinished ones; ErrUnavailable.
func (s *Dispatcher) StartReplay(ctx context.Context, q kinora.ReplayRequest) (*kinora.Replay, error) {
	r, err := s.newReplay(q)
	if err != nil {
		return nil, err
	}
	err = s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Organisation(q.Organisation); err != nil {
			return err
		}
		if err := replayEndpoint(tx, q); err != nil {
			return err
		}
		running, err := tx.RunningReplays(q.Organisation, maxRunningReplays)
		if err != nil {
			return err
		}
		if len(running) == maxRunningReplays {
			return &kinora.Error{Code: kinora.ErrConflict, Message: "the organisation has ten replays that have not ended", Hint: "wait for one of them, or cancel it"}
		}
		if err := tx.InsertReplay(r); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditReplayStart, r.OrganisationID, r.ID, map[string]any{"endpoint": q.Endpoint, "url": kinora.AuditURL(q.Destination),
			"event_type": q.EventType, "since": q.Since.UTC(), "until": q.Until.UTC(), "delivered": q.Delivered, "rate": r.Rate})
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, kinora.Errorf(kinora.ErrNotFound, "organisation not found")
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("replay begins", "replay", r.ID, "organisation", r.OrganisationID, "rate", r.Rate)
	ring(s.replays.bell)
	return r, nil
}

// replayEndpoint refuses an endpoint that the organisation does not have. The default callback URL's
// need not have been made.
func replayEndpoint(tx *store.Tx, q kinora.ReplayRequest) error {
	if q.Endpoint == "" || q.Endpoint == kinora.DefaultEndpointID(q.Organisation) {
		return nil
	}
	_, err := tx.Endpoint(q.Organisation, q.Endpoint)
	if errors.Is(err, store.ErrNotFound) {
		return kinora.FieldErrorf(kinora.ErrNotFound, "endpoint_id", "endpoint not found")
	}
	return err
}

func (s *Dispatcher) newReplay(q kinora.ReplayRequest) (*kinora.Replay, error) {
	if q.Rate == 0 {
		q.Rate = kinora.DefaultReplayRate
	}
	now := s.cfg.Now()
	switch {
	case q.Rate < 1 || q.Rate > kinora.MaxReplayRate:
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "rate", "rate must be from 1 to %d deliveries a second", kinora.MaxReplayRate)
	case !q.Since.IsZero() && q.Since.After(now):
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "since", "since lies in the future")
	}
	if err := checkFilters(q.EventType, q.Destination, q.Since, q.Until); err != nil {
		return nil, err
	}
	f := kinora.ReplayFilter{EndpointID: q.Endpoint, EventType: q.EventType, Since: q.Since.UTC(), Until: q.Until.UTC(), Delivered: q.Delivered}
	if q.Destination != "" {
		f.Destination = Destination(q.Organisation, q.Destination)
	}
	r := &kinora.Replay{ID: id.New(id.Replay, now), OrganisationID: q.Organisation, Filter: f, Rate: q.Rate, State: kinora.ReplayRunning,
		Position: id.Least(id.Delivery, q.Since), End: id.Least(id.Delivery, now.Add(time.Millisecond)), Total: -1, CreatedAt: now, UpdatedAt: now}
	if !q.Until.IsZero() {
		r.End = min(r.End, id.Least(id.Delivery, q.Until))
	}
	return r, nil
}

// Replay reads a replay and how it comes along. An empty organisation means any. Errors:
// ErrNotFound, also for another organisation's; ErrUnavailable.
func (s *Dispatcher) Replay(ctx context.Context, organisation, replayID string) (*kinora.ReplayProgress, error) {
	p := &kinora.ReplayProgress{}
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		if p.Replay, err = tx.Replay(organisation, replayID); err != nil {
			return err
		}
		p.Outcomes, err = tx.ReplayOutcomes(replayID)
		return err
	})
	if err != nil {
		return nil, replayError(replayID, err)
	}
	return p, nil
}

// Replays lists the newest hundred replays of an organisation, or of all when it is empty.
func (s *Dispatcher) Replays(ctx context.Context, organisation string) ([]*kinora.Replay, error) {
	var list []*kinora.Replay
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Replays(organisation, maxReplayList)
		return err
	})
	return list, err
}

// CancelReplay ends a replay. What it has revived goes on. Errors: ErrNotFound, also for
// another organisation's; ErrConflict when it has ended; ErrUnavailable.
func (s *Dispatcher) CancelReplay(ctx context.Context, organisation, replayID string) (*kinora.Replay, error) {
	var r *kinora.Replay
	cancel := func(tx *store.Tx) (err error) {
		if r, err = tx.Replay(organisation, replayID); err != nil {
			return err
		}
		if r.State != kinora.ReplayRunning {
			return kinora.Errorf(kinora.ErrConflict, "the replay has ended already: it is %s", r.State)
		}
		now := s.cfg.Now()
		r.State, r.LeaseOwner, r.UpdatedAt, r.FinishedAt = kinora.ReplayCancelled, "", now, now
		if err := tx.SaveReplay(r); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditReplayCancel, r.OrganisationID, r.ID, nil)
	}
	err := store.ErrStale
	// Whoever works on it writes several times a second, and may come between look and write.
	for try := 0; errors.Is(err, store.ErrStale) && try < 20; try++ {
		err = s.cfg.DB.Update(ctx, cancel)
	}
	if err != nil {
		return nil, replayError(replayID, err)
	}
	return r, nil
}

func replayError(replayID string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return kinora.Errorf(kinora.ErrNotFound, "there is no replay %s", replayID)
	case errors.Is(err, store.ErrStale):
		return kinora.Errorf(kinora.ErrConflict, "replay %s is being changed by somebody else", replayID)
	}
	return err
}
