package kling

import (
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// The documented aspect ratios.
var (
	videoRatios = []string{"16:9", "9:16", "1:1"}
	imageRatios = []string{"16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"}
)

// near is how far a size in pixels may be from the ratio that it is taken for: 1366x768
// is meant to be 16:9.
const near = 0.02

func ratiosOf(kind kinora.Kind) []string {
	if kind == kinora.KindImage {
		return imageRatios
	}
	return videoRatios
}

// ratioOf is the documented ratio that the input's size stands for; empty = Kling's
// default, false = there is none.
func ratioOf(req provider.Request) (string, bool) {
	if req.Size == "" || req.Size == "auto" {
		return "", true
	}
	w, h, pixels, ok := lenient.Size(req.Size)
	if !ok {
		return "", false
	}
	tolerance := 1e-9
	if pixels {
		tolerance = near
	}
	for _, ratio := range ratiosOf(req.Kind) {
		rw, rh, _, _ := lenient.Size(ratio)
		if off := float64(w*rh)/float64(h*rw) - 1; off <= tolerance && off >= -tolerance {
			return ratio, true
		}
	}
	return "", false
}

// step is one of a model's resolutions.
type step struct {
	side int // pixels, at most
	word string
}

// wordOf is the smallest resolution that holds a side, among those a model has; nil = it
// is not known which. Empty = none.
func wordOf(side int, steps []step, words []string) string {
	for _, s := range steps {
		if side <= s.side {
			if words == nil || slices.Contains(words, s.word) {
				return s.word
			}
			return ""
		}
	}
	return ""
}

// videoResolution is the newer family's word for a size in pixels, by its shorter side;
// empty = not said, false = larger than the model makes.
func videoResolution(req provider.Request) (string, bool) {
	w, h, pixels, ok := lenient.Size(req.Size)
	if !ok || !pixels {
		return "", true
	}
	l, _ := limitsOf(req.UpstreamModel)
	word := wordOf(min(w, h), []step{{720, "720p"}, {1080, "1080p"}, {2160, "4k"}}, l.words)
	return word, word != ""
}

// modeOf is what stands for a resolution in the older family, on models where it does; empty =
// not said, or Kling's default, false = larger than the model makes.
func modeOf(req provider.Request) (string, bool) {
	f, model := familyFor(req.UpstreamModel, req.Kind)
	w, h, pixels, ok := lenient.Size(req.Size)
	if !ok || !pixels || f == modern || req.Kind == kinora.KindImage || !sharp(model) {
		return "", true
	}
	word := wordOf(min(w, h), []step{{720, "std"}, {1080, "pro"}, {2160, "4k"}}, videoLimits[model].words)
	if word == "std" {
		return "", true
	}
	return word, word != ""
}

// imageResolution is the word for an image's size in pixels, by its longer side; empty =
// not said, false = larger than the model makes.
func imageResolution(req provider.Request) (string, bool) {
	w, h, pixels, ok := lenient.Size(req.Size)
	if !ok || !pixels || req.Kind != kinora.KindImage {
		return "", true
	}
	word := wordOf(max(w, h), []step{{1024, "1k"}, {2048, "2k"}, {4096, "4k"}}, imageWords(routeOf(req)))
	return word, word != ""
}

// imageWords are the resolutions of an image route.
func imageWords(path string) []string {
	if path == omniImage {
		return []string{"1k", "2k", "4k"}
	}
	return []string{"1k", "2k"}
}
