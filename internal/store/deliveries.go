package store

import (
	"database/sql"
	"time"

	"github.com/kinora/kinora"
)

// InsertEvent writes an event. A second one for the same generation is a violation and fails.
func (tx *Tx) InsertEvent(e *kinora.Event) error {
	generation := sql.NullString{String: e.GenerationID, Valid: e.GenerationID != ""}
	_, err := tx.Exec(`INSERT INTO events (id, organisation_id, generation_id, type, body, created_at) VALUES (?,?,?,?,?,?)`,
		e.ID, e.OrganisationID, generation, string(e.Type), e.Body, Micros(e.CreatedAt))
	return err
}

// Event reads an event, or ErrNotFound.
func (tx *Tx) Event(id string) (*kinora.Event, error) {
	var (
		e       kinora.Event
		typ     string
		created int64
	)
	err := tx.QueryRow(`SELECT id, organisation_id, coalesce(generation_id, ''), type, body, created_at FROM events WHERE id = ?`, id).
		Scan(&e.ID, &e.OrganisationID, &e.GenerationID, &typ, &e.Body, &created)
	if err != nil {
		return nil, err
	}
	e.Type, e.CreatedAt = kinora.EventType(typ), Time(created)
	return &e, nil
}

const deliveryColumns = `id, event_id, event_type, organisation_id, generation_id, endpoint_id, url, destination, state, attempts, schedule_from, due_at,
	lease_owner, version, last_status, last_error, created_at, finished_at`

// claimedColumns are deliveryColumns and the rate limit of the endpoint. There is none for what
// nobody will be asked to take, because its endpoint is disabled or gone.
const claimedColumns = deliveryColumns + `, CASE WHEN endpoint_id = '' THEN 0
	ELSE coalesce((SELECT e.rate FROM endpoints e WHERE e.id = deliveries.endpoint_id AND e.disabled_at = 0), 0) END`

func scanDelivery(row Row, more ...any) (*kinora.Delivery, error) {
	var (
		d                      kinora.Delivery
		event, state           string
		due, created, finished int64
	)
	err := row.Scan(append([]any{&d.ID, &d.EventID, &event, &d.OrganisationID, &d.GenerationID, &d.EndpointID, &d.URL, &d.Destination, &state, &d.Attempts,
		&d.ScheduleFrom, &due, &d.LeaseOwner, &d.Version, &d.LastStatus, &d.LastError, &created, &finished}, more...)...)
	if err != nil {
		return nil, err
	}
	d.EventType, d.State = kinora.EventType(event), kinora.DeliveryState(state)
	d.DueAt, d.CreatedAt, d.FinishedAt = Time(due), Time(created), Time(finished)
	return &d, nil
}

func (tx *Tx) deliveries(query string, args ...any) ([]*kinora.Delivery, error) {
	var list []*kinora.Delivery
	err := tx.Query(query, args, func(row Row) error {
		d, err := scanDelivery(row)
		if err == nil {
			list = append(list, d)
		}
		return err
	})
	return list, err
}

func (tx *Tx) claimed(query string, args ...any) ([]*kinora.Delivery, error) {
	var list []*kinora.Delivery
	err := tx.Query(query, args, func(row Row) error {
		var rate int
		d, err := scanDelivery(row, &rate)
		if err == nil {
			d.Rate = rate
			list = append(list, d)
		}
		return err
	})
	return list, err
}

// InsertDeliveries writes new deliveries in the states that they have, in one round trip.
func (tx *Tx) InsertDeliveries(list []*kinora.Delivery) error {
	sets := make([][]any, len(list))
	for i, d := range list {
		sets[i] = []any{d.ID, d.EventID, string(d.EventType), d.OrganisationID, d.GenerationID, d.EndpointID, d.URL, d.Destination, string(d.State),
			Micros(d.DueAt), d.LastError, Micros(d.CreatedAt), Micros(d.FinishedAt)}
	}
	return tx.insertMany("deliveries", []string{"id", "event_id", "event_type", "organisation_id", "generation_id", "endpoint_id", "url", "destination", "state",
		"due_at", "last_error", "created_at", "finished_at"}, false, sets)
}

