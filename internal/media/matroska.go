package media

import (
	"encoding/binary"
	"math"
	"time"
)

// Element ids, with their length marker, as RFC 9559 lists them in section 5.1 (RFC 8794 for the document type).
const (
	idDocType       = 0x4282
	idSegment       = 0x18538067
	idInfo          = 0x1549a966
	idTimecodeScale = 0x2ad7b1
	idDuration      = 0x4489
	idTracks        = 0x1654ae6b
	idTrackEntry    = 0xae
	idTrackType     = 0x83
	idVideo         = 0xe0
	idPixelWidth    = 0xb0
	idPixelHeight   = 0xba
	idCluster       = 0x1f43b675
)

const (
	// unknownSize is a data size of all ones: the element ends where something else begins (RFC 8794, section 6.2).
	unknownSize = math.MaxUint64

	trackTypeVideo       = 1
	defaultTimecodeScale = 1_000_000 // nanoseconds
)

// vint reads a data size of 1 to 8 bytes (RFC 8794, section 4); n is 0 where b does not start with a whole one.
func vint(b []byte) (v uint64, n int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, 0
	}
	n = 1
	for mask := byte(0x80); b[0]&mask == 0; mask >>= 1 {
		n++
	}
	if len(b) < n {
		return 0, 0
	}
	v = uint64(b[0]) & (1<<(8-n) - 1)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	if v == 1<<(7*n)-1 {
		return unknownSize, n
	}
	return v, n
}

// elementID reads an id of 1 to 4 bytes and leaves its length marker in place; n is 0 where b does not start with one.
func elementID(b []byte) (id uint32, n int) {
	if len(b) == 0 || b[0] < 0x10 {
		return 0, 0
	}
	n = 1
	for mask := byte(0x80); b[0]&mask == 0; mask >>= 1 {
		n++
	}
	if len(b) < n {
		return 0, 0
	}
	for _, c := range b[:n] {
		id = id<<8 | uint32(c)
	}
	return id, n
}

// element is one EBML element; its data lies between start and end.
type element struct {
	id         uint32
	start, end int64
	unknown    bool // the size is not stated; end is that of the parent
}

// element reads the header at off of an element in a parent that ends at limit. The element may end behind the file, but
// not behind its parent.
func (w *window) element(off, limit int64) (element, error) {
	if err := w.step(); err != nil {
		return element{}, err
	}
	available := min(12, limit-off, w.size-off)
	if available <= 0 {
		return element{}, ErrTruncated
	}
	header, err := w.read(off, int(available))
	if err != nil {
		return element{}, err
	}
	id, idLen := elementID(header)
	if idLen == 0 {
		return element{}, w.shortHeader(off, limit, "an element's id is not valid")
	}
	size, sizeLen := vint(header[idLen:])
	if sizeLen == 0 {
		return element{}, w.shortHeader(off, limit, "an element's size is not valid")
	}
	e := element{id: id, start: off + int64(idLen+sizeLen), end: limit}
	switch {
	case size == unknownSize:
		e.unknown = true
	case size > uint64(limit-e.start):
		return e, malformed("an element exceeds its parent")
	default:
		e.end = e.start + int64(size)
	}
	return e, nil
}

// shortHeader tells a header that the end of the file cuts in two from one that is wrong.
func (w *window) shortHeader(off, limit int64, why string) error {
	if w.size-off < 12 && w.size < limit {
		return ErrTruncated
	}
	return malformed("%s", why)
}

// children calls fn for each child until it says stop.
func (w *window) children(parent element, fn func(element) (stop bool, err error)) error {
	for at := parent.start; at < parent.end; {
		child, err := w.element(at, parent.end)
		if err != nil {
			return err
		}
		stop, err := fn(child)
		if stop || err != nil {
			return err
		}
		if child.unknown {
			return nil // only a search for the next id could tell where it ends
		}
		at = child.end
	}
	return nil
}

// uint reads an unsigned integer of up to 8 bytes.
func (w *window) uint(e element) (uint64, error) {
	n := e.end - e.start
	if n > 8 {
		return 0, malformed("an integer has %d bytes", n)
	}
	b, err := w.read(e.start, int(n))
	if err != nil {
		return 0, err
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, nil
}

// float reads a number of 0, 4 or 8 bytes.
func (w *window) float(e element) (float64, error) {
	switch n := e.end - e.start; n {
	case 0:
		return 0, nil
	case 4:
		bits, err := w.uint32(e.start)
		return float64(math.Float32frombits(bits)), err
	case 8:
		b, err := w.read(e.start, 8)
		if err != nil {
			return 0, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	default:
		return 0, malformed("a number has %d bytes", n)
	}
}

// probeMatroska reads segment information and tracks, which in a finished file precede the clusters.
func probeMatroska(w *window, p *Properties) error {
	header, err := w.element(0, w.size)
	if err != nil {
		return err
	}
	// The segment alone may state an end behind that of the file: so does one that was cut off.
	segment, err := w.element(header.end, math.MaxInt64)
	if err != nil {
		return err
	}
	if segment.id != idSegment {
		return malformed("it has no segment")
	}
	if segment.unknown {
		segment.end = w.size
	}
	var haveInfo, haveTracks bool
	err = w.children(segment, func(e element) (bool, error) {
		var err error
		switch e.id {
		case idInfo:
			haveInfo = true
			err = p.readInfo(w, e)
		case idTracks:
			haveTracks = true
			err = p.readTracks(w, e)
		case idCluster:
			return haveTracks, nil // the media data; a search behind it for what is optional would not pay
		}
		return haveInfo && haveTracks, err
	})
	switch {
	case err != nil:
		return err
	case segment.end > w.size:
		return ErrTruncated
	case !haveTracks:
		return malformed("it has no tracks")
	}
	return nil
}

func (p *Properties) readInfo(w *window, info element) error {
	scale, duration := uint64(defaultTimecodeScale), 0.0
	err := w.children(info, func(e element) (stop bool, err error) {
		switch e.id {
		case idTimecodeScale:
			scale, err = w.uint(e)
		case idDuration:
			duration, err = w.float(e)
		}
		return false, err
	})
	if nanoseconds := duration * float64(scale); nanoseconds > 0 && nanoseconds < math.MaxInt64 { // false for NaN
		p.Duration = time.Duration(nanoseconds)
	}
	return err
}

func (p *Properties) readTracks(w *window, tracks element) error {
	return w.children(tracks, func(track element) (bool, error) {
		if track.id != idTrackEntry {
			return false, nil
		}
		var kind, width, height uint64
		err := w.children(track, func(e element) (stop bool, err error) {
			switch e.id {
			case idTrackType:
				kind, err = w.uint(e)
			case idVideo:
				err = w.children(e, func(e element) (stop bool, err error) {
					switch e.id {
					case idPixelWidth:
						width, err = w.uint(e)
					case idPixelHeight:
						height, err = w.uint(e)
					}
					return false, err
				})
			}
			return false, err
		})
		if kind == trackTypeVideo {
			p.grow(width, height)
		}
		return false, err
	})
}
