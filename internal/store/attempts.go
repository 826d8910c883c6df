package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

const attemptColumns = `generation_id, ordinal, organisation_id, lane, model, provider, account, upstream_model, state,
	upstream_id, handle, callback_hash, callback_mode, due_at, lease_owner, version, tries, polls, read_errors, result,
	error_class, error_code, error_message, created_at, submitted_at, accepted_at, done_at, finished_at, deadline_at, hinted_at,
	part, parts, round, route, routes_left, move_at, progress, failure_code, failure_message,
	named_by, contested_id`

func scanAttempt(row Row) (*kinora.Attempt, error) {
	var (
		a                                                                               kinora.Attempt
		state, handle, mode, result, routesLeft, failureCode, failureMessage, namedBy   string
		due, created, submitted, accepted, finishedUp, finished, deadline, hinted, move int64
	)
	err := row.Scan(&a.GenerationID, &a.Ordinal, &a.OrganisationID, &a.Lane, &a.Model, &a.Provider, &a.Account, &a.UpstreamModel, &state,
		&a.UpstreamID, &handle, &a.CallbackHash, &mode, &due, &a.LeaseOwner, &a.Version, &a.Tries, &a.Polls, &a.ReadErrors, &result,
		&a.ErrorClass, &a.ErrorCode, &a.ErrorMessage, &created, &submitted, &accepted, &finishedUp, &finished, &deadline, &hinted,
		&a.Part, &a.Parts, &a.Round, &a.Route, &routesLeft, &move, &a.Progress, &failureCode, &failureMessage,
		&namedBy, &a.ContestedID)
	if err != nil {
		return nil, err
	}
	a.State, a.CallbackMode, a.NamedBy = kinora.AttemptState(state), kinora.CallbackMode(mode), kinora.JobNaming(namedBy)
	a.Handle, a.Result = raw(handle), raw(result)
	a.DueAt, a.CreatedAt, a.SubmittedAt, a.AcceptedAt = Time(due), Time(created), Time(submitted), Time(accepted)
	a.DoneAt, a.FinishedAt, a.DeadlineAt = Time(finishedUp), Time(finished), Time(deadline)
	a.HintedAt, a.MoveAt = Time(max(hinted, -hinted)), Time(move)
	if failureCode != "" {
		a.Failure = kinora.NewFailure(kinora.FailureCode(failureCode), failureMessage)
	}
	if routesLeft != "" {
		if err := json.Unmarshal([]byte(routesLeft), &a.RoutesLeft); err != nil {
			return nil, fmt.Errorf("store: decode routes of %s: %w", a.ID(), err)
		}
	}
	return &a, nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// InsertAttempts writes new attempts in state queued, each due at its DueAt.
func (tx *Tx) InsertAttempts(list ...*kinora.Attempt) error {
	sets := make([][]any, len(list))
	for i, a := range list {
		routesLeft := ""
		if len(a.RoutesLeft) > 0 {
			text, err := json.Marshal(a.RoutesLeft)
			if err != nil {
				return fmt.Errorf("store: encode routes: %w", err)
			}
			routesLeft = string(text)
		}
		sets[i] = []any{a.GenerationID, a.Ordinal, a.OrganisationID, a.Lane, a.Model, a.Provider, a.UpstreamModel,
			a.Part, max(1, a.Parts), a.Round, a.Route, routesLeft, Micros(a.MoveAt),
			string(a.CallbackMode), Micros(a.DueAt), Micros(a.CreatedAt), Micros(a.DeadlineAt)}
	}
	_, err := tx.ExecMany(`INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, upstream_model,
		part, parts, round, route, routes_left, move_at, state, callback_mode, due_at, created_at, deadline_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,'queued',?,?,?,?)`, sets)
	return err
}

// Attempts reads all attempts of a generation, in order.
func (tx *Tx) Attempts(generationID string) ([]*kinora.Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE generation_id = ? ORDER BY ordinal`, generationID)
}

func (tx *Tx) attempts(query string, args ...any) ([]*kinora.Attempt, error) {
	var list []*kinora.Attempt
	err := tx.Query(query, args, func(row Row) error {
		a, err := scanAttempt(row)
		if err == nil {
			list = append(list, a)
		}
		return err
	})
	return list, err
}

// MeanProgress is the mean over a generation's parts of how far each one's last attempt is,
// at most 99.
func (tx *Tx) MeanProgress(generationID string) (int, error) {
	var mean int
	err := tx.QueryRow(`SELECT CAST(coalesce(sum(CASE WHEN a.finished_at > 0 THEN 100 ELSE a.progress END) / count(*), 0) AS BIGINT) FROM attempts a
		WHERE a.generation_id = ? AND NOT EXISTS (SELECT 1 FROM attempts b
			WHERE b.generation_id = a.generation_id AND b.part = a.part AND b.ordinal > a.ordinal)`, generationID).Scan(&mean)
	return min(mean, 99), err
}

// RaiseAttemptProgress writes a's progress alone while a is as it was claimed: whoever holds
// the lease goes on with the version that he has. It never lowers it.
func (tx *Tx) RaiseAttemptProgress(a *kinora.Attempt) error {
	_, err := tx.Exec(`UPDATE attempts SET progress = ? WHERE generation_id = ? AND ordinal = ? AND version = ? AND progress < ?`,
		a.Progress, a.GenerationID, a.Ordinal, a.Version, a.Progress)
	return err
}

// DueAttempts reads claimable attempts of a lane in a state, most overdue first, and
// locks them on PostgreSQL against other nodes' claims until the transaction ends.
func (tx *Tx) DueAttempts(lane string, state kinora.AttemptState, now time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts
		WHERE lane = ? AND state = ? AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ? {skip locked}`,
		lane, string(state), Micros(now), limit)
}

