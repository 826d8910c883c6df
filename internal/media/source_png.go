package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"
)

// pngParts is a PNG taken apart. Source: W3C PNG (third edition).
type pngParts struct {
	header []byte  // content of IHDR
	colour []chunk // what says how the colours are meant, profile excepted, in the order of the file
	tables []chunk // PLTE and tRNS
	icc    iccProfile
	data   []byte // the contents of all IDAT chunks
}

// chunk is a chunk of a PNG or WebP.
type chunk struct {
	kind    string
	content []byte
}

// colourChunks say how colours are meant, for pixels of any kind.
func colourChunk(kind string) bool {
	switch kind {
	case "gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI":
		return true
	}
	return false
}

// readPNG goes through the chunks and keeps those that matter to the looks of the picture.
func readPNG(file []byte) (*pngParts, error) {
	p := &pngParts{}
	seen := map[string]bool{}
	for at := 8; ; {
		if len(file)-at < 12 {
			return nil, ErrTruncated
		}
		length, kind := int64(binary.BigEndian.Uint32(file[at:])), string(file[at+4:at+8])
		if length > int64(len(file)-at-12) {
			return nil, ErrTruncated
		}
		content := file[at+8 : at+8+int(length)]
		sum := binary.BigEndian.Uint32(file[at+8+int(length):])
		at += 12 + int(length)
		wanted := kind == "IDAT" || kind == "IHDR" || kind == "PLTE" || kind == "tRNS" || kind == "sBIT" || kind == "iCCP" || colourChunk(kind)
		if wanted && sum != chunkSum(kind, content) {
			return nil, malformed("the checksum of a chunk is wrong")
		}
		if wanted && kind != "IDAT" && seen[kind] {
			return nil, malformed("it has the chunk %s twice", kind)
		}
		seen[kind] = true
		switch {
		case kind == "IEND":
			if len(p.header) != 13 || p.data == nil {
				return nil, malformed("it has no picture")
			}
			if p.header[9] == 3 && !seen["PLTE"] {
				return nil, malformed("it has no palette")
			}
			return p, nil
		case kind == "acTL":
			return nil, unfit(nil, "an animated PNG is not taken; send one picture")
		case kind == "IHDR":
			p.header = content
		case kind == "IDAT":
			p.data = append(p.data, content...)
		case kind == "PLTE", kind == "tRNS":
			p.tables = append(p.tables, chunk{kind, content})
		case kind == "iCCP":
			p.icc = p.readProfile(content)
		case wanted:
			p.colour = append(p.colour, chunk{kind, content})
		case kind[0]&0x20 == 0:
			return nil, malformed("it has the unknown critical chunk %q", kind)
		}
	}
}

func chunkSum(kind string, content []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, content)
}

// grey reports whether pixels of a colour type have no colours.
func (p *pngParts) grey() bool { return len(p.header) < 13 || p.header[9]&2 == 0 }

// readProfile unpacks a colour profile, as far as one may be long.
func (p *pngParts) readProfile(content []byte) iccProfile {
	_, packed, found := bytes.Cut(content, []byte{0})
	if !found || len(packed) < 1 || packed[0] != 0 {
		return nil
	}
	r, err := zlib.NewReader(bytes.NewReader(packed[1:]))
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxProfile+1))
	if err != nil {
		return nil
	}
	if p.grey() {
		return checkedProfile(data, iccGray)
	}
	return checkedProfile(data, iccRGB)
}

// memory: upright pictures are checked row by row and never decoded.
func (p *pngParts) memory(props Properties, turned bool) int64 {
	need := 2*int64(len(p.data)) + 1<<20
	if turned {
		perPixel := int64(8)
		if p.header[8] == 16 {
			perPixel = 16
		}
		need += perPixel * int64(props.Width) * int64(props.Height)
	}
	return need
}

