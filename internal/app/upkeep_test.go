package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/asset"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/upload"
)

// stubbornFiles removes nothing that it is told to keep.
type stubbornFiles struct {
	blob.Store
	keep func(key string) bool
}

var errKept = errors.New("the file cannot be removed")

func (f *stubbornFiles) Delete(ctx context.Context, key string) error {
	if f.keep(key) {
		return errKept
	}
	return f.Store.Delete(ctx, key)
}

func (f *stubbornFiles) keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	if err := f.List(t.Context(), "", func(at blob.Attributes) error { keys = append(keys, at.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// withOutputs is an App with upkeep only, and n outputs whose time is over, oldest first.
// All files are older than the sweep's limit.
func withOutputs(t *testing.T, db *store.DB, n int) (*App, *stubbornFiles, []string) {
	t.Helper()
	dir := t.TempDir()
	folder, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	files := &stubbornFiles{Store: folder, keep: func(string) bool { return false }}
	guard := netguard.New(netguard.Config{})
	t.Cleanup(guard.Close)
	a := &App{db: db, files: files, log: slog.New(slog.DiscardHandler)}
	a.uploads, err = upload.New(upload.Config{DB: db, Files: files, Fetch: guard, URL: a.signedURL})
	if err != nil {
		t.Fatal(err)
	}
	a.assets, err = asset.New(asset.Config{DB: db, Files: files, Fetch: guard, Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	const generationID = "task_00000000000000000000000001"
	at := time.Now().Add(-10 * 24 * time.Hour).UTC().Truncate(time.Microsecond)
	g := &kinora.Generation{ID: generationID, OrganisationID: "org_1", Surface: kinora.SurfaceSubmit, Model: "m", Kind: kinora.KindImage,
		State: kinora.GenerationQueued, CreatedAt: at, UpdatedAt: at, DeadlineAt: at.Add(time.Hour)}
	var keys []string
	var outputs []kinora.Output
	for i := range n {
		key := fmt.Sprintf("outputs/2026/01/01/%s_%d-%04d.png", generationID, 1, i)
		keys = append(keys, key)
		outputs = append(outputs, kinora.Output{ID: fmt.Sprintf("out_%d", i), GenerationID: generationID, Place: i, State: kinora.OutputPublished, Ordinal: i, BlobKey: key,
			Kind: kinora.KindImage, CreatedAt: at.Add(time.Duration(i) * time.Microsecond)})
		if _, err := files.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(key)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	err = db.Update(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertGeneration(g); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE generations SET state = 'succeeded', completed_at = ? WHERE id = ?`, store.Micros(at), g.ID); err != nil {
			return err
		}
		return tx.InsertOutputs(outputs, time.Hour)
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, files, keys
}

func (a *App) keptOutputs(t *testing.T) (n int) {
	t.Helper()
	err := a.db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM outputs WHERE removed_at = 0`).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Files that cannot be removed are told of, and stand in nobody's way: neither in their
// own batch nor at the next run. The sweep finds them, and again goes past them.
func TestExpireOutputsGoesOnBehindFaults(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		const stuck = upkeepBatch - 1
		a, files, keys := withOutputs(t, db, upkeepBatch+5)
		files.keep = func(key string) bool { return slices.Contains(keys[:stuck], key) }
		if err := a.expireOutputs(t.Context()); !errors.Is(err, errKept) {
			t.Errorf("the fault is not told: %v", err)
		}
		if got, open := files.keys(t), a.keptOutputs(t); !slices.Equal(got, keys[:stuck]) || open != 0 {
			t.Errorf("%d files and %d open rows are left, want %d and none", len(got), open, stuck)
		}
		if err := a.expireOutputs(t.Context()); err != nil {
			t.Errorf("the next run: %v", err)
		}
		files.keep = func(key string) bool { return key == keys[0] }
		if err := a.sweepStorage(t.Context()); !errors.Is(err, errKept) {
			t.Errorf("the sweep does not tell the fault: %v", err)
		}
		if got := files.keys(t); !slices.Equal(got, keys[:1]) {
			t.Errorf("the sweep left %d files, want the one that cannot be removed", len(got))
		}
		files.keep = func(string) bool { return false }
		if err := a.sweepStorage(t.Context()); err != nil || len(files.keys(t)) != 0 {
			t.Errorf("the sweep after the fault: %d files, %v", len(files.keys(t)), err)
		}
	})
}

// A storage that removes nothing does not cost every output its row, and the sweep takes
// no file that a row still refers to.
func TestExpireOutputsStopsWithoutStorage(t *testing.T) {
	a, files, keys := withOutputs(t, storetest.SQLite(t), upkeepBatch+5)
	if err := a.sweepStorage(t.Context()); err != nil || len(files.keys(t)) != len(keys) {
		t.Fatalf("a sweep left %d of %d files that rows refer to: %v", len(files.keys(t)), len(keys), err)
	}
	files.keep = func(string) bool { return true }
	if err := a.expireOutputs(t.Context()); !errors.Is(err, errKept) || a.keptOutputs(t) != 5 {
		t.Errorf("%d open rows are left, %v; want 5", a.keptOutputs(t), err)
	}
}

// The audit log and what signing in leaves go when their time is over, and the log stays where it is kept for ever.
func TestAuditLogAndSignInsAreTrimmed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		a := &App{db: db, log: slog.New(slog.DiscardHandler)}
		old, young := time.Now().Add(-50*24*time.Hour), time.Now().Add(-30*24*time.Hour)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i := range upkeepBatch + 7 {
				at := old
				if i < 5 {
					at = young
				}
				if _, err := tx.Exec(`INSERT INTO audit_entries (id, actor_kind, action, created_at) VALUES (?, 'system', 'endpoint.disable', ?)`, fmt.Sprint("aud_", i), store.Micros(at)); err != nil {
					return err
				}
				if _, _, err := tx.CountTry(fmt.Sprint("pair ", i), at, at.Add(time.Hour)); err != nil {
					return err
				}
			}
			_, _, err := tx.CountTry("pair now", time.Now(), time.Now().Add(time.Hour))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		left := func(table string) (n int) {
			t.Helper()
			if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, step := range []struct {
			keep time.Duration
			want int
		}{{0, upkeepBatch + 7}, {40 * 24 * time.Hour, 5}} {
			a.cfg.Retention.Audit = config.Duration(step.keep)
			if err := errors.Join(a.trimAudit(t.Context()), a.forgetSignIns(t.Context())); err != nil {
				t.Fatal(err)
			}
			if n := left("audit_entries"); n != step.want {
				t.Errorf("kept for %s: %d entries are left, want %d", step.keep, n, step.want)
			}
		}
		if n := left("sign_in_counts"); n != 1 {
			t.Errorf("%d counts are left, want 1", n)
		}
	})
}
