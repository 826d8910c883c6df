package blob_test

import (
	"bytes"
	"errors"
	"io"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/blob/blobtest"
)

func TestValidateKey(t *testing.T) {
	for _, key := range blobtest.InvalidKeys() {
		if err := blob.ValidateKey(key); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("ValidateKey(%q) = %v", key, err)
		}
	}
	for _, key := range []string{"a", "a/b", "out/2026/11/22/out_01JXQ7T0000000000000000001.png", "temp/衣服/a b.png", "a..b", "a/b..", "-", "~"} {
		if err := blob.ValidateKey(key); err != nil {
			t.Errorf("ValidateKey(%q) = %v", key, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	cause := errors.New("cause")
	err := error(&blob.Error{Op: "put", Key: "a\nb", Kind: blob.ErrFull, Hint: "make room", Err: cause})
	if got, want := err.Error(), `blob: put "a\nb": storage is full: cause (make room)`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !errors.Is(err, blob.ErrFull) || !errors.Is(err, cause) || errors.Is(err, blob.ErrDenied) {
		t.Error("the error does not unwrap to its kind and cause alone")
	}
}

// FuzzKey shows that a key that passes names a file below the folder, can be stored, and comes back from the listing and
// from the URL as it was.
func FuzzKey(f *testing.F) {
	for _, key := range blobtest.InvalidKeys() {
		f.Add(key)
	}
	for _, key := range []string{"a", "a/b.png", "out/2026/x.mp4", "a b", "%2e%2e/x", "..%2f", "con", "nul.png", "a:b", "衣服/🪁.png"} {
		f.Add(key)
	}
	dir := f.TempDir()
	s, err := blob.OpenFolder(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, key string) {
		if blob.ValidateKey(key) != nil {
			if _, err := s.Put(t.Context(), key, strings.NewReader(key), blob.PutOptions{}); !errors.Is(err, blob.ErrInvalidKey) {
				t.Fatalf("Put(%q) = %v", key, err)
			}
			return
		}
		if joined := filepath.Join(dir, filepath.FromSlash(key)); !strings.HasPrefix(joined, dir+string(filepath.Separator)) {
			t.Fatalf("%q leads to %q", key, joined)
		}
		if path.Clean(key) != key {
			t.Fatalf("%q has two spellings", key)
		}
		if _, err := s.Put(t.Context(), key, strings.NewReader(key), blob.PutOptions{}); err != nil {
			t.Fatalf("Put(%q): %v", key, err)
		}
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer object.Close()
		if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, []byte(key)) {
			t.Fatalf("read %q, %v", got, err)
		}
		found := 0
		if err := s.List(t.Context(), key, func(a blob.Attributes) error { found++; return nil }); err != nil || found == 0 {
			t.Fatalf("List(%q) found %d, %v", key, found, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	})
}
