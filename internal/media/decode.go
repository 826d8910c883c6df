package media

import (
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// DecodeImage decodes the image in r, of an animation the first picture. It refuses with ErrTooManyPixels, before it
// decodes anything, an image whose width times height exceeds maxPixels; decoding takes up to about 16 bytes of memory
// a pixel. The picture comes as stored: turning it by Properties.Orientation is left to the caller.
//
// Errors: ErrFormat (also for what is no image), ErrTruncated, ErrTooManyPixels, ErrUnsupported (AVIF, HEIC, rare variants
// of the others). Properties holds what could be told before.
func DecodeImage(r io.ReadSeeker, maxPixels int64) (image.Image, Properties, error) {
	w, err := newWindow(r)
	if err != nil {
		return nil, Properties{}, fmt.Errorf("media: %w", err)
	}
	p, err := probe(w)
	if err != nil {
		return nil, p, fmt.Errorf("media: %s: %w", p.Type, err)
	}
	if int64(p.Width) > maxPixels/int64(max(p.Height, 1)) {
		return nil, p, fmt.Errorf("media: %s: %w: %d × %d", p.Type, ErrTooManyPixels, p.Width, p.Height)
	}
	var decode func(io.Reader) (image.Image, error)
	switch p.Type {
	case PNG:
		decode = png.Decode
	case JPEG:
		decode = jpeg.Decode
	case GIF:
		decode = gif.Decode
	case WebP:
		decode = webp.Decode
	case AVIF, HEIC:
		return nil, p, fmt.Errorf("media: %s: %w", p.Type, ErrUnsupported)
	default:
		return nil, p, fmt.Errorf("media: %s: %w: it is no image", p.Type, ErrFormat)
	}
	decoded, err := decodeWith(w, w.size, decode)
	if err != nil {
		return nil, p, fmt.Errorf("media: %s: %w", p.Type, err)
	}
	return decoded, p, nil
}
