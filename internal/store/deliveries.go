package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

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

const deliveryColumns = `id, event_id, organisation_id, generation_id, endpoint_id, url, destination, state, attempts, due_at, lease_owner,
	version, last_status, last_error, created_at, finished_at`

func scanDelivery(row Row) (*kinora.Delivery, error) {
	var (
		d                      kinora.Delivery
		state                  string
		due, created, finished int64
	)
	err := row.Scan(&d.ID, &d.EventID, &d.OrganisationID, &d.GenerationID, &d.EndpointID, &d.URL, &d.Destination, &state, &d.Attempts, &due, &d.LeaseOwner,
		&d.Version, &d.LastStatus, &d.LastError, &created, &finished)
	if err != nil {
		return nil, err
	}
	d.State, d.DueAt, d.CreatedAt, d.FinishedAt = kinora.DeliveryState(state), Time(due), Time(created), Time(finished)
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

// InsertDeliveries writes new deliveries in the states that they have, in one round trip.
func (tx *Tx) InsertDeliveries(list []*kinora.Delivery) error {
	sets := make([][]any, len(list))
	for i, d := range list {
		sets[i] = []any{d.ID, d.EventID, d.OrganisationID, d.GenerationID, d.EndpointID, d.URL, d.Destination, string(d.State),
			Micros(d.DueAt), d.LastError, Micros(d.CreatedAt), Micros(d.FinishedAt)}
	}
	_, err := tx.ExecMany(`INSERT INTO deliveries (id, event_id, organisation_id, generation_id, endpoint_id, url, destination, state,
		due_at, last_error, created_at, finished_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, sets)
	return err
}

// Delivery reads one delivery, or ErrNotFound. An empty organisation reads any.
func (tx *Tx) Delivery(organisation, id string) (*kinora.Delivery, error) {
	return scanDelivery(tx.QueryRow(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = ? AND (? = '' OR organisation_id = ?)`,
		id, organisation, organisation))
}

// DeliveriesOf reads the deliveries of a generation's event.
func (tx *Tx) DeliveriesOf(generationID string) ([]*kinora.Delivery, error) {
	return tx.deliveries(`SELECT `+deliveryColumns+` FROM deliveries WHERE event_id IN
		(SELECT id FROM events WHERE generation_id = ?) ORDER BY created_at`, generationID)
}

// ClaimDeliveries leases due deliveries to a node, most overdue first: first attempts, or retries.
func (tx *Tx) ClaimDeliveries(retries bool, node string, now time.Time, limit int) ([]*kinora.Delivery, error) {
	return tx.deliveries(`UPDATE deliveries SET due_at = 0, lease_owner = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE retry = ? AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ? {skip locked})
		RETURNING `+deliveryColumns, node, bit(retries), Micros(now), limit)
}

// ClaimHeld leases deliveries that are held for a destination, oldest first.
func (tx *Tx) ClaimHeld(destination, node string, limit int) ([]*kinora.Delivery, error) {
	return tx.deliveries(`UPDATE deliveries SET state = 'pending', lease_owner = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE destination = ? AND state = 'held' ORDER BY created_at LIMIT ? {skip locked})
		RETURNING `+deliveryColumns, node, destination, limit)
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
		sets[i] = []any{string(d.State), bit(d.Attempts > 0), d.Attempts, Micros(d.DueAt), d.LastStatus, d.LastError, Micros(d.FinishedAt), d.ID, d.Version}
	}
	changed, err := tx.ExecMany(`UPDATE deliveries SET state = ?, retry = ?, attempts = ?, due_at = ?, last_status = ?, last_error = ?, finished_at = ?,
		lease_owner = '', version = version + 1 WHERE id = ? AND version = ?`, sets)
	if err != nil {
		return nil, err
	}
	var log [][]any
	for i, r := range results {
		if changed[i] == 0 {
			stale = append(stale, r.Delivery)
			continue
		}
		if a := r.Attempt; a != nil {
			log = append(log, []any{a.DeliveryID, a.Number, Micros(a.StartedAt), a.Duration.Microseconds(), a.Status, string(a.Fault), a.Error, a.Address,
				a.DNS.Microseconds(), a.Connect.Microseconds(), a.TLS.Microseconds(), a.FirstByte.Microseconds(), a.Response, Micros(a.NextAt)})
		}
	}
	_, err = tx.ExecMany(`INSERT INTO delivery_attempts (delivery_id, number, started_at, duration_us, status, fault, error, address,
		dns_us, connect_us, tls_us, first_byte_us, response, next_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (delivery_id, number) DO NOTHING`, log)
	return stale, err
}

