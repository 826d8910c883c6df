package media

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// maxBoxesAfterMovie is how many boxes behind the movie header are looked at for missing data. A plain file has a few, one
// in fragments thousands, and each costs a read.
const maxBoxesAfterMovie = 256

// box is a box of the ISO base media file format; its payload lies between start and end.
// Source for all of this file: ISO/IEC 14496-12; Apple, "QuickTime File Format Specification".
type box struct {
	kind       string
	start, end int64
}

// box reads the header at off of a box in a parent that ends at limit; limit is the end of the file for a box at the top
// level, which alone may state an end behind it.
func (w *window) box(off, limit int64, top bool) (box, error) {
	if err := w.step(); err != nil {
		return box{}, err
	}
	header, err := w.read(off, 8)
	if err != nil {
		return box{}, err
	}
	size, kind, start := uint64(binary.BigEndian.Uint32(header)), string(header[4:]), off+8
	switch size {
	case 0: // to the end
		return box{kind, start, limit}, nil
	case 1: // 64 bits follow
		if size, err = w.uint64(start); err != nil {
			return box{}, err
		}
		start += 8
	}
	if size < uint64(start-off) || size > math.MaxInt64-uint64(off) {
		return box{}, malformed("a box has the impossible size %d", size)
	}
	end := off + int64(size)
	if end > limit && !top {
		return box{}, malformed("a box exceeds its parent")
	}
	return box{kind, start, end}, nil
}

// boxes calls fn for each box between start and end. Less than a header at the end is passed over: QuickTime ends user data
// with four zero bytes.
func (w *window) boxes(start, end int64, fn func(box) error) error {
	for at := start; end-at >= 8; {
		b, err := w.box(at, end, false)
		if err != nil {
			return err
		}
		if err := fn(b); err != nil {
			return err
		}
		at = b.end
	}
	return nil
}

// errDone ends a walk over the top level without an error.
var errDone = errors.New("done")

// topLevel calls fn for each box of the file. It returns ErrTruncated when a box ends behind the file, after fn has seen
// it, and errors of fn.
func (w *window) topLevel(fn func(box) error) error {
	for at := int64(0); w.size-at >= 8; {
		b, err := w.box(at, w.size, true)
		if err != nil {
			return err
		}
		if err := fn(b); err == errDone {
			return nil
		} else if err != nil {
			return err
		}
		if b.end > w.size {
			return ErrTruncated
		}
		at = b.end
	}
	return nil
}

// standsAtTop knows the boxes that follow the one that matters. Anything else there is garbage, which players pass over:
// no reason to call the file truncated.
func standsAtTop(kind string) bool {
	switch kind {
	case "ftyp", "moov", "mdat", "moof", "mfra", "free", "skip", "wide", "udta", "meta", "uuid", "sidx", "ssix", "styp", "emsg", "prft", "pdin":
		return true
	}
	return false
}

// movie collects what is said in several places about the length and the picture.
type movie struct {
	header, extends, index time.Duration // of mvhd, mehd, the first sidx
	media                  time.Duration // of the longest track
	picture                track
}

// track is what one trak box says.
type track struct {
	video         bool
	width, height uint64 // of the sample description, in stored pixels
	shown         [2]uint64
	orientation   int
	duration      time.Duration
}

func probeMovie(w *window, p *Properties) error {
	var m movie
	found, data, after := false, false, 0
	err := w.topLevel(func(b box) error {
		if found {
			if after++; after > maxBoxesAfterMovie || !standsAtTop(b.kind) {
				return errDone
			}
		}
		switch b.kind {
		case "moov":
			found = true
			return m.readMovie(w, b)
		case "mdat":
			data = true
		case "sidx":
			if m.index == 0 {
				return m.readIndex(w, b)
			}
		}
		return nil
	})
	p.grow(m.picture.width, m.picture.height)
	p.Orientation = m.picture.orientation
	for _, d := range []time.Duration{m.header, m.extends, m.index, m.media} {
		if p.Duration == 0 {
			p.Duration = d
		}
	}
	switch {
	case err != nil:
		return err
	case !found || !data:
		return ErrTruncated // broken off between two boxes
	case !m.picture.video:
		return malformed("it has no video track")
	}
	return nil
}

func (m *movie) readMovie(w *window, moov box) error {
	return w.boxes(moov.start, moov.end, func(b box) (err error) {
		switch b.kind {
		case "mvhd":
			m.header, err = w.headerDuration(b)
		case "mvex":
			return w.boxes(b.start, b.end, func(b box) error {
				if b.kind != "mehd" {
					return nil
				}
				return m.readExtends(w, moov, b)
			})
		case "trak":
			var t track
			t, err = w.readTrack(b)
			m.media = max(m.media, t.duration)
			if t.video && t.width*t.height >= m.picture.width*m.picture.height {
				m.picture = t
			}
		}
		return err
	})
}

// readExtends reads the duration of a movie in fragments. Its unit is that of the movie header, which may follow.
func (m *movie) readExtends(w *window, moov, mehd box) error {
	var timescale uint32
	err := w.boxes(moov.start, moov.end, func(b box) (err error) {
		if b.kind == "mvhd" {
			timescale, _, err = w.timing(b)
		}
		return err
	})
	if err != nil {
		return err
	}
	version, err := w.version(mehd)
	if err != nil {
		return err
	}
	units, err := w.sized(mehd.start+4, version)
	m.extends = seconds(known(units, version), uint64(timescale))
	return err
}

