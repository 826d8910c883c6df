package app_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func quietConfig(t *testing.T, dsn string) config.Config {
	off := false
	cfg := config.Default()
	cfg.Listen, cfg.DataDir, cfg.Database = "127.0.0.1:0", t.TempDir(), dsn
	cfg.Sandbox.Enabled = &off
	cfg.ShutdownGrace = config.Duration(time.Second)
	return cfg
}

// start runs a server and returns the error of its start.
func start(t *testing.T, cfg config.Config) (*app.App, error) {
	t.Helper()
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a, a.Start(t.Context())
}

func wantMissingKey(t *testing.T, what string, err error, id string) {
	t.Helper()
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code != kinora.ErrInvalid || !strings.Contains(e.Message, id) || !strings.Contains(e.Hint, "old_master_keys") {
		t.Errorf("%s: %v, want a refusal that names key %s", what, err, id)
	}
}

// A server whose master key is lost does not make another one, and says so before it changes anything; doctor says it too.
func TestLostMasterKey(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		cfg := quietConfig(t, dsn)
		first, err := start(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		file := app.MasterKeyFile(cfg.DataDir)
		keys, err := seal.LoadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file, file+".moved"); err != nil {
			t.Fatal(err)
		}
		id := keys[0].ID()

		_, err = start(t, cfg)
		wantMissingKey(t, "no key", err, id)
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("a new key was written: %v", err)
		}
		wantSick(t, cfg, "master key")

		other := cfg
		other.MasterKey = config.Secret(seal.NewKey().Text())
		_, err = start(t, other)
		wantMissingKey(t, "another key", err, id)
		wantSick(t, other, "master key")

		other.OldMasterKeys = []config.Secret{config.Secret(keys[0].Text())}
		second, err := start(t, other)
		if err != nil {
			t.Fatalf("with the lost key among the older ones: %v", err)
		}
		if second.Bootstrapped() != nil {
			t.Error("a second first organisation")
		}
	})
}

// Of two nodes on one database, the one with another key does not join, not even when both begin on an empty one.
func TestNodeWithAnotherMasterKey(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	nodes := make([]*app.App, 2)
	for i := range nodes {
		a, err := app.New(t.Context(), quietConfig(t, dsn), app.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Stop(context.Background()) })
		nodes[i] = a
	}
	if err := nodes[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := nodes[0].MasterKeys().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantMissingKey(t, "the second node", nodes[1].Start(t.Context()), status.Current)
	_, err = start(t, quietConfig(t, dsn))
	wantMissingKey(t, "a third node", err, status.Current)
}

// Without leave to migrate, a server on an old schema says what to do.
func TestSchemaIsNotThere(t *testing.T) {
	cfg := quietConfig(t, "")
	cfg.AutoMigrate = false
	_, err := start(t, cfg)
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code != kinora.ErrInvalid || e.Hint != "run kinora migrate" {
		t.Fatalf("started: %v", err)
	}
	db, err := store.Open(t.Context(), store.Options{DSN: cfg.DatabaseDSN()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Migrate(t.Context()), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, cfg); err != nil {
		t.Errorf("after kinora migrate: %v", err)
	}
}

func wantSick(t *testing.T, cfg config.Config, name string) {
	t.Helper()
	for _, d := range app.Doctor(t.Context(), cfg) {
		if d.Name == name && !d.OK && d.Hint != "" {
			return
		}
	}
	t.Errorf("doctor finds nothing wrong with the %s", name)
}
