package kling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// owned are the keys of metadata that do not reach Kling: what Kinora decides, its own
// word for the route, the submit API's for the duration, and a field that Kling
// takes and that selects no model.
var owned = map[string]bool{"model": true, "model_name": true, "callback_url": true, "route": true, "durationSeconds": true}

// settingKeys and optionKeys are the metadata keys that the newer family has in an
// object of their own, settings and options. A caller may name them flat, or bring the
// objects, which win.
var (
	settingKeys = map[string]bool{
		"audio": true, "resolution": true, "aspect_ratio": true, "duration": true, "multi_shot": true, "character_orientation": true,
	}
	optionKeys = map[string]bool{"watermark_info": true, "external_task_id": true}
)

// given is what a caller's metadata says for one of Kling's fields, and what the caller
// calls it; nil = nothing.
func given(req provider.Request, key string) (raw json.RawMessage, field string) {
	if f, _ := familyFor(req.UpstreamModel, req.Kind); f == modern {
		within := ""
		switch {
		case settingKeys[key]:
			within = "settings"
		case optionKeys[key]:
			within = "options"
		}
		if raw, ok := object(req.Metadata[within])[key]; ok {
			return raw, meta(within + "." + key)
		}
	}
	return req.Metadata[key], meta(key)
}

// externalID is the reference that Kling keeps with a task and can be asked for: the
// caller's own, else the generation's id, with the attempt's ordinal from the second on.
func externalID(req provider.Request) (id string, ours bool) {
	raw, _ := given(req, "external_task_id")
	if own, ok := lenient.Text(raw); ok && own != "" {
		return own, false
	}
	return ourReference(req.ClientRef), true
}

// ourReference is what the attempt with a client reference is called at Kling.
func ourReference(clientRef string) string { return strings.TrimSuffix(clientRef, "_0") }

// body builds the submit's JSON object for a path.
func body(req provider.Request, path string) ([]byte, error) {
	f, model := familyFor(req.UpstreamModel, req.Kind)
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
	addImages(out, req, path)
	if ratio, ok := ratioOf(req); ok && ratio != "" && ratioRoutes[path] {
		out["aspect_ratio"] = ratio
	}
	if word, ok := imageResolution(req); ok && word != "" && path != imagesToImage {
		out["resolution"] = word
	}
	if mode, ok := modeOf(req); ok && mode != "" {
		out["mode"] = mode
	}
	if req.Duration > 0 && req.Kind == kinora.KindVideo && path != motionControl {
		out["duration"] = strconv.Itoa(req.Duration)
	}
	for key, value := range req.Metadata {
		if !owned[key] {
			out[key] = value
		}
	}
	if seconds, ok := lenient.Whole(req.Metadata["duration"]); ok {
		out["duration"] = strconv.Itoa(seconds) // this family wants a string
	}
	if n, ok := lenient.Whole(req.Metadata["n"]); ok {
		out["n"] = n
	}
	for _, key := range []string{"image", "image_tail", "static_mask"} {
		if content, ok := withoutDataPrefix(req.Metadata[key]); ok {
			out[key] = content
		}
	}
	out["external_task_id"], _ = externalID(req)
	if req.CallbackURL != "" {
		out["callback_url"] = req.CallbackURL
	}
	return out
}

// withoutDataPrefix is base64 content as this family wants it: without the prefix that
// says what it is.
func withoutDataPrefix(raw json.RawMessage) (string, bool) {
	s, _ := lenient.Text(raw)
	if head, content, ok := strings.Cut(s, ";base64,"); ok && strings.HasPrefix(head, "data:") {
		return content, true
	}
	return "", false
}

// ratioRoutes are the routes that take an aspect ratio; on the others an image or a
// video decides.
var ratioRoutes = map[string]bool{
	textToVideo: true, imagesToVideo: true, omniVideo: true, imageRoute: true, imagesToImage: true, omniImage: true,
	newTextToVideo: true, newOmniVideo: true,
}

// imageLists are the routes that take images as a list of objects: its name, and the
// key within.
var imageLists = map[string][2]string{
	imagesToVideo: {"image_list", "image"}, omniVideo: {"image_list", "image_url"},
	imagesToImage: {"subject_image_list", "subject_image"}, omniImage: {"image_list", "image"},
}

