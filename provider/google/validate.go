package google

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// Validate implements provider.Provider: the rules of the submit API contract (2.4 and 2.5), and
// what upstream-google.md documents beside them.
func (*Google) Validate(req provider.Request) error {
	req.UpstreamModel = modelID(req.UpstreamModel)
	f, kind := familyOf(req.UpstreamModel), kinora.KindVideo
	if f == image {
		kind = kinora.KindImage
	}
	if req.Kind != kind {
		return provider.Errorf(provider.Invalid, "model must be configured as one that makes a file of kind %s", kind)
	}
	for _, check := range checks[f] {
		if err := check(req); err != nil {
			return err
		}
	}
	return nil
}

var checks = map[family][]func(provider.Request) *provider.Error{
	veo: {
		checkVideoSize, checkRatio,
		words("resolution", veoResolutions...), checkVeo30, checkVeoSeconds, counts("n", maxVideos), counts("sampleCount", maxVideos),
		texts("negativePrompt", "personGeneration", "compressionQuality", "resizeMode"), numbers("seed", "fps"),
		booleans("generateAudio", "enhancePrompt"), checkStorage, addresses("lastFrame"), checkReferences,
	},
	omni: {
		checkVideoSize, checkRatio, words("resolution", omniResolutions...), checkOmniSeconds,
		words("task", omniTasks...), checkOne, checkOmniParams,
	},
	image: {
		checkImages, words("resolution", imageResolutions...), counts("n", maxN), checkImageSize, texts("personGeneration"),
		booleans("official_fallback"), checkSearch, addresses("mask_url"), checkMask, checkParams,
	},
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

func checkVideoSize(req provider.Request) *provider.Error {
	if _, _, _, ok := lenient.Size(req.Size); ok || req.Size == "" || req.Size == "auto" {
		return nil
	}
	return invalid("input.size", "WxH in pixels, such as 1280x720")
}

func checkRatio(req provider.Request) *provider.Error {
	for _, key := range ratioKeys {
		if err := words(key, wide, tall)(req); err != nil {
			return err
		}
	}
	return nil
}

// words wants a metadata key to be one of a few words, in whatever case.
func words(key string, known ...string) func(provider.Request) *provider.Error {
	return func(req provider.Request) *provider.Error {
		raw, ok := req.Metadata[key]
		if !ok {
			return nil
		}
		word, ok := lenient.Text(raw)
		if !ok || !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, word) }) {
			return invalid("input.metadata."+key, "one of %s", strings.Join(known, ", "))
		}
		return nil
	}
}

// counts wants a metadata key to be a whole number between 1 and most.
func counts(key string, most int) func(provider.Request) *provider.Error {
	return func(req provider.Request) *provider.Error {
		raw, ok := req.Metadata[key]
		if !ok {
			return nil
		}
		if n, ok := lenient.Whole(raw); !ok || n < 1 || n > most {
			return invalid("input.metadata."+key, "between 1 and %d", most)
		}
		return nil
	}
}

func each(rule string, fits func(json.RawMessage) bool) func(keys ...string) func(provider.Request) *provider.Error {
	return func(keys ...string) func(provider.Request) *provider.Error {
		return func(req provider.Request) *provider.Error {
			for _, key := range keys {
				if raw, ok := req.Metadata[key]; ok && !fits(raw) {
					return invalid("input.metadata."+key, "%s", rule)
				}
			}
			return nil
		}
	}
}

var (
	texts     = each("a string", func(raw json.RawMessage) bool { _, ok := lenient.Text(raw); return ok })
	numbers   = each("a whole number", func(raw json.RawMessage) bool { _, ok := lenient.Whole(raw); return ok })
	booleans  = each("true or false", func(raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == "false" })
	addresses = each("an http or https URL", func(raw json.RawMessage) bool {
		text, ok := lenient.Text(raw)
		return ok && webURL(text)
	})
)

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// checkVeo30 knows the models without 4k by the caller's name for them and by the upstream's.
func checkVeo30(req provider.Request) *provider.Error {
	if !strings.HasPrefix(req.Model, "veo-3.0") && !strings.HasPrefix(req.UpstreamModel, "veo-3.0") {
		return nil
	}
	_, resolution := videoShape(req)
	if resolution != "4k" {
		return nil
	}
	if _, ok := req.Metadata["resolution"]; ok {
		return invalid("input.metadata.resolution", "720p or 1080p for this model")
	}
	return invalid("input.size", "below %d pixels on the longer side for this model", ultraHD)
}

