package media

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"golang.org/x/image/draw"
)

// previewQuality is that of a small picture to look at, not to work with.
const previewQuality = 80

// Preview makes a small JPEG of the image in r: upright, on white where it is transparent, at most side pixels wide and high and
// never larger than the image. Memory and errors are those of DecodeImage.
func Preview(r io.ReadSeeker, side int, maxPixels int64) ([]byte, error) {
	img, p, err := DecodeImage(r, maxPixels)
	if err != nil {
		return nil, err
	}
	from := img.Bounds()
	size := fit(from.Dx(), from.Dy(), side)
	small := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
	draw.Draw(small, small.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	// Weighs all pixels that come together in one, unlike the quicker ones.
	draw.BiLinear.Scale(small, small.Bounds(), img, from, draw.Over, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, turn(small, p.Orientation), &jpeg.Options{Quality: previewQuality}); err != nil {
		return nil, fmt.Errorf("media: preview: %w", err)
	}
	return out.Bytes(), nil
}

// fit is a size scaled down into a square, at least one pixel each way.
func fit(width, height, side int) image.Point {
	longer := max(width, height)
	if longer <= side {
		return image.Pt(width, height)
	}
	return image.Pt(max(1, width*side/longer), max(1, height*side/longer))
}
