package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	opUploadStream = "POST /api/common/upload/stream"
	opUploadURL    = "POST /api/common/upload/url"
	opUploadBase64 = "POST /api/common/upload/base64"
)

// Upload is a file that the server keeps for a while, to be named in Input.Image or Input.Images: images for
// 72 h, videos for 24 h unless its operator says otherwise (submit API contract, section 5).
type Upload struct {
	ID           string // 32 hex characters
	Name         string // made by the server
	OriginalName string
	Size         int64  // bytes
	MIMEType     string // judged by content
	Path         string // folder, below temp/
	URL          string // what to submit
	DownloadURL  string
	UploadedAt   time.Time // UTC; zero when the server's text is no time
	ExpiresAt    time.Time // UTC; zero when the server's text is no time
}

// UploadOption changes one upload.
type UploadOption func(*uploadOptions)

type uploadOptions struct {
	path string
}

// UploadPath puts the file into a sub-folder; the server puts temp/ in front, and refuses "..". Default: none.
func UploadPath(path string) UploadOption { return func(o *uploadOptions) { o.path = path } }

// UploadStream sends the file that r holds, from its present position to its end. name is only shown back as
// OriginalName; empty = "upload". Memory does not grow with the file.
//
// Uploads are tried once: r cannot be read again, and a second try might leave two files. r is not closed.
// When ctx ends while a Read of r is blocked, UploadStream returns without it: leave r alone until that Read
// is done.
//
// Errors: *Error with ErrInvalid (not a usable image or video, too large, a bad path), ErrUnauthorized or
// ErrRateLimited; ErrUnavailable; r's own, if it fails; the context's.
func (c *Client) UploadStream(ctx context.Context, name string, r io.Reader, opts ...UploadOption) (*Upload, error) {
	if name == "" {
		name = "upload"
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return nil, fmt.Errorf("client: %s: %w: control characters in the file name", opUploadStream, ErrInvalid)
	}
	form := form{name: name, file: r}
	if folder := applyUpload(opts).path; folder != "" {
		form.fields = [][2]string{{"upload_path", folder}}
	}
	a, err := c.sendForm(ctx, opUploadStream, "/api/common/upload/stream", form, nil)
	if err != nil {
		return nil, err
	}
	return c.decodeUpload(opUploadStream, a)
}

// form is a multipart form with one file.
type form struct {
	fields [][2]string // names and values, before the file
	name   string      // of the file
	file   io.Reader
}

// sendForm makes one try to send a form, whose file is read while it is sent.
func (c *Client) sendForm(ctx context.Context, op, path string, form form, header http.Header) (answer, error) {
	head, tail, contentType, err := multipartFrame(form)
	if err != nil {
		return answer{}, fmt.Errorf("client: %s: %w", op, err)
	}
	file := lend(ctx, form.file)
	body := io.MultiReader(bytes.NewReader(head), file, bytes.NewReader(tail))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, body)
	if err != nil {
		return answer{}, fmt.Errorf("client: %s: the request cannot be made", op)
	}
	if size, known := remaining(form.file); known {
		req.ContentLength = int64(len(head)) + size + int64(len(tail))
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	a, err := c.exchange(ctx, op, req)
	failed := file.takeBack()
	if err != nil && failed != nil && ctx.Err() == nil {
		return answer{}, &fileError{op, failed}
	}
	return a, err
}

// fileError says that the caller's own file could not be read, which no repetition mends.
type fileError struct {
	op  string
	err error
}

func (e *fileError) Error() string { return "client: " + e.op + ": read the file: " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// UploadURL has the server fetch a file from a public http or https URL. Tried once. Errors as of UploadStream.
func (c *Client) UploadURL(ctx context.Context, fileURL string, opts ...UploadOption) (*Upload, error) {
	return c.uploadJSON(ctx, opUploadURL, "/api/common/upload/url", "file_url", fileURL, opts)
}

// UploadBase64 sends a file as standard base64, with or without a "data:image/png;base64," in front. For
// small files: all of it is held in memory, here and there. Tried once. Errors as of UploadStream.
func (c *Client) UploadBase64(ctx context.Context, encoded string, opts ...UploadOption) (*Upload, error) {
	return c.uploadJSON(ctx, opUploadBase64, "/api/common/upload/base64", "base64_data", encoded, opts)
}

func (c *Client) uploadJSON(ctx context.Context, op, path, field, value string, opts []UploadOption) (*Upload, error) {
	fields := map[string]string{field: value}
	if folder := applyUpload(opts).path; folder != "" {
		fields["upload_path"] = folder
	}
	body, err := marshal(op, fields)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %s: the request cannot be made", op)
	}
	req.Header.Set("Content-Type", "application/json")
	a, err := c.exchange(ctx, op, req)
	if err != nil {
		return nil, err
	}
	return c.decodeUpload(op, a)
}

