package h264

// predictor fills a prediction for the n x n macroblock at (x, y) of the
// reference.
type predictor struct {
	needLeft, needAbove bool
	fill                func(ref *plane, x, y, n int, left, above bool, out []uint8)
}

// The modes in the standard's numbering: luma of Table 8-4, chroma of Table 8-5.
var (
	lumaModes = []predictor{
		{needAbove: true, fill: fillVertical},
		{needLeft: true, fill: fillHorizontal},
		{fill: fillDC},
		{needLeft: true, needAbove: true, fill: fillPlane},
	}
	chromaModes = []predictor{
		{fill: fillChromaDC},
		{needLeft: true, fill: fillHorizontal},
		{needAbove: true, fill: fillVertical},
		{needLeft: true, needAbove: true, fill: fillPlane},
	}
)

// predict tries the modes that the macroblock's neighbours allow, leaves the
// prediction nearest to the source in out, and returns its index. A slice is a
// whole picture, so a neighbour is there unless the picture's edge is.
func predict(ref *plane, src []byte, stride, mx, my, n int, modes []predictor, out []uint8) (mode int) {
	var buf [256]uint8
	trial := buf[:n*n]
	best := -1
	for i, m := range modes {
		if m.needLeft && mx == 0 || m.needAbove && my == 0 {
			continue
		}
		m.fill(ref, mx*n, my*n, n, mx > 0, my > 0, trial)
		if d := difference(src[my*n*stride+mx*n:], stride, trial, n); best < 0 || d < best {
			best, mode = d, i
			copy(out, trial)
		}
	}
	return mode
}

func difference(src []byte, stride int, pred []uint8, n int) (sum int) {
	for y := range n {
		s, p := src[y*stride:y*stride+n], pred[y*n:y*n+n]
		for x, v := range s {
			d := int(v) - int(p[x])
			if d < 0 {
				d = -d
			}
			sum += d
		}
	}
	return sum
}

func fillVertical(ref *plane, x, y, n int, _, _ bool, out []uint8) {
	row := ref.pix[(y-1)*ref.stride+x:][:n]
	for i := range n {
		copy(out[i*n:], row)
	}
}

func fillHorizontal(ref *plane, x, y, n int, _, _ bool, out []uint8) {
	for i := range n {
		fill(out[i*n:i*n+n], ref.pix[(y+i)*ref.stride+x-1])
	}
}

func fill(s []uint8, v uint8) {
	for i := range s {
		s[i] = v
	}
}

// fillDC is 8.3.3.3: the mean of what neighbours there are.
func fillDC(ref *plane, x, y, n int, left, above bool, out []uint8) {
	fill(out, mean(ref, x, y, x, y, n, left, above))
}

// fillChromaDC is 8.3.4.1 to 8.3.4.3: each 4x4 block has its own mean, and the
// two off the diagonal use only the side they touch, where there is one.
func fillChromaDC(ref *plane, x, y, _ int, left, above bool, out []uint8) {
	for b := range 4 {
		bx, by := b%2*4, b/2*4
		l, a := left, above
		if bx > 0 && by == 0 && above {
			l = false
		}
		if bx == 0 && by > 0 && left {
			a = false
		}
		v := mean(ref, x, y+by, x+bx, y, 4, l, a)
		for i := range 4 {
			fill(out[(by+i)*8+bx:][:4], v)
		}
	}
}

// mean averages the n samples to the left of (lx, ly), going down, and the n
// above (ax, ay), going right, or those of them that there are; 128 without any.
func mean(ref *plane, lx, ly, ax, ay, n int, left, above bool) uint8 {
	sum, count := 0, 0
	if left {
		for i := range n {
			sum += int(ref.pix[(ly+i)*ref.stride+lx-1])
		}
		count += n
	}
	if above {
		for _, v := range ref.pix[(ay-1)*ref.stride+ax:][:n] {
			sum += int(v)
		}
		count += n
	}
	if count == 0 {
		return 128
	}
	return uint8((sum + count/2) / count)
}

// fillPlane is 8.3.3.4 for luma and 8.3.4.4 for chroma: a slope through the
// neighbours.
func fillPlane(ref *plane, x, y, n int, _, _ bool, out []uint8) {
	at := func(dx, dy int) int32 { return int32(ref.pix[(y+dy)*ref.stride+x+dx]) }
	half := n / 2
	var h, v int32
	for i := 1; i <= half; i++ {
		h += int32(i) * (at(half-1+i, -1) - at(half-1-i, -1))
		v += int32(i) * (at(-1, half-1+i) - at(-1, half-1-i))
	}
	var b, c int32
	if n == 16 {
		b, c = (5*h+32)>>6, (5*v+32)>>6
	} else {
		b, c = (34*h+32)>>6, (34*v+32)>>6
	}
	a := 16 * (at(-1, n-1) + at(n-1, -1))
	for j := range n {
		for i := range n {
			out[j*n+i] = clip((a + b*int32(i-half+1) + c*int32(j-half+1) + 16) >> 5)
		}
	}
}
