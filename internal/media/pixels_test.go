package media_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/kinora/kinora/internal/media"
)

func packed(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngOf makes a PNG of one channel of 8 bits with the given image data.
func pngOf(width, height uint32, interlace byte, data ...[]byte) []byte {
	file := join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", join(be32(width), be32(height), []byte{8, 0, 0, 0, interlace})))
	for _, d := range data {
		file = join(file, pngChunk("IDAT", d))
	}
	return join(file, pngChunk("IEND", nil))
}

func TestCheckPicture(t *testing.T) {
	var plain, photo, animation bytes.Buffer
	grey := image.NewGray(image.Rect(0, 0, 2000, 1000))
	if err := png.Encode(&plain, grey); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&photo, grey, &jpeg.Options{Quality: 1}); err != nil { // as small as it gets
		t.Fatal(err)
	}
	if err := gif.EncodeAll(&animation, &gif.GIF{
		Image: []*image.Paletted{image.NewPaletted(image.Rect(0, 0, 500, 300), color.Palette{color.Black, color.White})},
		Delay: []int{10}, LoopCount: 3,
	}); err != nil {
		t.Fatal(err)
	}
	withoutScan := photo.Bytes()[:bytes.Index(photo.Bytes(), []byte{0xff, 0xda})]
	stream := packed(t, 20*11)
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"png":                      {pngFile(t, 33, 20), nil},
		"plain png":                {plain.Bytes(), nil},
		"png in pieces":            {pngOf(10, 20, 0, stream[:3], nil, stream[3:]), nil},
		"interlaced":               {pngOf(8, 8, 1, packed(t, 8*8+15)), nil},
		"more than it needs":       {pngOf(10, 20, 0, packed(t, 5000)), nil},
		"header only":              {pngOf(10, 20, 0), media.ErrFormat},
		"empty data":               {pngOf(10, 20, 0, nil), media.ErrFormat},
		"one byte short":           {pngOf(10, 20, 0, packed(t, 20*11-1)), media.ErrFormat},
		"interlaced, a byte short": {pngOf(8, 8, 1, packed(t, 8*8+14)), media.ErrFormat},
		"no zlib":                  {pngOf(10, 20, 0, []byte("not packed at all")), media.ErrFormat},
		"huge, nothing in it":      {pngOf(1<<31-1, 1<<31-1, 0, packed(t, 100)), media.ErrFormat},
		"cut off":                  {plain.Bytes()[:60], media.ErrTruncated},
		"jpeg":                     {jpegFile(t, 33, 20), nil},
		"plain jpeg":               {photo.Bytes(), nil},
		"jpeg without scan":        {join(withoutScan, []byte{0xff, 0xd9}), media.ErrFormat},
		"jpeg that ends there":     {withoutScan, media.ErrTruncated},
		"jpeg with half a header":  {join(withoutScan, []byte{0xff, 0xda, 0, 12}), media.ErrTruncated},
		"jpeg with a bit of scan":  {photo.Bytes()[:len(withoutScan)+100], media.ErrTruncated},
		"gif":                      {gifFile(t, 33, 20), nil},
		"animation":                {animation.Bytes(), nil},
		"gif without frame":        {[]byte("GIF89a\x0a\x00\x0a\x00\x00\x00\x00\x21\xfe\x02hi\x00;"), media.ErrFormat},
		"webp":                     {webpLossless(33, 20), nil},
		"video":                    {webmFile(10, 10, 100), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := media.CheckPicture(bytes.NewReader(c.file)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Whatever a file claims, and whatever it unpacks to, the work on it is bounded.
func TestCheckPictureStopsUnpacking(t *testing.T) {
	bomb := pngOf(1<<30, 1<<30, 0, packed(t, 64<<20+1))
	if allocated := testing.AllocsPerRun(1, func() {
		if err := media.CheckPicture(bytes.NewReader(bomb)); err != nil {
			t.Error(err)
		}
	}); allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
}

func FuzzCheckPicture(f *testing.F) {
	f.Add(pngOf(10, 20, 0, packed(f, 220)))
	f.Add(pngOf(8, 8, 1, packed(f, 79)))
	f.Add(jpegFile(f, 20, 10))
	f.Add(gifFile(f, 20, 10))
	f.Fuzz(func(t *testing.T, file []byte) {
		err := media.CheckPicture(bytes.NewReader(file))
		if err != nil && !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