// checkVeoSeconds: Veo 3 makes 4, 6 or 8 seconds (sections 2.1 and 2.2); of other generations
// only Google knows.
func checkVeoSeconds(req provider.Request) *provider.Error {
	field := "input.duration"
	if raw, ok := req.Metadata["durationSeconds"]; ok {
		field = "input.metadata.durationSeconds"
		if _, ok := lenient.Whole(raw); !ok {
			return invalid(field, "a whole number of seconds")
		}
	}
	switch n := veoSeconds(req); {
	case n < 1:
		return invalid(field, "at least 1 second")
	case strings.HasPrefix(req.UpstreamModel, "veo-3") && n != 4 && n != 6 && n != 8:
		return invalid(field, "4, 6 or 8 seconds for this model")
	}
	return nil
}

func checkStorage(req provider.Request) *provider.Error {
	raw, ok := req.Metadata["storageUri"]
	if !ok {
		return nil
	}
	if uri, ok := lenient.Text(raw); !ok || !strings.HasPrefix(uri, "gs://") || strings.Contains(uri, "..") {
		return invalid("input.metadata.storageUri", "of the form gs://bucket/folder")
	}
	return nil
}

func checkReferences(req provider.Request) *provider.Error {
	raw, ok := req.Metadata["referenceImages"]
	if !ok {
		return nil
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) > maxReferences || slices.ContainsFunc(list, func(u string) bool { return !webURL(u) }) {
		return invalid("input.metadata.referenceImages", "a list of at most %d http or https URLs", maxReferences)
	}
	return nil
}

// omniSpans are the lengths of the generations of Omni (sections 1 and 3).
var omniSpans = []struct {
	prefix      string
	least, most int
}{
	{"gemini-omni-1.1", 3, 10},
	{"gemini-omni-1.2", 3, 15},
}

func checkOmniSeconds(req provider.Request) *provider.Error {
	field := "input.duration"
	for _, key := range []string{"durationSeconds", "duration"} {
		if raw, ok := req.Metadata[key]; ok {
			field = "input.metadata." + key
			if _, ok := omniWhole(raw); !ok {
				return invalid(field, "a whole number of seconds")
			}
			break
		}
	}
	n := omniSeconds(req)
	if field == "input.duration" && n == 0 {
		return nil
	}
	for _, span := range omniSpans {
		if strings.HasPrefix(req.UpstreamModel, span.prefix) && (n < span.least || n > span.most) {
			return invalid(field, "between %d and %d seconds for this model", span.least, span.most)
		}
	}
	if n < 1 {
		return invalid(field, "at least 1 second")
	}
	return nil
}

// checkImages counts the caller's list alone, as the contract has it.
func checkImages(req provider.Request) *provider.Error {
	n := req.ImageItems
	if n == 0 {
		n = len(req.Images)
	}
	if n > maxImages {
		return invalid("input.images", "at most %d items", maxImages)
	}
	return nil
}

func checkImageSize(req provider.Request) *provider.Error {
	for _, key := range ratioKeys {
		if raw, ok := req.Metadata[key]; ok {
			word, _ := lenient.Text(raw)
			if _, _, _, ok := lenient.Size(word); !ok && word != "auto" {
				return invalid("input.metadata."+key, "a ratio such as 16:9, or auto")
			}
		}
	}
	if _, _, _, ok := lenient.Size(req.Size); ok || req.Size == "" || req.Size == "auto" {
		return nil
	}
	return invalid("input.size", "a ratio such as 16:9, WxH in pixels, or auto")
}

// checkSearch: the flags are listed for the flash model; for the other one they are any other key.
func checkSearch(req provider.Request) *provider.Error {
	if isPro(req.UpstreamModel) {
		return nil
	}
	return booleans("google_search", "google_image_search")(req)
}

