package blobtest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/kinora/kinora/internal/blob"
)

// errSource is an error of our own, to be found again in what Put returns.
var errSource = errors.New("the download broke off")

// breakPoints are offsets at which a source fails or its context ends: at once, in the first buffer, and where a store
// may have sent parts already.
func breakPoints() []int64 {
	return []int64{0, 1, 300 << 10, blob.MinPartSize, 2*blob.MinPartSize + 5}
}

type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func testSourceFails(t *testing.T, s blob.Store) {
	put(t, s, "out/old.mp4", "old")
	for _, at := range breakPoints() {
		// An HTTP body that ends too early gives io.ErrUnexpectedEOF: it must not pass for an end.
		for _, cause := range []error{errSource, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
			for _, key := range []string{"out/new.mp4", "out/old.mp4"} {
				_, err := s.Put(t.Context(), key, &failing{newStream(1, at), cause}, blob.PutOptions{})
				if !errors.Is(err, cause) {
					t.Errorf("Put from a source that fails at %d with %v: %v", at, cause, err)
				}
				for _, kind := range []error{blob.ErrUnavailable, blob.ErrFull, blob.ErrDenied, blob.ErrNotFound} {
					if errors.Is(err, kind) {
						t.Errorf("the storage is blamed for its source: %v", err)
					}
				}
			}
		}
	}
	checkOnlyOld(t, s)
}

func checkOnlyOld(t *testing.T, s blob.Store) {
	t.Helper()
	if _, err := s.Stat(t.Context(), "out/new.mp4"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat of an object that was never finished: %v", err)
	}
	if got := read(t, s, "out/old.mp4"); got != "old" {
		t.Errorf("the old object now holds %d bytes", len(got))
	}
	if got := list(t, s, ""); len(got) != 1 {
		t.Errorf("List = %q", got)
	}
	checkNothingLeft(t, s)
}

// stalled returns neither data nor an error, as a faulty reader can.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

func testSourceStalls(t *testing.T, s blob.Store) {
	_, err := s.Put(t.Context(), "out/new.mp4", io.MultiReader(newStream(1, 1000), stalled{}), blob.PutOptions{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Put from a reader that never ends: %v", err)
	}
	checkNothingLeft(t, s)
}

func testCancelled(t *testing.T, s blob.Store) {
	put(t, s, "out/old.mp4", "old")
	for _, at := range breakPoints() {
		for _, key := range []string{"out/new.mp4", "out/old.mp4"} {
			ctx, cancel := context.WithCancel(t.Context())
			source := newStream(1, 4*blob.MinPartSize)
			source.at = func(read int64) {
				if read >= at {
					cancel()
				}
			}
			if at == 0 {
				cancel()
			}
			_, err := s.Put(ctx, key, source, blob.PutOptions{})
			cancel()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Put cancelled at %d: %v", at, err)
			}
			if source.left == 0 {
				t.Errorf("Put cancelled at %d read its source to the end", at)
			}
		}
	}
	checkOnlyOld(t, s)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := s.Open(ended, "out/old.mp4")
	_, statErr := s.Stat(ended, "out/old.mp4")
	listErr := s.List(ended, "", func(blob.Attributes) error { return nil })
	for op, err := range map[string]error{"Open": openErr, "Stat": statErr, "List": listErr, "Delete": s.Delete(ended, "out/old.mp4")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", op, err)
		}
	}
	checkOnlyOld(t, s)
}

func testListStops(t *testing.T, s blob.Store) {
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1"} {
		put(t, s, key, "x")
	}
	for _, stop := range []error{errSource, fs.SkipAll} {
		calls := 0
		err := s.List(t.Context(), "", func(blob.Attributes) error {
			calls++
			if calls == 2 {
				return stop
			}
			return nil
		})
		if want := map[error]error{errSource: errSource}[stop]; err != want || calls != 2 {
			t.Errorf("a callback that returns %v: List = %v after %d calls", stop, err, calls)
		}
	}
	// Deleting what is being listed is what clearing up does.
	err := s.List(t.Context(), "", func(a blob.Attributes) error { return s.Delete(t.Context(), a.Key) })
	if err != nil {
		t.Error(err)
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("still there: %q", got)
	}
}
