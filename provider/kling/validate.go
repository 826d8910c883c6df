package kling

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// The documented limits that hold for all models.
const (
	maxPrompt        = 2500 // characters; of negative_prompt too
	maxShots         = 6
	maxShotPrompt    = 512
	maxElements      = 3 // of a video from a first frame
	maxMasks         = 6
	minTrajectory    = 2 // points
	maxTrajectory    = 77
	maxImages        = 9  // outputs of an image model
	maxReferences    = 10 // of the omni image model
	maxOmniReference = 7  // of the omni video models
	maxSubjects      = 4  // images of a route that takes several
)

// Validate implements provider.Provider. It holds a request against what Kling
// documents of the models that it documents; what else Kling knows it says itself.
func (*Kling) Validate(req provider.Request) error {
	path := routeOf(req)
	if path == "" {
		return badRoute(req)
	}
	checks := []func(provider.Request, string) *provider.Error{checkTypes, checkTexts, checkSize, checkImages, checkPictures, checkDuration}
	f, _ := familyFor(req.UpstreamModel, req.Kind)
	switch {
	case f == modern:
		checks = append(checks, checkModern)
	case req.Kind == kinora.KindImage:
		checks = append(checks, checkPicture)
	default:
		checks = append(checks, checkMode, checkCamera, checkShots, checkMasks)
	}
	for _, check := range checks {
		if err := check(req, path); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

func meta(key string) string { return "input.metadata." + key }

func badRoute(req provider.Request) *provider.Error {
	f, _ := familyFor(req.UpstreamModel, req.Kind)
	return invalid(meta("route"), "one of %s", strings.Join(slices.Sorted(maps.Keys(routes[f][req.Kind])), ", "))
}

// words checks a field that takes one of a few words; an absent one passes.
func words(req provider.Request, key string, allowed ...string) *provider.Error {
	raw, field := given(req, key)
	if raw == nil {
		return nil
	}
	if word, ok := lenient.Text(raw); !ok || !slices.Contains(allowed, word) {
		return invalid(field, "one of %s", strings.Join(allowed, ", "))
	}
	return nil
}

// wordOr is a field's word, or another where it has none.
func wordOr(req provider.Request, key, otherwise string) string {
	raw, _ := given(req, key)
	if word, ok := lenient.Text(raw); ok {
		return word
	}
	return otherwise
}

func checkTypes(req provider.Request, _ string) *provider.Error {
	for _, key := range []string{"settings", "options", "camera_control", "watermark_info"} {
		if raw, field := given(req, key); raw != nil && object(raw) == nil {
			return invalid(field, "an object")
		}
	}
	for _, key := range []string{
		"multi_prompt", "element_list", "voice_list", "dynamic_masks", "image_list", "subject_image_list", "video_list", "contents",
	} {
		if raw, field := given(req, key); raw != nil && list(raw) == nil {
			return invalid(field, "a list")
		}
	}
	if raw, field := given(req, "external_task_id"); raw != nil {
		if id, ok := lenient.Text(raw); !ok || id == "" {
			return invalid(field, "a string that is not empty")
		}
	}
	if _, ok := object(req.Metadata["options"])["callback_url"]; ok {
		return provider.Errorf(provider.Invalid, "%s is not allowed; use %s", meta("options.callback_url"), meta("callback_url"))
	}
	return nil
}

func checkTexts(req provider.Request, _ string) *provider.Error {
	most := maxPrompt
	if l, ok := limitsOf(req.UpstreamModel); ok {
		most = l.prompt
	} else if f, _ := familyFor(req.UpstreamModel, req.Kind); f == modern {
		most = longPrompt
	}
	if utf8.RuneCountInString(req.Prompt) > most && !has(req, "prompt") {
		return invalid("input.prompt", "at most %d characters", most)
	}
	for _, own := range []struct {
		key  string
		most int
	}{{"prompt", most}, {"negative_prompt", maxPrompt}} {
		raw, ok := req.Metadata[own.key]
		if s, isText := lenient.Text(raw); ok && (!isText || utf8.RuneCountInString(s) > own.most) {
			return invalid(meta(own.key), "a string of at most %d characters", own.most)
		}
	}
	return nil
}

func checkSize(req provider.Request, path string) *provider.Error {
	ratios := ratiosOf(req.Kind)
	if ratio, _ := given(req, "aspect_ratio"); ratio == nil && ratioRoutes[path] {
		if _, ok := ratioOf(req); !ok {
			return invalid("input.size", "of one of the ratios %s, or auto", strings.Join(ratios, ", "))
		}
	}
	if path == omniImage {
		ratios = append(slices.Clone(ratios), "auto")
	}
	if err := words(req, "aspect_ratio", ratios...); err != nil {
		return err
	}
	return checkPixels(req, path)
}

// checkPixels wants a size in pixels to be one that the model makes, unless the caller
// names a resolution beside it.
func checkPixels(req provider.Request, path string) *provider.Error {
	f, _ := familyFor(req.UpstreamModel, req.Kind)
	key, of := "resolution", imageResolution
	switch {
	case f == modern:
		of = videoResolution
	case req.Kind == kinora.KindVideo:
		key, of = "mode", modeOf
	}
	if said, _ := given(req, key); said != nil {
		return nil
	}
	if _, ok := of(req); !ok {
		if req.Kind == kinora.KindImage {
			return invalid("input.size", "at most %d pixels a side", map[bool]int{true: 4096, false: 2048}[path == omniImage])
		}
		l, _ := limitsOf(req.UpstreamModel)
		return invalid("input.size", "at most %d pixels on the shorter side", map[bool]int{true: 2160, false: 1080}[l.words == nil || slices.Contains(l.words, "4k")])
	}
	return nil
}

// imageLimits are how many images of input.images a route has a place for.
var imageLimits = map[string]int{
	textToVideo: 0, imageToVideo: 2, imagesToVideo: maxSubjects, motionControl: 1, omniVideo: maxOmniReference,
	imageRoute: 1, imagesToImage: maxSubjects, omniImage: maxReferences,
	newTextToVideo: 0, newImageToVideo: 2, newMotionControl: 1, newOmniVideo: maxOmniReference,
}

// ownList is the metadata key of a route's own list of images; empty where it has none.
func ownList(path string) string {
	switch path {
	case newImageToVideo, newMotionControl, newOmniVideo:
		return "contents"
	}
	return imageLists[path][0]
}

// checkContents counts what the caller's own contents hold.
func checkContents(req provider.Request, path string) *provider.Error {
	field, count := meta("contents"), map[string]int{}
	for _, raw := range list(req.Metadata["contents"]) {
		kind, _ := lenient.Text(object(raw)["type"])
		count[kind]++
	}
	l, known := limitsOf(req.UpstreamModel)
	switch {
	case count["first_frame"] > 1 || count["last_frame"] > 1:
		return invalid(field, "a list of at most one first and one last frame")
	case known && path == newImageToVideo && l.frames < 2 && count["last_frame"] > 0:
		return invalid(field, "a list without a last frame for this model")
	case count["last_frame"] > 0 && count["first_frame"] == 0:
		return invalid(field, "a list with a first frame beside the last")
	case path == newOmniVideo && count["refer_image"]+count["element"] > maxOmniReference:
		return invalid(field, "a list of at most %d references", maxOmniReference)
	case path == newMotionControl && count["image"] > 1:
		return invalid(field, "a list of at most one image")
	}
	return nil
}

func checkImages(req provider.Request, path string) *provider.Error {
	most := imageLimits[path]
	if l, ok := limitsOf(req.UpstreamModel); ok && path == newImageToVideo {
		most = min(most, l.frames)
	}
	if _, model := familyOf(req.UpstreamModel); path == imagesToVideo && videoLimits[model].words != nil && model != "kling-v1-6" {
		most = 2 // the other models know frames only
	}
	if _, model := familyOf(req.UpstreamModel); path == imagesToImage && model == "kling-v3" {
		most = 1
	}
	switch own := ownList(path); {
	case own == "contents" && has(req, own):
		return checkContents(req, path)
	case own != "" && has(req, own): // it stands in place of input.images
		if n := len(list(req.Metadata[own])); n > imageLimits[path] {
			return invalid(meta(own), "a list of at most %d images", imageLimits[path])
		}
		return nil
	}
	if len(req.Images) > most {
		return invalid("input.images", "at most %d for this model", most)
	}
	return nil
}

// pictures are the limits of frames, by route.
var pictures = map[string]provider.PictureLimits{
	imageToVideo:    {Bytes: 10 << 20, Types: []string{"image/png", "image/jpeg"}, Side: 300, Ratio: 2.5},
	newImageToVideo: {Bytes: 50 << 20, Types: []string{"image/png", "image/jpeg"}, Side: 300, Ratio: 2.5},
}

// checkPictures looks at frames that the request itself brings.
func checkPictures(req provider.Request, path string) *provider.Error {
	return pictures[path].Check(req.Metadata, "image", "image_tail", "contents")
}

// checkDuration holds seconds against what is documented of the model; others pass.
func checkDuration(req provider.Request, path string) *provider.Error {
	if req.Kind != kinora.KindVideo || path == motionControl || path == newMotionControl {
		return nil
	}
	field, seconds := "input.duration", req.Duration
	if raw, name := given(req, "duration"); raw != nil {
		n, ok := lenient.Whole(raw)
		if !ok {
			return invalid(name, "a whole number of seconds")
		}
		field, seconds = name, n
	} else if seconds == 0 {
		return nil
	}
	l, ok := limitsOf(req.UpstreamModel)
	switch {
	case !ok || slices.Contains(l.seconds, seconds):
		return nil
	case len(l.seconds) == 2:
		return invalid(field, "%d or %d seconds", l.seconds[0], l.seconds[1])
	}
	return invalid(field, "between %d and %d seconds", l.seconds[0], l.seconds[len(l.seconds)-1])
}
