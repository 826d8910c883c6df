package kling

import (
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
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
	w, h, pixels, ok := size(req.Size)
	if !ok {
		return "", false
	}
	tolerance := 1e-9
	if pixels {
		tolerance = near
	}
	for _, ratio := range ratiosOf(req.Kind) {
		rw, rh, _, _ := size(ratio)
		if off := float64(w*rh)/float64(h*rw) - 1; off <= tolerance && off >= -tolerance {
			return ratio, true
		}
	}
	return "", false
}

// videoResolution is the newer family's word for a size in pixels, by its shorter side;
// empty = not said, false = larger than the model makes.
func videoResolution(req provider.Request) (string, bool) {
	w, h, pixels, ok := size(req.Size)
	if !ok || !pixels {
		return "", true
	}
	switch side := min(w, h); {
	case side <= 720:
		return "720p", true
	case side <= 1080:
		return "1080p", true
	case side <= 2160 && (resolutionsOf(req.UpstreamModel) == nil || slices.Contains(resolutionsOf(req.UpstreamModel), "4k")):
		return "4k", true
	}
	return "", false
}

// resolutionsOf are the newer family's words; nil = not known for the model.
func resolutionsOf(model string) []string {
	switch {
	case strings.Contains(model, "kling-3.0"):
		return []string{"720p", "1080p", "4k"}
	case strings.Contains(model, "kling-2."):
		return []string{"720p", "1080p"}
	}
	return nil
}

// imageResolution is the older family's word for an image's size in pixels, by its longer
// side; empty = not said, false = larger than it makes.
func imageResolution(req provider.Request) (string, bool) {
	w, h, pixels, ok := size(req.Size)
	if !ok || !pixels || req.Kind != kinora.KindImage {
		return "", true
	}
	switch side := max(w, h); {
	case side <= 1024:
		return "1k", true
	case side <= 2048:
		return "2k", true
	}
	return "", false
}
