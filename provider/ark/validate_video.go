package ark

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
)

func checkVideoSize(req provider.Request) *provider.Error {
	s, nothing, ok := parseSize(req.Size)
	if nothing {
		return nil
	}
	_, hasRatio := given(req, "ratio")
	switch {
	case !ok || s.word != "":
		return invalid("input.size", "pixels such as 1280x720, a ratio such as 16:9, or auto")
	case !s.pixels && !hasRatio && taskFields["ratio"](quoted(strings.TrimSpace(req.Size))) != "":
		return invalid("input.size", "pixels, auto, or one of %s", strings.Join(videoRatios, ", "))
	}
	return nil
}

func quoted(s string) json.RawMessage {
	out, _ := json.Marshal(s)
	return out
}

// lengths are the seconds that a generation of models makes; "free" ones also choose by
// themselves, for -1. The pages on 1.5 differ.
var lengths = map[generation]struct {
	least, most int64
	free        bool
}{
	{1, 0}: {2, 12, false},
	{2, 0}: {4, 15, true},
	{2, 5}: {4, 30, true},
}

func checkLength(req provider.Request) *provider.Error {
	if raw, ok := given(req, "frames"); ok {
		n, isWhole := whole(raw)
		if !isWhole || n < 29 || n > 289 || (n-25)%4 != 0 {
			return invalid("input.metadata.frames", "a whole number between 29 and 289 of the form 25 + 4n")
		}
	}
	field, seconds := "input.duration", int64(req.Duration)
	if raw, ok := given(req, "duration"); ok {
		field = "input.metadata.duration"
		if seconds, ok = whole(raw); !ok {
			return invalid(field, "a whole number of seconds")
		}
	} else if seconds == 0 {
		return nil
	}
	limit, known := lengths[generationOf(req.UpstreamModel)]
	switch {
	case !known, seconds >= limit.least && seconds <= limit.most, limit.free && seconds == -1:
		return nil
	case limit.free && field != "input.duration":
		return invalid(field, "between %d and %d seconds, or -1 to leave it to the model", limit.least, limit.most)
	}
	return invalid(field, "between %d and %d seconds for this model", limit.least, limit.most)
}

// onlyOn are the fields that some generations of models know and the other known ones do not.
var onlyOn = map[string][]generation{
	"frames":        {{1, 0}},
	"priority":      {{2, 0}, {2, 5}},
	"draft":         {{1, 5}},
	"output_format": {{2, 5}},
}

func checkForModel(req provider.Request) *provider.Error {
	g := generationOf(req.UpstreamModel)
	if !slices.Contains([]generation{{1, 0}, {1, 5}, {2, 0}, {2, 5}}, g) {
		return nil
	}
	for _, key := range []string{"frames", "priority", "draft", "output_format"} {
		raw, ok := given(req, key)
		if ok && string(raw) != "false" && !slices.Contains(onlyOn[key], g) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s must be left out for this model", key)
		}
	}
	if tier, _ := word(req.Metadata["service_tier"]); g.major == 2 && strings.EqualFold(tier, "flex") {
		return invalid("input.metadata.service_tier", "default for this model")
	}
	return nil
}

// references are how many images, videos and audios a generation of models takes. The page
// on 1.0 allows up to four images, on its lite image-to-video model.
var references = map[generation]struct{ images, videos, audios int }{
	{1, 0}: {images: 4},
	{2, 0}: {9, 3, 3},
	{2, 5}: {30, 10, 10},
}

// contentRoles are what image_roles may say.
var contentRoles = []string{roleFirst, roleLast, roleReference}

func checkContent(req provider.Request) *provider.Error {
	if err := checkShape(req); err != nil {
		return err
	}
	_, own := callerContent(req)
	roles := imageRoles(req, own)
	if cleanPrompt(req.Prompt) == "" && len(own) == 0 && len(roles) == 0 {
		return invalid("input.prompt", "more than parameters: give those in input.metadata")
	}
	field := "input.images"
	if _, ok := given(req, keyRoles); ok {
		field = "input.metadata." + keyRoles
	}
	count := map[string]int{}
	for _, role := range roles {
		count[role]++
	}
	for i, item := range own {
		if item.Type == typeVideo && strings.HasPrefix(strings.ToLower(item.Video.URL), "data:") {
			return provider.Errorf(provider.Invalid, "input.metadata.content[%d].video_url.url must be a URL: videos are not taken inline", i)
		}
		if role := item.meaning(); role != "" {
			field = "input.metadata.content"
			count[role]++
		}
	}
	return checkRoles(field, count, generationOf(req.UpstreamModel))
}

// What a task takes of images and in all, in bytes.
const maxImage, maxBody = 30 << 20, 64 << 20

// checkInline looks at images that the request itself brings.
func checkInline(req provider.Request) *provider.Error {
	if err := (provider.PictureLimits{Bytes: maxImage}).Check(req.Metadata, "content"); err != nil {
		return err
	}
	return provider.CheckMetadataSize(req.Metadata, maxBody)
}

// meaning is an item's role, also where it is left out.
func (i item) meaning() string {
	switch {
	case i.Role != "":
		return i.Role
	case i.Type == typeImage:
		return roleFirst
	case i.Type == typeVideo:
		return roleVideo
	case i.Type == typeAudio:
		return roleAudio
	}
	return ""
}

// checkShape wants image_roles and content to be what they are read as.
func checkShape(req provider.Request) *provider.Error {
	if raw, ok := given(req, keyRoles); ok {
		field := "input.metadata." + keyRoles
		one, isText := word(raw)
		each := []string{one}
		if !isText && (json.Unmarshal(raw, &each) != nil || len(each) != len(req.Images)) {
			return invalid(field, "one role, or an array with a role for each of input.images")
		}
		for _, role := range each {
			if !slices.Contains(contentRoles, role) {
				return invalid(field, "of %s", strings.Join(contentRoles, ", "))
			}
		}
	}
	if raw, ok := given(req, "content"); ok {
		var items []item
		if json.Unmarshal(raw, &items) != nil || slices.ContainsFunc(items, func(i item) bool { return i.Type == "" }) {
			return invalid("input.metadata.content", "an array of objects with a type")
		}
	}
	return nil
}

func checkRoles(field string, count map[string]int, g generation) *provider.Error {
	frames := count[roleFirst] + count[roleLast]
	refs := count[roleReference] + count[roleVideo] + count[roleAudio]
	limit, known := references[g]
	switch {
	case frames > 0 && refs > 0:
		return provider.Errorf(provider.Invalid, "%s must not mix first and last frames with references", field)
	case count[roleFirst] > 1 || count[roleLast] > 1:
		return invalid(field, "at most one first and one last frame")
	case count[roleLast] == 1 && count[roleFirst] == 0:
		return provider.Errorf(provider.Invalid, "%s must have a first frame beside the last", field)
	case count[roleAudio] > 0 && count[roleReference]+count[roleVideo] == 0:
		return provider.Errorf(provider.Invalid, "%s must have an image or a video beside a reference audio", field)
	case known && count[roleReference] > limit.images:
		return invalid(field, "at most %d reference images for this model", limit.images)
	case known && count[roleVideo] > limit.videos:
		return invalid(field, "at most %d reference videos for this model", limit.videos)
	case known && count[roleAudio] > limit.audios:
		return invalid(field, "at most %d reference audios for this model", limit.audios)
	}
	return nil
}
