// Package media tells what a file is by looking at its content: type, size in pixels, duration. It reads headers only, in
// bounded memory, and takes every byte for hostile.
//
// Not its duty: storing files (package blob), fetching them, or trusting what a sender said about them: a Content-Type
// header or a file name is never consulted.
package media

import (
	"errors"
	"time"
)

// The ways in which a file can be bad. Test for them with errors.Is. An error of the reader itself is passed on instead.
var (
	// ErrFormat: the file begins like one of its type, and goes on as none can.
	ErrFormat = errors.New("malformed file")
	// ErrTruncated: the file ends before its own headers say that it should.
	ErrTruncated = errors.New("truncated file")
	// ErrTooManyPixels: decoding would take more memory than the caller allows.
	ErrTooManyPixels = errors.New("image has too many pixels")
	// ErrUnsupported: the type is recognised, and there is no decoder for it here.
	ErrUnsupported = errors.New("no decoder for this type")
)

// Kind is what a type is to a user.
type Kind string

// The kinds.
const (
	KindImage Kind = "image"
	KindVideo Kind = "video"
	KindOther Kind = "other"
)

// Type is a recognised file type. The zero value is Other.
type Type uint8

// The types. Other is everything else: documents, scripts, HTML and SVG, audio, archives, and files too short to tell.
const (
	Other Type = iota
	PNG
	JPEG
	GIF
	WebP
	AVIF
	HEIC
	MP4
	MOV
	WebM
	Matroska
	AVI
)

// Kind returns KindImage, KindVideo or KindOther.
func (t Type) Kind() Kind {
	switch t {
	case PNG, JPEG, GIF, WebP, AVIF, HEIC:
		return KindImage
	case MP4, MOV, WebM, Matroska, AVI:
		return KindVideo
	}
	return KindOther
}

// ContentType returns the MIME type, "application/octet-stream" for Other.
func (t Type) ContentType() string {
	switch t {
	case PNG:
		return "image/png"
	case JPEG:
		return "image/jpeg"
	case GIF:
		return "image/gif"
	case WebP:
		return "image/webp"
	case AVIF:
		return "image/avif"
	case HEIC:
		return "image/heic"
	case MP4:
		return "video/mp4"
	case MOV:
		return "video/quicktime"
	case WebM:
		return "video/webm"
	case Matroska:
		return "video/x-matroska"
	case AVI:
		return "video/x-msvideo"
	}
	return "application/octet-stream"
}

// Extension returns the file name extension with its dot, ".bin" for Other.
func (t Type) Extension() string {
	switch t {
	case PNG:
		return ".png"
	case JPEG:
		return ".jpg"
	case GIF:
		return ".gif"
	case WebP:
		return ".webp"
	case AVIF:
		return ".avif"
	case HEIC:
		return ".heic"
	case MP4:
		return ".mp4"
	case MOV:
		return ".mov"
	case WebM:
		return ".webm"
	case Matroska:
		return ".mkv"
	case AVI:
		return ".avi"
	}
	return ".bin"
}

// String returns the content type.
func (t Type) String() string { return t.ContentType() }

// Properties is what Probe finds out. Width and height are those of the pixels as stored; a viewer turns them as
// Orientation says, DisplaySize takes that into account.
type Properties struct {
	Type Type
	// Width and Height in stored pixels; 0 where the file did not say. Of several video tracks the largest counts.
	Width, Height int
	// Orientation is 1 to 8 as EXIF defines it (5 to 8 swap width and height), for videos what their rotation amounts to;
	// 0 when the file does not say, which viewers take for 1.
	Orientation int
	// Duration of a video; 0 when the file does not say, as live recordings may not, and for all images.
	Duration time.Duration
}

// DisplaySize returns width and height as a viewer shows them.
func (p Properties) DisplaySize() (width, height int) {
	if p.Orientation >= 5 && p.Orientation <= 8 {
		return p.Height, p.Width
	}
	return p.Width, p.Height
}
