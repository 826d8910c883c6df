package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// decodeWith runs a decoder over the first limit bytes of the file and sorts its error.
func decodeWith[T any](w *window, limit int64, decode func(io.Reader) (T, error)) (T, error) {
	r := &windowReader{w: w, limit: limit}
	decoded, err := decode(r)
	if err == nil {
		return decoded, nil
	}
	var (
		noJPEG jpeg.UnsupportedError
		noPNG  png.UnsupportedError
		none   T
	)
	switch {
	case r.err != nil:
		return none, r.err
	case errors.As(err, &noJPEG), errors.As(err, &noPNG):
		return none, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case r.ended:
		return none, ErrTruncated
	}
	return none, malformed("%w", err)
}

// size reads width and height by the decoder's own rules.
func (p *Properties) size(w *window, decode func(io.Reader) (image.Config, error)) error {
	config, err := decodeWith(w, maxHeader, decode)
	if err != nil {
		return err
	}
	p.Width, p.Height = config.Width, config.Height
	return nil
}

func probeGIF(w *window, p *Properties) error { return p.size(w, gif.DecodeConfig) }

// probePNG also follows the chunks to the end: they state their lengths, so a file that was cut off shows.
// Source: W3C PNG, section 5 (chunks) and 11.3.2.4 (eXIf).
func probePNG(w *window, p *Properties) error {
	if err := p.size(w, png.DecodeConfig); err != nil {
		return err
	}
	const headerSize, crcSize = 8, 4
	for at := int64(8); ; {
		if err := w.step(); err != nil {
			return err
		}
		header, err := w.read(at, headerSize)
		if err != nil {
			return err
		}
		length, kind := int64(binary.BigEndian.Uint32(header)), string(header[4:])
		end := at + headerSize + length + crcSize
		if end > w.size {
			return ErrTruncated
		}
		switch kind {
		case "IEND":
			return nil // what follows is none of the image
		case "eXIf":
			if err := p.orient(w, at+headerSize, length); err != nil {
				return err
			}
		}
		at = end
	}
}

// probeJPEG looks for the size with the decoder, and for the orientation in the segments before the image data.
// Source: ITU-T T.81, annex B; Exif 2.32, section 4.7.2.
func probeJPEG(w *window, p *Properties) error {
	if err := p.size(w, jpeg.DecodeConfig); err != nil {
		return err
	}
	const (
		fill, startOfScan, endOfImage, app1 = 0xff, 0xda, 0xd9, 0xe1
		exif                                = "Exif\x00\x00"
	)
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
		case marker>>8 != fill, code == startOfScan, code == endOfImage:
			return nil // the decoder has found a size: whatever this is, it is past what matters
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
		if code == app1 && int(length) >= 2+len(exif) {
			start, err := w.read(at+4, len(exif))
			if err != nil {
				return err
			}
			if string(start) == exif {
				return p.orient(w, at+4+int64(len(exif)), int64(length)-2-int64(len(exif)))
			}
		}
		at += 2 + max(int64(length), 2)
	}
}

// probeWebP compares the length in the container with the file's, and looks for the orientation behind the picture.
// Source: RFC 9649, sections 2 and 2.7.1.5.
func probeWebP(w *window, p *Properties) error {
	sizeErr := p.size(w, webp.DecodeConfig)
	stated, err := riffComplete(w)
	if err != nil {
		return err // the reason also where no size was found
	}
	if sizeErr != nil {
		return sizeErr
	}
	end := w.size
	if stated {
		length, err := w.read(4, 4)
		if err != nil {
			return err
		}
		end = 8 + int64(binary.LittleEndian.Uint32(length))
	}
	err = eachChunk(w, 12, end, func(kind string, start, end int64) (bool, error) {
		if kind != "EXIF" {
			return false, nil
		}
		const prefix = "Exif\x00\x00" // which some writers copy from JPEGs
		if head, err := w.read(start, int(min(end-start, int64(len(prefix))))); err != nil {
			return false, err
		} else if string(head) == prefix {
			start += int64(len(prefix))
		}
		return true, p.orient(w, start, end-start)
	})
	if errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated) {
		return nil // the picture is no worse for it
	}
	return err
}

// orient reads the orientation from the EXIF block of length bytes at start, a small TIFF file. A block that makes no
// sense is passed over, as all viewers do: the image is no worse for it.
// Source: TIFF 6.0, section 2; Exif 2.32, section 4.6.4.
func (p *Properties) orient(w *window, start, length int64) error {
	const orientationTag, typeShort, maxEntries = 0x0112, 3, 512
	within := func(off, n int64) bool { return off >= 0 && off <= length-n }
	if !within(0, 8) {
		return nil
	}
	header, err := w.read(start, 8)
	if err != nil {
		return err
	}
	var order binary.ByteOrder
	switch string(header[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return nil
	}
	directory := int64(order.Uint32(header[4:]))
	if !within(directory, 2) {
		return nil
	}
	count, err := w.read(start+directory, 2)
	if err != nil {
		return err
	}
	entries := min(int64(order.Uint16(count)), maxEntries)
	for i := range entries {
		at := directory + 2 + 12*i
		if !within(at, 12) {
			return nil
		}
		entry, err := w.read(start+at, 12)
		if err != nil {
			return err
		}
		if order.Uint16(entry) == orientationTag && order.Uint16(entry[2:]) == typeShort {
			if value := order.Uint16(entry[8:]); value >= 1 && value <= 8 {
				p.Orientation = int(value)
			}
			return nil
		}
	}
	return nil
}
