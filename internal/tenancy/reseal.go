package tenancy

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
)

// resealBatch is how many sealed texts one transaction renews: short enough to hold nobody up.
const resealBatch = 200

// sealedColumn is a column of sealed texts, in a table that has id and organisation_id.
type sealedColumn struct {
	table, column string
	where         string // which rows are still read; its one parameter is the present
	context       func(organisationID, id string) string
}

// sealedColumns are all of them.
func sealedColumns() []sealedColumn {
	return []sealedColumn{
		{"webhook_secrets", "sealed", `(expires_at = 0 OR expires_at > ?)`, sealContext},
		{"endpoints", "headers", `created_at <= ?`, headersContext},
	}
}

type sealedRow struct{ id, organisation, text string }

// Sealed counts the sealed texts that are still read by the id of the master key they were sealed with.
func (s *Service) Sealed(ctx context.Context) (map[string]int, error) {
	count := map[string]int{}
	for _, c := range sealedColumns() {
		err := s.eachSealed(ctx, c, func(rows []sealedRow) error {
			for _, row := range rows {
				count[seal.KeyOf(row.text)]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return count, nil
}

// Reseal seals anew what is still read and was sealed with an older master key, and returns how many texts. It works in
// small transactions and may run beside everything else, on several nodes at once, and again after a crash.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	total := 0
	for _, c := range sealedColumns() {
		err := s.eachSealed(ctx, c, func(rows []sealedRow) error {
			n, err := s.resealRows(ctx, c, rows)
			total += n
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// eachSealed hands out a column's rows, batch by batch. No transaction is open while do runs.
func (s *Service) eachSealed(ctx context.Context, c sealedColumn, do func([]sealedRow) error) error {
	query := `SELECT id, organisation_id, ` + c.column + ` FROM ` + c.table + ` WHERE id > ? AND ` + c.column + ` <> '' AND ` + c.where + ` ORDER BY id LIMIT ?`
	for after := ""; ; {
		var rows []sealedRow
		err := s.db.View(ctx, func(tx *store.Tx) error {
			rows = rows[:0]
			return tx.Query(query, []any{after, store.Micros(s.now()), resealBatch}, func(row store.Row) error {
				var r sealedRow
				err := row.Scan(&r.id, &r.organisation, &r.text)
				rows = append(rows, r)
				return err
			})
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := do(rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].id
	}
}

// resealRows writes a batch. A row whose text has changed meanwhile is left alone: it was sealed just now.
func (s *Service) resealRows(ctx context.Context, c sealedColumn, rows []sealedRow) (n int, err error) {
	var sets [][]any
	for _, row := range rows {
		if !s.ring.Stale(row.text) {
			continue
		}
		where := c.context(row.organisation, row.id)
		text, err := s.ring.Open(row.text, where)
		if err != nil {
			return 0, unreadable(c.table+" "+row.id, err)
		}
		again, err := s.ring.Seal(text, where)
		if err != nil {
			return 0, err
		}
		sets = append(sets, []any{again, row.id, row.text})
	}
	if len(sets) == 0 {
		return 0, nil
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		n = 0
		changed, err := tx.ExecMany(`UPDATE `+c.table+` SET `+c.column+` = ? WHERE id = ? AND `+c.column+` = ?`, sets)
		for _, one := range changed {
			n += int(one)
		}
		return err
	})
	return n, err
}

// unreadable is the error for a sealed text that no master key of this process opens.
func unreadable(what string, err error) error {
	return &kinora.Error{Code: kinora.ErrInternal, Op: "open " + what, Message: "a secret cannot be read", Err: err,
		Hint: "start with the master key that this database was used with, as the current or as an older key"}
}
