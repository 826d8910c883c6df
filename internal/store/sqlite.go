package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/kinora/kinora"
)

// groupMax is how many transactions may share one commit. Larger groups gain little and
// make the first of the group wait for the last.
const groupMax = 256

// groupTime bounds the time for which a group may grow before it is committed.
const groupTime = 10 * time.Millisecond

// sqlite is one SQLite file: a single writing connection behind a queue that groups
// commits, a pool of readers that never block it, and a connection for River.
type sqlite struct {
	lock    *os.File
	writer  *sql.DB
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt // prepared on conn; used by the writer goroutine only
	readers *sql.DB
	river   *sql.DB

	groupTime time.Duration

	queue  chan *groupedWrite
	stop   chan struct{}
	done   chan struct{}
	closed sync.Once
}

type groupedWrite struct {
	ctx  context.Context
	db   *DB
	fn   func(*Tx) error
	late bool // ctx had ended before fn was to run
	err  error
	done chan struct{}
}

func openSQLite(ctx context.Context, o Options) (*DB, error) {
	path, err := filepath.Abs(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Op: "open database", Message: "the database's folder cannot be made",
			Hint: "check the path in database and its permissions", Err: err}
	}
	// One process owns the file. The lock also tells, after a crash, that every lease
	// in the database belongs to nobody.
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Op: "open database", Message: "the database is in use by another process",
			Hint: "stop the other kinora, or use PostgreSQL to run several", Err: err}
	}
	s := &sqlite{
		lock:  lock,
		stmts: map[string]*sql.Stmt{},

		groupTime: groupTime,

		queue: make(chan *groupedWrite, 4*groupMax),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	dsn := func(mode string) string {
		q := url.Values{}
		// busy_timeout first: the pragmas after it may already have to wait.
		q.Add("_pragma", "busy_timeout(10000)")
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "foreign_keys(0)")
		q.Add("_pragma", "cache_size(-8000)")
		q.Add("_pragma", "temp_store(MEMORY)")
		q.Add("_pragma", "wal_autocheckpoint(4000)")
		q.Add("_pragma", "journal_size_limit(67108864)")
		q.Set("_txlock", "immediate")
		if mode == "ro" {
			q.Set("_txlock", "deferred")
			q.Add("_pragma", "query_only(1)")
		}
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	}
	fail := func(err error) (*DB, error) {
		s.shut()
		if hint, ok := sqliteOutOfReach(err); ok {
			return nil, unavailable("open database", hint, err)
		}
		return nil, fmt.Errorf("open database: %w", err)
	}
	if s.writer, err = sql.Open("sqlite", dsn("rw")); err != nil {
		return fail(err)
	}
	s.writer.SetMaxOpenConns(1)
	if s.conn, err = s.writer.Conn(ctx); err != nil {
		return fail(err)
	}
	if s.river, err = sql.Open("sqlite", dsn("rw")); err != nil {
		return fail(err)
	}
	s.river.SetMaxOpenConns(1)
	if s.readers, err = sql.Open("sqlite", dsn("ro")); err != nil {
		return fail(err)
	}
	n := 4
	if o.MaxConns > 0 {
		n = o.MaxConns
	}
	s.readers.SetMaxOpenConns(n)
	s.readers.SetMaxIdleConns(n)
	if err := os.Chmod(path, 0o600); err != nil {
		return fail(err)
	}
	go s.run()
	return &DB{dialect: dialectSQLite, lite: s}, nil
}

func (s *sqlite) close() error {
	s.closed.Do(func() {
		close(s.stop)
		<-s.done
		s.shut()
	})
	return nil
}

func (s *sqlite) shut() {
	for _, st := range s.stmts {
		_ = st.Close()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	for _, db := range []*sql.DB{s.readers, s.river, s.writer} {
		if db != nil {
			_ = db.Close()
		}
	}
	_ = s.lock.Close()
}

func (s *sqlite) update(ctx context.Context, db *DB, fn func(*Tx) error) error {
	w := &groupedWrite{ctx: ctx, db: db, fn: fn, done: make(chan struct{})}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return unavailable("database write", "kinora is stopping", errClosed)
	}
	select {
	case <-w.done:
		return w.err
	case <-s.done:
		// The writer may have answered in the same moment.
		select {
		case <-w.done:
			return w.err
		default:
			return unavailable("database write", "kinora is stopping", errClosed)
		}
	}
}

var errClosed = errors.New("the database is closed")

// run is the writer: it takes whatever waits, runs it in one transaction and commits once.
func (s *sqlite) run() {
	defer close(s.done)
	group := make([]*groupedWrite, 0, groupMax)
	for {
		group = group[:0]
		select {
		case w := <-s.queue:
			group = append(group, w)
		case <-s.stop:
			// What was queued before the stop is still written.
			select {
			case w := <-s.queue:
				group = append(group, w)
			default:
				return
			}
		}
		s.commitGroup(group)
	}
}

