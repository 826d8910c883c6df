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

// One file that cannot be removed keeps its row, and only its own.
func TestRemoveExpiredGoesOnBehindAFault(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	stuck, err := f.save(pngFile())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.save(pngFile()); err != nil {
		t.Fatal(err)
	}
	denied := errors.New("denied")
	f.files.remove = func(key string) error {
		if key == stuck.BlobKey {
			return denied
		}
		return nil
	}
	if err := f.RemoveExpired(t.Context(), stuck.ExpiresAt); !errors.Is(err, denied) {
		t.Errorf("the fault is not told: %v", err)
	}
	if got, rows := f.keys(), f.rows(); len(got) != 1 || got[0] != stuck.BlobKey || len(rows) != 1 || rows[0].ID != stuck.ID {
		t.Errorf("kept %v and %d rows", got, len(rows))
	}
	f.files.remove = nil
	if err := f.RemoveExpired(t.Context(), stuck.ExpiresAt); err != nil {
		t.Fatal(err)
	}
	f.wantNothing("once the fault is over")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.RemoveExpired(ctx, testTime); err == nil {
		t.Error("an ended context was not noticed")
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
