package blobtest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3Handler returns an S3 service with the given buckets. It keeps everything in memory, parts of uploads included, and
// checks no credentials. It is reached with S3Config.PathStyle.
func S3Handler(buckets ...string) (http.Handler, error) {
	backend := s3mem.New()
	for _, bucket := range buckets {
		if err := backend.CreateBucket(bucket); err != nil {
			return nil, err
		}
	}
	return gofakes3.New(backend).Server(), nil
}

// StartS3 serves S3Handler on the loopback interface until the test ends, and returns its endpoint.
func StartS3(t testing.TB, buckets ...string) (endpoint string) {
	t.Helper()
	handler, err := S3Handler(buckets...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}
