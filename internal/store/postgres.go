package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/kinora/kinora"
)

// pgRetries is how often a transaction that lost against another one is run again.
const pgRetries = 4

func openPostgres(ctx context.Context, o Options) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		// pgx repeats the DSN in its error, password included.
		return nil, &kinora.Error{Code: kinora.ErrInvalid, Op: "open database", Message: "the PostgreSQL address cannot be read",
			Hint: "use postgres://user:password@host:5432/name"}
	}
	cfg.MaxConns = 16
	if o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns)
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	// A dead server is found by the next use, not by waiting for TCP to give up.
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	cfg.ConnConfig.RuntimeParams["application_name"] = "kinora"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, unavailable("open database", "is PostgreSQL running and reachable?", err)
	}
	timeout := o.ConnectTimeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	pingCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := pool.Ping(pingCtx); err != nil {
		pool.Close()
		return nil, unavailable("open database", "is PostgreSQL running and reachable, and are user, password and database name right?", err)
	}
	return &DB{dialect: dialectPostgres, pg: pool, dsn: o.DSN}, nil
}

func (db *DB) updatePostgres(ctx context.Context, fn func(*Tx) error) error {
	for try := 0; ; try++ {
		err := db.oncePostgres(ctx, pgx.TxOptions{}, fn)
		if try >= pgRetries || !lostRace(err) {
			return err
		}
	}
}

func (db *DB) viewPostgres(ctx context.Context, fn func(*Tx) error) error {
	return db.oncePostgres(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, fn)
}

func (db *DB) oncePostgres(ctx context.Context, o pgx.TxOptions, fn func(*Tx) error) error {
	t, err := db.pg.BeginTx(ctx, o)
	if err != nil {
		return classify("begin", err)
	}
	// The commit must not be torn away by a caller that has gone: its outcome decides
	// what the caller is told. A broken server still ends it.
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := fn(&Tx{ctx: ctx, db: db, pg: t}); err != nil {
		_ = t.Rollback(commitCtx)
		return err
	}
	return classify("commit", t.Commit(commitCtx))
}

// lostRace reports serialisation failures and deadlocks: the transaction did nothing and may run again.
func lostRace(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01")
}

// outOfReach recognises errors that say that the database, not the statement, is at fault.
func outOfReach(err error) (hint string, yes bool) {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch {
		case strings.HasPrefix(pe.Code, "08"), strings.HasPrefix(pe.Code, "57P"):
			return "PostgreSQL is stopping, starting or has closed the connection", true
		case pe.Code == "53300":
			return "PostgreSQL has no connection left; raise max_connections or lower database_max_conns", true
		case strings.HasPrefix(pe.Code, "53"):
			return "PostgreSQL is out of disk, memory or another resource", true
		case pe.Code == "25006":
			return "PostgreSQL is read-only: is this a standby?", true
		}
		return "", false
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	if errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool") {
		return "is PostgreSQL running and reachable?", true
	}
	return sqliteOutOfReach(err)
}
