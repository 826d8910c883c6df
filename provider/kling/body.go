package kling

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// owned are the keys of metadata that do not reach Kling: what Kinora decides, its own
// word for the route, the submit API's for the duration, and a field that Kling
// takes and that selects no model.
var owned = map[string]bool{"model": true, "model_name": true, "callback_url": true, "route": true, "durationSeconds": true}

// externalID is the reference that Kling keeps with a task and can be asked for: the
// caller's own, else the generation's id, with the attempt's ordinal from the second on.
func externalID(req provider.Request) (id string, own bool) {
	if given, ok := text(req.Metadata["external_task_id"]); ok && given != "" {
		return given, false
	}
	return strings.TrimSuffix(req.ClientRef, "_0"), true
}

// body builds the submit's JSON object for a path.
func body(req provider.Request, path string) ([]byte, error) {
	f, model := familyOf(req.UpstreamModel)
	var out map[string]any
	if f == modern {
		out = modernBody(req, path)
	} else {
		out = legacyBody(req, path, model)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a callback URL goes out as it came in
	err := enc.Encode(out)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// legacyBody is flat: a metadata key wins over the input field that stands for the same
// thing, and keys without a meaning here pass through.
func legacyBody(req provider.Request, path, model string) map[string]any {
	out := map[string]any{"model_name": model, "prompt": req.Prompt}
	addLegacyImages(out, req, path)
	if ratio, ok := ratioOf(req); ok && ratio != "" && path != imageToVideo {
		out["aspect_ratio"] = ratio
	}
	if word, ok := imageResolution(req); ok && word != "" {
		out["resolution"] = word
	}
	if req.Duration > 0 && req.Kind == kinora.KindVideo {
		out["duration"] = strconv.Itoa(req.Duration)
	}
	for key, value := range req.Metadata {
		if !owned[key] {
			out[key] = value
		}
	}
	if seconds, ok := whole(req.Metadata["duration"]); ok {
		out["duration"] = strconv.Itoa(seconds) // this family wants a string
	}
	out["external_task_id"], _ = externalID(req)
	if req.CallbackURL != "" {
		out["callback_url"] = req.CallbackURL
	}
	return out
}

func addLegacyImages(out map[string]any, req provider.Request, path string) {
	if len(req.Images) == 0 {
		return
	}
	switch path {
	case imagesToVideo, omniVideo, omniImage:
		key := "image"
		if path == omniVideo {
			key = "image_url"
		}
		list := make([]map[string]string, len(req.Images))
		for i, url := range req.Images {
			list[i] = map[string]string{key: url}
		}
		out["image_list"] = list
	case imageToVideo:
		out["image"] = req.Images[0]
		if len(req.Images) > 1 {
			out["image_tail"] = req.Images[1]
		}
	case motionControl:
		out["image_url"] = req.Images[0]
	default:
		out["image"] = req.Images[0]
	}
}

// settingKeys and optionKeys are the metadata keys that the newer family has in an
// object of their own.
var (
	settingKeys = map[string]bool{"audio": true, "resolution": true, "aspect_ratio": true, "duration": true}
	optionKeys  = map[string]bool{"watermark_info": true, "external_task_id": true}
)

// modernBody has prompt and images at the root or in contents, and the rest in settings
// and options. Metadata may name their keys flat, or bring the objects themselves.
func modernBody(req provider.Request, path string) map[string]any {
	settings, options := map[string]any{}, map[string]any{}
	out := map[string]any{}
	if len(req.Images) > 0 {
		out["contents"] = contents(req)
	} else {
		out["prompt"] = req.Prompt
	}
	if ratio, ok := ratioOf(req); ok && ratio != "" && !strings.HasPrefix(path, "/image-to-video/") {
		settings["aspect_ratio"] = ratio
	}
	if word, ok := videoResolution(req); ok && word != "" {
		settings["resolution"] = word
	}
	if req.Duration > 0 {
		settings["duration"] = req.Duration
	}
	for key, value := range req.Metadata {
		switch {
		case owned[key]:
		case key == "settings", key == "options":
		case settingKeys[key]:
			settings[key] = value
		case optionKeys[key]:
			options[key] = value
		default:
			out[key] = value
		}
	}
	if seconds, ok := whole(req.Metadata["duration"]); ok {
		settings["duration"] = seconds // this family wants a number
	}
	maps.Copy(settings, object(req.Metadata["settings"]))
	maps.Copy(options, object(req.Metadata["options"]))
	if len(settings) > 0 {
		out["settings"] = settings
	}
	options["external_task_id"], _ = externalID(req)
	delete(options, "callback_url")
	if req.CallbackURL != "" {
		options["callback_url"] = req.CallbackURL
	}
	out["options"] = options
	return out
}

// contents are the prompt and the frames. That the last one is called last_frame is
// taken from the first one's documented name.
func contents(req provider.Request) []map[string]string {
	list := []map[string]string{{"type": "prompt", "text": req.Prompt}}
	for i, url := range req.Images {
		kind := "first_frame"
		switch {
		case strings.Contains(req.UpstreamModel, "omni"):
			kind = "image"
		case i > 0:
			kind = "last_frame"
		}
		list = append(list, map[string]string{"type": kind, "url": url})
	}
	return list
}

func object(raw json.RawMessage) map[string]any {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	out := make(map[string]any, len(fields))
	for key, value := range fields {
		out[key] = value
	}
	return out
}
