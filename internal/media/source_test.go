package media_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/webp"

	"github.com/kinora/kinora/internal/media"
)

var generous = media.SourceLimits{MinSide: 1, MaxSide: 12000, MaxMemory: 256 << 20}

// goSample reads a file that comes with Go ("go/…") or with golang.org/x/image.
func goSample(t testing.TB, name string) []byte {
	t.Helper()
	args, rest := []string{"list", "-m", "-f", "{{.Dir}}/testdata", "golang.org/x/image"}, name
	if own, ok := strings.CutPrefix(name, "go/"); ok {
		args, rest = []string{"env", "GOROOT"}, filepath.Join("src/image/testdata", own)
	}
	dir, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), rest))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func normalise(t testing.TB, l media.SourceLimits, file []byte) (media.Normalised, error) {
	t.Helper()
	s, err := l.OpenSource(file)
	if err != nil {
		return media.Normalised{}, err
	}
	n, err := s.Normalise()
	if err != nil {
		return media.Normalised{}, err
	}
	p, err := media.Probe(bytes.NewReader(n.File))
	if err != nil || p.Type != n.Type || p.Orientation > 1 || p.Width != n.Width || p.Height != n.Height {
		t.Fatalf("the result is %+v, %v; said to be %s of %d × %d", p, err, n.Type, n.Width, n.Height)
	}
	return n, nil
}

func mustNormalise(t testing.TB, file []byte) media.Normalised {
	t.Helper()
	n, err := normalise(t, generous, file)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func decoded(t testing.TB, file []byte) image.Image {
	t.Helper()
	img, _, err := media.DecodeImage(bytes.NewReader(file), 1<<28)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// samePixels reports the largest difference of a channel between two pictures.
func samePixels(t testing.TB, a, b image.Image) int {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("%v and %v", a.Bounds(), b.Bounds())
	}
	most := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, a1 := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			r2, g2, b2, a2 := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, d := range []int{int(r1) - int(r2), int(g1) - int(g2), int(b1) - int(b2), int(a1) - int(a2)} {
				most = max(most, d/257, -d/257)
			}
		}
	}
	return most
}

// profile looks like a colour profile of a colour space.
func profile(space string, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, uint32(size))
	copy(p[16:], space)
	copy(p[36:], "acsp")
	for i := 128; i < size; i++ {
		p[i] = byte(i * 31)
	}
	return p
}

