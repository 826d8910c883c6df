package kling

import (
	"slices"
	"strings"
)

// maxLongPrompt is what the pages of the 3.0 models allow; they recommend no more than
// the others do.
const maxLongPrompt = 3072

func promptLimit(model string) int {
	if strings.HasPrefix(model, "kling-3.0") {
		return maxLongPrompt
	}
	return maxPrompt
}

// readOptions reads what all routes of the newer family share.
func readOptions(f *fields, o *order) {
	options := f.object("options")
	o.callback = options.link("callback_url")
	o.external = options.text("external_task_id", 255)
	o.marked = options.object("watermark_info").flag("enabled")
}

// readSettings reads settings of videos that are not copied from another's motion.
func readSettings(f *fields, o *order, audio ...string) (settings *fields) {
	settings = f.object("settings")
	resolutions := []string{"720p", "1080p"}
	if o.model == "kling-3.0" || o.model == "kling-3.0-omni" {
		resolutions = append(resolutions, "4k")
	}
	resolution := settings.word("resolution", "720p", resolutions...)
	o.short = map[string]int{"720p": 720, "1080p": 1080, "4k": 2160}[resolution]
	o.seconds = settings.whole("duration", 5, lengths(o.model))
	sound := settings.word("audio", "off", audio...)
	if o.model == "kling-2.6" && sound == "native" && resolution != "1080p" {
		settings.illegal("audio")
	}
	if settings.has("multi_shot") && !strings.HasPrefix(o.model, "kling-3.0") {
		settings.illegal("multi_shot")
	}
	settings.flag("multi_shot")
	return settings
}

// lengths are the durations of a model, in seconds: whole numbers, and no strings.
func lengths(model string) (out []int) {
	least, most := 3, 15
	switch model {
	case "kling-2.6", "kling-2.5-turbo":
		return []int{5, 10}
	case "kling-o1":
		most = 10
	}
	for n := least; n <= most; n++ {
		out = append(out, n)
	}
	return out
}

// sounds are the words for the audio of a model; none = it has no such setting.
func sounds(model string) []string {
	switch model {
	case "kling-3.0", "kling-2.6":
		return []string{"native", "off"}
	case "kling-3.0-omni":
		return []string{"native", "original", "off"}
	case "kling-o1":
		return []string{"original", "off"}
	}
	return nil
}

func readTextToVideo(f *fields, o *order) {
	readOptions(f, o)
	o.prompt = f.needed("prompt", promptLimit(o.model))
	settings := readSettings(f, o, sounds(o.model)...)
	o.ratio = settings.word("aspect_ratio", "16:9", videoRatios...)
}

func readImageToVideo(f *fields, o *order) {
	readOptions(f, o)
	readSettings(f, o, sounds(o.model)...)
	o.ratio = "16:9" // of the first frame, which nobody fetches
	kinds := []string{"prompt", "first_frame", "last_frame"}
	switch o.model {
	case "kling-3.0-turbo":
		kinds = []string{"prompt", "first_frame"}
	case "kling-3.0":
		kinds = append(kinds, "element")
	case "kling-2.6":
		kinds = append(kinds, "voice")
	}
	seen := readContents(f, o, kinds)
	if seen["first_frame"] != 1 || seen["last_frame"] > 1 {
		f.illegal("contents")
	}
	if seen["last_frame"] > 0 && o.short != 1080 && (o.model == "kling-2.6" || o.model == "kling-2.5-turbo") {
		f.illegal("settings.resolution")
	}
	if seen["element"] > 3 || seen["voice"] > 2 {
		f.illegal("contents")
	}
}

func readMotion(f *fields, o *order) {
	readOptions(f, o)
	settings := f.object("settings")
	o.short = map[string]int{"720p": 720, "1080p": 1080}[settings.word("resolution", "720p", "720p", "1080p")]
	settings.word("audio", "original", "original", "off")
	if settings.word("character_orientation", "", "image", "video") == "" {
		settings.lacking("character_orientation")
	}
	o.ratio, o.seconds = "9:16", 5 // of the video, which nobody fetches
	kinds := []string{"prompt", "image", "video"}
	if o.model == "kling-3.0" {
		kinds = append(kinds, "element")
	}
	if seen := readContents(f, o, kinds); seen["image"] != 1 || seen["video"] != 1 || seen["element"] > 1 {
		f.illegal("contents")
	}
}

func readOmni(f *fields, o *order) {
	readOptions(f, o)
	settings := readSettings(f, o, sounds(o.model)...)
	seen := readContents(f, o, []string{"prompt", "first_frame", "last_frame", "refer_image", "feature_video", "base_video", "element"})
	videos := seen["feature_video"] + seen["base_video"]
	if o.prompt == "" {
		f.lacking("contents")
	}
	if seen["first_frame"] > 1 || seen["last_frame"] > seen["first_frame"] || seen["refer_image"]+seen["element"] > 7 || videos > 1 {
		f.illegal("contents")
	}
	o.ratio = settings.word("aspect_ratio", "", videoRatios...)
	if o.ratio == "" && seen["first_frame"] == 0 && videos == 0 {
		settings.lacking("aspect_ratio")
	}
	if o.ratio == "" {
		o.ratio = "16:9"
	}
}

// readContents reads prompt, images and the like, and counts them by their type.
func readContents(f *fields, o *order, kinds []string) map[string]int {
	seen := map[string]int{}
	items := f.list("contents", 20)
	if len(items) == 0 {
		f.lacking("contents")
	}
	for _, item := range items {
		kind := item.text("type", 20)
		if !slices.Contains(kinds, kind) {
			item.illegal("type")
		}
		seen[kind]++
		switch kind {
		case "prompt":
			o.prompt = item.needed("text", promptLimit(o.model))
		case "element":
			item.needed("element_id", 64)
			item.needed("id", 64)
		case "voice":
			item.needed("voice_id", 64)
			item.needed("id", 64)
		default:
			o.images = append(o.images, item.needed("url", 64<<20))
		}
	}
	if seen["prompt"] > 1 {
		f.illegal("contents")
	}
	return seen
}
