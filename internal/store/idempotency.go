package store

import (
	"errors"
	"time"

	"github.com/kinora/kinora"
)

// Once claims the idempotency key of a write for what the write is about to make, whatever
// its kind. It returns "" when the write is the first one under the key, or has none; for a
// repeat it returns the id of what the first one made, and the caller writes nothing.
// A second claim waits for the transaction of the first. A transaction that fails gives its
// claim back, so that only what was made is remembered.
//
// Errors: kinora.ErrConflict when the key stands for another request.
func (tx *Tx) Once(organisation string, i kinora.Idempotency, resourceID string, now time.Time) (made string, err error) {
	if i.Key == "" {
		return "", nil
	}
	n, err := tx.Exec(`INSERT INTO idempotency_keys (organisation_id, scope, idempotency_key, request_hash, resource_id, created_at)
		VALUES (?,?,?,?,?,?)
		ON CONFLICT (organisation_id, scope, idempotency_key) DO UPDATE
		SET request_hash = excluded.request_hash, resource_id = excluded.resource_id, created_at = excluded.created_at
		WHERE idempotency_keys.created_at <= ?`,
		organisation, i.Scope, i.Key, i.RequestHash, resourceID, Micros(now), Micros(now.Add(-kinora.IdempotencyWindow)))
	if err != nil || n > 0 {
		return "", err
	}
	return tx.Recall(organisation, i, now)
}

// Recall is Once for a caller that has not yet worked out what it would make: it claims
// nothing. Two requests at once may both be told ""; Once then decides between them.
func (tx *Tx) Recall(organisation string, i kinora.Idempotency, now time.Time) (made string, err error) {
	if i.Key == "" {
		return "", nil
	}
	var hash string
	err = tx.QueryRow(`SELECT request_hash, resource_id FROM idempotency_keys
		WHERE organisation_id = ? AND scope = ? AND idempotency_key = ? AND created_at > ?`,
		organisation, i.Scope, i.Key, Micros(now.Add(-kinora.IdempotencyWindow))).Scan(&hash, &made)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case hash != i.RequestHash:
		return "", kinora.Errorf(kinora.ErrConflict, "the idempotency key was used with another request")
	}
	return made, nil
}

// ForgetIdempotencyKeys removes entries older than before, at most limit of them.
func (tx *Tx) ForgetIdempotencyKeys(before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM idempotency_keys WHERE (organisation_id, scope, idempotency_key) IN
		(SELECT organisation_id, scope, idempotency_key FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?)`,
		Micros(before), limit)
}
