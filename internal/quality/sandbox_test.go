package quality_test

import (
	"bytes"
	"image"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/quality"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// TestSandboxPassesTheGate: what the built-in generator makes of a photo passes the gates of the built-in workflows, and
// each picture that it can be ordered to make instead fails one check.
func TestSandboxPassesTheGate(t *testing.T) {
	renderer, err := render.New()
	if err != nil {
		t.Fatal(err)
	}
	gate := kinora.Gate{MinWidth: 256, AspectTolerance: 0.03, NotBlank: true, Changed: 6, Structure: 0.6}
	src := room(4, sceneW, sceneH)
	source := jpegFile(t, src, 90)
	draw := func(seed int64, reference image.Image, order render.Order) []byte {
		var out bytes.Buffer
		s := render.Scene{Prompt: "a room", Model: "sandbox-image", Seed: seed, Reference: reference, Order: order, Width: sceneW, Height: sceneH}
		if err := renderer.Image(&out, s, render.JPEG); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for seed := range int64(12) {
		if v := judged(t, gate, draw(seed, src, render.NoOrder), source, sceneW, sceneH); !v.Passed {
			t.Errorf("seed %d: %+v", seed, v)
		}
	}
	for order, name := range map[render.Order]string{
		render.Blank: quality.CheckNotBlank, render.Identical: quality.CheckChanged, render.Unrelated: quality.CheckStructure, render.Small: quality.CheckMinWidth,
	} {
		for seed := range int64(2) {
			v := judged(t, gate, draw(seed, src, order), source, sceneW, sceneH)
			if c := check(t, v, name); v.Passed || c.Passed {
				t.Errorf("%s: %+v", order, v)
			}
		}
	}
}

func TestVideos(t *testing.T) {
	renderer, err := render.New()
	if err != nil {
		t.Fatal(err)
	}
	var clip bytes.Buffer
	if err := renderer.Video(&clip, render.Scene{Prompt: "a room", Width: 320, Height: 160}, 1); err != nil {
		t.Fatal(err)
	}
	j := quality.New(quality.Config{SourceOf: noSource})
	for _, tc := range []struct {
		name    string
		gate    kinora.Gate
		content []byte
		want    bool
	}{
		{"large enough", kinora.Gate{MinWidth: 320, MinHeight: 160, Aspect: 2}, clip.Bytes(), true},
		{"too small", kinora.Gate{MinWidth: 640}, clip.Bytes(), false},
		{"another shape", kinora.Gate{Aspect: 16.0 / 9}, clip.Bytes(), false},
		{"an image", kinora.Gate{}, jpegFile(t, room(1, 64, 64), 80), false},
		{"cut off", kinora.Gate{}, clip.Bytes()[:200], false},
	} {
		v, err := j.Judge(t.Context(), generation(tc.gate), &kinora.Output{Kind: kinora.KindVideo}, opener(tc.content))
		if err != nil || v.Passed != tc.want {
			t.Errorf("%s: %+v, %v", tc.name, v, err)
		}
	}
}
