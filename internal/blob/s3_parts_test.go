package blob

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestS3PartLimit uses small limits, as the real one is at 10,000 parts of at least 5 MiB.
func TestS3PartLimit(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("kinora-test"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	s, err := NewS3(S3Config{Endpoint: server.URL, Bucket: "kinora-test", Region: "us-east-1", PathStyle: true, AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.partSize, s.maxParts = 10, 3
	for size, ok := range map[int]bool{29: true, 30: true, 31: false, 100: false} {
		_, err := s.Put(t.Context(), "a.mp4", strings.NewReader(strings.Repeat("x", size)), PutOptions{})
		if ok && err != nil || !ok && !errors.Is(err, ErrFull) {
			t.Errorf("Put of %d bytes in at most 3 parts of 10: %v", size, err)
		}
		if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("%d uploads left (%v)", n, err)
		}
	}
}
