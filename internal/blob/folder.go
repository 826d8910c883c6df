package blob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tempFolder holds files that are still being written. It lies in the folder itself, as a rename is atomic only within
// one file system. No valid key starts with a dot.
const tempFolder = ".tmp"

// listBatch is how many directory entries are held at a time.
const listBatch = 256

// Folder is a Store in a directory of the local file system: the object "a/b.png" is the file a/b.png. It follows no
// symbolic link out of the directory, and no link at all as an object; a folder on another disk has to be mounted, not
// linked. Two consequences of being files: "a" and "a/b" cannot both exist (ErrInvalidKey), and on a file system that
// ignores case "A.png" and "a.png" are one object.
//
// One process writes to a directory at a time; others may read.
type Folder struct {
	root *os.Root
	disk disk

	// mu covers the directories that this process knows to be durable, and their creation and removal. Whoever finds
	// a directory in the map may rely on its name having been flushed, whoever created it.
	mu      sync.Mutex
	durable map[string]bool
}

var (
	_ Store   = (*Folder)(nil)
	_ Sweeper = (*Folder)(nil)
)

// OpenFolder opens the store in dir and creates what is missing. Close releases it.
func OpenFolder(dir string) (*Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, folderError("open", "", err)
	}
	if err := makeFolder(abs); err != nil {
		return nil, folderError("open", "", err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, folderError("open", "", err)
	}
	return newFolder(root, rootDisk{root}), nil
}

func newFolder(root *os.Root, d disk) *Folder {
	return &Folder{root: root, disk: d, durable: make(map[string]bool)}
}

// Close releases the directory. Objects that are open stay readable.
func (f *Folder) Close() error { return f.root.Close() }

// Open implements Store. Reads do not watch ctx, as they do not wait for a network.
func (f *Folder) Open(ctx context.Context, key string) (Object, error) {
	if err := ValidateKey(key); err != nil {
		return nil, err
	}
	return f.open(ctx, key)
}

func (f *Folder) open(ctx context.Context, key string) (Object, error) {
	if _, err := f.stat(ctx, "open", key); err != nil { // first, because opening a pipe would wait for its other end
		return nil, err
	}
	file, err := f.root.Open(key)
	if err != nil {
		return nil, folderError("open", key, err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(folderError("open", key, err), file.Close())
	}
	return &folderObject{file: file, attributes: attributesOf(key, stat)}, nil
}

// Stat implements Store.
func (f *Folder) Stat(ctx context.Context, key string) (Attributes, error) {
	if err := ValidateKey(key); err != nil {
		return Attributes{}, err
	}
	return f.stat(ctx, "stat", key)
}

func (f *Folder) stat(ctx context.Context, op, key string) (Attributes, error) {
	if err := ctx.Err(); err != nil {
		return Attributes{}, &Error{Op: op, Key: key, Err: err}
	}
	stat, err := f.root.Lstat(key)
	if err != nil {
		return Attributes{}, folderError(op, key, err)
	}
	if !stat.Mode().IsRegular() {
		return Attributes{}, &Error{Op: op, Key: key, Kind: ErrNotFound}
	}
	return attributesOf(key, stat), nil
}

// Delete implements Store. Directories that become empty go with the object.
func (f *Folder) Delete(ctx context.Context, key string) error {
	if err := ValidateKey(key); err != nil {
		return err
	}
	return f.delete(ctx, key)
}

func (f *Folder) delete(ctx context.Context, key string) error {
	if _, err := f.stat(ctx, "delete", key); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	err := f.disk.remove(key)
	if isAbsent(err) {
		return nil // another Delete was faster, and tidies up
	}
	if err != nil {
		return folderError("delete", key, err)
	}
	if err := f.disk.syncDir(f.prune(path.Dir(key))); err != nil && !isAbsent(err) {
		return folderError("delete", key, err)
	}
	return nil
}

// prune removes dir and its parents as far as they are empty, and returns the first that stays.
func (f *Folder) prune(dir string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		// A Put may be about to move its file into dir: it then finds the directory gone and makes it again.
		if err := f.disk.removeDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		delete(f.durable, dir)
	}
	return dir
}

// List implements Store. It looks only into the directories that can hold the prefix.
func (f *Folder) List(ctx context.Context, prefix string, fn func(Attributes) error) error {
	if why := prefixFault(prefix); why != "" {
		return &Error{Op: "list", Key: prefix, Kind: ErrInvalidKey, Err: errors.New(why)}
	}
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir = prefix[:i]
	}
	err := f.walk(ctx, dir, prefix, fn)
	if err == fs.SkipAll {
		return nil
	}
	return err
}

