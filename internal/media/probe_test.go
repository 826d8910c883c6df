package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/media"
)

type sample struct {
	file []byte
	want media.Properties
}

// samples are whole and well-formed files.
func samples(t testing.TB) map[string]sample {
	rotated := videoTrack(1280, 720)
	rotated.matrix = clockwise
	long := videoTrack(1920, 1080)
	long.version, long.timescale, long.duration = 1, 90_000, 90_000*7200
	anamorphic := videoTrack(1024, 576)
	anamorphic.stored = [2]int{720, 576}
	undescribed := videoTrack(640, 360)
	undescribed.stored = [2]int{}
	audio := movieTrack{handler: "soun", matrix: upright, timescale: 48000, duration: 48000 * 9}
	fragmented := videoTrack(640, 360)
	fragmented.duration = 0
	mvex := func(units uint64) []byte {
		return isoBox("mvex", isoBox("mehd", make([]byte, 4), be32(uint32(units))), isoBox("trex", make([]byte, 24)))
	}
	isom := ftyp("isom", "isom", "iso2", "avc1", "mp41")

	return map[string]sample{
		"png":             {pngFile(t, 70, 50), media.Properties{Type: media.PNG, Width: 70, Height: 50}},
		"png with exif":   {insert(pngFile(t, 70, 50), 33, pngChunk("eXIf", exifBlock(binary.BigEndian, 6))), media.Properties{Type: media.PNG, Width: 70, Height: 50, Orientation: 6}},
		"png and more":    {append(pngFile(t, 70, 50), "trailing bytes"...), media.Properties{Type: media.PNG, Width: 70, Height: 50}},
		"jpeg":            {jpegFile(t, 70, 50), media.Properties{Type: media.JPEG, Width: 70, Height: 50}},
		"jpeg turned":     {jpegWithExif(t, exifBlock(binary.LittleEndian, 6)), media.Properties{Type: media.JPEG, Width: 30, Height: 20, Orientation: 6}},
		"jpeg big endian": {jpegWithExif(t, exifBlock(binary.BigEndian, 8)), media.Properties{Type: media.JPEG, Width: 30, Height: 20, Orientation: 8}},
		"jpeg bad exif":   {jpegWithExif(t, []byte("nonsense")), media.Properties{Type: media.JPEG, Width: 30, Height: 20}},
		"jpeg exif 9":     {jpegWithExif(t, exifBlock(binary.BigEndian, 9)), media.Properties{Type: media.JPEG, Width: 30, Height: 20}},
		"gif":             {gifFile(t, 70, 50), media.Properties{Type: media.GIF, Width: 70, Height: 50}},
		"webp lossless":   {webpLossless(70, 50), media.Properties{Type: media.WebP, Width: 70, Height: 50}},
		"webp lossy":      {webpLossy(640, 480), media.Properties{Type: media.WebP, Width: 640, Height: 480}},
		"webp extended":   {webpExtended(1000, 2000, chunk("ANIM", make([]byte, 6))), media.Properties{Type: media.WebP, Width: 1000, Height: 2000}},
		"avif":            {heifFile("avif", ispe(256, 256), ispe(1024, 768)), media.Properties{Type: media.AVIF, Width: 1024, Height: 768}},
		"heic turned":     {heifFile("heic", ispe(4032, 3024), isoBox("irot", []byte{3})), media.Properties{Type: media.HEIC, Width: 4032, Height: 3024, Orientation: 6}},
		"mp4":             {join(isom, moov(3000, audio.box(), videoTrack(1280, 720).box()), mdat(9000)), media.Properties{Type: media.MP4, Width: 1280, Height: 720, Orientation: 1, Duration: 5 * time.Second}},
		"mp4 moov last":   {join(isom, isoBox("free"), mdat(9000), moov(3000, videoTrack(1280, 720).box())), media.Properties{Type: media.MP4, Width: 1280, Height: 720, Orientation: 1, Duration: 5 * time.Second}},
		"mp4 turned":      {join(isom, mdat(10), moov(3000, rotated.box())), media.Properties{Type: media.MP4, Width: 1280, Height: 720, Orientation: 6, Duration: 5 * time.Second}},
		"mp4 64 bits":     {join(isom, be32(1), []byte("mdat"), be64(16+100), make([]byte, 100), isoBox("moov", mvhd(1, 90_000, 90_000*7200), long.box())), media.Properties{Type: media.MP4, Width: 1920, Height: 1080, Orientation: 1, Duration: 2 * time.Hour}},
		"mp4 anamorphic":  {join(isom, moov(600, anamorphic.box()), mdat(10)), media.Properties{Type: media.MP4, Width: 720, Height: 576, Orientation: 1, Duration: time.Second}},
		"mp4 by header":   {join(isom, moov(600, undescribed.box()), mdat(10)), media.Properties{Type: media.MP4, Width: 640, Height: 360, Orientation: 1, Duration: time.Second}},
		"mp4 two videos":  {join(isom, moov(600, videoTrack(160, 90).box(), videoTrack(1280, 720).box(), videoTrack(320, 180).box()), mdat(10)), media.Properties{Type: media.MP4, Width: 1280, Height: 720, Orientation: 1, Duration: time.Second}},
		"mp4 to the end":  {join(isom, moov(600, videoTrack(64, 48).box()), be32(0), []byte("mdat"), make([]byte, 99)), media.Properties{Type: media.MP4, Width: 64, Height: 48, Orientation: 1, Duration: time.Second}},
		"mp4 and more":    {join(isom, moov(600, videoTrack(64, 48).box()), mdat(10), []byte("\xff\xff\xff\xffjunkjunk")), media.Properties{Type: media.MP4, Width: 64, Height: 48, Orientation: 1, Duration: time.Second}},
		"mp4 fragments":   {join(isom, moov(0, fragmented.box(), mvex(600*8)), isoBox("moof", make([]byte, 50)), mdat(100)), media.Properties{Type: media.MP4, Width: 640, Height: 360, Orientation: 1, Duration: 8 * time.Second}},
		"mp4 index":       {join(isom, moov(0, fragmented.box()), sidx(1000, 2000, 2000, 500), isoBox("moof", make([]byte, 50)), mdat(100)), media.Properties{Type: media.MP4, Width: 640, Height: 360, Orientation: 1, Duration: 4500 * time.Millisecond}},
		"mp4 live":        {join(isom, moov(0, fragmented.box()), isoBox("moof", make([]byte, 50)), mdat(100)), media.Properties{Type: media.MP4, Width: 640, Height: 360, Orientation: 1}},
		"mp4 by track":    {join(isom, moov(math.MaxUint32, videoTrack(64, 48).box()), mdat(10)), media.Properties{Type: media.MP4, Width: 64, Height: 48, Orientation: 1, Duration: 5 * time.Second}},
		"mov":             {join(ftyp("qt  ", "qt  "), isoBox("wide"), mdat(100), moov(600, videoTrack(640, 480).box(), isoBox("udta", be32(0)))), media.Properties{Type: media.MOV, Width: 640, Height: 480, Orientation: 1, Duration: time.Second}},
		"mov of old":      {join(moov(600, videoTrack(640, 480).box()), mdat(100)), media.Properties{Type: media.MOV, Width: 640, Height: 480, Orientation: 1, Duration: time.Second}},
		"webm":            {webmFile(854, 480, 5250), media.Properties{Type: media.WebM, Width: 854, Height: 480, Duration: 5250 * time.Millisecond}},
		"mkv":             {join(ebmlHeader("matroska"), ebml(0x18538067, mkvTracks(mkvVideo(100, 50), mkvVideo(1920, 1080)), mkvInfo(1000, 2_000_000), mkvCluster(9))), media.Properties{Type: media.Matroska, Width: 1920, Height: 1080, Duration: 2 * time.Second}},
		"webm live":       {join(ebmlHeader("webm"), ebmlUnknown(0x18538067, ebml(0x1549a966), mkvTracks(mkvVideo(640, 360)), ebmlUnknown(0x1f43b675, make([]byte, 50)))), media.Properties{Type: media.WebM, Width: 640, Height: 360}},
		"webm no info":    {join(ebmlHeader("webm"), ebmlUnknown(0x18538067, mkvTracks(mkvVideo(640, 360)), mkvCluster(20))), media.Properties{Type: media.WebM, Width: 640, Height: 360}},
		"avi":             {aviFile(aviStream("auds", 99, 99, 1, 8000, 80_000), aviStream("vids", 320, 240, 1001, 30_000, 300)), media.Properties{Type: media.AVI, Width: 320, Height: 240, Duration: 10010 * time.Millisecond}},
		"avi top down":    {aviFile(aviStream("vids", 320, -240, 0, 0, 0)), media.Properties{Type: media.AVI, Width: 320, Height: 240, Duration: 4 * time.Second}},
		"avi live":        {unstated(aviFile(aviStream("vids", 320, 240, 1, 25, 0x3fffffff))), media.Properties{Type: media.AVI, Width: 320, Height: 240}},
	}
}

