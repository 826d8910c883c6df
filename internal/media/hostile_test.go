package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/media"
)

// pieces is a file of any size without the memory for it: parts at offsets, and a pattern repeated in between.
type pieces struct {
	size    int64
	parts   map[int64][]byte
	pattern []byte
	from    int64 // where the pattern starts
	offset  int64
	read    int64 // bytes read so far
}

func (p *pieces) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset += p.size
	}
	p.offset = offset
	return offset, nil
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.offset >= p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-p.offset)]
	clear(b)
	if skip := max(p.from-p.offset, 0); len(p.pattern) > 0 && skip < int64(len(b)) {
		for rest, at := b[skip:], (p.offset+skip-p.from)%int64(len(p.pattern)); len(rest) > 0; at = 0 {
			rest = rest[copy(rest, p.pattern[at:]):]
		}
	}
	for at, part := range p.parts {
		if from := at - p.offset; from >= 0 && from < int64(len(b)) {
			copy(b[from:], part)
		} else if from < 0 && -from < int64(len(part)) {
			copy(b, part[-from:])
		}
	}
	p.offset += int64(len(b))
	p.read += int64(len(b))
	return len(b), nil
}

// TestProbeReadsLittle: of a film of many gigabytes only the headers are read, wherever they are.
func TestProbeReadsLittle(t *testing.T) {
	const size = int64(40) << 30
	isom := ftyp("isom", "isom")
	movie := moov(600*3600, videoTrack(3840, 2160).box())
	data := int64(len(isom))
	movieLast := &pieces{size: data + size + int64(len(movie)), parts: map[int64][]byte{
		0:           isom,
		data:        join(be32(1), []byte("mdat"), be64(uint64(size))),
		data + size: movie,
	}}
	header := ebmlHeader("webm")
	start := join(mkvInfo(1_000_000, 3_600_000), mkvTracks(mkvVideo(3840, 2160)))
	segment := join(header, ebmlID(0x18538067), be64(1<<56|uint64(size)), start)
	film := &pieces{size: int64(len(header)) + 12 + size, parts: map[int64][]byte{
		0:                   segment,
		int64(len(segment)): join(ebmlID(0x1f43b675), be64(1<<56|uint64(size-int64(len(start))-12))),
	}}
	for name, file := range map[string]*pieces{"mp4": movieLast, "webm": film} {
		got, err := media.Probe(file)
		if err != nil || got.Width != 3840 || got.Duration.Hours() != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if file.read > 64<<10 {
			t.Errorf("%s: %d bytes were read", name, file.read)
		}
	}
}

// TestProbeEndsInTime gives files that consist of as many elements as the format allows: the work has a limit.
func TestProbeEndsInTime(t *testing.T) {
	const size = int64(1) << 40
	isom := ftyp("isom", "isom")
	elements := func(start, pattern []byte) *pieces {
		return &pieces{size: size, parts: map[int64][]byte{0: start}, from: int64(len(start)), pattern: pattern}
	}
	png := pngFile(t, 9, 9)[:33]
	for name, file := range map[string]*pieces{
		"mp4 empty boxes":   elements(isom, isoBox("free")),
		"mp4 boxes in moov": elements(join(isom, be32(1), []byte("moov"), be64(uint64(size-int64(len(isom))))), isoBox("free")),
		"mp4 tracks":        elements(join(isom, be32(1), []byte("moov"), be64(uint64(size-int64(len(isom))))), isoBox("trak", isoBox("mdia"))),
		"mp4 indexes":       elements(join(isom, moov(0, videoTrack(9, 9).box())), sidx(1000, make([]uint32, 500)...)),
		"mp4 fragments":     elements(join(isom, moov(0, videoTrack(9, 9).box())), join(isoBox("moof"), mdat(1))),
		"webm voids":        elements(join(ebmlHeader("webm"), ebmlUnknown(0x18538067)), []byte{0xec, 0x80}),
		"webm tracks":       elements(join(ebmlHeader("webm"), ebmlUnknown(0x18538067), ebmlUnknown(0x1654ae6b)), mkvAudio()),
		"webm clusters":     elements(join(ebmlHeader("webm"), ebmlUnknown(0x18538067)), mkvCluster(1)),
		"avi chunks":        elements(join([]byte("RIFF"), le32(0), []byte("AVI LIST"), le32(4), []byte("INFO")), chunk("JUNK")),
		"png chunks":        elements(png, pngChunk("tEXt", nil)),
		"jpeg segments":     elements([]byte{0xff, 0xd8}, jpegSegment(0xe1, nil)),
		"jpeg fill":         elements(jpegFile(t, 9, 9)[:20], []byte{0xff}),
		"webp chunks":       elements(join([]byte("RIFF"), le32(math.MaxUint32), []byte("WEBPVP8X"), le32(10), make([]byte, 10)), chunk("JUNK")),
		"gif extensions":    elements(gifFile(t, 9, 9)[:13], []byte{0x21, 0xfe, 0x00}),
	} {
		_, err := media.Probe(file)
		if err != nil && !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) {
			t.Errorf("%s: %v", name, err)
		}
		if file.read > 20<<20 {
			t.Errorf("%s: %d bytes were read", name, file.read)
		}
	}
}

