package store

import (
	"time"

	"github.com/kinora/kinora"
)

// InsertTrial writes a test event, and its attempt into the delivery log.
func (tx *Tx) InsertTrial(t *kinora.Trial, a *kinora.DeliveryAttempt) error {
	_, err := tx.Exec(`INSERT INTO trials (id, organisation_id, endpoint_id, url, event_id, job_id, created_at) VALUES (?,?,?,?,?,?,?)`,
		t.ID, t.OrganisationID, t.EndpointID, t.URL, t.EventID, t.JobID, Micros(t.CreatedAt))
	if err != nil {
		return err
	}
	return tx.insertDeliveryAttempts([]*kinora.DeliveryAttempt{a})
}

// Trials lists an organisation's test events, newest first, at most limit, without their
// attempts: those are in the delivery log under their ids.
func (tx *Tx) Trials(organisation string, limit int) ([]*kinora.Trial, error) {
	var list []*kinora.Trial
	err := tx.Query(`SELECT id, organisation_id, endpoint_id, url, event_id, job_id, created_at FROM trials WHERE organisation_id = ? ORDER BY id DESC LIMIT ?`,
		[]any{organisation, limit}, func(row Row) error {
			var (
				t       kinora.Trial
				created int64
			)
			err := row.Scan(&t.ID, &t.OrganisationID, &t.EndpointID, &t.URL, &t.EventID, &t.JobID, &created)
			t.CreatedAt = Time(created)
			list = append(list, &t)
			return err
		})
	return list, err
}

// TrimTrials removes test events that were sent before an instant, with their log, at most
// limit of them.
func (tx *Tx) TrimTrials(before time.Time, limit int) (int64, error) {
	var ids [][]any
	err := tx.Query(`SELECT id FROM trials WHERE created_at <= ? ORDER BY created_at LIMIT ?`, []any{Micros(before), limit}, func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, []any{id})
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := tx.ExecMany(`DELETE FROM delivery_attempts WHERE delivery_id = ?`, ids); err != nil {
		return 0, err
	}
	_, err = tx.ExecMany(`DELETE FROM trials WHERE id = ?`, ids)
	return int64(len(ids)), err
}
