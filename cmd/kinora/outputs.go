package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/media"
)

// savedFile is an output on this machine.
type savedFile struct {
	Path          string // absolute
	Bytes         int64
	ContentType   string        // judged by content
	Width, Height int           // pixels as a viewer shows them; 0 = not known
	Duration      time.Duration // 0 for images or when not known
}

// download fetches the file at fileURL into dir, under name and the extension of what the file really is. It appears
// under its name only when it is complete; a file of that name is replaced.
func download(ctx context.Context, api *client.Client, fileURL, dir, name string) (saved savedFile, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return savedFile{}, fmt.Errorf("find the folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return savedFile{}, fmt.Errorf("make the folder: %w", err)
	}
	partial, err := os.CreateTemp(dir, "."+name+"-*.partial")
	if err != nil {
		return savedFile{}, fmt.Errorf("make the file: %w", err)
	}
	defer func() {
		_ = partial.Close() // the second time, when all went well
		if err != nil {
			_ = os.Remove(partial.Name())
		}
	}()
	saved.Bytes, err = api.Download(ctx, fileURL, partial)
	if err != nil {
		return savedFile{}, err
	}
	ext, err := saved.look(partial, fileURL)
	if err != nil {
		return savedFile{}, fmt.Errorf("read the file: %w", err)
	}
	// What is private while incomplete becomes what a new file usually is.
	if err := errors.Join(partial.Chmod(0o644), partial.Sync(), partial.Close()); err != nil {
		return savedFile{}, fmt.Errorf("write the file: %w", err)
	}
	saved.Path = filepath.Join(dir, name+ext)
	if err := os.Rename(partial.Name(), saved.Path); err != nil {
		return savedFile{}, fmt.Errorf("name the file: %w", err)
	}
	return saved, nil
}

// shortExtension is what may be taken over from a URL.
var shortExtension = regexp.MustCompile(`^\.[A-Za-z0-9]{1,5}$`)

// look finds out what the file is, and returns its extension: a wrong one would mislead whatever it is opened with. For
// a type that is not known here it is the URL's, which the contract promises to be truthful.
func (f *savedFile) look(file io.ReadSeeker, fileURL string) (ext string, err error) {
	p, err := media.Probe(file)
	if err != nil && !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) {
		return "", err
	}
	f.ContentType, f.Duration = p.Type.ContentType(), p.Duration
	f.Width, f.Height = p.DisplaySize()
	if p.Type == media.Other {
		if u, err := url.Parse(fileURL); err == nil && shortExtension.MatchString(path.Ext(u.Path)) {
			return strings.ToLower(path.Ext(u.Path)), nil
		}
	}
	return p.Type.Extension(), nil
}

// summary is a file in one line: "1024 × 1024, 4.0 s, image/png, 182 KiB".
func (f savedFile) summary() string {
	var parts []string
	if f.Width > 0 && f.Height > 0 {
		parts = append(parts, fmt.Sprintf("%d × %d", f.Width, f.Height))
	}
	if f.Duration > 0 {
		parts = append(parts, fmt.Sprintf("%.1f s", f.Duration.Seconds()))
	}
	return strings.Join(append(parts, f.ContentType, size(f.Bytes)), ", ")
}

// nearby shows a path as people would type it: relative when it lies below the present folder.
func nearby(file string) string {
	here, err := os.Getwd()
	if err != nil {
		return file
	}
	relative, err := filepath.Rel(here, file)
	if err != nil || !filepath.IsLocal(relative) {
		return file
	}
	return relative
}

// fileStem makes a file name of an id. Ids of ours are fit for it as they are; another server's may be anything.
func fileStem(id string) string {
	stem := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, id)
	return stem[:min(len(stem), 80)]
}
