package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/blob/blobtest"
)

// s3Service is an S3 service whose requests a test watches and disturbs.
type s3Service struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	// disturb may answer a request itself, and returns true then, or change it.
	disturb func(w http.ResponseWriter, r *http.Request, next http.Handler) bool
}

func startS3(t *testing.T, disturb func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) *s3Service {
	t.Helper()
	next, err := blobtest.S3Handler(testBucket)
	if err != nil {
		t.Fatal(err)
	}
	s := &s3Service{disturb: disturb}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, s3Operation(r))
		s.mu.Unlock()
		if s.disturb == nil || !s.disturb(w, r, next) {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// s3Operation gives method and the parameters that tell operations apart.
func s3Operation(r *http.Request) string {
	op := r.Method
	for _, parameter := range []string{"uploads", "partNumber", "uploadId", "list-type"} {
		if r.URL.Query().Has(parameter) {
			op += " " + parameter
		}
	}
	if rng := r.Header.Get("Range"); rng != "" {
		op += " " + rng
	}
	return op
}

func (s *s3Service) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := strings.Join(s.requests, ", ")
	s.requests = nil
	return taken
}

func (s *s3Service) store(t *testing.T) *blob.S3 {
	return newS3(t, blob.S3Config{Endpoint: s.URL, Bucket: testBucket, PartSize: blob.MinPartSize})
}

