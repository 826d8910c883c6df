package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/kinora/kinora"
)

const endpointColumns = `id, organisation_id, name, url, description, event_types, headers, rate, created_at, updated_at,
	failing_since, failures, disabled_at, disabled_reason, missed_since, replay_from, replay_until`

// InsertEndpoint writes a new endpoint.
func (tx *Tx) InsertEndpoint(e *kinora.Endpoint) error {
	types, headers, err := endpointTexts(e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO endpoints (`+endpointColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		append([]any{e.ID, e.OrganisationID, e.Name, e.URL, e.Description, types, headers, e.Rate, Micros(e.CreatedAt), Micros(e.UpdatedAt)},
			healthValues(e.EndpointHealth)...)...)
	return err
}

// SaveEndpoint writes an endpoint's settings and its health, or ErrNotFound. Whoever calls it
// has read the endpoint with LockEndpoint in the same transaction.
func (tx *Tx) SaveEndpoint(e *kinora.Endpoint) error {
	types, headers, err := endpointTexts(e)
	if err != nil {
		return err
	}
	args := append([]any{e.Name, e.URL, e.Description, types, headers, e.Rate, Micros(e.UpdatedAt)}, healthValues(e.EndpointHealth)...)
	return tx.one(`UPDATE endpoints SET name = ?, url = ?, description = ?, event_types = ?, headers = ?, rate = ?, updated_at = ?,
		failing_since = ?, failures = ?, disabled_at = ?, disabled_reason = ?, missed_since = ?, replay_from = ?, replay_until = ?
		WHERE id = ?`, append(args, e.ID)...)
}

// SaveEndpointHealth writes an endpoint's health alone, or ErrNotFound; see SaveEndpoint.
func (tx *Tx) SaveEndpointHealth(id string, h kinora.EndpointHealth) error {
	return tx.one(`UPDATE endpoints SET failing_since = ?, failures = ?, disabled_at = ?, disabled_reason = ?, missed_since = ?,
		replay_from = ?, replay_until = ? WHERE id = ?`, append(healthValues(h), id)...)
}

// one runs a statement that has to change a row.
func (tx *Tx) one(query string, args ...any) error {
	n, err := tx.Exec(query, args...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

func endpointTexts(e *kinora.Endpoint) (types, headers string, err error) {
	list, err := json.Marshal(append([]kinora.EventType{}, e.EventTypes...))
	if err != nil || len(e.Headers) == 0 {
		return string(list), "", err
	}
	sealed, err := json.Marshal(e.Headers)
	return string(list), string(sealed), err
}

func healthValues(h kinora.EndpointHealth) []any {
	return []any{Micros(h.FailingSince), h.Failures, Micros(h.DisabledAt), string(h.Reason), Micros(h.MissedSince), Micros(h.ReplayFrom), Micros(h.ReplayUntil)}
}

// Endpoint reads one endpoint of an organisation, or ErrNotFound.
func (tx *Tx) Endpoint(organisation, id string) (*kinora.Endpoint, error) {
	return scanEndpoint(tx.QueryRow(`SELECT `+endpointColumns+` FROM endpoints WHERE id = ? AND organisation_id = ?`, id, organisation))
}

// LockEndpoint reads an endpoint and keeps other transactions from changing it until this
// one ends; ErrNotFound when there is none.
func (tx *Tx) LockEndpoint(id string) (*kinora.Endpoint, error) {
	return scanEndpoint(tx.QueryRow(`SELECT `+endpointColumns+` FROM endpoints WHERE id = ? {for update}`, id))
}

// LockDefaultEndpoint is LockEndpoint for an organisation's default callback URL. It makes
// the row when there is none, and begins anew when it is about an earlier URL.
func (tx *Tx) LockDefaultEndpoint(organisation, url string, now time.Time) (*kinora.Endpoint, error) {
	id := kinora.DefaultEndpointID(organisation)
	if _, err := tx.Exec(`INSERT INTO endpoints (id, organisation_id, name, url, created_at, updated_at) VALUES (?,?,?,?,?,?)
		ON CONFLICT (id) DO NOTHING`, id, organisation, kinora.DefaultEndpointName, url, Micros(now), Micros(now)); err != nil {
		return nil, err
	}
	e, err := tx.LockEndpoint(id)
	if err != nil || e.URL == url {
		return e, err
	}
	e.URL, e.UpdatedAt, e.EndpointHealth = url, now, kinora.EndpointHealth{}
	return e, tx.SaveEndpoint(e)
}

// StillDisabled tells whether an endpoint is disabled and, if so, keeps it from being enabled
// until this transaction ends: what is noted as missed is then seen by whoever replays it.
func (tx *Tx) StillDisabled(id string) (bool, error) {
	var disabled int64
	err := tx.QueryRow(`SELECT disabled_at FROM endpoints WHERE id = ? {for share}`, id).Scan(&disabled)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return disabled > 0, err
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

// endpointRow is a row of endpointColumns; all is NULL where an outer join found none.
type endpointRow struct {
	id, organisation, name, url, description, types, headers, reason sql.NullString
	rate, created, updated                                           sql.NullInt64
	failingSince, failures, disabled, missed, replayFrom, replayTo   sql.NullInt64
}

func (r *endpointRow) into() []any {
	return []any{&r.id, &r.organisation, &r.name, &r.url, &r.description, &r.types, &r.headers, &r.rate, &r.created, &r.updated,
		&r.failingSince, &r.failures, &r.disabled, &r.reason, &r.missed, &r.replayFrom, &r.replayTo}
}

func (r *endpointRow) endpoint() (*kinora.Endpoint, error) {
	e := &kinora.Endpoint{ID: r.id.String, OrganisationID: r.organisation.String, Name: r.name.String, URL: r.url.String,
		Description: r.description.String, Rate: int(r.rate.Int64), CreatedAt: Time(r.created.Int64), UpdatedAt: Time(r.updated.Int64),
		EndpointHealth: kinora.EndpointHealth{FailingSince: Time(r.failingSince.Int64), Failures: int(r.failures.Int64),
			DisabledAt: Time(r.disabled.Int64), Reason: kinora.DisableReason(r.reason.String), MissedSince: Time(r.missed.Int64),
			ReplayFrom: Time(r.replayFrom.Int64), ReplayUntil: Time(r.replayTo.Int64)}}
	if err := json.Unmarshal([]byte(r.types.String), &e.EventTypes); err != nil {
		return nil, err
	}
	if r.headers.String == "" {
		return e, nil
	}
	return e, json.Unmarshal([]byte(r.headers.String), &e.Headers)
}

// Audience reads an organisation with its endpoints, and its default among them where that has
// a row, in one round trip: all that decides where its events go. ErrNotFound when there is none.
func (tx *Tx) Audience(organisation string) (*kinora.Organisation, []*kinora.Endpoint, error) {
	var (
		org  *kinora.Organisation
		list []*kinora.Endpoint
	)
	err := tx.Query(audienceQuery, []any{organisation}, func(row Row) error {
		var (
			o organisationRow
			e endpointRow
		)
		err := row.Scan(append(o.into(), e.into()...)...)
		if err != nil {
			return err
		}
		if org == nil {
			if org, err = o.organisation(); err != nil {
				return err
			}
		}
		if !e.id.Valid {
			return nil
		}
		endpoint, err := e.endpoint()
		list = append(list, endpoint)
		return err
	})
	if err == nil && org == nil {
		err = ErrNotFound
	}
	return org, list, err
}

const audienceQuery = `SELECT o.id, o.name, o.default_webhook, o.webhook_hosts, o.operator_hook, o.disabled, o.created_at,
	e.id, e.organisation_id, e.name, e.url, e.description, e.event_types, e.headers, e.rate, e.created_at, e.updated_at,
	e.failing_since, e.failures, e.disabled_at, e.disabled_reason, e.missed_since, e.replay_from, e.replay_until
	FROM organisations o LEFT JOIN endpoints e ON e.organisation_id = o.id WHERE o.id = ? ORDER BY e.created_at, e.id`

// ReviveMissed puts deliveries of an endpoint that died between two instants back to wait for
// it, those that died first before others, at most limit of them. It returns how many.
func (tx *Tx) ReviveMissed(endpoint string, from, until time.Time, limit int) (int, error) {
	n, err := tx.Exec(`UPDATE deliveries SET state = 'held', due_at = 0, finished_at = 0, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE endpoint_id = ? AND state = 'dead' AND endpoint_id <> ''
			AND finished_at >= ? AND finished_at <= ? ORDER BY finished_at LIMIT ? {skip locked})`,
		endpoint, Micros(from), Micros(until), limit)
	return int(n), err
}

// EndHeld ends deliveries that are held for a destination as dead, oldest first, at most limit.
func (tx *Tx) EndHeld(destination, reason string, now time.Time, limit int) (int, error) {
	n, err := tx.Exec(`UPDATE deliveries SET state = 'dead', last_error = ?, finished_at = ?, version = version + 1
		WHERE id IN (SELECT id FROM deliveries WHERE destination = ? AND state = 'held' ORDER BY created_at LIMIT ? {skip locked})`,
		reason, Micros(now), destination, limit)
	return int(n), err
}
