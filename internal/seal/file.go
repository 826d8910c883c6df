package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxFileBytes is far above any number of keys that a rotation needs.
const maxFileBytes = 16 << 10

// What can be wrong with a key file; the errors of LoadFile and LoadOrCreate wrap them
// and name the file.
var (
	// ErrExposed: others than the owner can read or write the file. A key that others may
	// have read is no longer a secret, so it is not used quietly.
	ErrExposed = errors.New("others than its owner can get at it; after making sure that nobody did, run chmod 600")
	// ErrNotFile: it is a directory, a device or a pipe.
	ErrNotFile = errors.New("it is not a regular file")
)

// LoadFile reads the master keys in a file, the current one first: one per line, as ParseKey
// takes them. Empty lines and those that start with # are skipped. A file that others than
// its owner can get at is refused with ErrExposed (on Windows permissions are not looked at).
func LoadFile(path string) ([]Key, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	var keys []Key
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("key file %s, line %d: %w", path, number, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("key file %s: %w", path, ErrNoKey)
	}
	return keys, nil
}

// LoadOrCreate is LoadFile, but makes the file with a new random key when there is none.
// When several processes start at once, all end up with the key of one of them. created
// tells whether this call made the file: without a copy of it, what is sealed is lost
// together with the disk.
func LoadOrCreate(path string) (keys []Key, created bool, err error) {
	keys, err = LoadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	text := "# Master key of this installation: seals what its database must not show.\n" +
		"# Keep a copy in a safe place, apart from the database's.\n" +
		NewKey().Text() + "\n"
	switch err := CreatePrivate(path, text); {
	case err == nil:
		created = true
	case !errors.Is(err, fs.ErrExist):
		return nil, false, err
	}
	keys, err = LoadFile(path)
	return keys, created, err
}

// ReplaceFile writes the keys of a file anew, the current one first, durably and as a whole: after
// a crash the file holds what it held before, or the new keys. It is made when there is none.
func ReplaceFile(path string, keys []Key, comment string) error {
	if len(keys) == 0 {
		return ErrNoKey
	}
	var text strings.Builder
	for line := range strings.Lines(comment) {
		text.WriteString("# " + strings.TrimSpace(line) + "\n")
	}
	for _, k := range keys {
		text.WriteString(k.Text() + "\n")
	}
	temp, err := writeTemp(path, text.String())
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// ReadPrivate reads a small file that holds a secret, white space around it trimmed, and
// refuses it as LoadFile does when others can get at it.
func ReadPrivate(path string) (string, error) {
	text, err := readPrivate(path)
	return strings.TrimSpace(text), err
}

func readPrivate(path string) (string, error) {
	// First, because opening a pipe would wait for its other end.
	if info, err := os.Stat(path); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("key file %s: %w", path, ErrNotFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// The opened file is asked again, not the path: nobody can swap it in between.
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("key file %s: %w", path, ErrNotFile)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("key file %s has mode %04o: %w", path, info.Mode().Perm(), ErrExposed)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return "", err
	}
	return string(text), nil
}

// CreatePrivate writes a new file of mode 0600, durably and as a whole: it is not there,
// or it is complete. The error is fs.ErrExist when there is one already. Missing folders
// are made with mode 0700.
func CreatePrivate(path, text string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	temp, err := writeTemp(path, text)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	// A link, unlike a rename, does not replace what another process made meanwhile.
	err = os.Link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = createExclusive(path, text) // a file system without links
	}
	if err != nil {
		return err
	}
	return syncFolder(folder)
}

// writeTemp writes a file of mode 0600 beside path, durably.
func writeTemp(path, text string) (name string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		os.Remove(temp.Name())
		return "", err
	}
	return temp.Name(), nil
}

// createExclusive does not replace a file either, but a crash can leave it cut off: reading
// it then fails.
func createExclusive(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