// TestProbeAllocatesLittle: no length that a file states becomes memory.
func TestProbeAllocatesLittle(t *testing.T) {
	const huge = 0x7ffffff0
	isom := ftyp("isom", "isom")
	files := map[string][]byte{
		"png chunk":      join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", join(be32(9), be32(9), []byte{8, 3, 0, 0, 0})), be32(huge), []byte("PLTE")),
		"png size":       join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", join(be32(huge), be32(huge), []byte{8, 6, 0, 0, 0}))),
		"jpeg segment":   join([]byte{0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff}, []byte("Exif\x00\x00")),
		"gif table":      []byte("GIF89a\xff\xff\xff\xff\xf7\x00\x00"),
		"webp riff":      join([]byte("RIFF"), le32(huge), []byte("WEBPVP8 "), le32(huge-12), make([]byte, 30)),
		"webp lossless":  join([]byte("RIFF"), le32(huge), []byte("WEBPVP8L"), le32(huge-12), vp8l(16384, 16384)),
		"webp canvas":    join([]byte("RIFF"), le32(huge), []byte("WEBPVP8X"), le32(10), bytes.Repeat([]byte{0xff}, 10)),
		"mp4 moov":       join(isom, be32(huge), []byte("moov"), be32(huge-8), []byte("trak"), be32(huge-16), []byte("mdia")),
		"mp4 stsd":       join(isom, moov(1, isoBox("trak", isoBox("mdia", isoBox("minf", isoBox("stbl", isoBox("stsd", be32(0), be32(huge)))))))),
		"mp4 64 bits":    join(isom, be32(1), []byte("moov"), be64(math.MaxInt64-100), be32(1), []byte("mvhd"), be64(math.MaxInt64-200)),
		"webm string":    join(ebmlHeader("webm"), ebmlID(0x18538067), be64(1<<56|huge<<10), ebmlID(0x1549a966), be64(1<<56|huge), ebmlID(0x4d80), be64(1<<56|(huge-50))),
		"ebml header":    join([]byte{0x1a, 0x45, 0xdf, 0xa3}, be64(1<<56|huge), ebml(0x4282, []byte("webm"))),
		"avi list":       join([]byte("RIFF"), le32(huge), []byte("AVI LIST"), le32(huge-50), []byte("hdrl"), []byte("avih"), le32(huge-100)),
		"exif entries":   jpegWithExif(t, join([]byte("MM\x00*"), be32(8), be16(math.MaxUint16))),
		"exif far away":  jpegWithExif(t, join([]byte("MM\x00*"), be32(math.MaxUint32), make([]byte, 20))),
		"exif to itself": jpegWithExif(t, join([]byte("II*\x00"), le32(0), make([]byte, 20))),
	}
	for name, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := media.Probe(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", name, allocated, len(file))
		}
		if err == nil && got.Type != media.Other && !strings.HasPrefix(name, "exif") {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestProbeDeepNesting nests boxes and elements without end: the parsers go only where they know the way.
func TestProbeDeepNesting(t *testing.T) {
	boxes, elements, lists := []byte{}, []byte{}, []byte{}
	for range 400 {
		boxes = isoBox("trak", isoBox("moov", boxes))
		elements = ebml(0xae, ebml(0xe0, elements))
		lists = list("LIST", "strl", lists)
	}
	for name, file := range map[string][]byte{
		"mp4":  join(ftyp("isom", "isom"), isoBox("moov", boxes), mdat(1)),
		"webm": join(ebmlHeader("webm"), ebml(0x18538067, ebml(0x1654ae6b, elements))),
		"avi":  list("RIFF", "AVI ", list("LIST", "hdrl", lists)),
	} {
		if _, err := media.Probe(bytes.NewReader(file)); !errors.Is(err, media.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.file)
	}
	for _, content := range otherFiles() {
		f.Add([]byte(content))
	}
	f.Add(jpegWithExif(f, exifBlock(binary.LittleEndian, 3)))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := media.Probe(bytes.NewReader(file))
		if got.Type != media.Detect(file[:min(len(file), media.HeadSize)]) {
			t.Errorf("type %v is not what Detect says", got.Type)
		}
		if got.Width < 0 || got.Height < 0 || got.Duration < 0 || got.Orientation < 0 || got.Orientation > 8 {
			t.Errorf("impossible: %+v", got)
		}
		switch {
		case got.Type == media.Other:
			if err != nil || got != (media.Properties{}) {
				t.Errorf("%+v, %v", got, err)
			}
		case err == nil:
			if got.Width == 0 || got.Height == 0 {
				t.Errorf("no size and no error: %+v", got)
			}
		case !errors.Is(err, media.ErrFormat) && !errors.Is(err, media.ErrTruncated) && !errors.Is(err, media.ErrUnsupported):
			t.Errorf("an error of no kind: %v", err)
		}
		if got.Type.Kind() != media.KindVideo && got.Duration != 0 {
			t.Errorf("a picture lasts %v", got.Duration)
		}
	})
}
