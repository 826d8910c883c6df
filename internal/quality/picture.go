package quality

import (
	"container/list"
	"image"
	"image/color"
	"math"
	"math/bits"
	"sync"

	"golang.org/x/image/draw"
)

// longest is the longer side of what is kept of a picture, in pixels.
const longest = 256

// picture is what is kept of an image: small, upright, opaque. It is never changed.
type picture struct {
	rgb *image.RGBA

	once  sync.Once
	edges *edges // of its own size
}

// newPicture shrinks an image, and turns it as its file says (EXIF orientation, 1 to 8; 0 = as it is).
func newPicture(img image.Image, orientation int) *picture {
	return &picture{rgb: turned(scaled(binned(img), longest), orientation)}
}

// binned averages an image over boxes down to about twice the wanted size: the pass that touches every pixel. What is
// transparent lies on white, as most pages would show it.
func binned(img image.Image) *image.RGBA {
	b := img.Bounds()
	step := max(1, max(b.Dx(), b.Dy())/(2*longest))
	w, h := (b.Dx()+step-1)/step, (b.Dy()+step-1)/step
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	at := colours(img)
	sums := make([][4]uint32, w)
	for y := range h {
		clear(sums)
		for sy := b.Min.Y + y*step; sy < min(b.Min.Y+(y+1)*step, b.Max.Y); sy++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				r, g, bl := at(x, sy)
				s := &sums[(x-b.Min.X)/step]
				s[0] += uint32(r)
				s[1] += uint32(g)
				s[2] += uint32(bl)
				s[3]++
			}
		}
		for x, s := range sums {
			out.SetRGBA(x, y, color.RGBA{uint8(s[0] / s[3]), uint8(s[1] / s[3]), uint8(s[2] / s[3]), 255})
		}
	}
	return out
}

// colours returns a function that reads a pixel laid on white; for the usual kinds of images without an allocation each.
func colours(img image.Image) func(x, y int) (r, g, b uint8) {
	switch img := img.(type) {
	case *image.YCbCr:
		return func(x, y int) (uint8, uint8, uint8) {
			c := img.COffset(x, y)
			return color.YCbCrToRGB(img.Y[img.YOffset(x, y)], img.Cb[c], img.Cr[c])
		}
	case *image.NRGBA:
		return func(x, y int) (uint8, uint8, uint8) {
			p := img.Pix[img.PixOffset(x, y):]
			a := uint32(p[3])
			on := func(v uint8) uint8 { return uint8((uint32(v)*a + 255*(255-a) + 127) / 255) }
			return on(p[0]), on(p[1]), on(p[2])
		}
	case *image.RGBA: // multiplied by alpha already
		return func(x, y int) (uint8, uint8, uint8) {
			p := img.Pix[img.PixOffset(x, y):]
			white := 255 - p[3]
			return p[0] + white, p[1] + white, p[2] + white
		}
	case *image.Gray:
		return func(x, y int) (uint8, uint8, uint8) {
			v := img.Pix[img.PixOffset(x, y)]
			return v, v, v
		}
	}
	return func(x, y int) (uint8, uint8, uint8) {
		r, g, b, a := img.At(x, y).RGBA()
		white := 0xffff - a
		return uint8((r + white) >> 8), uint8((g + white) >> 8), uint8((b + white) >> 8)
	}
}

// scaled brings an image to a longer side; smaller ones are enlarged, so that all are measured alike.
func scaled(img *image.RGBA, side int) *image.RGBA {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	scale := float64(side) / float64(max(w, h))
	return resized(img, max(int(math.Round(float64(w)*scale)), 8), max(int(math.Round(float64(h)*scale)), 8))
}

func resized(img *image.RGBA, w, h int) *image.RGBA {
	if img.Bounds().Dx() == w && img.Bounds().Dy() == h {
		return img
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(out, out.Bounds(), img, img.Bounds(), draw.Src, nil)
	return out
}

// turned applies an EXIF orientation (Exif 2.32, section 4.6.4).
func turned(img *image.RGBA, orientation int) *image.RGBA {
	if orientation < 2 || orientation > 8 {
		return img
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	outW, outH := w, h
	if orientation >= 5 {
		outW, outH = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, outW, outH))
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			out.SetRGBA(tx, ty, img.RGBAAt(x, y))
		}
	}
	return out
}

// brightness is the luma of a pixel, 0..255.
func brightness(p []uint8) float64 {
	return 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
}

// luma is the brightness of every pixel of an image.
func luma(img *image.RGBA) []float64 {
	out := make([]float64, 0, len(img.Pix)/4)
	for i := 0; i+3 < len(img.Pix); i += 4 {
		out = append(out, brightness(img.Pix[i:i+3]))
	}
	return out
}

// deviation is the standard deviation of brightness as a share of full scale: 0 for one even colour.
func (p *picture) deviation() float64 {
	values := luma(p.rgb)
	sum, squares := 0.0, 0.0
	for _, v := range values {
		sum += v
		squares += v * v
	}
	n := float64(len(values))
	return math.Sqrt(max(squares/n-sum/n*(sum/n), 0)) / 255
}

const (
	// hashMargin is by how much brightness must fall from one cell to the next to count, so that even areas give no
	// random bits.
	hashMargin = 2
	// colourMargin is by how much a cell's mean colour must move in red, green or blue to count, of 255.
	colourMargin = 10
)

// hash is the 64-bit difference hash of a picture: whether it gets darker from each cell of a 9×8 grid to the next.
func (p *picture) hash() (h uint64) {
	cells := luma(resized(p.rgb, 9, 8))
	for y := range 8 {
		for x := range 8 {
			h <<= 1
			if cells[9*y+x] > cells[9*y+x+1]+hashMargin {
				h |= 1
			}
		}
	}
	return h
}

// differs says by how much two pictures look different, 0..64: the bits that their hashes differ in, or the cells of an 8×8
// grid whose mean colour is another, whichever are more. A picture that is only coloured anew has the same hash.
func (p *picture) differs(other *picture) int {
	a, b := resized(p.rgb, 8, 8), resized(other.rgb, 8, 8)
	moved := 0
	for i := 0; i < len(a.Pix); i += 4 {
		for c := range 3 {
			if d := int(a.Pix[i+c]) - int(b.Pix[i+c]); d > colourMargin || d < -colourMargin {
				moved++
				break
			}
		}
	}
	return max(moved, bits.OnesCount64(p.hash()^other.hash()))
}

// recent keeps the pictures of the latest sources: the candidates of one generation are judged one after the other.
type recent struct {
	mu     sync.Mutex
	byKey  map[string]*list.Element
	latest *list.List // of kept
}

type kept struct {
	key     string
	picture *picture
}

// maxRecent bounds the memory of the pictures kept: about 300 KB each with their edges.
const maxRecent = 64

func newRecent() *recent { return &recent{byKey: map[string]*list.Element{}, latest: list.New()} }

func (r *recent) get(key string) *picture {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.byKey[key]
	if !ok || key == "" {
		return nil
	}
	r.latest.MoveToFront(e)
	return e.Value.(kept).picture
}

func (r *recent) put(key string, p *picture) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.byKey[key]; ok || key == "" {
		return
	}
	r.byKey[key] = r.latest.PushFront(kept{key, p})
	if r.latest.Len() > maxRecent {
		oldest := r.latest.Back()
		delete(r.byKey, r.latest.Remove(oldest).(kept).key)
	}
}
