package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	opDownload   = "download"
	maxRedirects = 10
)

// ErrFileChanged: what the server holds is no longer the file whose beginning has been written, or it cannot
// show that it is. Start again with an empty destination.
var ErrFileChanged = errors.New("the file may have changed during the download")

// errStalled ends one try; the caller's own context goes on.
var errStalled = errors.New("the transfer stalled")

// Download writes the file at fileURL, an output's or an upload's URL, to w, and returns how many bytes it
// wrote, also when it fails.
//
// A transfer that breaks off, or stands still for the policy's AttemptTimeout, is resumed where it stopped,
// by the policy's MaxTries requests in all. Bytes are only joined when the server shows that they belong to
// one file: by the same strong ETag, or by a range of a file of the same length; otherwise ErrFileChanged.
//
// The API key is sent to no file URL, not even one of the server itself: file URLs carry their own signature
// (generations API contract, section 8). Up to 10 redirects are followed, none from https to http.
//
// Errors: *Error, with ErrForbidden for a URL that has expired (read the task or generation for a fresh one)
// and ErrNotFound; ErrInvalid for what is no http or https URL; ErrUnavailable; ErrFileChanged; w's own, at
// once; the context's. None shows the URL.
func (c *Client) Download(ctx context.Context, fileURL string, w io.Writer) (int64, error) {
	u, err := url.Parse(fileURL)
	if err != nil || !downloadable(u) {
		return 0, fmt.Errorf("client: %s: %w: not an http or https URL with a host and without a user", opDownload, ErrInvalid)
	}
	d := &download{client: c, url: u, w: w, size: -1}
	err = c.retry(ctx, d.try)
	return d.written, err
}

func downloadable(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil
}

// download is one file on its way, over several tries.
type download struct {
	client  *Client
	url     *url.URL
	w       io.Writer
	written int64
	// What the answer that brought the first byte said of the file.
	size int64  // -1 = not known
	etag string // strong ones only; empty = none
}

// try makes one request, for the rest of what is not written yet.
func (d *download) try(caller context.Context) error {
	limit := d.client.policy.AttemptTimeout
	ctx, cancel := context.WithCancelCause(caller)
	defer cancel(nil)
	stall := time.AfterFunc(limit, func() { cancel(errStalled) })
	defer stall.Stop()

	req, resp, err := d.request(caller, ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &stallReader{r: resp.Body, stall: stall, limit: limit}
	length, err := d.position(resp, body)
	if err == nil {
		err = d.copy(body, length)
	}
	if err == nil && d.written < d.size {
		err = &brokenTransfer{io.ErrUnexpectedEOF}
	}
	var broken *brokenTransfer
	if errors.As(err, &broken) {
		return d.client.connectionError(caller, opDownload, req, broken.cause)
	}
	return err
}

// brokenTransfer is a failure to read the answer.
type brokenTransfer struct{ cause error }

func (e *brokenTransfer) Error() string { return e.cause.Error() }

// writeError is a failure of the caller's writer. It is never retried, not even when the writer is itself fed
// into a call of this package and fails with an error that would be.
type writeError struct{ cause error }

func (e *writeError) Error() string { return "client: " + opDownload + ": write: " + e.cause.Error() }
func (e *writeError) Unwrap() error { return e.cause }

// request asks for the file, from d.written on, and follows redirects; the key is never part of it.
func (d *download) request(caller, ctx context.Context) (*http.Request, *http.Response, error) {
	u := d.url
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, nil, fmt.Errorf("client: %s: the request cannot be made", opDownload)
		}
		req.Header.Set("User-Agent", d.client.userAgent)
		// Offsets count stored bytes, so nothing may be compressed on the way.
		req.Header.Set("Accept-Encoding", "identity")
		if d.written > 0 {
			req.Header.Set("Range", "bytes="+strconv.FormatInt(d.written, 10)+"-")
			if d.etag != "" {
				req.Header.Set("If-Range", d.etag)
			}
		}
		resp, err := d.client.http.Do(req)
		if err != nil {
			return nil, nil, d.client.connectionError(caller, opDownload, req, d.withoutURLs(err, u))
		}
		if !redirected(resp.StatusCode) {
			return req, resp, nil
		}
		next, err := u.Parse(resp.Header.Get("Location"))
		resp.Body.Close()
		if err != nil || resp.Header.Get("Location") == "" || !downloadable(next) || u.Scheme == "https" && next.Scheme == "http" {
			return nil, nil, fmt.Errorf("client: %s: a redirect that leads to no http or https URL, or from https to http", opDownload)
		}
		u = next
	}
	return nil, nil, fmt.Errorf("client: %s: more than %d redirects", opDownload, maxRedirects)
}

