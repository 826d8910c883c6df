package ark

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// size is what input.size says.
type size struct {
	w, h   int
	pixels bool   // "WxH", against the ratio "W:H"
	word   string // "2K" and its like; empty = numbers
}

var sizePattern = regexp.MustCompile(`^(\d{1,5})([xX*:])(\d{1,5})$`)

// parseSize reads "WxH", "W:H" or "2K". nothing is true for "" and "auto", which leave the
// choice to the model.
func parseSize(text string) (s size, nothing, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "auto") {
		return size{}, true, true
	}
	if slices.Contains(imageSizes, strings.ToUpper(text)) {
		return size{word: strings.ToUpper(text)}, false, true
	}
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return size{}, false, false
	}
	w, errW := strconv.Atoi(m[1])
	h, errH := strconv.Atoi(m[3])
	return size{w: w, h: h, pixels: m[2] != ":"}, false, errW == nil && errH == nil && w > 0 && h > 0
}

// videoRatios are the shapes that Seedance makes.
var videoRatios = []string{"16:9", "4:3", "1:1", "3:4", "9:16", "21:9"}

// videoResolutions are the sizes that Seedance makes, by their number of pixels at 16:9.
var videoResolutions = []struct {
	name   string
	pixels float64
}{
	{"480p", 864 * 480}, {"720p", 1280 * 720}, {"1080p", 1920 * 1080}, {"4k", 3840 * 2160},
}

// nearestRatio is the shape that comes closest to w by h.
func nearestRatio(w, h int) string {
	return slices.MinFunc(videoRatios, func(a, b string) int {
		da, db := ratioDistance(a, w, h), ratioDistance(b, w, h)
		switch {
		case da < db:
			return -1
		case da > db:
			return 1
		}
		return 0
	})
}

func ratioDistance(ratio string, w, h int) float64 {
	s, _, _ := parseSize(ratio)
	return math.Abs(math.Log(float64(w) * float64(s.h) / (float64(h) * float64(s.w))))
}

// nearestResolution is the name whose number of pixels comes closest to w by h.
func nearestResolution(w, h int) string {
	name, least := "", math.Inf(1)
	for _, r := range videoResolutions {
		if d := math.Abs(math.Log(float64(w) * float64(h) / r.pixels)); d < least {
			name, least = r.name, d
		}
	}
	return name
}

// imageSizes are the words that Seedream takes for a size.
var imageSizes = []string{"1K", "2K", "3K", "4K"}

// imageSide is the side of the square that a word stands for.
func imageSide(word string) int {
	return 1024 * (slices.Index(imageSizes, strings.ToUpper(word)) + 1)
}

// imagePixels gives a ratio as many pixels as the square of a side has, never more, with both
// sides multiples of 16.
func imagePixels(ratioW, ratioH, side int) string {
	r := math.Sqrt(float64(ratioW) / float64(ratioH))
	floor16 := func(x float64) int { return max(16, int(x/16+1e-9)*16) }
	return fmt.Sprintf("%dx%d", floor16(float64(side)*r), floor16(float64(side)/r))
}
