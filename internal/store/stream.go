package store

import (
	"time"

	"github.com/kinora/kinora"
)

// An organisation's events are read in the order in which they became visible, so that a reader who remembers how far
// it got misses none. Neither ids nor times give that order: a transaction that took its time may commit an older event
// after a newer one was read. So the reader gives each event its position itself, when it first sees it, one reader at
// a time. Whoever writes an event does nothing for it, and events that nobody listens for never get one.
//
// endpoint.disabled is never placed: it is for the operator hook, and streams are for whoever has an API key.

// PlacedEvent is an event and its position.
type PlacedEvent struct {
	Position int64 // grows with each event of an organisation; about the microseconds at which it was placed
	ID       string
}

// HasUnplacedEvents tells whether an organisation has events created since floor that have no position yet.
func (tx *Tx) HasUnplacedEvents(organisation string, floor time.Time) (bool, error) {
	found := false
	err := tx.Query(`SELECT 1 FROM events WHERE organisation_id = ? AND position = 0 AND type <> ? AND created_at >= ? LIMIT 1`,
		[]any{organisation, string(kinora.EventEndpointDisabled), Micros(floor)}, func(row Row) error {
			found = true
			var one int
			return row.Scan(&one)
		})
	return found, err
}

// PlaceEvents gives positions to at most limit events of an organisation created since floor, the oldest first, and
// returns how many it gave. All of them come behind every position given before, also when those events have been
// removed since.
func (tx *Tx) PlaceEvents(organisation string, floor, now time.Time, limit int) (int, error) {
	// One at a time, on all nodes: whoever waits here then sees what the one before has placed.
	var one int
	if err := tx.QueryRow(`SELECT 1 FROM organisations WHERE id = ? {for update}`, organisation).Scan(&one); err != nil {
		return 0, err
	}
	last, err := tx.LastPosition(organisation)
	if err != nil {
		return 0, err
	}
	next := max(last+1, Micros(now))
	var sets [][]any
	err = tx.Query(`SELECT id FROM events WHERE organisation_id = ? AND position = 0 AND type <> ? AND created_at >= ? ORDER BY created_at, id LIMIT ?`,
		[]any{organisation, string(kinora.EventEndpointDisabled), Micros(floor), limit}, func(row Row) error {
			var id string
			err := row.Scan(&id)
			sets = append(sets, []any{next + int64(len(sets)), id})
			return err
		})
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecMany(`UPDATE events SET position = ? WHERE id = ?`, sets)
	return len(sets), err
}

// LastPosition is the highest position of an organisation's events; 0 when none has one.
func (tx *Tx) LastPosition(organisation string) (int64, error) {
	var last int64
	err := tx.QueryRow(`SELECT coalesce(max(position), 0) FROM events WHERE organisation_id = ?`, organisation).Scan(&last)
	return last, err
}

// EventsAfter reads at most limit placed events of an organisation behind a position, created since an instant (zero =
// any), in order.
func (tx *Tx) EventsAfter(organisation string, position int64, since time.Time, limit int) ([]PlacedEvent, error) {
	var list []PlacedEvent
	err := tx.Query(`SELECT position, id FROM events WHERE organisation_id = ? AND position > ? AND created_at >= ? ORDER BY position LIMIT ?`,
		[]any{organisation, max(position, 0), Micros(since), limit}, func(row Row) error {
			var e PlacedEvent
			err := row.Scan(&e.Position, &e.ID)
			list = append(list, e)
			return err
		})
	return list, err
}
