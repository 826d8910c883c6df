package sandbox

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// The lengths that a ratio is applied to: the longer side of an image, the
// shorter side of a video.
var (
	imageResolutions = map[string]int{"": 1024, "0.5K": 512, "1K": 1024, "2K": 2048, "4K": 4096}
	videoResolutions = map[string]int{"": 720, "360P": 360, "480P": 480, "720P": 720, "1080P": 1080}
)

// pixelSize returns the pixels that a size and a resolution stand for. size is
// "WxH", a ratio "W:H", "auto" or empty; resolution (0.5K, 1K, 2K, 4K for images;
// 360p, 480p, 720p, 1080p for videos) only matters where size gives no pixels.
func pixelSize(size, resolution string, video bool) (w, h int, p *Problem) {
	named, least, most, words := imageResolutions, render.MinSide, render.MaxSide, "0.5K, 1K, 2K or 4K"
	if video {
		named, least, most, words = videoResolutions, render.MinVideoSide, render.MaxVideoSide, "360p, 480p, 720p or 1080p"
	}
	base, ok := named[strings.ToUpper(resolution)]
	if !ok {
		return 0, 0, invalid("resolution", "resolution must be "+words)
	}
	if size == "" || size == "auto" {
		size = "1:1"
		if video {
			size = "16:9"
		}
	}
	switch a, b, sep := pair(size); {
	case sep == 0:
		return 0, 0, invalid("size", "size must be WxH, a ratio such as 16:9, or auto")
	case sep == ':':
		w, h = fromRatio(a, b, base, video)
	default:
		w, h = a, b
	}
	if w < least || w > most || h < least || h > most {
		return 0, 0, invalid("size", fmt.Sprintf("size must give sides between %d and %d pixels", least, most))
	}
	if video && (w%2 != 0 || h%2 != 0) {
		return 0, 0, invalid("size", "size must give even sides for a video")
	}
	return w, h, nil
}

// pair splits "AxB" or "A:B" into whole numbers of at most four digits from 1; sep
// is 0 for anything else.
func pair(s string) (a, b int, sep byte) {
	i := strings.IndexAny(s, "xX:")
	if i < 0 {
		return 0, 0, 0
	}
	a, okA := digits(s[:i])
	b, okB := digits(s[i+1:])
	if !okA || !okB {
		return 0, 0, 0
	}
	return a, b, s[i]
}

func digits(s string) (int, bool) {
	if len(s) == 0 || len(s) > 4 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}

// fromRatio applies a ratio to a side: an image's longer side has base pixels, a
// video's shorter one. The other side is rounded to an even number.
func fromRatio(a, b, base int, video bool) (w, h int) {
	other := func(x, y int) int { return (base*x/y + 1) / 2 * 2 }
	if (a >= b) == video {
		return other(a, b), base
	}
	return base, other(b, a)
}
