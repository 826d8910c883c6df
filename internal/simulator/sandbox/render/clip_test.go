package render

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

func clip(t testing.TB, s Scene, seconds int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := renderer(t).Video(&b, s, seconds); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestClipStructure(t *testing.T) {
	for _, tc := range []struct{ w, h, seconds int }{{128, 128, 1}, {130, 226, 2}, {320, 180, 15}} {
		file := clip(t, Scene{Prompt: "a boat", Width: tc.w, Height: tc.h}, tc.seconds)
		f, err := mp4.DecodeFile(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, b := range f.Children {
			order = append(order, b.Type())
		}
		if got := strings.Join(order, " "); got != "ftyp moov mdat" {
			t.Errorf("boxes %q; a player must find the index before the media", got)
		}
		trak := f.Moov.Trak
		avc1 := trak.Mdia.Minf.Stbl.Stsd.AvcX
		if int(avc1.Width) != tc.w || int(avc1.Height) != tc.h {
			t.Errorf("track is %dx%d, want %dx%d", avc1.Width, avc1.Height, tc.w, tc.h)
		}
		if d := float64(f.Moov.Mvhd.Duration) / float64(f.Moov.Mvhd.Timescale); d != float64(tc.seconds) {
			t.Errorf("movie lasts %v s, want %d", d, tc.seconds)
		}
		stbl := trak.Mdia.Minf.Stbl
		if got, want := int(stbl.Stsz.GetNrSamples()), tc.seconds*FramesPerSecond; got != want {
			t.Errorf("%d frames, want %d", got, want)
		}
		media, err := stbl.Stsz.GetTotalSampleSize(1, stbl.Stsz.GetNrSamples())
		if err != nil {
			t.Fatal(err)
		}
		if start := uint64(stbl.Stco.ChunkOffset[0]); start+media != uint64(len(file)) || start != f.Mdat.PayloadAbsoluteOffset() {
			t.Errorf("samples lie at %d+%d of a file of %d bytes", start, media, len(file))
		}
		if got, want := len(stbl.Stss.SampleNumber), (tc.seconds*FramesPerSecond+keyEvery-1)/keyEvery; got != want {
			t.Errorf("%d key frames, want %d", got, want)
		}
		for i := range stbl.Stsz.GetNrSamples() {
			if size := stbl.Stsz.GetSampleSize(int(i + 1)); size < 40 {
				t.Errorf("frame %d has %d bytes: nothing moves in it", i, size)
			}
		}
	}
}

func TestClipLimitsAndDeterminism(t *testing.T) {
	r := renderer(t)
	for _, tc := range []struct{ w, h, seconds int }{
		{126, 128, 1}, {128, 126, 1}, {129, 128, 1}, {128, 129, 1}, {1922, 128, 1}, {128, 1922, 1}, {128, 128, 0}, {128, 128, 16},
	} {
		if err := r.Video(io.Discard, Scene{Width: tc.w, Height: tc.h}, tc.seconds); err == nil {
			t.Errorf("%dx%d for %d s was drawn", tc.w, tc.h, tc.seconds)
		}
	}
	s := Scene{Prompt: "a boat", Width: 160, Height: 128}
	a, b := clip(t, s, 1), clip(t, s, 1)
	if !bytes.Equal(a, b) {
		t.Error("one scene gave two clips")
	}
	s.Seed++
	if bytes.Equal(a, clip(t, s, 1)) {
		t.Error("another seed gave the same clip")
	}
}

// units cuts a clip into its pictures.
func units(t *testing.T, file []byte) (codec string, list []browsertest.Unit) {
	t.Helper()
	f, err := mp4.DecodeFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	stbl := f.Moov.Trak.Mdia.Minf.Stbl
	sets := slices.Concat(stbl.Stsd.AvcX.AvcC.SPSnalus, stbl.Stsd.AvcX.AvcC.PPSnalus)
	var head []byte
	for _, nal := range sets {
		head = append(append(head, 0, 0, 0, 1), nal...)
	}
	at := stbl.Stco.ChunkOffset[0]
	for i := range stbl.Stsz.GetNrSamples() {
		end := at + stbl.Stsz.GetSampleSize(int(i+1))
		u := browsertest.Unit{Key: slices.Contains(stbl.Stss.SampleNumber, i+1), Data: avc.ConvertSampleToByteStream(slices.Clone(file[at:end]))}
		if u.Key {
			u.Data = slices.Concat(head, u.Data)
		}
		list = append(list, u)
		at = end
	}
	return fmt.Sprintf("avc1.%X", sets[0][1:4]), list
}

// An independent decoder must take every frame and show the moving parts.
func TestClipDecodes(t *testing.T) {
	const w, h, seconds = 320, 180, 6
	codec, pictures := units(t, clip(t, Scene{Prompt: "a paper boat", Width: w, Height: h}, seconds))
	decoded := browsertest.DecodeH264(t, codec, pictures)
	const size = w * h * 3 / 2
	if len(decoded) != size*seconds*FramesPerSecond {
		t.Fatalf("decoder made %d bytes, want %d frames of %d", len(decoded), seconds*FramesPerSecond, size)
	}
	var frames [][]byte // their brightness
	for frame := range slices.Chunk(decoded, size) {
		frames = append(frames, frame[:w*h])
	}
	for n := 1; n < len(frames); n++ {
		if bytes.Equal(frames[n-1], frames[n]) {
			t.Errorf("frames %d and %d are equal", n-1, n)
		}
	}
	// The progress bar ends filled: the last row, first and last frame.
	first, last := frames[0][w*h-1], frames[len(frames)-1][w*h-1]
	if int(last)-int(first) < 20 {
		t.Errorf("the bar's end goes from %d to %d", first, last)
	}
}

// clipPage plays a clip to its end in real time.
const clipPage = `<!doctype html><link rel=icon href="data:,"><video id=v muted playsinline src="/clip.mp4"></video><script>
const v = document.getElementById("v");
const event = name => new Promise((done, fail) => {
	v.addEventListener(name, done, {once: true});
	v.addEventListener("error", () => fail(new Error("code " + v.error.code + " " + v.error.message)), {once: true});
});
async function play() {
	const end = event("ended");
	await v.play();
	await end;
	return {width: v.videoWidth, height: v.videoHeight, duration: v.duration, at: v.currentTime};
}
</script>`

// A browser must play the clip to its end in real time.
func TestClipPlaysInABrowser(t *testing.T) {
	file := clip(t, Scene{Prompt: "a paper boat", Width: 322, Height: 182}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			_, _ = io.WriteString(w, clipPage)
		case "/clip.mp4":
			w.Header().Set("Content-Type", "video/mp4")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p := browsertest.Open(t, srv.URL)
	p.Go("/")
	got := browsertest.Eval[struct {
		Width, Height int
		Duration, At  float64
	}](p, "play()")
	if got.Width != 322 || got.Height != 182 || got.Duration != 1 || got.At < 0.9 {
		t.Errorf("the browser shows %+v", got)
	}
}

func BenchmarkVideo720p5s(b *testing.B) {
	r := renderer(b)
	seed := int64(0)
	for b.Loop() {
		seed++
		if err := r.Video(io.Discard, Scene{Prompt: "two kites", Seed: seed, Width: 1280, Height: 720}, 5); err != nil {
			b.Fatal(err)
		}
	}
}
