// Package store keeps Kinora's truth in SQL: one text for SQLite and PostgreSQL, and one
// transaction type for both.
//
// It knows rows and the conditions under which they may change ("from which state, at
// which version"), not why they change: that is the lifecycle's and the webhooks' duty.
// It opens no network connection but the database's own.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Options say where the database is and how it is used.
type Options struct {
	// DSN is "postgres://…" for PostgreSQL, or the path of a SQLite file.
	DSN string
	// MaxConns bounds PostgreSQL connections of this process, or SQLite readers; 0 = 16, or 4.
	MaxConns int
	// ConnectTimeout bounds the first connection; 0 = 10 s.
	ConnectTimeout time.Duration
}

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	dialect dialect
	lite    *sqlite
	pg      *pgxpool.Pool
	budget  time.Duration // of one try on PostgreSQL; see tryBudget
	rebound sync.Map      // query text → text for the dialect

	auditIDs id.Sequence // entries of one transaction stand in the order in which they were written
}

type dialect int

const (
	dialectSQLite dialect = iota
	dialectPostgres
)

// Open opens the database without changing its schema; see Migrate.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.DSN == "" {
		return nil, &kinora.Error{Code: kinora.ErrInvalid, Op: "open database", Message: "no database is configured",
			Hint: "set database to a file name or to postgres://…"}
	}
	if IsPostgres(o.DSN) {
		return openPostgres(ctx, o)
	}
	return openSQLite(ctx, o)
}

// IsPostgres tells whether a DSN names PostgreSQL.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// Name is "sqlite" or "postgres".
func (db *DB) Name() string {
	if db.dialect == dialectPostgres {
		return "postgres"
	}
	return "sqlite"
}

// Shared tells whether other processes may work on the same database.
func (db *DB) Shared() bool { return db.dialect == dialectPostgres }

// Postgres returns the connection pool for River's driver; nil on SQLite.
func (db *DB) Postgres() *pgxpool.Pool { return db.pg }

// RiverSQLite returns a second, single-connection handle on the SQLite file for River,
// whose transactions would otherwise wait behind the grouped writer; nil on PostgreSQL.
func (db *DB) RiverSQLite() *sql.DB {
	if db.lite == nil {
		return nil
	}
	return db.lite.river
}

// Close waits for writes in progress and closes all connections.
func (db *DB) Close() error {
	if db.pg != nil {
		db.pg.Close()
		return nil
	}
	return db.lite.close()
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return db.View(ctx, func(tx *Tx) error {
		var one int
		return tx.QueryRow(`SELECT 1`).Scan(&one)
	})
}

// Update runs fn in a read-write transaction and returns once it is durable.
//
// On SQLite, calls that wait for the single writer share one commit: fn runs between
// savepoints on the writer's goroutine, so it must be quick, must not block on anything
// but its own statements, and must not call Update or View. On PostgreSQL fn may run
// again after a serialisation failure or deadlock: it must be free of other effects,
// and all of it must be done within 15 s. On both, a statement that failed has ended
// its transaction: fn returns the error. A panic of fn becomes an error.
//
// When ctx ends before fn has run, nothing happens and the error is ctx's; once it has
// run, Update waits for the commit's outcome regardless of ctx, because the caller must
// know it. An error of code kinora.ErrUnavailable says that a later try may succeed, and
// nearly always that nothing was changed: see there for the exception.
func (db *DB) Update(ctx context.Context, fn func(tx *Tx) error) error {
	if db.dialect == dialectPostgres {
		return db.updatePostgres(ctx, fn)
	}
	return db.lite.update(ctx, db, fn)
}

// View runs fn in a read-only transaction that sees one snapshot.
func (db *DB) View(ctx context.Context, fn func(tx *Tx) error) error {
	if db.dialect == dialectPostgres {
		return db.viewPostgres(ctx, fn)
	}
	return db.lite.view(ctx, db, fn)
}

// unavailable marks errors after which a later try may succeed. Before the commit they
// mean that nothing was changed. At the commit they do not: when PostgreSQL's answer to
// it was lost, or when the disk failed SQLite's sync and the machine then went down, the
// transaction may stand as a whole. A repeated write must therefore recognise its own
// first try: by the row's version (ErrStale), its key, or an Idempotency-Key (Remember).
func unavailable(op, hint string, err error) error {
	return &kinora.Error{Code: kinora.ErrUnavailable, Op: op, Message: "the database is out of reach",
		Hint: hint, RetryAfter: time.Second, Err: err}
}

// ErrStale says that a row was not in the state or version that a write named: somebody
// else has moved it on, and the caller drops what it was about to write.
var ErrStale = errors.New("store: the row has moved on")

// ErrNotFound says that no row matches.
var ErrNotFound = errors.New("store: not found")

// rebind turns the common text into the dialect's: "?" to "$1" and the words in braces,
// which stand for the few places where the dialects differ.
func (db *DB) rebind(query string) string {
	if v, ok := db.rebound.Load(query); ok {
		return v.(string)
	}
	text := query
	if db.dialect == dialectPostgres {
		text = strings.ReplaceAll(text, "{skip locked}", "FOR UPDATE SKIP LOCKED")
		text = strings.ReplaceAll(text, "{for update}", "FOR UPDATE")
		text = strings.ReplaceAll(text, "{for share}", "FOR SHARE")
		var b strings.Builder
		n := 0
		for _, r := range text {
			if r == '?' {
				n++
				fmt.Fprintf(&b, "$%d", n)
				continue
			}
			b.WriteRune(r)
		}
		text = b.String()
	} else {
		text = strings.ReplaceAll(text, "{skip locked}", "")
		text = strings.ReplaceAll(text, "{for update}", "")
		text = strings.ReplaceAll(text, "{for share}", "")
	}
	db.rebound.Store(query, text)
	return text
}

// Micros turns a time into the column form: microseconds since 1970, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the reverse of Micros.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