func TestProbe(t *testing.T) {
	for name, s := range samples(t) {
		got, err := media.Probe(bytes.NewReader(s.file))
		if err != nil || got != s.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, s.want)
		}
	}
}

// cuts are lengths at which to cut a file: all at its beginning and end, some in between.
func cuts(size int) (at []int) {
	for n := 0; n < size; n++ {
		if n < 800 || n > size-250 || n%41 == 0 {
			at = append(at, n)
		}
	}
	return at
}

// TestProbeTruncated cuts every sample: each piece is refused, or too short to be recognised.
func TestProbeTruncated(t *testing.T) {
	for name, s := range samples(t) {
		switch name {
		case "png and more", "mp4 and more", "mp4 to the end", "webm live", "webm no info", "avi live":
			continue // their ends are not known, or not part of the image
		}
		if s.want.Type == media.JPEG || s.want.Type == media.GIF {
			continue // TestDecodeImageTruncated
		}
		for _, n := range cuts(len(s.file)) {
			if left := len(s.file) - n; s.want.Type.Kind() == media.KindImage && bytes.Contains(s.file, []byte("ftyp")) && left > 100 && left <= 108 {
				continue // between the boxes of a HEIF file: what lacks need not be part of the image
			}
			got, err := media.Probe(bytes.NewReader(s.file[:n]))
			if got.Type == media.Other && err == nil {
				if n >= 64 {
					t.Errorf("%s cut at %d of %d is not recognised", name, n, len(s.file))
				}
				continue
			}
			if !errors.Is(err, media.ErrTruncated) {
				t.Errorf("%s cut at %d of %d: %+v, %v", name, n, len(s.file), got, err)
			}
			if got.Type != s.want.Type || got.Width > s.want.Width && name != "mp4 anamorphic" {
				t.Errorf("%s cut at %d of %d: %+v", name, n, len(s.file), got)
			}
		}
	}
}

