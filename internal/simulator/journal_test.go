package simulator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readAll(t *testing.T, path string) (lines []string) {
	t.Helper()
	if err := ReadJournal(path, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if got := readAll(t, path); got != nil {
		t.Errorf("a journal that is not there holds %q", got)
	}
	long := strings.Repeat("x", 100_000)
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{"a", long} {
		if err := j.Append(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Append(func() {}); err == nil {
		t.Error("a function was recorded")
	}
	want := []string{`"a"`, `"` + long + `"`}
	if got := readAll(t, path); !slices.Equal(got, want) {
		t.Error("a journal that is open does not read as written")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	// A crash in the middle of a line: readers pass over it, the next writer
	// cuts it off.
	for _, torn := range []string{`{"id":"tor`, `"` + long} {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(torn); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, path); !slices.Equal(got, want) {
			t.Error("the torn line was read")
		}
		if j, err = OpenJournal(path); err != nil {
			t.Fatal(err)
		}
		if err := j.Append("b"); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		want = append(want, `"b"`)
		if got := readAll(t, path); !slices.Equal(got, want) {
			t.Error("after a repair the journal does not read as written")
		}
	}
	if err := j.Append("c"); err == nil {
		t.Error("a closed journal took a record")
	}
}

func TestReadJournalStopsAtAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("1\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, calls := errors.New("stop"), 0
	if err := ReadJournal(path, func([]byte) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	if _, err := OpenJournal(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("opened below a file")
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("{}\n[]\n"))
	f.Add([]byte("\n\n\r\n"))
	f.Add([]byte("torn"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		before := readAll(t, path)
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(1); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := readAll(t, path), append(before, "1"); !slices.Equal(got, want) {
			t.Fatal(fmt.Sprintf("read %q, want %q", got, want))
		}
	})
}
