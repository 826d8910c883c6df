package store

import "time"

// TryBudget shortens what one try on PostgreSQL may take; not while transactions run.
func (db *DB) TryBudget(d time.Duration) { db.budget = d }

// GroupTime sets for how long SQLite's writer adds to a group; not while it writes.
func (db *DB) GroupTime(d time.Duration) { db.lite.groupTime = d }

// Queued is how many writes wait for SQLite's writer.
func (db *DB) Queued() int { return len(db.lite.queue) }
