package media_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/kinora/kinora/internal/media"
)

func TestDecodeImage(t *testing.T) {
	for name, s := range samples(t) {
		img, got, err := media.DecodeImage(bytes.NewReader(s.file), 1<<20)
		switch name {
		case "png", "png with exif", "png and more", "jpeg", "jpeg turned", "jpeg big endian", "jpeg bad exif", "jpeg exif 9", "gif", "webp lossless":
			if err != nil || got != s.want || img.Bounds().Size() != image.Pt(s.want.Width, s.want.Height) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		case "webp lossy", "webp extended": // headers only
			if !errors.Is(err, media.ErrTruncated) && !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTooManyPixels) {
				t.Errorf("%s: %v", name, err)
			}
		case "avif":
			if !errors.Is(err, media.ErrUnsupported) || got != s.want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		case "heic turned": // 12 million pixels
			if !errors.Is(err, media.ErrTooManyPixels) || got != s.want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		default:
			if err == nil || got.Type != s.want.Type {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if err != nil && img != nil {
			t.Errorf("%s: an image beside the error %v", name, err)
		}
	}
	img, _, err := media.DecodeImage(bytes.NewReader(webpLossless(7, 5)), 35)
	if err != nil || color.NRGBAModel.Convert(img.At(6, 4)) != (color.NRGBA{100, 200, 50, 255}) {
		t.Errorf("webp: %v, %v", img, err)
	}
}

func TestDecodeImagePixelLimit(t *testing.T) {
	for _, test := range []struct {
		width, height int
		limit         int64
		ok            bool
	}{
		{20, 10, 200, true}, {20, 10, 199, false}, {10, 20, 199, false}, {1, 1, 1, true}, {1, 1, 0, false}, {1, 1, -1, false},
		{20, 10, math.MaxInt64, true},
	} {
		for name, file := range map[string][]byte{
			"png": pngFile(t, test.width, test.height), "jpeg": jpegFile(t, test.width, test.height),
			"gif": gifFile(t, test.width, test.height), "webp": webpLossless(test.width, test.height),
		} {
			_, p, err := media.DecodeImage(bytes.NewReader(file), test.limit)
			if test.ok && err != nil || !test.ok && !errors.Is(err, media.ErrTooManyPixels) {
				t.Errorf("%s of %d × %d with a limit of %d: %v", name, test.width, test.height, test.limit, err)
			}
			if p.Width != test.width || p.Height != test.height {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
}

// TestDecodeImageBombs: small files that state or hide large pictures take no memory before they are refused.
func TestDecodeImageBombs(t *testing.T) {
	const limit = 40_000_000
	huge := jpegFile(t, 16, 16)
	sof := bytes.Index(huge, []byte{0xff, 0xc0})
	copy(huge[sof+5:], []byte{0xff, 0xff, 0xff, 0xff})
	png := pngFile(t, 9, 9)
	wide := join(png[:8], pngChunk("IHDR", join(be32(60_000), be32(60_000), []byte{8, 6, 0, 0, 0})), png[33:])
	hidden := vp8l(16384, 16384)
	gif := gifFile(t, 9, 9)
	copy(gif[6:], []byte{0xff, 0xff, 0xff, 0xff})
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"jpeg":                      {huge, media.ErrTooManyPixels},
		"png":                       {wide, media.ErrTooManyPixels},
		"gif":                       {gif, media.ErrTooManyPixels},
		"webp":                      {webpLossless(16384, 16384), media.ErrTooManyPixels},
		"webp behind small canvas":  {webpExtended(1, 1, chunk("VP8L", hidden)), media.ErrFormat},
		"webp stating a huge chunk": {join([]byte("RIFF"), le32(0x7ffffff0), []byte("WEBPVP8 "), le32(0x7fffff00), webpLossy(16, 16)[20:]), media.ErrTruncated},
		"webp, size not stated":     {join([]byte("RIFF"), le32(math.MaxUint32), []byte("WEBPVP8 "), le32(0x7fffff00), webpLossy(16, 16)[20:]), media.ErrFormat},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := media.DecodeImage(bytes.NewReader(test.file), limit)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", name, allocated, len(test.file))
		}
	}
}

// TestDecodeImageTruncated finds what Probe does not look for: the end of the pixel data.
func TestDecodeImageTruncated(t *testing.T) {
	for name, file := range map[string][]byte{"png": pngFile(t, 40, 30), "jpeg": jpegFile(t, 40, 30), "gif": gifFile(t, 40, 30), "webp": webpLossless(40, 30)} {
		for _, n := range []int{len(file) / 2, len(file) * 9 / 10, len(file) - 3} {
			if name == "gif" && n == len(file)-3 {
				continue // the picture is whole, only the trailer lacks
			}
			_, _, err := media.DecodeImage(bytes.NewReader(file[:n]), 1<<20)
			if !errors.Is(err, media.ErrTruncated) {
				t.Errorf("%s cut at %d of %d: %v", name, n, len(file), err)
			}
		}
	}
}

func TestDecodeImageCorrupt(t *testing.T) {
	for name, file := range map[string][]byte{"png": pngFile(t, 40, 30), "gif": gifFile(t, 40, 30)} {
		for i := len(file) / 2; i < len(file)/2+40; i++ {
			file[i] = 0xaa
		}
		if _, _, err := media.DecodeImage(bytes.NewReader(file), 1<<20); !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeImageNoImage(t *testing.T) {
	for name, content := range otherFiles() {
		if _, _, err := media.DecodeImage(bytes.NewReader([]byte(content)), 1<<20); !errors.Is(err, media.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeImagePassesErrorsOn(t *testing.T) {
	broken := fmt.Errorf("storage: %w", io.ErrUnexpectedEOF)
	for name, file := range map[string][]byte{"png": pngFile(t, 90, 80), "jpeg": jpegFile(t, 90, 80), "gif": gifFile(t, 90, 80)} {
		failed := 0
		for after := range 20 {
			_, _, err := media.DecodeImage(&faulty{bytes.NewReader(file), broken, after}, 1<<20)
			if err == nil {
				break
			}
			failed++
			if !errors.Is(err, broken) || errors.Is(err, media.ErrTruncated) || errors.Is(err, media.ErrFormat) {
				t.Errorf("%s, failing after %d reads: %v", name, after, err)
			}
		}
		if failed == 0 || failed == 20 {
			t.Errorf("%s failed %d times of 20", name, failed)
		}
	}
}

func FuzzDecodeImage(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		const limit = 1 << 16
		img, p, err := media.DecodeImage(bytes.NewReader(file), limit)
		if err != nil {
			if !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) && !errors.Is(err, media.ErrUnsupported) && !errors.Is(err, media.ErrTooManyPixels) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if size := img.Bounds().Size(); size.X*size.Y > limit || size != image.Pt(p.Width, p.Height) && p.Type != media.GIF {
			t.Errorf("a picture of %v where %+v was announced", size, p)
		}
	})
}