func addImages(out map[string]any, req provider.Request, path string) {
	if len(req.Images) == 0 {
		return
	}
	if names, ok := imageLists[path]; ok {
		list := make([]map[string]string, len(req.Images))
		for i, url := range req.Images {
			list[i] = map[string]string{names[1]: url}
		}
		out[names[0]] = list
		return
	}
	switch path {
	case motionControl:
		out["image_url"] = req.Images[0]
	case imageToVideo:
		out["image"] = req.Images[0]
		if len(req.Images) > 1 {
			out["image_tail"] = req.Images[1]
		}
	default:
		out["image"] = req.Images[0]
	}
}

// modernBody has prompt and images at the root or in contents, and the rest in settings
// and options. Keys without a meaning here pass through at the root.
func modernBody(req provider.Request, path string) map[string]any {
	out := map[string]any{}
	if path == newTextToVideo {
		out["prompt"] = promptOf(req)
	} else {
		out["contents"] = contents(req, path)
	}
	settings, options := settingsOf(req, path), map[string]any{}
	for key, value := range req.Metadata {
		switch {
		case owned[key], settingKeys[key], key == "settings", key == "options":
		case path == newMotionControl && key == "video_url": // it stands in contents
		case optionKeys[key]:
			options[key] = value
		case key != "contents" && key != "prompt": // which are there already
			out[key] = value
		}
	}
	for key, value := range object(req.Metadata["options"]) {
		options[key] = value
	}
	options["external_task_id"], _ = externalID(req)
	delete(options, "callback_url")
	if req.CallbackURL != "" {
		options["callback_url"] = req.CallbackURL
	}
	out["options"] = options
	if len(settings) > 0 {
		out["settings"] = settings
	}
	return out
}

// settingsOf are the newer family's settings.
func settingsOf(req provider.Request, path string) map[string]any {
	out := map[string]any{}
	if ratio, ok := ratioOf(req); ok && ratio != "" && ratioRoutes[path] {
		out["aspect_ratio"] = ratio
	}
	if word, ok := videoResolution(req); ok && word != "" {
		out["resolution"] = word
	}
	if req.Duration > 0 && path != newMotionControl {
		out["duration"] = req.Duration
	}
	for key, value := range req.Metadata {
		if settingKeys[key] {
			out[key] = value
		}
	}
	maps.Copy(out, anyOf(object(req.Metadata["settings"])))
	raw, _ := given(req, "duration")
	if seconds, ok := lenient.Whole(raw); ok {
		out["duration"] = seconds // this family wants a number
	}
	if _, ok := out["aspect_ratio"]; !ok && path == newOmniVideo && !framed(req) {
		// Its documents name a default and call the field required, where no image or video decides.
		out["aspect_ratio"] = videoRatios[0]
	}
	return out
}

// contents are the prompt and the images, or what the caller's metadata has in their
// place; a prompt is added there if it has none.
func contents(req provider.Request, path string) any {
	prompt := map[string]string{"type": "prompt", "text": promptOf(req)}
	if items := list(req.Metadata["contents"]); items != nil {
		out := []any{}
		if !hasType(items, "prompt") {
			out = append(out, prompt)
		}
		for _, item := range items {
			out = append(out, item)
		}
		return out
	}
	out := []map[string]string{prompt}
	for i, url := range req.Images {
		item := map[string]string{"type": "first_frame", "url": url}
		switch {
		case path == newMotionControl:
			item["type"] = "image"
		case path == newOmniVideo:
			item["type"], item["id"] = "refer_image", fmt.Sprintf("image_%d", i+1)
		case i > 0:
			item["type"] = "last_frame"
		}
		out = append(out, item)
	}
	if video, ok := lenient.Text(req.Metadata["video_url"]); ok && path == newMotionControl {
		out = append(out, map[string]string{"type": "video", "url": video})
	}
	return out
}

// promptOf is the prompt; one in metadata wins.
func promptOf(req provider.Request) string {
	if own, ok := lenient.Text(req.Metadata["prompt"]); ok {
		return own
	}
	return req.Prompt
}

// framed says that something in the caller's contents decides the aspect ratio.
func framed(req provider.Request) bool {
	return hasType(list(req.Metadata["contents"]), "first_frame", "feature_video", "base_video")
}

// hasType says whether one of the contents is of one of the types.
func hasType(items []json.RawMessage, types ...string) bool {
	for _, raw := range items {
		kind, _ := lenient.Text(object(raw)["type"])
		for _, t := range types {
			if kind == t {
				return true
			}
		}
	}
	return false
}

func anyOf(fields map[string]json.RawMessage) map[string]any {
	out := make(map[string]any, len(fields))
	for key, value := range fields {
		out[key] = value
	}
	return out
}
