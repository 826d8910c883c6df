package store

import (
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// How much work waits. All counts go along indexes that hold no finished work, and end at a
// limit, so that a large backlog is not read for a number.

// laneDepths finds the lanes by skipping through the due index, as LiveLanes does.
const laneDepths = `WITH RECURSIVE lanes(lane) AS (
		SELECT min(lane) FROM attempts WHERE due_at > 0
		UNION ALL
		SELECT (SELECT min(a.lane) FROM attempts a WHERE a.due_at > 0 AND a.lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL)
	SELECT lanes.lane, s.state,
		(SELECT count(*) FROM (SELECT 1 FROM attempts a WHERE a.lane = lanes.lane AND a.state = s.state AND a.due_at > 0 AND a.due_at <= ? LIMIT ?) AS due),
		(SELECT count(*) FROM (SELECT 1 FROM attempts a WHERE a.lane = lanes.lane AND a.state = s.state AND a.due_at > ? LIMIT ?) AS waiting),
		(SELECT coalesce(min(a.due_at), 0) FROM attempts a WHERE a.lane = lanes.lane AND a.state = s.state AND a.due_at > 0)
	FROM lanes CROSS JOIN (SELECT 'queued' AS state UNION ALL SELECT 'submitting' UNION ALL SELECT 'unsettled' UNION ALL SELECT 'open' UNION ALL SELECT 'collecting') AS s
	WHERE lanes.lane IS NOT NULL ORDER BY lanes.lane, s.state`

// LaneDepths counts what waits in each lane and state, each number up to limit. Empty ones are
// left out.
func (tx *Tx) LaneDepths(now time.Time, limit int) ([]kinora.LaneDepth, error) {
	var list []kinora.LaneDepth
	at := Micros(now)
	err := tx.Query(laneDepths, []any{at, limit, at, limit}, func(row Row) error {
		var (
			d      kinora.LaneDepth
			state  string
			oldest int64
		)
		if err := row.Scan(&d.Lane, &state, &d.Due, &d.Waiting, &oldest); err != nil {
			return err
		}
		d.State = kinora.AttemptState(state)
		if d.Due > 0 {
			d.OldestDue = Time(oldest)
		}
		if d.Due+d.Waiting > 0 {
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

const workDepths = `SELECT
	(SELECT count(*) FROM (SELECT 1 FROM attempts WHERE lease_owner <> '' LIMIT ?) AS a),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE retry IN (0, 1) AND due_at > 0 AND due_at <= ? LIMIT ?) AS b),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE retry IN (0, 1) AND due_at > 0 AND due_at > ? LIMIT ?) AS c),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE lease_owner <> '' LIMIT ?) AS d),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'held' LIMIT ?) AS e),
	(SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'dead' LIMIT ?) AS f),
	(SELECT count(*) FROM (SELECT 1 FROM replays WHERE state = 'running' LIMIT ?) AS g),
	(SELECT count(*) FROM (SELECT 1 FROM source_assets WHERE due_at > 0 AND due_at <= ? LIMIT ?) AS h),
	(SELECT count(*) FROM (SELECT 1 FROM source_assets WHERE due_at > 0 AND due_at > ? LIMIT ?) AS i),
	(SELECT count(*) FROM (SELECT 1 FROM source_assets WHERE lease_owner <> '' LIMIT ?) AS j),
	(SELECT count(*) FROM (SELECT 1 FROM reviews WHERE state = 'pending' LIMIT ?) AS k),
	(SELECT coalesce(min(created_at), 0) FROM reviews WHERE state = 'pending')`

func workDepthArgs(now time.Time, limit int) []any {
	at := Micros(now)
	return []any{limit, at, limit, at, limit, limit, limit, limit, limit, at, limit, at, limit, limit, limit}
}

// Queues counts what waits beside the lanes, each number up to limit.
func (tx *Tx) Queues(now time.Time, limit int) (q kinora.Queues, err error) {
	var oldest int64
	err = tx.QueryRow(workDepths, workDepthArgs(now, limit)...).Scan(&q.AttemptsInHand, &q.Deliveries.Due, &q.Deliveries.Waiting, &q.Deliveries.InHand,
		&q.HeldDeliveries, &q.DeadDeliveries, &q.Replays, &q.Ingests.Due, &q.Ingests.Waiting, &q.Ingests.InHand, &q.Reviews, &oldest)
	q.OldestReview = Time(oldest)
	if err != nil {
		return q, err
	}
	if q.Lanes, err = tx.LaneDepths(now, limit); err != nil {
		return q, err
	}
	if q.Upkeep, err = tx.upkeepDepths(limit); err != nil {
		return q, err
	}
	q.Nodes, err = tx.nodeList(limit)
	return q, err
}

// upkeepStates are those of River's jobs that tell of work to come or gone wrong.
var upkeepStates = []string{"available", "running", "retryable", "scheduled", "discarded"}

// upkeepDepths counts River's jobs by state. On PostgreSQL a state is of a type of its own, which
// only words in the text are taken for.
func upkeepDepths() string {
	counts := make([]string, len(upkeepStates))
	for i, state := range upkeepStates {
		counts[i] = `(SELECT count(*) FROM (SELECT 1 FROM river_job WHERE state = '` + state + `' LIMIT ?) AS jobs)`
	}
	return `SELECT ` + strings.Join(counts, ", ")
}

func (tx *Tx) upkeepDepths(limit int) ([]kinora.UpkeepDepth, error) {
	all := make([]kinora.UpkeepDepth, len(upkeepStates))
	args, into := make([]any, len(all)), make([]any, len(all))
	for i, state := range upkeepStates {
		all[i].State = state
		args[i], into[i] = limit, &all[i].Jobs
	}
	err := tx.QueryRow(upkeepDepths(), args...).Scan(into...)
	return slices.DeleteFunc(all, func(d kinora.UpkeepDepth) bool { return d.Jobs == 0 }), err
}

const nodeList = `SELECT n.id, n.started_at, n.beat_at,
	(SELECT count(*) FROM (SELECT 1 FROM attempts WHERE lease_owner <> '' AND lease_owner = n.id
		UNION ALL SELECT 1 FROM deliveries WHERE lease_owner <> '' AND lease_owner = n.id
		UNION ALL SELECT 1 FROM source_assets WHERE lease_owner <> '' AND lease_owner = n.id LIMIT ?) AS held)
	FROM nodes n ORDER BY n.started_at, n.id`

func (tx *Tx) nodeList(limit int) ([]kinora.Node, error) {
	var list []kinora.Node
	err := tx.Query(nodeList, []any{limit}, func(row Row) error {
		var (
			n             kinora.Node
			started, beat int64
		)
		err := row.Scan(&n.ID, &started, &beat, &n.InHand)
		n.StartedAt, n.BeatAt = Time(started), Time(beat)
		list = append(list, n)
		return err
	})
	return list, err
}