func applyUpload(opts []UploadOption) uploadOptions {
	var o uploadOptions
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

func (c *Client) decodeUpload(op string, a answer) (*Upload, error) {
	var wire struct {
		FileID       string `json:"file_id"`
		FileName     string `json:"file_name"`
		OriginalName string `json:"original_name"`
		FileSize     int64  `json:"file_size"`
		MIMEType     string `json:"mime_type"`
		UploadPath   string `json:"upload_path"`
		FileURL      string `json:"file_url"`
		DownloadURL  string `json:"download_url"`
		UploadTime   string `json:"upload_time"`
		ExpiresAt    string `json:"expires_at"`
	}
	if err := c.decodeData(op, a, &wire); err != nil {
		return nil, err
	}
	if wire.FileURL == "" {
		return nil, fmt.Errorf("client: %s: the answer holds no file_url", op)
	}
	return &Upload{
		ID: wire.FileID, Name: wire.FileName, OriginalName: wire.OriginalName, Size: wire.FileSize, MIMEType: wire.MIMEType,
		Path: wire.UploadPath, URL: wire.FileURL, DownloadURL: wire.DownloadURL,
		UploadedAt: parseTime(wire.UploadTime), ExpiresAt: parseTime(wire.ExpiresAt),
	}, nil
}

// multipartFrame returns what stands before and after the file, so that the body needs neither a pipe with a
// goroutine nor a copy of the file, and has a known length when the file has.
func multipartFrame(form form) (head, tail []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, field := range form.fields {
		if err := w.WriteField(field[0], field[1]); err != nil {
			return nil, nil, "", err
		}
	}
	if _, err := w.CreateFormFile("file", form.name); err != nil {
		return nil, nil, "", err
	}
	size := b.Len()
	if err := w.Close(); err != nil {
		return nil, nil, "", err
	}
	return b.Bytes()[:size], b.Bytes()[size:], w.FormDataContentType(), nil
}

// remaining tells how many bytes r still holds, where it can be known without reading. An unknown length costs
// no more than chunked encoding; a wrong one would break the request, so doubt counts as unknown.
func remaining(r io.Reader) (size int64, known bool) {
	switch r := r.(type) {
	case *bytes.Reader:
		return int64(r.Len()), true
	case *bytes.Buffer:
		return int64(r.Len()), true
	case *strings.Reader:
		return int64(r.Len()), true
	case *os.File:
		// Devices and pipes have no size, and files of /proc claim 0.
		stat, err := r.Stat()
		if err != nil || !stat.Mode().IsRegular() {
			return 0, false
		}
		here, err := r.Seek(0, io.SeekCurrent)
		if err != nil || stat.Size() <= here {
			return 0, false
		}
		return stat.Size() - here, true
	}
	return 0, false
}

// uploadBuffer is how much of a file is read at a time, in bytes.
const uploadBuffer = 32 << 10

// lentReader lends the caller's reader to net/http, and takes it back. It is needed twice over: after an
// early answer net/http goes on reading the body when it has returned already; and after the context's end it
// returns no sooner than a Read that blocks. So each Read runs on a goroutine of its own, into a buffer that
// nobody else touches, and is left behind when ctx ends.
type lentReader struct {
	ctx    context.Context
	r      io.Reader
	buffer []byte
	turn   chan struct{} // held during a Read of r, and while err is looked at
	left   atomic.Bool   // no further Read of r may begin
	err    error         // what r failed with; io.EOF is no failure
}

func lend(ctx context.Context, r io.Reader) *lentReader {
	return &lentReader{ctx: ctx, r: r, buffer: make([]byte, uploadBuffer), turn: make(chan struct{}, 1)}
}

func (l *lentReader) Read(p []byte) (int, error) {
	select {
	case l.turn <- struct{}{}:
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
	}
	if l.left.Load() {
		<-l.turn
		return 0, http.ErrBodyReadAfterClose
	}
	type outcome struct {
		n   int
		err error
	}
	done := make(chan outcome, 1)
	piece := l.buffer[:min(len(p), len(l.buffer))]
	go func() {
		n, err := l.r.Read(piece)
		if err != nil && err != io.EOF {
			l.err = err
		}
		done <- outcome{n, err}
		<-l.turn
	}()
	select {
	case o := <-done:
		return copy(p, piece[:o.n]), o.err
	case <-l.ctx.Done():
		l.left.Store(true)
		return 0, l.ctx.Err()
	}
}

// takeBack waits for a Read that is under way, unless ctx ends first, and lets no other begin. It returns
// what the reader failed with.
func (l *lentReader) takeBack() error {
	l.left.Store(true)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		return l.err
	case <-l.ctx.Done():
		return nil
	}
}
