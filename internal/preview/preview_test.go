package preview_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/blob/blobtest"
	"github.com/kinora/kinora/internal/preview"
)

const memory = 16 << 20 // a megapixel

func folder(t *testing.T) *blob.Folder {
	t.Helper()
	f, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// It is a store like any other for all that it does not add.
func TestStoreIsAStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return preview.New(folder(t), memory) })
}

// counting counts what is written beneath.
type counting struct {
	blob.Store
	puts atomic.Int64
}

func (c *counting) Put(ctx context.Context, key string, r io.Reader, opts blob.PutOptions) (blob.Attributes, error) {
	c.puts.Add(1)
	return c.Store.Put(ctx, key, r, opts)
}

func picture(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	img.Set(0, 0, color.White)
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func put(t *testing.T, s blob.Store, key string, content []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, bytes.NewReader(content), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func there(t *testing.T, s blob.Store, key string) bool {
	t.Helper()
	_, err := s.Stat(t.Context(), key)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestPreviewsAreMadeOnceAndGoWithTheirImages(t *testing.T) {
	below := &counting{Store: folder(t)}
	s := preview.New(below, memory)
	const key = "outputs/2026/06/14/job_1-0.png"
	put(t, s, key, picture(t, 800, 400))
	small := s.Key(key, 800, 400)
	if small == "" || there(t, s, small) {
		t.Fatalf("the preview %q is there before anybody looks at it", small)
	}
	var viewers sync.WaitGroup
	for range 8 {
		viewers.Go(func() {
			object, err := s.Open(t.Context(), small)
			if err != nil {
				t.Error(err)
				return
			}
			defer object.Close()
			p, format, err := image.DecodeConfig(object)
			if err != nil || format != "jpeg" || p.Width != 480 || p.Height != 240 || object.Attributes().ContentType != "image/jpeg" {
				t.Errorf("%s %d × %d %s, %v", format, p.Width, p.Height, object.Attributes().ContentType, err)
			}
		})
	}
	viewers.Wait()
	if n := below.puts.Load(); n != 2 {
		t.Errorf("%d files were written for one image and its preview", n)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if there(t, s, key) || there(t, s, small) {
		t.Error("the image is removed and something of it is left")
	}
	if _, err := s.Open(t.Context(), small); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the preview of a removed image: %v", err)
	}
}

func TestWhatHasNoPreview(t *testing.T) {
	s := preview.New(folder(t), memory)
	for _, c := range []struct {
		key           string
		width, height int
	}{
		{"outputs/a.mp4", 640, 480}, {"outputs/a.avif", 64, 64}, {"outputs/a", 64, 64}, {"outputs/a.png", 0, 0}, {"outputs/a.png", 1 << 11, 1 << 10},
		{"outputs/a.png", 1 << 62, 1 << 62}, {"previews/outputs/a.png.jpg", 64, 64}, {"outputs/" + strings.Repeat("a/", 445) + ".png", 8, 8},
	} {
		if got := s.Key(c.key, c.width, c.height); got != "" {
			t.Errorf("%.40s of %d × %d: %.40s", c.key, c.width, c.height, got)
		}
	}
	put(t, s, "outputs/text.png", []byte("no picture"))
	put(t, s, "outputs/large.png", picture(t, 1<<11, 1<<10))
	put(t, s, "outputs/whole.png", picture(t, 64, 64))
	cut := picture(t, 64, 64)
	put(t, s, "outputs/cut.png", cut[:len(cut)/2])
	for _, key := range []string{"previews/outputs/text.png.jpg", "previews/outputs/large.png.jpg", "previews/outputs/cut.png.jpg", "previews/outputs/none.png.jpg",
		"previews/outputs/whole.png", "previews/previews/outputs/whole.png.jpg.jpg", "outputs/none.png"} {
		if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(ended, "previews/outputs/whole.png.jpg"); !errors.Is(err, context.Canceled) {
		t.Errorf("a viewer who has gone: %v", err)
	}
}

func TestOrphanedPreviewsAreRemoved(t *testing.T) {
	below := folder(t)
	s := preview.New(below, memory)
	for _, key := range []string{"assets/kept.png", "assets/gone.png"} {
		put(t, s, key, picture(t, 64, 64))
		object, err := s.Open(t.Context(), s.Key(key, 64, 64))
		if err != nil {
			t.Fatal(err)
		}
		object.Close()
	}
	if err := below.Delete(t.Context(), "assets/gone.png"); err != nil { // past the previews
		t.Fatal(err)
	}
	put(t, below, "previews/what is this", nil)
	if n, err := s.RemoveOrphans(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("of fresh ones %d were removed, %v", n, err)
	}
	if n, err := s.RemoveOrphans(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Errorf("%d were removed, %v", n, err)
	}
	if !there(t, s, "previews/assets/kept.png.jpg") || there(t, s, "previews/assets/gone.png.jpg") || there(t, s, "previews/what is this") {
		t.Error("the wrong ones were removed")
	}
}
