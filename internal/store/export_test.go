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
	LedgerQuery      = ledgerQuery
	UsageQuery       = usageQuery
	CommitmentsQuery = commitmentsQuery
	ApprovedQuery    = approvedQuery
	AssetFileQuery   = knownAssetFileQuery

	RegenerationsQuery = regenerationsQuery
	PendingOfAll       = pendingOfAll
	PendingOfOne       = pendingOfOne
)

// BriefAttemptsQuery is what the attempts of so many deliveries are asked for by.
func BriefAttemptsQuery(deliveries int) string { return briefAttempts(deliveries) }

// AuditStatements returns what a page of the audit log asks the database, when its reach ends at floor.
func AuditStatements(db *DB, f kinora.AuditFilter, floor string) (texts []string, args [][]any) {
	w, rest, first, end := walkAudit(f)
	for _, q := range []statement{auditFloor(db.dialect, w, first, end, 1000), auditRows(db.dialect, w, rest, max(first, floor), end, 50)} {
		texts, args = append(texts, q.text), append(args, q.args)
	}
	return texts, args
}

// OperatorStatement is a query of what operators look at, with its arguments and what its plan may not lack.
type OperatorStatement struct {
	Name, Text string
	Args       []any
	Indexes    []string // that its plan names, on both databases
}

// OperatorStatements are the queries that operators' views ask.
func OperatorStatements(now time.Time) []OperatorStatement {
	at := Micros(now)
	return []OperatorStatement{
		{"unsettled", unsettledAttempts, []any{50}, []string{"attempts_unsettled"}},
		{"unreadable", unreadableAttempts, []any{50}, []string{"attempts_unreadable"}},
		{"unknown", unknownAttempts, []any{at, 50}, []string{"attempts_unknown"}},
		{"contested", contestedAttempts, []any{at, 50}, []string{"attempts_contested"}},
		{"job holders", jobHolders, []any{"up_1", "fake", "main", "up_1", "fake", "main"}, []string{"attempts_jobs", "attempts_ended_jobs"}},
		{"live", liveAttempts, []any{10_000}, []string{"attempts_deadline"}},
		{"ended generations", endedGenerations, []any{at, 10_000}, []string{"generations_done"}},
		{"lanes", laneDepths, []any{at, 100, at, 100}, []string{"attempts_due"}},
		{"work", workDepths, workDepthArgs(now, 100), []string{"attempts_leased", "deliveries_due", "deliveries_leased", "deliveries_held", "deliveries_dead",
			"replays_running", "source_assets_due", "source_assets_leased", "reviews_pending"}},
		{"nodes", nodeList, []any{100}, []string{"attempts_leased", "deliveries_leased", "source_assets_leased"}},
		{"outputs kept", outputsKept, []any{1000}, []string{"outputs_kept"}},
		{"held", heldFor, []any{"org_1 https://a.example:443", 100}, []string{"deliveries_held"}},
	}
}

// UsageSeriesQuery is what a settled question asks the database.
func UsageSeriesQuery(q kinora.UsageQuestion) string { return usageSeriesQuery(q) }