func TestS3Requests(t *testing.T) {
	service := startS3(t, nil)
	s := service.store(t)
	expect := func(what, want string) {
		t.Helper()
		if got := service.taken(); got != want {
			t.Errorf("%s sent %q, want %q", what, got, want)
		}
	}
	putText(t, s, "a.png", "0123456789")
	expect("Put of a small object", "PUT")
	_, err := s.Put(t.Context(), "b.mp4", io.LimitReader(zeros{}, 2*blob.MinPartSize+1), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expect("Put of a large object", "POST uploads, PUT partNumber uploadId, PUT partNumber uploadId, PUT partNumber uploadId, POST uploadId")

	object, err := s.Open(t.Context(), "a.png")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	for _, whence := range []int{io.SeekEnd, io.SeekStart} { // what http.ServeContent does to learn the size
		if _, err := object.Seek(0, whence); err != nil {
			t.Fatal(err)
		}
	}
	expect("Open with Seek", "HEAD")
	object.Seek(4, io.SeekStart)
	rest, err := io.ReadAll(object)
	if err != nil || string(rest) != "456789" {
		t.Errorf("read %q, %v", rest, err)
	}
	expect("reading from 4 on", "GET bytes=4-")
}

func TestS3SkipsInsteadOfAsking(t *testing.T) {
	service := startS3(t, nil)
	s := service.store(t)
	if _, err := s.Put(t.Context(), "a.mp4", io.LimitReader(zeros{}, 1<<20), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	object, err := s.Open(t.Context(), "a.mp4")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	service.taken()
	p := make([]byte, 8)
	for _, offset := range []int64{0, 100, 200_000, 900_000, 10} {
		object.Seek(offset, io.SeekStart)
		if _, err := io.ReadFull(object, p); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := service.taken(), "GET, GET bytes=900000-, GET bytes=10-"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestS3ContentTypeIsKept(t *testing.T) {
	s := startS3(t, nil).store(t)
	for key, size := range map[string]int64{"small": 10, "large": blob.MinPartSize + 1} {
		_, err := s.Put(t.Context(), key, io.LimitReader(zeros{}, size), blob.PutOptions{ContentType: "image/webp"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Stat(t.Context(), key); err != nil || got.ContentType != "image/webp" || got.Size != size {
			t.Errorf("Stat(%q) = %+v, %v", key, got, err)
		}
	}
}

func s3Failure(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said the service</Message></Error>", code)
	return true
}

func TestS3ErrorKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		kind   error
		hint   string
	}{
		{404, "NoSuchKey", blob.ErrNotFound, ""},
		{404, "NoSuchBucket", blob.ErrUnavailable, "bucket does not exist"},
		{403, "AccessDenied", blob.ErrDenied, "access key needs"},
		{403, "InvalidAccessKeyId", blob.ErrDenied, "secret key"},
		{403, "SignatureDoesNotMatch", blob.ErrDenied, "secret key"},
		{403, "RequestTimeTooSkewed", blob.ErrDenied, "clock"},
		{401, "Unauthorized", blob.ErrDenied, "access key needs"},
		{507, "XMinioStorageFull", blob.ErrFull, "room"},
		{400, "QuotaExceeded", blob.ErrFull, "quota"},
		{507, "Anything", blob.ErrFull, "room"},
		{500, "InternalError", blob.ErrUnavailable, ""},
		{503, "SlowDown", blob.ErrUnavailable, ""},
		{418, "Teapot", blob.ErrUnavailable, ""},
	} {
		service := startS3(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			return s3Failure(w, test.status, test.code)
		})
		s := newS3(t, blob.S3Config{Endpoint: service.URL, Bucket: testBucket, Tries: 1})
		_, putErr := s.Put(t.Context(), "a.png", strings.NewReader("x"), blob.PutOptions{})
		listErr := s.List(t.Context(), "", func(blob.Attributes) error { return nil })
		for op, err := range map[string]error{"put": putErr, "list": listErr} {
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.hint) {
				t.Errorf("%s answered with %d %s: %v", op, test.status, test.code, err)
			}
		}
		deleteErr := s.Delete(t.Context(), "a.png")
		if test.kind == blob.ErrNotFound && deleteErr != nil || test.kind != blob.ErrNotFound && !errors.Is(deleteErr, test.kind) {
			t.Errorf("delete answered with %d %s: %v", test.status, test.code, deleteErr)
		}
	}
}

func TestS3Unreachable(t *testing.T) {
	s := newS3(t, blob.S3Config{Endpoint: "http://127.0.0.1:1", Bucket: testBucket, Tries: 1}) // nobody is ever given that port
	err := s.Check(t.Context())
	if !errors.Is(err, blob.ErrUnavailable) || !strings.Contains(err.Error(), "check the endpoint") {
		t.Errorf("Check = %v", err)
	}
	if strings.Contains(err.Error(), testSecretKey) {
		t.Error("the error shows the secret key")
	}
}

func TestS3RepeatsWhatIsTransient(t *testing.T) {
	failures := map[string]int{}
	var mu sync.Mutex
	service := startS3(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		mu.Lock()
		defer mu.Unlock()
		if failures[s3Operation(r)]++; failures[s3Operation(r)] == 1 {
			io.Copy(io.Discard, r.Body)
			return s3Failure(w, http.StatusServiceUnavailable, "SlowDown")
		}
		return false
	})
	s := service.store(t)
	content := bytes.Repeat([]byte("0123456789"), blob.MinPartSize/8)
	if _, err := s.Put(t.Context(), "a.mp4", bytes.NewReader(content), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, "a.mp4"); !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, and not those that were stored", len(got))
	}
}

// TestS3AbortsWhatFails lets each request of a multipart upload fail for good.
func TestS3AbortsWhatFails(t *testing.T) {
	for _, failing := range []string{"PUT partNumber uploadId", "POST uploadId"} {
		service := startS3(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			return s3Operation(r) == failing && r.URL.Query().Get("partNumber") != "1" && s3Failure(w, 400, "InvalidPart")
		})
		s := service.store(t)
		_, err := s.Put(t.Context(), "a.mp4", io.LimitReader(zeros{}, 3*blob.MinPartSize), blob.PutOptions{})
		if !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%s fails: Put = %v", failing, err)
		}
		if taken := service.taken(); !strings.HasSuffix(taken, ", DELETE uploadId") {
			t.Errorf("%s fails: sent %q", failing, taken)
		}
		if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("%s fails: %d uploads left (%v)", failing, n, err)
		}
	}
}

