package ark

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// keyRoles is the metadata key, of Kinora's own making, that says what input.images are for.
const keyRoles = "image_roles"

// The roles of content items.
const (
	roleFirst     = "first_frame"
	roleLast      = "last_frame"
	roleReference = "reference_image"
	roleVideo     = "reference_video"
	roleAudio     = "reference_audio"
)

// The types of content items.
const (
	typeText  = "text"
	typeImage = "image_url"
	typeVideo = "video_url"
	typeAudio = "audio_url"
	typeDraft = "draft_task"
)

const keyReference = "safety_identifier"

var (
	// taskOwned are metadata keys that do not reach the body as they are: what Kinora decides,
	// and what becomes something else.
	taskOwned   = []string{"model", "callback_url", "content", keyRoles, "durationSeconds", keyReference}
	taskNumbers = []string{"duration", "frames", "seed", "priority", "execution_expires_after"}
)

// taskBody is the JSON of a Seedance submit. A metadata key wins over the input field that
// stands for the same thing.
func taskBody(up provider.Upstream, req provider.Request) body {
	b := body{"model": modelID(req.UpstreamModel)}
	b.pass(req.Metadata, taskOwned, taskNumbers)
	b["content"] = content(req)
	ratio, resolution := shape(req.Size)
	for key, fromSize := range map[string]string{"ratio": ratio, "resolution": resolution} {
		if raw, ok := given(req, key); ok {
			if s, isText := word(raw); isText {
				b[key] = strings.ToLower(s)
			}
		} else if fromSize != "" {
			b[key] = fromSize
		}
	}
	_, hasDuration := given(req, "duration")
	_, hasFrames := given(req, "frames")
	if req.Duration > 0 && !hasDuration && !hasFrames {
		b["duration"] = req.Duration
	}
	if req.CallbackURL != "" {
		b["callback_url"] = req.CallbackURL
	}
	if ref, _ := reference(up, req); ref != "" {
		b[keyReference] = ref
	}
	return b
}

// reference is the task's safety_identifier: the caller's own, or else, unless the account's
// settings say otherwise, the attempt's id. ours says that it is the latter, and so unique.
//
// The field is meant for the end user's id, is echoed by every query and is the only one of a
// task that could tell whose it is: the protocol has neither a client's tag nor an idempotency key.
func reference(up provider.Upstream, req provider.Request) (ref string, ours bool) {
	if raw, ok := given(req, keyReference); ok {
		if s, _ := word(raw); s != "" {
			return s, false
		}
	}
	if up.Account.Settings[SettingReference] == referenceOff {
		return "", false
	}
	return req.ClientRef, req.ClientRef != ""
}

// shape is what a size means in the vendor's words: "16:9" is a ratio, and pixels are the
// ratio and the resolution that come closest.
func shape(text string) (ratio, resolution string) {
	s, nothing, ok := parseSize(text)
	switch {
	case nothing || !ok || s.word != "":
		return "", ""
	case s.pixels:
		return nearestRatio(s.w, s.h), nearestResolution(s.w, s.h)
	}
	return strings.TrimSpace(text), ""
}

// item is one content item, as far as it matters here.
type item struct {
	Type  string `json:"type"`
	Role  string `json:"role"`
	Video struct {
		URL string `json:"url"`
	} `json:"video_url"`
}

// content is what the video is made from: prompt and images, and then the caller's own
// items. Among those a text stands for the prompt and an image for the input's images; a
// draft's task brings both along by itself.
func content(req provider.Request) []any {
	raw, own := callerContent(req)
	var out []any
	if text := cleanPrompt(req.Prompt); text != "" && !has(own, typeText) && !has(own, typeDraft) {
		out = append(out, map[string]any{"type": typeText, "text": text})
	}
	for i, role := range imageRoles(req, own) {
		out = append(out, map[string]any{"type": typeImage, "image_url": map[string]string{"url": req.Images[i]}, "role": role})
	}
	for _, r := range raw {
		out = append(out, r)
	}
	return out
}

// callerContent are the items of metadata.content, as given and as read.
func callerContent(req provider.Request) (raw []json.RawMessage, own []item) {
	list, ok := given(req, "content")
	if !ok || json.Unmarshal(list, &raw) != nil {
		return nil, nil
	}
	own = make([]item, len(raw))
	for i, r := range raw {
		_ = json.Unmarshal(r, &own[i]) // Validate has refused what is not an item
	}
	return raw, own
}

func has(items []item, kind string) bool {
	for _, i := range items {
		if i.Type == kind {
			return true
		}
	}
	return false
}

// imageRoles are the roles of the input's images, in order; none where the caller's own
// content stands for them. Without metadata.image_roles one image is the first frame and two
// are the first and the last; more, and any beside other references, are references.
func imageRoles(req provider.Request, own []item) []string {
	if has(own, typeImage) || has(own, typeDraft) {
		return nil
	}
	roles := make([]string, len(req.Images))
	if raw, ok := given(req, keyRoles); ok {
		if one, isText := word(raw); isText {
			for i := range roles {
				roles[i] = one
			}
			return roles
		}
		var each []string
		if json.Unmarshal(raw, &each) == nil && len(each) == len(roles) {
			return each
		}
	}
	references := len(roles) > 2 || has(own, typeVideo) || has(own, typeAudio)
	for i := range roles {
		switch {
		case references:
			roles[i] = roleReference
		case i == 0:
			roles[i] = roleFirst
		default:
			roles[i] = roleLast
		}
	}
	return roles
}

// defaultExpiry is how long the vendor keeps trying where a task does not say.
const defaultExpiry = 172_800 * time.Second

// Patience implements provider.Patient: the flex tier makes tasks when there is room, until
// they expire.
func (*Ark) Patience(req provider.Request) time.Duration {
	if synchronousRequest(req) {
		return 0
	}
	if tier, _ := word(req.Metadata["service_tier"]); tier != "flex" {
		return 0
	}
	if n, ok := whole(req.Metadata["execution_expires_after"]); ok && n > 0 && n <= 259_200 {
		return time.Duration(n) * time.Second
	}
	return defaultExpiry
}
