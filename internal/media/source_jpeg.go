package media

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
)

const (
	// maxScans is more than any program writes into a progressive JPEG. Each one costs a walk over the whole picture,
	// however few bytes it has.
	maxScans = 100
	// jpegQuality is for pictures that have to be encoded anew: differences are not seen, and files grow little.
	jpegQuality = 95
)

// The markers of a JPEG that matter here. Source: ITU-T T.81, table B.1.
const (
	mSOF0, mSOF15 = 0xc0, 0xcf
	mDHT          = 0xc4
	mJPG          = 0xc8
	mDAC          = 0xcc
	mRST0, mRST7  = 0xd0, 0xd7
	mSOI          = 0xd8
	mEOI          = 0xd9
	mSOS          = 0xda
	mDQT          = 0xdb
	mDRI          = 0xdd
	mAPP0, mAPP15 = 0xe0, 0xef
	mAPP2         = 0xe2
	mAPP14        = 0xee
	mTEM          = 0x01
)

// jpegParts is a JPEG taken apart.
type jpegParts struct {
	jfif, adobe []byte // contents of those segments, cut to what belongs there
	icc         iccChunks
	body        [][]byte // segments and scans as they are, without the end

	scans       int
	components  []byte // sampling factors, horizontal and vertical, of each
	progressive bool
}

// readJPEG goes through the segments. What is no segment that a decoder needs is left out.
func readJPEG(file []byte) (*jpegParts, error) {
	p := &jpegParts{}
	for at := 2; ; {
		// Between segments decoders pass over whatever is no marker: so does this one, and leaves it out.
		for at < len(file) && file[at] != 0xff {
			at++
		}
		for at+1 < len(file) && file[at+1] == 0xff {
			at++
		}
		if at+1 >= len(file) {
			return nil, ErrTruncated
		}
		marker := file[at+1]
		switch {
		case marker == mEOI:
			if p.scans == 0 {
				return nil, malformed("it has no picture")
			}
			return p, nil
		case marker == 0, marker == mTEM, marker >= mRST0 && marker <= mRST7:
			at += 2
			continue
		case marker == mSOI:
			return nil, malformed("it begins twice")
		}
		if at+4 > len(file) {
			return nil, ErrTruncated
		}
		length := int(binary.BigEndian.Uint16(file[at+2:]))
		end := at + 2 + length
		if length < 2 {
			return nil, malformed("a segment without a length")
		}
		if end > len(file) {
			return nil, ErrTruncated
		}
		if err := p.segment(marker, file[at+4:end]); err != nil {
			return nil, err
		}
		if marker == mSOS {
			end = scanEnd(file, end)
		}
		if needed(marker) {
			p.body = append(p.body, file[at:end])
		}
		at = end
	}
}

// needed reports whether decoders need a segment as it is.
func needed(marker byte) bool {
	switch marker {
	case mJPG:
		return false
	case mSOS, mDQT, mDRI:
		return true
	}
	return marker >= mSOF0 && marker <= mSOF15 // and the tables among them
}

// segment notes what a segment says.
func (p *jpegParts) segment(marker byte, content []byte) error {
	switch {
	case marker == mAPP0 && p.jfif == nil && bytes.HasPrefix(content, []byte("JFIF\x00")) && len(content) >= 12:
		p.jfif = append(bytes.Clone(content[:12]), 0, 0) // without its thumbnail
	case marker == mAPP14 && p.adobe == nil && bytes.HasPrefix(content, []byte("Adobe")) && len(content) >= 12:
		p.adobe = content[:12]
	case marker == mAPP2 && bytes.HasPrefix(content, []byte(iccSegment)):
		p.icc.add(content[len(iccSegment):])
	case marker == mSOS:
		if p.scans++; p.scans > maxScans {
			return malformed("more than %d scans", maxScans)
		}
	case marker >= mSOF0 && marker <= mSOF15 && marker != mDHT && marker != mJPG && marker != mDAC:
		if p.components != nil {
			return malformed("more than one picture")
		}
		if len(content) < 6 || len(content) < 6+3*int(content[5]) {
			return ErrTruncated
		}
		p.progressive = marker&3 == 2
		p.components = []byte{}
		for i := range int(content[5]) {
			p.components = append(p.components, content[6+3*i+1])
		}
	}
	return nil
}