func TestS3Sweep(t *testing.T) {
	var pageSize string
	service := startS3(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method == http.MethodGet && r.URL.Query().Has("uploads") && pageSize != "" {
			q := r.URL.Query()
			q.Set("max-uploads", pageSize)
			r.URL.RawQuery = q.Encode()
		}
		return false
	})
	core, err := minio.NewCore(strings.TrimPrefix(service.URL, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4("a", "b", ""), Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(key string) {
		t.Helper()
		if _, err := core.NewMultipartUpload(t.Context(), testBucket, key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s := newS3(t, blob.S3Config{Endpoint: service.URL, Bucket: testBucket, Prefix: "ours"})
	if n, err := s.Sweep(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("Sweep of an empty bucket = %d, %v", n, err)
	}
	for _, key := range []string{"ours/a.mp4", "ours/b/c.mp4", "theirs/a.mp4", "ours-not/a.mp4"} {
		begin(key)
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("Sweep of what is young = %d, %v", n, err)
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Errorf("Sweep = %d, %v; want 2", n, err)
	}
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("the second Sweep = %d, %v", n, err)
	}
	for i := range 7 {
		begin(fmt.Sprintf("ours/%d.mp4", i))
	}
	pageSize = "3"
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 7 || err != nil {
		t.Errorf("Sweep over pages of three = %d, %v; want 7", n, err)
	}
}

func TestS3ListPages(t *testing.T) {
	service := startS3(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if q := r.URL.Query(); q.Has("list-type") {
			q.Set("max-keys", "3")
			r.URL.RawQuery = q.Encode()
		}
		return false
	})
	s := service.store(t)
	for i := range 10 {
		putText(t, s, fmt.Sprintf("out/%d.png", i), "x")
	}
	service.taken()
	if got := listKeys(t, s, "out/"); len(got) != 10 {
		t.Errorf("List = %q", got)
	}
	if got := strings.Count(service.taken(), "GET list-type"); got != 4 {
		t.Errorf("%d pages, want 4", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := s.List(ctx, "", func(blob.Attributes) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("List whose context ends between pages = %v", err)
	}
}

// cutBody sends the headers of the whole answer and some of its bytes, then drops the connection.
func cutBody(w http.ResponseWriter, r *http.Request, next http.Handler, bytesSent int) bool {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", fmt.Sprint(recorder.Body.Len()))
	w.WriteHeader(recorder.Code)
	w.Write(recorder.Body.Bytes()[:min(bytesSent, recorder.Body.Len())])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestS3ResumesBrokenReads(t *testing.T) {
	const sent = 300 << 10
	service := startS3(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.Method == http.MethodGet && cutBody(w, r, next, sent)
	})
	s := service.store(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if _, err := s.Put(t.Context(), "a.mp4", bytes.NewReader(content), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	service.taken()
	if got := readAll(t, s, "a.mp4"); !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, and not those that were stored", len(got))
	}
	if got, want := service.taken(), fmt.Sprintf("HEAD, GET, GET bytes=%d-, GET bytes=%d-, GET bytes=%d-", sent, 2*sent, 3*sent); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestS3GivesUpWithoutProgress(t *testing.T) {
	service := startS3(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.Method == http.MethodGet && cutBody(w, r, next, 0)
	})
	s := service.store(t)
	putText(t, s, "a.png", "0123456789")
	service.taken()
	object, err := s.Open(t.Context(), "a.png")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if _, err := io.ReadAll(object); !errors.Is(err, blob.ErrUnavailable) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading = %v", err)
	}
	if got := service.taken(); got != "HEAD, GET, GET" {
		t.Errorf("sent %q", got)
	}
}

func TestS3ServiceThatIgnoresRanges(t *testing.T) {
	service := startS3(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		r.Header.Del("Range")
		return false
	})
	s := service.store(t)
	putText(t, s, "a.png", "0123456789")
	object, err := s.Open(t.Context(), "a.png")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	object.Seek(5, io.SeekStart)
	if got, err := io.ReadAll(object); len(got) != 0 || !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("read %q, %v: the wrong part of the object", got, err)
	}
}

// TestS3ConditionFails is how Amazon's service answers where the object was replaced.
func TestS3ConditionFails(t *testing.T) {
	service := startS3(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodGet {
			return false
		}
		if r.Header.Get("If-Match") == "" {
			t.Error("the read has no condition")
		}
		return s3Failure(w, http.StatusPreconditionFailed, "PreconditionFailed")
	})
	s := service.store(t)
	putText(t, s, "a.png", "0123456789")
	object, err := s.Open(t.Context(), "a.png")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if _, err := io.ReadAll(object); !errors.Is(err, blob.ErrUnavailable) || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("reading = %v", err)
	}
}

