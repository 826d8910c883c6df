package kling

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const maxPrompt = 2500 // characters; of negative_prompt too

var (
	videoRatios = []string{"16:9", "9:16", "1:1"}
	imageRatios = []string{"16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9"}
)

// generationOf is the number in an older model's id: kling-v2-1-master is of 2.1.
func generationOf(model string) (g float64) {
	text := strings.TrimPrefix(model, "kling-v")
	parts := strings.Split(text, "-")
	if len(parts) > 1 {
		text = parts[0] + "." + parts[1]
	}
	if g, err := strconv.ParseFloat(text, 64); err == nil {
		return g
	}
	g, err := strconv.ParseFloat(parts[0], 64)
	if err != nil {
		return 3 // omni
	}
	return g
}

// readCommon reads what all routes of the older family share.
func readCommon(f *fields, o *order) {
	o.callback = f.link("callback_url")
	o.external = f.text("external_task_id", 255)
	o.marked = f.object("watermark_info").flag("enabled")
}

// readVideo reads what the older family's videos share.
func readVideo(f *fields, o *order) {
	readCommon(f, o)
	g := generationOf(o.model)
	modes := []string{"std", "pro"}
	if g >= 3 {
		modes = append(modes, "4k")
	}
	mode := f.word("mode", "std", modes...)
	o.short = map[string]int{"std": 720, "pro": 1080, "4k": 2160}[mode]
	f.text("negative_prompt", maxPrompt)
	if f.has("sound") && g < 2.6 || f.word("sound", "off", "on", "off") == "on" && mode != "pro" {
		f.illegal("sound")
	}
	for _, key := range []string{"multi_shot", "shot_type", "multi_prompt", "voice_list", "element_list"} {
		if f.has(key) && g < 3 {
			f.illegal(key)
		}
	}
	if f.has("cfg_scale") && g >= 2 && g < 3 {
		f.illegal("cfg_scale")
	}
	f.number("cfg_scale", 0.5, 0, 1)
	readCamera(f)
}

// readLength reads the duration, which is a string here.
func readLength(f *fields, o *order, most int) {
	o.seconds = 5
	text := f.text("duration", 2)
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	if allowed := n == 5 || n == 10 || generationOf(o.model) >= 3 && n >= 3; err != nil || !allowed || n > most {
		f.illegal("duration")
	}
	o.seconds = n
}

func readRatio(f *fields, o *order, ratios ...string) {
	o.ratio = f.word("aspect_ratio", "16:9", ratios...)
}

func readCamera(f *fields) {
	if !f.has("camera_control") {
		return
	}
	c := f.object("camera_control")
	kind := c.word("type", "", "simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")
	if (kind == "simple") != c.has("config") {
		c.illegal("config")
	}
	config, moves := c.object("config"), 0
	for _, axis := range []string{"horizontal", "vertical", "pan", "tilt", "roll", "zoom"} {
		if config.number(axis, 0, -10, 10) != 0 {
			moves++
		}
	}
	if moves > 1 {
		c.illegal("config")
	}
}

// readShots reads the prompt, or the shots that stand in its place.
func readShots(f *fields, o *order) {
	if !f.flag("multi_shot") {
		o.prompt = f.needed("prompt", maxPrompt)
		return
	}
	o.prompt = f.text("prompt", maxPrompt)
	if generationOf(o.model) < 3 {
		f.illegal("multi_shot")
	}
	if f.word("shot_type", "", "customize", "intelligence") != "customize" {
		return
	}
	shots, sum := f.list("multi_prompt", 6), 0
	if len(shots) == 0 {
		f.lacking("multi_prompt")
	}
	for i, shot := range shots {
		o.prompt += shot.needed("prompt", 512) + " "
		n, err := strconv.Atoi(shot.needed("duration", 2))
		if index := shot.whole("index", i+1, []int{i + 1}); err != nil || n < 1 || index != i+1 {
			shot.illegal("duration")
		}
		sum += n
	}
	if sum != o.seconds {
		f.illegal("multi_prompt")
	}
}

func readText2Video(f *fields, o *order) {
	readVideo(f, o)
	readLength(f, o, 15)
	readShots(f, o)
	readRatio(f, o, videoRatios...)
	f.exclude("voice_list", "element_list")
}

