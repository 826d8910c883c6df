package sandbox

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

func TestRefusedSubmitsNameTheField(t *testing.T) {
	long := strings.Repeat("x", MaxPrompt+1)
	for _, tc := range []struct{ fields, param, message string }{
		{`"model":"sandbox-image"`, "prompt", "prompt is required"},
		{`"model":"sandbox-image","prompt":" \n"`, "prompt", "prompt is required"},
		{`"model":"sandbox-image","prompt":"` + long + `"`, "prompt", "at most 8000"},
		{`"prompt":"x"`, "model", "model is required"},
		{`"model":7,"prompt":"x"`, "model", "wrong type"},
		{`"model":"sandbox-image","prompt":"x","size":"63x64"`, "size", "between 64 and 4096"},
		{`"model":"sandbox-image","prompt":"x","size":"64x4097"`, "size", "between 64 and 4096"},
		{`"model":"sandbox-image","prompt":"x","size":"100:1"`, "size", "between 64 and 4096"},
		{`"model":"sandbox-image","prompt":"x","size":"big"`, "size", "WxH"},
		{`"model":"sandbox-image","prompt":"x","resolution":"8K"`, "resolution", "0.5K, 1K, 2K or 4K"},
		{`"model":"sandbox-video","prompt":"x","size":"127x128"`, "size", "between 128 and 1920"},
		{`"model":"sandbox-video","prompt":"x","size":"129x128"`, "size", "even"},
		{`"model":"sandbox-video","prompt":"x","resolution":"2K"`, "resolution", "360p"},
		{`"model":"sandbox-video","prompt":"x","duration":0`, "duration", "between 1 and 15"},
		{`"model":"sandbox-video","prompt":"x","duration":16`, "duration", "between 1 and 15"},
		{`"model":"sandbox-video","prompt":"x","duration":1.5`, "duration", "whole number"},
		{`"model":"sandbox-video","prompt":"x","duration":"a"`, "duration", "whole number"},
		{`"model":"sandbox-video","prompt":"x","n":2`, "n", "between 1 and 1"},
		{`"model":"sandbox-image","prompt":"x","n":0`, "n", "between 1 and 4"},
		{`"model":"sandbox-image","prompt":"x","n":5`, "n", "between 1 and 4"},
		{`"model":"sandbox-image","prompt":"x","output_format":"bmp"`, "output_format", "jpeg or png"},
		{`"model":"sandbox-image","prompt":"x","images":["ftp://a/b"]`, "images", "http or https"},
		{`"model":"sandbox-image","prompt":"x","images":["data:image/png;base64,AAAA"]`, "images", "http or https"},
		{`"model":"sandbox-image","prompt":"x","images":[` + strings.Repeat(`"http://a/",`, 16) + `"http://a/"]`, "images", "at most 16"},
		{`"model":"sandbox-image","prompt":"x","callback_url":"here"`, "callback_url", "http or https"},
		{`"model":"sandbox-image","prompt":"x","client_ref":"` + long[:256] + `"`, "client_ref", "at most 255"},
		{`"model":"sandbox-image","prompt":"x","options":{"fail":"luck"}`, "options.fail", "class"},
		{`"model":"sandbox-image","prompt":"x","options":{"moderation":"both"}`, "options.moderation", "input, output"},
		{`"model":"sandbox-image","prompt":"x","options":{"drop":"always"}`, "options.drop", "before_accept, after_accept"},
		{`"model":"sandbox-image","prompt":"x","options":{"callback":"none"}`, "options.callback", "lost"},
		{`"model":"sandbox-image","prompt":"x","options":{"delay":"soon"}`, "options.delay", "a duration must"},
		{`"model":"sandbox-image","prompt":"x","options":{"delay":-1}`, "options.delay", "a duration must"},
		{`"model":"sandbox-image","prompt":"x","options":{"delay":"49h"}`, "options.delay", "a duration must"},
		{`"model":"sandbox-image","prompt":"x","options":{"late_answer":"NaN"}`, "options.late_answer", "a duration must"},
		{`"model":"sandbox-image","prompt":"x","options":{"output_404":-1}`, "options.output_404", "number of times"},
		{`"model":"sandbox-image","prompt":"x","options":{"output_404":"yes"}`, "options.output_404", "number of times"},
		{`"model":"sandbox-image","prompt":"x","options":{"dealy":1}`, "options.dealy", "no such option"},
		{`"model":"sandbox-image","prompt":"x","options":{"status_5xx":-1}`, "options.status_5xx", "negative"},
		{`"model":"sandbox-image","prompt":"x","options":{"fail_times":-1}`, "options.fail_times", "negative"},
		{`"model":"sandbox-image","prompt":"x","options":{"status_word":"` + long[:65] + `"}`, "options.status_word", "64 bytes"},
	} {
		_, err := understand([]byte("{"+tc.fields+"}"), 1)
		var p *Problem
		if !errors.As(err, &p) || p.Code != "invalid" || p.status != 400 || p.Param != tc.param || !strings.Contains(p.Message, tc.message) {
			t.Errorf("{%.120s}: %+v, want 400 invalid about %q with %q", tc.fields, err, tc.param, tc.message)
		}
	}
	for _, body := range []string{"", "[]", "{", `{"model":"sandbox-image","prompt":"x"} {}`} {
		if _, err := understand([]byte(body), 1); err == nil {
			t.Errorf("body %q was understood", body)
		}
	}
	_, err := understand([]byte(`{"model":"gpt","prompt":"x"}`), 1)
	var p *Problem
	if !errors.As(err, &p) || p.Code != "model_gone" || p.status != 404 {
		t.Errorf("an unknown model: %+v", err)
	}
}

