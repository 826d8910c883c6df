package media

import (
	"encoding/binary"
	"time"
)

// riffComplete compares the length in a RIFF header with the file's. Writers that could not seek back leave it 0 or full of
// ones; then nothing is known, also not whether other lengths were filled in: stated is false.
func riffComplete(w *window) (stated bool, err error) {
	header, err := w.read(4, 4)
	if err != nil {
		return false, err
	}
	length := binary.LittleEndian.Uint32(header)
	if length == 0 || length == 0xffffffff {
		return false, nil
	}
	if 8+int64(length) > w.size {
		return true, ErrTruncated
	}
	return true, nil
}

// aviStream is what one stream list says. Source: Microsoft, "AVI RIFF File Reference", AVISTREAMHEADER.
type aviStream struct {
	video         bool
	duration      time.Duration
	width, height uint64
}

// probeAVI reads the header list, which precedes the data.
func probeAVI(w *window, p *Properties) error {
	found := false
	err := eachChunk(w, 12, w.size, func(kind string, start, end int64) (bool, error) {
		if kind != "LIST hdrl" {
			return false, nil
		}
		found = true
		return true, p.readHeaderList(w, start, end)
	})
	stated, truncated := riffComplete(w)
	if !stated {
		p.Duration = 0 // a placeholder of somebody who could not know
	}
	if truncated != nil {
		return truncated
	}
	if err == nil && !found {
		return malformed("it has no header list")
	}
	return err
}

func (p *Properties) readHeaderList(w *window, start, end int64) error {
	var byFrames time.Duration
	err := eachChunk(w, start, end, func(kind string, start, end int64) (bool, error) {
		switch {
		case kind == "avih" && end-start >= 40:
			header, err := w.read(start, 40)
			if err != nil {
				return false, err
			}
			perFrame, frames := binary.LittleEndian.Uint32(header), binary.LittleEndian.Uint32(header[16:])
			byFrames = seconds(uint64(perFrame)*uint64(frames), 1_000_000)
		case kind == "LIST strl":
			stream, err := readStreamList(w, start, end)
			if err != nil {
				return false, err
			}
			if stream.video {
				p.grow(stream.width, stream.height)
				p.Duration = max(p.Duration, stream.duration)
			}
		}
		return false, nil
	})
	if p.Duration == 0 && p.Width > 0 {
		p.Duration = byFrames
	}
	return err
}

func readStreamList(w *window, start, end int64) (aviStream, error) {
	var stream aviStream
	err := eachChunk(w, start, end, func(kind string, start, end int64) (bool, error) {
		switch {
		case kind == "strh" && end-start >= 36:
			header, err := w.read(start, 36)
			if err != nil {
				return false, err
			}
			stream.video = string(header[:4]) == "vids"
			scale, rate := binary.LittleEndian.Uint32(header[20:]), binary.LittleEndian.Uint32(header[24:])
			length := binary.LittleEndian.Uint32(header[32:])
			stream.duration = seconds(uint64(length)*uint64(scale), uint64(rate))
		case kind == "strf" && end-start >= 12: // BITMAPINFOHEADER, if the stream is a video
			header, err := w.read(start, 12)
			if err != nil {
				return false, err
			}
			stream.width = uint64(binary.LittleEndian.Uint32(header[4:]))
			height := int64(int32(binary.LittleEndian.Uint32(header[8:]))) // negative: rows from top to bottom
			stream.height = uint64(max(height, -height))
		}
		return false, nil
	})
	return stream, err
}

// eachChunk calls fn for the chunks between start and end until it says stop. For a list, kind is "LIST " with the list's
// type and start lies behind that.
func eachChunk(w *window, start, end int64, fn func(kind string, start, end int64) (stop bool, err error)) error {
	for at := start; end-at >= 8; {
		if err := w.step(); err != nil {
			return err
		}
		header, err := w.read(at, 8)
		if err != nil {
			return err
		}
		kind, length := string(header[:4]), int64(binary.LittleEndian.Uint32(header[4:]))
		from, to := at+8, at+8+length
		if to > end {
			if to > w.size {
				return ErrTruncated
			}
			return malformed("a chunk exceeds its list")
		}
		if kind == "LIST" && length >= 4 {
			name, err := w.read(from, 4)
			if err != nil {
				return err
			}
			kind, from = "LIST "+string(name), from+4
		}
		stop, err := fn(kind, from, to)
		if stop || err != nil {
			return err
		}
		at = to + length&1 // chunks are padded to even lengths
	}
	return nil
}
