package store

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Writes of many rows at once. On PostgreSQL a statement for each row costs as much in
// protocol and executor as in the row itself; there they are one statement over arrays. On
// SQLite a prepared statement for each row is the fastest way there is.

// alongIndexes keeps PostgreSQL, until the transaction ends, from planning a join with an
// array as a scan of the table. A plan is made once for a connection, perhaps while the table
// was new and empty.
const alongIndexes = `SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true)`

// insertMany writes new rows: sets has a value for each column, of type string, int or int64.
// Rows that are there already stay as they are where ignore is set, and fail otherwise.
func (tx *Tx) insertMany(table string, columns []string, ignore bool, sets [][]any) error {
	if len(sets) == 0 {
		return nil
	}
	conflict := ""
	if ignore {
		conflict = " ON CONFLICT DO NOTHING"
	}
	into := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") "
	if tx.pg == nil {
		_, err := tx.ExecMany(into+"VALUES ("+strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")+")"+conflict, sets)
		return err
	}
	arrays, types := columnar(sets)
	_, err := tx.pg.Exec(tx.ctx, into+"SELECT * FROM unnest("+parameters(types)+")"+conflict, arrays...)
	return classify("write", err)
}

// updateMany changes rows found by key: sets has a value for each column to set, then one for
// each of the key, of type string, int or int64; also is set beside them, from the row itself.
// It returns how many rows each set changed. No two sets may have the same key.
func (tx *Tx) updateMany(table string, set []string, also string, key []string, sets [][]any) ([]int64, error) {
	if len(sets) == 0 {
		return nil, nil
	}
	if tx.pg == nil {
		return tx.ExecMany("UPDATE "+table+" SET "+strings.Join(set, " = ?, ")+" = ?, "+also+" WHERE "+strings.Join(key, " = ? AND ")+" = ?", sets)
	}
	numbered := make([][]any, len(sets))
	for i, values := range sets {
		numbered[i] = append(append(make([]any, 0, len(values)+1), values...), i)
	}
	arrays, types := columnar(numbered)
	var text strings.Builder
	text.WriteString("UPDATE " + table + " AS t SET ")
	for i, column := range set {
		fmt.Fprintf(&text, "%s = v.c%d, ", column, i)
	}
	fmt.Fprintf(&text, "%s FROM unnest(%s) AS v(", also, parameters(types))
	for i := range len(arrays) - 1 {
		fmt.Fprintf(&text, "c%d, ", i)
	}
	text.WriteString("n) WHERE ")
	for i, column := range key {
		fmt.Fprintf(&text, "t.%s = v.c%d AND ", column, len(set)+i)
	}
	text.WriteString("true RETURNING v.n")
	changed := make([]int64, len(sets))
	err := tx.alongIndexes(text.String(), arrays, func(row Row) error {
		var n int
		err := row.Scan(&n)
		if err == nil {
			changed[n]++
		}
		return err
	})
	if err != nil {
		return nil, classify("write", err)
	}
	return changed, nil
}

// alongIndexes runs a statement over arrays on PostgreSQL, in one round trip with what keeps
// its plan to the indexes.
func (tx *Tx) alongIndexes(text string, args []any, scan func(Row) error) error {
	var b pgx.Batch
	b.Queue(alongIndexes)
	b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return tx.pg.SendBatch(tx.ctx, &b).Close()
}

// columnar turns rows into one typed array a column, and names its PostgreSQL type.
func columnar(sets [][]any) (arrays []any, types []string) {
	for c := range sets[0] {
		if _, text := sets[0][c].(string); text {
			column := make([]string, len(sets))
			for r, values := range sets {
				column[r] = values[c].(string)
			}
			arrays, types = append(arrays, column), append(types, "text")
			continue
		}
		column := make([]int64, len(sets))
		for r, values := range sets {
			switch v := values[c].(type) {
			case int64:
				column[r] = v
			case int:
				column[r] = int64(v)
			default:
				panic(fmt.Sprintf("store: a column of %T", v))
			}
		}
		arrays, types = append(arrays, column), append(types, "bigint")
	}
	return arrays, types
}

// parameters lists numbered array parameters of the named types.
func parameters(types []string) string {
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = fmt.Sprintf("$%d::%s[]", i+1, t)
	}
	return strings.Join(list, ", ")
}
