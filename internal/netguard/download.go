package netguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// DownloadRedirects is how many redirects a download follows.
const DownloadRedirects = 3

// Downloaded describes a finished download.
type Downloaded struct {
	URL         *url.URL // where the bytes came from, after redirects; may be signed, so not for logs
	ContentType string   // the header as the server sent it: a claim, not a finding
	Bytes       int64
}

// StatusError is an answer other than 200.
type StatusError struct {
	Status int
}

func (e *StatusError) Error() string { return fmt.Sprintf("server answered %d", e.Status) }

// TooLargeError is a body longer than the limit, announced or met while reading.
type TooLargeError struct {
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string { return fmt.Sprintf("file is larger than %d bytes", e.Limit) }

// WriteError is a failure of the writer given to Download; the source is not to blame.
type WriteError struct {
	Err error
}

func (e *WriteError) Error() string { return "write: " + e.Err.Error() }

// Unwrap returns the writer's error.
func (e *WriteError) Unwrap() error { return e.Err }

// Download fetches rawURL into w with one GET, follows up to [DownloadRedirects] redirects, and writes at most limit
// bytes, in a bounded amount of memory. It sends no header beyond those that net/http needs: servers of signed URLs
// have been seen to refuse more. ctx bounds the whole download.
//
// After an error w may hold a part of the file. The error is, or wraps, a [*Refusal], [ErrTooManyRedirects], a
// [*StatusError], a [*TooLargeError], a [*WriteError], [io.ErrUnexpectedEOF] for a body that ended early, the
// context's error, or the network's. None of them quotes the URL.
func (g *Guard) Download(ctx context.Context, rawURL string, limit int64, w io.Writer) (Downloaded, error) {
	return g.DownloadVia(ctx, DownloadRedirects, rawURL, limit, w)
}

// CheckFetch is CheckURL for a URL that will be downloaded.
func (g *Guard) CheckFetch(rawURL string) error {
	_, err := g.CheckURL(rawURL, Fetch)
	return err
}

// DownloadVia is Download with another number of redirects; 0 or less follows none, and a redirect is a [*StatusError] then.
func (g *Guard) DownloadVia(ctx context.Context, redirects int, rawURL string, limit int64, w io.Writer) (Downloaded, error) {
	u, err := g.CheckURL(rawURL, Fetch)
	if err != nil {
		return Downloaded{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Downloaded{}, refuse(CodeMalformed, "URL cannot be parsed")
	}
	resp, err := g.FetchClient(redirects).Do(req)
	if err != nil {
		return Downloaded{}, downloadError(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Downloaded{}, &StatusError{Status: resp.StatusCode}
	}
	if resp.ContentLength > limit {
		return Downloaded{}, &TooLargeError{Limit: limit}
	}
	n, err := copyBounded(w, resp.Body, limit)
	if err != nil {
		return Downloaded{}, downloadError(ctx, err)
	}
	return Downloaded{
		URL:         resp.Request.URL,
		ContentType: resp.Header.Get("Content-Type"),
		Bytes:       n,
	}, nil
}

func downloadError(ctx context.Context, err error) error {
	err = Cause(err)
	var refusal *Refusal
	var tooLarge *TooLargeError
	var write *WriteError
	if errors.As(err, &refusal) || errors.As(err, &tooLarge) || errors.As(err, &write) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("download: %w", cause) // net/http tells a deadline in several ways
	}
	return fmt.Errorf("download: %w", err)
}

// copyBounded copies body to w and stops at the first byte beyond limit, which it does not write.
func copyBounded(w io.Writer, body io.Reader, limit int64) (int64, error) {
	limit = max(limit, 0)
	n, err := io.Copy(sink{w}, io.LimitReader(body, limit))
	if err != nil || n < limit {
		return n, err
	}
	switch _, err = io.ReadFull(body, make([]byte, 1)); err {
	case nil:
		return n, &TooLargeError{Limit: limit}
	case io.EOF:
		return n, nil
	}
	return n, err
}

// sink marks the errors of a writer, which io.Copy mixes with the reader's.
type sink struct{ w io.Writer }

func (s sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		return n, &WriteError{Err: err}
	}
	return n, nil
}
