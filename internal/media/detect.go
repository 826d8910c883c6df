package media

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// HeadSize is how many bytes of a file's beginning Detect wants to see.
const HeadSize = 4096

// Detect tells the type from the beginning of a file, at most HeadSize bytes of it. A signature has to stand at the very
// start, and what follows it has to fit as well: "GIF89a" in front of a script is Other.
func Detect(head []byte) Type {
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")) && continues(head[8:], "\x00\x00\x00\x0dIHDR"):
		return PNG
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")) && (len(head) == 3 || opensJPEG(head[3])):
		return JPEG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return detectGIF(head)
	case bytes.HasPrefix(head, []byte("RIFF")) && len(head) >= 12:
		return detectRIFF(head)
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")):
		return detectEBML(head)
	case len(head) >= 8:
		return detectISO(head)
	}
	return Other
}

// continues reports whether rest starts with want, as far as it goes.
func continues(rest []byte, want string) bool {
	return strings.HasPrefix(want, string(rest[:min(len(rest), len(want))]))
}

// opensJPEG reports whether the second marker of a file may be m: a segment, or fill bytes before one; not the start or
// end of an image, and no restart marker.
func opensJPEG(m byte) bool { return m >= 0xc0 && (m < 0xd0 || m > 0xd9) }

// detectGIF looks at the byte behind the header and the global colour table: it opens a block, or it is no GIF.
func detectGIF(head []byte) Type {
	const headerSize = 13
	if len(head) <= headerSize {
		return GIF
	}
	at := headerSize
	if flags := head[10]; flags&0x80 != 0 {
		at += 3 << (flags&7 + 1)
	}
	if at < len(head) && head[at] != 0x21 && head[at] != 0x2c && head[at] != 0x3b {
		return Other
	}
	return GIF
}

func detectRIFF(head []byte) Type {
	form, first := string(head[8:12]), head[12:]
	switch {
	case form == "WEBP" && (continues(first, "VP8 ") || continues(first, "VP8L") || continues(first, "VP8X")):
		return WebP
	case form == "AVI " && continues(first, "LIST"):
		return AVI
	}
	return Other
}

// detectEBML reads the document type, which is what tells WebM from the rest of Matroska.
func detectEBML(head []byte) Type {
	size, n := vint(head[4:])
	if n == 0 || size == unknownSize || size > uint64(len(head)) {
		return Other
	}
	body := head[4+n:]
	body = body[:min(uint64(len(body)), size)]
	for len(body) > 0 {
		id, idLen := elementID(body)
		if idLen == 0 {
			return Other
		}
		size, n := vint(body[idLen:])
		body = body[idLen+n:]
		if n == 0 || size > uint64(len(body)) {
			return Other
		}
		if id == idDocType {
			switch strings.TrimRight(string(body[:size]), "\x00") {
			case "webm":
				return WebM
			case "matroska":
				return Matroska
			}
			return Other
		}
		body = body[size:]
	}
	return Other
}

// detectISO tells the relatives of the ISO base media file format apart by their brands
// (ISO/IEC 14496-12, section 4.3; the registry of brands is at mp4ra.org).
func detectISO(head []byte) Type {
	size, kind := binary.BigEndian.Uint32(head), string(head[4:8])
	switch kind {
	case "ftyp":
	case "moov", "mdat", "wide", "free", "skip":
		// QuickTime of before the file type box. A text that happens to have such a word at its fifth place has no
		// control character, nor white space, at its first.
		if head[0] < '\t' && (size == 0 || size == 1 || size >= 8) {
			return MOV
		}
		return Other
	default:
		return Other
	}
	const maxFileTypeBox = 2048 // several hundred brands
	if size < 16 || size > maxFileTypeBox || size%4 != 0 || len(head) < 12 {
		return Other
	}
	major := string(head[8:12])
	var compatible []string
	for at := 16; at+4 <= min(int(size), len(head)); at += 4 {
		compatible = append(compatible, string(head[at:at+4]))
	}
	return typeOfBrands(major, compatible)
}

func typeOfBrands(major string, compatible []string) Type {
	if t, known := typeOfBrand(major); known {
		return t
	}
	for _, brand := range compatible {
		if t, known := typeOfBrand(brand); known && t != Other {
			return t
		}
	}
	return Other
}

// typeOfBrand knows brands that settle the type. The structural image brands (mif1, msf1, miaf) do not: the compatible
// brands tell how the image is coded.
func typeOfBrand(brand string) (t Type, known bool) {
	switch brand {
	case "qt  ":
		return MOV, true
	case "avif", "avis":
		return AVIF, true
	case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs":
		return HEIC, true
	case "isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8", "iso9", "mp41", "mp42", "avc1", "hvc1", "av01",
		"M4V ", "M4VH", "M4VP", "MSNV", "dash", "cmfc", "cmf2", "mmp4", "f4v ", "F4V ", "XAVC":
		return MP4, true
	case "M4A ", "M4B ", "M4P ", "F4A ", "F4B ", "crx ", "jp2 ", "jpx ", "jxl ":
		return Other, true // audio, raw photographs, images of other families: whatever they are compatible with
	}
	if strings.HasPrefix(brand, "3g") {
		return Other, true
	}
	return Other, false
}
