package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// The sandbox's documented limits.
const (
	maxPrompt    = 8000 // characters
	maxImages    = 16
	maxOutputs   = 4 // of an image model; a video model makes one
	minSeconds   = 1
	maxSeconds   = 15
	minImageSide = 64 // pixels
	maxImageSide = 4096
	minVideoSide = 128
	maxVideoSide = 1920
)

// reserved are the keys of the body that metadata cannot set: what the gateway
// decides, and the options, which come from metadata.sandbox.
var reserved = []string{"model", "prompt", "client_ref", "callback_url", "options", "sandbox"}

// body builds the submit's JSON object. A metadata key wins over the input field
// that stands for the same thing; keys without a meaning here pass through.
func body(req provider.Request) map[string]any {
	out := map[string]any{
		"model": req.UpstreamModel, "prompt": req.Prompt, "client_ref": req.ClientRef,
	}
	if req.Size != "" {
		out["size"] = req.Size
	}
	if len(req.Images) > 0 {
		out["images"] = req.Images
	}
	if req.Duration > 0 && req.Kind == kinora.KindVideo {
		out["duration"] = req.Duration
	}
	if req.CallbackURL != "" {
		out["callback_url"] = req.CallbackURL
	}
	for key, value := range req.Metadata {
		if !slices.Contains(reserved, key) {
			out[key] = value
		}
	}
	if options, ok := req.Metadata["sandbox"]; ok {
		out["options"] = forUpstream(options)
	}
	if req.Parts > 1 {
		out["n"] = 1
	}
	return out
}

// Parts implements provider.Splitter: one call makes all, unless a request asks for each output apart.
func (*Sandbox) Parts(req provider.Request) int {
	var given map[string]json.RawMessage
	n, ok := whole(req.Metadata["n"])
	if json.Unmarshal(req.Metadata["sandbox"], &given) != nil || string(given[apart]) != "true" || !ok {
		return 1
	}
	return max(1, n)
}

// Validate implements provider.Provider. What it leaves to the sandbox is refused there at
// submit with the field named as well.
func (*Sandbox) Validate(req provider.Request) error {
	for _, check := range []func(provider.Request) *provider.Error{
		checkPrompt, checkCount, checkSize, checkDuration, checkFormat, checkOptions,
	} {
		if err := check(req); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

func checkPrompt(req provider.Request) *provider.Error {
	if utf8.RuneCountInString(req.Prompt) > maxPrompt {
		return invalid("input.prompt", "at most %d characters", maxPrompt)
	}
	if len(req.Images) > maxImages {
		return invalid("input.images", "at most %d", maxImages)
	}
	return nil
}

func checkCount(req provider.Request) *provider.Error {
	if raw, ok := req.Metadata["n"]; ok {
		most := maxOutputs
		if req.Kind == kinora.KindVideo {
			most = 1
		}
		if n, ok := whole(raw); !ok || n < 1 || n > most {
			return invalid("input.metadata.n", "a whole number between 1 and %d", most)
		}
	}
	if raw, ok := req.Metadata["seed"]; ok {
		var seed int64
		if json.Unmarshal(raw, &seed) != nil {
			return invalid("input.metadata.seed", "a whole number")
		}
	}
	return nil
}

// whole reads a JSON number without a fraction.
func whole(raw json.RawMessage) (n int, ok bool) {
	err := json.Unmarshal(raw, &n)
	return n, err == nil && string(raw) != "null"
}

func checkSize(req provider.Request) *provider.Error {
	field, size := "input.size", req.Size
	if raw, ok := req.Metadata["size"]; ok {
		field = "input.metadata.size"
		if json.Unmarshal(raw, &size) != nil {
			return invalid(field, "a string")
		}
	}
	if size == "" || size == "auto" {
		return nil
	}
	least, most, even := minImageSide, maxImageSide, false
	if req.Kind == kinora.KindVideo {
		least, most, even = minVideoSide, maxVideoSide, true
	}
	w, h, pixels, ok := lenient.Size(size)
	switch {
	case !ok:
		return invalid(field, "WxH in pixels, a ratio such as 16:9, or auto")
	case pixels && (min(w, h) < least || max(w, h) > most):
		return invalid(field, "between %d and %d pixels a side", least, most)
	case pixels && even && (w%2 != 0 || h%2 != 0):
		return invalid(field, "even in both sides for a video")
	}
	return nil
}

func checkDuration(req provider.Request) *provider.Error {
	if req.Kind != kinora.KindVideo {
		return nil
	}
	field, seconds := "input.duration", req.Duration
	if raw, ok := req.Metadata["duration"]; ok {
		field = "input.metadata.duration"
		n, ok := whole(json.RawMessage(strings.Trim(string(raw), `"`)))
		if !ok {
			return invalid(field, "a whole number of seconds")
		}
		seconds = n
	} else if seconds == 0 {
		return nil
	}
	if seconds < minSeconds || seconds > maxSeconds {
		return invalid(field, "between %d and %d seconds", minSeconds, maxSeconds)
	}
	return nil
}

// wordSets are the metadata keys that take one of a few words, by kind.
var wordSets = map[kinora.Kind]map[string][]string{
	kinora.KindImage: {"output_format": {"jpeg", "jpg", "png"}, "resolution": {"0.5K", "1K", "2K", "4K"}},
	kinora.KindVideo: {"resolution": {"360p", "480p", "720p", "1080p"}},
}

func checkFormat(req provider.Request) *provider.Error {
	sets := wordSets[req.Kind]
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		raw, ok := req.Metadata[key]
		if !ok {
			continue
		}
		var word string
		known := func(w string) bool { return w == word || key == "resolution" && strings.EqualFold(w, word) }
		if json.Unmarshal(raw, &word) != nil || !slices.ContainsFunc(sets[key], known) {
			return invalid("input.metadata."+key, "one of %s", strings.Join(sets[key], ", "))
		}
	}
	return nil
}

// callerField turns the sandbox's name of a field into the caller's; empty for names
// that it does not document.
func callerField(param string) string {
	switch param {
	case "model":
		return "model"
	case "prompt", "size", "images", "duration":
		return "input." + param
	case "n", "seed", "resolution", "output_format", "callback_url":
		return "input.metadata." + param
	case "options":
		return "input.metadata.sandbox"
	}
	if name, ok := strings.CutPrefix(param, "options."); ok {
		if _, known := options()[name]; known {
			return "input.metadata.sandbox." + name
		}
	}
	return ""
}
