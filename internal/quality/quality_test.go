package quality_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/quality"
)

// judged measures a file against a gate; source may be nil.
func judged(t testing.TB, gate kinora.Gate, content, source []byte, w, h int) kinora.Verdict {
	t.Helper()
	j := quality.New(quality.Config{SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) {
		if source == nil {
			return nil, nil
		}
		return &quality.Source{AssetID: "src_1", Width: w, Height: h, SHA256: "", Open: opener(source)}, nil
	}})
	v, err := j.Judge(t.Context(), generation(gate), &kinora.Output{ID: "out_1", Kind: kinora.KindImage}, opener(content))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func generation(gate kinora.Gate) *kinora.Generation {
	return &kinora.Generation{ID: "job_1", OrganisationID: "org_1", Plan: kinora.Plan{Gate: &gate}}
}

func check(t testing.TB, v kinora.Verdict, name string) kinora.Check {
	t.Helper()
	for _, c := range v.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the verdict has no check %s: %+v", name, v)
	return kinora.Check{}
}

const sceneW, sceneH = 320, 240

func TestStructureTellsARestyleFromAnotherRoom(t *testing.T) {
	gate := kinora.Gate{Structure: 0.4, Changed: 6}
	for seed := range uint64(3) {
		src := room(seed, sceneW, sceneH)
		source := jpegFile(t, src, 92)
		for _, tc := range []struct {
			name        string
			img         image.Image
			least, most float64
			changed     bool
		}{
			{"the same, packed hard", src, 0.9, 1, false},
			{"restyled", restyled(src), 0.95, 1, true},
			{"brighter", mapped(src, func(r, g, b float64) (float64, float64, float64) { return r * 1.12, g * 1.12, b * 1.1 }), 0.95, 1, true},
			{"furnished", furnished(src), 0.8, 1, true},
			{"restyled and furnished", restyled(furnished(src)), 0.8, 1, true},
			{"another room", room(seed+1, sceneW, sceneH), 0, 0.33, true},
			{"yet another, restyled", restyled(room(seed+20, sceneW, sceneH)), 0, 0.33, true},
			{"noise", noise(sceneW, sceneH), 0, 0.33, true},
			{"a wall", even(sceneW, sceneH, 4), 0, 0.1, true},
		} {
			v := judged(t, gate, jpegFile(t, tc.img, 70), source, sceneW, sceneH)
			s, c := check(t, v, quality.CheckStructure), check(t, v, quality.CheckChanged)
			if s.Value < tc.least || s.Value > tc.most || s.Passed != (s.Value >= gate.Structure) {
				t.Errorf("room %d, %s: structure %+v, want %v to %v", seed, tc.name, s, tc.least, tc.most)
			}
			if c.Passed != tc.changed {
				t.Errorf("room %d, %s: changed %+v, want %v", seed, tc.name, c, tc.changed)
			}
			if v.Passed != (s.Passed && c.Passed) || v.Score < 0 || v.Score > 1 {
				t.Errorf("room %d, %s: verdict %+v", seed, tc.name, v)
			}
		}
	}
}

