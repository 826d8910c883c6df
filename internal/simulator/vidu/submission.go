package vidu

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// submission is the body of a submit. Keys that are not here are ignored.
type submission struct {
	Model             string            `json:"model"`
	Prompt            string            `json:"prompt"`
	Images            []string          `json:"images"`
	Videos            []string          `json:"videos"`
	Subjects          []json.RawMessage `json:"subjects"`
	Template          string            `json:"template"`
	Story             string            `json:"story"`
	StartImage        string            `json:"start_image"`
	ImageSettings     []frame           `json:"image_settings"`
	Style             string            `json:"style"`
	Duration          int               `json:"duration"`
	Seed              int64             `json:"seed"`
	AspectRatio       string            `json:"aspect_ratio"`
	Resolution        string            `json:"resolution"`
	MovementAmplitude string            `json:"movement_amplitude"`
	BGM               bool              `json:"bgm"`
	Audio             bool              `json:"audio"`
	IsRec             bool              `json:"is_rec"`
	OffPeak           bool              `json:"off_peak"`
	Watermark         bool              `json:"watermark"`
	WmPosition        int               `json:"wm_position"`
	WmURL             string            `json:"wm_url"`
	MetaData          string            `json:"meta_data"`
	Payload           string            `json:"payload"`
	CallbackURL       string            `json:"callback_url"`
}

type frame struct {
	Prompt   string `json:"prompt"`
	KeyImage string `json:"key_image"`
	Duration int    `json:"duration"`
}

// images are those that an answer repeats, never nil.
func (b *submission) images() []string { return append([]string{}, b.Images...) }

// Limits that are the same everywhere.
const (
	maxBody    = 20 << 20 // bytes
	maxPayload = 1 << 20  // characters
)

// routeSpec is what a route documents.
type routeSpec struct {
	models     []string // nil = it takes none
	prompt     int      // most characters
	needPrompt bool
	images     [2]int // least and most
	ratios     []string
	sizes      []string
	seconds    bool
}

var (
	imageModels = []string{
		"viduq3-pro-fast", "viduq3-turbo", "viduq3-pro", "viduq2-pro-fast", "viduq2-pro", "viduq2-turbo", "viduq1", "viduq1-classic", "vidu2.0",
	}
	referenceModels = []string{
		"viduq3", "viduq3-turbo", "viduq3-mix", "viduq2", "viduq2-pro", "viduq2-pro-fast", "viduq1", "vidu2.0", "vidu1.5",
	}
	videoRatios = []string{"16:9", "9:16", "1:1", "3:4", "4:3"}
	videoSizes  = []string{"540p", "720p", "1080p"}
	oldSizes    = []string{"360p", "540p", "720p", "1080p"}
	anyImages   = [2]int{1, 100}
)

// routes are the paths below /ent/v2 that make a task.
var routes = map[string]*routeSpec{
	"text2video": {
		models: []string{"viduq3-turbo", "viduq3-pro", "viduq2", "viduq1"}, prompt: 5000, needPrompt: true,
		ratios: videoRatios, sizes: videoSizes, seconds: true,
	},
	"img2video":       {models: imageModels, prompt: 5000, images: [2]int{1, 1}, sizes: videoSizes, seconds: true},
	"start-end2video": {models: imageModels, prompt: 5000, images: [2]int{2, 2}, sizes: videoSizes, seconds: true},
	"reference2video": {
		models: referenceModels, prompt: 5000, needPrompt: true, images: [2]int{1, 7}, ratios: videoRatios, sizes: videoSizes, seconds: true,
	},
	"reference2image": {
		models: []string{"viduq2", "viduq1"}, prompt: 2000, needPrompt: true, images: [2]int{0, 7},
		ratios: []string{"16:9", "9:16", "1:1", "3:4", "4:3", "21:9", "2:3", "3:2", "auto"}, sizes: []string{"1080p", "2K", "4K"},
	},
	"template":       {prompt: 2000, images: anyImages},
	"template-story": {images: anyImages},
	"multiframe":     {models: []string{"viduq2-pro", "viduq2-turbo"}, sizes: videoSizes},
}

// seconds are the durations of the families.
var seconds = map[string][2]int{"viduq3": {1, 16}, "viduq2": {1, 10}, "viduq1": {5, 5}, "vidu2.0": {4, 8}, "vidu1.5": {4, 8}}

func family(model string) string {
	name, _, _ := strings.Cut(model, "-")
	return name
}

// readSubmission understands the body of a submit to a route, as Vidu would.
func readSubmission(raw []byte, word string) (submission, *failure) {
	var b submission
	var typed *json.UnmarshalTypeError
	switch err := json.Unmarshal(raw, &b); {
	case errors.As(err, &typed) && typed.Field != "":
		return b, invalid(typed.Field)
	case err != nil:
		return b, problem("BadRequest", "bad request")
	}
	spec := routes[word]
	for _, check := range []func(*submission, *routeSpec, string) *failure{
		checkModel, checkPrompt, checkImages, checkOwn, checkWords, checkDuration, checkRest,
	} {
		if f := check(&b, spec, word); f != nil {
			return b, f
		}
	}
	return b, nil
}

