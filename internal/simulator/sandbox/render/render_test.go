package render

import (
	"bytes"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"strings"
	"testing"

	"golang.org/x/image/font"
	"pgregory.net/rapid"
)

func renderer(t testing.TB) *Renderer {
	t.Helper()
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func drawn(t testing.TB, r *Renderer, s Scene, f Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Image(&b, s, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImagesAreWhatWasAskedFor(t *testing.T) {
	r := renderer(t)
	for _, tc := range []struct {
		w, h   int
		format Format
	}{
		{64, 64, PNG}, {64, 64, JPEG}, {1024, 576, PNG}, {577, 1023, JPEG}, {65, 400, PNG}, {4096, 64, JPEG},
	} {
		file := drawn(t, r, Scene{Prompt: "two kites over a quiet bay", Width: tc.w, Height: tc.h}, tc.format)
		cfg, name, err := image.DecodeConfig(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("%dx%d %s: %v", tc.w, tc.h, tc.format, err)
		}
		if cfg.Width != tc.w || cfg.Height != tc.h || name != string(tc.format) {
			t.Errorf("asked for %dx%d %s, got %dx%d %s", tc.w, tc.h, tc.format, cfg.Width, cfg.Height, name)
		}
		if _, _, err := image.Decode(bytes.NewReader(file)); err != nil {
			t.Errorf("%dx%d %s does not decode: %v", tc.w, tc.h, tc.format, err)
		}
	}
}

func TestImageLimits(t *testing.T) {
	r := renderer(t)
	for _, s := range []Scene{{Width: 63, Height: 64}, {Width: 64, Height: 63}, {Width: 4097, Height: 64}, {Width: 64, Height: 4097}, {}} {
		if err := r.Image(io.Discard, s, PNG); err == nil {
			t.Errorf("%dx%d was drawn", s.Width, s.Height)
		}
	}
	if err := r.Image(io.Discard, Scene{Width: 64, Height: 64}, "bmp"); err == nil {
		t.Error("an unknown format was drawn")
	}
}

// A file is drawn anew for each download, so it must not change; and whatever
// makes a request different must show.
func TestSameSceneSameBytesOtherSceneOtherBytes(t *testing.T) {
	r := renderer(t)
	base := Scene{Prompt: "a red ball", Model: "m", Seed: 1, Count: 2, Width: 160, Height: 160}
	scenes := map[string]Scene{"base": base}
	vary := func(name string, change func(*Scene)) {
		s := base
		change(&s)
		scenes[name] = s
	}
	vary("prompt", func(s *Scene) { s.Prompt = "a blue ball" })
	vary("model", func(s *Scene) { s.Model = "n" })
	vary("seed", func(s *Scene) { s.Seed = 2 })
	vary("index", func(s *Scene) { s.Index = 1 })
	vary("references", func(s *Scene) { s.References = []string{"https://example.com/a.png"} })
	vary("other references", func(s *Scene) { s.References = []string{"https://example.com/b.png"} })
	vary("width", func(s *Scene) { s.Width = 162 })
	seen := map[string]string{}
	for name, s := range scenes {
		file := string(drawn(t, r, s, PNG))
		if other, ok := seen[file]; ok {
			t.Errorf("%s and %s give the same picture", name, other)
		}
		seen[file] = name
		if again := string(drawn(t, renderer(t), s, PNG)); again != file {
			t.Errorf("%s: drawn twice, different bytes", name)
		}
	}
}

// Every composition must cover every pixel and stay inside the picture at odd
// and extreme shapes.
func TestCompositionsCoverThePicture(t *testing.T) {
	for _, prompt := range []string{"mountain lake", "marbles", "silk", "bauhaus"} {
		for _, size := range [][2]int{{64, 64}, {97, 301}, {640, 64}, {333, 222}} {
			for seed := range int64(6) {
				s := Scene{Prompt: prompt, Seed: seed, Width: size[0], Height: size[1]}
				img := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
				paint(img, s)
				for i := 3; i < len(img.Pix); i += 4 {
					if img.Pix[i] != 255 {
						t.Fatalf("%s %v seed %d: pixel %d is not opaque", prompt, size, seed, i/4)
					}
				}
			}
		}
	}
}

// The caption must be there and readable: light text on a band that is dark
// wherever there is no text, whatever lies below it.
func TestCaptionHasContrast(t *testing.T) {
	r := renderer(t)
	for _, size := range [][2]int{{1024, 1024}, {256, 144}, {64, 64}} {
		s := Scene{Prompt: "a quiet bay", Model: "sandbox-image", Width: size[0], Height: size[1]}
		img := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
		for i := range img.Pix {
			img.Pix[i] = 255
		}
		if err := r.caption(img, s, s.captionArea()); err != nil {
			t.Fatal(err)
		}
		bright, dark := 0, 0
		for y := s.Height * 55 / 100; y < s.Height; y++ {
			for x := range s.Width {
				switch p := img.Pix[img.PixOffset(x, y)]; {
				case p > 200:
					bright++
				case p < 110:
					dark++
				}
			}
		}
		if bright < s.Width || dark < 10*s.Width/2 {
			t.Errorf("%v: %d bright and %d dark pixels in the caption area", size, bright, dark)
		}
		if img.Pix[img.PixOffset(s.Width/2, s.Height/2)] != 255 {
			t.Errorf("%v: the caption reaches above its area", size)
		}
	}
}

func TestPromptWordsChooseColoursAndScenes(t *testing.T) {
	rng := Scene{}.random()
	if a, b := choosePalette("Ships on the OCEAN.", rng), palettes[1].palette; a != b {
		t.Error("an ocean is not blue")
	}
	if kind, ok := composition("three Mountains"); !ok || kind != 0 {
		t.Error("mountains are not a landscape")
	}
	if _, ok := composition("qwerty"); ok {
		t.Error("a word without meaning chose a composition")
	}
}

func TestWrap(t *testing.T) {
	r := renderer(t)
	f, err := face(r.bold, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, 2, 7, 40, 300}).Draw(t, "size")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab WM\t\n漢é…")), size, size, -1).Draw(t, "text")
		width := rapid.IntRange(30, 400).Draw(t, "width")
		limit := rapid.IntRange(1, 200).Draw(t, "limit")
		lines := wrap(f, text, width, limit)
		if len(lines) > limit {
			t.Fatalf("%d lines, limit %d", len(lines), limit)
		}
		for _, l := range lines {
			if w := font.MeasureString(f, l).Ceil(); w > width && len([]rune(l)) > 1 {
				t.Fatalf("line %q is %d wide, limit %d", l, w, width)
			}
		}
		if len(lines) < limit {
			// Nothing but white space may be lost.
			if got, want := strings.Join(strings.Fields(strings.Join(lines, "")), ""), strings.Join(strings.Fields(text), ""); got != want {
				t.Fatalf("wrapped to %q, want the characters of %q", got, want)
			}
		}
	})
}