// ClaimAttempts leases the most overdue attempts of a lane in a state to a node. A leased
// attempt has left the due index; its version fences the lease. A look at an open one answers its hint;
// whoever settles another asks only whether there is a job, and leaves the hint for the look.
func (tx *Tx) ClaimAttempts(lane string, state kinora.AttemptState, node string, now time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(`UPDATE attempts SET due_at = 0, hinted_at = CASE WHEN state = 'open' AND hinted_at > 0 THEN -hinted_at ELSE hinted_at END,
			lease_owner = ?, version = version + 1
		WHERE (generation_id, ordinal) IN (SELECT generation_id, ordinal FROM attempts
			WHERE lane = ? AND state = ? AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ? {skip locked})
		RETURNING `+attemptColumns,
		node, lane, string(state), Micros(now), limit)
}

// NextDue returns when the next attempt of a lane in a state falls due; zero = none waits.
func (tx *Tx) NextDue(lane string, state kinora.AttemptState) (time.Time, error) {
	var due int64
	err := tx.QueryRow(`SELECT coalesce(min(due_at), 0) FROM attempts WHERE lane = ? AND state = ? AND due_at > 0`, lane, string(state)).Scan(&due)
	return Time(due), err
}

// SaveAttempt writes every mutable field of a, provided that the row still has the state
// and version that the caller read, else ErrStale, and that no other attempt of the account has the upstream's job,
// else ErrTaken. The row's version grows by one; the
// one in memory does not, because the transaction may still fail and be run again.
//
// What callbacks wrote meanwhile is kept: an empty upstream id leaves the row's as it is,
// except when a new try begins (state submitting), and an attempt that stays open is due
// at once when it was hinted at since its claim.
func (tx *Tx) SaveAttempt(a *kinora.Attempt, from kinora.AttemptState) error {
	stale, err := tx.SaveAttempts([]AttemptSave{{a, from}})
	if err == nil && len(stale) > 0 {
		return ErrStale
	}
	return err
}

// AttemptSave is one write of SaveAttempts.
type AttemptSave struct {
	Attempt *kinora.Attempt
	From    kinora.AttemptState
}

