package store

import (
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// EventOf reads the event of a generation, or ErrNotFound.
func (tx *Tx) EventOf(generationID string) (*kinora.Event, error) {
	var eventID string
	if err := tx.QueryRow(`SELECT id FROM events WHERE generation_id = ?`, generationID).Scan(&eventID); err != nil {
		return nil, err
	}
	return tx.Event(eventID)
}

// EntryOf reads the ledger entry of a generation, or ErrNotFound.
func (tx *Tx) EntryOf(generationID string) (*kinora.UsageEntry, error) {
	u, err := scanEntry(tx.QueryRow(`SELECT `+entryColumns+` FROM usage_entries WHERE generation_id = ?`, generationID))
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// DeliveryHistory reads the newest attempts of a delivery, oldest first and at most limit of them, without requests and
// answers: for an overview, where those would be many bytes.
func (tx *Tx) DeliveryHistory(deliveryID string, limit int) ([]kinora.DeliveryAttempt, error) {
	var list []kinora.DeliveryAttempt
	err := tx.Query(`SELECT * FROM (SELECT delivery_id, number, started_at, duration_us, status, fault, error, address, dns_us, connect_us, tls_us,
			first_byte_us, '' AS sent, '' AS response_head, '' AS response, next_at FROM delivery_attempts WHERE delivery_id = ? ORDER BY number DESC LIMIT ?) AS newest
		ORDER BY number`, []any{deliveryID, limit}, func(row Row) error {
		a, err := scanDeliveryAttempt(row)
		list = append(list, a)
		return err
	})
	return list, err
}

// The condition on what the index is partial by is SQLite's, which takes no such index without it; the empty string keeps planners
// from that of the organisation.
const regenerationsQuery = `SELECT id, state FROM generations WHERE parent_id = ? AND parent_id <> '' AND organisation_id || '' = ?
	ORDER BY created_at, id LIMIT ?`

// Regenerations reads what was made anew from a generation, oldest first and at most limit of them. more says that there are others.
func (tx *Tx) Regenerations(g *kinora.Generation, limit int) (list []kinora.Relative, more bool, err error) {
	err = tx.Query(regenerationsQuery, []any{g.ID, g.OrganisationID, limit + 1}, func(row Row) error {
		var (
			r     kinora.Relative
			state string
		)
		err := row.Scan(&r.ID, &state)
		r.State = kinora.GenerationState(state)
		list = append(list, r)
		return err
	})
	return list[:min(len(list), limit)], len(list) > limit, err
}

// submitterWindow is how long after a generation's own time the audit entry of its acceptance may have been written, and how
// far the clocks of two nodes may be apart.
const submitterWindow = 2 * time.Minute

// Submitter reads from the audit log who had a generation accepted, or ErrNotFound. The log is read along its order by time, where
// the entry stands beside the generation's beginning.
func (tx *Tx) Submitter(g *kinora.Generation) (*kinora.Actor, error) {
	var (
		a    kinora.Actor
		kind string
	)
	err := tx.QueryRow(`SELECT actor_kind, actor_id, actor_name, actor_address FROM audit_entries
		WHERE organisation_id = ? AND id >= ? AND id < ? AND target = ? AND action IN (?, ?) ORDER BY id LIMIT 1`,
		g.OrganisationID, id.Least(id.Audit, g.CreatedAt.Add(-submitterWindow)), id.Least(id.Audit, g.CreatedAt.Add(submitterWindow)), g.ID,
		string(kinora.AuditGenerationCreate), string(kinora.AuditGenerationRegenerate)).Scan(&kind, &a.ID, &a.Name, &a.Address)
	a.Kind = kinora.ActorKind(kind)
	return &a, err
}

// IdempotencyKeyOf reads the key that a generation was asked for with, or ErrNotFound: without one, and when it has been
// forgotten. A key has the time of what it made, by which there is an index.
func (tx *Tx) IdempotencyKeyOf(g *kinora.Generation) (key string, err error) {
	err = tx.QueryRow(`SELECT idempotency_key FROM idempotency_keys WHERE created_at = ? AND organisation_id || '' = ? AND resource_id = ?`,
		Micros(g.CreatedAt), g.OrganisationID, g.ID).Scan(&key)
	return key, err
}
