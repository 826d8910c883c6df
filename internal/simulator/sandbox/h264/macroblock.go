package h264

import "image"

// plane is one colour plane of the reference picture.
type plane struct {
	pix    []byte
	stride int
}

func newPlane(w, h int) plane { return plane{pix: make([]byte, w*h), stride: w} }

// zigzag is the scan of a 4x4 block (8.5.6): the raster position of each
// coefficient in coding order.
var zigzag = [16]int{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}

// lumaBlock gives the place of the n-th 4x4 luma block, in blocks (6.4.3).
var lumaBlock = [16][2]int{
	{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {3, 0}, {2, 1}, {3, 1},
	{0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 2}, {3, 2}, {2, 3}, {3, 3},
}

// intra16x16 codes one macroblock as Intra_16x16 and updates the reference.
// typeOffset is what the slice type adds to the macroblock type.
func (e *Encoder) intra16x16(w *bitWriter, src *image.YCbCr, mx, my, typeOffset int) {
	var pred [256]uint8
	mode := predict(&e.y, src.Y, src.YStride, mx, my, 16, lumaModes, pred[:])
	var luma [16]block
	dc, anyLuma := e.lumaLevels(src, mx, my, &pred, &luma)

	var cpred [2][64]uint8
	var chroma [2][4]block
	var cdc [2][4]int32
	// Cb and Cr share one mode; Cb decides it, and Cr is predicted alike.
	cmode := predict(&e.cb, src.Cb, src.CStride, mx, my, 8, chromaModes, cpred[0][:])
	predict(&e.cr, src.Cr, src.CStride, mx, my, 8, chromaModes[cmode:cmode+1], cpred[1][:])
	cAC0 := e.chromaLevels(src.Cb, src.CStride, mx, my, &cpred[0], &chroma[0], &cdc[0])
	cAC1 := e.chromaLevels(src.Cr, src.CStride, mx, my, &cpred[1], &chroma[1], &cdc[1])
	coded := 0 // chroma: nothing, DC only, DC and AC
	if cdc != [2][4]int32{} {
		coded = 1
	}
	if cAC0 || cAC1 {
		coded = 2
	}

	mbType := 1 + mode + 4*coded + typeOffset // Table 7-11
	if anyLuma {
		mbType += 12
	}
	w.ue(mbType)
	w.ue(cmode)
	w.se(0) // mb_qp_delta

	var levels [16]int32
	for i, pos := range zigzag {
		levels[i] = dc[pos]
	}
	w.coefficients(levels[:], e.counts.lumaContext(mx, my, 0))
	if anyLuma {
		for n := range luma {
			scan(&luma[n], &levels)
			total := w.coefficients(levels[1:], e.counts.lumaContext(mx, my, n))
			e.counts.setLuma(mx, my, n, total)
		}
	}
	if coded > 0 {
		w.coefficients(cdc[0][:], chromaDCContext)
		w.coefficients(cdc[1][:], chromaDCContext)
	}
	if coded == 2 {
		for p := range chroma {
			for n := range chroma[p] {
				scan(&chroma[p][n], &levels)
				total := w.coefficients(levels[1:], e.counts.chromaContext(mx, my, p, n))
				e.counts.setChroma(mx, my, p, n, total)
			}
		}
	}

	e.rebuildLuma(mx, my, &pred, &luma, &dc, anyLuma)
	e.rebuildChroma(&e.cb, mx, my, &cpred[0], &chroma[0], &cdc[0], coded == 2)
	e.rebuildChroma(&e.cr, mx, my, &cpred[1], &chroma[1], &cdc[1], coded == 2)
}

func scan(b *block, levels *[16]int32) {
	for i, pos := range zigzag {
		levels[i] = b[pos]
	}
}

// lumaLevels transforms and quantises the luma residual. dc is in raster order
// of the blocks; luma[n] is in coding order and its DC place is unused.
func (e *Encoder) lumaLevels(src *image.YCbCr, mx, my int, pred *[256]uint8, luma *[16]block) (dc block, any bool) {
	base := my*16*src.YStride + mx*16
	for n := range luma {
		x, y := lumaBlock[n][0]*4, lumaBlock[n][1]*4
		b := &luma[n]
		residual(b, src.Y[base+y*src.YStride+x:], src.YStride, pred[y*16+x:], 16)
		b.forward()
		dc[y+x/4] = b[0]
		if e.quant.ac(b) {
			any = true
		}
	}
	dc.hadamard()
	for i := range dc {
		// The forward Hadamard transform halves, towards zero.
		dc[i] = e.quant.dc(dc[i] / 2)
	}
	return dc, any
}

func (e *Encoder) chromaLevels(src []byte, stride, mx, my int, pred *[64]uint8, out *[4]block, dc *[4]int32) (any bool) {
	base := my*8*stride + mx*8
	for n := range out {
		x, y := n%2*4, n/2*4
		b := &out[n]
		residual(b, src[base+y*stride+x:], stride, pred[y*8+x:], 8)
		b.forward()
		dc[n] = b[0]
		if e.chroma.ac(b) {
			any = true
		}
	}
	hadamard2(dc)
	for i := range dc {
		dc[i] = e.chroma.dc(dc[i])
	}
	return any
}

func residual(b *block, src []byte, stride int, pred []uint8, predStride int) {
	for y := range 4 {
		s, p := src[y*stride:y*stride+4], pred[y*predStride:y*predStride+4]
		for x := range 4 {
			b[y*4+x] = int32(s[x]) - int32(p[x])
		}
	}
}

func (e *Encoder) rebuildLuma(mx, my int, pred *[256]uint8, luma *[16]block, dc *block, ac bool) {
	dc.hadamard()
	base := my*16*e.y.stride + mx*16
	for n := range luma {
		x, y := lumaBlock[n][0]*4, lumaBlock[n][1]*4
		b := &luma[n]
		if ac {
			e.quant.scaleAC(b)
		} else {
			*b = block{}
		}
		b[0] = e.quant.scaleLumaDC(dc[y+x/4])
		b.inverse()
		addClipped(e.y.pix[base+y*e.y.stride+x:], e.y.stride, pred[y*16+x:], 16, b)
	}
}

func (e *Encoder) rebuildChroma(to *plane, mx, my int, pred *[64]uint8, blocks *[4]block, dc *[4]int32, ac bool) {
	hadamard2(dc)
	base := my*8*to.stride + mx*8
	for n := range blocks {
		x, y := n%2*4, n/2*4
		b := &blocks[n]
		if ac {
			e.chroma.scaleAC(b)
		} else {
			*b = block{}
		}
		b[0] = e.chroma.scaleChromaDC(dc[n])
		b.inverse()
		addClipped(to.pix[base+y*to.stride+x:], to.stride, pred[y*8+x:], 8, b)
	}
}

func addClipped(dst []byte, stride int, pred []uint8, predStride int, b *block) {
	for y := range 4 {
		d, p := dst[y*stride:y*stride+4], pred[y*predStride:y*predStride+4]
		for x := range 4 {
			d[x] = clip(int32(p[x]) + b[y*4+x])
		}
	}
}

func clip(v int32) uint8 {
	return uint8(min(max(v, 0), 255))
}
