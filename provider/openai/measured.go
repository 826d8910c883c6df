package openai

import (
	"context"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"

	"github.com/kinora/kinora/provider"
)

// What OpenAI's own models take (contract upstream-openai, section 3.1), in bytes.
const (
	imageBelow = 50 << 20
	maskBelow  = 4 << 20
)

// measured are the sources of a call to one of OpenAI's own models: what is larger than it takes, or a mask of another size
// than its image, is found before anything is sent. A file that is passed on by URL is never opened, and OpenAI judges it.
type measured struct {
	provider.Sources
	mask  string      // its URL; empty = none
	first image.Point // the first image's sides, where its header shows them
	any   bool        // the first image has been opened
}

// Open implements provider.Sources. A call opens its files one after the other, the mask last.
func (m *measured) Open(ctx context.Context, url string) (io.ReadCloser, string, error) {
	file, contentType, err := m.Sources.Open(ctx, url)
	if err != nil {
		return nil, "", err
	}
	if err := m.check(file, url, contentType); err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, contentType, nil
}

func (m *measured) check(file io.ReadCloser, url, contentType string) error {
	seeker, ok := file.(io.ReadSeeker)
	if !ok {
		return nil // it can be read once only
	}
	size, err := seeker.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = seeker.Seek(0, io.SeekStart)
	}
	sides := sidesOf(seeker, contentType)
	if err == nil {
		_, err = seeker.Seek(0, io.SeekStart)
	}
	first := !m.any
	if first {
		m.any, m.first = true, sides
	}
	switch {
	case err != nil:
		return &provider.Error{Class: provider.Unavailable, Message: "could not be read", Err: err}
	case size >= imageBelow:
		return provider.Errorf(provider.Invalid, "must be smaller than 50 MB for this model")
	case url != m.mask:
		return nil
	case size >= maskBelow:
		return provider.Errorf(provider.Invalid, "must be smaller than 4 MB for this model")
	// The sides of a JPEG may be told before it is turned upright.
	case !first && m.first != (image.Point{}) && sides != (image.Point{}) && sides != m.first && sides != image.Pt(m.first.Y, m.first.X):
		return provider.Errorf(provider.Invalid, "must be of the size of the image that it masks, %dx%d", m.first.X, m.first.Y)
	}
	return nil
}

// sidesOf reads an image's header; zero = it cannot be read, which is for OpenAI to say.
func sidesOf(r io.Reader, contentType string) image.Point {
	decode := map[string]func(io.Reader) (image.Config, error){
		"image/png": png.DecodeConfig, "image/jpeg": jpeg.DecodeConfig, "image/webp": webp.DecodeConfig,
	}[contentType]
	if decode == nil {
		return image.Point{}
	}
	c, err := decode(r)
	if err != nil {
		return image.Point{}
	}
	return image.Pt(c.Width, c.Height)
}
