package store

import (
	"encoding/json"
	"strings"
	"time"
)

// Beat notes that a node is alive and which master keys it has (their ids, the current one first), making its row when
// there is none; it then reports true: either this is the first beat, or others have declared the node dead.
func (tx *Tx) Beat(node string, masterKeys []string, started, now time.Time) (made bool, err error) {
	keys := strings.Join(masterKeys, " ")
	n, err := tx.Exec(`UPDATE nodes SET beat_at = ?, master_keys = ? WHERE id = ?`, Micros(now), keys, node)
	if err != nil || n > 0 {
		return false, err
	}
	_, err = tx.Exec(`INSERT INTO nodes (id, master_keys, started_at, beat_at) VALUES (?,?,?,?)`, node, keys, Micros(started), Micros(now))
	return true, err
}

// NodeKeys lists the nodes heard of since an instant, with the ids of their master keys, the current one first.
func (tx *Tx) NodeKeys(since time.Time) (map[string][]string, error) {
	list := map[string][]string{}
	err := tx.Query(`SELECT id, master_keys FROM nodes WHERE beat_at >= ?`, []any{Micros(since)}, func(row Row) error {
		var id, keys string
		err := row.Scan(&id, &keys)
		list[id] = strings.Fields(keys)
		return err
	})
	return list, err
}

// Nodes lists the live nodes and when each was last heard of.
func (tx *Tx) Nodes() (map[string]time.Time, error) {
	list := map[string]time.Time{}
	err := tx.Query(`SELECT id, beat_at FROM nodes`, nil, func(row Row) error {
		var (
			id   string
			beat int64
		)
		err := row.Scan(&id, &beat)
		list[id] = Time(beat)
		return err
	})
	return list, err
}

// RemoveSilentNode is RemoveNode for a node whose last sign of life is still the one that
// the caller judged by; otherwise it does nothing.
func (tx *Tx) RemoveSilentNode(node string, beat, now time.Time) (released int64, err error) {
	n, err := tx.Exec(`DELETE FROM nodes WHERE id = ? AND beat_at = ?`, node, Micros(beat))
	if err != nil || n == 0 {
		return 0, err
	}
	return tx.RemoveNode(node, now)
}

// StrangeOwners lists who holds leases without being a known node: one that was declared
// dead, went on, and died before its next sign of life.
func (tx *Tx) StrangeOwners() ([]string, error) {
	var list []string
	err := tx.Query(`SELECT DISTINCT lease_owner FROM (
			SELECT lease_owner FROM attempts WHERE lease_owner <> ''
			UNION ALL SELECT lease_owner FROM deliveries WHERE lease_owner <> ''
			UNION ALL SELECT lease_owner FROM source_assets WHERE lease_owner <> ''
			UNION ALL SELECT lease_owner FROM replays WHERE state = 'running' AND lease_owner <> '') AS held
		WHERE lease_owner NOT IN (SELECT id FROM nodes)`, nil, func(row Row) error {
		var s string
		err := row.Scan(&s)
		list = append(list, s)
		return err
	})
	return list, err
}

// RemoveNode forgets a node and gives back everything it had leased.
func (tx *Tx) RemoveNode(node string, now time.Time) (released int64, err error) {
	if _, err := tx.Exec(`DELETE FROM nodes WHERE id = ?`, node); err != nil {
		return 0, err
	}
	a, err := tx.ReleaseAttempts(node, now)
	if err != nil {
		return 0, err
	}
	d, err := tx.ReleaseDeliveries(node, now)
	if err != nil {
		return 0, err
	}
	i, err := tx.ReleaseIngests(node, now)
	if err != nil {
		return 0, err
	}
	r, err := tx.ReleaseReplays(node)
	return a + d + i + r, err
}

// RemoveAllNodes does so for every node: right when this process is the only one.
func (tx *Tx) RemoveAllNodes(now time.Time) (released int64, err error) {
	if _, err := tx.Exec(`DELETE FROM nodes`); err != nil {
		return 0, err
	}
	a, err := tx.ReleaseAttempts("", now)
	if err != nil {
		return 0, err
	}
	d, err := tx.ReleaseDeliveries("", now)
	if err != nil {
		return 0, err
	}
	i, err := tx.ReleaseIngests("", now)
	if err != nil {
		return 0, err
	}
	r, err := tx.ReleaseReplays("")
	return a + d + i + r, err
}

// LearntDurations reads what generations of each model took upstream.
func (tx *Tx) LearntDurations() (map[string][]time.Duration, error) {
	learnt := map[string][]time.Duration{}
	err := tx.Query(`SELECT model, samples FROM learnt_durations`, nil, func(row Row) error {
		var model, text string
		if err := row.Scan(&model, &text); err != nil {
			return err
		}
		var ms []int64
		if err := json.Unmarshal([]byte(text), &ms); err != nil {
			return err
		}
		list := make([]time.Duration, len(ms))
		for i, m := range ms {
			list[i] = time.Duration(m) * time.Millisecond
		}
		learnt[model] = list
		return nil
	})
	return learnt, err
}

// SaveLearntDurations replaces the samples of a model.
func (tx *Tx) SaveLearntDurations(model string, samples []time.Duration, now time.Time) error {
	ms := make([]int64, len(samples))
	for i, d := range samples {
		ms[i] = d.Milliseconds()
	}
	text, err := json.Marshal(ms)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO learnt_durations (model, samples, updated_at) VALUES (?,?,?)
		ON CONFLICT (model) DO UPDATE SET samples = excluded.samples, updated_at = excluded.updated_at`,
		model, string(text), Micros(now))
	return err
}
