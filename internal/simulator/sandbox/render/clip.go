package render

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/kinora/kinora/internal/simulator/sandbox/h264"
)

// FramesPerSecond of every clip: smooth enough for lights that drift, and half
// the work of a film's rate.
const FramesPerSecond = 12

const (
	clipQP = 25
	// keyEvery is the distance between points a player can seek to, in frames.
	keyEvery = 5 * FramesPerSecond
)

// Video writes the scene as a clip of that many whole seconds: the still
// picture with lights that drift over it and a progress bar.
//
// The file is MP4 with H.264 Constrained Baseline video, no sound, and the index
// in front of the media (fast start). That pair is the only one that every
// browser, phone and editor plays, and it can be written without cgo: VP8 and AV1
// would need an arithmetic coder and still leave some players out, and Motion
// JPEG plays in none of the browsers.
//
// It holds the picture, its reference and the coded file, about ten bytes a
// pixel and one file, while it runs.
func (r *Renderer) Video(w io.Writer, s Scene, seconds int) error {
	even := s.Width%2 == 0 && s.Height%2 == 0
	if !even || s.Width < MinVideoSide || s.Width > MaxVideoSide || s.Height < MinVideoSide || s.Height > MaxVideoSide {
		return fmt.Errorf("render: clip of %dx%d: sides must be even and %d..%d", s.Width, s.Height, MinVideoSide, MaxVideoSide)
	}
	if seconds < MinSeconds || seconds > MaxSeconds {
		return fmt.Errorf("render: clip of %d s: must be %d..%d", seconds, MinSeconds, MaxSeconds)
	}
	enc, err := h264.NewEncoder(h264.Config{Width: s.Width, Height: s.Height, FramesPerSecond: FramesPerSecond, QP: clipQP})
	if err != nil {
		return err
	}
	f, err := r.newFilm(s, enc, seconds*FramesPerSecond)
	if err != nil {
		return err
	}
	samples := make([][]byte, f.frames)
	for n := range samples {
		f.advance(n)
		if n%keyEvery == 0 {
			samples[n], err = enc.Key(f.coded)
		} else {
			samples[n], err = enc.Delta(f.coded, f.changed)
		}
		if err != nil {
			return err
		}
	}
	return mux(w, enc, samples)
}

// film is a clip in the making. still never changes; cur is still with the
// moving things of one frame on it; coded is cur in the encoder's form.
type film struct {
	scene   Scene
	frames  int
	still   *image.RGBA
	cur     canvas
	coded   *image.YCbCr
	across  int // macroblocks in a row
	changed []bool
	lights  []light
	accent  rgb
	bar     image.Rectangle   // the whole progress bar
	stage   image.Rectangle   // where lights may be
	drawn   []image.Rectangle // what cur differs in from still
}

// light drifts along a closed curve once or more often during the clip.
type light struct {
	x, y, reachX, reachY   float64
	turnsX, turnsY, px, py float64
	radius                 float64
	colour                 rgb
}

func (r *Renderer) newFilm(s Scene, enc *h264.Encoder, frames int) (*film, error) {
	across, down := enc.Blocks()
	full := image.Rect(0, 0, across*16, down*16)
	f := &film{
		scene: s, frames: frames, across: across, changed: make([]bool, across*down),
		still: image.NewRGBA(full), coded: enc.NewPicture(),
	}
	c := paint(f.still, s)
	area := s.captionArea()
	area.Max.Y -= max(s.Height/60, 4) // room for the progress bar
	if err := r.caption(f.still, s, area); err != nil {
		return nil, err
	}
	f.bar = image.Rect(0, area.Max.Y, s.Width, s.Height)
	draw.Draw(f.still, f.bar, image.NewUniform(color.RGBA{20, 20, 24, 255}), image.Point{}, draw.Src)
	f.stage = image.Rect(0, 0, s.Width, s.captionArea().Min.Y)
	extendEdges(f.still, s.Width, s.Height)

	// Lights and stage go on in the scene's own random sequence and colours.
	f.cur = *c
	f.cur.img = image.NewRGBA(full)
	copy(f.cur.img.Pix, f.still.Pix)
	f.accent = c.palette.accent
	f.addLights()
	return f, nil
}

