package kling

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// The documented limits.
const (
	maxPrompt     = 2500 // characters; of negative_prompt too
	maxShots      = 6
	maxShotPrompt = 512
	maxElements   = 3
	maxMasks      = 6
	maxImages     = 9  // outputs of an image model
	maxReferences = 10 // of the omni image model
)

// Validate implements provider.Provider. It holds a request against what Kling
// documents of the models that it documents; what else Kling knows it says itself.
func (*Kling) Validate(req provider.Request) error {
	path := routeOf(req)
	if path == "" {
		return badRoute(req)
	}
	checks := []func(provider.Request, string) *provider.Error{checkTypes, checkTexts, checkSize, checkImages, checkDuration}
	if f, _ := familyOf(req.UpstreamModel); f == modern {
		checks = append(checks, checkModern)
	} else if req.Kind == kinora.KindImage {
		checks = append(checks, checkPicture)
	} else {
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
	f, _ := familyOf(req.UpstreamModel)
	words := slices.Sorted(maps.Keys(routes[f][req.Kind]))
	if len(words) == 0 {
		return provider.Errorf(provider.Invalid, "model is of a family that makes no images")
	}
	return invalid(meta("route"), "one of %s", strings.Join(words, ", "))
}

// words checks a metadata key that takes one of a few words; an absent one passes.
func words(req provider.Request, key string, allowed ...string) *provider.Error {
	raw, ok := req.Metadata[key]
	if !ok {
		return nil
	}
	if word, ok := text(raw); !ok || !slices.Contains(allowed, word) {
		return invalid(meta(key), "one of %s", strings.Join(allowed, ", "))
	}
	return nil
}

func checkTypes(req provider.Request, _ string) *provider.Error {
	for _, key := range []string{"settings", "options", "camera_control", "watermark_info"} {
		var fields map[string]json.RawMessage
		if raw, ok := req.Metadata[key]; ok && (json.Unmarshal(raw, &fields) != nil || fields == nil) {
			return invalid(meta(key), "an object")
		}
	}
	for _, key := range []string{"multi_prompt", "element_list", "voice_list", "dynamic_masks", "image_list", "contents"} {
		var items []json.RawMessage
		if raw, ok := req.Metadata[key]; ok && (json.Unmarshal(raw, &items) != nil || items == nil) {
			return invalid(meta(key), "a list")
		}
	}
	if raw, ok := req.Metadata["external_task_id"]; ok {
		if id, ok := text(raw); !ok || id == "" {
			return invalid(meta("external_task_id"), "a string that is not empty")
		}
	}
	return nil
}

func checkTexts(req provider.Request, _ string) *provider.Error {
	if utf8.RuneCountInString(req.Prompt) > maxPrompt {
		return invalid("input.prompt", "at most %d characters", maxPrompt)
	}
	for _, key := range []string{"prompt", "negative_prompt"} {
		raw, ok := req.Metadata[key]
		if !ok {
			continue
		}
		if s, ok := text(raw); !ok || utf8.RuneCountInString(s) > maxPrompt {
			return invalid(meta(key), "a string of at most %d characters", maxPrompt)
		}
	}
	return nil
}

func checkSize(req provider.Request, path string) *provider.Error {
	_, ok := ratioOf(req)
	framed := path == imageToVideo || path == "/image-to-video/" // the first frame decides
	if !ok && !framed && !has(req, "aspect_ratio") {
		return invalid("input.size", "of one of the ratios %s, or auto", strings.Join(ratiosOf(req.Kind), ", "))
	}
	if f, _ := familyOf(req.UpstreamModel); f == modern && !has(req, "resolution") {
		if _, ok := videoResolution(req); !ok {
			return invalid("input.size", "at most %s", strings.Join(resolutionsOf(req.UpstreamModel), ", "))
		}
	}
	if _, ok := imageResolution(req); !ok && !has(req, "resolution") {
		return invalid("input.size", "at most 2048 pixels a side")
	}
	return words(req, "aspect_ratio", ratiosOf(req.Kind)...)
}

func checkImages(req provider.Request, path string) *provider.Error {
	most := map[string]int{
		textToVideo: 0, imageToVideo: 2, motionControl: 1, imageRoute: 1, omniImage: maxReferences,
		"/text-to-video/": 0, "/image-to-video/": 2, "/motion-control/": 1,
	}
	n, bounded := most[path]
	if path == "/image-to-video/" && strings.Contains(req.UpstreamModel, "3.0-turbo") {
		n = 1 // a first frame only
	}
	if bounded && len(req.Images) > n {
		return invalid("input.images", "at most %d for this model and route", n)
	}
	return nil
}

// checkDuration holds seconds against what is documented of the model; others pass.
func checkDuration(req provider.Request, _ string) *provider.Error {
	if req.Kind != kinora.KindVideo {
		return nil
	}
	field, seconds := "input.duration", req.Duration
	if raw, ok := req.Metadata["duration"]; ok {
		field = meta("duration")
		if seconds, ok = whole(raw); !ok {
			return invalid(field, "a whole number of seconds")
		}
	} else if seconds == 0 {
		return nil
	}
	_, model := familyOf(req.UpstreamModel)
	switch {
	case strings.Contains(model, "kling-v3"), strings.Contains(model, "kling-3.0"):
		if seconds < 3 || seconds > 15 {
			return invalid(field, "between 3 and 15 seconds")
		}
	case strings.HasPrefix(model, "kling-v1"), strings.HasPrefix(model, "kling-v2"), strings.HasPrefix(model, "kling-2."):
		if seconds != 5 && seconds != 10 {
			return invalid(field, "5 or 10 seconds")
		}
	}
	return nil
}

func checkModern(req provider.Request, _ string) *provider.Error {
	if list := resolutionsOf(req.UpstreamModel); list != nil {
		if err := words(req, "resolution", list...); err != nil {
			return err
		}
	}
	if err := words(req, "audio", "native", "off"); err != nil {
		return err
	}
	audio, _ := text(req.Metadata["audio"])
	resolution, said := text(req.Metadata["resolution"])
	if !said {
		resolution, _ = videoResolution(req)
	}
	if strings.Contains(req.UpstreamModel, "kling-2.6") && audio == "native" && resolution != "1080p" {
		return invalid(meta("audio"), "off, or the resolution 1080p")
	}
	return nil
}

func checkMode(req provider.Request, path string) *provider.Error {
	_, model := familyOf(req.UpstreamModel)
	modes := []string{"std", "pro"}
	if !strings.HasPrefix(model, "kling-v1") && !strings.HasPrefix(model, "kling-v2") {
		modes = append(modes, "4k")
	}
	if err := words(req, "mode", modes...); err != nil {
		return err
	}
	if err := words(req, "sound", "on", "off"); err != nil {
		return err
	}
	mode, _ := text(req.Metadata["mode"])
	if sound, _ := text(req.Metadata["sound"]); sound == "on" && mode != "pro" && strings.HasPrefix(model, "kling-v2-6") {
		return invalid(meta("mode"), "pro for a video with sound")
	}
	raw, ok := req.Metadata["cfg_scale"]
	if !ok {
		return nil
	}
	if strings.HasPrefix(model, "kling-v2") {
		return provider.Errorf(provider.Invalid, "%s is not known to this model", meta("cfg_scale"))
	}
	if scale, ok := number(raw); !ok || scale < 0 || scale > 1 {
		return invalid(meta("cfg_scale"), "a number between 0 and 1")
	}
	return nil
}

func checkCamera(req provider.Request, _ string) *provider.Error {
	raw, ok := req.Metadata["camera_control"]
	if !ok {
		return nil
	}
	var camera struct {
		Type   json.RawMessage            `json:"type"`
		Config map[string]json.RawMessage `json:"config"`
	}
	if json.Unmarshal(raw, &camera) != nil {
		return invalid(meta("camera_control.config"), "an object")
	}
	types := []string{"simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward"}
	if camera.Type != nil {
		if word, ok := text(camera.Type); !ok || !slices.Contains(types, word) {
			return invalid(meta("camera_control.type"), "one of %s", strings.Join(types, ", "))
		}
	}
	for _, axis := range []string{"horizontal", "vertical", "pan", "tilt", "roll", "zoom"} {
		if raw, ok := camera.Config[axis]; ok {
			if v, ok := number(raw); !ok || v < -10 || v > 10 {
				return invalid(meta("camera_control.config."+axis), "a number between -10 and 10")
			}
		}
	}
	return nil
}

func checkShots(req provider.Request, path string) *provider.Error {
	if err := words(req, "shot_type", "customize", "intelligence"); err != nil {
		return err
	}
	var shots []struct {
		Prompt string `json:"prompt"`
	}
	if raw, ok := req.Metadata["multi_prompt"]; ok {
		if json.Unmarshal(raw, &shots) != nil || len(shots) > maxShots {
			return invalid(meta("multi_prompt"), "a list of at most %d shots", maxShots)
		}
		for i, shot := range shots {
			if utf8.RuneCountInString(shot.Prompt) > maxShotPrompt {
				return invalid(fmt.Sprintf("%s[%d].prompt", meta("multi_prompt"), i), "at most %d characters", maxShotPrompt)
			}
		}
	}
	if has(req, "voice_list") && has(req, "element_list") {
		return provider.Errorf(provider.Invalid, "%s and %s exclude each other", meta("voice_list"), meta("element_list"))
	}
	if path == imageToVideo && count(req, "element_list") > maxElements {
		return invalid(meta("element_list"), "a list of at most %d", maxElements)
	}
	return nil
}

func count(req provider.Request, key string) int {
	var items []json.RawMessage
	_ = json.Unmarshal(req.Metadata[key], &items) // absent: none
	return len(items)
}

// checkMasks: an end frame, brush masks and camera control exclude one another.
func checkMasks(req provider.Request, path string) *provider.Error {
	if path != imageToVideo {
		return nil
	}
	if count(req, "dynamic_masks") > maxMasks {
		return invalid(meta("dynamic_masks"), "a list of at most %d", maxMasks)
	}
	var used []string
	if has(req, "image_tail") {
		used = append(used, meta("image_tail"))
	} else if len(req.Images) > 1 {
		used = append(used, "the second of input.images")
	}
	if has(req, "static_mask") || has(req, "dynamic_masks") {
		used = append(used, "masks in input.metadata")
	}
	if has(req, "camera_control") {
		used = append(used, meta("camera_control"))
	}
	if len(used) > 1 {
		return provider.Errorf(provider.Invalid, "%s exclude each other", strings.Join(used, " and "))
	}
	return nil
}

func checkPicture(req provider.Request, path string) *provider.Error {
	if raw, ok := req.Metadata["n"]; ok {
		if n, ok := whole(raw); !ok || n < 1 || n > maxImages {
			return invalid(meta("n"), "a whole number between 1 and %d", maxImages)
		}
	}
	if path == omniImage {
		return nil
	}
	if err := words(req, "resolution", "1k", "2k"); err != nil {
		return err
	}
	if err := words(req, "image_reference", "subject", "face"); err != nil {
		return err
	}
	for _, key := range []string{"image_fidelity", "human_fidelity"} {
		if raw, ok := req.Metadata[key]; ok {
			if _, ok := number(raw); !ok {
				return invalid(meta(key), "a number")
			}
		}
	}
	if has(req, "negative_prompt") && (len(req.Images) > 0 || has(req, "image")) {
		return provider.Errorf(provider.Invalid, "%s cannot be used with a reference image", meta("negative_prompt"))
	}
	return nil
}
