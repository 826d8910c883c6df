package render

import (
	"image"
	"math"
	"math/rand/v2"
)

// canvas is a picture in the making.
type canvas struct {
	img     *image.RGBA
	w, h    int
	side    float64 // the shorter side: the unit of sizes
	rng     *rand.Rand
	palette palette
	noise   noise
}

// between returns a random number from lo up to hi.
func (c *canvas) between(lo, hi float64) float64 { return lo + c.rng.Float64()*(hi-lo) }

// chance is true with the given probability.
func (c *canvas) chance(p float64) bool { return c.rng.Float64() < p }

// blend lays colour over the pixel at offset o of img.Pix; alpha is 0..1.
func (c *canvas) blend(o int, col rgb, alpha float64) {
	if alpha <= 0 {
		return
	}
	p := c.img.Pix[o : o+4 : o+4]
	a := float32(min(alpha, 1))
	p[0] = uint8(float32(p[0]) + (col.r-float32(p[0]))*a + 0.5)
	p[1] = uint8(float32(p[1]) + (col.g-float32(p[1]))*a + 0.5)
	p[2] = uint8(float32(p[2]) + (col.b-float32(p[2]))*a + 0.5)
}

// glow adds light to the pixel at offset o.
func (c *canvas) glow(o int, col rgb, amount float64) {
	p := c.img.Pix[o : o+4 : o+4]
	a := float32(amount)
	p[0] = uint8(min(float32(p[0])+(255-float32(p[0]))*col.r/255*a, 255))
	p[1] = uint8(min(float32(p[1])+(255-float32(p[1]))*col.g/255*a, 255))
	p[2] = uint8(min(float32(p[2])+(255-float32(p[2]))*col.b/255*a, 255))
}

// around calls f for the pixels of the box with that centre and half width that
// lie on the canvas, with their distance from the centre.
func (c *canvas) around(cx, cy, half float64, f func(o int, dx, dy float64)) {
	x0, x1 := max(int(cx-half), 0), min(int(cx+half)+1, c.w-1)
	y0, y1 := max(int(cy-half), 0), min(int(cy+half)+1, c.h-1)
	for y := y0; y <= y1; y++ {
		o := c.img.PixOffset(x0, y)
		for x := x0; x <= x1; x++ {
			f(o, float64(x)+0.5-cx, float64(y)+0.5-cy)
			o += 4
		}
	}
}

// meshNodes is how many samples a backdrop takes along the longer side.
const meshNodes = 96

// bayer is a 4x4 ordered dither, in sixteenths: it keeps wide gradients from
// showing steps.
var bayer = [4][4]int32{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}}

// backdrop fills the canvas with a soft picture: f is sampled on a coarse mesh
// (u across, v down, both 0..1) and interpolated, which makes f's cost
// independent of the size.
func (c *canvas) backdrop(f func(u, v float64) rgb) {
	step := max((max(c.w, c.h)+meshNodes-1)/meshNodes, 1)
	nx := c.w/step + 2
	row := func(j int) []rgb {
		out := make([]rgb, nx)
		for i := range out {
			out[i] = f(float64(i*step)/float64(c.w), float64(j*step)/float64(c.h))
		}
		return out
	}
	const one = 1 << 12
	above, below := row(0), row(1)
	left := make([][3]int32, nx)
	for y, j := 0, 0; y < c.h; y++ {
		if y/step != j {
			j++
			above, below = below, row(j+1)
		}
		t := float32(y%step) / float32(step)
		for i := range left {
			a, b := above[i], below[i]
			left[i] = [3]int32{int32((a.r + (b.r-a.r)*t) * one), int32((a.g + (b.g-a.g)*t) * one), int32((a.b + (b.b-a.b)*t) * one)}
		}
		o := c.img.PixOffset(0, y)
		for i, x := 0, 0; x < c.w; i++ {
			v, next := left[i], left[i+1]
			d := [3]int32{(next[0] - v[0]) / int32(step), (next[1] - v[1]) / int32(step), (next[2] - v[2]) / int32(step)}
			for n := 0; n < step && x < c.w; n++ {
				dither := bayer[y&3][x&3] * (one / 16)
				p := c.img.Pix[o : o+4 : o+4]
				p[0] = clampByte((v[0] + dither) >> 12)
				p[1] = clampByte((v[1] + dither) >> 12)
				p[2] = clampByte((v[2] + dither) >> 12)
				p[3] = 255
				v[0] += d[0]
				v[1] += d[1]
				v[2] += d[2]
				o += 4
				x++
			}
		}
	}
}

func clampByte(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// noise is smooth value noise on an integer lattice.
type noise struct{ seed uint32 }

// lattice is a pseudo-random value 0..1 that belongs to a lattice point.
func (n noise) lattice(x, y int) float64 {
	h := n.seed ^ uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return float64(h) / math.MaxUint32
}

// at is the noise at a point, 0..1.
func (n noise) at(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	tx, ty := smooth(x-fx), smooth(y-fy)
	a := n.lattice(ix, iy) + (n.lattice(ix+1, iy)-n.lattice(ix, iy))*tx
	b := n.lattice(ix, iy+1) + (n.lattice(ix+1, iy+1)-n.lattice(ix, iy+1))*tx
	return a + (b-a)*ty
}

// fractal sums octaves of noise, each twice as fine and half as strong; 0..1.
func (n noise) fractal(x, y float64, octaves int) float64 {
	sum, weight, total := 0.0, 1.0, 0.0
	for i := range octaves {
		sum += weight * noise{n.seed + uint32(i)*101}.at(x, y)
		total += weight
		x, y, weight = 2*x, 2*y, weight/2
	}
	return sum / total
}

// smooth is the S curve that has no slope at 0 and 1.
func smooth(t float64) float64 {
	t = min(max(t, 0), 1)
	return t * t * (3 - 2*t)
}