func (f *film) addLights() {
	c := &f.cur
	w, h := float64(f.stage.Dx()), float64(f.stage.Dy())
	for i := range 7 {
		l := light{
			x: c.between(0.2, 0.8) * w, y: c.between(0.2, 0.85) * h,
			reachX: c.between(0.08, 0.3) * w, reachY: c.between(0.05, 0.3) * h,
			turnsX: float64(1 + c.rng.IntN(2)), turnsY: float64(1 + c.rng.IntN(3)),
			px: c.between(0, 2*math.Pi), py: c.between(0, 2*math.Pi),
			radius: c.side * c.between(0.02, 0.05),
			colour: mix(c.palette.glow, c.palette.accent, c.between(0, 0.6)),
		}
		if i == 0 {
			l.radius = c.side * 0.075
		}
		f.lights = append(f.lights, l)
	}
}

// at is where the light is at a moment of the clip, 0..1.
func (l light) at(t float64) (x, y float64) {
	return l.x + l.reachX*math.Sin(2*math.Pi*l.turnsX*t+l.px), l.y + l.reachY*math.Sin(2*math.Pi*l.turnsY*t+l.py)
}

// advance draws frame n and marks the macroblocks that differ from the frame
// before.
func (f *film) advance(n int) {
	clear(f.changed)
	for _, r := range f.drawn {
		draw.Draw(f.cur.img, r, f.still, r.Min, draw.Src)
		f.mark(r)
	}
	f.drawn = f.drawn[:0]
	t := float64(n) / float64(f.frames)
	for _, l := range f.lights {
		f.draw(l, t)
	}
	f.progress(n)
	if n == 0 {
		f.mark(f.still.Bounds())
	}
	for i, c := range f.changed {
		if c {
			f.encodeColours(i%f.across, i/f.across)
		}
	}
}

// draw adds one light to the stage.
func (f *film) draw(l light, t float64) {
	x, y := l.at(t)
	reach := l.radius * 1.6
	box := image.Rect(int(x-reach)-1, int(y-reach)-1, int(x+reach)+2, int(y+reach)+2).Intersect(f.stage)
	if box.Empty() {
		return
	}
	for py := box.Min.Y; py < box.Max.Y; py++ {
		o := f.cur.img.PixOffset(box.Min.X, py)
		for px := box.Min.X; px < box.Max.X; px++ {
			d := math.Hypot(float64(px)+0.5-x, float64(py)+0.5-y) / l.radius
			if d < 1.6 {
				halo := smooth(1 - d/1.6)
				f.cur.glow(o, l.colour, 0.75*halo*halo)
				f.cur.glow(o, rgb{255, 255, 255}, 0.9*smooth((0.34-d)*6))
			}
			o += 4
		}
	}
	f.drawn = append(f.drawn, box)
	f.mark(box)
}

// progress lets the bar grow; what it has covered stays.
func (f *film) progress(n int) {
	width := f.bar.Dx()
	from, to := width*n/f.frames, width*(n+1)/f.frames
	box := image.Rect(f.bar.Min.X+from, f.bar.Min.Y, f.bar.Min.X+to, f.bar.Max.Y)
	col := color.RGBA{uint8(f.accent.r), uint8(f.accent.g), uint8(f.accent.b), 255}
	draw.Draw(f.cur.img, box, image.NewUniform(col), image.Point{}, draw.Src)
	extendEdges(f.cur.img, f.scene.Width, f.scene.Height)
	f.mark(box)
}

// mark notes the macroblocks that a box touches.
func (f *film) mark(box image.Rectangle) {
	if box.Empty() {
		return
	}
	for y := box.Min.Y / 16; y <= (box.Max.Y-1)/16; y++ {
		for x := box.Min.X / 16; x <= (box.Max.X-1)/16; x++ {
			f.changed[y*f.across+x] = true
		}
	}
}

// extendEdges repeats the last column and row into the padding that the coded
// size has beyond the picture: the cheapest thing to code there.
func extendEdges(img *image.RGBA, w, h int) {
	b := img.Bounds()
	for y := range h {
		row := img.Pix[y*img.Stride : y*img.Stride+b.Dx()*4]
		for x := w; x < b.Dx(); x++ {
			copy(row[x*4:x*4+4], row[(w-1)*4:w*4])
		}
	}
	for y := h; y < b.Dy(); y++ {
		copy(img.Pix[y*img.Stride:(y+1)*img.Stride], img.Pix[(h-1)*img.Stride:h*img.Stride])
	}
}

