// Package storetest opens real databases for tests: a SQLite file and a PostgreSQL
// database of the test's own, both migrated, both gone afterwards.
//
// The PostgreSQL server is named by KINORA_TEST_POSTGRES; without it, the one on the
// loopback address's usual port is taken. A server that cannot be reached fails the
// test: half a run must not look like a whole one.
package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kinora/kinora/internal/store"
)

// Run runs fn once on each database, as the parallel subtests "sqlite" and "postgres" of a
// parallel test: most of a test's time goes into waiting. What follows Run in its test runs
// before fn does.
func Run(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	each(t, func(t *testing.T) { fn(t, SQLite(t)) }, func(t *testing.T) { fn(t, Postgres(t)) })
}

// RunDSN is Run for tests that open the database themselves, perhaps several times.
func RunDSN(t *testing.T, fn func(t *testing.T, dsn string)) {
	t.Helper()
	each(t, func(t *testing.T) { fn(t, filepath.Join(t.TempDir(), "kinora.db")) }, func(t *testing.T) { fn(t, PostgresDSN(t)) })
}

func each(t *testing.T, sqlite, postgres func(*testing.T)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); sqlite(t) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); postgres(t) })
}

// SQLite opens a migrated database in a folder of the test's own.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, SQLiteDSN(t))
}

// SQLiteDSN makes a database, a copy of a migrated one, in a folder of the test's own.
func SQLiteDSN(t testing.TB) string {
	t.Helper()
	content, err := migratedSQLite()
	if err != nil {
		t.Fatalf("make a SQLite file to copy: %v", err)
	}
	path := filepath.Join(t.TempDir(), "kinora.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// migratedSQLite is the file that all of a process's SQLite databases are copied from.
var migratedSQLite = sync.OnceValues(func() (content []byte, err error) {
	folder, err := os.MkdirTemp("", "kinora-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "kinora.db")
	if err := migrate(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // closed, it is whole without its log
})

// migrate opens a database, brings it to the newest schema and closes it.
func migrate(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	db, err := store.Open(ctx, store.Options{DSN: dsn, MaxConns: 4})
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx), db.Close())
}

// Postgres opens a migrated database of the test's own.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	return open(t, PostgresDSN(t))
}

func open(t testing.TB, dsn string) *store.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := store.Open(ctx, store.Options{DSN: dsn, MaxConns: 8})
	if err != nil {
		t.Fatalf("open %s: %v", dsn, err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(ctx); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return db
}

// Server returns the address of the PostgreSQL server that tests use.
func Server() string {
	if s := os.Getenv("KINORA_TEST_POSTGRES"); s != "" {
		return s
	}
	return "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
}

// PostgresDSN makes a database, a copy of a migrated template, and drops it after the test.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	admin, err := pgx.Connect(ctx, Server())
	if err != nil {
		t.Fatalf("these tests need PostgreSQL; `make test` starts one, or name one in KINORA_TEST_POSTGRES: %v", err)
	}
	defer admin.Close(ctx)
	template, err := ensureTemplate(ctx, admin)
	if err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	var b [6]byte
	_, _ = rand.Read(b[:])
	name := "kinora_test_" + hex.EncodeToString(b[:])
	if _, err := admin.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		admin, err := pgx.Connect(ctx, Server())
		if err != nil {
			t.Logf("drop %s: %v", name, err)
			return
		}
		defer admin.Close(ctx)
		if _, err := admin.Exec(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			t.Logf("drop %s: %v", name, err)
		}
	})
	return within(Server(), name)
}

// ensureTemplate makes the migrated database that all others are copied from, once for
// each version of the schema, whichever test process comes first.
func ensureTemplate(ctx context.Context, admin *pgx.Conn) (string, error) {
	sum := sha256.New()
	for _, text := range store.MigrationTexts() {
		sum.Write([]byte(text))
	}
	name := "kinora_template_" + hex.EncodeToString(sum.Sum(nil)[:6])
	if _, err := admin.Exec(ctx, `SELECT pg_advisory_lock(77120471)`); err != nil {
		return "", err
	}
	defer func() { _, _ = admin.Exec(ctx, `SELECT pg_advisory_unlock(77120471)`) }()
	var exists bool
	if err := admin.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists {
		return name, err
	}
	making := name + "_making"
	for _, stmt := range []string{`DROP DATABASE IF EXISTS ` + making + ` WITH (FORCE)`, `CREATE DATABASE ` + making} {
		if _, err := admin.Exec(ctx, stmt); err != nil {
			return "", err
		}
	}
	if err := migrate(within(Server(), making)); err != nil {
		return "", err
	}
	_, err := admin.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %s RENAME TO %s`, making, name))
	return name, err
}

func within(server, database string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	u.Path = "/" + database
	return u.String()
}
