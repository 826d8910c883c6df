package media_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/kinora/kinora/internal/media"
)

func TestPreview(t *testing.T) {
	for name, c := range map[string]struct{ width, height, wantWidth, wantHeight int }{
		"wide": {640, 480, 320, 240}, "tall": {300, 900, 106, 320}, "small": {20, 10, 20, 10}, "a line": {2000, 2, 320, 1}, "square": {320, 320, 320, 320},
	} {
		got, err := media.Preview(bytes.NewReader(pngFile(t, c.width, c.height)), 320, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, format, err := image.DecodeConfig(bytes.NewReader(got))
		if err != nil || format != "jpeg" || p.Width != c.wantWidth || p.Height != c.wantHeight {
			t.Errorf("%s: %s of %d × %d, %v; want %d × %d", name, format, p.Width, p.Height, err, c.wantWidth, c.wantHeight)
		}
	}
}

// What is transparent is white, and not black.
func TestPreviewIsOnWhite(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 32 {
			img.Set(x, y, color.NRGBA{200, 0, 0, 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	small, err := media.Preview(bytes.NewReader(file.Bytes()), 32, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jpeg.Decode(bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, _, _ := got.At(4, 16).RGBA(); r>>8 < 180 || g>>8 > 40 {
		t.Errorf("the red half is %v", got.At(4, 16))
	}
	if r, g, b, _ := got.At(28, 16).RGBA(); min(r, g, b)>>8 < 245 {
		t.Errorf("the transparent half is %v", got.At(28, 16))
	}
}

func TestPreviewRefuses(t *testing.T) {
	if _, err := media.Preview(bytes.NewReader(pngFile(t, 100, 100)), 32, 9999); !errors.Is(err, media.ErrTooManyPixels) {
		t.Errorf("more pixels than allowed: %v", err)
	}
	if _, err := media.Preview(bytes.NewReader([]byte("no image")), 32, 9999); !errors.Is(err, media.ErrFormat) {
		t.Errorf("no image: %v", err)
	}
}