func checkMask(req provider.Request) *provider.Error {
	if mask, ok := lenient.Text(req.Metadata["mask_url"]); ok && mask != "" && len(req.Images) == 0 {
		return provider.Errorf(provider.Invalid, "input.metadata.mask_url needs the image that it masks in input.image or input.images")
	}
	return nil
}

// modelParams is the caller's object of members for the body; nil = none.
func modelParams(req provider.Request) (map[string]json.RawMessage, *provider.Error) {
	raw, ok := req.Metadata["model_params"]
	if !ok {
		return nil, nil
	}
	var params map[string]json.RawMessage
	if json.Unmarshal(raw, &params) != nil || params == nil {
		return nil, invalid(paramsField, "an object")
	}
	return params, nil
}

const (
	metadataField = "input.metadata"
	paramsField   = metadataField + ".model_params"
)

// checkOne: an interaction makes one video.
func checkOne(req provider.Request) *provider.Error {
	if raw, ok := req.Metadata["n"]; ok {
		if n, whole := lenient.Whole(raw); !whole || n != 1 {
			return invalid(metadataField+".n", "1 for this model")
		}
	}
	return nil
}

// checkParams keeps of model_params, and of the metadata that goes on by its own name, what would change whose files are read, how many images
// are paid for, or whether there is one at all.
func checkParams(req provider.Request) *provider.Error {
	params, err := modelParams(req)
	if err != nil {
		return err
	}
	if err := checkMembers(paramsField, params); err != nil {
		return err
	}
	own := rest(req, imageRead)
	if err := checkMembers(metadataField, own); err != nil {
		return err
	}
	return checkTuning(metadataField, own)
}

func checkMembers(field string, members map[string]json.RawMessage) *provider.Error {
	for _, key := range slices.Sorted(maps.Keys(members)) {
		switch plain(key) {
		case "contents", "cachedcontent", "model":
			return provider.Errorf(provider.Invalid, "%s.%s is not allowed; it is made of prompt and images", field, key)
		case "generationconfig":
			if err := checkConfig(field+"."+key, key, members[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOmniParams does the same for an interaction: what it reads, where its video goes and how
// long it is, who is called, and how the answer comes are not of model_params.
func checkOmniParams(req provider.Request) *provider.Error {
	params, err := modelParams(req)
	if err != nil {
		return err
	}
	if err := checkOmniMembers(paramsField, params); err != nil {
		return err
	}
	return checkOmniMembers(metadataField, rest(req, omniRead))
}

func checkOmniMembers(field string, members map[string]json.RawMessage) *provider.Error {
	for _, key := range slices.Sorted(maps.Keys(members)) {
		switch value := members[key]; plain(key) {
		case "input", "model", "agent", "previousinteractionid", "background", "stream", "store", "webhookconfig":
			return provider.Errorf(provider.Invalid, "%s.%s is not allowed; it is made by the server", field, key)
		case "responseformat":
			var format map[string]json.RawMessage
			if key != "response_format" || json.Unmarshal(value, &format) != nil || format == nil {
				return invalid(field+"."+key, "an object, spelled response_format")
			}
			for member := range format {
				switch plain(member) {
				case "type", "delivery", "gcsuri", "duration":
					return provider.Errorf(provider.Invalid, "%s.%s.%s is not allowed; it is made by the server", field, key, member)
				}
			}
		}
	}
	return nil
}

func checkConfig(field, key string, raw json.RawMessage) *provider.Error {
	var config map[string]json.RawMessage
	if key != "generationConfig" || json.Unmarshal(raw, &config) != nil || config == nil {
		return invalid(field, "an object, spelled generationConfig")
	}
	return checkTuning(field, config)
}

func checkTuning(field string, config map[string]json.RawMessage) *provider.Error {
	for key, value := range config {
		switch plain(key) {
		case "candidatecount":
			if n, ok := lenient.Whole(value); !ok || n != 1 {
				return invalid(field+"."+key, "1; ask for several images by input.metadata.n")
			}
		case "responsemodalities":
			var list []string
			if json.Unmarshal(value, &list) != nil || !slices.ContainsFunc(list, func(m string) bool { return strings.EqualFold(m, "image") }) {
				return invalid(field+"."+key, "a list that holds IMAGE")
			}
		}
	}
	return nil
}

// plain is a member's name in neither of the spellings that Google takes.
func plain(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }
