package blob_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora/internal/blob"
)

var fileContent = bytes.Repeat([]byte("0123456789abcdef"), 1000)

// serveFile answers r with an object from s.
func serveFile(t *testing.T, s blob.Store, key string, r *http.Request, opts blob.ServeOptions) *http.Response {
	t.Helper()
	object, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	w := httptest.NewRecorder()
	blob.ServeObject(w, r, object, opts)
	return w.Result()
}

func get(header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/files/a.png", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func eachStore(t *testing.T, test func(t *testing.T, s blob.Store)) {
	t.Run("Folder", func(t *testing.T) { test(t, openFolder(t)) })
	t.Run("S3", func(t *testing.T) { test(t, startS3(t, nil).store(t)) })
}

func TestServeObject(t *testing.T) {
	eachStore(t, func(t *testing.T, s blob.Store) {
		putText(t, s, "out/a.png", string(fileContent))
		sum := sha256.Sum256(fileContent)
		opts := blob.ServeOptions{
			ContentType: "image/png", Filename: "picture.png", SHA256: hex.EncodeToString(sum[:]),
			MaxAge: time.Hour, Expires: signingTime.Add(15 * time.Minute), Now: signingTime,
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := get()
			r.Method = method
			answer := serveFile(t, s, "out/a.png", r, opts)
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %d, %v", method, answer.StatusCode, err)
			}
			if method == http.MethodGet && !bytes.Equal(body, fileContent) || method == http.MethodHead && len(body) != 0 {
				t.Errorf("%s: a body of %d bytes", method, len(body))
			}
			for name, want := range map[string]string{
				"Content-Type":            "image/png",
				"Content-Length":          fmt.Sprint(len(fileContent)),
				"Content-Disposition":     "inline; filename=picture.png",
				"Content-Security-Policy": "default-src 'none'; sandbox",
				"X-Content-Type-Options":  "nosniff",
				"Cache-Control":           "private, max-age=900",
				"ETag":                    `"` + hex.EncodeToString(sum[:]) + `"`,
				"Accept-Ranges":           "bytes",
				"Last-Modified":           "",
			} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s: %s = %q, want %q", method, name, got, want)
				}
			}
		}
	})
}

func TestServeObjectRanges(t *testing.T) {
	eachStore(t, func(t *testing.T, s blob.Store) {
		putText(t, s, "out/a.mp4", string(fileContent))
		size := len(fileContent)
		etag := `"` + strings.Repeat("ab", 32) + `"`
		for _, test := range []struct {
			rng, ifRange string
			status       int
			from, to     int
		}{
			{"bytes=0-9", "", 206, 0, 10},
			{"bytes=10-", "", 206, 10, size},
			{"bytes=-5", "", 206, size - 5, size},
			{"bytes=15990-99999", "", 206, 15990, size},
			{"bytes=0-9", etag, 206, 0, 10},
			{"bytes=0-9", `"other"`, 200, 0, size},
			{"bytes=99999-", "", 416, 0, 0},
			{"bytes=99999-100000, 88888-", "", 416, 0, 0},
			{"lines=1-2", "", 200, 0, size}, // a unit nobody knows, and what is no range: ignored
			{"Range", "", 200, 0, size},
			{"bytes", "", 200, 0, size},
			{"bytes=", "", 200, 0, size},
			{"bytes=,", "", 200, 0, size},
			{"bytes=-0", "", 200, 0, size},
			{"bytes=-", "", 200, 0, size},
			{"bytes=a-b", "", 200, 0, size},
			{"bytes=5-1", "", 200, 0, size},
			{"bytes=+1-2", "", 200, 0, size},
			{"bytes=1--2", "", 200, 0, size},
			{"bytes=0-1,x", "", 200, 0, size},
			{"bytes=99999999999999999999-", "", 200, 0, size},
			{"bytes=" + strings.Repeat("0-1,", 20) + "5-6", "", 200, 0, size}, // too many to be worth it
		} {
			answer := serveFile(t, s, "out/a.mp4", get("Range", test.rng, "If-Range", test.ifRange), blob.ServeOptions{SHA256: strings.Repeat("ab", 32)})
			body, err := io.ReadAll(answer.Body)
			if answer.StatusCode != test.status || err != nil {
				t.Errorf("%s: %d, %v; want %d", test.rng, answer.StatusCode, err, test.status)
				continue
			}
			if test.status == 416 {
				if got, want := answer.Header.Get("Content-Range"), fmt.Sprintf("bytes */%d", size); got != want {
					t.Errorf("%s: Content-Range = %q, want %q", test.rng, got, want)
				}
				continue
			}
			if !bytes.Equal(body, fileContent[test.from:test.to]) {
				t.Errorf("%s: %d bytes, and not those from %d to %d", test.rng, len(body), test.from, test.to)
			}
			want := fmt.Sprintf("bytes %d-%d/%d", test.from, test.to-1, size)
			if got := answer.Header.Get("Content-Range"); test.status == 206 && got != want {
				t.Errorf("%s: Content-Range = %q, want %q", test.rng, got, want)
			}
		}
		answer := serveFile(t, s, "out/a.mp4", get("Range", "bytes=0-1,100-103"), blob.ServeOptions{})
		_, params, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
		if err != nil || answer.StatusCode != 206 {
			t.Fatalf("two ranges: %d, %v", answer.StatusCode, err)
		}
		parts := multipart.NewReader(answer.Body, params["boundary"])
		for _, want := range []string{"01", "4567"} {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(part); err != nil || string(got) != want || part.Header.Get("Content-Type") != "video/mp4" {
				t.Errorf("part = %q (%v, %v), want %q", got, part.Header, err, want)
			}
		}
	})
}