func TestS3AsksForRegion(t *testing.T) {
	service := startS3(t, nil)
	s, err := blob.NewS3(blob.S3Config{Endpoint: service.URL, Bucket: testBucket, PathStyle: true, AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestS3CredentialsFromEnvironment(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key-of-the-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
	var authorization string
	service := startS3(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		authorization = r.Header.Get("Authorization")
		return false
	})
	s, err := blob.NewS3(blob.S3Config{Endpoint: service.URL, Bucket: testBucket, PathStyle: true, Region: "eu-central-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	putText(t, s, "a.png", "x")
	if !strings.Contains(authorization, "Credential=key-of-the-environment/") || !strings.Contains(authorization, "eu-central-1") {
		t.Errorf("signed as %q", authorization)
	}
}

func TestS3ConfigRefused(t *testing.T) {
	good := blob.S3Config{Endpoint: "https://s3.example.com", Bucket: testBucket, AccessKey: "a", SecretKey: testSecretKey}
	for name, change := range map[string]func(*blob.S3Config){
		"no endpoint":         func(c *blob.S3Config) { c.Endpoint = "" },
		"scheme":              func(c *blob.S3Config) { c.Endpoint = "ftp://s3.example.com" },
		"path":                func(c *blob.S3Config) { c.Endpoint = "https://s3.example.com/bucket" },
		"query":               func(c *blob.S3Config) { c.Endpoint = "https://s3.example.com?x=" + testSecretKey },
		"credentials":         func(c *blob.S3Config) { c.Endpoint = "https://user:" + testSecretKey + "@s3.example.com" },
		"not a URL":           func(c *blob.S3Config) { c.Endpoint = "https://s3 example:" + testSecretKey },
		"no bucket":           func(c *blob.S3Config) { c.Bucket = "" },
		"only an access key":  func(c *blob.S3Config) { c.SecretKey = "" },
		"only a secret key":   func(c *blob.S3Config) { c.AccessKey = "" },
		"small parts":         func(c *blob.S3Config) { c.PartSize = blob.MinPartSize - 1 },
		"negative parts":      func(c *blob.S3Config) { c.PartSize = -1 },
		"prefix with slash":   func(c *blob.S3Config) { c.Prefix = "a/" },
		"prefix that escapes": func(c *blob.S3Config) { c.Prefix = "../a" },
		"long prefix":         func(c *blob.S3Config) { c.Prefix = strings.Repeat("p", 200) },
	} {
		cfg := good
		change(&cfg)
		_, err := blob.NewS3(cfg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), testSecretKey) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	if _, err := blob.NewS3(good); err != nil {
		t.Error(err)
	}
}

func TestS3ConfigHidesSecrets(t *testing.T) {
	cfg := blob.S3Config{Endpoint: "https://user:pass-word@s3.example.com", Bucket: testBucket, AccessKey: "a", SecretKey: testSecretKey, SessionToken: "session-token"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("storage", "config", cfg)
	for _, shown := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%v", &cfg), log.String()} {
		if strings.Contains(shown, testSecretKey) || strings.Contains(shown, "session-token") || strings.Contains(shown, "pass-word") {
			t.Errorf("shows a secret: %s", shown)
		}
		if !strings.Contains(shown, testBucket) {
			t.Errorf("does not show the bucket: %s", shown)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