// commitGroup runs the first write, then keeps taking those that queue up meanwhile.
func (s *sqlite) commitGroup(group []*groupedWrite) {
	// The writer's own context: one caller's end must not abort the others' commit.
	ctx := context.Background()
	lite := liteConn{conn: s.conn, stmts: s.stmts}
	if _, err := lite.exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		answerLost(group, "begin", err, nil)
		return
	}
	started := time.Now()
	var (
		broken error
		first  error // what the write that broke the group ended with itself
		op     = "write"
	)
	for i := 0; ; i++ {
		if i == len(group) {
			if len(group) == groupMax || time.Since(started) > s.groupTime {
				break
			}
			select {
			case w := <-s.queue:
				group = append(group, w)
			default:
			}
			if i == len(group) {
				break
			}
		}
		if broken = s.runOne(ctx, lite, group[i]); broken != nil {
			first = group[i].err
			break
		}
	}
	if broken == nil {
		op = "commit"
		_, broken = lite.exec(ctx, "COMMIT", nil)
	}
	if broken != nil {
		// Without effect when SQLite has rolled back on its own.
		_, _ = lite.exec(ctx, "ROLLBACK", nil)
		answerLost(group, op, broken, first)
		return
	}
	for _, w := range group {
		close(w.done)
	}
}

// runOne runs one write inside a savepoint. Its own error undoes its own statements; an
// error of the savepoint itself means that the transaction is lost for all: on a full
// disk or a failed read or write SQLite may roll back everything at once
// (https://sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction"),
// and then the savepoint is gone.
func (s *sqlite) runOne(ctx context.Context, lite liteConn, w *groupedWrite) error {
	if err := w.ctx.Err(); err != nil {
		w.late, w.err = true, err
		return nil
	}
	if _, err := lite.exec(ctx, "SAVEPOINT one", nil); err != nil {
		return err
	}
	var failed error
	own := lite
	own.failed = &failed
	tx := &Tx{ctx: ctx, db: w.db, lite: own}
	tx.actor, _ = kinora.ActorOf(w.ctx) // not of the writer's context, which is nobody's
	w.err = protect(func() error { return w.fn(tx) })
	if w.err == nil && failed != nil {
		w.err = classify("write", failed)
	}
	if w.err != nil {
		if _, err := lite.exec(ctx, "ROLLBACK TO one", nil); err != nil {
			return err
		}
	}
	_, err := lite.exec(ctx, "RELEASE one", nil)
	return err
}

// protect turns a panic of one caller's function into that caller's error: the writer
// serves everybody.
func protect(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: panic in a transaction: %v", p)
		}
	}()
	return fn()
}

// answerLost tells a whole group that its transaction came to nothing, so that each
// caller tries again. What a write found out itself is told as text only: it may have
// read what another of the group had written, and that is gone too.
func answerLost(group []*groupedWrite, op string, broken, first error) {
	hint, known := outOfReach(broken)
	cause := broken
	if first != nil {
		if h, ok := outOfReach(first); ok {
			hint, known = h, true
		}
		cause = fmt.Errorf("%w, after: %v", broken, first)
	}
	if !known {
		hint = "the transaction was rolled back; check the disk and the database file"
	}
	for _, w := range group {
		if !w.late {
			w.err = unavailable("database "+op, hint, cause)
		}
		close(w.done)
	}
}

func (s *sqlite) view(ctx context.Context, db *DB, fn func(*Tx) error) error {
	t, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return classify("begin", err)
	}
	defer func() { _ = t.Rollback() }()
	return fn(&Tx{ctx: ctx, db: db, lite: liteConn{tx: t}})
}

// liteConn is what a SQLite Tx runs on: the writer's connection with its prepared
// statements, or a reader's transaction.
type liteConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	tx    *sql.Tx
	// failed is the first error of a statement of one caller's write. No statement of
	// it runs after that: the failed one may have rolled the transaction back, and the
	// next would then be a transaction of its own.
	failed *error
}

// note keeps the first failure and returns err.
func (c liteConn) note(err error) error {
	if err != nil && c.failed != nil && *c.failed == nil {
		*c.failed = err
	}
	return err
}

func (c liteConn) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if c.failed != nil && *c.failed != nil {
		return nil, *c.failed
	}
	if st, ok := c.stmts[text]; ok {
		return st, nil
	}
	st, err := c.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, c.note(err)
	}
	c.stmts[text] = st
	return st, nil
}

func (c liteConn) exec(ctx context.Context, text string, args []any) (sql.Result, error) {
	if c.tx != nil {
		return c.tx.ExecContext(ctx, text, args...)
	}
	st, err := c.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	res, err := st.ExecContext(ctx, args...)
	return res, c.note(err)
}

func (c liteConn) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if c.tx != nil {
		return c.tx.QueryContext(ctx, text, args...)
	}
	st, err := c.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(ctx, args...)
	return rows, c.note(err)
}

// sqliteOutOfReach recognises errors of the file, the disk or a lock.
func sqliteOutOfReach(err error) (hint string, yes bool) {
	// database/sql has no value for the second one.
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, errClosed) || err.Error() == "sql: database is closed" {
		return "kinora is stopping", true
	}
	var se *sqlitedriver.Error
	if !errors.As(err, &se) {
		return "", false
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return "the disk is full", true
	case sqlite3.SQLITE_READONLY:
		return "the database file or its folder is read-only", true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return "the database file cannot be read or written; check disk and permissions", true
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process holds the database", true
	}
	return "", false
}