func deflated(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

func iccSegments(data []byte, parts int) []byte {
	var out []byte
	size := (len(data) + parts - 1) / parts
	for i := range parts {
		out = append(out, jpegSegment(0xe2, join([]byte("ICC_PROFILE\x00"), []byte{byte(i + 1), byte(parts)}, data[i*size:min((i+1)*size, len(data))]))...)
	}
	return out
}

const secret = "GPS 45.8150 N 15.9819 E"

// private is everything that a JPEG may carry beside its picture.
func private(orientation uint16) []byte {
	return join(jpegSegment(0xe1, join([]byte("Exif\x00\x00"), exifBlock(binary.LittleEndian, orientation), []byte(secret))),
		jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x>"+secret+"</x>")),
		jpegSegment(0xed, []byte("Photoshop 3.0\x008BIM"+secret)), jpegSegment(0xe2, []byte("MPF\x00"+secret)),
		jpegSegment(0xeb, []byte("JP\x00\x01"+secret)), jpegSegment(0xfe, []byte(secret)), jpegSegment(0xe0, []byte("JFXX\x00"+secret)),
		jpegSegment(0xe0, []byte("JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x02\x02"+secret)))
}

func TestAnUprightJPEGKeepsItsPixels(t *testing.T) {
	plain := jpegFile(t, 64, 48)
	dirty := join(insert(plain, 2, private(1)), []byte(secret), pngFile(t, 3, 3)) // and a tail
	n := mustNormalise(t, dirty)
	if bytes.Contains(n.File, []byte("GPS")) || bytes.Contains(n.File, []byte("Exif")) {
		t.Error("metadata has stayed")
	}
	if d := samePixels(t, decoded(t, plain), decoded(t, n.File)); d != 0 {
		t.Errorf("pixels differ by %d", d)
	}
	if scan := plain[bytes.Index(plain, []byte{0xff, 0xda}):]; !bytes.HasSuffix(n.File, scan) {
		t.Error("the compressed data was written anew")
	}
	if again := mustNormalise(t, n.File); !bytes.Equal(again.File, n.File) {
		t.Error("a result is not its own result")
	}
	// What differs in metadata only is one content.
	if other := mustNormalise(t, join(insert(plain, 2, private(0)))); !bytes.Equal(other.File, n.File) {
		t.Error("the same picture with other metadata is another content")
	}
}

func TestColourProfilesStay(t *testing.T) {
	rgb := profile("RGB ", 70_000)
	wanted := iccSegments(rgb, 2)
	for name, tt := range map[string]struct {
		file []byte
		keep bool
	}{
		"in two parts":   {insert(jpegFile(t, 20, 20), 2, wanted), true},
		"turned":         {insert(jpegFile(t, 20, 20), 2, join(private(6), wanted)), true},
		"for other ones": {insert(jpegFile(t, 20, 20), 2, iccSegments(profile("CMYK", 600), 1)), false},
		"no profile":     {insert(jpegFile(t, 20, 20), 2, iccSegments([]byte(strings.Repeat(secret, 20)), 1)), false},
		"a part missing": {insert(jpegFile(t, 20, 20), 2, wanted[:len(iccSegments(rgb[:35_000], 1))]), false},
	} {
		t.Run(name, func(t *testing.T) {
			n := mustNormalise(t, tt.file)
			got := bytes.Contains(n.File, []byte("ICC_PROFILE")) && bytes.Contains(n.File, rgb[128:20_000])
			if got != tt.keep || bytes.Contains(n.File, []byte("GPS")) {
				t.Errorf("the profile stayed: %v", got)
			}
			if again := mustNormalise(t, n.File); !bytes.Equal(again.File, n.File) {
				t.Error("a result is not its own result")
			}
		})
	}
	for name, tt := range map[string]struct {
		data []byte
		keep bool
	}{
		"profile": {deflated(rgb), true}, "for grey": {deflated(profile("GRAY", 600)), false}, "text": {deflated([]byte(secret)), false},
		"bomb": {deflated(make([]byte, 64<<20)), false}, "not packed": {[]byte(secret), false},
	} {
		t.Run("PNG "+name, func(t *testing.T) {
			file := insert(pngFile(t, 20, 10), 33, join(pngChunk("gAMA", be32(45455)), pngChunk("iCCP", join([]byte("Joe's display\x00\x00"), tt.data))))
			n := mustNormalise(t, file)
			if got := bytes.Contains(n.File, []byte("iCCP")); got != tt.keep || !bytes.Contains(n.File, []byte("gAMA")) || bytes.Contains(n.File, []byte("Joe")) {
				t.Errorf("the profile stayed: %v", got)
			}
		})
	}
}

// corners is a picture in which each corner can be told from the others.
func corners(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{90, 90, 90, 255}), image.Point{}, draw.Src)
	for at, c := range map[image.Point]color.RGBA{{0, 0}: {255, 0, 0, 255}, {width / 2, 0}: {0, 255, 0, 255}, {0, height / 2}: {0, 0, 255, 255}} {
		draw.Draw(img, image.Rectangle{at, at.Add(image.Pt(width/2, height/2))}, image.NewUniform(c), image.Point{}, draw.Src)
	}
	return img
}

// shown is how a viewer shows a picture stored with an orientation. Source: Exif 2.32, section 4.6.4.
func shown(img image.Image, orientation int) image.Image {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewNRGBA64(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			at := map[int]image.Point{1: {x, y}, 2: {w - 1 - x, y}, 3: {w - 1 - x, h - 1 - y}, 4: {x, h - 1 - y},
				5: {y, x}, 6: {y, h - 1 - x}, 7: {w - 1 - y, h - 1 - x}, 8: {w - 1 - y, x}}[orientation]
			out.Set(x, y, img.At(img.Bounds().Min.X+at.X, img.Bounds().Min.Y+at.Y))
		}
	}
	return out
}

func TestEveryOrientationIsTurnedUpright(t *testing.T) {
	var sources []image.Image
	for _, size := range []image.Point{{48, 32}, {47, 31}} {
		base := corners(size.X, size.Y)
		grey, deep := image.NewGray(base.Rect), image.NewNRGBA64(base.Rect)
		draw.Draw(grey, grey.Rect, base, image.Point{}, draw.Src)
		draw.Draw(deep, deep.Rect, base, image.Point{}, draw.Src)
		deep.SetNRGBA64(3, 2, color.NRGBA64{1, 2, 3, 0x8001})
		palette := image.NewPaletted(base.Rect, color.Palette{color.NRGBA{}, color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}, color.RGBA{0, 0, 255, 255}, color.RGBA{90, 90, 90, 255}})
		draw.Draw(palette, palette.Rect, base, image.Point{}, draw.Src)
		deepGrey := image.NewGray16(base.Rect)
		draw.Draw(deepGrey, deepGrey.Rect, base, image.Point{}, draw.Src)
		sources = append(sources, base, grey, deep, palette, deepGrey)
	}
	for _, src := range sources {
		var asPNG, asJPEG bytes.Buffer
		if err := errors.Join(png.Encode(&asPNG, src), jpeg.Encode(&asJPEG, src, &jpeg.Options{Quality: 95})); err != nil {
			t.Fatal(err)
		}
		for o := 1; o <= 8; o++ {
			name := fmt.Sprintf("%T %v orientation %d", src, src.Bounds().Size(), o)
			n := mustNormalise(t, insert(asPNG.Bytes(), 33, pngChunk("eXIf", exifBlock(binary.BigEndian, uint16(o)))))
			if d := samePixels(t, shown(decoded(t, asPNG.Bytes()), o), decoded(t, n.File)); d != 0 || n.Type != media.PNG {
				t.Errorf("%s: PNG differs by %d", name, d)
			}
			n = mustNormalise(t, insert(asJPEG.Bytes(), 2, private(uint16(o))))
			// Odd sides blur the colours along one edge between blocks of two pixels.
			want, got := shown(decoded(t, asJPEG.Bytes()), o), decoded(t, n.File)
			if src.Bounds().Dx()%2 == 1 { // then every pair of pixels that shares its colours is another
				want, got = greyOf(want), greyOf(got)
			}
			if m := mean(t, want, got); m > 5 || n.Type != media.JPEG || o == 1 && m > 0 {
				t.Errorf("%s: JPEG differs by %.1f on average", name, m)
			}
			if d := samePixels(t, want, got); d > 60 && src.Bounds().Dx()%2 == 0 {
				t.Errorf("%s: JPEG differs by %d", name, d)
			}
			if bytes.Contains(n.File, []byte("GPS")) {
				t.Errorf("%s: metadata has stayed", name)
			}
		}
	}
}

func greyOf(img image.Image) image.Image {
	grey := image.NewGray(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(grey, grey.Rect, img, img.Bounds().Min, draw.Src)
	return grey
}

func TestJPEGsOfEveryKind(t *testing.T) {
	for _, name := range []string{"video-001.jpeg", "video-001.progressive.jpeg", "video-001.rgb.jpeg", "video-001.cmyk.jpeg", "video-005.gray.jpeg",
		"video-001.restart2.jpeg", "video-001.221212.jpeg", "video-001.q50.410.progressive.jpeg", "video-001.q50.411.jpeg", "video-001.q50.422.progressive.jpeg",
		"video-001.q50.440.jpeg", "video-001.q50.444.progressive.jpeg", "video-001.separate.dc.progression.progressive.jpeg"} {
		file := goSample(t, "go/"+name)
		n := mustNormalise(t, file)
		before, after := decoded(t, file), decoded(t, n.File)
		limit := 0
		if strings.Contains(name, "cmyk") {
			if limit = 12; len(n.File) > 2*len(file) {
				t.Errorf("%s: %d bytes became %d", name, len(file), len(n.File))
			}
			if _, ok := after.(*image.YCbCr); !ok {
				t.Errorf("%s is %T", name, after)
			}
		}
		if d := samePixels(t, before, after); d > limit && !strings.Contains(name, "cmyk") {
			t.Errorf("%s: pixels differ by %d", name, d)
		} else if limit > 0 && mean(t, before, after) > 3 {
			t.Errorf("%s: colours differ by %.1f on average", name, mean(t, before, after))
		}
		if again := mustNormalise(t, n.File); !bytes.Equal(again.File, n.File) {
			t.Errorf("%s: a result is not its own result", name)
		}
		for o := uint16(2); o <= 8; o++ {
			exif := jpegSegment(0xe1, join([]byte("Exif\x00\x00"), exifBlock(binary.BigEndian, o))) // JFIF would change what the colours mean
			n := mustNormalise(t, insert(file, 2, exif))
			if m := mean(t, shown(before, int(o)), decoded(t, n.File)); m > 6 {
				t.Errorf("%s: turned by %d its colours differ by %.1f on average", name, o, m)
			}
		}
	}
}

func mean(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("%v and %v", a.Bounds(), b.Bounds())
	}
	sum, n := 0.0, 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, _ := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			r2, g2, b2, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, d := range []int{int(r1) - int(r2), int(g1) - int(g2), int(b1) - int(b2)} {
				sum += float64(max(d, -d)) / 257
				n++
			}
		}
	}
	return sum / float64(n)
}

