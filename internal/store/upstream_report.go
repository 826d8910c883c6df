package store

import (
	"time"

	"github.com/kinora/kinora"
)

const endedGenerations = `SELECT id, completed_at FROM generations WHERE completed_at > 0 AND completed_at >= ? ORDER BY completed_at DESC LIMIT ?`

// EndedAttempt is what is kept of an attempt about how it went.
type EndedAttempt struct {
	kinora.Attempt           // fields that do not tell how it went are left empty
	CompletedAt    time.Time // its generation's end
}

// EndedAttempts reads the attempts of the generations that have ended since an instant, but of
// no more than limit of them: the last ones. from is when the earliest of those ended, zero where there
// are fewer.
func (tx *Tx) EndedAttempts(since time.Time, limit int) (list []EndedAttempt, from time.Time, err error) {
	var ids []string
	completed := map[string]time.Time{}
	err = tx.Query(endedGenerations, []any{Micros(since), limit}, func(row Row) error {
		var (
			id string
			at int64
		)
		err := row.Scan(&id, &at)
		ids, completed[id] = append(ids, id), Time(at)
		return err
	})
	if err != nil {
		return nil, from, err
	}
	if len(ids) == limit {
		from = completed[ids[limit-1]]
	}
	err = tx.queryEach(`SELECT generation_id, provider, account, model, state, error_class, failure_code, submitted_at, accepted_at, done_at
		FROM attempts WHERE generation_id = ?`, ids, func(row Row) error {
		var (
			a                         EndedAttempt
			state, failure            string
			submitted, accepted, done int64
		)
		err := row.Scan(&a.GenerationID, &a.Provider, &a.Account, &a.Model, &state, &a.ErrorClass, &failure, &submitted, &accepted, &done)
		a.State, a.SubmittedAt, a.AcceptedAt, a.DoneAt = kinora.AttemptState(state), Time(submitted), Time(accepted), Time(done)
		if failure != "" {
			a.Failure = kinora.NewFailure(kinora.FailureCode(failure), "")
		}
		a.CompletedAt = completed[a.GenerationID]
		list = append(list, a)
		return err
	})
	return list, from, err
}
