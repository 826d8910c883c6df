package blob

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Permissions of what a Folder creates: for the service's own user, readable for its group.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

// disk is the set of calls whose order and outcome decide whether a Put is durable and whole. Tests put a failing or
// recording disk in the place of rootDisk; names are relative to the folder and use slashes.
type disk interface {
	create(name string) (diskFile, error) // fails when the file exists
	mkdir(name string) error              // fails when the directory exists
	rename(from, to string) error
	remove(name string) error    // a file
	removeDir(name string) error // an empty directory, nothing else
	syncDir(name string) error
}

type diskFile interface {
	io.Writer
	Sync() error
	Close() error
	Stat() (fs.FileInfo, error)
}

// rootDisk works through os.Root: neither a name nor a symbolic link leads out of the folder.
type rootDisk struct {
	root *os.Root
}

func (d rootDisk) create(name string) (diskFile, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d rootDisk) mkdir(name string) error      { return d.root.Mkdir(name, dirMode) }
func (d rootDisk) rename(from, to string) error { return d.root.Rename(from, to) }
func (d rootDisk) remove(name string) error     { return d.root.Remove(name) }

func (d rootDisk) removeDir(name string) error {
	stat, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !stat.IsDir() { // a link that an operator has set, for instance
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	}
	return d.root.Remove(name)
}

func (d rootDisk) syncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be flushed there; NTFS journals names by itself
	}
	dir, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// makeFolder creates dir with its missing parents, and makes their names durable.
func makeFolder(dir string) error {
	var created []string
	for level := dir; ; level = filepath.Dir(level) {
		if _, err := os.Stat(level); err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(level) == level {
			break
		}
		created = append(created, level)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	for _, level := range created {
		root, err := os.OpenRoot(filepath.Dir(level))
		if err != nil {
			return err
		}
		if err := errors.Join(rootDisk{root}.syncDir("."), root.Close()); err != nil {
			return err
		}
	}
	return nil
}