// readIndex adds up the durations of a segment index.
func (m *movie) readIndex(w *window, sidx box) error {
	version, err := w.version(sidx)
	if err != nil {
		return err
	}
	timescale, err := w.uint32(sidx.start + 8)
	if err != nil {
		return err
	}
	at := sidx.start + 12 + 8 // behind earliest time and first offset
	if version > 0 {
		at += 8
	}
	count, err := w.uint16(at + 2)
	if err != nil {
		return err
	}
	const referenceSize = 12
	if at += 4; at+referenceSize*int64(count) > sidx.end {
		return malformed("a segment index exceeds its box")
	}
	var units uint64
	for range count {
		if err := w.step(); err != nil {
			return err
		}
		duration, err := w.uint32(at + 4)
		if err != nil {
			return err
		}
		units += uint64(duration)
		at += referenceSize
	}
	m.index = seconds(units, uint64(timescale))
	return nil
}

func (w *window) readTrack(trak box) (t track, err error) {
	err = w.boxes(trak.start, trak.end, func(b box) (err error) {
		switch b.kind {
		case "tkhd":
			err = t.readHeader(w, b)
		case "mdia":
			err = w.boxes(b.start, b.end, func(b box) error { return t.readMedia(w, b) })
		}
		return err
	})
	if t.width == 0 || t.height == 0 {
		t.width, t.height = t.shown[0], t.shown[1]
	}
	return t, err
}

// readHeader reads the shown size and the rotation of a tkhd box.
func (t *track) readHeader(w *window, tkhd box) error {
	version, err := w.version(tkhd)
	if err != nil {
		return err
	}
	at := tkhd.start + 4 + 5*4 + 16 // behind times, id, duration, layer, group and volume
	if version > 0 {
		at += 12
	}
	const length = 9*4 + 2*4
	if at+length > tkhd.end {
		return malformed("a track header is too short")
	}
	b, err := w.read(at, length)
	if err != nil {
		return err
	}
	term := func(i int) int32 { return int32(binary.BigEndian.Uint32(b[4*i:])) }
	t.orientation = orientationOf(term(0), term(1), term(3), term(4))
	for i := range t.shown {
		t.shown[i] = uint64(binary.BigEndian.Uint16(b[36+4*i:])) // the whole part of a fixed-point number
	}
	return nil
}

// orientationOf gives the EXIF orientation of the matrix x' = ax + cy, y' = bx + dy, with y pointing down; 0 for one that
// is no turn by right angles.
func orientationOf(a, b, c, d int32) int {
	sign := func(v int32) int { return int(min(max(v, -1), 1)) }
	switch [4]int{sign(a), sign(b), sign(c), sign(d)} {
	case [4]int{1, 0, 0, 1}:
		return 1
	case [4]int{-1, 0, 0, 1}:
		return 2
	case [4]int{-1, 0, 0, -1}:
		return 3
	case [4]int{1, 0, 0, -1}:
		return 4
	case [4]int{0, 1, 1, 0}:
		return 5
	case [4]int{0, 1, -1, 0}:
		return 6
	case [4]int{0, -1, -1, 0}:
		return 7
	case [4]int{0, -1, 1, 0}:
		return 8
	}
	return 0
}

// readMedia reads one box of a track's media.
func (t *track) readMedia(w *window, b box) (err error) {
	switch b.kind {
	case "mdhd":
		t.duration, err = w.headerDuration(b)
	case "hdlr":
		if b.end-b.start < 12 {
			return malformed("a handler is too short")
		}
		var handler []byte
		if handler, err = w.read(b.start+8, 4); err == nil {
			t.video = string(handler) == "vide"
		}
	case "minf":
		err = w.boxes(b.start, b.end, func(b box) error {
			if b.kind != "stbl" {
				return nil
			}
			return w.boxes(b.start, b.end, func(b box) error { return t.readDescription(w, b) })
		})
	}
	return err
}

// readDescription reads the picture size of the first sample description. For a track that is no video the same bytes mean
// something else; then they are not used.
func (t *track) readDescription(w *window, b box) error {
	const countSize, sizeAt = 8, 8 + 24 // version and count; entry header and what precedes the size
	if b.kind != "stsd" || b.end-b.start < countSize+sizeAt+4 {
		return nil
	}
	size, err := w.read(b.start+countSize+sizeAt, 4)
	if err != nil {
		return err
	}
	t.width, t.height = uint64(binary.BigEndian.Uint16(size)), uint64(binary.BigEndian.Uint16(size[2:]))
	return nil
}

// version reads the version of a full box, 0 or 1.
func (w *window) version(b box) (byte, error) {
	if b.end-b.start < 4 {
		return 0, malformed("the box %q is too short", b.kind)
	}
	v, err := w.read(b.start, 1)
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

// headerDuration reads the duration of an mvhd or mdhd box, 0 when it is not known.
func (w *window) headerDuration(b box) (time.Duration, error) {
	timescale, units, err := w.timing(b)
	return seconds(units, uint64(timescale)), err
}

// timing reads time scale and duration, which mvhd and mdhd have at the same place.
func (w *window) timing(b box) (timescale uint32, units uint64, err error) {
	version, err := w.version(b)
	if err != nil {
		return 0, 0, err
	}
	at := b.start + 4 + 8 // behind creation and modification time
	if version > 0 {
		at += 8
	}
	if timescale, err = w.uint32(at); err != nil {
		return 0, 0, err
	}
	units, err = w.sized(at+4, version)
	return timescale, known(units, version), err
}

// sized reads a number of 32 bits in version 0, of 64 in others.
func (w *window) sized(off int64, version byte) (uint64, error) {
	if version > 0 {
		return w.uint64(off)
	}
	v, err := w.uint32(off)
	return uint64(v), err
}

// known turns the "not known" of a duration, which is all ones, into 0.
func known(units uint64, version byte) uint64 {
	if units == math.MaxUint64 || version == 0 && units == math.MaxUint32 {
		return 0
	}
	return units
}
