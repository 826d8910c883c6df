package render

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
)

// restyle draws the reference anew at the scene's size, as an image model edits a photo: shapes stay where they are, light
// and colours become others, by the seed. What gets lighter or darker does so everywhere alike, so no edge is lost.
func restyle(img *image.RGBA, s Scene) {
	fit(img, s.Reference)
	rng := s.random()
	chosen := palettes[rng.IntN(len(palettes))].palette
	gamma := 0.65 + 0.2*rng.Float64()
	if rng.IntN(2) == 0 {
		gamma = 1 / gamma
	}
	shadows, lights := even(mix(chosen.deep, chosen.dark, 0.3)), even(mix(chosen.glow, chosen.accent, 0.35))
	var curve [256]float32
	for i := range curve {
		curve[i] = float32(255 * math.Pow(float64(i)/255, gamma))
	}
	for i := 0; i+3 < len(img.Pix); i += 4 {
		p := img.Pix[i : i+3 : i+3]
		old := rgb{curve[p[0]], curve[p[1]], curve[p[2]]}
		l := old.luma()
		tinted := mix(shadows, lights, float64(l)/255).times(l)
		c := mix(old, tinted, 0.75)
		p[0], p[1], p[2] = uint8(min(c.r, 255)), uint8(min(c.g, 255)), uint8(min(c.b, 255))
	}
}

// fit scales an image onto the whole of img, on white where it is transparent.
func fit(img *image.RGBA, from image.Image) {
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	if from.Bounds().Size() == img.Bounds().Size() {
		draw.Draw(img, img.Bounds(), from, from.Bounds().Min, draw.Over)
		return
	}
	xdraw.BiLinear.Scale(img, img.Bounds(), from, from.Bounds(), xdraw.Over, nil)
}

func (c rgb) luma() float32 { return 0.299*c.r + 0.587*c.g + 0.114*c.b }

// times makes a colour of brightness 1 one of brightness l.
func (c rgb) times(l float32) rgb { return rgb{c.r * l, c.g * l, c.b * l} }

// even is a colour's tint alone, at brightness 1, a third of the way to grey.
func even(c rgb) rgb {
	l := max(c.luma(), 1)
	return mix(rgb{c.r / l, c.g / l, c.b / l}, rgb{1, 1, 1}, 0.3)
}

// signature writes the line about the scene at the foot, so that nobody takes the picture for a real one.
func (r *Renderer) signature(img *image.RGBA, s Scene) error {
	f, err := face(r.regular, min(max(float64(min(s.Width, s.Height))*0.02, 7), 40))
	if err != nil {
		return err
	}
	defer f.Close()
	height := lineHeight(f)
	band := image.Rect(0, s.Height-height, s.Width, s.Height)
	draw.Draw(img, band, image.NewUniform(color.RGBA{A: 120}), image.Point{}, draw.Over)
	write(img, f, color.RGBA{220, 220, 220, 255}, height/2, band.Min.Y, clipLine(f, s.notes(), s.Width-height))
	return nil
}

// Order is a picture that a job asked for instead of its own, to see what becomes of it.
type Order string

// The orders. Identical and NoOrder are what they say for scenes with a Reference alone; without one the scene is drawn.
const (
	NoOrder   Order = ""          // the reference restyled, or the scene
	Blank     Order = "blank"     // one colour
	Identical Order = "identical" // the reference as it is
	Unrelated Order = "unrelated" // the scene, whatever the reference shows
	Small     Order = "small"     // an eighth of the size, and at least MinSide
)

// Orders lists all but NoOrder.
func Orders() []Order { return []Order{Blank, Identical, Unrelated, Small} }

// still draws a scene as its order and reference want it.
func (r *Renderer) still(s Scene) (*image.RGBA, error) {
	if s.Order == Small {
		s.Width, s.Height = max(s.Width/8, MinSide), max(s.Height/8, MinSide)
	}
	img := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
	switch {
	case s.Order == Blank:
		draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{232, 230, 226, 255}), image.Point{}, draw.Src)
		return img, nil
	case s.Reference == nil || s.Order == Unrelated:
		paint(img, s)
		return img, r.caption(img, s, s.captionArea())
	case s.Order == Identical:
		fit(img, s.Reference)
		return img, nil
	}
	restyle(img, s)
	return img, r.signature(img, s)
}

// checkSides refuses sizes that are not drawn.
func checkSides(s Scene) error {
	if s.Width < MinSide || s.Width > MaxSide || s.Height < MinSide || s.Height > MaxSide {
		return fmt.Errorf("render: image of %dx%d: sides must be %d..%d", s.Width, s.Height, MinSide, MaxSide)
	}
	return nil
}

// OwnSize is the size of a reference, brought between the sides that are drawn.
func OwnSize(reference image.Image) (w, h int) {
	size := reference.Bounds().Size()
	scale := min(1, MaxSide/float64(max(size.X, size.Y, 1)))
	side := func(pixels int) int { return max(int(math.Round(float64(pixels)*scale)), MinSide) }
	return side(size.X), side(size.Y)
}