// SaveAttempts is SaveAttempt for many; it returns those whose row had moved on.
func (tx *Tx) SaveAttempts(saves []AttemptSave) (stale []*kinora.Attempt, err error) {
	sets := make([][]any, len(saves))
	if len(saves) > 1 {
		// Attempts of one generation may be written by two at once: always in one order.
		saves = slices.SortedFunc(slices.Values(saves), func(a, b AttemptSave) int {
			return cmp.Or(cmp.Compare(a.Attempt.GenerationID, b.Attempt.GenerationID), cmp.Compare(a.Attempt.Ordinal, b.Attempt.Ordinal))
		})
	}
	for i, s := range saves {
		a := s.Attempt
		var failure kinora.Failure
		if a.Failure != nil {
			failure = *a.Failure
		}
		sets[i] = []any{a.Account, a.UpstreamModel, string(a.State),
			string(a.State), a.UpstreamID, a.UpstreamID, string(a.State), string(a.Handle), string(a.Handle), a.CallbackHash, string(a.CallbackMode),
			string(a.State), Micros(a.DueAt), string(a.State), a.LeaseOwner, a.Tries, a.Polls, a.ReadErrors, string(a.Result), a.ErrorClass, a.ErrorCode, a.ErrorMessage,
			Micros(a.SubmittedAt), Micros(a.AcceptedAt), Micros(a.DoneAt), Micros(a.FinishedAt), Micros(a.DeadlineAt), a.Progress, string(failure.Code), failure.Message,
			a.GenerationID, a.Ordinal, string(s.From), a.Version}
	}
	changed, err := tx.ExecMany(`UPDATE attempts SET account = ?, upstream_model = ?, state = ?,
		upstream_id = CASE WHEN ? = 'submitting' OR ? <> '' THEN ? ELSE upstream_id END,
		handle = CASE WHEN ? = 'submitting' OR ? <> '' THEN ? ELSE handle END, callback_hash = ?, callback_mode = ?,
		due_at = CASE WHEN ? = 'open' AND hinted_at > 0 THEN hinted_at ELSE ? END, hinted_at = CASE WHEN ? = 'submitting' THEN 0 ELSE hinted_at END,
		lease_owner = ?, tries = ?, polls = ?, read_errors = ?, result = ?, error_class = ?, error_code = ?, error_message = ?,
		submitted_at = ?, accepted_at = ?, done_at = ?, finished_at = ?, deadline_at = ?, progress = ?, failure_code = ?, failure_message = ?, version = version + 1
		WHERE generation_id = ? AND ordinal = ? AND state = ? AND version = ?`, sets)
	if err != nil {
		return nil, takenJob(err)
	}
	for i, n := range changed {
		if n == 0 {
			stale = append(stale, saves[i].Attempt)
		}
	}
	return stale, nil
}

// InFlight counts the attempts that hold a slot at an account, but no further than limit.
// On PostgreSQL it also makes other nodes' claims on the account wait for this
// transaction, so that two nodes together do not exceed a limit.
func (tx *Tx) InFlight(account string, limit int) (int, error) {
	if tx.pg != nil {
		if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(hashtextextended(?, 7))`, "account:"+account); err != nil {
			return 0, err
		}
	}
	return tx.Holding(account, limit)
}

// Holding is InFlight without its promise: others may claim meanwhile.
func (tx *Tx) Holding(account string, limit int) (int, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM attempts WHERE account = ?
		AND state IN ('submitting', 'unsettled', 'open') LIMIT ?) AS held`, account, limit).Scan(&n)
	return n, err
}

// InFlightByAccount counts the attempts that hold a slot, by account.
func (tx *Tx) InFlightByAccount() (map[string]int, error) {
	return tx.counts(`SELECT account, count(*) FROM attempts WHERE state IN ('submitting', 'unsettled', 'open') GROUP BY account`)
}

// CountSubmits adds n, which may be negative, to the submits of an account in the day that
// begins at day.
func (tx *Tx) CountSubmits(account string, day time.Time, n int) error {
	_, err := tx.Exec(`INSERT INTO account_days (account, day, submits) VALUES (?,?,?)
		ON CONFLICT (account, day) DO UPDATE SET submits = account_days.submits + excluded.submits`, account, Micros(day), n)
	return err
}

// SubmitsOfDay reads the counted submits of a day, by account.
func (tx *Tx) SubmitsOfDay(day time.Time) (map[string]int, error) {
	return tx.counts(`SELECT account, submits FROM account_days WHERE day = ?`, Micros(day))
}

