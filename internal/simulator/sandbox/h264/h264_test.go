package h264

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/avc"

	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

// testStream is a stream: what was coded, and what a decoder must show.
type testStream struct {
	cfg    Config
	annexB []byte
	codec  string             // its profile and level, in the words of RFC 6381
	units  []browsertest.Unit // annexB, cut where pictures begin
	frames [][]byte           // cropped planar 4:2:0, from the encoder's own reference
}

// encode makes a stream whose pictures hold flat, sloped, noisy and sharp
// parts, so that every prediction mode, run and level form occurs.
func encode(t testing.TB, cfg Config, seed uint64, frames int, texture int) testStream {
	t.Helper()
	e, err := NewEncoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := testStream{cfg: cfg}
	c.add(e.SPS())
	c.add(e.PPS())
	c.codec = fmt.Sprintf("avc1.%X", e.SPS()[1:4])
	sets := len(c.annexB)
	r := rand.New(rand.NewPCG(seed, 7))
	pic := e.NewPicture()
	changed := make([]bool, e.mbw*e.mbh)
	for n := range frames {
		for i := range changed {
			changed[i] = n == 0 || r.IntN(4) == 0
			if changed[i] {
				paint(pic, r, i%e.mbw, i/e.mbw, texture)
			}
		}
		var nal []byte
		if n == 0 || n == 5 {
			nal, err = e.Key(pic)
		} else {
			nal, err = e.Delta(pic, changed)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := int(binary.BigEndian.Uint32(nal)); got != len(nal)-4 {
			t.Fatalf("length prefix %d on a unit of %d bytes", got, len(nal)-4)
		}
		from := len(c.annexB)
		c.add(nal[4:])
		u := browsertest.Unit{Key: n == 0 || n == 5, Data: slices.Clone(c.annexB[from:])}
		if u.Key {
			u.Data = slices.Concat(c.annexB[:sets], u.Data)
		}
		c.units = append(c.units, u)
		c.frames = append(c.frames, e.shown())
	}
	return c
}

func (c *testStream) add(nal []byte) {
	c.annexB = append(append(c.annexB, 0, 0, 0, 1), nal...)
}

// shown is the reference picture as a decoder outputs it.
func (e *Encoder) shown() []byte {
	var out []byte
	cut := func(p plane, w, h int) {
		for y := range h {
			out = append(out, p.pix[y*p.stride:y*p.stride+w]...)
		}
	}
	cut(e.y, e.cfg.Width, e.cfg.Height)
	cut(e.cb, e.cfg.Width/2, e.cfg.Height/2)
	cut(e.cr, e.cfg.Width/2, e.cfg.Height/2)
	return out
}

func paint(p *image.YCbCr, r *rand.Rand, mx, my, texture int) {
	kind := r.IntN(5)
	if texture >= 0 {
		kind = texture
	}
	a, b, c := r.IntN(256), r.IntN(9)-4, r.IntN(9)-4
	at := func(x, y int) uint8 {
		switch kind {
		case 0:
			return uint8(a)
		case 1:
			return clip8(a + b*x + c*y)
		case 2:
			return uint8(r.IntN(256))
		case 3:
			if (x/2+y/3)%2 == 0 {
				return 0
			}
			return 255
		}
		return clip8(a + r.IntN(13) - 6)
	}
	for y := range 16 {
		for x := range 16 {
			p.Y[(my*16+y)*p.YStride+mx*16+x] = at(x, y)
		}
	}
	for y := range 8 {
		for x := range 8 {
			p.Cb[(my*8+y)*p.CStride+mx*8+x] = at(x, y)
			p.Cr[(my*8+y)*p.CStride+mx*8+x] = at(y, x)
		}
	}
}

func clip8(v int) uint8 { return uint8(min(max(v, 0), 255)) }

var streams = []struct {
	name    string
	cfg     Config
	frames  int
	texture int
}{
	{"one macroblock", Config{16, 16, 12, 24}, 3, -1},
	{"cropped", Config{130, 98, 10, 26}, 12, -1},
	{"finest noise", Config{96, 64, 12, 12}, 8, 2},
	{"finest edges", Config{96, 64, 12, 12}, 4, 3},
	{"coarsest", Config{160, 96, 12, 44}, 8, -1},
	{"slopes", Config{320, 192, 12, 20}, 6, 1},
	{"chroma QP table", Config{112, 80, 12, 33}, 6, -1},
	{"frame numbers wrap", Config{32, 32, 12, 30}, 300, -1},
}

// The bytes of each stream were decoded by an independent decoder when they
// were recorded; TestDecodersAgree repeats that with a browser's.
func TestGoldenStreams(t *testing.T) {
	path := filepath.Join("testdata", "streams.golden")
	var got strings.Builder
	for _, s := range streams {
		c := encode(t, s.cfg, 1, s.frames, s.texture)
		sum := sha256.Sum256(c.annexB)
		fmt.Fprintf(&got, "%s: %d bytes %s\n", s.name, len(c.annexB), hex.EncodeToString(sum[:8]))
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("streams changed; check them against a decoder, then run with -update\ngot:\n%swant:\n%s", got.String(), want)
	}
}

// What is shown must be near to what was given, or the quantiser is wrong in a
// way that encoder and decoder share.
func TestFidelity(t *testing.T) {
	for _, tc := range []struct{ qp, worst int }{{12, 6}, {24, 22}, {36, 90}} {
		e, err := NewEncoder(Config{64, 64, 12, tc.qp})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(3, 3))
		pic := e.NewPicture()
		for i := range 16 {
			paint(pic, r, i%4, i/4, -1)
		}
		if _, err := e.Key(pic); err != nil {
			t.Fatal(err)
		}
		worst := 0
		for i, v := range pic.Y {
			worst = max(worst, abs(int(v)-int(e.y.pix[i])))
		}
		if worst > tc.worst {
			t.Errorf("QP %d: a luma sample is off by %d, want at most %d", tc.qp, worst, tc.worst)
		}
	}
}