// scanEnd is where the compressed data that begins at from ends: at the next marker that is not part of it.
func scanEnd(file []byte, from int) int {
	for at := from; ; {
		i := bytes.IndexByte(file[at:], 0xff)
		if i < 0 || at+i+1 >= len(file) {
			return len(file)
		}
		at += i
		switch next := file[at+1]; {
		case next == 0, next >= mRST0 && next <= mRST7:
			at += 2
		case next == 0xff:
			at++
		default:
			return at
		}
	}
}

// memory goes by what image/jpeg allocates: one byte for each sample, of progressive ones four more until the end.
func (p *jpegParts) memory(props Properties, turned bool) int64 {
	pixels := int64(props.Width+64) * int64(props.Height+64) // whole blocks
	var widest, highest, samples int64 = 1, 1, 0
	for _, c := range p.components {
		widest, highest = max(widest, int64(c>>4)), max(highest, int64(c&15))
	}
	for _, c := range p.components {
		samples += pixels * int64(c>>4) * int64(c&15) / (widest * highest)
	}
	total := samples
	if p.progressive {
		total += 4 * samples
	}
	if len(p.components) > 3 {
		return total + 8*pixels // CMYK, then RGB
	}
	if len(p.components) == 3 && !p.isYCbCr() {
		total += 4 * pixels
	}
	if turned {
		total += 8 * pixels
	}
	return total
}

// isYCbCr is false where image/jpeg may find RGB.
func (p *jpegParts) isYCbCr() bool { return p.jfif != nil || p.adobe == nil || p.adobe[11] != 0 }

func (p *jpegParts) check() (image.Image, error) { return p.picture() }

func (p *jpegParts) picture() (image.Image, error) {
	img, err := decodeBytes(p.write(), jpeg.Decode)
	if err != nil {
		return nil, err
	}
	if cmyk, ok := img.(*image.CMYK); ok {
		return rgbOfCMYK(cmyk), nil
	}
	return img, nil
}

func (p *jpegParts) plain() ([]byte, bool) {
	if len(p.components) > 3 {
		return nil, false
	}
	return p.write(), true
}

func (p *jpegParts) colours() iccProfile {
	switch len(p.components) {
	case 1:
		return p.icc.profile(iccGray)
	case 3:
		return p.icc.profile(iccRGB)
	}
	return nil // a profile for CMYK says nothing about the RGB that it becomes
}

func (p *jpegParts) write() []byte {
	var b bytes.Buffer
	b.Write([]byte{0xff, mSOI})
	if p.jfif != nil {
		writeSegment(&b, mAPP0, p.jfif)
	}
	if p.adobe != nil {
		writeSegment(&b, mAPP14, p.adobe)
	}
	writeJPEGProfile(&b, p.colours())
	for _, part := range p.body {
		b.Write(part)
	}
	b.Write([]byte{0xff, mEOI})
	return b.Bytes()
}

func writeSegment(b *bytes.Buffer, marker byte, content ...[]byte) {
	length := 2
	for _, c := range content {
		length += len(c)
	}
	b.Write([]byte{0xff, marker, byte(length >> 8), byte(length)})
	for _, c := range content {
		b.Write(c)
	}
}

// encodeJPEG encodes a picture with its colour profile.
func encodeJPEG(img image.Image, profile iccProfile) ([]byte, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, err
	}
	if profile == nil {
		return b.Bytes(), nil
	}
	var with bytes.Buffer
	with.Write(b.Bytes()[:2])
	writeJPEGProfile(&with, profile)
	with.Write(b.Bytes()[2:])
	return with.Bytes(), nil
}

// rgbOfCMYK converts by the plain formula, as browsers do that have no colour management.
func rgbOfCMYK(src *image.CMYK) *image.RGBA {
	size := src.Rect.Size()
	dst := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
	for y := range size.Y {
		from, to := src.Pix[y*src.Stride:], dst.Pix[y*dst.Stride:]
		for x := 0; x < 4*size.X; x += 4 {
			to[x], to[x+1], to[x+2] = color.CMYKToRGB(from[x], from[x+1], from[x+2], from[x+3])
			to[x+3] = 0xff
		}
	}
	return dst
}
