package media

import (
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxInflated bounds how much of a PNG's picture is unpacked to see whether it is there: about 16 million pixels. What a
// larger one holds behind that is taken on trust.
const maxInflated = 64 << 20

// CheckPicture makes sure that an image has a picture behind its headers: the packed rows of a PNG, a scan of a JPEG that
// is not shorter than any can be, a frame of a GIF. Memory is a constant, and work is bounded whatever the file claims. It
// decodes nothing, so a picture with faults in it passes, and so does every other type.
//
// Errors: ErrFormat, ErrTruncated.
func CheckPicture(r io.ReadSeeker) error {
	w, err := newWindow(r)
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	head, err := w.head()
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	kind := Detect(head)
	switch kind {
	case PNG:
		err = checkPNG(w)
	case JPEG:
		err = checkJPEG(w)
	case GIF:
		err = checkGIF(w)
	}
	if err != nil {
		return fmt.Errorf("media: %s: %w", kind, err)
	}
	return nil
}

// checkPNG unpacks the image data as far as the size asks for it. Source: W3C PNG, sections 8.1 (interlace), 10.1
// (compression) and 11.2 (IHDR, IDAT).
func checkPNG(w *window) error {
	head, err := w.read(16, 13)
	if err != nil {
		return err
	}
	width, height := int64(binary.BigEndian.Uint32(head)), int64(binary.BigEndian.Uint32(head[4:]))
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[head[9]]
	want := packedRows(width, height, int64(head[8])*channels, head[12] == 1)
	data := &pngData{w: w, at: 8}
	unpacked, err := zlib.NewReader(data)
	if err == nil {
		_, err = io.CopyN(io.Discard, unpacked, min(want, maxInflated))
	}
	switch {
	case err == nil:
		return nil
	case data.err != nil:
		return data.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("the picture is missing, or ends early")
	}
	return malformed("%w", err)
}

// packedRows is how many bytes the rows of a picture have, each with the byte that names its filter.
func packedRows(width, height, bitsPerPixel int64, interlaced bool) int64 {
	rows := func(width, height int64) int64 {
		if width <= 0 || height <= 0 {
			return 0
		}
		if width > maxInflated || height > maxInflated {
			return maxInflated // and no overflow
		}
		return min(height*(1+(width*bitsPerPixel+7)/8), maxInflated)
	}
	if !interlaced {
		return rows(width, height)
	}
	var sum int64
	for _, pass := range interlacePasses {
		sum += rows(pass.size(width, height))
	}
	return min(sum, maxInflated)
}

// pngData reads the contents of a PNG's IDAT chunks, one after the other.
type pngData struct {
	w    *window
	at   int64 // the next chunk
	from int64 // what is left of the present one begins here
	left int64
	err  error // of the file, not of what it holds
}

func (d *pngData) Read(p []byte) (int, error) {
	for d.left == 0 {
		header, err := d.w.read(d.at, 8)
		if err == nil {
			err = d.w.step()
		}
		if err != nil {
			d.err = err
			return 0, err
		}
		length := int64(binary.BigEndian.Uint32(header))
		switch string(header[4:]) {
		case "IEND":
			return 0, io.EOF
		case "IDAT":
			d.from, d.left = d.at+8, length
		}
		d.at += 8 + length + 4
	}
	n := int(min(int64(len(p)), d.left, windowSize))
	b, err := d.w.read(d.from, n)
	if err != nil {
		d.err = err
		return 0, err
	}
	d.from += int64(n)
	d.left -= int64(n)
	return copy(p, b), nil
}

// checkJPEG looks for the first scan and compares what stands behind its header with the least that the picture's blocks
// take up: one bit for each of 8 by 8 pixels. Source: ITU-T T.81, annexes B and F.
func checkJPEG(w *window) error {
	const fill, startOfScan, endOfImage = 0xff, 0xda, 0xd9
	var p Properties
	if err := probeJPEG(w, &p); errors.Is(err, ErrUnsupported) {
		return nil // a variant that we need not understand
	} else if err != nil {
		return err
	}
	for at := int64(2); ; {
		if err := w.step(); err != nil {
			return err
		}
		marker, err := w.uint16(at)
		if err != nil {
			return err
		}
		code := byte(marker)
		switch {
		case marker>>8 != fill:
			return nil // decoders look on for the next marker: so may this one
		case code == endOfImage:
			return malformed("the picture is missing")
		case code == fill:
			at++
			continue
		case code == 0x01, code >= 0xd0 && code <= 0xd7: // stand alone
			at += 2
			continue
		}
		length, err := w.uint16(at + 2)
		if err != nil {
			return err
		}
		at += 2 + max(int64(length), 2)
		if code == startOfScan {
			least := int64(p.Width+7) / 8 * (int64(p.Height+7) / 8) / 8
			if w.size-at < max(least, 1) {
				return ErrTruncated
			}
			return nil
		}
	}
}

// checkGIF looks for a frame with data. Source: GIF89a, sections 18 to 24.
func checkGIF(w *window) error {
	const extension, frame = 0x21, 0x2c
	screen, err := w.read(6, 7)
	if err != nil {
		return err
	}
	at := 13 + colours(screen[4])
	for {
		if err := w.step(); err != nil {
			return err
		}
		b, err := w.read(at, 1)
		if err != nil {
			return err
		}
		switch b[0] {
		case extension:
			at += 2
		case frame:
			descriptor, err := w.read(at, 10)
			if err != nil {
				return err
			}
			block, err := w.read(at+10+colours(descriptor[9])+1, 1) // behind the width of the first code
			if err != nil {
				return err
			}
			if block[0] == 0 {
				return malformed("the picture is missing")
			}
			return nil
		default:
			return malformed("the picture is missing")
		}
		for { // the blocks of the extension
			if err := w.step(); err != nil {
				return err
			}
			size, err := w.read(at, 1)
			if err != nil {
				return err
			}
			at += 1 + int64(size[0])
			if size[0] == 0 {
				break
			}
		}
	}
}

// colours is the length of a colour table by the flags in front of it.
func colours(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}