// Delivery reads one delivery, or ErrNotFound. An empty organisation reads any.
func (tx *Tx) Delivery(organisation, id string) (*kinora.Delivery, error) {
	return scanDelivery(tx.QueryRow(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ? AND (? = '' OR organisation_id = ?)`,
		id, organisation, organisation))
}

// DeliveryVersion reads a delivery's version alone, or ErrNotFound.
func (tx *Tx) DeliveryVersion(organisation, id string) (version int64, err error) {
	err = tx.QueryRow(`SELECT version FROM deliveries WHERE id = ? AND (? = '' OR organisation_id = ?)`, id, organisation, organisation).Scan(&version)
	return version, err
}

// DeliveriesByID reads an organisation's deliveries by their ids; those that are not there are left out.
func (tx *Tx) DeliveriesByID(organisation string, ids []string) (map[string]*kinora.Delivery, error) {
	found := make(map[string]*kinora.Delivery, len(ids))
	err := tx.queryEach(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ?`, ids, func(row Row) error {
		d, err := scanDelivery(row)
		if err == nil && d.OrganisationID == organisation {
			found[d.ID] = d
		}
		return err
	})
	return found, err
}

// DeliveriesOf reads the deliveries of a generation's event.
func (tx *Tx) DeliveriesOf(generationID string) ([]*kinora.Delivery, error) {
	return tx.deliveries(`SELECT `+deliveryColumns+` FROM deliveries WHERE event_id IN
		(SELECT id FROM events WHERE generation_id = ?) ORDER BY created_at`, generationID)
}

// ClaimDeliveries leases due deliveries to a node, most overdue first: first attempts, or retries.
func (tx *Tx) ClaimDeliveries(retries bool, node string, now time.Time, limit int) ([]*kinora.Delivery, error) {
	return tx.claimed(`UPDATE deliveries SET due_at = 0, lease_owner = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE retry = ? AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ? {skip locked})
		RETURNING `+claimedColumns, node, bit(retries), Micros(now), limit)
}

// ClaimHeld leases deliveries that are held for a destination, oldest first.
func (tx *Tx) ClaimHeld(destination, node string, limit int) ([]*kinora.Delivery, error) {
	return tx.claimed(`UPDATE deliveries SET state = 'pending', lease_owner = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE destination = ? AND state = 'held' ORDER BY created_at LIMIT ? {skip locked})
		RETURNING `+claimedColumns, node, destination, limit)
}

// HoldDue holds due deliveries of a destination, most overdue first, that nobody has
// leased: first attempts, or retries. It returns how many. Where a destination has room for
// few of many, this costs a third of claiming them and writing them back.
func (tx *Tx) HoldDue(destination string, retries bool, now time.Time, limit int) (int, error) {
	// The plus keeps SQLite from the index that begins with retry: it would read through
	// everybody's due deliveries.
	n, err := tx.Exec(`UPDATE deliveries SET state = 'held', due_at = 0, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE destination = ? AND +retry = ? AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ? {skip locked})`,
		destination, bit(retries), Micros(now), limit)
	return int(n), err
}

// HeldDestinations lists destinations that have held deliveries, in order, from the first
// behind after and at most limit of them. It skips through the index: its cost depends on
// their number, not on the number of deliveries.
func (tx *Tx) HeldDestinations(after string, limit int) ([]string, error) {
	var list []string
	err := tx.Query(`WITH RECURSIVE held(destination) AS (
			SELECT min(destination) FROM deliveries WHERE state = 'held' AND destination > ?
			UNION ALL
			SELECT (SELECT min(d.destination) FROM deliveries d WHERE d.state = 'held' AND d.destination > held.destination)
			FROM held WHERE held.destination IS NOT NULL)
		SELECT destination FROM held WHERE destination IS NOT NULL LIMIT ?`, []any{after, limit}, func(row Row) error {
		var s string
		err := row.Scan(&s)
		list = append(list, s)
		return err
	})
	return list, err
}

// NextDeliveryDue returns when the next first attempt, or retry, falls due; zero = none waits.
func (tx *Tx) NextDeliveryDue(retries bool) (time.Time, error) {
	var due int64
	err := tx.QueryRow(`SELECT coalesce(min(due_at), 0) FROM deliveries WHERE retry = ? AND due_at > 0`, bit(retries)).Scan(&due)
	return Time(due), err
}

// DeliveryResult is the outcome of one leased delivery: the fields of Delivery that it
// changes and, when a POST was made, its log.
type DeliveryResult struct {
	Delivery *kinora.Delivery // with State, Attempts, DueAt, LastStatus, LastError, FinishedAt as they are to be
	Attempt  *kinora.DeliveryAttempt
}

// SaveDeliveries ends leases: each row must still have its lease's version, else it is
// returned as stale and nothing of it is written. The row's version grows by one; the one
// in memory does not, because the transaction may still fail and be run again.
func (tx *Tx) SaveDeliveries(results []DeliveryResult) (stale []*kinora.Delivery, err error) {
	sets := make([][]any, len(results))
	for i, r := range results {
		d := r.Delivery
		sets[i] = []any{string(d.State), bit(d.Attempts > 0), d.Attempts, d.ScheduleFrom, Micros(d.DueAt), d.LastStatus, d.LastError, Micros(d.FinishedAt), d.ID, d.Version}
	}
	changed, err := tx.updateMany("deliveries", []string{"state", "retry", "attempts", "schedule_from", "due_at", "last_status", "last_error", "finished_at"},
		"lease_owner = '', version = version + 1", []string{"id", "version"}, sets)
	if err != nil {
		return nil, err
	}
	var log []*kinora.DeliveryAttempt
	for i, r := range results {
		if changed[i] == 0 {
			stale = append(stale, r.Delivery)
			continue
		}
		if r.Attempt != nil {
			log = append(log, r.Attempt)
		}
	}
	return stale, tx.insertDeliveryAttempts(log)
}

// LeasedDeliveries reads everything that a node has leased.
func (tx *Tx) LeasedDeliveries(node string) ([]*kinora.Delivery, error) {
	return tx.deliveries(`SELECT `+deliveryColumns+` FROM deliveries WHERE lease_owner = ? AND lease_owner <> ''`, node)
}

// DeliveryCounts tells how many deliveries wait for their time, are held, and are dead,
// each counted up to limit and no further, so that a large backlog is not read for a gauge.
func (tx *Tx) DeliveryCounts(limit int) (pending, held, dead int, err error) {
	err = tx.QueryRow(`SELECT
		(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE due_at > 0 LIMIT ?) AS p),
		(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'held' LIMIT ?) AS h),
		(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'dead' LIMIT ?) AS d)`, limit, limit, limit).
		Scan(&pending, &held, &dead)
	return pending, held, dead, err
}

// ReleaseDeliveries makes deliveries leased by owner due at once; an empty owner means
// everybody's leases. An attempt that was under way may be made again.
func (tx *Tx) ReleaseDeliveries(owner string, now time.Time) (int64, error) {
	return tx.Exec(`UPDATE deliveries SET due_at = ?, lease_owner = '', version = version + 1
		WHERE lease_owner <> '' AND (? = '' OR lease_owner = ?)`, Micros(now), owner, owner)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TrimDeliveries removes delivered deliveries that ended before an instant, with their
// log, at most limit of them. Dead ones stay: they can be revived.
func (tx *Tx) TrimDeliveries(before time.Time, limit int) (int64, error) {
	var ids []string
	err := tx.Query(`SELECT id FROM deliveries WHERE state = 'delivered' AND finished_at > 0 AND finished_at <= ? ORDER BY finished_at LIMIT ?`,
		[]any{Micros(before), limit}, func(row Row) error {
			var s string
			err := row.Scan(&s)
			ids = append(ids, s)
			return err
		})
	if err != nil {
		return 0, err
	}
	sets := make([][]any, len(ids))
	for i, s := range ids {
		sets[i] = []any{s}
	}
	if _, err := tx.ExecMany(`DELETE FROM delivery_attempts WHERE delivery_id = ?`, sets); err != nil {
		return 0, err
	}
	_, err = tx.ExecMany(`DELETE FROM deliveries WHERE id = ?`, sets)
	return int64(len(ids)), err
}
