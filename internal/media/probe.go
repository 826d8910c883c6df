package media

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"
)

// Probe finds out what the file in r is. It seeks freely in r, reads headers through a buffer of a few kilobytes, and
// leaves the offset undefined.
//
// A file of a type that is not recognised is Other without an error. With ErrTruncated, ErrFormat or ErrUnsupported (rare
// variants of JPEG and PNG), Properties holds what could be told before. Whether pixel data is whole and valid is not
// looked at, only what the headers of the container say about lengths: of a JPEG or GIF that lacks its end, DecodeImage
// will know, and CheckPicture whether there is any picture at all.
func Probe(r io.ReadSeeker) (Properties, error) {
	w, err := newWindow(r)
	if err != nil {
		return Properties{}, fmt.Errorf("media: %w", err)
	}
	p, err := probe(w)
	if err != nil {
		err = fmt.Errorf("media: %s: %w", p.Type, err)
	}
	return p, err
}

func probe(w *window) (Properties, error) {
	head, err := w.head()
	if err != nil {
		return Properties{}, err
	}
	p := Properties{Type: Detect(head)}
	switch p.Type {
	case PNG:
		err = probePNG(w, &p)
	case JPEG:
		err = probeJPEG(w, &p)
	case GIF:
		err = probeGIF(w, &p)
	case WebP:
		err = probeWebP(w, &p)
	case AVIF, HEIC:
		err = probeHEIF(w, &p)
	case MP4, MOV:
		err = probeMovie(w, &p)
	case WebM, Matroska:
		err = probeMatroska(w, &p)
	case AVI:
		err = probeAVI(w, &p)
	default:
		return p, nil
	}
	if err == nil && (p.Width <= 0 || p.Height <= 0) {
		err = malformed("it has no picture size")
	}
	return p, err
}

// grow takes the larger of the size known so far and the given one; sizes beyond 31 bits are nobody's.
func (p *Properties) grow(width, height uint64) {
	if width > math.MaxInt32 || height > math.MaxInt32 {
		return
	}
	if width*height > uint64(p.Width)*uint64(p.Height) {
		p.Width, p.Height = int(width), int(height)
	}
}

// seconds returns units/perSecond, or 0 where that is not a duration.
func seconds(units, perSecond uint64) time.Duration {
	if perSecond == 0 {
		return 0
	}
	high, low := bits.Mul64(units, uint64(time.Second))
	if high >= perSecond {
		return 0
	}
	quotient, _ := bits.Div64(high, low, perSecond)
	if quotient > math.MaxInt64 {
		return 0
	}
	return time.Duration(quotient)
}
