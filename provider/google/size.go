package google

import (
	"math"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// Videos are of one of two shapes, and their resolution goes by the longer side (submit API
// contract, 2.5, decision on the size mapping).
const (
	wide = "16:9"
	tall = "9:16"

	fullHD  = 1920 // from here on 1080p
	ultraHD = 3840 // from here on 4k
)

// videoShape is what a video request's size and metadata mean. Metadata outranks size; the
// defaults are 720p and 16:9.
func videoShape(req provider.Request) (ratio, resolution string) {
	ratio, resolution = wide, "720p"
	if w, h, pixels, ok := lenient.Size(req.Size); ok {
		if h > w {
			ratio = tall
		}
		if long := max(w, h); pixels && long >= ultraHD {
			resolution = "4k"
		} else if pixels && long >= fullHD {
			resolution = "1080p"
		}
	}
	if word, ok := firstText(req, ratioKeys...); ok {
		ratio = word
	}
	if word, ok := lenient.Text(req.Metadata["resolution"]); ok {
		resolution = strings.ToLower(word)
	}
	return ratio, resolution
}

// ratioKeys are what callers call a shape: in the submit API's words and in Google's.
var ratioKeys = []string{"aspectRatio", "aspect_ratio"}

// firstText reads the first of some metadata keys that is there.
func firstText(req provider.Request, keys ...string) (string, bool) {
	for _, key := range keys {
		if raw, ok := req.Metadata[key]; ok {
			return lenient.Text(raw)
		}
	}
	return "", false
}

// imageRatios are the documented shapes of images (section 5), and extremeRatios those that
// the flash model of 3.1 has beside them.
var (
	imageRatios   = []string{"1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"}
	extremeRatios = []string{"1:4", "4:1", "1:8", "8:1"}
)

func ratiosOf(upstreamModel string) []string {
	if strings.HasPrefix(upstreamModel, "gemini-3.1-flash") {
		return append(append([]string(nil), imageRatios...), extremeRatios...)
	}
	return imageRatios
}

// imageRatio is the documented shape nearest to the size that was asked for; empty = the
// model's own choice.
func imageRatio(req provider.Request) string {
	size := req.Size
	if word, ok := firstText(req, ratioKeys...); ok {
		size = word
	}
	w, h, _, ok := lenient.Size(size)
	if !ok {
		return ""
	}
	want, nearest, least := math.Log(float64(w)/float64(h)), "", math.Inf(1)
	for _, ratio := range ratiosOf(req.UpstreamModel) {
		a, b, _, _ := lenient.Size(ratio)
		if off := math.Abs(math.Log(float64(a)/float64(b)) - want); off < least {
			nearest, least = ratio, off
		}
	}
	return nearest
}

// imageSize is Google's word for the submit API's resolution, by default 1K; empty for models
// that have one size only. The pro model begins at 1K.
func imageSize(req provider.Request) string {
	if strings.HasPrefix(req.UpstreamModel, "gemini-2.5") {
		return ""
	}
	word, ok := firstText(req, "resolution")
	if !ok {
		return "1K"
	}
	switch word = strings.ToUpper(word); {
	case word == "0.5K" && isPro(req.UpstreamModel):
		return "1K"
	case word == "0.5K":
		return "512"
	}
	return word
}

func isPro(upstreamModel string) bool { return strings.Contains(upstreamModel, "-pro") }
