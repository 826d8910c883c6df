package kling

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

func checkMode(req provider.Request, _ string) *provider.Error {
	_, model := familyOf(req.UpstreamModel)
	modes := threeModes
	if l, ok := videoLimits[model]; ok {
		modes = l.words
	}
	if err := words(req, "mode", modes...); err != nil {
		return err
	}
	if err := checkSound(req, model); err != nil {
		return err
	}
	raw, ok := req.Metadata["cfg_scale"]
	if !ok {
		return nil
	}
	if older(model, "2") {
		return unknownField("cfg_scale")
	}
	if scale, ok := lenient.Number(raw); !ok || scale < 0 || scale > 1 {
		return invalid(meta("cfg_scale"), "a number between 0 and 1")
	}
	return nil
}

// checkSound: sound is for 2.6 and what came later, in mode pro.
func checkSound(req provider.Request, model string) *provider.Error {
	if err := words(req, "sound", "on", "off"); err != nil {
		return err
	}
	if has(req, "sound") && !audible(model) {
		return unknownField("sound")
	}
	_, known := videoLimits[model]
	said, _ := modeOf(req)
	if known && wordOr(req, "sound", "off") == "on" && wordOr(req, "mode", said) != "pro" {
		return invalid(meta("mode"), "pro for a video with sound")
	}
	return nil
}

func unknownField(key string) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s is not known to this model", meta(key))
}

func checkCamera(req provider.Request, _ string) *provider.Error {
	camera := object(req.Metadata["camera_control"])
	if camera == nil {
		return nil
	}
	types := []string{"simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward"}
	kind, ok := lenient.Text(camera["type"])
	if camera["type"] != nil && (!ok || !slices.Contains(types, kind)) {
		return invalid(meta("camera_control.type"), "one of %s", strings.Join(types, ", "))
	}
	if camera["config"] == nil {
		return nil
	}
	config := object(camera["config"])
	if config == nil {
		return invalid(meta("camera_control.config"), "an object")
	}
	moves := 0
	for _, axis := range []string{"horizontal", "vertical", "pan", "tilt", "roll", "zoom"} {
		raw, ok := config[axis]
		if !ok {
			continue
		}
		v, ok := lenient.Number(raw)
		if !ok || v < -10 || v > 10 {
			return invalid(meta("camera_control.config."+axis), "a number between -10 and 10")
		}
		if v != 0 {
			moves++
		}
	}
	if kind == "simple" && moves > 1 {
		return invalid(meta("camera_control.config"), "of one movement only")
	}
	return nil
}

func checkShots(req provider.Request, path string) *provider.Error {
	_, model := familyOf(req.UpstreamModel)
	for _, key := range []string{"multi_shot", "shot_type", "multi_prompt", "voice_list", "element_list"} {
		if has(req, key) && !third(model) {
			return unknownField(key)
		}
	}
	if err := words(req, "shot_type", "customize", "intelligence"); err != nil {
		return err
	}
	shots := list(req.Metadata["multi_prompt"])
	if len(shots) > maxShots {
		return invalid(meta("multi_prompt"), "a list of at most %d shots", maxShots)
	}
	sum, all := 0, len(shots) > 0
	for i, raw := range shots {
		field := fmt.Sprintf("%s[%d]", meta("multi_prompt"), i)
		seconds, bad := checkShot(raw, field)
		if bad != nil {
			return bad
		}
		sum, all = sum+seconds, all && seconds > 0
	}
	if total, said := totalOf(req); all && said && sum != total {
		return invalid(meta("multi_prompt"), "shots of %d seconds together", total)
	}
	if has(req, "voice_list") && has(req, "element_list") {
		return provider.Errorf(provider.Invalid, "%s and %s exclude each other", meta("voice_list"), meta("element_list"))
	}
	if path == imageToVideo && len(list(req.Metadata["element_list"])) > maxElements {
		return invalid(meta("element_list"), "a list of at most %d", maxElements)
	}
	return nil
}

// checkShot checks one shot and tells its seconds; 0 = it does not say.
func checkShot(raw json.RawMessage, field string) (seconds int, bad *provider.Error) {
	shot := object(raw)
	if shot == nil {
		return 0, invalid(field, "an object")
	}
	if prompt, _ := lenient.Text(shot["prompt"]); utf8.RuneCountInString(prompt) > maxShotPrompt {
		return 0, invalid(field+".prompt", "at most %d characters", maxShotPrompt)
	}
	if shot["duration"] == nil {
		return 0, nil
	}
	seconds, ok := lenient.Whole(shot["duration"])
	if !ok || seconds < 1 {
		return 0, invalid(field+".duration", "a whole number of seconds")
	}
	return seconds, nil
}

// usual is how long the documented models' videos are where nobody says it, in seconds.
const usual = 5

// totalOf is the video's duration; false where it is not known.
func totalOf(req provider.Request) (int, bool) {
	if n, ok := lenient.Whole(req.Metadata["duration"]); ok {
		return n, true
	}
	if req.Duration > 0 {
		return req.Duration, true
	}
	_, known := limitsOf(req.UpstreamModel)
	return usual, known
}

// checkMasks: an end frame, brush masks and camera control exclude one another.
func checkMasks(req provider.Request, path string) *provider.Error {
	if path != imageToVideo {
		return nil
	}
	masks := list(req.Metadata["dynamic_masks"])
	if len(masks) > maxMasks {
		return invalid(meta("dynamic_masks"), "a list of at most %d", maxMasks)
	}
	for i, mask := range masks {
		if n := len(list(object(mask)["trajectories"])); n < minTrajectory || n > maxTrajectory {
			return invalid(fmt.Sprintf("%s[%d].trajectories", meta("dynamic_masks"), i), "a list of %d to %d points", minTrajectory, maxTrajectory)
		}
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
		if n, ok := lenient.Whole(raw); !ok || n < 1 || n > maxImages {
			return invalid(meta("n"), "a whole number between 1 and %d", maxImages)
		}
	}
	if err := words(req, "resolution", imageWords(path)...); err != nil {
		return err
	}
	if path != imageRoute {
		return nil
	}
	if err := words(req, "image_reference", "subject", "face"); err != nil {
		return err
	}
	for _, key := range []string{"image_fidelity", "human_fidelity"} {
		if raw, ok := req.Metadata[key]; ok {
			if v, ok := lenient.Number(raw); !ok || v < 0 || v > 1 {
				return invalid(meta(key), "a number between 0 and 1")
			}
		}
	}
	if has(req, "negative_prompt") && (len(req.Images) > 0 || has(req, "image")) {
		return provider.Errorf(provider.Invalid, "%s cannot be used with a reference image", meta("negative_prompt"))
	}
	return nil
}
