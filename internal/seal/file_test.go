package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestLoadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "master.key")
	keys, created, err := LoadOrCreate(path)
	if err != nil || !created || len(keys) != 1 {
		t.Fatalf("first start: %d keys, created %v, %v", len(keys), created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
	again, created, err := LoadOrCreate(path)
	if err != nil || created || again[0] != keys[0] {
		t.Fatalf("second start: created %v, %v", created, err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("temporary files were left behind: %v", entries)
	}
}

func TestLoadOrCreateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	const n = 16
	got := make([]Key, n)
	var made int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			keys, created, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[i] = keys[0]
			if created {
				made++
			}
		})
	}
	wg.Wait()
	for _, k := range got {
		if k != got[0] {
			t.Fatal("processes that started together have different keys")
		}
	}
	if made != 1 {
		t.Errorf("%d processes say that they made the file", made)
	}
}

func TestExposedFileIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o660, 0o620, 0o601} {
		path := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(path, []byte(testKey(1).Text()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadFile(path)
		if !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v, want ErrExposed with the path", mode, err)
		}
		if _, created, err := LoadOrCreate(path); !errors.Is(err, ErrExposed) || created {
			t.Errorf("%v: LoadOrCreate: created %v, %v", mode, created, err)
		}
		if _, err := ReadPrivate(path); !errors.Is(err, ErrExposed) {
			t.Errorf("%v: ReadPrivate: %v", mode, err)
		}
	}
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte(testKey(1).Text()), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFile(path); err != nil {
		t.Errorf("a read-only file of the owner: %v", err)
	}
}

func TestLoadFile(t *testing.T) {
	a, b := testKey(1), testKey(2)
	for name, tc := range map[string]struct {
		text string
		want []Key
		err  string
	}{
		"one":             {a.Text(), []Key{a}, ""},
		"rotation":        {"# new\n" + b.Text() + "\n\n  # old\r\n" + a.Text() + "\r\n", []Key{b, a}, ""},
		"empty":           {"", nil, "no master key"},
		"comments only":   {"# nothing\n", nil, "no master key"},
		"a wrong line":    {a.Text() + "\nswordfish\n", nil, "line 2"},
		"two on one line": {a.Text() + " " + b.Text(), nil, "line 1"},
	} {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := LoadFile(path)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "swordfish") {
				t.Errorf("%s: %v, want one with %q", name, err, tc.err)
			}
			continue
		}
		if err != nil || len(got) != len(tc.want) {
			t.Errorf("%s: %d keys, %v", name, len(got), err)
			continue
		}
		for i := range got {
			if got[i] != tc.want[i] {
				t.Errorf("%s: key %d differs", name, i)
			}
		}
	}
	if _, err := LoadFile(t.TempDir()); !errors.Is(err, ErrNotFile) {
		t.Errorf("a folder: %v, want ErrNotFile", err)
	}
	if _, err := LoadFile(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestCreatePrivateReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, create := range []func(string, string) error{CreatePrivate, createExclusive} {
		_ = os.Remove(path)
		if err := create(path, "first\n"); err != nil {
			t.Fatal(err)
		}
		if err := create(path, "second\n"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("second: %v, want fs.ErrExist", err)
		}
		if got, err := ReadPrivate(path); err != nil || got != "first" {
			t.Errorf("ReadPrivate = %q, %v", got, err)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	before, _, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := append([]Key{NewKey()}, before...)
	if err := ReplaceFile(path, keys, "two\nlines"); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadFile(path); err != nil || !slices.Equal(got, keys) { // LoadFile refuses another mode than 0600
		t.Errorf("read %d keys, %v", len(got), err)
	}
	if err := ReplaceFile(path, nil, ""); !errors.Is(err, ErrNoKey) {
		t.Errorf("without keys: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
