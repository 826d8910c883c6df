package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// maxParts is S3's limit for one multipart upload.
	maxParts = 10000
	// firstBuffer is what a Put starts with: most images fit into little, so not every one takes a whole part's memory.
	firstBuffer = 256 << 10
	// abortTimeout bounds the clearing up after a Put whose own context may have ended.
	abortTimeout = 30 * time.Second
)

// Put implements Store. An object up to the part size goes out in one request, a larger one as a multipart upload, part
// by part through one buffer; in both cases S3 shows the object only once it is complete. The client library's own
// upload of a stream of unknown length is not used: it allocates the whole part for every object, and takes
// io.ErrUnexpectedEOF from the source for its end.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Attributes, error) {
	if err := ValidateKey(key); err != nil {
		return Attributes{}, err
	}
	return s.put(ctx, key, r, opts)
}

func (s *S3) put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Attributes, error) {
	if opts.ContentType == "" {
		opts.ContentType = contentTypeOf(key)
	}
	put := minio.PutObjectOptions{
		ContentType: opts.ContentType,
		// Each request carries the hash of its body instead, which the service verifies.
		DisableContentSha256: true,
	}
	src := &source{ctx: ctx, r: r}
	buf, done, err := fillGrowing(src, s.partSize)
	attributes := Attributes{Key: key, ContentType: opts.ContentType}
	switch {
	case err != nil:
	case done:
		attributes.Size = int64(len(buf))
		var info minio.UploadInfo
		info, err = s.core.PutObject(ctx, s.bucket, s.prefix+key, bytes.NewReader(buf), attributes.Size, "", hashOf(buf), put)
		attributes.ModTime = info.LastModified
	default:
		attributes.Size, err = s.putParts(ctx, key, src, buf, put)
	}
	var own *Error
	switch {
	case err == nil:
		return attributes, nil
	case src.err != nil:
		return Attributes{}, &Error{Op: "put", Key: key, Err: src.err}
	case errors.As(err, &own):
		return Attributes{}, err
	}
	return Attributes{}, s3Error(ctx, "put", key, err)
}

// putParts uploads buf, which is a full part, and what src still holds.
func (s *S3) putParts(ctx context.Context, key string, src *source, buf []byte, put minio.PutObjectOptions) (size int64, err error) {
	name := s.prefix + key
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, name, put)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			s.abort(ctx, name, upload)
		}
	}()
	var parts []minio.CompletePart
	for n, done := len(buf), false; n > 0; {
		if len(parts) == s.maxParts {
			return 0, &Error{Op: "put", Key: key, Kind: ErrFull, Err: errors.New("the object needs more parts than S3 allows"),
				Hint: "raise the part size"}
		}
		part, err := s.core.PutObjectPart(ctx, s.bucket, name, upload, len(parts)+1, bytes.NewReader(buf[:n]), int64(n),
			minio.PutObjectPartOptions{Sha256Hex: hashOf(buf[:n]), DisableContentSha256: true})
		if err != nil {
			return 0, err
		}
		parts = append(parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
		size += int64(n)
		if done {
			break
		}
		if n, done, err = src.fill(buf); err != nil {
			return 0, err
		}
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, name, upload, parts, minio.PutObjectOptions{})
	return size, err
}

// abort frees the parts. It works on when ctx has ended, for that is often the reason. What it cannot free stays for Sweep.
func (s *S3) abort(ctx context.Context, name, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = s.core.AbortMultipartUpload(ctx, s.bucket, name, upload)
}

// fillGrowing reads up to limit bytes into a buffer that grows with what comes. done says that the source ended; if it
// did not, the buffer holds exactly limit bytes.
func fillGrowing(src *source, limit int) (buf []byte, done bool, err error) {
	buf = make([]byte, min(firstBuffer, limit))
	for filled := 0; ; {
		n, done, err := src.fill(buf[filled:])
		filled += n
		if err != nil || done || filled == limit {
			return buf[:filled], done, err
		}
		grown := make([]byte, min(2*len(buf), limit))
		copy(grown, buf)
		buf = grown
	}
}

func hashOf(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}
