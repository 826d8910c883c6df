package blob

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faultyDisk records the calls in their order, and lets the one named failAt fail.
type faultyDisk struct {
	rootDisk
	calls  []string
	failAt string
	err    error
}

// call notes op and says how it fails. Temporary names are random: they are noted as "temp".
func (d *faultyDisk) call(op string, names ...string) error {
	for _, name := range names {
		if strings.HasPrefix(name, tempFolder+"/") {
			name = "temp"
		}
		op += " " + name
	}
	d.calls = append(d.calls, op)
	if op == d.failAt {
		return &fs.PathError{Op: op, Err: d.err}
	}
	return nil
}

func (d *faultyDisk) create(name string) (diskFile, error) {
	if err := d.call("create", name); err != nil {
		return nil, err
	}
	file, err := d.rootDisk.create(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{diskFile: file, disk: d}, nil
}

func (d *faultyDisk) mkdir(name string) error {
	return errors.Join(d.call("mkdir", name), d.rootDisk.mkdir(name))
}

func (d *faultyDisk) rename(from, to string) error {
	if err := d.call("rename", from, to); err != nil {
		return err
	}
	return d.rootDisk.rename(from, to)
}

func (d *faultyDisk) remove(name string) error {
	if err := d.call("remove", name); err != nil {
		return err
	}
	return d.rootDisk.remove(name)
}

func (d *faultyDisk) syncDir(name string) error {
	if err := d.call("syncDir", name); err != nil {
		return err
	}
	return d.rootDisk.syncDir(name)
}

type faultyFile struct {
	diskFile
	disk *faultyDisk
}

// Write fails half-way, as a full disk does.
func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.disk.call("write"); err != nil {
		n, _ := f.diskFile.Write(p[:len(p)/2])
		return n, err
	}
	return f.diskFile.Write(p)
}

func (f *faultyFile) Sync() error {
	return errors.Join(f.disk.call("sync"), f.diskFile.Sync())
}

func (f *faultyFile) Close() error {
	return errors.Join(f.disk.call("close"), f.diskFile.Close())
}

func newFaultyFolder(t *testing.T) (*Folder, *faultyDisk) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{rootDisk: rootDisk{root}}
	f := newFolder(root, d)
	t.Cleanup(func() { f.Close() })
	return f, d
}

