package media

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
)

// SourceLimits bounds the images that are taken as sources.
type SourceLimits struct {
	// MinSide and MaxSide bound width and height, in pixels as a viewer shows them.
	MinSide, MaxSide int
	// MaxMemory is the most that decoding one image may take, in bytes.
	MaxMemory int64
}

// Unfit says why a file is not taken as a source image.
type Unfit struct {
	Message string // fit for the caller
	Err     error  // what a decoder said; nil = nothing more to say
}

func (u *Unfit) Error() string {
	if u.Err == nil {
		return u.Message
	}
	return u.Message + ": " + u.Err.Error()
}

// Unwrap returns what a decoder said.
func (u *Unfit) Unwrap() error { return u.Err }

func unfit(err error, format string, args ...any) *Unfit {
	return &Unfit{Message: fmt.Sprintf(format, args...), Err: err}
}

// Source is an image that may become a source asset: its headers are in order, its pixels have not been looked at. It
// is for one use.
type Source struct {
	file   []byte
	before Properties // as it came
	parts  parts
}

// parts is what a format's reader has found: the file without what is not wanted.
type parts interface {
	// memory is about how much decoding takes, in bytes; turned says that the picture is turned too.
	memory(p Properties, turned bool) int64
	// check makes sure that the pixels are all there, and returns them where it had to decode them; else nil.
	check() (image.Image, error)
	// picture returns the pixels, for turning.
	picture() (image.Image, error)
	// plain writes the file anew: the same compressed pixels, and of the rest only what they need to look right. ok is
	// false where the pixels cannot stay as they are.
	plain() (file []byte, ok bool)
	// colours is the profile that the pixels are meant by; nil = none is given.
	colours() iccProfile
}

// CheckType refuses with an *Unfit a file whose beginning, HeadSize bytes of it, is of no type that is taken.
func (l SourceLimits) CheckType(head []byte) error {
	switch t := Detect(head); t {
	case PNG, JPEG, WebP:
		return nil
	default:
		return unfit(nil, "%s is not taken; send JPEG, PNG or WebP", formatName(t, head))
	}
}

// Check looks at the headers of a file and refuses with an *Unfit what can be told from them: a type that is not taken, a
// size outside the limits. Any other error is the reader's own. It is cheap, and what it passes may still turn out to
// be broken.
func (l SourceLimits) Check(r io.ReadSeeker) (Properties, error) {
	w, err := newWindow(r)
	if err != nil {
		return Properties{}, fmt.Errorf("media: %w", err)
	}
	head, err := w.head()
	if err != nil {
		return Properties{}, fmt.Errorf("media: %w", err)
	}
	if err := l.CheckType(head); err != nil {
		return Properties{}, err
	}
	p, err := probe(w)
	switch {
	case errors.Is(err, ErrFormat), errors.Is(err, ErrTruncated), errors.Is(err, ErrUnsupported):
		return p, broken(p.Type, err)
	case err != nil:
		return p, fmt.Errorf("media: %w", err)
	}
	return p, l.checkSize(p)
}

func (l SourceLimits) checkSize(p Properties) error {
	width, height := p.DisplaySize()
	switch {
	case min(width, height) < l.MinSide:
		return unfit(nil, "the image is %d × %d pixels; each side needs at least %d", width, height, l.MinSide)
	case max(width, height) > l.MaxSide:
		return unfit(nil, "the image is %d × %d pixels; each side may have at most %d", width, height, l.MaxSide)
	}
	return nil
}

// broken puts a decoder's complaint into words for the caller.
func broken(t Type, err error) *Unfit {
	var known *Unfit
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, ErrTruncated):
		return unfit(err, "the %s file is cut off", shortName(t))
	case errors.Is(err, ErrUnsupported):
		return unfit(err, "this variant of %s is not taken; save it as a plain JPEG or PNG", shortName(t))
	}
	return unfit(err, "the %s file is damaged", shortName(t))
}

