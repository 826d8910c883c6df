package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
)

func openFolderAt(t *testing.T, dir string) *blob.Folder {
	t.Helper()
	s, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func putText(t *testing.T, s blob.Store, key, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader(content), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func listKeys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var keys []string
	if err := s.List(t.Context(), prefix, func(a blob.Attributes) error { keys = append(keys, a.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestOpenFolderMakesAndKeeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := openFolderAt(t, dir)
	putText(t, s, "out/a.png", "content")
	again := openFolderAt(t, dir)
	if got := listKeys(t, again, ""); len(got) != 1 || got[0] != "out/a.png" {
		t.Errorf("after opening again: %q", got)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := blob.OpenFolder(file); err == nil {
		s.Close()
		t.Error("a file passes for a folder")
	}
}

// TestFolderDirectoryWithoutWrites is how an installation looks whose volume was mounted for the wrong user. Permissions do
// not hold back the superuser, so it has somebody else look.
func TestFolderDirectoryWithoutWrites(t *testing.T) {
	// Below t.TempDir nobody else may go.
	dir, err := os.MkdirTemp("", "kinora-blob-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		if err := checkDenied(dir); err != nil {
			t.Error(err)
		}
		return
	}
	runAsNobody(t, "denied", dir)
}

func checkDenied(dir string) error {
	s, err := blob.OpenFolder(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Check(context.Background()); !errors.Is(err, blob.ErrDenied) {
		return fmt.Errorf("Check = %w, want ErrDenied", err)
	}
	return nil
}

// TestFolderLinks shows that nothing outside can be reached, whatever is planted in the folder.
func TestFolderLinks(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret.png")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openFolderAt(t, dir)
	putText(t, s, "in/a.png", "inside")
	for link, target := range map[string]string{
		"file.png": secret, "out": outside, "up": "..", "relative": "../" + filepath.Base(outside), "in/alias.png": "a.png",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"file.png", "out/secret.png", "relative/secret.png", "up/x.png", "in/alias.png", "out"} {
		if object, err := s.Open(t.Context(), key); err == nil {
			content, _ := io.ReadAll(object)
			object.Close()
			t.Errorf("Open(%q) succeeds and gives %q", key, content)
		}
		if _, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("Stat(%q) succeeds", key)
		}
		if err := s.Delete(t.Context(), key); err == nil && key != "file.png" && key != "in/alias.png" && key != "out" {
			t.Errorf("Delete(%q) succeeds", key)
		}
	}
	for _, key := range []string{"out/new.png", "relative/new.png", "up/new.png", "out/sub/new.png"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err == nil {
			t.Errorf("Put(%q) succeeds", key)
		}
	}
	if got := listKeys(t, s, ""); len(got) != 1 || got[0] != "in/a.png" {
		t.Errorf("List = %q", got)
	}
	if got := listKeys(t, s, "out/"); len(got) != 0 {
		t.Errorf("List through a link = %q", got)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside there is now %v (%v)", entries, err)
	}
	if content, err := os.ReadFile(secret); err != nil || string(content) != "secret" {
		t.Errorf("the file outside now holds %q (%v)", content, err)
	}
	// Replacing a link replaces the link, not what it leads to.
	putText(t, s, "file.png", "replaced")
	if content, err := os.ReadFile(secret); err != nil || string(content) != "secret" {
		t.Errorf("the file outside now holds %q (%v)", content, err)
	}
}

// TestFolderKeepsLinkedDirectories: an empty directory goes with its last object, a link to one is the operator's.
func TestFolderKeepsLinkedDirectories(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	putText(t, s, "link/a.png", "x")
	if err := s.Delete(t.Context(), "link/a.png"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "link")); err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestFolderDeleteTidiesUp(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	putText(t, s, "out/2026/11/a.png", "x")
	putText(t, s, "out/2026/b.png", "x")
	if err := s.Delete(t.Context(), "out/2026/11/a.png"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out/2026/11")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty directory: %v", err)
	}
	if err := s.Delete(t.Context(), "out/2026/b.png"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty directories: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the folder itself: %v", err)
	}
	putText(t, s, "out/2026/11/a.png", "x") // although the store had known the directories
}

// TestFolderForeignFiles: what others leave in the folder is not listed, and does no harm.
func TestFolderForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	putText(t, s, "out/a.png", "x")
	for _, name := range []string{".DS_Store", "out/.nfs0001", "lost+found/#1", ".snapshot/x.png", `out/back\slash`} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := listKeys(t, s, ""); len(got) != 1 || got[0] != "out/a.png" {
		t.Errorf("List = %q", got)
	}
}

func TestFolderKeysThatCollide(t *testing.T) {
	s := openFolder(t)
	putText(t, s, "out/a", "x")
	for _, key := range []string{"out", "out/a/b", "out/a/b/c"} {
		_, err := s.Put(t.Context(), key, strings.NewReader("y"), blob.PutOptions{})
		if !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("Put(%q) = %v, want ErrInvalidKey", key, err)
		}
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d leftovers (%v)", n, err)
	}
	if err := s.Delete(t.Context(), "out/a"); err != nil {
		t.Fatal(err)
	}
	putText(t, s, "out/a/b", "y") // once the object is gone its name is free for a directory
}

// TestFolderListsLargeDirectories has more entries than are read at a time.
func TestFolderListsLargeDirectories(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	const n = 1000
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "out", fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, key := range listKeys(t, s, "out/") {
		seen[key] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d objects are listed", len(seen), n)
	}
}

func TestFolderSweep(t *testing.T) {
	dir := t.TempDir()
	s := openFolderAt(t, dir)
	if n, err := s.Sweep(t.Context(), time.Now()); n != 0 || err != nil {
		t.Fatalf("Sweep of a new folder = %d, %v", n, err)
	}
	putText(t, s, "out/a.png", "x")
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 48 * time.Hour, "older": 72 * time.Hour, "young": time.Hour} {
		path := filepath.Join(dir, ".tmp", name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), now.Add(-24*time.Hour)); n != 2 || err != nil {
		t.Errorf("Sweep = %d, %v; want 2", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp", "young")); err != nil {
		t.Errorf("the young file: %v", err)
	}
	if got := listKeys(t, s, ""); len(got) != 1 {
		t.Errorf("List = %q", got)
	}
}