func checkModel(b *submission, spec *routeSpec, _ string) *failure {
	switch {
	case spec.models == nil:
		return nil
	case b.Model == "":
		return lacking("model")
	case !slices.Contains(spec.models, b.Model):
		return problem("ModelUnavailable", "model unavailable")
	}
	return nil
}

func checkPrompt(b *submission, spec *routeSpec, _ string) *failure {
	switch {
	case spec.needPrompt && b.Prompt == "":
		return lacking("prompt")
	case spec.prompt > 0 && utf8.RuneCountInString(b.Prompt) > spec.prompt:
		return invalid("prompt")
	}
	return nil
}

func checkImages(b *submission, spec *routeSpec, word string) *failure {
	least, most := spec.images[0], spec.images[1]
	if word == "reference2image" && b.Model == "viduq1" {
		least = 1
	}
	if word == "reference2video" && len(b.Subjects)+len(b.Videos) > 0 {
		least = 0
	}
	switch {
	case most == 0:
		return nil
	case len(b.Images) == 0 && least > 0:
		return lacking("images")
	case len(b.Images) < least || len(b.Images) > most:
		return miscounted("images")
	}
	for _, image := range b.Images {
		if f := checkImage(image); f != nil {
			return f
		}
	}
	return nil
}

// checkImage refuses what can be refused without fetching it, which is not done.
func checkImage(image string) *failure {
	if rest, ok := strings.CutPrefix(image, "data:"); ok {
		for _, kind := range []string{"png", "jpeg", "jpg", "webp"} {
			if strings.HasPrefix(rest, "image/"+kind+";base64,") {
				return nil
			}
		}
		return problem("ImageFormatInvalid", "invalid image format")
	}
	if !webURL(image) {
		return problem("ImageDownloadFailure", "image download failure")
	}
	return nil
}

// checkOwn looks at what only one route has.
func checkOwn(b *submission, _ *routeSpec, word string) *failure {
	switch {
	case word == "template" && b.Template == "":
		return lacking("template")
	case word == "template-story" && b.Story == "":
		return lacking("story")
	case word != "multiframe":
		return nil
	case b.StartImage == "":
		return lacking("start_image")
	case len(b.ImageSettings) == 0:
		return lacking("image_settings")
	case len(b.ImageSettings) > 9:
		return miscounted("image_settings")
	}
	for _, f := range b.ImageSettings {
		switch {
		case f.KeyImage == "":
			return lacking("key_image")
		case f.Duration != 0 && (f.Duration < 2 || f.Duration > 7):
			return invalid("duration")
		}
	}
	return nil
}

func checkWords(b *submission, spec *routeSpec, _ string) *failure {
	ratios, sizes := spec.ratios, spec.sizes
	f := family(b.Model)
	if len(ratios) == len(videoRatios) && f != "viduq2" && f != "viduq3" {
		ratios = ratios[:3]
	}
	switch {
	case sizes == nil:
	case f == "viduq1":
		sizes = []string{"1080p"}
	case f == "vidu2.0" || f == "vidu1.5":
		sizes = oldSizes
	}
	switch named := spec.models != nil; {
	case named && b.Style != "" && (f == "viduq2" || f == "viduq3"):
		return unwanted("style")
	case named && b.BGM && f == "viduq3":
		return unwanted("bgm")
	}
	for _, w := range []struct {
		field, value string
		words        []string
	}{
		{"aspect_ratio", b.AspectRatio, ratios}, {"resolution", b.Resolution, sizes},
		{"movement_amplitude", b.MovementAmplitude, []string{"auto", "small", "medium", "large"}},
		{"style", b.Style, []string{"general", "anime"}},
	} {
		if w.value != "" && w.words != nil && !slices.Contains(w.words, w.value) {
			return invalid(w.field)
		}
	}
	return nil
}

func checkDuration(b *submission, spec *routeSpec, _ string) *failure {
	limits, known := seconds[family(b.Model)]
	if spec.seconds && known && b.Duration != 0 && (b.Duration < limits[0] || b.Duration > limits[1]) {
		return invalid("duration")
	}
	return nil
}

func checkRest(b *submission, _ *routeSpec, _ string) *failure {
	switch {
	case b.WmPosition < 0 || b.WmPosition > 4:
		return invalid("wm_position")
	case utf8.RuneCountInString(b.Payload) > maxPayload:
		return invalid("payload")
	case b.CallbackURL != "" && !webURL(b.CallbackURL):
		return invalid("callback_url")
	}
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