func readImage2Video(f *fields, o *order) {
	readVideo(f, o)
	readLength(f, o, 15)
	o.prompt = f.text("prompt", maxPrompt)
	if f.flag("multi_shot") {
		readShots(f, o)
	}
	o.images = []string{f.picture("image"), f.picture("image_tail")}
	if o.images[0] == "" && o.images[1] == "" {
		f.lacking("image")
	}
	o.ratio = "16:9" // of the image, which nobody fetches
	f.exclude("voice_list", "element_list")
	f.list("element_list", 3)
	f.exclude("image_tail", "static_mask", "camera_control")
	f.exclude("image_tail", "dynamic_masks", "camera_control")
	for i, mask := range f.list("dynamic_masks", 6) {
		mask.prefix = fmt.Sprintf("dynamic_masks[%d].", i)
		if n := len(mask.list("trajectories", 77)); n < 2 {
			mask.illegal("trajectories")
		}
	}
}

func readMultiImage2Video(f *fields, o *order) {
	readVideo(f, o)
	readLength(f, o, 10)
	o.prompt = f.needed("prompt", maxPrompt)
	o.images = pictures(f, "image_list", "image", 4)
	if len(o.images) == 0 {
		f.lacking("image_list")
	}
	readRatio(f, o, videoRatios...)
}

func readMotionControl(f *fields, o *order) {
	readVideo(f, o)
	o.prompt = f.text("prompt", maxPrompt)
	o.images = []string{f.picture("image_url"), f.link("video_url")}
	if o.images[0] == "" {
		f.lacking("image_url")
	}
	if o.images[1] == "" {
		f.lacking("video_url")
	}
	if f.word("character_orientation", "", "image", "video") == "" {
		f.lacking("character_orientation")
	}
	f.word("keep_original_sound", "yes", "yes", "no")
	o.ratio, o.seconds = "9:16", 5 // of the video, which nobody fetches
}

func readOmniVideo(f *fields, o *order) {
	readVideo(f, o)
	readLength(f, o, map[bool]int{true: 10, false: 15}[o.model == "kling-video-o1"])
	o.prompt = f.needed("prompt", maxPrompt)
	for _, item := range f.list("image_list", 7) {
		o.images = append(o.images, item.picture("image_url"))
		item.word("type", "", "first_frame", "end_frame")
	}
	readRatio(f, o, videoRatios...)
}

func readGenerations(f *fields, o *order) {
	readImages(f, o, "1k", "2k")
	readRatio(f, o, imageRatios...)
	image := f.picture("image")
	if image != "" {
		o.images = []string{image}
		f.exclude("image", "negative_prompt")
	}
	if f.has("image_reference") && image == "" {
		f.lacking("image")
	}
	f.word("image_reference", "", "subject", "face")
	f.number("image_fidelity", 0.5, 0, 1)
	f.number("human_fidelity", 0.45, 0, 1)
	f.list("element_list", 10)
}

func readMultiImage2Image(f *fields, o *order) {
	readImages(f, o, "1k", "2k")
	readRatio(f, o, imageRatios...)
	o.images = pictures(f, "subject_image_list", "subject_image", 4)
	if len(o.images) == 0 {
		f.lacking("subject_image_list")
	}
	f.picture("scene_image")
	f.picture("style_image")
}

func readOmniImage(f *fields, o *order) {
	readImages(f, o, "1k", "2k", "4k")
	readRatio(f, o, append(slices.Clone(imageRatios), "auto")...)
	if o.ratio == "auto" {
		o.ratio = "1:1"
	}
	o.images = pictures(f, "image_list", "image", 10)
}

// readImages reads what all image routes share.
func readImages(f *fields, o *order, resolutions ...string) {
	readCommon(f, o)
	o.prompt = f.needed("prompt", maxPrompt)
	f.text("negative_prompt", maxPrompt)
	o.n = f.whole("n", 1, []int{1, 2, 3, 4, 5, 6, 7, 8, 9})
	o.short = map[string]int{"1k": 768, "2k": 1536, "4k": 3072}[f.word("resolution", "1k", resolutions...)]
}

// pictures reads a list of objects with one image each.
func pictures(f *fields, list, key string, most int) (out []string) {
	for _, item := range f.list(list, most) {
		out = append(out, item.picture(key))
		if !item.has(key) {
			item.lacking(key)
		}
	}
	return out
}