// withoutURLs replaces an error of the transport that quotes a signed URL; net/http's own do not.
func (d *download) withoutURLs(err error, u *url.URL) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	for _, shown := range []*url.URL{d.url, u} {
		if shown.RawQuery != "" && strings.Contains(err.Error(), shown.RawQuery) {
			return errors.New("the request failed")
		}
	}
	return err
}

func redirected(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// position reads body up to the first byte that is not written yet, and returns how many are to follow (-1 =
// up to the end).
func (d *download) position(resp *http.Response, body io.Reader) (int64, error) {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" && resp.StatusCode/100 == 2 {
		return 0, fmt.Errorf("client: %s: the server compresses what was asked for as it is stored", opDownload)
	}
	switch {
	case resp.StatusCode == http.StatusOK && d.written == 0:
		d.size, d.etag = resp.ContentLength, strongETag(resp.Header)
		return resp.ContentLength, nil

	case resp.StatusCode == http.StatusOK: // the whole file again: no ranges here, or another file
		if d.etag == "" || d.etag != strongETag(resp.Header) {
			return 0, fmt.Errorf("client: %s: %w", opDownload, ErrFileChanged)
		}
		if _, err := io.CopyN(io.Discard, body, d.written); err != nil {
			return 0, &brokenTransfer{err}
		}
		return -1, nil

	case resp.StatusCode == http.StatusPartialContent && d.written > 0:
		first, last, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
		etag := strongETag(resp.Header)
		switch {
		case !ok || first != d.written,
			d.etag != "" && etag != "" && etag != d.etag,
			d.size >= 0 && size >= 0 && size != d.size,
			d.etag == "" && (d.size < 0 || size < 0): // nothing that shows it to be the same file
			return 0, fmt.Errorf("client: %s: %w", opDownload, ErrFileChanged)
		}
		if d.size < 0 {
			d.size = size
		}
		return last - first + 1, nil

	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.written > 0:
		// A file of unknown length that broke off just behind its last byte is whole.
		end := "bytes */" + strconv.FormatInt(d.written, 10)
		if d.size < 0 && d.etag != "" && resp.Header.Get("Content-Range") == end {
			return 0, nil
		}
		return 0, fmt.Errorf("client: %s: %w", opDownload, ErrFileChanged)

	case resp.StatusCode/100 == 2:
		return 0, fmt.Errorf("client: %s: status %d does not answer what was asked", opDownload, resp.StatusCode)

	default:
		text, _ := io.ReadAll(io.LimitReader(body, maxErrorAnswer)) // a cut body still has its status
		return 0, d.client.errorFrom(opDownload, resp.StatusCode, resp.Header, text)
	}
}

// copy writes what body holds, at most length bytes unless that is -1.
func (d *download) copy(body io.Reader, length int64) error {
	if length >= 0 {
		body = io.LimitReader(body, length)
	}
	buffer := make([]byte, 64<<10)
	for {
		n, readErr := body.Read(buffer)
		if n > 0 {
			m, err := d.w.Write(buffer[:n])
			d.written += int64(max(m, 0))
			if err == nil && m < n {
				err = io.ErrShortWrite
			}
			if err != nil {
				return &writeError{err}
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return &brokenTransfer{readErr}
		}
	}
}

// stallReader lets the time-out run only while it waits for the server: a slow destination is nobody's stall.
type stallReader struct {
	r     io.Reader
	stall *time.Timer
	limit time.Duration
}

func (s *stallReader) Read(p []byte) (int, error) {
	s.stall.Reset(s.limit)
	defer s.stall.Stop()
	return s.r.Read(p)
}

// strongETag returns the ETag when it promises equal bytes (RFC 9110, 8.8.1).
func strongETag(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// parseContentRange reads "bytes first-last/size"; size is -1 for "*".
func parseContentRange(value string) (first, last, size int64, ok bool) {
	rest, ok := strings.CutPrefix(value, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, total, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, 0, false
	}
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, false
	}
	size = -1
	numbers := []struct {
		text string
		into *int64
	}{{from, &first}, {to, &last}, {total, &size}}
	for i, n := range numbers {
		if i == 2 && n.text == "*" {
			continue
		}
		v, err := strconv.ParseUint(n.text, 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		*n.into = int64(v)
	}
	if last < first || size >= 0 && last >= size {
		return 0, 0, 0, false
	}
	return first, last, size, true
}