// TestFolderPutOrder pins the order that makes a Put durable: content before name, and each new directory's name before
// what lies in it is reported as stored.
func TestFolderPutOrder(t *testing.T) {
	f, d := newFaultyFolder(t)
	steps := func(key string) []string {
		d.calls = nil
		if _, err := f.Put(t.Context(), key, strings.NewReader("content"), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		return d.calls
	}
	first := steps("out/2026/a.png")
	want := []string{
		"create temp", "mkdir .tmp", "create temp", "write", "sync", "close",
		"mkdir out", "syncDir .", "mkdir out/2026", "syncDir out",
		"rename temp out/2026/a.png", "syncDir out/2026",
	}
	if !slices.Equal(first, want) {
		t.Errorf("the first Put did\n%q, want\n%q", first, want)
	}
	second := steps("out/2026/b.png")
	want = []string{"create temp", "write", "sync", "close", "rename temp out/2026/b.png", "syncDir out/2026"}
	if !slices.Equal(second, want) {
		t.Errorf("the second Put did\n%q, want\n%q", second, want)
	}
	// A process that starts afresh cannot know who made the directories, and whether he lived to flush them.
	f.durable = map[string]bool{}
	third := steps("out/2026/c.png")
	if !slices.Contains(third, "syncDir .") || !slices.Contains(third, "syncDir out") {
		t.Errorf("a new process did %q and did not flush the directories above", third)
	}
}

func TestFolderDeleteIsDurable(t *testing.T) {
	f, d := newFaultyFolder(t)
	for _, key := range []string{"out/2026/a.png", "out/b.png"} {
		if _, err := f.Put(t.Context(), key, strings.NewReader("content"), PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	d.calls = nil
	if err := f.Delete(t.Context(), "out/2026/a.png"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"remove out/2026/a.png", "syncDir out"}; !slices.Equal(d.calls, want) {
		t.Errorf("Delete did %q, want %q", d.calls, want)
	}
}

// TestFolderPutFails lets every step fail in turn.
func TestFolderPutFails(t *testing.T) {
	kinds := map[error]error{
		syscall.ENOSPC: ErrFull, syscall.EDQUOT: ErrFull, syscall.EROFS: ErrDenied, syscall.EACCES: ErrDenied,
		syscall.EPERM: ErrDenied, syscall.EIO: ErrUnavailable,
	}
	for _, step := range []string{
		"create temp", "write", "sync", "close", "mkdir new", "syncDir .", "rename temp new/a.png", "rename temp old/a.png",
		"syncDir new", "syncDir old",
	} {
		for cause, kind := range kinds {
			t.Run(fmt.Sprintf("%s/%v", step, cause), func(t *testing.T) {
				f, d := newFaultyFolder(t)
				if _, err := f.Put(t.Context(), "old/a.png", strings.NewReader("old"), PutOptions{}); err != nil {
					t.Fatal(err)
				}
				d.failAt, d.err = step, cause
				key := "new/a.png"
				if strings.Contains(step, "old") {
					key = "old/a.png"
				}
				_, err := f.Put(t.Context(), key, bytes.NewReader(make([]byte, 300<<10)), PutOptions{})
				if !errors.Is(err, kind) || !errors.Is(err, cause) {
					t.Errorf("Put = %v, want the kind %v", err, kind)
				}
				var typed *Error
				if errors.As(err, &typed) && typed.Hint == "" {
					t.Errorf("no hint in %v", err)
				}
				d.failAt = ""
				checkAfterFailure(t, f, step)
			})
		}
	}
}

func checkAfterFailure(t *testing.T, f *Folder, step string) {
	t.Helper()
	if n, err := f.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d temporary files left (%v)", n, err)
	}
	old := 3
	switch step {
	case "syncDir new": // the name was there already: the whole object may be visible
	case "syncDir old":
		old = 300 << 10
	default:
		if _, err := f.Stat(t.Context(), "new/a.png"); !errors.Is(err, ErrNotFound) {
			t.Errorf("the object is visible: %v", err)
		}
	}
	if a, err := f.Stat(t.Context(), "old/a.png"); err != nil || a.Size != int64(old) {
		t.Errorf("the old object: %+v, %v", a, err)
	}
	// The same Put succeeds once the disk works again.
	if _, err := f.Put(t.Context(), "new/a.png", strings.NewReader("again"), PutOptions{}); err != nil {
		t.Errorf("Put once the disk works again: %v", err)
	}
}

// TestFolderPutOutlivesPrune removes the target directory just before the rename, again and again.
func TestFolderPutOutlivesPrune(t *testing.T) {
	for _, test := range []struct {
		times int
		ok    bool
	}{{1, true}, {3, true}, {maxPublishTries, false}} {
		f, d := newFaultyFolder(t)
		f.disk = &pruningDisk{faultyDisk: d, left: test.times}
		_, err := f.Put(t.Context(), "out/2026/a.png", strings.NewReader("content"), PutOptions{})
		if (err == nil) != test.ok {
			t.Errorf("with %d interferences: %v", test.times, err)
		}
		if !test.ok && !errors.Is(err, ErrUnavailable) {
			t.Errorf("with %d interferences: %v, want ErrUnavailable", test.times, err)
		}
		if n, err := f.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("%d temporary files left (%v)", n, err)
		}
	}
}

type pruningDisk struct {
	*faultyDisk
	left int
}

func (d *pruningDisk) rename(from, to string) error {
	if d.left > 0 {
		d.left--
		d.root.RemoveAll("out")
	}
	return d.faultyDisk.rename(from, to)
}

func TestFolderForgetsDirectoriesInTime(t *testing.T) {
	f, _ := newFaultyFolder(t)
	for i := range maxKnownDirs + 10 {
		f.durable[fmt.Sprintf("d%d", i)] = true
	}
	if _, err := f.Put(t.Context(), "out/a.png", strings.NewReader("x"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(f.durable) > 1 {
		t.Errorf("%d directories are kept", len(f.durable))
	}
}

func TestSourceKeepsItsError(t *testing.T) {
	cause := errors.New("cause")
	s := &source{ctx: t.Context(), r: io.MultiReader(strings.NewReader("abc"), &oneError{cause})}
	n, done, err := s.fill(make([]byte, 10))
	if n != 3 || done || err != cause || s.err != cause {
		t.Errorf("fill = %d, %v, %v; kept %v", n, done, err, s.err)
	}
	if _, err := s.Read(make([]byte, 1)); err != cause || s.err != cause {
		t.Errorf("the second Read = %v; kept %v", err, s.err)
	}
}

type oneError struct{ err error }

func (o *oneError) Read([]byte) (int, error) { return 0, o.err }
