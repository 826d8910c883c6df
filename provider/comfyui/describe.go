package comfyui

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder: what the operator's workflow has places for.
func (c *ComfyUI) Fields(upstreamModel string, _ kinora.Kind) []kinora.Field {
	w := c.workflows[upstreamModel]
	if w == nil {
		return nil
	}
	fields := []kinora.Field{provider.PromptField()}
	if w.places["width"] != nil || w.places["height"] != nil {
		size := provider.SizeField("auto", "1:1", "16:9", "9:16", "4:3", "3:4")
		if size.Required = w.required("width") || w.required("height"); size.Required {
			size.Values = size.Values[1:]
		}
		fields = append(fields, size)
	}
	if w.images > 0 {
		images := provider.ImagesField("")
		images.MinItems = w.leastImages()
		images.Required = images.MinItems > 0
		fields = append(fields, images)
	}
	if w.places["duration"] != nil {
		duration := provider.DurationField()
		duration.Required, duration.Default = w.required("duration"), w.fallback("duration")
		fields = append(fields, duration)
	}
	for _, name := range slices.Sorted(maps.Keys(w.places)) {
		if f, ok := w.field(name); ok {
			fields = append(fields, f)
		}
	}
	return fields
}

// field is the field of a place that is filled from input.metadata.
func (w *Workflow) field(name string) (kinora.Field, bool) {
	var f kinora.Field
	key, isMetadata := strings.CutPrefix(name, "metadata.")
	switch {
	case name == "n":
		f = provider.SpanField(name, kinora.FieldInteger, "How many are made in one run.", 1, maxCount)
	case name == "seed":
		f = provider.MetadataField(name, kinora.FieldInteger, "When absent, one for each generation.")
		f.Minimum = new(float64)
		return f, true // it is never missing
	case isMetadata:
		f = provider.MetadataField(key, fieldType(w.places[name].fallback), "")
	default:
		return f, false
	}
	f.Required, f.Default = w.required(name) && name != "n", w.fallback(name)
	return f, true
}

func (w *Workflow) required(name string) bool {
	return w.places[name] != nil && w.places[name].required
}

// fallback is a place's default as a text.
func (w *Workflow) fallback(name string) string {
	switch v := w.places[name].fallback.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
}

// leastImages is how many images there must be: as many as the last place that has no default.
func (w *Workflow) leastImages() int {
	for n := w.images; n > 0; n-- {
		if w.required(imageName(n)) {
			return n
		}
	}
	return 0
}

func fieldType(fallback any) kinora.FieldType {
	switch fallback.(type) {
	case json.Number:
		return kinora.FieldNumber
	case bool:
		return kinora.FieldBoolean
	}
	return kinora.FieldText
}
