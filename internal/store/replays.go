package store

import (
	"encoding/json"
	"time"

	"github.com/kinora/kinora"
)

const replayColumns = `id, organisation_id, filter, rate, state, position, end_id, total, revived, passed, lease_owner, version,
	created_at, updated_at, finished_at`

// InsertReplay writes a new replay.
func (tx *Tx) InsertReplay(r *kinora.Replay) error {
	filter, err := json.Marshal(r.Filter)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO replays (id, organisation_id, filter, rate, state, position, end_id, total, created_at, updated_at)
		VALUES (?,?,?,?,?,?,?,?,?,?)`,
		r.ID, r.OrganisationID, string(filter), r.Rate, string(r.State), r.Position, r.End, r.Total, Micros(r.CreatedAt), Micros(r.UpdatedAt))
	return err
}

func scanReplay(row Row) (*kinora.Replay, error) {
	var (
		r                          kinora.Replay
		filter, state              string
		created, updated, finished int64
	)
	err := row.Scan(&r.ID, &r.OrganisationID, &filter, &r.Rate, &state, &r.Position, &r.End, &r.Total, &r.Revived, &r.Passed, &r.LeaseOwner, &r.Version,
		&created, &updated, &finished)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(filter), &r.Filter); err != nil {
		return nil, err
	}
	r.State, r.CreatedAt, r.UpdatedAt, r.FinishedAt = kinora.ReplayState(state), Time(created), Time(updated), Time(finished)
	return &r, nil
}

// Replay reads one replay, or ErrNotFound. An empty organisation reads any.
func (tx *Tx) Replay(organisation, id string) (*kinora.Replay, error) {
	return scanReplay(tx.QueryRow(`SELECT `+replayColumns+` FROM replays WHERE id = ? AND (? = '' OR organisation_id = ?)`, id, organisation, organisation))
}

func (tx *Tx) replays(query string, args ...any) ([]*kinora.Replay, error) {
	var list []*kinora.Replay
	err := tx.Query(query, args, func(row Row) error {
		r, err := scanReplay(row)
		if err == nil {
			list = append(list, r)
		}
		return err
	})
	return list, err
}

// Replays lists replays, newest first, at most limit. An empty organisation means all.
func (tx *Tx) Replays(organisation string, limit int) ([]*kinora.Replay, error) {
	if organisation == "" {
		return tx.replays(`SELECT `+replayColumns+` FROM replays ORDER BY id DESC LIMIT ?`, limit)
	}
	return tx.replays(`SELECT `+replayColumns+` FROM replays WHERE organisation_id = ? ORDER BY id DESC LIMIT ?`, organisation, limit)
}

// RunningReplays lists the replays that have not ended, oldest first, at most limit. An empty
// organisation means all.
func (tx *Tx) RunningReplays(organisation string, limit int) ([]*kinora.Replay, error) {
	return tx.replays(`SELECT `+replayColumns+` FROM replays WHERE state = 'running' AND (? = '' OR organisation_id = ?) ORDER BY id LIMIT ?`,
		organisation, organisation, limit)
}

// SaveReplay writes a running replay's progress, state and lease, if it is still at its
// version; else ErrStale. The row's version grows by one; the one in memory does not.
func (tx *Tx) SaveReplay(r *kinora.Replay) error {
	n, err := tx.Exec(`UPDATE replays SET state = ?, position = ?, total = ?, revived = ?, passed = ?, lease_owner = ?, updated_at = ?, finished_at = ?,
		version = version + 1 WHERE id = ? AND version = ? AND state = 'running'`,
		string(r.State), r.Position, r.Total, r.Revived, r.Passed, r.LeaseOwner, Micros(r.UpdatedAt), Micros(r.FinishedAt), r.ID, r.Version)
	if err == nil && n == 0 {
		return ErrStale
	}
	return err
}

// ReleaseReplays gives back the replays leased by owner; an empty owner means everybody's.
func (tx *Tx) ReleaseReplays(owner string) (int64, error) {
	return tx.Exec(`UPDATE replays SET lease_owner = '', version = version + 1
		WHERE state = 'running' AND lease_owner <> '' AND (? = '' OR lease_owner = ?)`, owner, owner)
}

// replayed turns a replay into the walk along its deliveries and what else they are held against.
func replayed(r *kinora.Replay) (w walk, rest []condition) {
	f := DeliveryFilter{Organisation: r.OrganisationID, Endpoint: r.Filter.EndpointID, Destination: r.Filter.Destination}
	if !r.Filter.Delivered {
		f.State = kinora.DeliveryDead
	}
	w, rest = f.split()
	if r.Filter.Delivered {
		rest = append(rest, condition{text: `state || '' IN ('dead', 'delivered')`})
	}
	if r.Filter.EventType != "" {
		rest = append(rest, condition{`event_type || '' = ?`, []any{string(r.Filter.EventType)}})
	}
	return w, rest
}

// ReplayStep finds the next deliveries of a replay, behind the id after, oldest first: at most
// limit of them, among the next reach. position is how far it has looked; done says that this
// was the last.
func (tx *Tx) ReplayStep(r *kinora.Replay, after string, limit, reach int) (ids []string, position string, done bool, err error) {
	w, rest := replayed(r)
	on, first := tx.db.dialect, behind(after)
	where, args, order := w.between(on, first, r.End)
	ceiling := ""
	err = tx.Query(`SELECT id FROM deliveries WHERE `+where+upwards(order)+` LIMIT 1 OFFSET ?`, append(args, reach-1), func(row Row) error {
		return row.Scan(&ceiling)
	})
	if err != nil {
		return nil, "", false, err
	}
	position, end := r.End, r.End
	if ceiling != "" {
		position, end = ceiling, behind(ceiling)
	}
	where, args, order = w.between(on, first, end)
	for _, c := range rest {
		where += ` AND ` + c.text
		args = append(args, c.args...)
	}
	err = tx.Query(`SELECT id FROM deliveries WHERE `+where+upwards(order)+` LIMIT ?`, append(args, limit), func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if len(ids) == limit {
		return ids, ids[limit-1], false, err
	}
	return ids, position, ceiling == "", err
}

// Revive gives dead deliveries their whole schedule once more, beginning now, and delivered
// ones too where the replay says so. What is on its way is left alone. It returns how many it
// has changed.
func (tx *Tx) Revive(r *kinora.Replay, ids []string, now time.Time) (revived int, err error) {
	also := kinora.DeliveryDead
	if r.Filter.Delivered {
		also = kinora.DeliveryDelivered
	}
	sets := make([][]any, len(ids))
	for i, id := range ids {
		sets[i] = []any{Micros(now), r.ID, id, string(also)}
	}
	changed, err := tx.ExecMany(`UPDATE deliveries SET state = 'pending', retry = 1, schedule_from = attempts, due_at = ?, replay_id = ?, finished_at = 0,
		version = version + 1 WHERE id = ? AND state IN ('dead', ?)`, sets)
	for _, n := range changed {
		revived += int(n)
	}
	return revived, err
}

// ReplayOutcomes counts what became of the deliveries that a replay was the last to revive,
// by their states. Those that retention has removed are not among them.
func (tx *Tx) ReplayOutcomes(id string) (map[kinora.DeliveryState]int, error) {
	counts := map[kinora.DeliveryState]int{}
	err := tx.Query(`SELECT state, count(*) FROM deliveries WHERE replay_id = ? AND replay_id <> '' GROUP BY state`, []any{id}, func(row Row) error {
		var (
			state string
			n     int
		)
		err := row.Scan(&state, &n)
		counts[kinora.DeliveryState(state)] = n
		return err
	})
	return counts, err
}

// TrimReplays removes replays that ended before an instant, at most limit of them.
func (tx *Tx) TrimReplays(before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE finished_at > 0 AND finished_at <= ? ORDER BY finished_at LIMIT ?)`,
		Micros(before), limit)
}