func TestNotBlank(t *testing.T) {
	product := even(sceneW, sceneH, 0)
	for y := 100; y < 200; y++ {
		for x := 150; x < 250; x++ {
			product.SetRGBA(x, y, color.RGBA{60, 40, 90, 255})
		}
	}
	transparent := image.NewNRGBA(image.Rect(0, 0, sceneW, sceneH)) // black everywhere, and nowhere to be seen
	for name, tc := range map[string]struct {
		file []byte
		want bool
	}{
		"a room": {jpegFile(t, room(1, sceneW, sceneH), 80), true}, "a product on white": {jpegFile(t, product, 80), true},
		"one colour": {jpegFile(t, even(sceneW, sceneH, 0), 80), false}, "a noisy wall": {jpegFile(t, even(sceneW, sceneH, 8), 80), false},
		"nothing but transparency": {pngFile(t, transparent), false},
	} {
		v := judged(t, kinora.Gate{NotBlank: true}, tc.file, nil, 0, 0)
		if c := check(t, v, quality.CheckNotBlank); c.Passed != tc.want || v.Passed != tc.want {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func pngFile(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSizeAndAspect(t *testing.T) {
	small := jpegFile(t, room(1, 200, 100), 80)
	source := jpegFile(t, room(1, 400, 300), 80)
	for _, tc := range []struct {
		name  string
		gate  kinora.Gate
		check string
		want  bool
	}{
		{"wide enough", kinora.Gate{MinWidth: 200}, quality.CheckMinWidth, true},
		{"not wide enough", kinora.Gate{MinWidth: 201}, quality.CheckMinWidth, false},
		{"high enough", kinora.Gate{MinHeight: 100}, quality.CheckMinHeight, true},
		{"not high enough", kinora.Gate{MinHeight: 101}, quality.CheckMinHeight, false},
		{"a panorama", kinora.Gate{Aspect: 2}, quality.CheckAspect, true},
		{"no panorama", kinora.Gate{Aspect: 2.1}, quality.CheckAspect, false},
		{"nearly the shape", kinora.Gate{Aspect: 2.1, AspectTolerance: 0.06}, quality.CheckAspect, true},
		{"another shape than the source", kinora.Gate{AspectTolerance: 0.1}, quality.CheckAspect, false},
		{"within a wide tolerance", kinora.Gate{AspectTolerance: 0.6}, quality.CheckAspect, true},
	} {
		v := judged(t, tc.gate, small, source, 400, 300)
		if c := check(t, v, tc.check); c.Passed != tc.want || v.Passed != tc.want {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
}

// TestOrientation: a picture is measured as viewers turn it.
func TestOrientation(t *testing.T) {
	src := room(2, 400, 300)
	turned := image.NewRGBA(image.Rect(0, 0, 300, 400)) // a quarter to the left, as a camera stores it
	for y := range 300 {
		for x := range 400 {
			turned.SetRGBA(y, 399-x, src.RGBAAt(x, y))
		}
	}
	gate := kinora.Gate{Structure: 0.9, AspectTolerance: 0.01}
	v := judged(t, gate, withOrientation(jpegFile(t, turned, 90), 6), jpegFile(t, src, 90), 400, 300)
	if !v.Passed {
		t.Errorf("turned by its own word: %+v", v)
	}
	if v := judged(t, gate, jpegFile(t, turned, 90), jpegFile(t, src, 90), 400, 300); v.Passed {
		t.Errorf("turned without a word: %+v", v)
	}
}

// withOrientation puts an EXIF block behind a JPEG's beginning.
func withOrientation(file []byte, orientation byte) []byte {
	exif := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), orientation, 0, 0, 0, 0, 0, 0)
	out := append([]byte{}, file[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(exif)+2))
	return append(append(out, exif...), file[2:]...)
}

func TestWhatIsNoPicture(t *testing.T) {
	good := jpegFile(t, room(1, sceneW, sceneH), 80)
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("<html>service unavailable</html>"), "cut off": good[:len(good)/2], "a bomb": bomb(20_000, 20_000), "a video": []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"),
	} {
		v := judged(t, kinora.Gate{NotBlank: true, Structure: 0.1}, content, good, sceneW, sceneH)
		if c := check(t, v, quality.CheckDecodes); v.Passed || c.Passed || v.Score != 0 || c.Detail == "" || len(v.Checks) != 1 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// bomb is a PNG that claims to be large.
func bomb(w, h uint32) []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		body := append([]byte(kind), data...)
		out = binary.BigEndian.AppendUint32(append(out, body...), crc32.ChecksumIEEE(body))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	chunk("IHDR", append(head, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	chunk("IEND", nil)
	return out
}

// TestWithoutASource: what compares is skipped and says so; what does not is done.
func TestWithoutASource(t *testing.T) {
	gate := kinora.Gate{NotBlank: true, AspectTolerance: 0.01, Changed: 5, Structure: 0.5}
	v := judged(t, gate, jpegFile(t, room(1, sceneW, sceneH), 80), nil, 0, 0)
	for _, name := range []string{quality.CheckAspect, quality.CheckChanged, quality.CheckStructure} {
		if c := check(t, v, name); !c.Passed || c.Detail != "skipped: there is no source" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if !v.Passed || !check(t, v, quality.CheckNotBlank).Passed {
		t.Errorf("verdict %+v", v)
	}
	// A source that says nothing, and one that cannot be read.
	v = judged(t, gate, jpegFile(t, room(1, sceneW, sceneH), 80), jpegFile(t, even(sceneW, sceneH, 0), 80), sceneW, sceneH)
	if c := check(t, v, quality.CheckStructure); !c.Passed || !strings.Contains(c.Detail, "hardly any edges") {
		t.Errorf("an even source: %+v", c)
	}
	v = judged(t, gate, jpegFile(t, room(1, sceneW, sceneH), 80), []byte("gone bad"), sceneW, sceneH)
	if c := check(t, v, quality.CheckStructure); !c.Passed || !strings.Contains(c.Detail, "cannot be compared") {
		t.Errorf("a source that is no picture: %+v", c)
	}
}

func TestErrorsAreNoVerdict(t *testing.T) {
	away := errors.New("storage is away")
	content := jpegFile(t, room(1, sceneW, sceneH), 80)
	failing := func(context.Context) (io.ReadSeekCloser, error) { return nil, away }
	source := func(open quality.Opener, err error) *quality.Judge {
		return quality.New(quality.Config{SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) {
			return &quality.Source{Width: 4, Height: 3, Open: open}, err
		}})
	}
	gate := kinora.Gate{Structure: 0.5}
	o := &kinora.Output{ID: "out_1", Kind: kinora.KindImage}
	for name, run := range map[string]func() (kinora.Verdict, error){
		"output away": func() (kinora.Verdict, error) {
			return source(opener(content), nil).Judge(t.Context(), generation(gate), o, failing)
		},
		"video away": func() (kinora.Verdict, error) {
			return source(opener(content), nil).Judge(t.Context(), generation(gate), &kinora.Output{Kind: kinora.KindVideo}, failing)
		},
		"source away": func() (kinora.Verdict, error) {
			return source(failing, nil).Judge(t.Context(), generation(gate), o, opener(content))
		},
		"no idea of the source": func() (kinora.Verdict, error) {
			return source(nil, away).Judge(t.Context(), generation(gate), o, opener(content))
		},
	} {
		if v, err := run(); !errors.Is(err, away) || v.Passed {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestScoreOrdersCandidates(t *testing.T) {
	src := room(3, sceneW, sceneH)
	source := jpegFile(t, src, 90)
	gate := kinora.Gate{Structure: 0.3, NotBlank: true, Changed: 4}
	near := judged(t, gate, jpegFile(t, restyled(src), 80), source, sceneW, sceneH)
	far := judged(t, gate, jpegFile(t, moved(restyled(furnished(src)), 4, 4), 80), source, sceneW, sceneH)
	if !near.Passed || near.Score <= far.Score {
		t.Errorf("a faithful restyle has %v, one that is moved %v", near, far)
	}
	again := judged(t, gate, jpegFile(t, restyled(src), 80), source, sceneW, sceneH)
	if diff := cmp.Diff(near, again); diff != "" {
		t.Errorf("measured twice:\n%s", diff)
	}
	if v := judged(t, kinora.Gate{}, source, nil, 0, 0); !v.Passed || v.Score != 1 {
		t.Errorf("an empty gate: %+v", v)
	}
}

// TestSourceIsReadOnce: the candidates of a generation share what is known of its source.
func TestSourceIsReadOnce(t *testing.T) {
	src := room(1, sceneW, sceneH)
	source, reads := jpegFile(t, src, 90), 0
	j := quality.New(quality.Config{SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) {
		return &quality.Source{Width: sceneW, Height: sceneH, SHA256: "abc", Open: func(ctx context.Context) (io.ReadSeekCloser, error) {
			reads++
			return opener(source)(ctx)
		}}, nil
	}})
	for range 3 {
		v, err := j.Judge(t.Context(), generation(kinora.Gate{Structure: 0.5}), &kinora.Output{Kind: kinora.KindImage}, opener(jpegFile(t, restyled(src), 80)))
		if err != nil || !v.Passed {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	if reads != 1 {
		t.Errorf("the source was read %d times", reads)
	}
}

func TestContextEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	j := quality.New(quality.Config{SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) { return nil, nil }})
	if v, err := j.Judge(ctx, generation(kinora.Gate{}), &kinora.Output{Kind: kinora.KindImage}, opener(jpegFile(t, room(1, 64, 64), 80))); err == nil || v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
}
