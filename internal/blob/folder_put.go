package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

const (
	copyBufferSize = 128 << 10

	// maxPublishTries bounds the races with Deletes that remove the target directory, each lost one costs a try.
	maxPublishTries = 16

	// maxKnownDirs bounds Folder.durable. Beyond it the map starts afresh, at the price of a few flushes.
	maxKnownDirs = 4096
)

// Put implements Store: write to a temporary file, flush it, rename it, flush the directory.
func (f *Folder) Put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Attributes, error) {
	if err := ValidateKey(key); err != nil {
		return Attributes{}, err
	}
	return f.put(ctx, key, r, opts)
}

func (f *Folder) put(ctx context.Context, key string, r io.Reader, _ PutOptions) (Attributes, error) {
	if err := ctx.Err(); err != nil {
		return Attributes{}, &Error{Op: "put", Key: key, Err: err}
	}
	temp, file, err := f.createTemp()
	if err != nil {
		return Attributes{}, folderError("put", key, err)
	}
	stat, err := f.writeTemp(ctx, key, file, r)
	if err == nil {
		err = f.publish(temp, key)
	}
	if err != nil {
		// When even this fails the file stays for Sweep; the first error is the one that matters. After a rename
		// whose flush failed there is nothing to remove.
		_ = f.disk.remove(temp)
		return Attributes{}, err
	}
	return attributesOf(key, stat), nil
}

func (f *Folder) createTemp() (string, diskFile, error) {
	name := tempFolder + "/" + strings.ToLower(rand.Text())
	file, err := f.disk.create(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return name, file, err
	}
	if err := f.disk.mkdir(tempFolder); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", nil, err
	}
	file, err = f.disk.create(name)
	return name, file, err
}

// writeTemp fills file, flushes it and closes it in every case.
func (f *Folder) writeTemp(ctx context.Context, key string, file diskFile, r io.Reader) (fs.FileInfo, error) {
	src := &source{ctx: ctx, r: r}
	// The wrapper hides ReadFrom, so that the copy goes through the one buffer.
	_, err := io.CopyBuffer(struct{ io.Writer }{file}, src, make([]byte, copyBufferSize))
	if src.err != nil {
		return nil, errors.Join(&Error{Op: "put", Key: key, Err: src.err}, file.Close())
	}
	if err == nil {
		// Not after this call: on Linux a failed flush marks the pages clean, a second one would wrongly succeed.
		err = file.Sync()
	}
	var stat fs.FileInfo
	if err == nil {
		stat, err = file.Stat()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr // network file systems report a full disk here
	}
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return stat, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return nil, &Error{Op: "put", Key: key, Err: err}
	}
	return nil, folderError("put", key, err)
}

// publish moves the finished file to its key and makes the name durable.
func (f *Folder) publish(temp, key string) error {
	dir := path.Dir(key)
	err := fs.ErrNotExist
	for try := 0; try < maxPublishTries && errors.Is(err, fs.ErrNotExist); try++ {
		if try > 0 {
			f.forget(dir) // it was removed since we made it
		}
		if err = f.makeDurable(dir); err == nil {
			err = f.disk.rename(temp, key)
		}
	}
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR) {
		return &Error{Op: "put", Key: key, Kind: ErrInvalidKey, Err: err,
			Hint: "an object cannot have the name of a folder, nor lie below another object"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: "put", Key: key, Kind: ErrUnavailable, Err: err,
			Hint: "something removes folders or temporary files from the storage folder"}
	}
	if err == nil {
		err = f.disk.syncDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted again already
		}
	}
	if err != nil {
		return folderError("put", key, err)
	}
	return nil
}

// makeDurable creates dir with its parents and flushes each name that this process has not flushed before.
func (f *Folder) makeDurable(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dir == "." || f.durable[dir] {
		return nil
	}
	if len(f.durable) >= maxKnownDirs {
		clear(f.durable)
	}
	parent := "."
	for segment := range strings.SplitSeq(dir, "/") {
		level := path.Join(parent, segment)
		if !f.durable[level] {
			if err := f.disk.mkdir(level); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			// Also when the directory was there: whoever made it may have died before the flush.
			if err := f.disk.syncDir(parent); err != nil {
				return err
			}
			f.durable[level] = true
		}
		parent = level
	}
	return nil
}

func (f *Folder) forget(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		delete(f.durable, dir)
	}
}