// check unpacks all rows. Their sizes follow from the header; more or less than that is no picture.
func (p *pngParts) check() (image.Image, error) {
	packed := bytes.NewReader(p.data) // an io.ByteReader: what is read is what was needed
	r, err := zlib.NewReader(packed)
	if err != nil {
		return nil, pngDataError(err)
	}
	width, height := int64(binary.BigEndian.Uint32(p.header)), int64(binary.BigEndian.Uint32(p.header[4:]))
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[p.header[9]]
	bits := int64(p.header[8]) * channels
	passes := []interlacePass{{0, 0, 1, 1}}
	if p.header[12] == 1 {
		passes = interlacePasses[:]
	}
	var row []byte
	for _, pass := range passes {
		columns, rows := pass.size(width, height)
		if columns <= 0 || rows <= 0 {
			continue
		}
		size := int(1 + (columns*bits+7)/8)
		if cap(row) < size {
			row = make([]byte, size)
		}
		for range rows {
			if _, err := io.ReadFull(r, row[:size]); err != nil {
				return nil, pngDataError(err)
			}
			if row[0] > 4 {
				return nil, malformed("a row has an unknown filter")
			}
		}
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		if n > 0 {
			return nil, malformed("it has more pixels than it says")
		}
		return nil, pngDataError(err)
	}
	p.data = p.data[:len(p.data)-packed.Len()] // what stands behind the picture is none of it
	return nil, nil
}

func pngDataError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("the picture ends early")
	}
	return malformed("%w", err)
}

func (p *pngParts) picture() (image.Image, error) {
	file, _ := p.plain()
	return decodeBytes(file, png.Decode)
}

func (p *pngParts) colours() iccProfile { return p.icc }

// pngPiece is how much of the picture goes into one chunk.
const pngPiece = 1 << 20

func (p *pngParts) plain() ([]byte, bool) {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	writeChunk(&b, "IHDR", p.header)
	p.writeColours(&b, true)
	for _, c := range p.tables {
		writeChunk(&b, c.kind, c.content)
	}
	for from := 0; from < len(p.data); from += pngPiece {
		writeChunk(&b, "IDAT", p.data[from:min(from+pngPiece, len(p.data))])
	}
	writeChunk(&b, "IEND", nil)
	return b.Bytes(), true
}

// writeColours writes what belongs between header and palette. sBIT speaks of the channels as they were.
func (p *pngParts) writeColours(b *bytes.Buffer, same bool) {
	for _, c := range p.colour {
		if same || c.kind != "sBIT" {
			writeChunk(b, c.kind, c.content)
		}
	}
	if p.icc != nil {
		writePNGProfile(b, p.icc)
	}
}

func writePNGProfile(b *bytes.Buffer, profile iccProfile) {
	var content bytes.Buffer
	content.WriteString("ICC profile\x00\x00")
	z := zlib.NewWriter(&content)
	_, _ = z.Write(profile) // into memory
	_ = z.Close()
	writeChunk(b, "iCCP", content.Bytes())
}

func writeChunk(b *bytes.Buffer, kind string, content []byte) {
	_ = binary.Write(b, binary.BigEndian, uint32(len(content))) // into memory
	b.WriteString(kind)
	b.Write(content)
	_ = binary.Write(b, binary.BigEndian, chunkSum(kind, content))
}

// encodePNG encodes a picture without loss, with what the file that it comes from says about its colours.
func encodePNG(img image.Image, from parts) ([]byte, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, err
	}
	const headerEnd = 8 + 12 + 13
	file := b.Bytes()
	var with bytes.Buffer
	with.Write(file[:headerEnd])
	if p, ok := from.(*pngParts); ok {
		if grey := file[8+8+9]&2 == 0; grey != p.grey() {
			p.icc = nil // meant for pixels of the other kind
		}
		p.writeColours(&with, false)
	} else if profile := from.colours(); profile != nil {
		writePNGProfile(&with, profile)
	}
	with.Write(file[headerEnd:])
	return with.Bytes(), nil
}

// interlacePass is one pass over the picture: where it begins and how far apart its pixels are.
type interlacePass struct{ x, y, stepX, stepY int64 }

// interlacePasses are those of Adam7 (W3C PNG, section 8.1).
var interlacePasses = [...]interlacePass{
	{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
}

// size is how many columns and rows of a picture belong to the pass.
func (i interlacePass) size(width, height int64) (columns, rows int64) {
	return (width - i.x + i.stepX - 1) / i.stepX, (height - i.y + i.stepY - 1) / i.stepY
}
