package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kinora/kinora/client"
)

// savedFile is an output on this machine.
type savedFile struct {
	Path        string
	Bytes       int64
	ContentType string
}

// download fetches the file at fileURL into dir as name and a truthful extension. The file appears under its
// name only when it is complete; one of that name is replaced.
func download(ctx context.Context, api *client.Client, fileURL, dir, name string) (saved savedFile, err error) {
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
	head := &beginning{}
	saved.Bytes, err = api.Download(ctx, fileURL, io.MultiWriter(partial, head))
	if err != nil {
		return savedFile{}, err
	}
	// What is private while incomplete becomes what a new file usually is.
	if err := errors.Join(partial.Chmod(0o644), partial.Sync(), partial.Close()); err != nil {
		return savedFile{}, fmt.Errorf("write the file: %w", err)
	}
	saved.ContentType = head.contentType()
	saved.Path = filepath.Join(dir, name+extension(saved.ContentType, fileURL))
	if err := os.Rename(partial.Name(), saved.Path); err != nil {
		return savedFile{}, fmt.Errorf("name the file: %w", err)
	}
	return saved, nil
}

// beginning keeps the first bytes of what is written to it: as many as a type is recognised by.
type beginning struct{ bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	const enough = 512
	if room := enough - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// contentType judges by content alone, as a wrong extension misleads every program that the file is opened with.
func (b *beginning) contentType() string {
	head := b.Bytes()
	// net/http knows only some of the brands that an MP4 may begin with.
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		switch brand := string(head[8:12]); {
		case brand == "qt  ":
			return "video/quicktime"
		case brand == "avif", brand == "avis":
			return "image/avif"
		default:
			return "video/mp4"
		}
	}
	kind, _, err := mime.ParseMediaType(http.DetectContentType(head))
	if err != nil {
		return "application/octet-stream"
	}
	return kind
}

// shortExtension is what may be taken over from a URL.
var shortExtension = regexp.MustCompile(`^\.[A-Za-z0-9]{1,5}$`)

// extension is the usual one of a type that was recognised; else the URL's, which the contract promises to be truthful.
func extension(contentType, fileURL string) string {
	switch contentType {
	case "image/png":
		return ".png"
	case "image/jpeg":
		return ".jpg"
	case "image/gif":
		return ".gif"
	case "image/webp":
		return ".webp"
	case "image/avif":
		return ".avif"
	case "video/mp4":
		return ".mp4"
	case "video/webm":
		return ".webm"
	case "video/quicktime":
		return ".mov"
	case "video/avi":
		return ".avi"
	}
	if u, err := url.Parse(fileURL); err == nil {
		if ext := path.Ext(u.Path); shortExtension.MatchString(ext) {
			return strings.ToLower(ext)
		}
	}
	return ".bin"
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
