package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one applied or waiting schema change.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// Migrate brings the schema to the version of this program, River's tables included.
// Several processes may call it at once on PostgreSQL: one works, the others wait.
func (db *DB) Migrate(ctx context.Context) error {
	p, done, err := db.goose()
	if err != nil {
		return err
	}
	defer done()
	if _, err := p.Up(ctx); err != nil {
		return classify("migrate", fmt.Errorf("migrate: %w", err))
	}
	if db.pg != nil {
		m, err := rivermigrate.New(riverpgxv5.New(db.pg), nil)
		if err != nil {
			return fmt.Errorf("migrate jobs: %w", err)
		}
		// River takes no lock of its own; a session lock keeps nodes apart.
		conn, err := db.pg.Acquire(ctx)
		if err != nil {
			return classify("migrate", err)
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(5281907734)`); err != nil {
			return classify("migrate", err)
		}
		defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(5281907734)`) }()
		if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return classify("migrate", fmt.Errorf("migrate jobs: %w", err))
		}
		return nil
	}
	m, err := rivermigrate.New(riversqlite.New(db.lite.river), nil)
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return classify("migrate", fmt.Errorf("migrate jobs: %w", err))
	}
	return nil
}

// Migrations lists every schema change of this program and whether it was applied.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	p, done, err := db.goose()
	if err != nil {
		return nil, err
	}
	defer done()
	states, err := p.Status(ctx)
	if err != nil {
		return nil, classify("read migrations", err)
	}
	list := make([]Migration, 0, len(states))
	for _, s := range states {
		list = append(list, Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied})
	}
	return list, nil
}

func (db *DB) goose() (*goose.Provider, func(), error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	var (
		sqlDB   *sql.DB
		done    = func() {}
		d       = goose.DialectSQLite3
		options []goose.ProviderOption
	)
	if db.pg != nil {
		sqlDB = stdlib.OpenDBFromPool(db.pg)
		done = func() { _ = sqlDB.Close() }
		d = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			done()
			return nil, nil, fmt.Errorf("migrate: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	} else {
		sqlDB = db.lite.river
	}
	p, err := goose.NewProvider(d, sqlDB, files, options...)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	return p, done, nil
}

// MigrationTexts returns the text of every schema change, in order, so that tests can
// tell one version of the schema from another.
func MigrationTexts() []string {
	names, _ := fs.Glob(migrations, "migrations/*.sql")
	texts := make([]string, 0, len(names))
	for _, n := range names {
		b, _ := migrations.ReadFile(n)
		texts = append(texts, string(b))
	}
	return texts
}
