package h264

import "strings"

// code is one variable-length code word.
type code struct {
	bits uint16
	len  uint8
}

// The parsed tables; never written after they are made.
var (
	coeffToken  = parseTables(coeffTokenWords[:])
	totalZeros  = parseWords(totalZerosWords)
	chromaZeros = parseWords(chromaTotalZerosWords)
	runBefore   = parseWords(runBeforeWords)
)

// chromaDCContext is the nC of chroma DC blocks (9.2.1).
const chromaDCContext = -1

func parseTables(tables []string) (out [][][]code) {
	for _, t := range tables {
		out = append(out, parseWords(t))
	}
	return out
}

func parseWords(table string) (out [][]code) {
	for line := range strings.Lines(table) {
		var row []code
		for word := range strings.FieldsSeq(line) {
			c := code{len: uint8(len(word))}
			for _, bit := range word {
				c.bits = c.bits<<1 | uint16(bit-'0')
			}
			row = append(row, c)
		}
		out = append(out, row)
	}
	return out
}

func (w *bitWriter) code(c code) { w.bits(uint32(c.bits), uint(c.len)) }

// coefficients appends one block of levels, lowest frequency first, as
// residual_block_cavlc (7.3.5.3.2), and returns how many are not zero. nC is the
// context of 9.2.1, or chromaDCContext.
func (w *bitWriter) coefficients(levels []int32, nC int) (total int) {
	var value [16]int32 // non-zero levels, highest frequency first
	var run [16]int     // zeros right before each
	zeros, ones := 0, 0
	last := len(levels) - 1
	for last >= 0 && levels[last] == 0 {
		last--
	}
	for i := last; i >= 0; i-- {
		if levels[i] == 0 {
			run[total-1]++
			zeros++
			continue
		}
		value[total] = levels[i]
		total++
	}
	for ones < min(total, 3) && (value[ones] == 1 || value[ones] == -1) {
		ones++
	}
	w.token(total, ones, nC)
	if total == 0 {
		return 0
	}
	for _, v := range value[:ones] {
		w.flag(v < 0)
	}
	w.levels(value[:total], ones)
	w.runs(run[:total], zeros, len(levels), nC)
	return total
}

// token appends coeff_token (9.2.1).
func (w *bitWriter) token(total, ones, nC int) {
	table := 0
	switch {
	case nC >= 8:
		// The last column is a six-bit code: TotalCoeff-1 and TrailingOnes,
		// with a gap's word for "nothing".
		if total == 0 {
			w.bits(3, 6)
		} else {
			w.bits(uint32(total-1)<<2|uint32(ones), 6)
		}
		return
	case nC >= 4:
		table = 2
	case nC >= 2:
		table = 1
	case nC == chromaDCContext:
		table = 3
	}
	w.code(coeffToken[table][total][ones])
}

// levels appends the levels after the trailing ones (9.2.2).
func (w *bitWriter) levels(value []int32, ones int) {
	suffix := uint(0) // suffixLength
	if len(value) > 10 && ones < 3 {
		suffix = 1
	}
	for i := ones; i < len(value); i++ {
		v, size := value[i], value[i]
		if v < 0 {
			size = -v
		}
		n := uint32(2*size - 2)
		if v < 0 {
			n++
		}
		if i == ones && ones < 3 {
			// It cannot be one: that would have been a trailing one.
			n -= 2
		}
		w.level(n, suffix)
		if suffix == 0 {
			suffix = 1
		}
		if size > 3<<(suffix-1) && suffix < 6 {
			suffix++
		}
	}
}

// level appends level_prefix and level_suffix of one levelCode (9.2.2.1). The
// escape of prefix 15 has room for 4096 codes, which QP 12 and above stay under.
func (w *bitWriter) level(n uint32, suffix uint) {
	switch {
	case suffix == 0 && n < 14:
		w.bits(1, uint(n)+1)
	case suffix == 0 && n < 30:
		w.bits(1, 15)
		w.bits(n-14, 4)
	case suffix == 0:
		w.bits(1, 16)
		w.bits(n-30, 12)
	case n < 15<<suffix:
		w.bits(1, uint(n>>suffix)+1)
		w.bits(n&(1<<suffix-1), suffix)
	default:
		w.bits(1, 16)
		w.bits(n-15<<suffix, 12)
	}
}

// runs appends total_zeros and the run_before of each level but the last
// (9.2.3).
func (w *bitWriter) runs(run []int, zeros, size, nC int) {
	total := len(run)
	if total == size {
		return
	}
	if nC == chromaDCContext {
		w.code(chromaZeros[total-1][zeros])
	} else {
		w.code(totalZeros[total-1][zeros])
	}
	for _, r := range run[:total-1] {
		if zeros == 0 {
			return
		}
		w.code(runBefore[min(zeros, 7)-1][r])
		zeros -= r
	}
}

// coefficientCounts remembers how many levels each 4x4 block of the picture
// has: the context of its neighbours. Blocks that are not coded count zero.
type coefficientCounts struct {
	luma   []uint8
	chroma [2][]uint8
	width  int // of the luma picture, in blocks
}

func newCoefficientCounts(mbw, mbh int) coefficientCounts {
	return coefficientCounts{
		luma:   make([]uint8, mbw*mbh*16),
		chroma: [2][]uint8{make([]uint8, mbw*mbh*4), make([]uint8, mbw*mbh*4)},
		width:  mbw * 4,
	}
}

func (c *coefficientCounts) reset() {
	clear(c.luma)
	clear(c.chroma[0])
	clear(c.chroma[1])
}

func (c *coefficientCounts) lumaContext(mx, my, n int) int {
	return neighbourCount(c.luma, c.width, mx*4+lumaBlock[n][0], my*4+lumaBlock[n][1])
}

func (c *coefficientCounts) setLuma(mx, my, n, total int) {
	c.luma[(my*4+lumaBlock[n][1])*c.width+mx*4+lumaBlock[n][0]] = uint8(total)
}

func (c *coefficientCounts) chromaContext(mx, my, p, n int) int {
	return neighbourCount(c.chroma[p], c.width/2, mx*2+n%2, my*2+n/2)
}

func (c *coefficientCounts) setChroma(mx, my, p, n, total int) {
	c.chroma[p][(my*2+n/2)*c.width/2+mx*2+n%2] = uint8(total)
}

// neighbourCount is nC of 9.2.1: the rounded mean of the counts to the left and above,
// or the one there is.
func neighbourCount(counts []uint8, width, x, y int) int {
	switch {
	case x > 0 && y > 0:
		return (int(counts[y*width+x-1]) + int(counts[(y-1)*width+x]) + 1) >> 1
	case x > 0:
		return int(counts[y*width+x-1])
	case y > 0:
		return int(counts[(y-1)*width+x])
	}
	return 0
}
