package blob_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/blob/blobtest"
)

func TestFolder(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openFolder(t) })
}

func openFolder(t *testing.T) *blob.Folder {
	t.Helper()
	s, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestS3(t *testing.T) {
	var count atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return newS3(t, blob.S3Config{
			Endpoint: s3Process.start(t),
			Bucket:   testBucket,
			Prefix:   fmt.Sprintf("run/%d", count.Add(1)),
			PartSize: blob.MinPartSize,
		})
	})
}

// newS3 fills in what the S3 service of the tests needs.
func newS3(t *testing.T, cfg blob.S3Config) *blob.S3 {
	t.Helper()
	cfg.PathStyle = true
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.AccessKey == "" {
		cfg.AccessKey, cfg.SecretKey = "test-access-key", testSecretKey
	}
	s, err := blob.NewS3(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const testSecretKey = "test-secret-key-that-no-error-may-show"
