// Package render draws the pictures and clips that the sandbox upstream
// "generates": procedural scenes with the prompt written on them, so that a
// newcomer sees at a glance that the picture on the screen is the one that was
// asked for.
//
// Drawing is deterministic: one Scene always gives the same bytes on one
// processor architecture, so nothing has to be stored. Which jobs exist, and
// how long one takes, is not this package's duty.
package render

import (
	"fmt"
	"hash/fnv"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// Limits of a Scene.
const (
	MinSide = 64   // pixels, of an image
	MaxSide = 4096 // pixels, of an image

	MinVideoSide = 128  // pixels
	MaxVideoSide = 1920 // pixels
	MinSeconds   = 1    // of a clip
	MaxSeconds   = 15   // of a clip
)

// Scene is everything a picture depends on.
type Scene struct {
	Prompt string
	Model  string
	Seed   int64
	// Index and Count tell which of how many pictures of one job this is; Index
	// starts at 0. Pictures of one job differ.
	Index, Count int
	// References are the source images of the job as the caller named them: their
	// text makes another picture.
	References []string
	// Reference is the first of them, where it could be had: a still picture is a
	// restyled version of it. nil = the scene is drawn from the prompt alone.
	Reference image.Image
	// Order asks for another picture than that.
	Order Order
	// Width and Height in pixels. Clips need even sides.
	Width, Height int
}

// Format is an image file format.
type Format string

const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
)

// Renderer draws scenes. It holds the typefaces only, and is safe for
// concurrent use.
type Renderer struct {
	regular, bold *opentype.Font
}

// New returns a Renderer. It fails only if the built-in typefaces are damaged.
func New() (*Renderer, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("render: regular typeface: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("render: bold typeface: %w", err)
	}
	return &Renderer{regular: regular, bold: bold}, nil
}

// Image writes the scene as a still picture. It holds four bytes a pixel while
// it runs, beside the reference.
func (r *Renderer) Image(w io.Writer, s Scene, f Format) error {
	if err := checkSides(s); err != nil {
		return err
	}
	img, err := r.still(s)
	if err != nil {
		return err
	}
	switch f {
	case PNG:
		// Smooth gradients shrink little more at higher levels, which cost
		// several times the processor time.
		enc := png.Encoder{CompressionLevel: png.BestSpeed}
		return enc.Encode(w, img)
	case JPEG:
		return jpeg.Encode(w, img, &jpeg.Options{Quality: 90})
	}
	return fmt.Errorf("render: unknown image format %q", f)
}

// random returns a source that depends on all that makes two pictures differ
// and on nothing else.
func (s Scene) random() *rand.Rand {
	h := fnv.New64a()
	references := s.References
	if s.Reference != nil {
		references = nil // a signed URL is another one each time
	}
	fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d\x00%dx%d\x00%q", s.Model, s.Prompt, s.Seed, s.Index, s.Width, s.Height, references)
	a := h.Sum64()
	h.Write([]byte{1})
	return rand.New(rand.NewPCG(a, h.Sum64()))
}

// paint draws the scene without its caption onto the top left of img, and
// returns the canvas for those who add to it.
func paint(img *image.RGBA, s Scene) *canvas {
	rng := s.random()
	c := &canvas{
		img: img, w: s.Width, h: s.Height, rng: rng,
		side:  float64(min(s.Width, s.Height)),
		noise: noise{seed: rng.Uint32()},
	}
	c.palette = choosePalette(s.Prompt, rng)
	compositions := []func(*canvas){(*canvas).landscape, (*canvas).spheres, (*canvas).ribbons, (*canvas).tiles}
	kind := rng.IntN(len(compositions))
	if hint, ok := composition(s.Prompt); ok {
		kind = hint
	}
	compositions[kind](c)
	return c
}
