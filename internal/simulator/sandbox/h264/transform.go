package h264

// block is a 4x4 block of samples or coefficients, row by row.
type block [16]int32

// forward is the integer transform of the encoder: the transpose pair of the
// inverse in 8.5.12.2, without the scaling, which quantisation does.
func (b *block) forward() {
	for i := 0; i < 16; i += 4 {
		s, t := b[i]+b[i+3], b[i+1]+b[i+2]
		d, e := b[i]-b[i+3], b[i+1]-b[i+2]
		b[i], b[i+1], b[i+2], b[i+3] = s+t, 2*d+e, s-t, d-2*e
	}
	for i := range 4 {
		s, t := b[i]+b[i+12], b[i+4]+b[i+8]
		d, e := b[i]-b[i+12], b[i+4]-b[i+8]
		b[i], b[i+4], b[i+8], b[i+12] = s+t, 2*d+e, s-t, d-2*e
	}
}

// inverse is the decoder's transform of scaled coefficients (8.5.12.2); it must
// be exact to the bit, or encoder and decoder drift apart.
func (b *block) inverse() {
	for i := 0; i < 16; i += 4 {
		e0, e1 := b[i]+b[i+2], b[i]-b[i+2]
		e2, e3 := b[i+1]>>1-b[i+3], b[i+1]+b[i+3]>>1
		b[i], b[i+1], b[i+2], b[i+3] = e0+e3, e1+e2, e1-e2, e0-e3
	}
	for i := range 4 {
		e0, e1 := b[i]+b[i+8], b[i]-b[i+8]
		e2, e3 := b[i+4]>>1-b[i+12], b[i+4]+b[i+12]>>1
		b[i] = (e0 + e3 + 32) >> 6
		b[i+4] = (e1 + e2 + 32) >> 6
		b[i+8] = (e1 - e2 + 32) >> 6
		b[i+12] = (e0 - e3 + 32) >> 6
	}
}

// hadamard is the transform of the sixteen luma DC coefficients (8.5.10). It is
// its own inverse but for a factor.
func (b *block) hadamard() {
	for i := 0; i < 16; i += 4 {
		s, t := b[i]+b[i+3], b[i+1]+b[i+2]
		d, e := b[i]-b[i+3], b[i+1]-b[i+2]
		b[i], b[i+1], b[i+2], b[i+3] = s+t, d+e, s-t, d-e
	}
	for i := range 4 {
		s, t := b[i]+b[i+12], b[i+4]+b[i+8]
		d, e := b[i]-b[i+12], b[i+4]-b[i+8]
		b[i], b[i+4], b[i+8], b[i+12] = s+t, d+e, s-t, d-e
	}
}

// hadamard2 is the transform of four chroma DC coefficients (8.5.11.1).
func hadamard2(c *[4]int32) {
	a, b, d, e := c[0]+c[1], c[0]-c[1], c[2]+c[3], c[2]-c[3]
	c[0], c[1], c[2], c[3] = a+d, b+e, a-d, b-e
}

// The three position classes of a 4x4 block: both coordinates even, both odd,
// and mixed. normAdjust is Table v of 8.5.9; multiplier is 2^21 over its
// product with the norms of the forward transform, 16, 25 and 20 quarters.
var (
	positionClass = [16]int{0, 2, 0, 2, 2, 1, 2, 1, 0, 2, 0, 2, 2, 1, 2, 1}
	normAdjust    = [6][3]int32{{10, 16, 13}, {11, 18, 14}, {13, 20, 16}, {14, 23, 18}, {16, 25, 20}, {18, 29, 23}}
	multiplier    = [6][3]int32{
		{13107, 5243, 8066}, {11916, 4660, 7490}, {10082, 4194, 6554},
		{9362, 3647, 5825}, {8192, 3355, 5243}, {7282, 2893, 4559},
	}
)

// quantiser scales coefficients for one QP. The rounding offset is a third of a
// step, the usual choice for intra blocks.
type quantiser struct {
	shift   uint // 15 + QP/6
	div     uint // QP/6
	mul     [16]int64
	scale   [16]int32
	rounded int64
}

func newQuantiser(qp int) quantiser {
	q := quantiser{shift: uint(15 + qp/6), div: uint(qp / 6)}
	for i, class := range positionClass {
		q.mul[i] = int64(multiplier[qp%6][class])
		q.scale[i] = normAdjust[qp%6][class]
	}
	q.rounded = int64(1) << q.shift / 3
	return q
}

func quantise(v int32, mul, rounded int64, shift uint) int32 {
	if v < 0 {
		return -int32((int64(-v)*mul + rounded) >> shift)
	}
	return int32((int64(v)*mul + rounded) >> shift)
}

// ac replaces the fifteen AC coefficients by levels and says whether any is
// not zero.
func (q *quantiser) ac(b *block) (any bool) {
	for i := 1; i < 16; i++ {
		b[i] = quantise(b[i], q.mul[i], q.rounded, q.shift)
		any = any || b[i] != 0
	}
	return any
}

// dc quantises a coefficient of a second, Hadamard transform, whose gain is one
// bit more.
func (q *quantiser) dc(v int32) int32 {
	return quantise(v, q.mul[0], 2*q.rounded, q.shift+1)
}

// scaleAC turns levels back into coefficients (8.5.12.1).
func (q *quantiser) scaleAC(b *block) {
	for i := 1; i < 16; i++ {
		b[i] = b[i] * q.scale[i] << q.div
	}
}

// scaleLumaDC scales an inverse-transformed luma DC level (8.5.10); the case of
// a QP under 12, which rounds, does not occur here.
func (q *quantiser) scaleLumaDC(v int32) int32 {
	return v * q.scale[0] << (q.div - 2)
}

// scaleChromaDC scales an inverse-transformed chroma DC level (8.5.11.2).
func (q *quantiser) scaleChromaDC(v int32) int32 {
	return v * q.scale[0] << q.div >> 1
}

// chromaQP is Table 8-15 for a chroma offset of zero.
func chromaQP(qp int) int {
	if qp < 30 {
		return qp
	}
	return int([...]int8{29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39}[qp-30])
}
