package store

import (
	"context"
	"time"

	"github.com/kinora/kinora"
)

// TryBudget shortens what one try on PostgreSQL may take; not while transactions run.
func (db *DB) TryBudget(d time.Duration) { db.budget = d }

// GroupTime sets for how long SQLite's writer adds to a group; not while it writes.
func (db *DB) GroupTime(d time.Duration) { db.lite.groupTime = d }

// Queued is how many writes wait for SQLite's writer.
func (db *DB) Queued() int { return len(db.lite.queue) }

// Statements returns what a search asks the database, and with which arguments, when its
// reach ends at floor.
func (f DeliveryFilter) Statements(db *DB, floor string) (texts []string, args [][]any) {
	w, rest := f.split()
	for _, q := range []statement{w.floor(db.dialect, f.From, behindAll, 100), w.page(db.dialect, rest, max(f.From, floor), behindAll, 50)} {
		texts, args = append(texts, q.text), append(args, q.args)
	}
	return texts, args
}

// QueryEach runs a query for each key and drops the rows.
func (tx *Tx) QueryEach(query string, keys ...string) error {
	return tx.queryEach(query, keys, func(Row) error { return nil })
}

// GenerationStatements returns what a list asks the database for its first page, when its reach ends at floor.
func GenerationStatements(organisation string, f kinora.GenerationSearch, floor time.Time) (texts []string, args [][]any) {
	along, rest := walkGenerations(organisation, f)
	q := generationFloor(along, 1000)
	texts, args = append(texts, q.text), append(args, q.args)
	along.text += ` AND (created_at, id) >= (?, ?)`
	along.args = append(along.args, Micros(floor), "")
	q = generationPage(along, rest, 50)
	return append(texts, q.text), append(args, q.args)
}

// MigrateDown takes the schema back to an older version; Migrate brings it forward again.
func (db *DB) MigrateDown(ctx context.Context, version int64) error {
	p, done, err := db.goose()
	if err != nil {
		return err
	}
	defer done()
	_, err = p.DownTo(ctx, version)
	return err
}

// The statements whose plans tests look at.
const (
	LedgerQuery    = ledgerQuery
	UsageQuery     = usageQuery
	ApprovedQuery  = approvedQuery
	AssetFileQuery = knownAssetFileQuery
)
