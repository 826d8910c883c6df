package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/kinora/kinora"
)

// Which attempt an upstream's job belongs to. That no two live attempts of an account have one job is kept by an index, so
// that a submit pays no statement for it; whoever notes a job in another way looks at who has it first.

// ErrTaken says that a write named an upstream's job that another attempt of the account has. Nothing was written.
var ErrTaken = errors.New("store: another attempt has the upstream's job")

// takenJob makes the refusal of the index ErrTaken, and leaves other errors as they are.
func takenJob(err error) error {
	var pe *pgconn.PgError
	var se *sqlitedriver.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pe) && pe.Code == "23505" && pe.ConstraintName == "attempts_jobs",
		errors.As(err, &se) && se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(se.Error(), "attempts.upstream_id"):
		return fmt.Errorf("%w (%v)", ErrTaken, err)
	}
	return err
}

// jobHolders goes along two indexes: of what is live, and of what has ended.
const jobHolders = `SELECT ` + attemptColumns + ` FROM attempts WHERE upstream_id = ? AND upstream_id <> '' AND finished_at = 0 AND (provider = ? OR account = ?)
	UNION ALL
	SELECT ` + attemptColumns + ` FROM attempts WHERE upstream_id = ? AND upstream_id <> '' AND finished_at > 0 AND (provider = ? OR account = ?)
	LIMIT 100`

// JobHolders reads the other attempts at a's provider, or its account, that have an upstream's job, whatever their state. On
// PostgreSQL it keeps others who ask so for the job waiting until the transaction ends: one at a time notes it.
func (tx *Tx) JobHolders(a *kinora.Attempt, upstreamID string) ([]*kinora.Attempt, error) {
	if tx.pg != nil {
		if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(hashtextextended(?, 14))`, "job:"+a.Provider+" "+upstreamID); err != nil {
			return nil, err
		}
	}
	list, err := tx.attempts(jobHolders, upstreamID, a.Provider, a.Account, upstreamID, a.Provider, a.Account)
	if err != nil {
		return nil, err
	}
	others := list[:0]
	for _, b := range list {
		if b.GenerationID != a.GenerationID || b.Ordinal != a.Ordinal {
			others = append(others, b)
		}
	}
	return others, nil
}

// NoteUpstreamID keeps the upstream's id that a callback brought, or a hand named, for an attempt whose
// submit call has not been settled, and reports whether there was such a one. It leaves
// lease and version of a call alone: whoever is submitting goes on, and settling finds the
// id if that call is lost. An attempt whose call was taken for one that created nothing, and
// that waits for the next, becomes unsettled: no second call may be made. ErrTaken: see there.
func (tx *Tx) NoteUpstreamID(a *kinora.Attempt, upstreamID string, handle json.RawMessage, by kinora.JobNaming, now time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE attempts SET upstream_id = ?, handle = ?, named_by = ?,
		due_at = CASE WHEN state = 'queued' OR state = 'unsettled' AND due_at > 0 THEN ? ELSE due_at END,
		done_at = CASE WHEN state = 'queued' THEN ? ELSE done_at END,
		version = CASE WHEN state = 'queued' THEN version + 1 ELSE version END,
		state = CASE WHEN state = 'queued' THEN 'unsettled' ELSE state END
		WHERE generation_id = ? AND ordinal = ? AND state IN ('queued', 'submitting', 'unsettled') AND upstream_id = '' AND callback_hash = ? AND callback_hash <> ''`,
		upstreamID, string(handle), string(by), Micros(now), Micros(now), a.GenerationID, a.Ordinal, a.CallbackHash)
	return n > 0, takenJob(err)
}

// NamedUpstreamID reads the upstream's ids that were named for an attempt, its own and one that another attempt has, and keeps others
// from writing one until the transaction ends.
func (tx *Tx) NamedUpstreamID(a *kinora.Attempt) (own, contested string, err error) {
	err = tx.QueryRow(`SELECT upstream_id, contested_id FROM attempts WHERE generation_id = ? AND ordinal = ? {for update}`, a.GenerationID, a.Ordinal).Scan(&own, &contested)
	return own, contested, err
}

// LockAttempt is Attempt, and keeps others from writing the row until the transaction ends.
func (tx *Tx) LockAttempt(generationID string, ordinal int) (*kinora.Attempt, error) {
	return scanAttempt(tx.QueryRow(`SELECT `+attemptColumns+` FROM attempts WHERE generation_id = ? AND ordinal = ? {for update}`, generationID, ordinal))
}

// NoteLateUpstreamID keeps the upstream's id that came for an attempt that had ended without
// one, and when the submit call was answered with it (zero = it was not). It
// reports whether there was such an attempt, whose end stays as it is. ErrTaken: see there.
func (tx *Tx) NoteLateUpstreamID(a *kinora.Attempt, upstreamID string, by kinora.JobNaming, accepted time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE attempts SET upstream_id = ?, named_by = ?, accepted_at = CASE WHEN accepted_at = 0 THEN ? ELSE accepted_at END
		WHERE generation_id = ? AND ordinal = ? AND upstream_id = ''
		AND state IN ('cancelled', 'failed') AND callback_hash = ? AND callback_hash <> ''`, upstreamID, string(by), Micros(accepted), a.GenerationID, a.Ordinal, a.CallbackHash)
	return n > 0, takenJob(err)
}

// ContestJob keeps with an attempt without a job an upstream's id that was named for it and that another attempt has. As after
// NoteUpstreamID, no second submit call is made for it, and settling finds the id. It reports whether there was such an attempt.
func (tx *Tx) ContestJob(a *kinora.Attempt, upstreamID string, now time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE attempts SET contested_id = ?,
		due_at = CASE WHEN state = 'queued' OR state = 'unsettled' AND due_at > 0 THEN ? ELSE due_at END,
		done_at = CASE WHEN state = 'queued' THEN ? ELSE done_at END,
		version = CASE WHEN state = 'queued' THEN version + 1 ELSE version END,
		state = CASE WHEN state = 'queued' THEN 'unsettled' ELSE state END
		WHERE generation_id = ? AND ordinal = ? AND upstream_id = '' AND contested_id = '' AND callback_hash = ? AND callback_hash <> ''`,
		upstreamID, Micros(now), Micros(now), a.GenerationID, a.Ordinal, a.CallbackHash)
	return n > 0, err
}

// YieldJob takes an upstream's job from an attempt for which a hand named it, or an answer that came after its end. A live one is in
// nobody's hand afterwards, and settled as if no job had been named: that a hand was wrong says nothing about the job which its own call may
// have made. An ended one keeps the id as a contested one, for whoever finds out what came of it. It reports whether the attempt had the job.
func (tx *Tx) YieldJob(a *kinora.Attempt, now time.Time) (bool, error) {
	n, err := tx.Exec(`UPDATE attempts SET contested_id = CASE WHEN finished_at = 0 THEN contested_id ELSE upstream_id END,
		upstream_id = '', handle = '', named_by = '', result = '', lease_owner = '',
		accepted_at = CASE WHEN finished_at = 0 THEN 0 ELSE accepted_at END,
		read_errors = CASE WHEN finished_at = 0 THEN 0 ELSE read_errors END,
		due_at = CASE WHEN finished_at = 0 THEN ? ELSE due_at END,
		state = CASE WHEN finished_at = 0 THEN 'unsettled' ELSE state END, version = version + 1
		WHERE generation_id = ? AND ordinal = ? AND upstream_id = ? AND named_by <> ''`,
		Micros(now), a.GenerationID, a.Ordinal, a.UpstreamID)
	return n > 0, err
}
