package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

// errNotGiven undoes what a request took of other rates before one refused.
var errNotGiven = errors.New("store: a rate gives no more")

const (
	// The instant is the database's own, so that nodes whose clocks differ count alike.
	takeRate = `INSERT INTO rate_limits AS r (who, full_at)
		SELECT CAST(? AS TEXT), CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) + CAST(? AS BIGINT)
		ON CONFLICT (who) DO UPDATE SET full_at = GREATEST(r.full_at, excluded.full_at - CAST(? AS BIGINT)) + CAST(? AS BIGINT)
		WHERE GREATEST(r.full_at, excluded.full_at - CAST(? AS BIGINT)) + 2 * CAST(? AS BIGINT) - excluded.full_at <= CAST(? AS BIGINT)
		RETURNING full_at - CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`
	readRate = `SELECT full_at - CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) FROM rate_limits WHERE who = ?`
)

// TakeRates asks for one of each rate, of all of them or, where one gives none, of none. It
// is exact over all nodes that share the database, which has to be PostgreSQL. The states
// are in the order of the rates. What was counted may be forgotten when the server crashes.
func (db *DB) TakeRates(ctx context.Context, rates []kinora.Rate) ([]kinora.RateState, error) {
	states := make([]kinora.RateState, len(rates))
	order := make([]int, len(rates))
	for i := range order {
		order[i] = i
	}
	// Rows are locked in one order everywhere.
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(rates[a].Who, rates[b].Who) })
	err := db.Update(ctx, func(tx *Tx) error {
		// Nobody is told of these counts before they are used: they need not wait for the disk.
		if _, err := tx.Exec(`SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		for _, i := range order {
			step, burst := rates[i].Step.Microseconds(), rates[i].Burst.Microseconds()
			var full int64
			err := tx.QueryRow(takeRate, rates[i].Who, step, step, step, step, step, burst).Scan(&full)
			if errors.Is(err, ErrNotFound) {
				return errNotGiven
			}
			if err != nil {
				return err
			}
			states[i] = kinora.RateState{Given: true, Full: time.Duration(full) * time.Microsecond}
		}
		return nil
	})
	if errors.Is(err, errNotGiven) {
		err = db.readRates(ctx, rates, states)
	}
	return states, err
}

// readRates tells which of the rates have none left.
func (db *DB) readRates(ctx context.Context, rates []kinora.Rate, states []kinora.RateState) error {
	return db.View(ctx, func(tx *Tx) error {
		refused := false
		for i, r := range rates {
			var full int64
			if err := tx.QueryRow(readRate, r.Who).Scan(&full); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			left := max(0, time.Duration(full)*time.Microsecond)
			states[i] = kinora.RateState{Given: left+r.Step <= r.Burst, Full: left}
			refused = refused || !states[i].Given
		}
		if !refused {
			// One has been gained since. The request was refused all the same: say so of the scarcest.
			scarcest := 0
			for i, r := range rates {
				if r.Burst-states[i].Full < rates[scarcest].Burst-states[scarcest].Full {
					scarcest = i
				}
			}
			states[scarcest].Given = false
		}
		return nil
	})
}

// ForgetRates removes what has been full since before an instant, at most limit of them: it
// counts for nothing any more.
func (tx *Tx) ForgetRates(before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM rate_limits WHERE who IN (SELECT who FROM rate_limits WHERE full_at < ? LIMIT ?)`, Micros(before), limit)
}
