// Package preview gives stored images a small picture each, for pages that show many of them.
//
// A preview is made when it is first looked at and kept beside the image, under a key that follows from the image's. Whoever
// removes the image removes the preview, because both go by one [Store]; what a crash, or a look in that very moment, leaves
// behind is found by [Store.RemoveOrphans].
//
// Not its duty: who may see an image. A preview is opened by a signed URL of its own, as the image is. Videos have none.
package preview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
)

const (
	// Prefix starts the key of every preview.
	Prefix = "previews/"
	// Side is how wide and high a preview is at most, in pixels.
	Side = 480

	// pixelCost is what decoding takes for each pixel at most, in bytes.
	pixelCost = 16
	// makeTime bounds the making of one preview, for which several may wait; it ends with none of them.
	makeTime = time.Minute
	// maxTold bounds how many faults one error names; the rest are likely the same.
	maxTold = 10
)

// Store is a blob.Store whose images have previews.
type Store struct {
	blob.Store
	pixels int64               // of the largest image that gets one
	memory *semaphore.Weighted // in pixels
	making singleflight.Group
}

// New gives the images of files previews. memory is what making them takes at most at once, in bytes; an image that alone
// would take more has none.
func New(files blob.Store, memory int64) *Store {
	pixels := max(memory/pixelCost, 1)
	return &Store{Store: files, pixels: pixels, memory: semaphore.NewWeighted(pixels)}
}

// Key is where the preview of the file under key is, by the file's type and size in pixels; "" = it has none.
func (s *Store) Key(key string, width, height int) string {
	if !pictured(key) || width <= 0 || height <= 0 || int64(width) > s.pixels/int64(height) {
		return ""
	}
	return keyOf(key)
}

func keyOf(key string) string { return Prefix + key + ".jpg" }

// original is the key whose preview is under a key; "" = it is no preview's.
func original(key string) string {
	of, isPreview := strings.CutPrefix(key, Prefix)
	of, named := strings.CutSuffix(of, ".jpg")
	if !isPreview || !named || !pictured(of) {
		return ""
	}
	return of
}

// pictured tells whether a file has a preview, by the extension of its key, which is that of its true type.
func pictured(key string) bool {
	switch path.Ext(key) {
	case ".png", ".jpg", ".jpeg", ".webp", ".gif":
		return !strings.HasPrefix(key, Prefix) && len(keyOf(key)) <= blob.MaxKeyBytes
	}
	return false
}

// Open opens an object. A preview that is not there is made first, where its image is.
//
// Errors: those of blob.Store; blob.ErrNotFound also for an image of which there can be no preview.
func (s *Store) Open(ctx context.Context, key string) (blob.Object, error) {
	object, err := s.Store.Open(ctx, key)
	of := original(key)
	if of == "" || !errors.Is(err, blob.ErrNotFound) {
		return object, err
	}
	made := s.making.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTime)
		defer cancel()
		return nil, s.make(ctx, of)
	})
	select {
	case m := <-made:
		if m.Err != nil {
			return nil, m.Err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.Open(ctx, key)
}

func (s *Store) make(ctx context.Context, of string) error {
	image, err := s.Store.Open(ctx, of)
	if err != nil {
		return err
	}
	defer image.Close()
	p, err := media.Probe(image)
	if err != nil {
		return none(of, err)
	}
	pixels := int64(p.Width) * int64(max(p.Height, 1))
	if pixels <= 0 || pixels > s.pixels {
		return none(of, media.ErrTooManyPixels)
	}
	if err := s.memory.Acquire(ctx, pixels); err != nil {
		return err
	}
	defer s.memory.Release(pixels)
	small, err := media.Preview(image, Side, pixels)
	if err != nil {
		return none(of, err)
	}
	_, err = s.Store.Put(ctx, keyOf(of), bytes.NewReader(small), blob.PutOptions{ContentType: "image/jpeg"})
	return err
}

// none is the error for an image without a preview. A storage that fails while the image is read stays what it is.
func none(of string, err error) error {
	var fault *blob.Error
	if errors.As(err, &fault) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &blob.Error{Op: "preview", Key: of, Kind: blob.ErrNotFound, Err: err}
}

// Delete removes an object and, of an image, the preview before it.
func (s *Store) Delete(ctx context.Context, key string) error {
	if pictured(key) {
		if err := s.Store.Delete(ctx, keyOf(key)); err != nil {
			return err
		}
	}
	return s.Store.Delete(ctx, key)
}

// Sweep removes what interrupted Puts left behind, where the store beneath can.
func (s *Store) Sweep(ctx context.Context, olderThan time.Time) (removed int, err error) {
	if sweeper, ok := s.Store.(blob.Sweeper); ok {
		return sweeper.Sweep(ctx, olderThan)
	}
	return 0, nil
}

// RemoveOrphans removes the previews made before olderThan whose images are gone, and returns how many.
func (s *Store) RemoveOrphans(ctx context.Context, olderThan time.Time) (removed int, err error) {
	var faults []error
	err = s.List(ctx, Prefix, func(at blob.Attributes) error {
		if !at.ModTime.Before(olderThan) {
			return nil
		}
		if of := original(at.Key); of != "" {
			if _, err := s.Stat(ctx, of); !errors.Is(err, blob.ErrNotFound) {
				return err
			}
		}
		if err := s.Store.Delete(ctx, at.Key); err == nil {
			removed++
		} else if len(faults) < maxTold {
			faults = append(faults, err)
		}
		return ctx.Err()
	})
	if err = errors.Join(append(faults, err)...); err != nil {
		return removed, fmt.Errorf("remove orphaned previews: %w", err)
	}
	return removed, nil
}

var (
	_ blob.Store   = (*Store)(nil)
	_ blob.Sweeper = (*Store)(nil)
)
