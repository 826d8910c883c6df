package vidu

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// The documented limits. Where the vendor's pages disagree the wider one counts.
const (
	maxPrompt      = 5000 // characters, of a video
	maxImagePrompt = 2000
	maxReferences  = 7
	maxPayload     = 1 << 20 // characters
	minFrames      = 1       // pieces of a multi-frame video
	maxFrames      = 9
	minPiece       = 2 // seconds between two frames
	maxPiece       = 7
)

// Validate implements provider.Provider. What only Vidu knows, such as which model has
// which route this month, is left to it.
func (*Vidu) Validate(req provider.Request) error {
	r := chooseRoute(req)
	for _, check := range []func(provider.Request, route) *provider.Error{
		checkRoute, checkPrompt, checkImages, checkPictures, checkRequired, checkSize, checkResolution, checkDuration, checkTypes, checkWords, checkForModel,
	} {
		if err := check(req, r); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

func checkRoute(req provider.Request, r route) *provider.Error {
	raw, ok := req.Metadata["route"]
	if !ok {
		return nil
	}
	if req.Kind == kinora.KindImage {
		if word, ok := lenient.Text(raw); !ok || word != string(reference2Image) {
			return invalid("input.metadata.route", "%s for an image model", reference2Image)
		}
		return nil
	}
	if !r.in(videoRoutes) {
		var words []string
		for _, v := range videoRoutes {
			words = append(words, string(v))
		}
		return invalid("input.metadata.route", "one of %s", strings.Join(words, ", "))
	}
	return nil
}

func checkPrompt(req provider.Request, r route) *provider.Error {
	field, prompt := "input.prompt", req.Prompt
	if raw, ok := req.Metadata["prompt"]; ok {
		field = "input.metadata.prompt"
		if prompt, ok = lenient.Text(raw); !ok {
			return invalid(field, "a string")
		}
	}
	most := maxPrompt
	if r == reference2Image {
		most = maxImagePrompt
	}
	if utf8.RuneCountInString(prompt) > most {
		return invalid(field, "at most %d characters", most)
	}
	return nil
}

func checkImages(req provider.Request, r route) *provider.Error {
	field := "input.images"
	if raw, ok := req.Metadata["images"]; ok {
		field = "input.metadata.images"
		var list []string
		if json.Unmarshal(raw, &list) != nil || list == nil {
			return invalid(field, "a list of strings")
		}
	}
	switch n := len(imagesOf(req)); {
	case r == image2Video && n != 1:
		return invalid(field, "exactly 1 for %s", r)
	case r == startEnd2Video && n != 2:
		return invalid(field, "exactly 2 for %s", r)
	case (r == reference2Video || r == reference2Image) && n > maxReferences:
		return invalid(field, "at most %d", maxReferences)
	case r == reference2Image && n == 0 && family(req.UpstreamModel) == "viduq1":
		return invalid(field, "at least 1 for this model")
	case (r == template || r == templateStory) && n == 0:
		return invalid(field, "at least 1 for %s", r)
	}
	return nil
}

// What Vidu takes of an image, and in all, in bytes.
var pictureLimits = provider.PictureLimits{Bytes: 50 << 20, Types: []string{"image/png", "image/jpeg", "image/webp"}, Ratio: 4}

const maxBody = 20 << 20

// checkPictures looks at images that the request itself brings.
func checkPictures(req provider.Request, _ route) *provider.Error {
	if err := pictureLimits.Check(req.Metadata, "images"); err != nil {
		return err
	}
	return provider.CheckMetadataSize(req.Metadata, maxBody)
}

// checkRequired wants what a route cannot do without.
func checkRequired(req provider.Request, r route) *provider.Error {
	switch r {
	case template, templateStory:
		key := map[route]string{template: "template", templateStory: "story"}[r]
		if word, ok := lenient.Text(req.Metadata[key]); !ok || word == "" {
			return invalid("input.metadata."+key, "the name of one")
		}
	case multiFrame:
		return checkFrames(req)
	}
	return nil
}

func checkFrames(req provider.Request) *provider.Error {
	start, ok := req.Metadata["start_image"]
	if _, isText := lenient.Text(start); ok && !isText {
		return invalid("input.metadata.start_image", "a string")
	}
	if !ok && len(req.Images) == 0 {
		return invalid("input.images", "the frames of the video, the first one first")
	}
	raw, ok := req.Metadata["image_settings"]
	if !ok {
		if n := len(req.Images) - 1; n < minFrames || n > maxFrames {
			return invalid("input.images", "a first frame and %d to %d more", minFrames, maxFrames)
		}
		return nil
	}
	var settings []map[string]json.RawMessage
	if json.Unmarshal(raw, &settings) != nil || len(settings) < minFrames || len(settings) > maxFrames {
		return invalid("input.metadata.image_settings", "a list of %d to %d objects", minFrames, maxFrames)
	}
	return nil
}

func checkSize(req provider.Request, r route) *provider.Error {
	if raw, ok := req.Metadata["aspect_ratio"]; ok {
		return checkRatio(raw, r, req.UpstreamModel)
	}
	s, ok := shapeOf(req.Size, r, req.UpstreamModel)
	if ok && s.resolution != "" && s.resolution != "1080p" && family(req.UpstreamModel) == "viduq1" && r != reference2Image {
		if _, told := req.Metadata["resolution"]; !told {
			return invalid("input.size", "1080 pixels on the shorter side for this model, or a ratio such as 16:9")
		}
	}
	if ok {
		return nil
	}
	w, h, pixels, ok := lenient.Size(req.Size)
	switch {
	case !ok:
		return invalid("input.size", "WxH in pixels, a ratio such as 16:9, or auto")
	case pixels && !fits(w, h, r):
		if r == reference2Image {
			return invalid("input.size", "at most %d pixels on the longer side", imageSteps[len(imageSteps)-1].pixels)
		}
		return invalid("input.size", "at most %d pixels on the shorter side", videoSteps[len(videoSteps)-1].pixels)
	}
	return invalid("input.size", "of one of the ratios %s", strings.Join(ratiosOf(r, req.UpstreamModel), ", "))
}

func fits(w, h int, r route) bool {
	_, ok := resolutionFor(w, h, r)
	return ok
}

func checkRatio(raw json.RawMessage, r route, model string) *provider.Error {
	word, ok := lenient.Text(raw)
	if !ok {
		return invalid("input.metadata.aspect_ratio", "a string")
	}
	ratios := ratiosOf(r, model)
	if ratios == nil || !r.in(withRatio) {
		return nil
	}
	if r == reference2Image {
		ratios = append(slices.Clone(ratios), "auto")
	}
	if !slices.Contains(ratios, word) {
		return invalid("input.metadata.aspect_ratio", "one of %s", strings.Join(ratios, ", "))
	}
	return nil
}

// The documented resolutions.
var (
	videoResolutions = []string{"540p", "720p", "1080p"}         // viduq1 has the last one alone
	oldResolutions   = []string{"360p", "540p", "720p", "1080p"} // of vidu2.0 and vidu1.5, about which the pages disagree
	imageResolutions = []string{"1080p", "2K", "4K"}
)

func checkResolution(req provider.Request, r route) *provider.Error {
	raw, ok := req.Metadata["resolution"]
	if !ok {
		return nil
	}
	const field = "input.metadata.resolution"
	word, isText := lenient.Text(raw)
	if !isText {
		return invalid(field, "a string")
	}
	var words []string
	switch f := family(req.UpstreamModel); {
	case r == reference2Image:
		words = imageResolutions
	case !r.in(withResolution) || f == "":
		return nil
	case f == "viduq1":
		words = videoResolutions[2:]
	case f == "vidu2.0" || f == "vidu1.5":
		words = oldResolutions
	default:
		words = videoResolutions
	}
	if !slices.Contains(words, word) {
		return invalid(field, "one of %s", strings.Join(words, ", "))
	}
	return nil
}

// durations are the whole seconds that a family documents.
var durations = map[string][2]int{"viduq3": {1, 16}, "viduq2": {1, 10}, "viduq1": {5, 5}}

func checkDuration(req provider.Request, r route) *provider.Error {
	field, seconds := "input.duration", req.Duration
	if raw, ok := req.Metadata["duration"]; ok {
		field = "input.metadata.duration"
		if seconds, ok = lenient.Whole(raw); !ok {
			return invalid(field, "a whole number of seconds")
		}
	} else if seconds == 0 {
		return nil
	}
	limits, known := durations[family(req.UpstreamModel)]
	switch {
	case r == multiFrame && field == "input.duration":
		limits = [2]int{minPiece, maxPiece}
	case !known || !r.in(withDuration):
		return nil
	}
	if limits[0] == limits[1] && seconds != limits[0] {
		return invalid(field, "%d seconds for this model", limits[0])
	}
	if seconds < limits[0] || seconds > limits[1] {
		return invalid(field, "between %d and %d seconds", limits[0], limits[1])
	}
	return nil
}

// The keys of metadata whose type is documented.
var (
	booleans = []string{"audio", "bgm", "is_rec", "off_peak", "watermark"}
	texts    = []string{"meta_data", "voice_id", "wm_url"}
)

func checkTypes(req provider.Request, _ route) *provider.Error {
	for _, key := range booleans {
		if raw, ok := req.Metadata[key]; ok {
			if on := string(raw); on != "true" && on != "false" {
				return invalid("input.metadata."+key, "true or false")
			}
		}
	}
	for _, key := range texts {
		if raw, ok := req.Metadata[key]; ok {
			if _, ok := lenient.Text(raw); !ok {
				return invalid("input.metadata."+key, "a string")
			}
		}
	}
	if raw, ok := req.Metadata["seed"]; ok {
		if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
			return invalid("input.metadata.seed", "a whole number")
		}
	}
	if raw, ok := req.Metadata["payload"]; ok {
		if payload, ok := lenient.Text(raw); !ok || utf8.RuneCountInString(payload) > maxPayload {
			return invalid("input.metadata.payload", "a string of at most %d characters", maxPayload)
		}
	}
	return nil
}

// checkForModel wants what a generation of models lost to be left out. Templates choose their model themselves.
func checkForModel(req provider.Request, r route) *provider.Error {
	f := family(req.UpstreamModel)
	if !r.in(withModel) {
		return nil
	}
	if _, ok := req.Metadata["style"]; ok && !styled(f) {
		return provider.Errorf(provider.Invalid, "input.metadata.style must be left out for this model")
	}
	if string(req.Metadata["bgm"]) == "true" && !accompanied(f) {
		return invalid("input.metadata.bgm", "false for this model")
	}
	return nil
}

// styled says that a family has styles, accompanied that it has background music.
func styled(f string) bool      { return f != "viduq2" && f != "viduq3" }
func accompanied(f string) bool { return f != "viduq3" }

// wordSets are the metadata keys that take one of a few words.
var wordSets = []struct {
	key   string
	words []string
}{
	{"movement_amplitude", []string{"auto", "small", "medium", "large"}},
	{"style", []string{"general", "anime"}},
}

func checkWords(req provider.Request, _ route) *provider.Error {
	for _, set := range wordSets {
		if raw, ok := req.Metadata[set.key]; ok {
			if word, ok := lenient.Text(raw); !ok || !slices.Contains(set.words, word) {
				return invalid("input.metadata."+set.key, "one of %s", strings.Join(set.words, ", "))
			}
		}
	}
	if raw, ok := req.Metadata["wm_position"]; ok {
		if n, err := strconv.Atoi(string(raw)); err != nil || n < 1 || n > 4 {
			return invalid("input.metadata.wm_position", "a whole number between 1 and 4")
		}
	}
	return nil
}
