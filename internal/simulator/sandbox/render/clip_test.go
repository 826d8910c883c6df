package render

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"
)

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

// An independent decoder must take every frame and show the moving parts.
func TestClipDecodes(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	const w, h, seconds = 320, 180, 6
	file := clip(t, Scene{Prompt: "a paper boat", Width: w, Height: h}, seconds)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "warning", "-xerror", "-err_detect", "explode",
		"-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(file), &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("decoder: %v\n%s", err, stderr.String())
	}
	frames := stdout.Bytes()
	if len(frames) != w*h*seconds*FramesPerSecond {
		t.Fatalf("decoder made %d bytes, want %d frames of %d", len(frames), seconds*FramesPerSecond, w*h)
	}
	for n := 1; n < seconds*FramesPerSecond; n++ {
		if bytes.Equal(frames[(n-1)*w*h:n*w*h], frames[n*w*h:(n+1)*w*h]) {
			t.Errorf("frames %d and %d are equal", n-1, n)
		}
	}
	// The progress bar ends filled: the last row, first and last frame.
	first, last := frames[w*h-1], frames[len(frames)-1]
	if int(last)-int(first) < 20 {
		t.Errorf("the bar's end goes from %d to %d", first, last)
	}
}

// browserPage plays a clip and reports what the browser makes of it.
const browserPage = `<!doctype html><video id=v muted playsinline src="/clip.mp4"></video><script>
const v = document.getElementById("v"), report = o => fetch("/report", {method: "POST", body: JSON.stringify(o)});
v.onerror = () => report({error: "code " + v.error.code + " " + v.error.message});
v.onended = () => report({width: v.videoWidth, height: v.videoHeight, duration: v.duration, at: v.currentTime});
v.play().catch(e => report({error: String(e)}));
</script>`

// A browser must play the clip to its end in real time.
func TestClipPlaysInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	if testing.Short() {
		t.Skip("starts a browser")
	}
	file := clip(t, Scene{Prompt: "a paper boat", Width: 322, Height: 182}, 1)
	type report struct {
		Error         string
		Width, Height int
		Duration, At  float64
	}
	reports := make(chan report, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, browserPage)
		case "/clip.mp4":
			w.Header().Set("Content-Type", "video/mp4")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		case "/report":
			var got report
			if err := json.NewDecoder(r.Body).Decode(&got); err == nil {
				reports <- got
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	// Not t.TempDir: the browser's children may write for a moment after it is
	// killed, which must not fail the test.
	profile, err := os.MkdirTemp("", "clip-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(profile)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--autoplay-policy=no-user-gesture-required", "--user-data-dir="+profile,
		"--remote-debugging-port=0", srv.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // killed on purpose
	}()
	select {
	case <-ctx.Done():
		t.Fatal("the browser did not play the clip to its end")
	case got := <-reports:
		if got.Error != "" {
			t.Fatalf("the browser refuses the clip: %s", got.Error)
		}
		if got.Width != 322 || got.Height != 182 || got.Duration != 1 || got.At < 0.9 {
			t.Errorf("the browser shows %+v", got)
		}
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
