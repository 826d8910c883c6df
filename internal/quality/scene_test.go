package quality_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/quality"
)

// room draws what a property photo is made of: walls in perspective, a window with a bright view, a door, boards on the
// floor, soft shadows and the noise of a sensor. Rooms of different seeds have their things in different places.
func room(seed uint64, w, h int) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 7))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	at := func(from, to float64) float64 { return from + rng.Float64()*(to-from) }
	left, right := at(0.12, 0.3)*float64(w), at(0.68, 0.88)*float64(w)
	top, floor := at(0.1, 0.25)*float64(h), at(0.6, 0.75)*float64(h)
	vx, vy := (left+right)/2, (top+floor)/2
	wall := [3]float64{at(170, 225), at(165, 220), at(150, 215)}
	boards := at(8, 16)
	window := rect{at(left, vx), at(top+10, vy-20), at(0.1, 0.18) * float64(w), at(0.2, 0.3) * float64(h)}
	door := rect{at(vx, right-0.12*float64(w)), floor - at(0.35, 0.45)*float64(h), 0.1 * float64(w), 0}
	door.h = floor - door.y
	picture := rect{at(0.02, 0.08) * float64(w), at(0.3, 0.45) * float64(h), 0.05 * float64(w), 0.12 * float64(h)}
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			c, light := wall, 1.0
			// Which of the five planes: beyond the back wall's edge, along the lines to the vanishing point.
			dx, dy := (fx-vx)/(right-left)*2, 0.0
			if fy > vy {
				dy = (fy - vy) / (floor - vy)
			} else {
				dy = (fy - vy) / (vy - top)
			}
			switch {
			case math.Abs(dx) <= 1 && math.Abs(dy) <= 1:
				light = 0.95
			case dy > math.Abs(dx): // floor
				n := math.Abs(dx/dy)*boards + 40
				c = [3]float64{150, 110, 75}
				light = 0.8 + 0.15*math.Mod(math.Floor(n*2+dx/dy*boards), 2) + 0.1/dy
			case -dy > math.Abs(dx): // ceiling
				c, light = [3]float64{238, 238, 235}, 1
			case dx < 0:
				light = 0.72
			default:
				light = 0.82
			}
			switch {
			case window.holds(fx, fy):
				c, light = [3]float64{235, 243, 250}, 1
				if window.frame(fx, fy, 0.08) || math.Abs(fx-window.x-window.w/2) < window.w*0.04 {
					c = [3]float64{120, 120, 118}
				}
			case door.holds(fx, fy):
				c = [3]float64{110, 75, 50}
				if door.frame(fx, fy, 0.1) {
					c = [3]float64{235, 232, 225}
				}
			case picture.holds(fx, fy):
				c = [3]float64{60, 90, 130}
				if picture.frame(fx, fy, 0.15) {
					c = [3]float64{25, 20, 18}
				}
			}
			light *= 1 - 0.25*math.Hypot(fx/float64(w)-0.5, fy/float64(h)-0.5) // a lens
			n := rng.NormFloat64() * 3
			img.SetRGBA(x, y, color.RGBA{level(c[0]*light + n), level(c[1]*light + n), level(c[2]*light + n), 255})
		}
	}
	return img
}

type rect struct{ x, y, w, h float64 }

func (r rect) holds(x, y float64) bool { return x >= r.x && x < r.x+r.w && y >= r.y && y < r.y+r.h }
func (r rect) frame(x, y, share float64) bool {
	d := share * min(r.w, r.h)
	return r.holds(x, y) && !(rect{r.x + d, r.y + d, r.w - 2*d, r.h - 2*d}).holds(x, y)
}

func level(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

// mapped changes each pixel by itself.
func mapped(img *image.RGBA, f func(r, g, b float64) (float64, float64, float64)) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	for i := 0; i < len(img.Pix); i += 4 {
		r, g, b := f(float64(img.Pix[i]), float64(img.Pix[i+1]), float64(img.Pix[i+2]))
		out.Pix[i], out.Pix[i+1], out.Pix[i+2], out.Pix[i+3] = level(r), level(g), level(b), 255
	}
	return out
}

// restyled gives the walls other colours and the light another mood.
func restyled(img *image.RGBA) *image.RGBA {
	return mapped(img, func(r, g, b float64) (float64, float64, float64) {
		l := math.Pow((0.3*r+0.59*g+0.11*b)/255, 1.3) * 255
		return 0.55*l + 0.3*b + 20, 0.75*l + 0.2*g, 0.6*l + 0.35*r
	})
}

// furnished puts a sofa, a table, a lamp and a rug into the lower half.
func furnished(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	copy(out.Pix, img.Pix)
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	put := func(x, y, bw, bh float64, c color.RGBA) {
		draw.Draw(out, image.Rect(int(x*float64(w)), int(y*float64(h)), int((x+bw)*float64(w)), int((y+bh)*float64(h))), image.NewUniform(c), image.Point{}, draw.Src)
	}
	put(0.2, 0.85, 0.6, 0.13, color.RGBA{190, 170, 150, 255})
	put(0.12, 0.62, 0.34, 0.2, color.RGBA{70, 90, 100, 255})
	put(0.14, 0.56, 0.3, 0.1, color.RGBA{90, 112, 120, 255})
	put(0.55, 0.74, 0.2, 0.04, color.RGBA{120, 80, 40, 255})
	put(0.57, 0.78, 0.02, 0.1, color.RGBA{80, 50, 20, 255})
	put(0.71, 0.78, 0.02, 0.1, color.RGBA{80, 50, 20, 255})
	put(0.9, 0.4, 0.06, 0.08, color.RGBA{250, 240, 210, 255})
	put(0.925, 0.48, 0.01, 0.35, color.RGBA{40, 40, 40, 255})
	return out
}

// even is one colour with the noise of a sensor.
func even(w, h int, noise float64) *image.RGBA {
	rng := rand.New(rand.NewPCG(1, 2))
	return mapped(image.NewRGBA(image.Rect(0, 0, w, h)), func(_, _, _ float64) (float64, float64, float64) {
		n := rng.NormFloat64() * noise
		return 200 + n, 198 + n, 190 + n
	})
}

func noise(w, h int) *image.RGBA {
	rng := rand.New(rand.NewPCG(3, 4))
	return mapped(image.NewRGBA(image.Rect(0, 0, w, h)), func(_, _, _ float64) (float64, float64, float64) {
		v := float64(rng.IntN(256))
		return v, v, v
	})
}

// moved shifts a picture by some pixels, as models do that draw anew.
func moved(img *image.RGBA, dx, dy int) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	draw.Draw(out, out.Bounds(), img, image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, image.Pt(dx, dy), draw.Src)
	return out
}

func jpegFile(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

func opener(content []byte) quality.Opener {
	return func(context.Context) (io.ReadSeekCloser, error) { return file{bytes.NewReader(content)}, nil }
}

func noSource(context.Context, *kinora.Generation) (*quality.Source, error) { return nil, nil }
