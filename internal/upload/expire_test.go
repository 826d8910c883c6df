package upload

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestRemoveExpired(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		image, err := f.save(pngFile())
		if err != nil {
			t.Fatal(err)
		}
		video, err := f.save(aviFile())
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at   time.Time
			keep []*kinora.Upload
		}{
			{video.ExpiresAt.Add(-time.Microsecond), []*kinora.Upload{image, video}},
			{video.ExpiresAt, []*kinora.Upload{image}},
			{image.ExpiresAt.Add(-time.Microsecond), []*kinora.Upload{image}},
			{image.ExpiresAt, nil},
			{image.ExpiresAt, nil},
		} {
			if err := f.RemoveExpired(t.Context(), step.at); err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, u := range step.keep {
				want = append(want, u.BlobKey)
			}
			slices.Sort(want)
			if got := f.keys(); !slices.Equal(got, want) || len(f.rows()) != len(want) {
				t.Errorf("at %v: files %v and %d rows, want %v", step.at, got, len(f.rows()), want)
			}
		}
	})
}

func TestRemoveExpiredInBatches(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	const n = 2*batch + 7
	err := f.db.Update(t.Context(), func(tx *store.Tx) error {
		for range n {
			u := &kinora.Upload{ID: randomHex(16), BlobKey: Prefix + randomHex(8) + ".png", Kind: kinora.KindImage, CreatedAt: testTime, ExpiresAt: testTime}
			if err := tx.InsertUpload(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveExpired(t.Context(), testTime); err != nil {
		t.Fatal(err)
	}
	f.wantNothing("after the removal of rows whose files are gone already")
}

// Files that cannot be removed are told of, and are in nobody's way: neither in their own
// batch, nor in a later one, nor at the next run. The sweep finds them when the fault is over.
func TestRemoveExpiredGoesOnBehindFaults(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	const stuck = batch - 1
	denied := errors.New("denied")
	var keys []string
	err := f.db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 2*batch + 7 {
			u := &kinora.Upload{ID: randomHex(16), BlobKey: Prefix + randomHex(8) + ".png", Kind: kinora.KindImage,
				CreatedAt: testTime, ExpiresAt: testTime.Add(time.Duration(i) * time.Microsecond)} // the stuck ones are always first
			keys = append(keys, u.BlobKey)
			if err := tx.InsertUpload(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := f.files.Put(t.Context(), key, zerosOf(1), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.files.remove = func(key string) error {
		if slices.Contains(keys[:stuck], key) {
			return denied
		}
		return nil
	}
	if err := f.RemoveExpired(t.Context(), testTime.Add(time.Hour)); !errors.Is(err, denied) {
		t.Errorf("the fault is not told: %v", err)
	}
	want := slices.Clone(keys[:stuck])
	slices.Sort(want)
	if got, rows := f.keys(), f.rows(); !slices.Equal(got, want) || len(rows) != 0 {
		t.Errorf("kept %d files and %d rows, want %d and none", len(got), len(rows), stuck)
	}
	if err := f.RemoveExpired(t.Context(), testTime.Add(time.Hour)); err != nil {
		t.Errorf("the next run: %v", err)
	}
	f.files.remove = func(key string) error {
		if key == keys[0] {
			return denied
		}
		return nil
	}
	if n, err := f.RemoveOrphans(t.Context(), time.Now().Add(time.Hour)); n != stuck-1 || !errors.Is(err, denied) {
		t.Errorf("the sweep beside one fault: %d removed, %v", n, err)
	}
	f.files.remove = nil
	if n, err := f.RemoveOrphans(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("the sweep after the fault: %d removed, %v", n, err)
	}
	f.wantNothing("once the fault is over")
}

// A storage that removes nothing does not cost every upload its row.
func TestRemoveExpiredStopsWithoutStorage(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	err := f.db.Update(t.Context(), func(tx *store.Tx) error {
		for range 2 * batch {
			u := &kinora.Upload{ID: randomHex(16), BlobKey: Prefix + randomHex(8) + ".png", Kind: kinora.KindImage, CreatedAt: testTime, ExpiresAt: testTime}
			if err := tx.InsertUpload(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("down")
	f.files.remove = func(string) error { return down }
	if err := f.RemoveExpired(t.Context(), testTime); !errors.Is(err, down) || len(f.rows()) != batch {
		t.Errorf("%d rows are left, %v; want %d", len(f.rows()), err, batch)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.RemoveExpired(ctx, testTime); err == nil || len(f.rows()) != batch {
		t.Errorf("an ended context was not noticed: %d rows, %v", len(f.rows()), err)
	}
}

func TestRemoveOrphans(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		known, err := f.save(pngFile())
		if err != nil {
			t.Fatal(err)
		}
		const output = "outputs/2025/12/29/x.png"
		orphans := []string{"temp/2025/12/29/1_a.png", "temp/a/b/2025/12/29/2_b.avi"}
		for _, key := range append([]string{output}, orphans...) {
			if _, err := f.files.Put(t.Context(), key, zerosOf(10), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := f.RemoveOrphans(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("young files: %d removed, %v", n, err)
		}
		if n, err := f.RemoveOrphans(t.Context(), time.Now().Add(time.Hour)); n != len(orphans) || err != nil {
			t.Errorf("%d removed, %v; want %d", n, err, len(orphans))
		}
		want := []string{output, known.BlobKey}
		slices.Sort(want)
		if got := f.keys(); !slices.Equal(got, want) {
			t.Errorf("left: %v, want %v", got, want)
		}
	})
}
