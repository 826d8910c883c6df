package vidu

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// owned are the keys of metadata that do not reach Vidu: what Kinora decides, its own
// word for the route, and the submit API's for the duration.
var owned = map[string]bool{"model": true, "callback_url": true, "route": true, "durationSeconds": true}

// body builds the submit's JSON object. A metadata key wins over the input field that
// stands for the same thing; keys without a meaning here pass through.
func body(req provider.Request, r route) ([]byte, error) {
	out := map[string]any{"payload": req.ClientRef}
	if r.in(withModel) {
		out["model"] = modelFor(r, req.UpstreamModel)
	}
	if r.in(withPrompt) {
		out["prompt"] = req.Prompt
	}
	if r == multiFrame {
		addFrames(out, req)
	} else if len(req.Images) > 0 {
		out["images"] = req.Images
	}
	if req.Duration > 0 && r.in(withDuration) {
		out["duration"] = req.Duration
	}
	addShape(out, req, r)
	if req.CallbackURL != "" {
		out["callback_url"] = req.CallbackURL
	}
	for key, value := range req.Metadata {
		if !owned[key] {
			out[key] = value
		}
	}
	if seconds, ok := lenient.Whole(req.Metadata["duration"]); ok {
		out["duration"] = seconds // also where it came as a string
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a callback URL goes out as it came in
	err := enc.Encode(out)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// addFrames makes the input's images the frames of a multi-frame video: the first is
// where it starts, each further one the end of a piece that follows the prompt.
func addFrames(out map[string]any, req provider.Request) {
	if len(req.Images) == 0 {
		return
	}
	out["start_image"] = req.Images[0]
	var settings []map[string]any
	for _, image := range req.Images[1:] {
		piece := map[string]any{"prompt": req.Prompt, "key_image": image}
		if req.Duration > 0 {
			piece["duration"] = req.Duration
		}
		settings = append(settings, piece)
	}
	if len(settings) > 0 {
		out["image_settings"] = settings
	}
}

// addShape turns the input's size into the aspect ratio and the resolution, where the
// route has them.
func addShape(out map[string]any, req provider.Request, r route) {
	s, ok := shapeOf(req.Size, r, req.UpstreamModel)
	if !ok {
		return
	}
	if s.ratio != "" && r.in(withRatio) {
		out["aspect_ratio"] = s.ratio
	}
	if s.resolution != "" && r.in(withResolution) {
		out["resolution"] = s.resolution
	}
}

// shape is a size in Vidu's words; empty ones leave it to Vidu.
type shape struct {
	ratio, resolution string
}

// The documented aspect ratios. Of images "auto" is another: the first image's.
var (
	oldRatios   = []string{"16:9", "9:16", "1:1"}
	videoRatios = []string{"16:9", "9:16", "1:1", "3:4", "4:3"}
	imageRatios = []string{"16:9", "9:16", "1:1", "3:4", "4:3", "21:9", "2:3", "3:2"}
)

// ratiosOf are the aspect ratios that a route documents for a model; nil = not known,
// because the model is not, or because each template has its own.
func ratiosOf(r route, model string) []string {
	f := family(model)
	switch {
	case r == reference2Image:
		return imageRatios
	case r == template:
		return nil
	case f == "viduq3" || f == "viduq2":
		return videoRatios
	case f != "":
		return oldRatios
	}
	return nil
}

// step is a resolution's word and the longest side, or of a video the longest shorter
// side, that it stands for.
type step struct {
	pixels int
	word   string
}

var (
	videoSteps = []step{{540, "540p"}, {720, "720p"}, {1080, "1080p"}}
	imageSteps = []step{{1920, "1080p"}, {2560, "2K"}, {4096, "4K"}}
)

// near is how far a size in pixels may be from the ratio it is taken for: 1366x768 is
// meant to be 16:9.
const near = 0.02

// shapeOf reads a size, "WxH", "W:H" or "auto"; false where it cannot be had.
func shapeOf(size string, r route, model string) (shape, bool) {
	if size == "" {
		return shape{}, true
	}
	if size == "auto" {
		if r == reference2Image {
			return shape{ratio: "auto"}, true
		}
		return shape{}, true
	}
	w, h, pixels, ok := lenient.Size(size)
	if !ok {
		return shape{}, false
	}
	ratio, ok := ratioFor(w, h, pixels, ratiosOf(r, model))
	if !r.in(withRatio) {
		ratio, ok = "", true // the first image decides
	}
	if !ok || !pixels || !r.in(withResolution) {
		return shape{ratio: ratio}, ok
	}
	resolution, ok := resolutionFor(w, h, r)
	return shape{ratio: ratio, resolution: resolution}, ok
}

// ratioFor is the one of the documented ratios that a size stands for. Where none are
// documented it is the size's own, in its smallest numbers if no usual one is near.
func ratioFor(w, h int, pixels bool, documented []string) (string, bool) {
	list, tolerance := documented, 1e-9
	if documented == nil {
		list = imageRatios
	}
	if pixels {
		tolerance = near
	}
	for _, ratio := range list {
		rw, rh, _, _ := lenient.Size(ratio)
		if off := float64(w*rh)/float64(h*rw) - 1; off <= tolerance && off >= -tolerance {
			return ratio, true
		}
	}
	if documented != nil {
		return "", false
	}
	a, b := w, h
	for b != 0 {
		a, b = b, a%b
	}
	return strconv.Itoa(w/a) + ":" + strconv.Itoa(h/a), true
}

func resolutionFor(w, h int, r route) (string, bool) {
	side, steps := min(w, h), videoSteps
	if r == reference2Image {
		side, steps = max(w, h), imageSteps
	}
	for _, s := range steps {
		if side <= s.pixels {
			return s.word, true
		}
	}
	return "", false
}