// encodeColours converts one macroblock to BT.709 with limited range, which is
// what the stream's parameters announce. Weights are in 1/65536.
func (f *film) encodeColours(mx, my int) {
	src, dst := f.cur.img, f.coded
	for y := my * 16; y < my*16+16; y += 2 {
		for x := mx * 16; x < mx*16+16; x += 2 {
			var r, g, b int32
			for i := range 4 {
				px, py := x+i&1, y+i>>1
				p := src.Pix[py*src.Stride+px*4:][:3]
				pr, pg, pb := int32(p[0]), int32(p[1]), int32(p[2])
				dst.Y[py*dst.YStride+px] = uint8((11966*pr + 40254*pg + 4064*pb + 16<<16 + 1<<15) >> 16)
				r, g, b = r+pr, g+pg, b+pb
			}
			o := y/2*dst.CStride + x/2
			dst.Cb[o] = uint8((-6596*r - 22189*g + 28784*b + 512<<16 + 1<<17) >> 18)
			dst.Cr[o] = uint8((28784*r - 26145*g - 2639*b + 512<<16 + 1<<17) >> 18)
		}
	}
}

// mux writes the samples as a fast-start MP4 file with one track in one chunk.
func mux(w io.Writer, enc *h264.Encoder, samples [][]byte) error {
	// A tick is a frame's thousandth, so that players which want finer time
	// than frames have it.
	const timescale, perFrame = FramesPerSecond * 1000, 1000
	ticks := uint64(len(samples)) * perFrame

	seg := mp4.CreateEmptyInit()
	seg.AddEmptyTrack(timescale, "video", "und")
	trak := seg.Moov.Trak
	if err := trak.SetAVCDescriptor("avc1", [][]byte{enc.SPS()}, [][]byte{enc.PPS()}, true); err != nil {
		return fmt.Errorf("render: describe the video track: %w", err)
	}
	moov := seg.Moov
	removeChild(moov, "mvex") // this file has no fragments
	moov.Mvhd.Timescale, moov.Mvhd.Duration = timescale, ticks
	trak.Tkhd.Duration, trak.Mdia.Mdhd.Duration = ticks, ticks
	trak.Mdia.Hdlr.Name = "video"

	stbl := trak.Mdia.Minf.Stbl
	stbl.Stts.SampleCount = []uint32{uint32(len(samples))}
	stbl.Stts.SampleTimeDelta = []uint32{perFrame}
	if err := stbl.Stsc.AddEntry(1, uint32(len(samples)), 1); err != nil {
		return fmt.Errorf("render: sample table: %w", err)
	}
	stbl.Stsz.SampleNumber = uint32(len(samples))
	media := 0
	stss := &mp4.StssBox{}
	for i, s := range samples {
		stbl.Stsz.SampleSize = append(stbl.Stsz.SampleSize, uint32(len(s)))
		if i%keyEvery == 0 {
			stss.SampleNumber = append(stss.SampleNumber, uint32(i+1))
		}
		media += len(s)
	}
	stbl.AddChild(stss)
	stbl.Stco.ChunkOffset = []uint32{0} // set once the size of what precedes is known

	ftyp := mp4.NewFtyp("isom", 512, []string{"isom", "iso2", "avc1", "mp41"})
	const mdatHeader = 8
	stbl.Stco.ChunkOffset[0] = uint32(ftyp.Size() + moov.Size() + mdatHeader)

	var head bytes.Buffer
	if err := ftyp.Encode(&head); err != nil {
		return fmt.Errorf("render: file type box: %w", err)
	}
	if err := moov.Encode(&head); err != nil {
		return fmt.Errorf("render: movie box: %w", err)
	}
	head.Write(binary.BigEndian.AppendUint32(nil, uint32(media+mdatHeader)))
	head.WriteString("mdat")
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for _, s := range samples {
		if _, err := w.Write(s); err != nil {
			return err
		}
	}
	return nil
}

// removeChild drops the boxes of a type from the movie box.
func removeChild(moov *mp4.MoovBox, boxType string) {
	kept := moov.Children[:0]
	for _, c := range moov.Children {
		if c.Type() != boxType {
			kept = append(kept, c)
		}
	}
	moov.Children, moov.Mvex = kept, nil
}
