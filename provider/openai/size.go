package openai

import (
	"fmt"
	"math"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

const (
	auto = "auto"
	// step is what sides of images are multiples of.
	step = 16
	// The largest image, 3840x2160 in either direction.
	longestSide = 3840
	mostPixels  = 3840 * 2160
)

// areas are how many pixels the words of metadata.resolution stand for, which OpenAI does not
// have and its resellers do. What exceeds the largest image is cut to it.
var areas = map[string]int{"1K": 1024 * 1024, "2K": 2048 * 2048, "4K": mostPixels}

func areaOf(req provider.Request) (pixels int, ok bool) {
	word, _ := lenient.Text(req.Metadata["resolution"])
	pixels, ok = areas[strings.ToUpper(strings.TrimSpace(word))]
	return pixels, ok
}

// imageSize is what a request's size means to an image model, which takes pixels or "auto": a
// ratio becomes pixels, as many as metadata.resolution stands for, and a resolution without a
// ratio a square. Pixels are brought to the nearest multiples of 16, as the vendor
// wants them. metadata.resolution wins over pixels, of which only the ratio is left then (contract
// submit-api, section 2.2). Empty = the model's default.
func imageSize(req provider.Request) string {
	_, text, _ := sizeField(req)
	text = strings.ToLower(strings.TrimSpace(text))
	area, resized := areaOf(req)
	if !resized {
		area = areas["1K"]
	}
	w, h, pixels, ok := lenient.Size(strings.ReplaceAll(text, "*", "x"))
	switch {
	case !ok && resized && area > areas["1K"]:
		w, h = 1, 1
	case !ok:
		return text
	case pixels && !resized:
		return fmt.Sprintf("%dx%d", nearest(w), nearest(h))
	}
	side := math.Sqrt(float64(area) / float64(w) / float64(h))
	if longest := side * float64(max(w, h)); longest > longestSide {
		side *= longestSide / longest
	}
	return fmt.Sprintf("%dx%d", below(side*float64(w)), below(side*float64(h)))
}

// nearest and below bring a side to a multiple of step.
func nearest(side int) int   { return max(step, (side+step/2)/step*step) }
func below(side float64) int { return max(step, int(side+1e-6)/step*step) }

// videoSize is what a request's size means to a video model, which takes pixels: the two common
// ratios become the size that every model has, anything else goes as it is.
func videoSize(req provider.Request) string {
	_, text, _ := sizeField(req)
	switch text = strings.ToLower(strings.TrimSpace(text)); text {
	case auto:
		return ""
	case "16:9":
		return "1280x720"
	case "9:16":
		return "720x1280"
	}
	return strings.ReplaceAll(text, "*", "x")
}
