package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store"
)

type migrateCommand struct {
	Status bool `help:"Only list the changes and whether they are applied."`

	configured
}

// migrationsShape is how --json tells the schema's state.
type migrationsShape struct {
	Database   string           `json:"database"` // sqlite or postgres
	Pending    int              `json:"pending"`
	Migrations []migrationShape `json:"migrations"` // oldest first
}

type migrationShape struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

func (m *migrateCommand) Run(ctx context.Context, c *console) (err error) {
	cfg, err := m.load()
	if err != nil {
		return err
	}
	if dsn := cfg.DatabaseDSN(); m.Status && !store.IsPostgres(dsn) {
		// Opening would make the file, and asking should change nothing.
		if _, err := os.Stat(dsn); errors.Is(err, fs.ErrNotExist) {
			return &failure{exit: exitNotFound, message: "there is no database yet at " + dsn, hint: "kinora migrate makes it, and so does the first start"}
		}
	}
	db, err := openDatabase(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closed := db.Close(); err == nil {
			err = closed
		}
	}()
	before, err := db.Migrations(ctx)
	if err != nil {
		return err
	}
	after := before
	if !m.Status {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		if after, err = db.Migrations(ctx); err != nil {
			return err
		}
	}
	shape := migrationsOf(db, after)
	return c.result(shape, func() {
		if m.Status {
			c.showMigrations(shape)
			return
		}
		switch applied := migrationsOf(db, before).Pending - shape.Pending; applied {
		case 0:
			c.say("The %s database is up to date.", shape.Database)
		case 1:
			c.say("The %s database is up to date: 1 change applied.", shape.Database)
		default:
			c.say("The %s database is up to date: %d changes applied.", shape.Database, applied)
		}
	})
}

func migrationsOf(db *store.DB, list []store.Migration) migrationsShape {
	shape := migrationsShape{Database: db.Name(), Migrations: []migrationShape{}}
	for _, m := range list {
		if !m.Applied {
			shape.Pending++
		}
		shape.Migrations = append(shape.Migrations, migrationShape{Version: m.Version, Name: m.Name, Applied: m.Applied})
	}
	return shape
}

func (c *console) showMigrations(s migrationsShape) {
	rows := make([][]string, 0, len(s.Migrations))
	for _, m := range s.Migrations {
		state := "waiting"
		if m.Applied {
			state = "applied"
		}
		rows = append(rows, []string{fmt.Sprint(m.Version), m.Name, state})
	}
	c.table([]string{"VERSION", "NAME", "STATE"}, rows)
	if s.Pending > 0 {
		c.say("%d waiting: run kinora migrate, or start the server with auto_migrate on.", s.Pending)
	}
}

// openDatabase opens the configured database for a command's own use.
func openDatabase(ctx context.Context, cfg config.Config) (*store.DB, error) {
	return store.Open(ctx, store.Options{DSN: cfg.DatabaseDSN(), MaxConns: cfg.DatabaseMaxConns})
}
