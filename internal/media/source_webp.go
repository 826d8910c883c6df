package media

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"

	"golang.org/x/image/webp"
)

// webpParts is a WebP taken apart. Source: RFC 9649, section 2.
type webpParts struct {
	extended []byte // content of VP8X; nil = the simple format
	icc      iccProfile
	alpha    *chunk
	data     *chunk // VP8 or VP8L
}

// The flags of VP8X.
const (
	webpAnimation = 1 << 1
	webpAlpha     = 1 << 4
	webpProfile   = 1 << 5
)

// readWebP goes through the chunks and keeps those of the picture.
func readWebP(file []byte) (*webpParts, error) {
	p := &webpParts{}
	end := len(file)
	if stated := int64(binary.LittleEndian.Uint32(file[4:])); stated > 0 && stated != 0xffffffff {
		end = int(min(8+stated, int64(end)))
	}
	for at := 12; end-at >= 8; {
		kind, length := string(file[at:at+4]), int64(binary.LittleEndian.Uint32(file[at+4:]))
		if length > int64(end-at-8) {
			return nil, ErrTruncated
		}
		content := file[at+8 : at+8+int(length)]
		at += 8 + int(length+length&1)
		switch kind {
		case "VP8X":
			if p.extended != nil || len(content) != 10 || at != 12+8+10 {
				return nil, malformed("its header is not right")
			}
			p.extended = content
		case "ANIM", "ANMF":
			return nil, animatedWebP()
		case "ICCP":
			if p.icc == nil {
				p.icc = checkedProfile(content, iccRGB)
			}
		case "ALPH":
			if p.alpha == nil {
				p.alpha = &chunk{kind, content}
			}
		case "VP8 ", "VP8L":
			p.data = &chunk{kind, content}
		}
		if p.extended != nil && p.extended[0]&webpAnimation != 0 {
			return nil, animatedWebP()
		}
		if p.data != nil {
			if p.data.kind == "VP8L" || p.extended == nil || p.extended[0]&webpAlpha == 0 {
				p.alpha = nil // decoders pass over it, or refuse it
			}
			return p, nil // what follows is none of the picture
		}
	}
	return nil, malformed("it has no picture")
}

func animatedWebP() error { return unfit(nil, "an animated WebP is not taken; send one picture") }

// memory goes by what golang.org/x/image allocates.
func (p *webpParts) memory(props Properties, turned bool) int64 {
	pixels := int64(props.Width+16) * int64(props.Height+16)
	perPixel := int64(2)
	switch {
	case p.data.kind == "VP8L":
		perPixel = 9
	case p.alpha != nil:
		perPixel = 11
	}
	if turned {
		perPixel += 8
	}
	return perPixel * pixels
}

// check keeps nothing: what the decoder returns has colours that only picture makes right.
func (p *webpParts) check() (image.Image, error) {
	_, err := p.decode()
	return nil, err
}

func (p *webpParts) decode() (image.Image, error) {
	file, _ := p.plain()
	return decodeBytes(file, webp.Decode)
}

// picture returns colours as they are meant: a lossy WebP keeps them in the narrow range of BT.601, which the types of
// package image take for the full one (RFC 9649, section 2.5).
func (p *webpParts) picture() (image.Image, error) {
	img, err := p.decode()
	switch img := img.(type) {
	case *image.YCbCr:
		return studioRGB(img, nil, 0), err
	case *image.NYCbCrA:
		return studioRGB(&img.YCbCr, img.A, img.AStride), err
	}
	return img, err
}

// studioRGB converts by ITU-R BT.601 with 16..235 for black to white.
func studioRGB(src *image.YCbCr, alpha []byte, alphaStride int) image.Image {
	size := src.Rect.Size()
	bounds := image.Rect(0, 0, size.X, size.Y)
	straight := image.NewNRGBA(bounds)
	clip := func(v int) uint8 { return uint8(min(max((v+1<<15)>>16, 0), 255)) }
	for y := range size.Y {
		row := straight.Pix[y*straight.Stride:]
		for x := range size.X {
			i, c := src.YOffset(src.Rect.Min.X+x, src.Rect.Min.Y+y), src.COffset(src.Rect.Min.X+x, src.Rect.Min.Y+y)
			luma, cb, cr := 76309*(int(src.Y[i])-16), int(src.Cb[c])-128, int(src.Cr[c])-128
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = clip(luma+104597*cr), clip(luma-25675*cb-53279*cr), clip(luma+132201*cb), 0xff
			if alpha != nil {
				row[4*x+3] = alpha[y*alphaStride+x]
			}
		}
	}
	if alpha != nil {
		return straight
	}
	return &image.RGBA{Pix: straight.Pix, Stride: straight.Stride, Rect: bounds} // opaque: the same bytes
}

// isOpaqueLossy reports whether a picture of a WebP is one that loses nothing worth keeping as a JPEG.
func isOpaqueLossy(img image.Image) bool { return img.ColorModel() == color.RGBAModel }

func (p *webpParts) colours() iccProfile { return p.icc }

func (p *webpParts) plain() ([]byte, bool) {
	var body bytes.Buffer
	if p.icc != nil || p.alpha != nil {
		header := bytes.Clone(p.extended)
		header[0] &= webpAlpha
		if p.icc != nil {
			header[0] |= webpProfile
		}
		header[1], header[2], header[3] = 0, 0, 0 // reserved
		writeRIFF(&body, "VP8X", header)
	}
	if p.icc != nil {
		writeRIFF(&body, "ICCP", p.icc)
	}
	if p.alpha != nil {
		writeRIFF(&body, p.alpha.kind, p.alpha.content)
	}
	writeRIFF(&body, p.data.kind, p.data.content)
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(4+body.Len())) // into memory
	b.WriteString("WEBP")
	b.Write(body.Bytes())
	return b.Bytes(), true
}

func writeRIFF(b *bytes.Buffer, kind string, content []byte) {
	b.WriteString(kind)
	_ = binary.Write(b, binary.LittleEndian, uint32(len(content))) // into memory
	b.Write(content)
	if len(content)%2 == 1 {
		b.WriteByte(0)
	}
}
