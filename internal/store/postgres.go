package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/kinora/kinora"
)

// pgRetries is how often a transaction that lost against another one is run again.
const pgRetries = 4

const (
	// tryBudget bounds one try of a transaction, begin to commit: far above what any takes.
	tryBudget = 15 * time.Second
	// rollbackBudget bounds the rollback after that; a connection that does not manage it is closed.
	rollbackBudget = 3 * time.Second
	// connectBudget bounds a new connection, and the sign of life asked of an idle one.
	connectBudget = 5 * time.Second
)

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
	cfg.ConnConfig.ConnectTimeout = connectBudget
	cfg.PingTimeout = connectBudget
	cfg.ConnConfig.DialFunc = dialer().DialContext
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
	return &DB{dialect: dialectPostgres, pg: pool, budget: tryBudget}, nil
}

// dialer makes connections that notice a peer that has vanished without a word, also
// where no budget runs: River's connections wait for notifications for hours.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			// Keepalive rests while sent bytes wait for their acknowledgement; this does not.
			return limitUnacknowledged(c, 30*time.Second)
		},
	}
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

// oncePostgres runs one try. Its budget spans begin, fn and commit, because a server
// that hangs, or a network that swallows packets, would otherwise hold the caller until
// TCP gives up, which takes a quarter of an hour.
func (db *DB) oncePostgres(ctx context.Context, o pgx.TxOptions, fn func(*Tx) error) error {
	end := time.Now().Add(db.budget)
	try, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	t, err := db.pg.BeginTx(try, o)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		// Whatever keeps a transaction from beginning is no fault of the caller's.
		return unreachable("begin", try, err)
	}
	// The caller may have gone and the budget be spent: the connection must return to
	// the pool all the same, or leave it. After a commit this does nothing.
	defer func() {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackBudget)
		defer cancel()
		_ = t.Rollback(back)
	}()
	tx := &Tx{ctx: try, db: db, pg: t}
	tx.actor, _ = kinora.ActorOf(ctx)
	if err := protect(func() error { return fn(tx) }); err != nil {
		return interrupted(ctx, try, err)
	}
	// The commit must not be torn away by a caller that has gone: its outcome decides
	// what the caller is told.
	last, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	err = t.Commit(last)
	var answer *pgconn.PgError
	if err == nil || errors.As(err, &answer) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return classify("commit", err)
	}
	return unreachable("commit", last, err)
}

// interrupted tells apart why fn failed: by its own error, by the end of the caller's
// context, or by the end of the budget.
func interrupted(ctx, try context.Context, err error) error {
	timeout := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	case ctx.Err() != nil && (timeout || kinora.CodeOf(err) == kinora.ErrUnavailable):
		// pgx closes the connection on which it broke off; statements after that say so.
		return ctx.Err()
	case timeout && try.Err() != nil:
		return unreachable("transaction", try, err)
	}
	return err
}

// unreachable makes err unavailable. A time-out of the store's own must not look like
// the end of the caller's context: its cause is kept as text.
func unreachable(op string, own context.Context, err error) error {
	hint, ok := "", false
	if own.Err() != nil {
		hint, ok = "PostgreSQL does not answer in time: is it overloaded, or the network broken?", true
	} else if hint, ok = outOfReach(err); !ok {
		hint = "is PostgreSQL running and reachable?"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %v", errNoAnswer, err)
	}
	return unavailable("database "+op, hint, err)
}

var errNoAnswer = errors.New("no answer from PostgreSQL in time")

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
		case lostRace(err):
			return "transactions keep getting in each other's way; another try later may pass", true
		case pe.Code == "57014", pe.Code == "55P03":
			return "PostgreSQL broke the statement off: see statement_timeout and lock_timeout, or ask who cancelled it", true
		case strings.HasPrefix(pe.Code, "58"):
			return "PostgreSQL met an error of its system; see its log", true
		case strings.HasPrefix(pe.Code, "08"), strings.HasPrefix(pe.Code, "57P"), pe.Code == "25P03", pe.Code == "25P04":
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
