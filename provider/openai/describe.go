package openai

import (
	"maps"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder. What only some servers know is given with its usual values.
func (*OpenAI) Fields(upstreamModel string, kind kinora.Kind) []kinora.Field {
	t := targetOf(upstreamModel, kind)
	if t.api == videos {
		return []kinora.Field{provider.PromptField(), provider.SizeField(soraProSizes...), provider.ImagesField("A reference."), provider.DurationField()}
	}
	mask := provider.MetadataField("mask_url", kinora.FieldImage, "Where it is transparent the first image is drawn anew.")
	mask.Needs = map[string]string{"input.images": ""}
	fields := []kinora.Field{
		provider.PromptField(), provider.SizeField(auto, "1024x1024", "1536x1024", "1024x1536", "1:1", "3:2", "2:3", "16:9", "9:16"),
		provider.ImagesField("Sources to edit."), mask,
		provider.SpanField("n", kinora.FieldInteger, "How many images.", 1, maxImages),
		provider.MetadataField("resolution", kinora.FieldText, "", slices.Sorted(maps.Keys(areas))...),
		provider.MetadataField("output_format", kinora.FieldText, "", "png", "jpeg", "webp"),
	}
	if !ownModel(t) {
		return fields
	}
	return append(fields,
		provider.MetadataField("quality", kinora.FieldText, "", auto, "low", "medium", "high"),
		provider.MetadataField("background", kinora.FieldText, "", auto, "opaque", "transparent"),
		provider.SpanField("output_compression", kinora.FieldInteger, "Of JPEG and WebP, in percent.", 0, 100))
}
