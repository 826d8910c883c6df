// Package h264 is a small H.264 video encoder in pure Go: enough to make a
// short synthetic clip that every browser plays, and no more.
//
// It writes Constrained Baseline streams (ITU-T H.264, profile_idc 66): one
// slice a picture, CAVLC, one reference picture, no deblocking. A key picture
// codes every macroblock as Intra_16x16. A delta picture codes only the
// macroblocks that the caller marks as changed, again as Intra_16x16, and
// skips the rest, which costs next to nothing: the kind of picture it is meant
// for has a still background and a few moving things. There is no motion
// search and no rate control.
//
// Containers are not its duty: it returns NAL units in the four-byte
// length-prefixed form that MP4 samples have.
package h264

import (
	"errors"
	"fmt"
	"image"
)

// MaxSide is the largest width or height, in pixels, that NewEncoder takes.
const MaxSide = 4096

// Config says what an Encoder makes.
type Config struct {
	// Width and Height in pixels; even, 16..MaxSide. Sizes that are no
	// multiple of 16 are coded larger and cropped by the decoder.
	Width, Height int
	// FramesPerSecond is written into the stream's timing information; 1..60.
	FramesPerSecond int
	// QP is the quantiser, 12 (fine, large) .. 44 (coarse, small). It is the
	// same for every macroblock.
	QP int
}

// Encoder turns pictures into NAL units. It holds the reference picture, so
// the pictures of one stream go through one Encoder in order. Not safe for
// concurrent use.
type Encoder struct {
	cfg      Config
	mbw, mbh int // the coded size in macroblocks

	y, cb, cr plane // the reference: what a decoder sees after the last picture
	quant     quantiser
	chroma    quantiser
	counts    coefficientCounts

	frameNum int // of the next delta picture, modulo 256
	idrID    int
	started  bool
	bits     bitWriter
}

// NewEncoder returns an encoder for one stream, or an error that names the
// field outside its limits.
func NewEncoder(cfg Config) (*Encoder, error) {
	switch {
	case cfg.Width%2 != 0 || cfg.Width < 16 || cfg.Width > MaxSide:
		return nil, fmt.Errorf("h264: width %d: must be even and 16..%d", cfg.Width, MaxSide)
	case cfg.Height%2 != 0 || cfg.Height < 16 || cfg.Height > MaxSide:
		return nil, fmt.Errorf("h264: height %d: must be even and 16..%d", cfg.Height, MaxSide)
	case cfg.FramesPerSecond < 1 || cfg.FramesPerSecond > 60:
		return nil, fmt.Errorf("h264: frames per second %d: must be 1..60", cfg.FramesPerSecond)
	case cfg.QP < 12 || cfg.QP > 44:
		// Below 12 a level could exceed what Baseline's CAVLC can express.
		return nil, fmt.Errorf("h264: QP %d: must be 12..44", cfg.QP)
	}
	e := &Encoder{
		cfg:    cfg,
		mbw:    (cfg.Width + 15) / 16,
		mbh:    (cfg.Height + 15) / 16,
		quant:  newQuantiser(cfg.QP),
		chroma: newQuantiser(chromaQP(cfg.QP)),
	}
	if _, ok := e.level(); !ok {
		return nil, fmt.Errorf("h264: %dx%d at %d frames per second exceeds level 5.2", cfg.Width, cfg.Height, cfg.FramesPerSecond)
	}
	e.y = newPlane(e.mbw*16, e.mbh*16)
	e.cb = newPlane(e.mbw*8, e.mbh*8)
	e.cr = newPlane(e.mbw*8, e.mbh*8)
	e.counts = newCoefficientCounts(e.mbw, e.mbh)
	return e, nil
}

// Blocks returns how many macroblocks (16x16 pixels) a picture has across and
// down: the shape of the changed slice that Delta takes.
func (e *Encoder) Blocks() (across, down int) { return e.mbw, e.mbh }

// Key codes a picture that needs no other: the first of a stream, and every
// point a player can seek to.
func (e *Encoder) Key(src *image.YCbCr) ([]byte, error) {
	if err := e.check(src); err != nil {
		return nil, err
	}
	w := &e.bits
	w.reset()
	e.sliceHeader(w, true)
	e.counts.reset()
	for my := range e.mbh {
		for mx := range e.mbw {
			e.intra16x16(w, src, mx, my, 0)
		}
	}
	e.started, e.frameNum = true, 1
	e.idrID ^= 1
	return nalUnit(nalIDR, w.finish()), nil
}

// Delta codes a picture as changes to the one before it. changed has one entry
// a macroblock, row by row; where it is false the picture before is repeated,
// whatever src holds there.
func (e *Encoder) Delta(src *image.YCbCr, changed []bool) ([]byte, error) {
	if err := e.check(src); err != nil {
		return nil, err
	}
	if !e.started {
		return nil, errors.New("h264: a stream must start with a key picture")
	}
	if len(changed) != e.mbw*e.mbh {
		return nil, fmt.Errorf("h264: %d change marks for %d macroblocks", len(changed), e.mbw*e.mbh)
	}
	w := &e.bits
	w.reset()
	e.sliceHeader(w, false)
	e.counts.reset()
	skipped := 0
	for i, c := range changed {
		if !c {
			// P_Skip. Its inferred motion vector is zero because no
			// macroblock of the picture has any other (8.4.1.1).
			skipped++
			continue
		}
		w.ue(skipped)
		skipped = 0
		// In a P slice the intra types follow the five inter types (7.4.5).
		e.intra16x16(w, src, i%e.mbw, i/e.mbw, 5)
	}
	if skipped > 0 {
		w.ue(skipped)
	}
	e.frameNum = (e.frameNum + 1) % maxFrameNum
	return nalUnit(nalNonIDR, w.finish()), nil
}

// check wants 4:2:0 pictures that cover the whole coded size, so that the
// inner loops need no edge cases.
func (e *Encoder) check(src *image.YCbCr) error {
	if src.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return errors.New("h264: picture is not 4:2:0")
	}
	if b := src.Bounds(); b.Min != (image.Point{}) || b.Dx() < e.mbw*16 || b.Dy() < e.mbh*16 {
		return fmt.Errorf("h264: picture is %v, need %dx%d from the origin", b, e.mbw*16, e.mbh*16)
	}
	return nil
}

// NewPicture returns a 4:2:0 picture of the coded size, which is Width and
// Height rounded up to multiples of 16: what Key and Delta take.
func (e *Encoder) NewPicture() *image.YCbCr {
	return image.NewYCbCr(image.Rect(0, 0, e.mbw*16, e.mbh*16), image.YCbCrSubsampleRatio420)
}
