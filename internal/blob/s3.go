package blob

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// S3 is a Store in a bucket of S3-compatible object storage.
type S3 struct {
	core      *minio.Core
	transport http.RoundTripper
	bucket    string
	prefix    string // empty, or with a slash at its end
	partSize  int
	maxParts  int
}

var (
	_ Store   = (*S3)(nil)
	_ Sweeper = (*S3)(nil)
)

// NewS3 returns the store that cfg describes. It does not use the network; Check does. Close releases idle connections.
func NewS3(cfg S3Config) (*S3, error) {
	core, transport, err := cfg.client()
	if err != nil {
		return nil, err
	}
	s := &S3{core: core, transport: transport, bucket: cfg.Bucket, partSize: cfg.PartSize, maxParts: maxParts}
	if s.partSize == 0 {
		s.partSize = DefaultPartSize
	}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
	}
	return s, nil
}

// Close closes idle connections. Objects that are open stay readable.
func (s *S3) Close() error {
	if t, ok := s.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (Object, error) {
	if err := ValidateKey(key); err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

func (s *S3) open(ctx context.Context, key string) (Object, error) {
	attributes, etag, err := s.head(ctx, "open", key)
	if err != nil {
		return nil, err
	}
	return &s3Object{ctx: ctx, store: s, attributes: attributes, etag: etag, retriedAt: -1}, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Attributes, error) {
	if err := ValidateKey(key); err != nil {
		return Attributes{}, err
	}
	attributes, _, err := s.head(ctx, "stat", key)
	return attributes, err
}

func (s *S3) head(ctx context.Context, op, key string) (Attributes, string, error) {
	found, err := s.core.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return Attributes{}, "", s3Error(ctx, op, key, err)
	}
	contentType := found.ContentType
	if contentType == "" || contentType == "application/octet-stream" || contentType == "binary/octet-stream" {
		contentType = contentTypeOf(key) // these stand for "not said"
	}
	return Attributes{Key: key, Size: found.Size, ContentType: contentType, ModTime: found.LastModified}, found.ETag, nil
}

// Delete implements Store. In a bucket with versioning the service keeps the old version; let its lifecycle rules
// remove it.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := ValidateKey(key); err != nil {
		return err
	}
	return s.delete(ctx, key)
}

func (s *S3) delete(ctx context.Context, key string) error {
	err := s.core.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err == nil {
		return nil
	}
	if err = s3Error(ctx, "delete", key, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// List implements Store. ContentType goes by the key's extension, as a listing does not carry it.
func (s *S3) List(ctx context.Context, prefix string, fn func(Attributes) error) error {
	if why := prefixFault(prefix); why != "" {
		return &Error{Op: "list", Key: prefix, Kind: ErrInvalidKey, Err: errors.New(why)}
	}
	options := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}
	for found := range s.core.ListObjectsIter(ctx, s.bucket, options) {
		if err := found.Err; err != nil {
			return s3Error(ctx, "list", prefix, err)
		}
		key := strings.TrimPrefix(found.Key, s.prefix)
		if keyFault(key) != "" {
			continue
		}
		err := fn(Attributes{Key: key, Size: found.Size, ContentType: contentTypeOf(key), ModTime: found.LastModified})
		if err == fs.SkipAll {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // the iterator ends without an error then
		return &Error{Op: "list", Key: prefix, Err: err}
	}
	return nil
}

// Check implements Store.
func (s *S3) Check(ctx context.Context) error { return checkRoundTrip(ctx, s) }

// Sweep implements Sweeper: it aborts multipart uploads that nobody finished, whose parts the service would go on storing
// and charging for.
func (s *S3) Sweep(ctx context.Context, olderThan time.Time) (removed int, err error) {
	var keyMarker, uploadMarker string
	for {
		page, err := s.core.ListMultipartUploads(ctx, s.bucket, s.prefix, keyMarker, uploadMarker, "", 0)
		if minio.ToErrorResponse(err).Code == minio.NoSuchUpload { // some services say so instead of an empty list
			return removed, nil
		}
		if err != nil {
			return removed, s3Error(ctx, "sweep", "", err)
		}
		for _, upload := range page.Uploads {
			if !strings.HasPrefix(upload.Key, s.prefix) || !upload.Initiated.Before(olderThan) {
				continue
			}
			err := s.core.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID)
			if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
				continue // finished, or swept by another node
			}
			if err != nil {
				return removed, s3Error(ctx, "sweep", "", err)
			}
			removed++
		}
		next := page.NextKeyMarker != keyMarker || page.NextUploadIDMarker != uploadMarker
		if !page.IsTruncated || !next {
			return removed, nil
		}
		keyMarker, uploadMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// s3Error sorts an answer of the service by what can be done about it.
func s3Error(ctx context.Context, op, key string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return &Error{Op: op, Key: key, Err: ended}
	}
	e := &Error{Op: op, Key: key, Kind: ErrUnavailable, Err: err}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		if errors.As(err, new(*url.Error)) {
			e.Hint = "check the endpoint, the network and, with https, the certificate"
		}
		return e
	}
	switch answer.Code {
	case minio.NoSuchKey:
		e.Kind = ErrNotFound
		return e
	case minio.NoSuchBucket:
		e.Hint = "the bucket does not exist: create it, or correct its name and region"
		return e
	case minio.SignatureDoesNotMatch, minio.InvalidAccessKeyID, "InvalidToken", "ExpiredToken":
		e.Kind, e.Hint = ErrDenied, "check access key, secret key and region"
		return e
	case minio.RequestTimeTooSkewed:
		e.Kind, e.Hint = ErrDenied, "set this machine's clock"
		return e
	case "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull":
		e.Kind, e.Hint = ErrFull, "make room in the bucket or raise its quota"
		return e
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = ErrDenied
		e.Hint = "the access key needs GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListBucket and ListBucketMultipartUploads"
	case http.StatusNotFound:
		if op == "open" || op == "stat" || op == "read" || op == "delete" {
			e.Kind = ErrNotFound
		}
	case http.StatusInsufficientStorage:
		e.Kind, e.Hint = ErrFull, "make room in the bucket or raise its quota"
	}
	return e
}
