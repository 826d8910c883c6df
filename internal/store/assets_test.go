package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

var assetTime = time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)

func newAsset(organisation string, change func(*kinora.SourceAsset)) *kinora.SourceAsset {
	a := &kinora.SourceAsset{IngestID: id.New(id.Ingest, assetTime), ID: id.New(id.Asset, assetTime), OrganisationID: organisation,
		State: kinora.AssetPending, SourceURL: "https://a.example/1.jpg", DueAt: assetTime, CreatedAt: assetTime, UpdatedAt: assetTime}
	if change != nil {
		change(a)
	}
	return a
}

func insertAssets(t *testing.T, db *store.DB, list ...*kinora.SourceAsset) {
	t.Helper()
	update(t, db, func(tx *store.Tx) error {
		for _, a := range list {
			if err := tx.InsertAsset(a); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestAssetsAreTheirOrganisations(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		a := newAsset("org_a", nil)
		insertAssets(t, db, a)
		err := db.View(t.Context(), func(tx *store.Tx) error {
			for _, organisation := range []string{"org_a", ""} {
				if got, err := tx.Ingest(organisation, a.IngestID); err != nil || *got != *a {
					t.Errorf("%+v, %v; want %+v", got, err, a)
				}
				if got, err := tx.Asset(organisation, a.ID); err != nil || *got != *a {
					t.Errorf("%+v, %v; want %+v", got, err, a)
				}
			}
			if got, err := tx.Ingests("org_a", []string{a.IngestID, id.New(id.Ingest, assetTime)}); err != nil || len(got) != 1 || *got[0] != *a {
				t.Errorf("among others: %v, %v", got, err)
			}
			if got, err := tx.Ingests("org_b", []string{a.IngestID}); err != nil || len(got) != 0 {
				t.Errorf("another organisation reads it among others: %v, %v", got, err)
			}
			if _, err := tx.Ingest("org_b", a.IngestID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("another organisation reads it: %v", err)
			}
			if _, err := tx.Asset("org_b", a.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("another organisation reads it: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestIngestsAreClaimedOnceAndFenced(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		file := func(a *kinora.SourceAsset) { a.ReceivedKey = "assets/received/" + a.IngestID }
		insertAssets(t, db, newAsset("org_a", nil), newAsset("org_b", nil), newAsset("org_a", file),
			newAsset("org_a", func(a *kinora.SourceAsset) { a.DueAt = assetTime.Add(time.Hour) }))
		claim := func(fetch bool, node string, busy ...string) []*kinora.SourceAsset {
			var list []*kinora.SourceAsset
			update(t, db, func(tx *store.Tx) (err error) {
				list, err = tx.ClaimIngests(fetch, node, assetTime, busy, 10)
				return err
			})
			return list
		}
		if list := claim(false, "n1"); len(list) != 1 || list[0].ReceivedKey == "" || list[0].State != kinora.AssetProcessing || list[0].LeaseOwner != "n1" || list[0].Version != 1 {
			t.Fatalf("claimed %+v", list)
		}
		if list := claim(true, "n1", "org_a"); len(list) != 1 || list[0].OrganisationID != "org_b" {
			t.Fatalf("claimed %+v", list)
		}
		list := claim(true, "n2")
		if len(list) != 1 || list[0].OrganisationID != "org_a" {
			t.Fatalf("claimed %+v", list)
		}
		if again := claim(true, "n1"); len(again) != 0 {
			t.Fatalf("claimed twice: %+v", again)
		}
		late := *list[0]
		update(t, db, func(tx *store.Tx) error {
			n, err := tx.RemoveNode("n2", assetTime)
			if n != 1 {
				t.Errorf("%d leases were given back", n)
			}
			return err
		})
		late.Finish(nil, assetTime)
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveIngest(&late) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("a late node wrote: %v", err)
		}
		won := claim(true, "n1")[0]
		won.Finish(kinora.NewFailure(kinora.FailureSourceInvalid, "no image"), assetTime)
		update(t, db, func(tx *store.Tx) error { return tx.SaveIngest(won) })
		if err := db.Update(t.Context(), func(tx *store.Tx) error { won.Version++; return tx.SaveIngest(won) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("an end was changed: %v", err)
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Ingest("", won.IngestID)
			if err == nil && (got.State != kinora.AssetFailed || *got.Failure != *kinora.NewFailure(kinora.FailureSourceInvalid, "no image")) {
				t.Errorf("read %+v", got)
			}
			if due, err := tx.NextIngest(); err != nil || !due.Equal(assetTime.Add(time.Hour)) {
				t.Errorf("next at %v, %v", due, err)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// ready makes an asset of a content and returns where its file is.
func readyAsset(t *testing.T, db *store.DB, organisation, content, key string) *kinora.SourceAsset {
	t.Helper()
	a := newAsset(organisation, nil)
	insertAssets(t, db, a)
	update(t, db, func(tx *store.Tx) (err error) {
		done := *a
		done.Finish(nil, assetTime)
		done.SHA256 = content
		if done.BlobKey, err = tx.ShareAssetFile(organisation, content, key); err != nil {
			return err
		}
		*a = done
		return tx.SaveIngest(&done)
	})
	return a
}

func TestAssetFilesAreSharedWithinAnOrganisation(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		one, two := readyAsset(t, db, "org_a", "hash", "assets/1.png"), readyAsset(t, db, "org_a", "hash", "assets/2.png")
		other := readyAsset(t, db, "org_b", "hash", "assets/3.png")
		if one.BlobKey != "assets/1.png" || two.BlobKey != "assets/1.png" || other.BlobKey != "assets/3.png" {
			t.Fatalf("files %s, %s, %s", one.BlobKey, two.BlobKey, other.BlobKey)
		}
		remove := func(a *kinora.SourceAsset) []string {
			var files []string
			update(t, db, func(tx *store.Tx) (err error) {
				files, err = tx.RemoveAsset(a.OrganisationID, a.IngestID)
				return err
			})
			return files
		}
		if files := remove(one); len(files) != 0 {
			t.Errorf("%v would be removed while another asset has it", files)
		}
		if files := remove(two); !slices.Equal(files, []string{"assets/1.png"}) {
			t.Errorf("%v is removed with the last asset", files)
		}
		// The same content again: never under the key that is being removed.
		if again := readyAsset(t, db, "org_a", "hash", "assets/4.png"); again.BlobKey != "assets/4.png" {
			t.Errorf("the file is %s", again.BlobKey)
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			for key, want := range map[string]bool{"assets/1.png": false, "assets/2.png": false, "assets/3.png": true, "assets/4.png": true, "": false} {
				if known, err := tx.KnownAssetFile(key); err != nil || known != want {
					t.Errorf("%s is known: %v, %v", key, known, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// However assets of one content come and go at once, the file that they name is the one that is kept.
func TestAssetFilesAreCountedUnderConcurrency(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var (
			group   sync.WaitGroup
			mu      sync.Mutex
			removed = map[string]bool{}
		)
		for w := range 4 {
			group.Go(func() {
				for i := range 12 {
					a := newAsset("org_a", nil)
					a.Finish(nil, assetTime)
					a.SHA256 = "hash"
					err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
						fresh := newAsset("org_a", func(f *kinora.SourceAsset) { f.IngestID, f.ID = a.IngestID, a.ID })
						if err := tx.InsertAsset(fresh); err != nil {
							return err
						}
						if a.BlobKey, err = tx.ShareAssetFile("org_a", "hash", fmt.Sprintf("assets/%d-%d.png", w, i)); err != nil {
							return err
						}
						return tx.SaveIngest(a)
					})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if removed[a.BlobKey] {
						t.Errorf("%s was given out after its removal", a.BlobKey)
					}
					mu.Unlock()
					if i%3 == 2 {
						continue
					}
					var files []string
					err = db.Update(t.Context(), func(tx *store.Tx) (err error) {
						mu.Lock() // a removal is known before anybody can be told the next key
						defer mu.Unlock()
						files, err = tx.RemoveAsset("org_a", a.IngestID)
						for _, f := range files {
							removed[f] = true
						}
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		err := db.View(t.Context(), func(tx *store.Tx) error {
			list, err := tx.Assets("org_a", kinora.AssetReady, "", 100)
			if err != nil {
				return err
			}
			if len(list) != 16 {
				t.Errorf("%d assets are left", len(list))
			}
			for _, a := range list {
				if removed[a.BlobKey] {
					t.Errorf("%s names the removed file %s", a.ID, a.BlobKey)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAssetsInUseStay(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		a, idle := readyAsset(t, db, "org_a", "one", "assets/1.png"), readyAsset(t, db, "org_a", "two", "assets/2.png")
		g := &kinora.Generation{ID: id.New(id.Job, assetTime), OrganisationID: "org_a", Surface: kinora.SurfaceGenerations, Model: "m", Kind: kinora.KindImage,
			State: kinora.GenerationQueued, SourceAssetID: a.ID, CreatedAt: assetTime, UpdatedAt: assetTime, DeadlineAt: assetTime.Add(time.Hour)}
		update(t, db, func(tx *store.Tx) error { return tx.InsertGeneration(g) })
		aged := func(want ...string) {
			t.Helper()
			err := db.View(t.Context(), func(tx *store.Tx) error {
				list, err := tx.AgedAssets(kinora.AssetReady, assetTime, 10)
				slices.Sort(list)
				slices.Sort(want)
				if !slices.Equal(list, want) {
					t.Errorf("aged: %v, want %v", list, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		aged(idle.IngestID)
		remove := func() error {
			return db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.RemoveAsset("", a.IngestID); return err })
		}
		if err := remove(); !errors.Is(err, store.ErrStale) {
			t.Errorf("removed in use: %v", err)
		}
		if err := g.Finish(kinora.GenerationSucceeded, nil, assetTime); err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *store.Tx) error { return tx.FinishGeneration(g) })
		aged(idle.IngestID, a.IngestID)
		if err := remove(); err != nil {
			t.Errorf("not removed: %v", err)
		}
		if err := remove(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			got, err := tx.Generation("org_a", g.ID)
			if err == nil && got.SourceAssetID != a.ID {
				t.Errorf("the generation forgot its source: %+v", got)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailedIngestLeavesNoAssetID(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		g := &kinora.Generation{ID: id.New(id.Job, assetTime), OrganisationID: "org_a", Surface: kinora.SurfaceGenerations, Model: "m", Kind: kinora.KindImage,
			State: kinora.GenerationIngesting, SourceAssetID: id.New(id.Asset, assetTime), CreatedAt: assetTime, UpdatedAt: assetTime, DeadlineAt: assetTime.Add(time.Hour)}
		update(t, db, func(tx *store.Tx) error { return tx.InsertGeneration(g) })
		read := func() *kinora.Generation {
			var got *kinora.Generation
			err := db.View(t.Context(), func(tx *store.Tx) (err error) { got, err = tx.Generation("org_a", g.ID); return err })
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		got := read()
		if got.SourceAssetID != "" {
			t.Errorf("an id is told that may never be one: %s", got.SourceAssetID)
		}
		if err := got.Finish(kinora.GenerationFailed, kinora.NewFailure(kinora.FailureSourceInvalid, "x"), assetTime); err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *store.Tx) error { return tx.FinishGeneration(got) })
		if got := read(); got.SourceAssetID != "" || got.State != kinora.GenerationFailed {
			t.Errorf("read %+v", got)
		}
	})
}

// The sweep for orphans asks this of every file: it must not read the table each time.
func TestKnownFilesAreFoundByIndex(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		update(t, db, func(tx *store.Tx) error {
			for _, text := range []string{
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO source_assets (ingest_id, id, organisation_id, state, received_key, created_at, updated_at)
				SELECT 'ing_' || i, 'src_' || i, 'org_a', 'ready', CASE WHEN i % 5 = 0 THEN 'assets/received/' || i ELSE '' END, 1, 1 FROM n`,
				`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
				INSERT INTO asset_files (organisation_id, sha256, blob_key, assets) SELECT 'org_a', 'sum' || i, 'assets/' || i, 1 FROM n`,
				`ANALYZE`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			for key, want := range map[string]bool{"assets/received/5": true, "assets/7": true, "assets/received/6": false, "": false} {
				if known, err := tx.KnownAssetFile(key); err != nil || known != want {
					t.Errorf("%q is known: %t, %v", key, known, err)
				}
			}
			return nil
		})
		plan := explain(t, db, store.AssetFileQuery, "assets/received/5", "assets/received/5")
		if !strings.Contains(plan, "source_assets_received") {
			t.Errorf("it does not use the index:\n%s", plan)
		}
		for _, table := range []string{"source_assets", "asset_files"} {
			for _, scan := range []string{"Seq Scan on ", "SCAN "} {
				if strings.Contains(plan, scan+table) {
					t.Errorf("it reads all of %s:\n%s", table, plan)
				}
			}
		}
	})
}