func TestUnderstood(t *testing.T) {
	got, err := understand([]byte(`{"model":"sandbox-video-callback","prompt":"x","size":"auto","duration":7,"images":["https://a/b.png"],
		"callback_url":"http://127.0.0.1/cb","client_ref":"r","negative_prompt":"unknown keys are ignored",
		"options":{"delay":"250ms","retry_after":2,"slow_download":"1.5","truncate_download":true,"output_404":3,"late_answer":null}}`), 42)
	if err != nil {
		t.Fatal(err)
	}
	if got.Width != 1280 || got.Height != 720 || got.Seconds != 7 || got.Count != 1 || got.Seed != 42 || got.Format != "mp4" || len(got.Images) != 1 || got.CallbackURL != "http://127.0.0.1/cb" {
		t.Errorf("understood %+v", got)
	}
	o := got.Options
	if time.Duration(*o.Delay) != 250*time.Millisecond || time.Duration(*o.RetryAfter) != 2*time.Second || time.Duration(o.SlowDownload) != 1500*time.Millisecond ||
		o.TruncateDownload != always || o.Output404 != 3 || o.LateAnswer != 0 {
		t.Errorf("options %+v", o)
	}
	// The journal must give the same back.
	stored, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var again spec
	if err := json.Unmarshal(stored, &again); err != nil {
		t.Fatal(err)
	}
	if back, err := json.Marshal(&again); err != nil || string(back) != string(stored) {
		t.Errorf("stored %s, read back %s, %v", stored, back, err)
	}
}

func TestPixelSize(t *testing.T) {
	for _, tc := range []struct {
		size, resolution string
		video            bool
		w, h             int
	}{
		{"", "", false, 1024, 1024},
		{"auto", "", false, 1024, 1024},
		{"16:9", "", false, 1024, 576},
		{"9:16", "", false, 576, 1024},
		{"3:2", "2K", false, 2048, 1366},
		{"1:1", "4k", false, 4096, 4096},
		{"1:1", "0.5K", false, 512, 512},
		{"800x601", "4K", false, 800, 601},
		{"64X4096", "", false, 64, 4096},
		{"", "", true, 1280, 720},
		{"", "1080p", true, 1920, 1080},
		{"9:16", "480p", true, 480, 854},
		{"1:1", "", true, 720, 720},
		{"1920x1080", "", true, 1920, 1080},
		{"128x1920", "", true, 128, 1920},
	} {
		w, h, p := pixelSize(tc.size, tc.resolution, tc.video)
		if p != nil || w != tc.w || h != tc.h {
			t.Errorf("%q at %q, video %v: %dx%d %v, want %dx%d", tc.size, tc.resolution, tc.video, w, h, p, tc.w, tc.h)
		}
	}
}

// Whatever a size says, it gives pixels that can be drawn, near to its ratio, or
// it is refused.
func TestPixelSizeAlwaysFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		video := rapid.Bool().Draw(t, "video")
		a, b := rapid.IntRange(1, 9999).Draw(t, "a"), rapid.IntRange(1, 9999).Draw(t, "b")
		size := itoa(a) + ":" + itoa(b)
		w, h, p := pixelSize(size, "", video)
		if p != nil {
			return
		}
		least, most := render.MinSide, render.MaxSide
		if video {
			least, most = render.MinVideoSide, render.MaxVideoSide
			if w%2 != 0 || h%2 != 0 {
				t.Fatalf("%s: odd %dx%d", size, w, h)
			}
		}
		if min(w, h) < least || max(w, h) > most {
			t.Fatalf("%s: %dx%d", size, w, h)
		}
		got, want := float64(w)/float64(h), float64(a)/float64(b)
		if got/want > 1.02 || want/got > 1.02 {
			t.Fatalf("%s: %dx%d is no such ratio", size, w, h)
		}
	})
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func FuzzUnderstand(f *testing.F) {
	f.Add([]byte(`{"model":"sandbox-image","prompt":"x","size":"16:9","n":2,"options":{"delay":"1s","fail":"rate","output_404":true}}`))
	f.Add([]byte(`{"model":"sandbox-video","prompt":"x","duration":"3","resolution":"1080p"}`))
	f.Add([]byte(`{"options":{"delay":1e400}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := understand(body, 1)
		if err != nil {
			var p *Problem
			if !errors.As(err, &p) || p.status < 400 || p.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if s.Count < 1 || s.Count > MaxOutputs || s.Width < render.MinSide || s.Width > render.MaxSide || s.Seconds < 0 || s.Seconds > render.MaxSeconds {
			t.Fatalf("understood %+v", s)
		}
		if d := s.Options.Delay; d != nil && (*d < 0 || time.Duration(*d) > MaxDelay) {
			t.Fatalf("delay %v", *d)
		}
	})
}
