package store

import (
	"time"

	"github.com/kinora/kinora"
)

// What operators look for among attempts. Each query goes along an index that holds no attempt
// that has ended, or only those that it looks for.

const (
	unsettledAttempts  = `SELECT ` + attemptColumns + ` FROM attempts WHERE state = 'unsettled' ORDER BY created_at DESC LIMIT ?`
	unreadableAttempts = `SELECT ` + attemptColumns + ` FROM attempts WHERE read_errors >= 5 AND finished_at = 0 ORDER BY created_at DESC LIMIT ?`
	unknownAttempts    = `SELECT ` + attemptColumns + ` FROM attempts WHERE failure_code = 'outcome_unknown' AND finished_at >= ? ORDER BY finished_at DESC LIMIT ?`
	contestedAttempts  = `SELECT ` + attemptColumns + ` FROM attempts WHERE contested_id <> '' AND (finished_at = 0 OR finished_at >= ?) ORDER BY created_at DESC LIMIT ?`
	liveAttempts       = `SELECT generation_id, ordinal, lane, model, provider, account, upstream_model, route, state, due_at, lease_owner, read_errors, created_at, accepted_at, deadline_at
		FROM attempts WHERE finished_at = 0 ORDER BY deadline_at LIMIT ?`
)

// UnsettledAttempts reads the newest attempts of which it is not known whether the upstream
// has taken them.
func (tx *Tx) UnsettledAttempts(limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(unsettledAttempts, limit)
}

// UnreadableAttempts reads the newest attempts that have not ended and whose last looks or
// downloads, kinora.UnreadableFrom of them in a row, have failed.
func (tx *Tx) UnreadableAttempts(limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(unreadableAttempts, limit)
}

// UnknownAttempts reads the attempts that have ended since an instant without their outcome
// being known, the last one first.
func (tx *Tx) UnknownAttempts(since time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(unknownAttempts, Micros(since), limit)
}

// ContestedAttempts reads the newest attempts for which a job was named that another attempt has, unless they have ended before an instant.
func (tx *Tx) ContestedAttempts(since time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(contestedAttempts, Micros(since), limit)
}

// LiveAttempts reads attempts that have not ended, those with the nearest deadlines first. Of
// each it reads what tells how it stands, and leaves the other fields empty.
func (tx *Tx) LiveAttempts(limit int) ([]*kinora.Attempt, error) {
	var list []*kinora.Attempt
	err := tx.Query(liveAttempts, []any{limit}, func(row Row) error {
		var (
			a                                kinora.Attempt
			state                            string
			due, created, accepted, deadline int64
		)
		err := row.Scan(&a.GenerationID, &a.Ordinal, &a.Lane, &a.Model, &a.Provider, &a.Account, &a.UpstreamModel, &a.Route, &state, &due, &a.LeaseOwner,
			&a.ReadErrors, &created, &accepted, &deadline)
		a.State, a.DueAt, a.CreatedAt, a.AcceptedAt, a.DeadlineAt = kinora.AttemptState(state), Time(due), Time(created), Time(accepted), Time(deadline)
		list = append(list, &a)
		return err
	})
	return list, err
}

// Attempt reads one attempt, or ErrNotFound.
func (tx *Tx) Attempt(generationID string, ordinal int) (*kinora.Attempt, error) {
	return scanAttempt(tx.QueryRow(`SELECT `+attemptColumns+` FROM attempts WHERE generation_id = ? AND ordinal = ?`, generationID, ordinal))
}

// HastenAttempt makes an attempt due that waits for its time in nobody's hand, and reports
// whether it did. No look or try is lost by it: how many fail in a row stands for the time that they take by
// themselves, and what follows from it, such as that a job is gone, must not come sooner.
func (tx *Tx) HastenAttempt(a *kinora.Attempt, now time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE attempts SET due_at = ?, read_errors = CASE WHEN state <> 'queued' AND read_errors > 0 THEN read_errors - 1 ELSE read_errors END,
		tries = CASE WHEN state = 'queued' AND tries > 0 THEN tries - 1 ELSE tries END
		WHERE generation_id = ? AND ordinal = ? AND version = ? AND state IN ('queued', 'unsettled', 'open', 'collecting') AND lease_owner = '' AND due_at > ?`,
		Micros(now), a.GenerationID, a.Ordinal, a.Version, Micros(now))
	return n > 0, err
}