// DeliveryAttempts reads the log of a delivery, oldest first.
func (tx *Tx) DeliveryAttempts(deliveryID string) ([]kinora.DeliveryAttempt, error) {
	var list []kinora.DeliveryAttempt
	err := tx.Query(`SELECT delivery_id, number, started_at, duration_us, status, fault, error, address, dns_us, connect_us, tls_us,
		first_byte_us, response, next_at FROM delivery_attempts WHERE delivery_id = ? ORDER BY number`, []any{deliveryID}, func(row Row) error {
		var (
			a                                                     kinora.DeliveryAttempt
			fault                                                 string
			started, duration, dns, connect, tls, firstByte, next int64
		)
		if err := row.Scan(&a.DeliveryID, &a.Number, &started, &duration, &a.Status, &fault, &a.Error, &a.Address, &dns, &connect, &tls,
			&firstByte, &a.Response, &next); err != nil {
			return err
		}
		a.StartedAt, a.NextAt, a.Fault = Time(started), Time(next), kinora.Fault(fault)
		for _, f := range []struct {
			to *time.Duration
			us int64
		}{{&a.Duration, duration}, {&a.DNS, dns}, {&a.Connect, connect}, {&a.TLS, tls}, {&a.FirstByte, firstByte}} {
			*f.to = time.Duration(f.us) * time.Microsecond
		}
		list = append(list, a)
		return nil
	})
	return list, err
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

// EventContent is what the body of an event's deliveries is made of.
type EventContent struct {
	Event      *kinora.Event
	Generation *kinora.Generation // without its Input; nil where the event is not about one
	Outputs    []kinora.Output    // those whose files are still kept, in order
}

// EventContents reads events with their generations and outputs, by the events' ids. An
// event that is not there, or whose generation is not, is left out.
//
// It looks each one up by its key. An IN list would save a little work, but PostgreSQL may
// plan it, while a table is new and not yet analysed, as a scan of everything.
func (tx *Tx) EventContents(eventIDs []string) (map[string]*EventContent, error) {
	contents := make(map[string]*EventContent, len(eventIDs))
	eventIDs = slices.Compact(slices.Sorted(slices.Values(eventIDs))) // each output once
	err := tx.queryEach(`SELECT e.id, e.organisation_id, e.type, e.body, e.created_at, coalesce(g.id, ''), coalesce(g.surface, ''), coalesce(g.model, ''),
			coalesce(g.kind, ''), coalesce(g.state, ''), g.reference, g.metadata, coalesce(g.failure_code, ''), coalesce(g.failure_message, ''),
			coalesce(g.created_at, 0), coalesce(g.completed_at, 0),
			coalesce(o.id, ''), coalesce(o.ordinal, 0), coalesce(o.blob_key, ''), coalesce(o.kind, ''), coalesce(o.content_type, ''),
			coalesce(o.bytes, 0), coalesce(o.sha256, ''), coalesce(o.width, 0), coalesce(o.height, 0), coalesce(o.duration_us, 0), coalesce(o.created_at, 0)
		FROM events e LEFT JOIN generations g ON g.id = e.generation_id
		LEFT JOIN outputs o ON o.generation_id = g.id AND o.removed_at = 0
		WHERE e.id = ? AND (g.id IS NOT NULL OR e.generation_id IS NULL) ORDER BY o.ordinal`, eventIDs, func(row Row) error {
		c, o, err := scanEventContent(row)
		if err != nil {
			return err
		}
		if known := contents[c.Event.ID]; known != nil {
			c = known
		}
		contents[c.Event.ID] = c
		if o.ID != "" {
			c.Outputs = append(c.Outputs, o)
		}
		return nil
	})
	return contents, err
}

// queryEach runs one query once for each key, pipelined in one round trip on PostgreSQL.
func (tx *Tx) queryEach(query string, keys []string, scan func(Row) error) error {
	if len(keys) == 0 {
		return nil
	}
	text := tx.db.rebind(query)
	if tx.pg == nil {
		return classify("read", tx.lite.queryEach(tx.ctx, text, keys, scan))
	}
	var b pgx.Batch
	for _, key := range keys {
		b.Queue(text, key).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	return classify("read", tx.pg.SendBatch(tx.ctx, &b).Close())
}

func (c liteConn) queryEach(ctx context.Context, text string, keys []string, scan func(Row) error) error {
	var (
		st  *sql.Stmt
		err error
	)
	if c.tx == nil {
		st, err = c.prepared(ctx, text)
	} else if st, err = c.tx.PrepareContext(ctx, text); err == nil {
		defer func() { _ = st.Close() }()
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		rows, err := st.QueryContext(ctx, key)
		if err != nil {
			return err
		}
		for err == nil && rows.Next() {
			err = scan(rows)
		}
		if err == nil {
			err = rows.Err()
		}
		if closed := rows.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanEventContent scans a row of EventContents: an event with its generation, and one of
// its outputs or the zero Output.
func scanEventContent(row Row) (*EventContent, kinora.Output, error) {
	var (
		e                                kinora.Event
		g                                kinora.Generation
		o                                kinora.Output
		typ, surface, kind, state        string
		reference, metadata              sql.NullString
		code, message, outputKind        string
		eventCreated, created, completed int64
		duration, outputCreated          int64
	)
	err := row.Scan(&e.ID, &e.OrganisationID, &typ, &e.Body, &eventCreated, &g.ID, &surface, &g.Model, &kind, &state, &reference, &metadata,
		&code, &message, &created, &completed,
		&o.ID, &o.Ordinal, &o.BlobKey, &outputKind, &o.ContentType, &o.Bytes, &o.SHA256, &o.Width, &o.Height, &duration, &outputCreated)
	if err != nil {
		return nil, o, err
	}
	e.Type, e.GenerationID, e.CreatedAt = kinora.EventType(typ), g.ID, Time(eventCreated)
	if g.ID == "" {
		return &EventContent{Event: &e}, o, nil
	}
	g.OrganisationID, g.Surface, g.Kind, g.State = e.OrganisationID, kinora.Surface(surface), kinora.Kind(kind), kinora.GenerationState(state)
	if reference.Valid {
		g.Reference = &reference.String
	}
	if metadata.Valid {
		g.Metadata = json.RawMessage(metadata.String)
	}
	if code != "" {
		g.Failure = kinora.NewFailure(kinora.FailureCode(code), message)
	}
	g.CreatedAt, g.CompletedAt = Time(created), Time(completed)
	o.GenerationID, o.Kind, o.Duration, o.CreatedAt = g.ID, kinora.Kind(outputKind), time.Duration(duration)*time.Microsecond, Time(outputCreated)
	o.Role = "alternate"
	if o.Ordinal == 0 {
		o.Role = "primary"
	}
	return &EventContent{Event: &e, Generation: &g}, o, nil
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