func TestServeObjectConditions(t *testing.T) {
	s := openFolder(t)
	putText(t, s, "out/a.png", "content")
	opts := blob.ServeOptions{SHA256: strings.Repeat("AB", 32)} // the entity tag is lower case all the same
	for _, test := range []struct {
		header, value string
		status        int
	}{
		{"If-None-Match", `"` + strings.Repeat("ab", 32) + `"`, 304},
		{"If-None-Match", `"other"`, 200},
		{"If-Match", `"other"`, 412},
		{"If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 200}, // there is no time to go by
	} {
		if answer := serveFile(t, s, "out/a.png", get(test.header, test.value), opts); answer.StatusCode != test.status {
			t.Errorf("%s: %s gives %d, want %d", test.header, test.value, answer.StatusCode, test.status)
		}
	}
}

// Without a digest, size and time name the version, so that a broken download goes on with the same one or starts afresh.
func TestServeObjectVersions(t *testing.T) {
	eachStore(t, func(t *testing.T, s blob.Store) {
		putText(t, s, "out/a.mp4", string(fileContent))
		etag := serveFile(t, s, "out/a.mp4", get(), blob.ServeOptions{}).Header.Get("ETag")
		if !strings.HasPrefix(etag, fmt.Sprintf(`"%x-`, len(fileContent))) || !strings.HasSuffix(etag, `"`) {
			t.Fatalf("entity tag %s", etag)
		}
		for _, sum := range []string{"ab", strings.Repeat("x", 64), strings.Repeat("ab", 33)} {
			if got := serveFile(t, s, "out/a.mp4", get(), blob.ServeOptions{SHA256: sum}).Header.Get("ETag"); got != etag {
				t.Errorf("SHA256 %q gives the entity tag %s, want %s", sum, got, etag)
			}
		}
		rest := get("Range", "bytes=100-", "If-Range", etag)
		answer := serveFile(t, s, "out/a.mp4", rest, blob.ServeOptions{})
		if body, err := io.ReadAll(answer.Body); answer.StatusCode != http.StatusPartialContent || err != nil || !bytes.Equal(body, fileContent[100:]) {
			t.Errorf("the rest: %d, %d bytes, %v", answer.StatusCode, len(body), err)
		}
		if answer := serveFile(t, s, "out/a.mp4", get("If-None-Match", etag), blob.ServeOptions{}); answer.StatusCode != http.StatusNotModified {
			t.Errorf("the same version again: %d", answer.StatusCode)
		}
		replaced := fileContent[1:]
		putText(t, s, "out/a.mp4", string(replaced))
		answer = serveFile(t, s, "out/a.mp4", rest, blob.ServeOptions{})
		if body, err := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || err != nil || !bytes.Equal(body, replaced) || answer.Header.Get("ETag") == etag {
			t.Errorf("the rest of another version: %d, %d bytes, tag %s, %v", answer.StatusCode, len(body), answer.Header.Get("ETag"), err)
		}
	})
}

// fixedObject is an object of which the test says when it was written.
type fixedObject struct {
	*bytes.Reader
	at time.Time
}

func (fixedObject) Close() error { return nil }
func (o fixedObject) Attributes() blob.Attributes {
	return blob.Attributes{Key: "a.png", Size: o.Size(), ModTime: o.at}
}

func TestServeObjectVersionsOfOneSize(t *testing.T) {
	tag := func(at time.Time) string {
		w := httptest.NewRecorder()
		blob.ServeObject(w, get(), fixedObject{bytes.NewReader(fileContent), at}, blob.ServeOptions{})
		return w.Result().Header.Get("ETag")
	}
	if a, again, b := tag(signingTime), tag(signingTime), tag(signingTime.Add(time.Nanosecond)); a == "" || a != again || a == b {
		t.Errorf("tags %s, %s and %s, want two equal and one other", a, again, b)
	}
	if got := tag(time.Time{}); got != "" {
		t.Errorf("an object without a time has the tag %s", got)
	}
}

// TestServeObjectNeverActive: no stored type and no name makes a browser run what is served.
func TestServeObjectNeverActive(t *testing.T) {
	s := openFolder(t)
	const attachment = "application/octet-stream"
	for _, test := range []struct{ key, stored, want string }{
		{"a.png", "", "image/png"},
		{"a.png", "IMAGE/PNG", "image/png"},
		{"a.png", "image/png; charset=utf-8", "image/png"},
		{"a.heic", "", "image/heic"},
		{"a.webm", "", "video/webm"},
		{"a.bin", "video/mp4", "video/mp4"},
		{"a.html", "", attachment},
		{"a.svg", "", attachment},
		{"a.png", "image/svg+xml", attachment},
		{"a.png", "text/html", attachment},
		{"a.png", "application/xhtml+xml", attachment},
		{"a.png", "text/javascript", attachment},
		{"a.png", "application/pdf", attachment},
		{"a.png", "image/png\r\nSet-Cookie: a=b", attachment},
		{"a.png", "image/*", attachment},
		{"a.png", "nonsense", attachment},
		{"a", "", attachment},
	} {
		putText(t, s, test.key, "<script>alert(1)</script>")
		answer := serveFile(t, s, test.key, get(), blob.ServeOptions{ContentType: test.stored})
		disposition, _, _ := strings.Cut(answer.Header.Get("Content-Disposition"), ";")
		wantDisposition := map[bool]string{true: "attachment", false: "inline"}[test.want == attachment]
		if got := answer.Header.Get("Content-Type"); got != test.want || disposition != wantDisposition {
			t.Errorf("%q stored as %q is served as %q, %s; want %q, %s", test.key, test.stored, got, disposition, test.want, wantDisposition)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%q stored as %q is served without protection: %v", test.key, test.stored, answer.Header)
		}
	}
}

func TestServeObjectCacheControl(t *testing.T) {
	s := openFolder(t)
	putText(t, s, "a.png", "content")
	for _, test := range []struct {
		age  time.Duration
		left time.Duration // until Expires; 0 means that it never does
		want string
	}{
		{0, 0, "private, max-age=0"},
		{time.Hour, 0, "private, max-age=3600"},
		{time.Hour, 90*time.Second + 900*time.Millisecond, "private, max-age=90"},
		{time.Minute, time.Hour, "private, max-age=60"},
		{time.Hour, -time.Minute, "private, max-age=0"},
		{-time.Hour, time.Hour, "private, max-age=0"},
	} {
		opts := blob.ServeOptions{MaxAge: test.age, Now: signingTime}
		if test.left != 0 {
			opts.Expires = signingTime.Add(test.left)
		}
		if got := serveFile(t, s, "a.png", get(), opts).Header.Get("Cache-Control"); got != test.want {
			t.Errorf("%v with %v left: %q, want %q", test.age, test.left, got, test.want)
		}
	}
}

func TestServeObjectFilename(t *testing.T) {
	s := openFolder(t)
	putText(t, s, "out/own name.png", "content")
	long := strings.Repeat("é", 300)
	for name, want := range map[string]string{
		"":                                 "own name.png",
		"a.png":                            "a.png",
		"../../etc/passwd":                 "passwd",
		`C:\Users\x\a.png`:                 "a.png",
		"a\r\nSet-Cookie: b=c.png":         "aSet-Cookie b=c.png",
		`a".png; filename="evil.exe`:       "a.png filename=evil.exe",
		"a\u202egnp.exe":                   "agnp.exe",
		"...":                              "own name.png",
		".htaccess":                        "htaccess",
		"a/":                               "own name.png",
		"a\x00b\x7f.png":                   "ab.png",
		"a\u00a0b.png":                     "a b.png",
		"bad\xff.png":                      "bad.png",
		"衣服.png":                           "衣服.png",
		long + ".png":                      strings.Repeat("é", 88) + ".png",
		long:                               strings.Repeat("é", 90),
		"a." + strings.Repeat("x", 300):    "a." + strings.Repeat("x", 178),
		"%2e%2e%2fa.png":                   "2e2e2fa.png",
		"a|b<c>d:e?f*g.png":                "abcdefg.png",
		strings.Repeat(" ", 10) + " a.png": "a.png",
	} {
		answer := serveFile(t, s, "out/own name.png", get(), blob.ServeOptions{Filename: name})
		disposition, params, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition"))
		if err != nil || disposition != "inline" || params["filename"] != want || len(params) != 1 {
			t.Errorf("%q becomes %q (%q), want %q", name, params["filename"], answer.Header.Get("Content-Disposition"), want)
		}
	}
}

func FuzzServeObjectFilename(f *testing.F) {
	for _, name := range []string{"", "a.png", "a\r\nb", `"`, "\xff", "衣服", "..", "a/b", strings.Repeat("é", 300)} {
		f.Add(name)
	}
	s, err := blob.OpenFolder(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	if _, err := s.Put(f.Context(), "a.png", strings.NewReader("x"), blob.PutOptions{}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		header := serveFile(t, s, "a.png", get(), blob.ServeOptions{Filename: name}).Header.Get("Content-Disposition")
		disposition, params, err := mime.ParseMediaType(header)
		if err != nil || disposition != "inline" || strings.ContainsAny(header, "\r\n\x00") {
			t.Fatalf("%q gives %q (%v)", name, header, err)
		}
		if got := params["filename"]; got == "" || len(got) > 200 || !utf8.ValidString(got) || strings.ContainsAny(got, `/\"`) || strings.HasPrefix(got, ".") {
			t.Fatalf("%q becomes %q", name, got)
		}
	})
}

// TestServeObjectOverHTTP goes through a real server, where the kernel copies a file to the socket by itself.
func TestServeObjectOverHTTP(t *testing.T) {
	eachStore(t, func(t *testing.T, s blob.Store) {
		content := bytes.Repeat(fileContent, 100)
		putText(t, s, "out/a.mp4", string(content))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key, err := blob.KeyOf(r.URL.Path)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			object, err := s.Open(r.Context(), key)
			if err != nil {
				http.NotFound(w, r)
				return
			}
			defer object.Close()
			blob.ServeObject(w, r, object, blob.ServeOptions{})
		}))
		defer server.Close()
		for rng, want := range map[string][]byte{"": content, "bytes=1000000-1000099": content[1000000:1000100]} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/files/out/a.mp4", nil)
			if err != nil {
				t.Fatal(err)
			}
			if rng != "" {
				request.Header.Set("Range", rng)
			}
			answer, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || !bytes.Equal(body, want) {
				t.Errorf("range %q: %d bytes, %v", rng, len(body), err)
			}
		}
		answer, err := server.Client().Get(server.URL + "/files/.tmp/x")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("an inner path: %d", answer.StatusCode)
		}
	})
}