// OpenSource takes a whole file, which must not change any more, and looks at its headers. Errors are of type *Unfit.
func (l SourceLimits) OpenSource(file []byte) (*Source, error) {
	p, err := l.Check(bytes.NewReader(file))
	if err != nil {
		return nil, broken(p.Type, err)
	}
	s := &Source{file: file, before: p}
	switch p.Type {
	case PNG:
		s.parts, err = readPNG(file)
	case JPEG:
		s.parts, err = readJPEG(file)
	case WebP:
		s.parts, err = readWebP(file)
	}
	if err != nil {
		return nil, broken(p.Type, err)
	}
	if need := s.Memory(); need > l.MaxMemory {
		return nil, unfit(nil, "the image of %d × %d pixels takes too much memory to check; make it smaller, or save it without progressive coding", p.Width, p.Height)
	}
	return s, nil
}

func (s *Source) turned() bool { return s.before.Orientation > 1 }

// Memory is about how many bytes Normalise will need at once, beside the file itself.
func (s *Source) Memory() int64 {
	return s.parts.memory(s.before, s.turned()) + int64(len(s.file))
}

// Normalised is an image as it is kept.
type Normalised struct {
	File          []byte
	Type          Type
	Width, Height int
}

// Normalise makes sure that every pixel is there, turns the picture upright and takes out everything that is not the
// picture: EXIF, XMP, IPTC, comments, thumbnails, further pictures, whatever follows the end. Colour profiles stay,
// because without them colours change.
//
// A picture that is upright keeps its compressed data byte for byte. One that has to be turned is encoded anew: a JPEG
// at quality 95, a PNG without loss, a WebP as one of the two (there is no encoder for it): PNG where it has
// transparency or was without loss, else JPEG. CMYK becomes RGB, because hardly a model reads it.
//
// The same file always gives the same result, and a result is its own. Errors are of type *Unfit.
func (s *Source) Normalise() (Normalised, error) {
	n := Normalised{Type: s.before.Type}
	n.Width, n.Height = s.before.DisplaySize()
	pixels, err := s.parts.check()
	if err != nil {
		return Normalised{}, broken(s.before.Type, err)
	}
	if pixels != nil && pixels.Bounds().Size() != image.Pt(s.before.Width, s.before.Height) {
		return Normalised{}, broken(s.before.Type, ErrFormat)
	}
	if !s.turned() {
		if file, ok := s.parts.plain(); ok {
			n.File = file
			return n, nil
		}
	}
	if pixels == nil {
		if pixels, err = s.parts.picture(); err != nil {
			return Normalised{}, broken(s.before.Type, err)
		}
	}
	pixels = turn(pixels, s.before.Orientation)
	switch {
	case s.before.Type == JPEG, s.before.Type == WebP && isOpaqueLossy(pixels):
		n.Type = JPEG
		n.File, err = encodeJPEG(pixels, s.parts.colours())
	default:
		n.Type = PNG
		n.File, err = encodePNG(pixels, s.parts)
	}
	if err != nil {
		return Normalised{}, broken(s.before.Type, err)
	}
	return n, nil
}

// shortName is what people call a type that is taken.
func shortName(t Type) string {
	switch t {
	case PNG:
		return "PNG"
	case JPEG:
		return "JPEG"
	case WebP:
		return "WebP"
	}
	return "image"
}

// formatName is what people call a file that is not taken.
func formatName(t Type, head []byte) string {
	switch t {
	case GIF:
		return "GIF"
	case HEIC:
		return "HEIC"
	case AVIF:
		return "AVIF"
	case MP4, MOV, WebM, Matroska, AVI:
		return "video (" + t.ContentType() + ")"
	}
	for _, f := range []struct{ magic, name string }{
		{"BM", "BMP"}, {"II*\x00", "TIFF"}, {"MM\x00*", "TIFF"}, {"%PDF-", "PDF"}, {"8BPS", "PSD"}, {"\x00\x00\x01\x00", "ICO"},
		{"\xff\x0a", "JPEG XL"}, {"\x00\x00\x00\x0cJXL ", "JPEG XL"}, {"\x00\x00\x00\x0cjP  ", "JPEG 2000"}, {"\xff\x4f\xff\x51", "JPEG 2000"},
		{"PK\x03\x04", "ZIP"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	if text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"); bytes.HasPrefix(text, []byte("<")) {
		if bytes.Contains(text, []byte("<svg")) {
			return "SVG"
		}
		return "HTML or XML"
	}
	if len(head) == 0 {
		return "an empty file"
	}
	return "a file of this format"
}