// TestProbeTruncatedKeepsWhatIsKnown: a video that lost its end is still that video.
func TestProbeTruncatedKeepsWhatIsKnown(t *testing.T) {
	all := samples(t)
	for _, name := range []string{"png", "webp lossless", "mp4", "webm", "avi", "heic turned"} {
		s := all[name]
		got, err := media.Probe(bytes.NewReader(s.file[:len(s.file)-1]))
		if !errors.Is(err, media.ErrTruncated) || name != "webp lossless" && got != s.want {
			t.Errorf("%s: %+v, %v; want %+v and ErrTruncated", name, got, err, s.want)
		}
	}
}

func TestProbeOther(t *testing.T) {
	for name, content := range otherFiles() {
		got, err := media.Probe(bytes.NewReader([]byte(content)))
		if err != nil || got != (media.Properties{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestProbeMalformed(t *testing.T) {
	isom := ftyp("isom", "isom")
	track := videoTrack(64, 48)
	silent := movieTrack{handler: "soun", matrix: upright, timescale: 48000, duration: 48000}
	for name, file := range map[string][]byte{
		"mp4 without video":        join(isom, moov(600, silent.box()), mdat(10)),
		"mp4 without size":         join(isom, moov(600, videoTrack(0, 0).box()), mdat(10)),
		"mp4 box too small":        join(isom, be32(4), []byte("free"), moov(600, track.box())),
		"mp4 64-bit box too small": join(isom, be32(1), []byte("free"), be64(8), moov(600, track.box())),
		"mp4 64-bit box too large": join(isom, be32(1), []byte("free"), be64(math.MaxUint64), moov(600, track.box())),
		"mp4 child exceeds parent": join(isom, isoBox("moov", be32(5000), []byte("trak"), make([]byte, 20)), mdat(9000)),
		"mp4 short track header":   join(isom, moov(600, isoBox("trak", isoBox("tkhd", make([]byte, 30)))), mdat(10)),
		"mp4 empty handler":        join(isom, moov(600, isoBox("trak", isoBox("mdia", isoBox("hdlr")))), mdat(10)),
		"mp4 index exceeds box":    join(isom, moov(0, track.box()), isoBox("sidx", make([]byte, 20), be16(0), be16(math.MaxUint16)), mdat(900_000)),
		"mp4 no version":           join(isom, isoBox("moov", isoBox("mvhd")), mdat(10)),
		"webm two headers":         join(ebmlHeader("webm"), ebmlHeader("webm"), make([]byte, 50)),
		"webm bad id":              join(ebmlHeader("webm"), ebml(0x18538067, make([]byte, 50))),
		"webm bad size":            join(ebmlHeader("webm"), ebml(0x18538067, join([]byte{0xec, 0}, make([]byte, 50)))),
		"webm child exceeds":       join(ebmlHeader("webm"), ebml(0x18538067, ebml(0x1654ae6b, []byte{0xae, 0x9f, 0x83})), make([]byte, 99)),
		"webm long integer":        join(ebmlHeader("webm"), ebml(0x18538067, ebml(0x1549a966, ebml(0x2ad7b1, make([]byte, 9))), make([]byte, 99))),
		"webm odd number":          join(ebmlHeader("webm"), ebml(0x18538067, ebml(0x1549a966, ebml(0x4489, make([]byte, 5))), make([]byte, 99))),
		"webm without tracks":      join(ebmlHeader("webm"), ebml(0x18538067, mkvInfo(1_000_000, 1))),
		"webm without video":       join(ebmlHeader("webm"), ebml(0x18538067, mkvInfo(1_000_000, 1), mkvTracks(mkvAudio()))),
		"webm huge size":           join(ebmlHeader("webm"), ebml(0x18538067, mkvInfo(1_000_000, 1), mkvTracks(mkvVideo(math.MaxUint64, math.MaxUint64)))),
		"avi without headers":      list("RIFF", "AVI ", list("LIST", "movi", make([]byte, 50))),
		"avi without video":        aviFile(aviStream("auds", 9, 9, 1, 8000, 80_000)),
		"avi chunk exceeds list":   list("RIFF", "AVI ", list("LIST", "hdrl", []byte("avih"), le32(300)), chunk("JUNK", make([]byte, 5000))),
		"webp bad frame":           list("RIFF", "WEBP", chunk("VP8L", make([]byte, 20))),
		"webp bad canvas":          list("RIFF", "WEBP", chunk("VP8X", make([]byte, 9))),
		"png no size":              join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", make([]byte, 13)), pngChunk("IEND", nil)),
		"png bad checksum":         func() []byte { f := pngFile(t, 9, 9); f[20] ^= 1; return f }(),
		"jpeg bad header":          join([]byte{0xff, 0xd8}, jpegSegment(0xc0, []byte{8, 0, 9, 0, 9, 3, 1, 0x11, 0, 1, 0x11, 0, 3, 0x11, 0}), make([]byte, 99)),
		"gif no size":              join([]byte("GIF89a"), make([]byte, 7), []byte{0x3b}),
		"avif without size":        heifFile("avif"),
	} {
		got, err := media.Probe(bytes.NewReader(file))
		if !errors.Is(err, media.ErrFormat) {
			t.Errorf("%s: %+v, %v; want ErrFormat", name, got, err)
		}
		if got.Type == media.Other {
			t.Errorf("%s is not recognised", name)
		}
	}
}

// TestProbeDurations: no stated duration overflows, and none that makes no sense is believed.
func TestProbeDurations(t *testing.T) {
	webm := func(scale uint64, duration float64) []byte {
		return join(ebmlHeader("webm"), ebml(0x18538067, mkvInfo(scale, duration), mkvTracks(mkvVideo(9, 9))))
	}
	movie := func(timescale uint32, units uint64) []byte {
		track := videoTrack(9, 9)
		track.timescale = 0
		return join(ftyp("isom"), isoBox("moov", mvhd(1, timescale, units), track.box()), mdat(1))
	}
	for name, test := range map[string]struct {
		file []byte
		want time.Duration
	}{
		"webm NaN":              {webm(1_000_000, math.NaN()), 0},
		"webm infinite":         {webm(1_000_000, math.Inf(1)), 0},
		"webm negative":         {webm(1_000_000, -5), 0},
		"webm too long":         {webm(math.MaxUint64, 1e300), 0},
		"webm no scale":         {webm(0, 5), 0},
		"webm short":            {webm(1, 1), 1},
		"mp4 no timescale":      {movie(0, 5), 0},
		"mp4 too long":          {movie(1, math.MaxUint64-1), 0},
		"mp4 not known":         {movie(1000, math.MaxUint64), 0},
		"mp4 292 years":         {movie(1, 9_223_372_036), 9_223_372_036 * time.Second},
		"mp4 a little too long": {movie(1, 9_223_372_037), 0},
		"mp4 fractions":         {movie(3, 1), 333_333_333},
	} {
		got, err := media.Probe(bytes.NewReader(test.file))
		if err != nil || got.Duration != test.want {
			t.Errorf("%s: %v, %v; want %v", name, got.Duration, err, test.want)
		}
	}
}

func TestOrientations(t *testing.T) {
	const one = 1 << 16
	for want, m := range map[int][4]int32{
		1: {one, 0, 0, one}, 2: {-one, 0, 0, one}, 3: {-one, 0, 0, -one}, 4: {one, 0, 0, -one},
		5: {0, one, one, 0}, 6: {0, one, -one, 0}, 7: {0, -one, -one, 0}, 8: {0, -one, one, 0},
		0: {one, one, -one, one},
	} {
		track := videoTrack(160, 90)
		track.matrix = [9]int32{m[0], m[1], 0, m[2], m[3], 0, 0, 0, 1 << 30}
		got, err := media.Probe(bytes.NewReader(join(ftyp("isom"), moov(600, track.box()), mdat(1))))
		if err != nil || got.Orientation != want {
			t.Errorf("matrix %v: orientation %d, %v; want %d", m, got.Orientation, err, want)
		}
		width, height := got.DisplaySize()
		if wantSize := map[bool][2]int{false: {160, 90}, true: {90, 160}}[want >= 5]; [2]int{width, height} != wantSize {
			t.Errorf("orientation %d is shown as %d × %d", want, width, height)
		}
	}
}

// faulty is a reader whose disk or connection fails.
type faulty struct {
	*bytes.Reader
	err   error
	after int
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

// TestProbePassesErrorsOn: a connection that breaks says nothing about the file, even if its error looks like an end.
func TestProbePassesErrorsOn(t *testing.T) {
	broken := fmt.Errorf("storage: %w", io.ErrUnexpectedEOF)
	for name, s := range samples(t) {
		for after := range 3 {
			_, err := media.Probe(&faulty{bytes.NewReader(s.file), broken, after})
			if err == nil {
				break // it needed no more reads
			}
			if !errors.Is(err, broken) || errors.Is(err, media.ErrTruncated) || errors.Is(err, media.ErrFormat) {
				t.Errorf("%s, failing after %d reads: %v", name, after, err)
			}
		}
	}
	if _, err := media.Probe(unseekable{}); !errors.Is(err, broken) && err == nil {
		t.Error("a Seek that fails is passed over")
	}
}

type unseekable struct{ io.Reader }

func (unseekable) Seek(int64, int) (int64, error) { return 0, errors.New("no") }

func TestDisplaySize(t *testing.T) {
	for orientation := range 10 {
		p := media.Properties{Width: 4, Height: 3, Orientation: orientation}
		width, height := p.DisplaySize()
		want := image.Pt(4, 3)
		if orientation >= 5 && orientation <= 8 {
			want = image.Pt(3, 4)
		}
		if image.Pt(width, height) != want {
			t.Errorf("orientation %d: %d × %d", orientation, width, height)
		}
	}
}
