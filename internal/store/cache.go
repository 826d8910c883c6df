package store

import (
	"time"

	"github.com/kinora/kinora"
)

// cacheReach is how many generations of one configuration are looked at for files that are
// still there, the newest first: files of older ones were removed before.
const cacheReach = 3

// Approved finds the published outputs of the newest generation of g's organisation that
// succeeded with its configuration, all of whose files are still kept; none = there is no such
// generation. A configuration is what callers choose, which the fingerprint stands for, and
// what that means now: a generation from before its workflow got another model, prompt, size
// or gate, or a review, does not count. On PostgreSQL the files stay kept until the
// transaction ends.
func (tx *Tx) Approved(g *kinora.Generation) ([]kinora.Output, error) {
	input, plan, err := encodeWork(g)
	if err != nil {
		return nil, err
	}
	var generations []string
	err = tx.Query(approvedQuery, []any{g.OrganisationID, g.Fingerprint, g.Model, plan, input, cacheReach}, func(row Row) error {
		var id string
		err := row.Scan(&id)
		generations = append(generations, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, generationID := range generations {
		list, err := tx.outputs(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? AND state = 'published' ORDER BY ordinal {for update}`, generationID)
		if err != nil {
			return nil, err
		}
		kept := len(list) > 0
		for _, o := range list {
			kept = kept && o.RemovedAt.IsZero()
		}
		if kept {
			return list, nil
		}
	}
	return nil, nil
}

const approvedQuery = `SELECT id FROM generations
	WHERE organisation_id = ? AND fingerprint = ? AND surface = 'generations' AND completed_at > 0 AND state = 'succeeded'
		AND model = ? AND plan = ? AND input = ?
	ORDER BY completed_at DESC LIMIT ?`

// ShareOutputs gives a generation the files of another one's outputs: each has a row of its
// own, with an id from newID and a life of its own, and the file goes with the last of them.
func (tx *Tx) ShareOutputs(generationID string, outputs []kinora.Output, newID func() string, now time.Time, retention time.Duration) error {
	sets := make([][]any, len(outputs))
	for i, o := range outputs {
		sets[i] = []any{newID(), generationID, i, i, Micros(now), Micros(now.Add(retention)), o.ID}
	}
	_, err := tx.ExecMany(`INSERT INTO outputs (id, generation_id, attempt, place, ordinal, created_at, expires_at,
			state, verdict, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, origin_id)
		SELECT ?, ?, 0, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT),
			state, verdict, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, CASE WHEN origin_id = '' THEN id ELSE origin_id END
		FROM outputs WHERE id = ?`, sets)
	return err
}

// RemoveOutput notes that retention takes an output's file away, and tells whether the file is
// to be removed: not while other generations share it.
func (tx *Tx) RemoveOutput(o kinora.Output, now time.Time) (last bool, err error) {
	if _, err := tx.Exec(`UPDATE outputs SET removed_at = ? WHERE id = ?`, Micros(now), o.ID); err != nil {
		return false, err
	}
	var origin string
	if err := tx.QueryRow(`SELECT origin_id FROM outputs WHERE id = ?`, o.ID).Scan(&origin); err != nil {
		return false, err
	}
	var n int
	err = tx.QueryRow(`SELECT (SELECT count(*) FROM outputs WHERE id = ? AND removed_at = 0) +
		(SELECT count(*) FROM outputs WHERE blob_key = ? AND origin_id <> '' AND removed_at = 0)`, origin, o.BlobKey).Scan(&n)
	return n == 0, err
}

// KnownOutput tells whether an output with that stored object belongs to the generation, or
// to one that shares it, for the sweep that removes orphans.
func (tx *Tx) KnownOutput(generationID, blobKey string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT (SELECT count(*) FROM outputs WHERE generation_id = ? AND blob_key = ? AND removed_at = 0) +
		(SELECT count(*) FROM outputs WHERE blob_key = ? AND origin_id <> '' AND removed_at = 0)`, generationID, blobKey, blobKey).Scan(&n)
	return n > 0, err
}
