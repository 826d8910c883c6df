package store

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

const endpointColumns = `id, organisation_id, name, url, description, event_types, header_names, headers, rate, created_at, updated_at,
	failing_since, failures, disabled_at, disabled_reason, missed_since, replay_from, replay_until`

// InsertEndpoint writes a new endpoint.
func (tx *Tx) InsertEndpoint(e *kinora.Endpoint) error {
	types, names, err := endpointLists(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO endpoints (`+endpointColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		append([]any{e.ID, e.OrganisationID, e.Name, e.URL, e.Description, types, names, e.SealedHeaders, e.Rate, Micros(e.CreatedAt), Micros(e.UpdatedAt)},
			healthValues(e.EndpointHealth)...)...)
	return err
}

// SaveEndpoint writes an endpoint's settings and its health, or ErrNotFound. Whoever calls it
// has read the endpoint with LockEndpoint in the same transaction.
func (tx *Tx) SaveEndpoint(e *kinora.Endpoint) error {
	types, names, err := endpointLists(e)
	if err != nil {
		return err
	}
	args := append([]any{e.Name, e.URL, e.Description, types, names, e.SealedHeaders, e.Rate, Micros(e.UpdatedAt)}, healthValues(e.EndpointHealth)...)
	return tx.one(`UPDATE endpoints SET name = ?, url = ?, description = ?, event_types = ?, header_names = ?, headers = ?, rate = ?, updated_at = ?,
		failing_since = ?, failures = ?, disabled_at = ?, disabled_reason = ?, missed_since = ?, replay_from = ?, replay_until = ?
		WHERE id = ?`, append(args, e.ID)...)
}

// SaveEndpointHealth writes the health of endpoints that were read with LockEndpoints in the
// same transaction.
func (tx *Tx) SaveEndpointHealth(list ...*kinora.Endpoint) error {
	sets := make([][]any, len(list))
	for i, e := range list {
		sets[i] = append(append([]any{e.URL}, healthValues(e.EndpointHealth)...), e.ID)
	}
	_, err := tx.ExecMany(`UPDATE endpoints SET url = ?, failing_since = ?, failures = ?, disabled_at = ?, disabled_reason = ?,
		missed_since = ?, replay_from = ?, replay_until = ? WHERE id = ?`, sets)
	return err
}

// one runs a statement that has to change a row.
func (tx *Tx) one(query string, args ...any) error {
	n, err := tx.Exec(query, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

func endpointLists(e *kinora.Endpoint) (types, names string, err error) {
	a, err := json.Marshal(append([]kinora.EventType{}, e.EventTypes...))
	if err != nil {
		return "", "", err
	}
	b, err := json.Marshal(append([]string{}, e.HeaderNames...))
	return string(a), string(b), err
}

func healthValues(h kinora.EndpointHealth) []any {
	return []any{Micros(h.FailingSince), h.Failures, Micros(h.DisabledAt), string(h.Reason), Micros(h.MissedSince), Micros(h.ReplayFrom), Micros(h.ReplayUntil)}
}

// Endpoint reads one endpoint of an organisation, or ErrNotFound.
func (tx *Tx) Endpoint(organisation, id string) (*kinora.Endpoint, error) {
	return scanEndpoint(tx.QueryRow(`SELECT `+endpointColumns+` FROM endpoints WHERE id = ? AND organisation_id = ?`, id, organisation))
}

// MakeDefaultEndpoints makes the rows of default callback URLs that have none yet.
func (tx *Tx) MakeDefaultEndpoints(organisations []string, now time.Time) error {
	sets := make([][]any, len(organisations))
	for i, organisation := range organisations {
		sets[i] = []any{kinora.DefaultEndpointID(organisation), organisation, kinora.DefaultEndpointName, Micros(now), Micros(now)}
	}
	_, err := tx.ExecMany(`INSERT INTO endpoints (id, organisation_id, name, url, created_at, updated_at) VALUES (?,?,?,'',?,?)
		ON CONFLICT (id) DO NOTHING`, sets)
	return err
}

// LockEndpoint is LockEndpoints for one, or ErrNotFound.
func (tx *Tx) LockEndpoint(id string) (*kinora.Endpoint, error) {
	list, err := tx.LockEndpoints([]string{id})
	if err == nil && len(list) == 0 {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// LockEndpoints reads endpoints and keeps other transactions from changing them until this
// one ends. Those that do not exist are left out. Of a default callback URL that has been replaced
// nothing is known but what the earlier one missed.
func (tx *Tx) LockEndpoints(ids []string) ([]*kinora.Endpoint, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids))) // in one order everywhere, against deadlocks
	var list []*kinora.Endpoint
	err := tx.queryEach(`SELECT `+endpointColumns+`, (SELECT o.default_webhook FROM organisations o WHERE o.id = endpoints.organisation_id)
		FROM endpoints WHERE id = ? {for update}`, ids, func(row Row) error {
		var (
			r   endpointRow
			url string
		)
		if err := row.Scan(append(r.into(), &url)...); err != nil {
			return err
		}
		e, err := r.endpoint()
		if err == nil {
			replaceDefault(e, url)
			list = append(list, e)
		}
		return err
	})
	return list, err
}

// replaceDefault takes from the row of a default callback URL what was about an earlier one. What
// that missed stays to be replayed, to the new one.
func replaceDefault(e *kinora.Endpoint, url string) {
	if e.Default() && e.URL != url {
		e.URL = url
		e.EndpointHealth = kinora.EndpointHealth{MissedSince: e.MissedSince, ReplayFrom: e.ReplayFrom, ReplayUntil: e.ReplayUntil}
	}
}

// DisabledSince tells since when an endpoint has been disabled, zero = it is not, and keeps it
// from being enabled until this transaction ends. What is noted as missed, and as having ended no
// earlier than that, is then seen by whoever replays it.
func (tx *Tx) DisabledSince(id string) (time.Time, error) {
	var disabled int64
	err := tx.QueryRow(`SELECT disabled_at FROM endpoints WHERE id = ? {for share}`, id).Scan(&disabled)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return Time(disabled), err
}

// Endpoints lists the endpoints of an organisation, oldest first, without its default.
func (tx *Tx) Endpoints(organisation string) ([]*kinora.Endpoint, error) {
	return tx.endpoints(`SELECT `+endpointColumns+` FROM endpoints WHERE organisation_id = ? AND id <> ? ORDER BY created_at, id`,
		organisation, kinora.DefaultEndpointID(organisation))
}

// CountEndpoints counts them.
func (tx *Tx) CountEndpoints(organisation string) (n int, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM endpoints WHERE organisation_id = ? AND id <> ?`,
		organisation, kinora.DefaultEndpointID(organisation)).Scan(&n)
	return n, err
}

// DeleteEndpoint removes an endpoint of an organisation, or ErrNotFound. Deliveries that were
// on their way to it end as dead when their turn comes.
func (tx *Tx) DeleteEndpoint(organisation, id string) error {
	return tx.one(`DELETE FROM endpoints WHERE id = ? AND organisation_id = ?`, id, organisation)
}

// ReplayingEndpoints lists endpoints whose missed deliveries are being replayed, at most limit.
func (tx *Tx) ReplayingEndpoints(limit int) ([]*kinora.Endpoint, error) {
	return tx.endpoints(`SELECT `+endpointColumns+` FROM endpoints WHERE replay_from > 0 ORDER BY id LIMIT ?`, limit)
}

func (tx *Tx) endpoints(query string, args ...any) ([]*kinora.Endpoint, error) {
	var list []*kinora.Endpoint
	err := tx.Query(query, args, func(row Row) error {
		e, err := scanEndpoint(row)
		if err == nil {
			list = append(list, e)
		}
		return err
	})
	return list, err
}

func scanEndpoint(row Row) (*kinora.Endpoint, error) {
	var r endpointRow
	if err := row.Scan(r.into()...); err != nil {
		return nil, err
	}
	return r.endpoint()
}

// endpointRow is a row of endpointColumns.
type endpointRow struct {
	e                                                              kinora.Endpoint
	types, names, reason                                           string
	created, updated, failing, disabled, missed, replays, replayed int64
}

func (r *endpointRow) into() []any {
	e := &r.e
	return []any{&e.ID, &e.OrganisationID, &e.Name, &e.URL, &e.Description, &r.types, &r.names, &e.SealedHeaders, &e.Rate, &r.created, &r.updated,
		&r.failing, &e.Failures, &r.disabled, &r.reason, &r.missed, &r.replays, &r.replayed}
}

func (r *endpointRow) endpoint() (*kinora.Endpoint, error) {
	e := &r.e
	e.CreatedAt, e.UpdatedAt = Time(r.created), Time(r.updated)
	e.FailingSince, e.DisabledAt, e.Reason = Time(r.failing), Time(r.disabled), kinora.DisableReason(r.reason)
	e.MissedSince, e.ReplayFrom, e.ReplayUntil = Time(r.missed), Time(r.replays), Time(r.replayed)
	if err := json.Unmarshal([]byte(r.types), &e.EventTypes); err != nil {
		return nil, err
	}
	return e, json.Unmarshal([]byte(r.names), &e.HeaderNames)
}

// Audience reads an organisation with its endpoints, and its default among them where that has
// a row: all that decides where its events go. Where there are none this is one look, as cheap
// as reading the organisation alone. ErrNotFound when there is no such organisation.
func (tx *Tx) Audience(organisation string) (*kinora.Organisation, []*kinora.Endpoint, error) {
	var (
		r    organisationRow
		some bool
	)
	err := tx.QueryRow(`SELECT `+organisationColumns+`, EXISTS (SELECT 1 FROM endpoints e WHERE e.organisation_id = organisations.id)
		FROM organisations WHERE id = ?`, organisation).Scan(append(r.into(), &some)...)
	if err != nil {
		return nil, nil, err
	}
	org, err := r.organisation()
	if err != nil || !some {
		return org, nil, err
	}
	list, err := tx.endpoints(`SELECT `+endpointColumns+` FROM endpoints WHERE organisation_id = ? ORDER BY created_at, id`, organisation)
	for _, e := range list {
		replaceDefault(e, org.DefaultWebhook)
	}
	return org, list, err
}

// ReviveMissed puts deliveries of an endpoint that died between two instants back to wait for
// it, with the whole schedule before them again; those that died first before others, at most
// limit of them. It returns how many.
func (tx *Tx) ReviveMissed(endpoint string, from, until time.Time, limit int) (int, error) {
	n, err := tx.Exec(`UPDATE deliveries SET state = 'held', due_at = 0, finished_at = 0, schedule_from = attempts, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE endpoint_id = ? AND state = 'dead' AND endpoint_id <> ''
			AND finished_at >= ? AND finished_at <= ? ORDER BY finished_at LIMIT ? {skip locked})`,
		endpoint, Micros(from), Micros(until), limit)
	return int(n), err
}

// MissedLeft tells whether deliveries of an endpoint that died between two instants are still dead: ReviveMissed passes over what another
// transaction has in hand, which may come to nothing.
func (tx *Tx) MissedLeft(endpoint string, from, until time.Time) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE endpoint_id = ? AND state = 'dead' AND endpoint_id <> ''
		AND finished_at >= ? AND finished_at <= ? LIMIT 1) AS remaining`, endpoint, Micros(from), Micros(until)).Scan(&n)
	return n > 0, err
}

// LastMissed tells when the last of an endpoint's deliveries died that are dead; zero = none is.
func (tx *Tx) LastMissed(endpoint string) (time.Time, error) {
	var last int64
	err := tx.QueryRow(`SELECT coalesce(max(finished_at), 0) FROM deliveries WHERE endpoint_id = ? AND state = 'dead' AND endpoint_id <> ''`, endpoint).Scan(&last)
	return Time(last), err
}

// PurgeEventsApart removes events that are not about a generation and were created before an
// instant, with their deliveries and the log of those, at most limit of them. Those with a
// delivery still on its way stay.
func (tx *Tx) PurgeEventsApart(before time.Time, limit int) (int64, error) {
	var ids [][]any
	err := tx.Query(`SELECT id FROM events e WHERE generation_id IS NULL AND created_at <= ?
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id AND d.state IN ('pending', 'held'))
		ORDER BY created_at LIMIT ?`, []any{Micros(before), limit}, func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, []any{id})
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, statement := range []string{
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE event_id = ?)`,
		`DELETE FROM deliveries WHERE event_id = ?`,
		`DELETE FROM events WHERE id = ?`,
	} {
		if _, err := tx.ExecMany(statement, ids); err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), nil
}

// MoveDeliveries notes that deliveries went to other URLs than those that they were made for.
func (tx *Tx) MoveDeliveries(list []*kinora.Delivery) error {
	sets := make([][]any, len(list))
	for i, d := range list {
		sets[i] = []any{d.URL, d.Destination, d.ID}
	}
	_, err := tx.ExecMany(`UPDATE deliveries SET url = ?, destination = ? WHERE id = ?`, sets)
	return err
}

// EndHeld ends deliveries that are held for a destination as dead, oldest first, at most limit.
func (tx *Tx) EndHeld(destination, reason string, now time.Time, limit int) (int, error) {
	n, err := tx.Exec(`UPDATE deliveries SET state = 'dead', last_error = ?, finished_at = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE destination = ? AND state = 'held' ORDER BY created_at LIMIT ? {skip locked})`,
		reason, Micros(now), destination, limit)
	return int(n), err
}
