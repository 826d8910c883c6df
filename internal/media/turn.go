package media

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
)

// decodeBytes runs a decoder over a file in memory and sorts its error.
func decodeBytes(file []byte, decode func(io.Reader) (image.Image, error)) (image.Image, error) {
	img, err := decode(bytes.NewReader(file))
	if err == nil {
		return img, nil
	}
	var (
		noJPEG jpeg.UnsupportedError
		noPNG  png.UnsupportedError
	)
	switch {
	case errors.As(err, &noJPEG), errors.As(err, &noPNG):
		return nil, errors.Join(ErrUnsupported, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrTruncated
	}
	return nil, malformed("%w", err)
}

// turn makes a picture upright that is stored with an EXIF orientation (1 to 8; 0 is 1).
func turn(img image.Image, orientation int) image.Image {
	if orientation <= 1 {
		return img
	}
	size := img.Bounds().Size()
	to := image.Rect(0, 0, size.X, size.Y)
	if orientation >= 5 {
		to = image.Rect(0, 0, size.Y, size.X)
	}
	switch src := img.(type) {
	case *image.Gray:
		dst := image.NewGray(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 1, orientation)
		return dst
	case *image.Gray16:
		dst := image.NewGray16(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 2, orientation)
		return dst
	case *image.Paletted:
		dst := image.NewPaletted(to, src.Palette)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 1, orientation)
		return dst
	case *image.RGBA:
		dst := image.NewRGBA(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 4, orientation)
		return dst
	case *image.NRGBA:
		dst := image.NewNRGBA(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 4, orientation)
		return dst
	case *image.RGBA64:
		dst := image.NewRGBA64(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 8, orientation)
		return dst
	case *image.NRGBA64:
		dst := image.NewNRGBA64(to)
		turnPixels(dst.Pix, dst.Stride, src.Pix, src.Stride, size, 8, orientation)
		return dst
	case *image.YCbCr:
		if turned := turnPlanes(src, to, size, orientation); turned != nil {
			return turned
		}
	}
	plain := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
	draw.Draw(plain, plain.Rect, img, img.Bounds().Min, draw.Src)
	return turn(plain, orientation)
}

// turnPlanes turns the planes of a JPEG's colours apart, so that they are not converted to and fro. It returns nil where
// the planes would not fit on each other any more: with sides that are not whole multiples of the coarser pixels.
func turnPlanes(src *image.YCbCr, to image.Rectangle, size image.Point, orientation int) image.Image {
	ratio, coarse := src.SubsampleRatio, image.Pt(1, 1)
	switch ratio {
	case image.YCbCrSubsampleRatio444:
	case image.YCbCrSubsampleRatio420:
		coarse = image.Pt(2, 2)
	case image.YCbCrSubsampleRatio422:
		coarse = image.Pt(2, 1)
		if orientation >= 5 {
			ratio = image.YCbCrSubsampleRatio440
		}
	case image.YCbCrSubsampleRatio440:
		coarse = image.Pt(1, 2)
		if orientation >= 5 {
			ratio = image.YCbCrSubsampleRatio422
		}
	default:
		return nil
	}
	if size.X%coarse.X != 0 || size.Y%coarse.Y != 0 {
		return nil
	}
	dst, colours := image.NewYCbCr(to, ratio), image.Pt(size.X/coarse.X, size.Y/coarse.Y)
	turnPixels(dst.Y, dst.YStride, src.Y, src.YStride, size, 1, orientation)
	turnPixels(dst.Cb, dst.CStride, src.Cb, src.CStride, colours, 1, orientation)
	turnPixels(dst.Cr, dst.CStride, src.Cr, src.CStride, colours, 1, orientation)
	return dst
}

// turnPixels copies a plane of pixels of so many bytes each to where they belong. Source: Exif 2.32, section 4.6.4 (A).
func turnPixels(dst []byte, dstStride int, src []byte, srcStride int, size image.Point, bytes, orientation int) {
	w, h := size.X, size.Y
	// Where the source's first pixel goes, and how far apart its neighbours to the right and below end up.
	var start, right, down int
	switch orientation {
	case 2:
		start, right, down = (w-1)*bytes, -bytes, dstStride
	case 3:
		start, right, down = (h-1)*dstStride+(w-1)*bytes, -bytes, -dstStride
	case 4:
		start, right, down = (h-1)*dstStride, bytes, -dstStride
	case 5:
		start, right, down = 0, dstStride, bytes
	case 6:
		start, right, down = (h-1)*bytes, dstStride, -bytes
	case 7:
		start, right, down = (w-1)*dstStride+(h-1)*bytes, -dstStride, -bytes
	case 8:
		start, right, down = (w-1)*dstStride, -dstStride, bytes
	}
	for y := range h {
		from, to := y*srcStride, start+y*down
		for range w {
			copy(dst[to:to+bytes], src[from:from+bytes])
			from += bytes
			to += right
		}
	}
}
