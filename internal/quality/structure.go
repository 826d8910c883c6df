package quality

import (
	"image"
	"math"
	"slices"
)

// Structure is how much of the source's strong edges is found again at the same place and in the same direction.
//
// Both pictures are brought to the source's shape with a longer side of 256 pixels, blurred by 3×3 and differentiated
// (Sobel). An edge is a pixel whose gradient is the largest across its own direction and above a threshold: a share of
// the gradients that the strongest hundredth of the picture has, so that contrast and exposure do not matter. An edge
// counts as found when the other picture has a piece of one there: along most of nine pixels, all at the same distance of
// at most reach, and with directions that differ by less than about 25°. The sign of the gradient does not matter, because
// what was light may have become dark.
//
// A picture full of edges matches anything by chance, though seldom a whole piece. So the share is measured again with the
// other picture moved far away in four ways, and what is then found is taken off: 0 = no more than by chance, 1 = everything.
//
// Measured on drawn interiors (TestStructureTellsARestyleFromAnotherRoom): recoloured and relit 0.99 and more, furnished as
// well 0.88 and more, the same moved by 1 % of its width 0.8; other rooms up to 0.25, noise up to 0.05. Of six hundred pictures
// that have nothing to do with a room of nine straight lines, none had more than 0.46 (TestStructureIsNotMetByChance).
const (
	reach        = 2    // pixels of 256, across an edge
	piece        = 4    // pixels to either side, along it, that have to be found with it
	gaps         = 2    // of those may be missing
	strong       = 0.25 // of the source's gradients, as a share of its strongest
	weak         = 0.10 // of the other picture's: an edge may have become softer
	faintest     = 12.0 // gradients below are noise whatever the picture (of 1020)
	minAlignment = 0.9  // cosine of the largest angle between two directions
	fewestEdges  = 60   // a source with fewer says nothing
)

// edges is a map of edges.
type edges struct {
	w, h   int
	dx, dy []float32 // unit direction of the gradient at an edge; 0,0 elsewhere
	points []int     // indexes of edges
}

// newEdges finds the edges of an image that are at least as strong as a share of its strongest.
func newEdges(img *image.RGBA, share float64) *edges {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	light := blurred(luma(img), w, h)
	gx, gy, size := make([]float64, w*h), make([]float64, w*h), make([]float64, w*h)
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			i := y*w + x
			a, b, c := light[i-w-1], light[i-w], light[i-w+1]
			d, f := light[i-1], light[i+1]
			g, m, n := light[i+w-1], light[i+w], light[i+w+1]
			gx[i] = c + 2*f + n - a - 2*d - g
			gy[i] = g + 2*m + n - a - 2*b - c
			size[i] = math.Hypot(gx[i], gy[i])
		}
	}
	least := max(faintest, share*percentile(size, 0.99))
	e := &edges{w: w, h: h, dx: make([]float32, w*h), dy: make([]float32, w*h)}
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			i := y*w + x
			if size[i] < least {
				continue
			}
			ux, uy := gx[i]/size[i], gy[i]/size[i]
			step := int(math.Round(uy))*w + int(math.Round(ux))
			if size[i] >= size[i+step] && size[i] > size[i-step] {
				e.dx[i], e.dy[i] = float32(ux), float32(uy)
				e.points = append(e.points, i)
			}
		}
	}
	return e
}

func blurred(v []float64, w, h int) []float64 {
	out := slices.Clone(v)
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			sum := 0.0
			for dy := -w; dy <= w; dy += w {
				i := y*w + x + dy
				sum += v[i-1] + v[i] + v[i+1]
			}
			out[y*w+x] = sum / 9
		}
	}
	return out
}

func percentile(values []float64, p float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[int(p*float64(len(sorted)-1))]
}

// foundIn says how much of the picture's structure another one has kept, 0..1; false = it has too little to tell.
func (p *picture) foundIn(other *picture) (share float64, ok bool) {
	p.once.Do(func() { p.edges = newEdges(p.rgb, strong).pieces() })
	mine := p.edges
	if len(mine.points) < fewestEdges {
		return 0, false
	}
	theirs := newEdges(resized(other.rgb, mine.w, mine.h), weak)
	here := mine.share(theirs, 0, 0)
	chance := 0.0
	w, h := mine.w, mine.h
	for _, away := range [4][2]int{{w / 3, h / 4}, {w / 2, h / 2}, {2 * w / 3, h / 3}, {w / 4, 2 * h / 3}} {
		chance += mine.share(theirs, away[0], away[1]) / 4
	}
	if chance >= 1 {
		return 0, true
	}
	return max((here-chance)/(1-chance), 0), true
}

// pieces leaves out the points that are the middle of no piece: what could not be found in the picture itself.
func (e *edges) pieces() *edges {
	e.points = slices.DeleteFunc(e.points, func(i int) bool { return !e.has(i%e.w, i/e.w, e.dx[i], e.dy[i]) })
	return e
}

// share is how many of the edges are found in other moved by (sx, sy), around its borders.
func (e *edges) share(other *edges, sx, sy int) float64 {
	found := 0
	for _, i := range e.points {
		if other.has(i%e.w+sx, i/e.w+sy, e.dx[i], e.dy[i]) {
			found++
		}
	}
	return float64(found) / float64(len(e.points))
}

// has says whether an edge of a picture is found near a point of this one, not farther than reach across its own
// direction: whether there is one along most of the piece of it that the point is the middle of, at one distance. An edge
// that only happens to be near a point, as one of a text or a texture is, goes another way and is none of it.
func (e *edges) has(x, y int, dx, dy float32) bool {
	for off := float32(-reach); off <= reach; off++ {
		missing := 0
		for along := float32(-piece); along <= piece && missing <= gaps; along++ {
			if !e.passes(float32(x)+off*dx-along*dy, float32(y)+off*dy+along*dx, dx, dy) {
				missing++
			}
		}
		if missing <= gaps {
			return true
		}
	}
	return false
}

// passes says whether an edge of about that direction goes through a point, or beside it across the direction.
func (e *edges) passes(x, y, dx, dy float32) bool {
	for off := float32(-1); off <= 1; off++ {
		nx, ny := int(math.Round(float64(x+off*dx))), int(math.Round(float64(y+off*dy)))
		i := (ny+e.h)%e.h*e.w + (nx+e.w)%e.w
		if d := e.dx[i]*dx + e.dy[i]*dy; d > minAlignment || d < -minAlignment {
			return true
		}
	}
	return false
}
