package app_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/blob/blobtest"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// The two codes of the contract that only a fault of the server's own brings about: a bucket that has lost a received file,
// and a database that does not answer.
func TestGenerationsContractInternalErrors(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		bucket, err := blobtest.S3Handler("kinora")
		if err != nil {
			t.Fatal(err)
		}
		var loses atomic.Bool
		var looks sync.Map // at received files: the request itself looks at what it has stored, the ingest after it
		s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if loses.Load() && r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/assets/received/") {
				if _, again := looks.LoadOrStore(r.URL.Path, true); again {
					w.WriteHeader(http.StatusNotFound)
					return
				}
			}
			bucket.ServeHTTP(w, r)
		}))
		t.Cleanup(s3.Close)
		c := newConformant(t, dsn, app.Options{}, func(cfg *config.Config) {
			cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
			cfg.Storage.S3 = config.S3{Endpoint: s3.URL, Bucket: "kinora", Region: "us-east-1", AccessKey: "a", SecretKey: "b", PathStyle: true}
		})

		in := c.receiver("", 200)
		loses.Store(true)
		job := c.createWithFile(photo(t, 900, 600), in.URL)
		r := c.ended(job)
		c.await(in, 1)
		in.mu.Lock()
		told := in.events[0]
		in.mu.Unlock()
		if r.body.Status != "failed" || r.body.Failure == nil || r.body.Failure.Code != "internal_error" || !r.body.Failure.Retryable || r.body.SourceAssetID != nil {
			t.Errorf("a file that storage has lost: %s", r.text)
		}
		if told.EventType != "generation.failed" || told.JobID != job || told.Failure == nil || told.Failure.Code != "internal_error" || !told.Failure.Retryable {
			t.Errorf("told %+v %+v", told, told.Failure)
		}
		loses.Store(false)
		if again := c.ended(c.createWithFile(photo(t, 900, 600), in.URL)); again.body.Status != "succeeded" {
			t.Errorf("the same request, with storage as it was: %s", again.text)
		}

		c.rename("usage_entries", "usage_entries_away")
		broken := c.want(500, "internal_error", "GET", "/api/v1/billing/events", "")
		c.rename("usage_entries_away", "usage_entries")
		if string(broken.body.Error["retryable"]) != "true" || strings.Contains(broken.text, "usage_entries") {
			t.Errorf("a database without its table: %s", broken.text)
		}
		c.want(200, "", "GET", "/api/v1/billing/events", "")
	})
}

// createWithFile makes a generation whose source comes with the request.
func (c *conformant) createWithFile(content []byte, hook string) (jobID string) {
	c.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"workflow": "pro_capture", "capture_type": "photo", "webhook": `{"url":"` + hook + `"}`} {
		_ = form.WriteField(name, value)
	}
	part, _ := form.CreateFormFile("file", "photo.png")
	_, _ = part.Write(content)
	_ = form.Close()
	r := c.ask("POST", generationsPath, body.String(), "Content-Type", form.FormDataContentType())
	if r.status != 202 || r.body.JobID == "" {
		c.Fatalf("a photo is answered %d %s", r.status, r.text)
	}
	return r.body.JobID
}

// rename takes a table away, or brings it back.
func (c *conformant) rename(from, to string) {
	c.Helper()
	if err := c.app.Update(c.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to)
		return err
	}); err != nil {
		c.Fatal(err)
	}
}
