package media_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"slices"
	"testing"
)

// The files of these tests are made here: pictures by the standard library, the rest byte by byte as the formats have it.

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
func le16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func picture(width, height int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.NRGBA{uint8(x * 7), uint8(y * 5), uint8(x ^ y), 255})
		}
	}
	return img
}

func pngFile(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(width, height)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegFile(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(width, height), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gifFile(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, picture(width, height), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngChunk makes one chunk of a PNG.
func pngChunk(kind string, body []byte) []byte {
	return join(be32(uint32(len(body))), []byte(kind), body, be32(crc32.ChecksumIEEE(append([]byte(kind), body...))))
}

// insert puts addition into file at an offset.
func insert(file []byte, at int, addition []byte) []byte {
	return join(file[:at], addition, file[at:])
}

// exifBlock is a TIFF file with some other entry and the orientation.
func exifBlock(order binary.AppendByteOrder, orientation uint16) []byte {
	mark := "II"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM"
	}
	b := order.AppendUint16([]byte(mark), 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x010f, 1}, {0x0112, orientation}} {
		b = order.AppendUint16(b, entry[0])
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, entry[1])
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

func jpegSegment(marker byte, body []byte) []byte {
	return join([]byte{0xff, marker}, be16(uint16(len(body)+2)), body)
}

func jpegWithExif(t testing.TB, exif []byte) []byte {
	t.Helper()
	xmp := jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>"))
	return insert(jpegFile(t, 30, 20), 2, join(xmp, jpegSegment(0xe1, append([]byte("Exif\x00\x00"), exif...))))
}

// chunk makes one chunk of a RIFF file.
func chunk(kind string, parts ...[]byte) []byte {
	body := join(parts...)
	b := join([]byte(kind), le32(uint32(len(body))), body)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func list(kind, form string, parts ...[]byte) []byte {
	return chunk(kind, append([][]byte{[]byte(form)}, parts...)...)
}

// webpLossless is a whole lossless WebP of one colour: no transforms, no colour cache, and five prefix codes of one
// symbol each, so that the pixels take no bits.
func webpLossless(width, height int) []byte {
	return list("RIFF", "WEBP", chunk("VP8L", vp8l(width, height)))
}

func vp8l(width, height int) []byte {
	var w bitWriter
	w.put(uint64(width-1), 14)
	w.put(uint64(height-1), 14)
	w.put(0, 4) // no alpha, version 0
	w.put(0, 3) // no transform, no colour cache, no meta prefix codes
	for _, symbol := range []uint64{200, 100, 50, 255, 0} {
		w.put(1, 1) // simple code
		w.put(0, 1) // one symbol
		w.put(1, 1) // of 8 bits
		w.put(symbol, 8)
	}
	return append([]byte{0x2f}, w.bytes()...)
}

type bitWriter struct {
	bits  uint64
	count int
	out   []byte
}

func (w *bitWriter) put(v uint64, n int) {
	w.bits |= v << w.count
	for w.count += n; w.count >= 8; w.count -= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
	}
}

func (w *bitWriter) bytes() []byte { return append(w.out, byte(w.bits), 0, 0) }

// webpExtended states the canvas in a header of its own, as animations and images with alpha do.
func webpExtended(canvasWidth, canvasHeight int, frames ...[]byte) []byte {
	size := func(v int) []byte { return le32(uint32(v - 1))[:3] }
	header := chunk("VP8X", make([]byte, 4), size(canvasWidth), size(canvasHeight))
	return list("RIFF", "WEBP", append([][]byte{header}, frames...)...)
}

// webpLossy holds the header of a key frame only: enough for its size (RFC 6386, section 9.1).
func webpLossy(width, height int) []byte {
	const partition = 16
	tag := uint32(0)<<0 | 1<<4 | partition<<5 // key frame, shown
	return list("RIFF", "WEBP", chunk("VP8 ",
		[]byte{byte(tag), byte(tag >> 8), byte(tag >> 16), 0x9d, 0x01, 0x2a}, le16(uint16(width)), le16(uint16(height)), make([]byte, partition+20)))
}

func aviStream(kind string, width, height int32, scale, rate, length uint32) []byte {
	header := join([]byte(kind), []byte("H264"), make([]byte, 12), le32(scale), le32(rate), make([]byte, 4), le32(length), make([]byte, 20))
	format := join(le32(40), le32(uint32(width)), le32(uint32(height)), make([]byte, 28))
	return list("LIST", "strl", chunk("strh", header), chunk("strf", format))
}

func aviHeader(perFrame, frames uint32) []byte {
	return chunk("avih", le32(perFrame), make([]byte, 12), le32(frames), make([]byte, 36))
}

func aviFile(streams ...[]byte) []byte {
	return list("RIFF", "AVI ",
		list("LIST", "hdrl", append([][]byte{aviHeader(40_000, 100)}, streams...)...),
		chunk("JUNK", make([]byte, 11)),
		list("LIST", "movi", chunk("00dc", make([]byte, 500))))
}

// unstated leaves the length of a RIFF file open, as one is that was written to a pipe.
func unstated(file []byte) []byte {
	return join(file[:4], le32(math.MaxUint32), file[8:])
}

// isoBox makes one box of an ISO base media file.
func isoBox(kind string, parts ...[]byte) []byte {
	body := join(parts...)
	return join(be32(uint32(8+len(body))), []byte(kind), body)
}

func ftyp(major string, compatible ...string) []byte {
	body := join([]byte(major), be32(512))
	for _, brand := range compatible {
		body = append(body, brand...)
	}
	return isoBox("ftyp", body)
}

// movieTrack says what the parts of a trak box hold.
type movieTrack struct {
	handler       string
	shown, stored [2]int
	matrix        [9]int32
	version       byte
	timescale     uint32
	duration      uint64
}

var (
	upright   = [9]int32{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30}
	clockwise = [9]int32{0, 1 << 16, 0, -1 << 16, 0, 0, 720 << 16, 0, 1 << 30}
)

func videoTrack(width, height int) movieTrack {
	return movieTrack{handler: "vide", shown: [2]int{width, height}, stored: [2]int{width, height}, matrix: upright, timescale: 1000, duration: 5000}
}

func (m movieTrack) box() []byte {
	matrix := []byte{}
	for _, v := range m.matrix {
		matrix = append(matrix, be32(uint32(v))...)
	}
	header := join([]byte{m.version, 0, 0, 7})
	if m.version == 1 {
		header = join(header, be64(0), be64(0), be32(1), be32(0), be64(m.duration))
	} else {
		header = join(header, be32(0), be32(0), be32(1), be32(0), be32(uint32(m.duration)))
	}
	header = join(header, make([]byte, 16), matrix, be32(uint32(m.shown[0])<<16), be32(uint32(m.shown[1])<<16))
	entry := isoBox("avc1", make([]byte, 24), be16(uint16(m.stored[0])), be16(uint16(m.stored[1])), make([]byte, 50))
	if m.handler != "vide" {
		entry = isoBox("mp4a", bytes.Repeat([]byte{0x7f}, 60)) // whatever it holds, it is no picture size
	}
	return isoBox("trak",
		isoBox("tkhd", header),
		isoBox("mdia",
			isoBox("mdhd", timeHeader(m.version, m.timescale, m.duration), make([]byte, 4)),
			isoBox("hdlr", make([]byte, 8), []byte(m.handler), make([]byte, 13)),
			isoBox("minf", isoBox("stbl",
				isoBox("stsd", make([]byte, 4), be32(1), entry),
				isoBox("stts", make([]byte, 5000)))))) // larger than what is read at once
}

func timeHeader(version byte, timescale uint32, duration uint64) []byte {
	if version == 1 {
		return join([]byte{1, 0, 0, 0}, be64(0), be64(0), be32(timescale), be64(duration))
	}
	return join(make([]byte, 4), be32(0), be32(0), be32(timescale), be32(uint32(duration)))
}

func mvhd(version byte, timescale uint32, duration uint64) []byte {
	return isoBox("mvhd", timeHeader(version, timescale, duration), make([]byte, 80))
}

func moov(duration uint64, parts ...[]byte) []byte {
	return isoBox("moov", append([][]byte{mvhd(0, 600, duration)}, parts...)...)
}

func mdat(size int) []byte { return isoBox("mdat", make([]byte, size)) }

func sidx(timescale uint32, durations ...uint32) []byte {
	body := join(make([]byte, 4), be32(1), be32(timescale), be32(0), be32(0), be16(0), be16(uint16(len(durations))))
	for _, d := range durations {
		body = join(body, be32(1000), be32(d), be32(0x90000000))
	}
	return isoBox("sidx", body)
}

func heifFile(major string, properties ...[]byte) []byte {
	return join(ftyp(major, "mif1", major),
		isoBox("meta", make([]byte, 4), isoBox("hdlr", make([]byte, 8), []byte("pict"), make([]byte, 13)),
			isoBox("iprp", isoBox("ipco", properties...), isoBox("ipma", make([]byte, 9)))),
		mdat(100))
}

func ispe(width, height uint32) []byte {
	return isoBox("ispe", make([]byte, 4), be32(width), be32(height))
}

// ebml makes one element; its size takes 8 bytes, as muxers write those that they fill in later.
func ebml(id uint32, parts ...[]byte) []byte {
	body := join(parts...)
	return join(ebmlID(id), be64(1<<56|uint64(len(body))), body)
}

func ebmlID(id uint32) []byte { return bytes.TrimLeft(be32(id), "\x00") }

// ebmlUnknown makes an element of unknown size.
func ebmlUnknown(id uint32, parts ...[]byte) []byte {
	return join(ebmlID(id), []byte{0xff}, join(parts...))
}

func ebmlUint(id uint32, v uint64) []byte { return join(ebmlID(id), []byte{0x88}, be64(v)) }

func ebmlFloat(id uint32, v float64) []byte {
	return join(ebmlID(id), []byte{0x88}, be64(math.Float64bits(v)))
}

func ebmlHeader(docType string) []byte {
	return ebml(0x1a45dfa3, ebmlUint(0x4286, 1), ebml(0x4282, []byte(docType)))
}

func mkvInfo(scale uint64, duration float64) []byte {
	return ebml(0x1549a966, ebmlUint(0x2ad7b1, scale), ebml(0x4d80, []byte("muxer")), ebmlFloat(0x4489, duration))
}

func mkvTracks(entries ...[]byte) []byte { return ebml(0x1654ae6b, entries...) }

func mkvVideo(width, height uint64) []byte {
	return ebml(0xae, ebmlUint(0xd7, 1), ebmlUint(0x83, 1), ebml(0xe0, ebmlUint(0xb0, width), ebmlUint(0xba, height)))
}

func mkvAudio() []byte {
	return ebml(0xae, ebmlUint(0xd7, 2), ebmlUint(0x83, 2), ebml(0xe1, ebmlFloat(0xb5, 48000)))
}

func mkvCluster(size int) []byte { return ebml(0x1f43b675, ebml(0xa3, make([]byte, size))) }

func webmFile(width, height uint64, milliseconds float64) []byte {
	return join(ebmlHeader("webm"), ebml(0x18538067,
		ebml(0x114d9b74, make([]byte, 20)), ebml(0xec, make([]byte, 5000)),
		mkvInfo(1_000_000, milliseconds), mkvTracks(mkvAudio(), mkvVideo(width, height)), mkvCluster(3000)))
}