func TestPNGsLoseTheirTexts(t *testing.T) {
	for name, tt := range map[string]struct {
		file []byte
	}{
		"texts":      {insert(pngFile(t, 30, 20), 33, join(pngChunk("tEXt", []byte("Author\x00"+secret)), pngChunk("iTXt", []byte(secret)), pngChunk("zTXt", []byte(secret)), pngChunk("tIME", make([]byte, 7)), pngChunk("prVt", []byte(secret)), pngChunk("pHYs", make([]byte, 9))))},
		"tail":       {join(pngFile(t, 30, 20), []byte(secret))},
		"in a chunk": {insert(pngFile(t, 30, 20), len(pngFile(t, 30, 20))-12, pngChunk("IDAT", []byte(secret)))},
		"EXIF":       {insert(pngFile(t, 30, 20), 33, pngChunk("eXIf", join(exifBlock(binary.BigEndian, 1), []byte(secret))))},
	} {
		n := mustNormalise(t, tt.file)
		if bytes.Contains(n.File, []byte("GPS")) || !bytes.Equal(n.File, mustNormalise(t, pngFile(t, 30, 20)).File) {
			t.Errorf("%s: something has stayed", name)
		}
	}
	// Sixteen bits a channel and transparency stay.
	deep := image.NewNRGBA64(image.Rect(0, 0, 9, 7))
	for i := range deep.Pix {
		deep.Pix[i] = byte(i * 37)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, deep); err != nil {
		t.Fatal(err)
	}
	if _, ok := decoded(t, mustNormalise(t, b.Bytes()).File).(*image.NRGBA64); !ok {
		t.Error("the depth is lost")
	}
}