func abs(v int) int { return max(v, -v) }

func TestUnchangedPictureIsTiny(t *testing.T) {
	e, err := NewEncoder(Config{1280, 720, 12, 26})
	if err != nil {
		t.Fatal(err)
	}
	pic := e.NewPicture()
	if _, err := e.Key(pic); err != nil {
		t.Fatal(err)
	}
	nal, err := e.Delta(pic, make([]bool, e.mbw*e.mbh))
	if err != nil {
		t.Fatal(err)
	}
	if len(nal) > 16 {
		t.Errorf("a picture without changes takes %d bytes", len(nal))
	}
}

// The parameter sets are read back by a library that is not ours.
func TestParameterSets(t *testing.T) {
	for _, tc := range []struct {
		cfg   Config
		level uint32
	}{
		{Config{128, 72, 10, 26}, 10},
		{Config{1280, 720, 12, 26}, 31},
		{Config{1920, 1080, 12, 26}, 40},
		{Config{1080, 1920, 12, 26}, 40},
		{Config{130, 98, 8, 26}, 10},
	} {
		e, err := NewEncoder(tc.cfg)
		if err != nil {
			t.Fatal(err)
		}
		sps, err := avc.ParseSPSNALUnit(e.SPS(), true)
		if err != nil {
			t.Fatal(err)
		}
		if int(sps.Width) != tc.cfg.Width || int(sps.Height) != tc.cfg.Height || sps.Level != tc.level {
			t.Errorf("%+v: read back %dx%d level %d, want level %d", tc.cfg, sps.Width, sps.Height, sps.Level, tc.level)
		}
		if _, err := avc.ParsePPSNALUnit(e.PPS(), map[uint32]*avc.SPS{0: sps}); err != nil {
			t.Errorf("%+v: PPS: %v", tc.cfg, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{15, 16, 12, 26}, "width"},
		{Config{17, 16, 12, 26}, "width"},
		{Config{MaxSide + 2, 16, 12, 26}, "width"},
		{Config{16, 0, 12, 26}, "height"},
		{Config{16, 16, 0, 26}, "frames per second"},
		{Config{16, 16, 12, 11}, "QP"},
		{Config{16, 16, 12, 45}, "QP"},
	} {
		if _, err := NewEncoder(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one about %s", tc.cfg, err, tc.want)
		}
	}
	e, err := NewEncoder(Config{32, 32, 12, 26})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Delta(e.NewPicture(), make([]bool, 4)); err == nil {
		t.Error("a delta picture without a key picture was taken")
	}
	if _, err := e.Key(image.NewYCbCr(image.Rect(0, 0, 32, 32), image.YCbCrSubsampleRatio444)); err == nil {
		t.Error("a 4:4:4 picture was taken")
	}
	if _, err := e.Key(image.NewYCbCr(image.Rect(0, 0, 16, 32), image.YCbCrSubsampleRatio420)); err == nil {
		t.Error("a picture that is too small was taken")
	}
	if _, err := e.Key(e.NewPicture()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Delta(e.NewPicture(), make([]bool, 3)); err == nil {
		t.Error("too few change marks were taken")
	}
}

// A prefix of a code word that is itself a word, or a word used twice, would
// make streams that decode to something else.
func TestCodeTablesArePrefixFree(t *testing.T) {
	columns := map[string][][]code{}
	for i, table := range coeffToken {
		columns[fmt.Sprintf("coeff_token %d", i)] = [][]code{flatten(table)}
	}
	columns["total_zeros"] = totalZeros
	columns["chroma total_zeros"] = chromaZeros
	columns["run_before"] = runBefore
	for name, tables := range columns {
		for _, words := range tables {
			for i, a := range words {
				for j, b := range words {
					if i != j && a.len <= b.len && b.bits>>(b.len-a.len) == a.bits {
						t.Errorf("%s: word %d begins word %d", name, i, j)
					}
				}
			}
		}
	}
}

func flatten(rows [][]code) (out []code) {
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}

func BenchmarkKey720p(b *testing.B) {
	e, err := NewEncoder(Config{1280, 720, 12, 26})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	pic := e.NewPicture()
	for i := range e.mbw * e.mbh {
		paint(pic, r, i%e.mbw, i/e.mbw, -1)
	}
	for b.Loop() {
		if _, err := e.Key(pic); err != nil {
			b.Fatal(err)
		}
	}
}
