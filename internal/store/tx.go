package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/kinora/kinora"
)

// Tx is a transaction on either database. It is not safe for concurrent use and must
// not outlive the function it was handed to.
type Tx struct {
	ctx   context.Context
	db    *DB
	lite  liteConn
	pg    pgx.Tx
	actor kinora.Actor // of the context that Update was called with; zero = none
}

// Rows are the rows of a query, for both drivers.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	close()
}

// Row is the one row of QueryRow.
type Row interface{ Scan(dest ...any) error }

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	text := tx.db.rebind(query)
	if tx.pg != nil {
		tag, err := tx.pg.Exec(tx.ctx, text, args...)
		return tag.RowsAffected(), classify("write", err)
	}
	res, err := tx.lite.exec(tx.ctx, text, args)
	if err != nil {
		return 0, classify("write", err)
	}
	return res.RowsAffected()
}

// ExecMany runs one statement with many sets of arguments: pipelined in one round trip
// on PostgreSQL. It returns the number of rows changed by each.
func (tx *Tx) ExecMany(query string, sets [][]any) ([]int64, error) {
	if len(sets) == 0 {
		return nil, nil
	}
	changed := make([]int64, len(sets))
	if tx.pg == nil {
		for i, args := range sets {
			n, err := tx.Exec(query, args...)
			if err != nil {
				return nil, err
			}
			changed[i] = n
		}
		return changed, nil
	}
	text := tx.db.rebind(query)
	var b pgx.Batch
	for _, args := range sets {
		b.Queue(text, args...)
	}
	res := tx.pg.SendBatch(tx.ctx, &b)
	for i := range sets {
		tag, err := res.Exec()
		if err != nil {
			_ = res.Close()
			return nil, classify("write", err)
		}
		changed[i] = tag.RowsAffected()
	}
	return changed, classify("write", res.Close())
}

// Query runs a query and calls scan for each row.
func (tx *Tx) Query(query string, args []any, scan func(Row) error) error {
	rows, err := tx.query(tx.db.rebind(query), args)
	if err != nil {
		return classify("read", err)
	}
	defer rows.close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return classify("read", err)
		}
	}
	return classify("read", rows.Err())
}

func (tx *Tx) query(text string, args []any) (Rows, error) {
	if tx.pg != nil {
		r, err := tx.pg.Query(tx.ctx, text, args...)
		if err != nil {
			return nil, err
		}
		return pgRows{r}, nil
	}
	r, err := tx.lite.query(tx.ctx, text, args)
	if err != nil {
		return nil, err
	}
	return liteRows{r, tx.lite}, nil
}

// QueryRow runs a query for one row; Scan returns ErrNotFound when there is none.
func (tx *Tx) QueryRow(query string, args ...any) Row {
	rows, err := tx.query(tx.db.rebind(query), args)
	return oneRow{rows, err}
}

type oneRow struct {
	rows Rows
	err  error
}

func (r oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return classify("read", r.err)
	}
	defer r.rows.close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return classify("read", err)
		}
		return ErrNotFound
	}
	return classify("read", r.rows.Scan(dest...))
}

type pgRows struct{ pgx.Rows }

func (r pgRows) close() { r.Close() }

type liteRows struct {
	*sql.Rows
	lite liteConn
}

func (r liteRows) Err() error { return r.lite.note(r.Rows.Err()) }

func (r liteRows) close() { _ = r.lite.note(r.Close()) }

// classify turns "the database cannot be had now" into an error of that code and leaves
// everything else as it is.
func classify(op string, err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	}
	if hint, ok := outOfReach(err); ok {
		return unavailable("database "+op, hint, err)
	}
	return err
}