func (tx *Tx) counts(query string, args ...any) (map[string]int, error) {
	out := map[string]int{}
	err := tx.Query(query, args, func(row Row) error {
		var name string
		var n int
		err := row.Scan(&name, &n)
		out[name] = n
		return err
	})
	return out, err
}

// AttemptByCallback finds the attempt that a callback token was made for by the token's hash, or ErrNotFound.
func (tx *Tx) AttemptByCallback(hash string) (*kinora.Attempt, error) {
	if hash == "" {
		return nil, ErrNotFound
	}
	return scanAttempt(tx.QueryRow(`SELECT `+attemptColumns+` FROM attempts WHERE callback_hash = ? AND callback_hash <> ''`, hash))
}

// HintAttempt notes that the upstream's state has changed: an open attempt is due now,
// and one that is being looked at or submitted will be as soon as that has ended.
func (tx *Tx) HintAttempt(a *kinora.Attempt, now time.Time) error {
	_, err := tx.Exec(`UPDATE attempts SET hinted_at = ?, due_at = CASE WHEN state = 'open' AND due_at > ? THEN ? ELSE due_at END
		WHERE generation_id = ? AND ordinal = ? AND state IN ('submitting', 'unsettled', 'open')`,
		Micros(now), Micros(now), Micros(now), a.GenerationID, a.Ordinal)
	return err
}

// LeasedAttempts lists the attempts that a node holds.
func (tx *Tx) LeasedAttempts(owner string) ([]*kinora.Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE lease_owner = ?`, owner)
}

// ReleaseAttempt gives back one lease, if a is still under the version that was read.
func (tx *Tx) ReleaseAttempt(a *kinora.Attempt, now time.Time) error {
	_, err := tx.Exec(`UPDATE attempts SET due_at = ?, lease_owner = '', version = version + 1
		WHERE generation_id = ? AND ordinal = ? AND version = ? AND lease_owner <> '' AND finished_at = 0`,
		Micros(now), a.GenerationID, a.Ordinal, a.Version)
	return err
}

// OverdueAttempts reads unfinished attempts whose deadline has passed, whoever holds them.
func (tx *Tx) OverdueAttempts(now time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE finished_at = 0 AND deadline_at <= ?
		ORDER BY deadline_at LIMIT ?`, Micros(now), limit)
}

// MovableAttempts reads queued attempts that have waited long enough for their route.
func (tx *Tx) MovableAttempts(now time.Time, limit int) ([]*kinora.Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE state = 'queued' AND move_at > 0 AND move_at <= ? AND due_at > 0
		ORDER BY move_at LIMIT ?`, Micros(now), limit)
}

// PostponeMoves lets queued attempts stay with their route until an instant.
func (tx *Tx) PostponeMoves(list []*kinora.Attempt, until time.Time) error {
	sets := make([][]any, len(list))
	for i, a := range list {
		sets[i] = []any{Micros(until), a.GenerationID, a.Ordinal}
	}
	_, err := tx.ExecMany(`UPDATE attempts SET move_at = ? WHERE generation_id = ? AND ordinal = ? AND state = 'queued'`, sets)
	return err
}

// LiveLanes lists the lanes that have claimable work, by skipping through the due index:
// its cost depends on the number of lanes, not of attempts.
func (tx *Tx) LiveLanes() ([]string, error) {
	var list []string
	err := tx.Query(`WITH RECURSIVE lanes(lane) AS (
			SELECT min(lane) FROM attempts WHERE due_at > 0
			UNION ALL
			SELECT (SELECT min(a.lane) FROM attempts a WHERE a.due_at > 0 AND a.lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL)
		SELECT lane FROM lanes WHERE lane IS NOT NULL`, nil, func(row Row) error {
		var lane string
		err := row.Scan(&lane)
		list = append(list, lane)
		return err
	})
	return list, err
}

// ReleaseAttempts makes attempts leased by owner claimable at once; an empty owner means
// everybody's leases.
func (tx *Tx) ReleaseAttempts(owner string, now time.Time) (int64, error) {
	return tx.Exec(`UPDATE attempts SET due_at = ?, lease_owner = '', version = version + 1
		WHERE lease_owner <> '' AND (? = '' OR lease_owner = ?) AND finished_at = 0`, Micros(now), owner, owner)
}
