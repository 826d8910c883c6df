package ark

import (
	"encoding/json"
	"strings"

	"github.com/kinora/kinora/provider"
)

// imageOwned are metadata keys that do not reach the body as they are. The answer is read
// whole and its images are fetched, so its format is not the caller's to choose.
var (
	imageOwned   = []string{"model", "prompt", "callback_url", "response_format", "stream", "resolution", "size", "n", "durationSeconds"}
	imageNumbers = []string{"seed"}
)

// imageBody is the JSON of a Seedream call.
func imageBody(req provider.Request) body {
	b := body{"model": modelID(req.UpstreamModel), "prompt": req.Prompt}
	if len(req.Images) == 1 {
		b["image"] = req.Images[0]
	} else if len(req.Images) > 1 {
		b["image"] = req.Images
	}
	// The vendor's default is true, unlike that of videos.
	b["watermark"] = false
	b.pass(req.Metadata, imageOwned, imageNumbers)
	b["response_format"] = "url"
	if size := imageSize(req); size != "" {
		b["size"] = size
	}
	if n := wanted(req); n > 1 {
		// Seedream decides by itself how many of them it makes.
		if _, ok := b["sequential_image_generation"]; !ok {
			b["sequential_image_generation"] = "auto"
		}
		if _, ok := b["sequential_image_generation_options"]; !ok {
			b["sequential_image_generation_options"] = map[string]int64{"max_images": n}
		}
	}
	return b
}

// wanted is metadata.n, the number of images as other image models have it; 0 = not given.
func wanted(req provider.Request) int64 {
	raw, ok := given(req, "n")
	if !ok {
		return 0
	}
	n, _ := whole(raw)
	return n
}

// sizeField is where a request says how large its images are to be.
func sizeField(req provider.Request) (field, text string, ok bool) {
	if raw, isThere := given(req, "size"); isThere {
		text, ok = word(raw)
		return "input.metadata.size", text, ok
	}
	return "input.size", req.Size, true
}

// imageSize is what the request's size means to Seedream, which takes pixels or one of a few
// words; a ratio becomes pixels, as many as metadata.resolution stands for. Empty = the model's default.
func imageSize(req provider.Request) string {
	_, text, _ := sizeField(req)
	resolution, _ := word(req.Metadata["resolution"])
	resolution = strings.ToUpper(resolution)
	if strings.EqualFold(text, adaptive) {
		return adaptive
	}
	s, nothing, ok := parseSize(text)
	switch {
	case !ok:
		return ""
	case nothing:
		return resolution
	case s.word != "":
		return s.word
	case s.pixels:
		return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "*", "x"))
	}
	side := 2048
	if generationOf(req.UpstreamModel).major == 3 {
		side = 1024 // the largest that this generation makes a square of by default
	}
	if resolution != "" {
		side = imageSide(resolution)
	}
	return imagePixels(s.w, s.h, side)
}

// adaptive lets SeedEdit follow its source, and Seedance its first frame.
const adaptive = "adaptive"

// inputImages counts the source images of a request.
func inputImages(req provider.Request) int {
	raw, ok := given(req, "image")
	if !ok {
		return len(req.Images)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return 1
	}
	return len(list)
}