func TestWebP(t *testing.T) {
	for name, want := range map[string]media.Type{
		"blue-purple-pink.lossy.webp": media.JPEG, "yellow_rose.lossy-with-alpha.webp": media.PNG,
		"blue-purple-pink.lossless.webp": media.PNG, "gopher-doc.with-alpha.lossless.webp": media.PNG, "gopher-doc.1bpp.lossless.webp": media.PNG,
	} {
		file := goSample(t, name)
		n := mustNormalise(t, file)
		if n.Type != media.WebP || samePixels(t, decoded(t, file), decoded(t, n.File)) != 0 {
			t.Errorf("%s became %s", name, n.Type)
		}
		config, err := webp.DecodeConfig(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		rgb := profile("RGB ", 400)
		dirty := webpWith(file, config.Width, config.Height, 6, rgb)
		n = mustNormalise(t, dirty)
		if n.Type != want || n.Width != config.Height || n.Height != config.Width || bytes.Contains(n.File, []byte("GPS")) {
			t.Errorf("%s turned is %s of %d × %d", name, n.Type, n.Width, n.Height)
		}
		if kept := bytes.Contains(n.File, rgb[128:]) || bytes.Contains(n.File, deflated(rgb)); !kept {
			t.Errorf("%s: the colour profile is lost", name)
		}
		n = mustNormalise(t, webpWith(file, config.Width, config.Height, 1, rgb))
		if n.Type != media.WebP || bytes.Contains(n.File, []byte("GPS")) || !bytes.Contains(n.File, rgb) || samePixels(t, decoded(t, file), decoded(t, n.File)) != 0 {
			t.Errorf("%s: upright it is %s", name, n.Type)
		}
		if again := mustNormalise(t, n.File); !bytes.Equal(again.File, n.File) {
			t.Errorf("%s: a result is not its own result", name)
		}
	}
	// A lossy file keeps white as 235 and black as 16. After it was turned they are 255 and 0 again.
	file := goSample(t, "video-001.lossy.webp")
	config, err := webp.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	turned := mustNormalise(t, webpWith(file, config.Width, config.Height, 3, nil))
	if m := mean(t, shown(decoded(t, goSample(t, "go/video-001.png")), 3), decoded(t, turned.File)); m > 6 {
		t.Errorf("its colours differ by %.1f on average", m)
	}
}

// webpWith puts a picture into the extended format, with an orientation, texts and a profile.
func webpWith(file []byte, width, height, orientation int, profile []byte) []byte {
	body := file[12:]
	flags := byte(1<<3 | 1<<2)
	if string(body[:4]) == "VP8X" {
		flags |= body[8] & (1 << 4)
		body = body[18:]
	}
	if profile != nil {
		flags |= 1 << 5
		profile = chunk("ICCP", profile)
	}
	size := func(v int) []byte { return le32(uint32(v - 1))[:3] }
	return list("RIFF", "WEBP", chunk("VP8X", []byte{flags, 0, 0, 0}, size(width), size(height)), profile, body,
		chunk("EXIF", exifBlock(binary.LittleEndian, uint16(orientation)), []byte(secret)), chunk("XMP ", []byte(secret)))
}

func TestWhatIsNoSourceIsNamed(t *testing.T) {
	var animation bytes.Buffer
	if err := gif.Encode(&animation, picture(20, 20), nil); err != nil {
		t.Fatal(err)
	}
	still := pngFile(t, 20, 20)
	half := func(file []byte) []byte { return file[:len(file)/2] }
	broken := bytes.Clone(still)
	broken[len(broken)-20] ^= 1
	huge := insert(jpegFile(t, 8, 8), 0, nil)
	sof := bytes.Index(huge, []byte{0xff, 0xc0})
	copy(huge[sof+5:], []byte{0x2e, 0xe0, 0x2e, 0xe0}) // 12000 × 12000
	bomb := join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", join(be32(12000), be32(12000), []byte{16, 6, 0, 0, 0})), pngChunk("IDAT", deflated(make([]byte, 1<<20))), pngChunk("IEND", nil))
	longer := join([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", join(be32(9), be32(9), []byte{8, 0, 0, 0, 0})), pngChunk("IDAT", deflated(make([]byte, 32<<20))), pngChunk("IEND", nil))
	progressive := goSample(t, "go/video-001.progressive.jpeg")
	firstScan := bytes.Index(progressive, []byte{0xff, 0xda})
	scan := join(progressive[firstScan:firstScan+14], []byte{0})
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"GIF":  {animation.Bytes(), "GIF is not taken"},
		"HEIC": {heifFile("heic", ispe(20, 20)), "HEIC is not taken"}, "AVIF": {heifFile("avif", ispe(20, 20)), "AVIF is not taken"},
		"MP4": {join(ftyp("isom"), moov(100, videoTrack(64, 64).box()), mdat(10)), "video (video/mp4) is not taken"},
		"BMP": {[]byte("BM" + strings.Repeat("x", 60)), "BMP is not taken"}, "TIFF": {[]byte("II*\x00" + strings.Repeat("x", 60)), "TIFF is not taken"},
		"SVG": {[]byte("<?xml version='1.0'?>\n<svg onload='alert(1)'/>"), "SVG is not taken"}, "HTML": {[]byte("<!doctype html><script>"), "HTML or XML is not taken"},
		"PDF": {[]byte("%PDF-1.7 ..............."), "PDF is not taken"}, "nothing": {nil, "an empty file is not taken"}, "text": {[]byte("hello"), "a file of this format is not taken"},
		"animated WebP":              {webpExtended(20, 20, chunk("ANIM", make([]byte, 6))), "animated WebP"},
		"animated PNG":               {insert(still, 33, pngChunk("acTL", make([]byte, 8))), "animated PNG"},
		"half a JPEG":                {half(jpegFile(t, 200, 200)), "the JPEG file is cut off"},
		"half a PNG":                 {half(pngFile(t, 200, 200)), "the PNG file is cut off"},
		"half a WebP":                {half(goSample(t, "blue-purple-pink.lossy.webp")), "the WebP file is cut off"},
		"a JPEG's beginning":         {jpegFile(t, 20, 20)[:100], "the JPEG file is cut off"},
		"a flipped bit":              {broken, "the PNG file is damaged"},
		"pixels that are not there":  {bomb, "the PNG file is damaged"},
		"pixels beyond the end":      {longer, "the PNG file is damaged"},
		"a JPEG of one block":        {huge, "the JPEG file is"},
		"a JPEG with too many scans": {join(progressive[:firstScan], bytes.Repeat(scan, 101), progressive[firstScan:]), "the JPEG file is damaged"},
		"two pictures in one":        {insert(jpegFile(t, 20, 20), sof, huge[sof:sof+19]), "the JPEG file is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := normalise(t, generous, tt.file)
			var unfit *media.Unfit
			if !errors.As(err, &unfit) || !strings.Contains(unfit.Message, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSizesAndMemoryAreBounded(t *testing.T) {
	l := media.SourceLimits{MinSide: 100, MaxSide: 200, MaxMemory: 4 << 20}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"too small": {pngFile(t, 99, 150), "the image is 99 × 150 pixels; each side needs at least 100"},
		"too large": {jpegFile(t, 150, 201), "the image is 150 × 201 pixels; each side may have at most 200"},
		"turned":    {insert(jpegFile(t, 201, 150), 2, private(6)), "the image is 150 × 201 pixels"},
	} {
		if _, err := normalise(t, l, tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if _, err := l.Check(bytes.NewReader(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: the headers alone give %v, want %q", name, err, tt.want)
		}
	}
	if _, err := normalise(t, l, jpegFile(t, 150, 120)); err != nil {
		t.Error(err)
	}
	// Twelve thousand pixels a side of progressive coding would take a gigabyte and a half. Nothing of that is allocated.
	progressive := goSample(t, "go/video-001.progressive.jpeg")
	sof := bytes.Index(progressive, []byte{0xff, 0xc2})
	copy(progressive[sof+5:], []byte{0x2e, 0xe0, 0x2e, 0xe0})
	before := testing.AllocsPerRun(1, func() {
		if _, err := generous.OpenSource(progressive); err == nil || !strings.Contains(err.Error(), "too much memory") {
			t.Errorf("got %v", err)
		}
	})
	if before > 1000 {
		t.Errorf("%v allocations", before)
	}
	// The same size in rows is checked in hardly any.
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 6000, 6000))); err != nil {
		t.Fatal(err)
	}
	if _, err := normalise(t, media.SourceLimits{MinSide: 1, MaxSide: 12000, MaxMemory: 2 << 20}, b.Bytes()); err != nil {
		t.Error(err)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, file := range [][]byte{
		insert(jpegFile(f, 20, 12), 2, private(6)), insert(pngFile(f, 20, 12), 33, pngChunk("eXIf", exifBlock(binary.BigEndian, 3))), webpLossless(9, 7),
		webpWith(webpLossless(9, 7), 9, 7, 5, profile("RGB ", 200)), insert(jpegFile(f, 20, 12), 2, iccSegments(profile("RGB ", 300), 2)), pngFile(f, 3, 3),
	} {
		f.Add(file)
	}
	l := media.SourceLimits{MinSide: 1, MaxSide: 500, MaxMemory: 16 << 20}
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		n, err := normalise(t, l, file)
		if !bytes.Equal(before, file) {
			t.Fatal("the file was changed")
		}
		if err != nil {
			var unfit *media.Unfit
			if !errors.As(err, &unfit) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		again, err := normalise(t, media.SourceLimits{MinSide: 1, MaxSide: 500, MaxMemory: 64 << 20}, n.File)
		if err != nil || !bytes.Equal(again.File, n.File) {
			t.Fatalf("a result is not its own result: %v", err)
		}
		for _, mark := range []string{"Exif\x00\x00", "eXIf", "tEXt", "EXIF"} {
			if n.Type == media.WebP && mark == "EXIF" && bytes.Contains(n.File[12:20], []byte(mark)) {
				t.Fatalf("%q has stayed", mark)
			}
		}
	})
}
