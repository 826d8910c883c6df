package ark

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// Validate implements provider.Provider. It checks what the vendor documents; where its
// pages disagree, or say nothing about a model, the vendor decides.
func (*Ark) Validate(req provider.Request) error {
	checks := []func(provider.Request) *provider.Error{checkFields(taskFields), checkVideoSize, checkLength, checkForModel, checkContent, checkInline}
	if synchronousRequest(req) {
		checks = []func(provider.Request) *provider.Error{checkFields(imageFields), checkImageModel, checkImageSize, checkImageCounts}
	}
	for _, check := range checks {
		if err := check(req); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

// fieldRule says what a metadata key may hold: "" = it may, else what it must be.
type fieldRule func(raw json.RawMessage) string

// taskFields and imageFields are the rules that hold for every model of a family.
var taskFields = map[string]fieldRule{
	"resolution": oneOf("480p", "720p", "1080p", "4k"),
	// keep_ratio and 9:21 are of the older models' page.
	"ratio":                    oneOf("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21", adaptive, "keep_ratio"),
	"service_tier":             oneOf("default", "flex"),
	"execution_expires_after":  between(3600, 259_200, "seconds"),
	"priority":                 between(0, 9, ""),
	"seed":                     between(-1, 1<<32-1, ""),
	"output_format":            oneOf("mp4", "mov"),
	"omni_reference_task_type": oneOf("auto", "reference", "edit", "extend"),
	"return_last_frame":        boolean,
	"generate_audio":           boolean,
	"draft":                    boolean,
	"camera_fixed":             boolean,
	"watermark":                boolean,
	"tools":                    array,
	keyReference:               atMost(64),
}

var imageFields = map[string]fieldRule{
	"resolution":                          oneOf(imageSizes...),
	"n":                                   between(1, maxImages, ""),
	"sequential_image_generation":         oneOf("auto", "disabled"),
	"sequential_image_generation_options": sequentialOptions,
	"optimize_prompt_options":             optimizeOptions,
	"output_format":                       oneOf("png", "jpeg"),
	"seed":                                wholeNumber,
	"guidance_scale":                      number,
	"watermark":                           boolean,
	"layer_decomposition":                 boolean,
	"tools":                               array,
}

func checkFields(rules map[string]fieldRule) func(provider.Request) *provider.Error {
	return func(req provider.Request) *provider.Error {
		for _, key := range slices.Sorted(maps.Keys(rules)) {
			if raw, ok := given(req, key); ok {
				if must := rules[key](raw); must != "" {
					return invalid("input.metadata."+key, "%s", must)
				}
			}
		}
		return nil
	}
}

func oneOf(words ...string) fieldRule {
	return func(raw json.RawMessage) string {
		s, ok := word(raw)
		if !ok || !slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, s) }) {
			return "one of " + strings.Join(words, ", ")
		}
		return ""
	}
}

func between(least, most int64, unit string) fieldRule {
	return func(raw json.RawMessage) string {
		if n, ok := whole(raw); !ok || n < least || n > most {
			return strings.TrimSpace(fmt.Sprintf("a whole number between %d and %d %s", least, most, unit))
		}
		return ""
	}
}

func wholeNumber(raw json.RawMessage) string {
	if _, ok := whole(raw); !ok {
		return "a whole number"
	}
	return ""
}

func number(raw json.RawMessage) string {
	if _, ok := lenient.Number(raw); !ok {
		return "a number"
	}
	return ""
}

func atMost(characters int) fieldRule {
	return func(raw json.RawMessage) string {
		if s, ok := word(raw); !ok || utf8.RuneCountInString(s) > characters {
			return fmt.Sprintf("a string of at most %d characters", characters)
		}
		return ""
	}
}

func boolean(raw json.RawMessage) string {
	var b *bool
	if json.Unmarshal(raw, &b) != nil || b == nil {
		return "true or false"
	}
	return ""
}

func array(raw json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return "an array"
	}
	return ""
}

func optimizeOptions(raw json.RawMessage) string {
	options, ok := object(raw)
	if !ok {
		return "an object"
	}
	for key, rule := range map[string]fieldRule{"mode": oneOf("standard", "fast"), "thinking": oneOf("auto", "enabled", "disabled")} {
		if v, there := options[key]; there && rule(v) != "" {
			return "an object whose " + key + " is " + rule(v)
		}
	}
	return ""
}

func sequentialOptions(raw json.RawMessage) string {
	options, ok := object(raw)
	if !ok {
		return "an object"
	}
	rule := between(1, maxImages, "")
	if v, there := options["max_images"]; there && rule(v) != "" {
		return "an object whose max_images is " + rule(v)
	}
	return ""
}