func TestLongPromptIsCutVisibly(t *testing.T) {
	r := renderer(t)
	lines, f, err := r.fit(strings.Repeat("wonderful ", 5000), 40, 400, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(lines)*lineHeight(f) > 100 {
		t.Errorf("%d lines of %d px do not fit in 100 px", len(lines), lineHeight(f))
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "…") {
		t.Errorf("the last line %q does not show that text is missing", last)
	}
}

func FuzzImage(f *testing.F) {
	for _, p := range []string{"", " ", "a red ball", "\x00\xff\u202e", strings.Repeat("x", 3000), "红色的气球", "é\n\n\tü"} {
		f.Add(p, int64(1), 64, 64)
		f.Add(p, int64(-9), 300, 65)
	}
	r := renderer(f)
	f.Fuzz(func(t *testing.T, prompt string, seed int64, w, h int) {
		if w > 400 || h > 400 {
			return
		}
		s := Scene{Prompt: prompt, Seed: seed, Width: w, Height: h}
		err := r.Image(io.Discard, s, PNG)
		if ok := w >= MinSide && h >= MinSide; ok != (err == nil) {
			t.Errorf("%dx%d: error %v", w, h, err)
		}
	})
}

func BenchmarkImage1024JPEG(b *testing.B) { benchmarkImage(b, JPEG) }
func BenchmarkImage1024PNG(b *testing.B)  { benchmarkImage(b, PNG) }

func benchmarkImage(b *testing.B, f Format) {
	r := renderer(b)
	seed := int64(0)
	for b.Loop() {
		seed++
		if err := r.Image(io.Discard, Scene{Prompt: "two kites", Seed: seed, Width: 1024, Height: 1024}, f); err != nil {
			b.Fatal(err)
		}
	}
}