func (f *Folder) walk(ctx context.Context, dir, prefix string, fn func(Attributes) error) error {
	if stat, err := f.root.Lstat(dir); isAbsent(err) || err == nil && !stat.IsDir() {
		return nil // first, because opening a pipe would wait for its other end
	}
	open, err := f.root.Open(dir)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return folderError("list", dir, err)
	}
	defer open.Close()
	for {
		entries, err := open.ReadDir(listBatch)
		for _, entry := range entries {
			if err := f.visit(ctx, path.Join(dir, entry.Name()), entry, prefix, fn); err != nil {
				return err
			}
		}
		if err == io.EOF || isAbsent(err) {
			return nil
		}
		if err != nil {
			return folderError("list", dir, err)
		}
	}
}

func (f *Folder) visit(ctx context.Context, key string, entry fs.DirEntry, prefix string, fn func(Attributes) error) error {
	if err := ctx.Err(); err != nil {
		return &Error{Op: "list", Err: err}
	}
	if keyFault(key) != "" || key == "lost+found" { // the file system's own, unreadable to the service
		return nil
	}
	if entry.IsDir() {
		if within := key + "/"; !strings.HasPrefix(within, prefix) && !strings.HasPrefix(prefix, within) {
			return nil
		}
		return f.walk(ctx, key, prefix, fn)
	}
	if !entry.Type().IsRegular() || !strings.HasPrefix(key, prefix) {
		return nil
	}
	stat, err := entry.Info()
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return folderError("list", key, err)
	}
	return fn(attributesOf(key, stat))
}

// Check implements Store.
func (f *Folder) Check(ctx context.Context) error { return checkRoundTrip(ctx, f) }

// Sweep implements Sweeper: it removes temporary files of Puts that a crash interrupted.
func (f *Folder) Sweep(ctx context.Context, olderThan time.Time) (removed int, err error) {
	dir, err := f.root.Open(tempFolder)
	if isAbsent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, folderError("sweep", "", err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(listBatch)
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return removed, &Error{Op: "sweep", Err: err}
			}
			stat, err := entry.Info()
			if isAbsent(err) || err == nil && !stat.ModTime().Before(olderThan) {
				continue
			}
			if err == nil {
				err = f.disk.remove(path.Join(tempFolder, entry.Name()))
			}
			if isAbsent(err) {
				continue
			}
			if err != nil {
				return removed, folderError("sweep", "", err)
			}
			removed++
		}
		if err == io.EOF {
			return removed, nil
		}
		if err != nil {
			return removed, folderError("sweep", "", err)
		}
	}
}

func attributesOf(key string, stat fs.FileInfo) Attributes {
	return Attributes{Key: key, Size: stat.Size(), ContentType: contentTypeOf(key), ModTime: stat.ModTime()}
}

// isAbsent also covers a path that runs through a file ("a/b" where "a" is an object).
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// folderError sorts an error of the operating system by what can be done about it.
func folderError(op, key string, err error) error {
	e := &Error{Op: op, Key: key, Kind: ErrUnavailable, Err: err}
	switch {
	case isAbsent(err):
		e.Kind = ErrNotFound
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind = ErrFull
		e.Hint = "make room on the disk or raise its quota; a disk can also be out of inodes"
	case errors.Is(err, syscall.EROFS):
		e.Kind = ErrDenied
		e.Hint = "the file system is mounted read-only, perhaps after a disk error: look at the kernel log"
	case errors.Is(err, fs.ErrPermission):
		e.Kind = ErrDenied
		e.Hint = "the user that Kinora runs as needs read and write permission on the storage folder"
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EISDIR):
		e.Kind = ErrInvalidKey
	default:
		e.Hint = "look at the kernel log and at the mount of the storage folder"
	}
	return e
}

// folderObject is an object in a Folder.
type folderObject struct {
	file       *os.File
	attributes Attributes
}

func (o *folderObject) Read(p []byte) (int, error) {
	n, err := o.file.Read(p)
	if err != nil && err != io.EOF {
		err = folderError("read", o.attributes.Key, err)
	}
	return n, err
}

func (o *folderObject) Seek(offset int64, whence int) (int64, error) {
	return o.file.Seek(offset, whence)
}

func (o *folderObject) Close() error           { return o.file.Close() }
func (o *folderObject) Attributes() Attributes { return o.attributes }
