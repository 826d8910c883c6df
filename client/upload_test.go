package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora/client"
)

const uploaded = `{"success":true,"code":200,"msg":"File uploaded successfully",
 "data":{"file_id":"0123456789abcdef0123456789abcdef","file_name":"1735471744123456789_a8b9cd2e.png","original_name":"cat.png",
  "file_size":3242,"mime_type":"image/png","upload_path":"temp/demo/2025/12/29",
  "file_url":"https://files.example/temp/demo/2025/12/29/1735471744123456789_a8b9cd2e.png",
  "download_url":"https://files.example/temp/demo/2025/12/29/1735471744123456789_a8b9cd2e.png",
  "upload_time":"2025-12-29T13:09:04.731057","expires_at":"2026-01-01T13:09:04.731057"}}`

// received is what a multipart upload held.
type received struct {
	name, path, content string
	length              int64 // Content-Length; -1 = chunked
}

func uploadServer(t *testing.T, got *received) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/api/common/upload/stream" || r.Header.Get("Authorization") != "Bearer "+apiKey {
			t.Errorf("%s %s, authorisation %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		got.length, got.path = r.ContentLength, r.FormValue("upload_path")
		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		content, err := io.ReadAll(file)
		if err != nil {
			t.Error(err)
		}
		got.name, got.content = header.Filename, string(content)
		_, _ = io.WriteString(w, uploaded)
	})
}

func TestUploadStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cat.png")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	past, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	if _, err := past.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 1<<20)

	tests := map[string]struct {
		name string
		r    io.Reader
		opts []client.UploadOption
		want received
		sent bool // the length is told in advance
	}{
		"bytes":                  {"cat.png", bytes.NewReader([]byte("abc")), nil, received{name: "cat.png", content: "abc"}, true},
		"buffer":                 {"cat.png", bytes.NewBufferString(large), nil, received{name: "cat.png", content: large}, true},
		"text":                   {"cat.png", strings.NewReader("abc"), nil, received{name: "cat.png", content: "abc"}, true},
		"file from its position": {"cat.png", file, nil, received{name: "cat.png", content: "456789"}, true},
		"file past its end":      {"cat.png", past, nil, received{name: "cat.png"}, false},
		"reader without length":  {"cat.png", io.MultiReader(strings.NewReader(large)), nil, received{name: "cat.png", content: large}, false},
		"folder":                 {"cat.png", strings.NewReader("abc"), []client.UploadOption{client.UploadPath("demo")}, received{name: "cat.png", path: "demo", content: "abc"}, true},
		"no name":                {"", strings.NewReader("abc"), nil, received{name: "upload", content: "abc"}, true},
		"odd name":               {`a "b" ü.png`, strings.NewReader("abc"), nil, received{name: `a "b" ü.png`, content: "abc"}, true},
		"empty":                  {"cat.png", strings.NewReader(""), nil, received{name: "cat.png"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got received
			c, _ := served(t, uploadServer(t, &got))
			upload, err := c.UploadStream(t.Context(), tt.name, tt.r, tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if (got.length >= 0) != tt.sent {
				t.Errorf("Content-Length %d", got.length)
			}
			got.length = 0
			if got != tt.want {
				t.Errorf("the server got name %q, path %q and %d bytes", got.name, got.path, len(got.content))
			}
			want := &client.Upload{
				ID: "0123456789abcdef0123456789abcdef", Name: "1735471744123456789_a8b9cd2e.png", OriginalName: "cat.png", Size: 3242, MIMEType: "image/png",
				Path: "temp/demo/2025/12/29", URL: "https://files.example/temp/demo/2025/12/29/1735471744123456789_a8b9cd2e.png",
				DownloadURL: "https://files.example/temp/demo/2025/12/29/1735471744123456789_a8b9cd2e.png",
				UploadedAt:  time.Date(2025, 12, 29, 13, 9, 4, 731057000, time.UTC), ExpiresAt: time.Date(2026, 1, 1, 13, 9, 4, 731057000, time.UTC),
			}
			if diff := cmp.Diff(want, upload); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUploadJSON(t *testing.T) {
	c, s, _ := scripted(t, reply(200, uploaded))
	if _, err := c.UploadURL(t.Context(), "https://files.example/cat.png", client.UploadPath("demo")); err != nil {
		t.Error(err)
	}
	if _, err := c.UploadBase64(t.Context(), "data:image/png;base64,AAAA"); err != nil {
		t.Error(err)
	}
	want := []struct {
		path   string
		fields map[string]string
	}{
		{"/prefix/api/common/upload/url", map[string]string{"file_url": "https://files.example/cat.png", "upload_path": "demo"}},
		{"/prefix/api/common/upload/base64", map[string]string{"base64_data": "data:image/png;base64,AAAA"}},
	}
	for i, w := range want {
		var fields map[string]string
		if err := json.Unmarshal([]byte(s.seen[i].body), &fields); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.fields, fields); diff != "" || s.seen[i].path != w.path || s.seen[i].header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v\n%s", s.seen[i].path, s.seen[i].header, diff)
		}
	}
}

func TestUploadErrors(t *testing.T) {
	broken := errors.New("disk error")
	t.Run("the server refuses", func(t *testing.T) {
		c, _, _ := scripted(t, reply(400, `{"detail":"Invalid file data"}`))
		_, err := c.UploadStream(t.Context(), "x.txt", strings.NewReader("x"))
		var answered *client.Error
		if !errors.As(err, &answered) || answered.Message != "Invalid file data" || !errors.Is(err, client.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the reader fails", func(t *testing.T) {
		c, _ := served(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		_, err := c.UploadStream(t.Context(), "x.png", io.MultiReader(strings.NewReader("x"), failingReader{broken}))
		if !errors.Is(err, broken) || errors.Is(err, client.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("control characters in the name", func(t *testing.T) {
		c, s, _ := scripted(t, reply(200, uploaded))
		if _, err := c.UploadStream(t.Context(), "a\r\nX: y", strings.NewReader("x")); !errors.Is(err, client.ErrInvalid) || len(s.seen) != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// TestUploadStreamReturnsTheReader: an answer can come before the file is read, and net/http may go on reading the
// body after that. It must not reach the caller's reader any more.
func TestUploadStreamReturnsTheReader(t *testing.T) {
	var kept io.Reader
	transport := roundTripper(func(req *http.Request) (*http.Response, error) {
		kept = req.Body
		if _, err := io.CopyN(io.Discard, kept, 100<<10); err != nil {
			t.Error(err)
		}
		return reply(413, `{"detail":"File too large"}`)(req)
	})
	c, err := client.New("https://kinora.test", apiKey, client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	endless := &countingReader{}
	if _, err := c.UploadStream(t.Context(), "x.png", endless); !errors.Is(err, client.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	reads := endless.reads
	if _, err := io.ReadAll(kept); err == nil || reads == 0 || endless.reads != reads {
		t.Errorf("%d reads before the return, %d after (%v)", reads, endless.reads-reads, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// countingReader never ends, and is not safe for concurrent use.
type countingReader struct{ reads int }

func (r *countingReader) Read(p []byte) (int, error) {
	r.reads++
	return len(p), nil
}

// TestUploadStreamEndsWithTheContext: a reader that blocks does not hold the call.
func TestUploadStreamEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := served(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	reader, writer := io.Pipe()
	defer writer.Close() // lets the blocked Read go
	blocked := readerFunc(func(p []byte) (int, error) {
		cancel()
		return reader.Read(p)
	})
	_, err := c.UploadStream(ctx, "x.png", blocked)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
