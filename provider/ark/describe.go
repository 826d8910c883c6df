package ark

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder.
func (*Ark) Fields(upstreamModel string, kind kinora.Kind) []kinora.Field {
	watermark := provider.MetadataField("watermark", kinora.FieldBoolean, "A visible mark that says that it is made by AI.")
	if synchronous(upstreamModel, kind) {
		return []kinora.Field{
			provider.PromptField(),
			provider.SizeField(append([]string{"auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9"}, imageSizes...)...),
			provider.ImagesField("Sources and references."),
			provider.SpanField("n", kinora.FieldInteger, "How many images; with the sources at most 15.", 1, maxImages),
			provider.MetadataField("resolution", kinora.FieldText, "", imageSizes...),
			provider.MetadataField("output_format", kinora.FieldText, "", "png", "jpeg"),
			watermark,
		}
	}
	ratios := append([]string{"auto"}, videoRatios...)
	var resolutions []string
	for _, r := range videoResolutions {
		resolutions = append(resolutions, r.name)
	}
	return []kinora.Field{
		provider.PromptField(), provider.SizeField(ratios...),
		provider.ImagesField("One is the first frame, two are the first and the last, more are references."),
		provider.DurationField(),
		provider.MetadataField("resolution", kinora.FieldText, "", resolutions...),
		provider.MetadataField("generate_audio", kinora.FieldBoolean, "On models that make sound."),
		provider.MetadataField("camera_fixed", kinora.FieldBoolean, "The camera does not move."),
		provider.SpanField("seed", kinora.FieldInteger, "-1 is a random one.", -1, 1<<32-1),
		provider.MetadataField("service_tier", kinora.FieldText, "flex is slower and cheaper.", "default", "flex"),
		provider.MetadataField("draft", kinora.FieldBoolean, "A quick look at what would be made."),
		provider.MetadataField("output_format", kinora.FieldText, "", "mp4", "mov"),
		watermark,
	}
}
