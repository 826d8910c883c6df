package google

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// The documented resolutions.
var (
	veoResolutions   = []string{"720p", "1080p", "4k"}
	omniResolutions  = []string{"360p", "720p", "1080p", "4k"}
	imageResolutions = []string{"0.5K", "1K", "2K", "4K"}
)

// Fields implements provider.Fielder.
func (*Google) Fields(upstreamModel string, _ kinora.Kind) []kinora.Field {
	shapes := provider.SizeField("auto", wide, tall)
	switch familyOf(upstreamModel) {
	case veo:
		return []kinora.Field{
			provider.PromptField(), shapes, provider.ImagesField("The first frame."), provider.DurationField(),
			provider.MetadataField("resolution", kinora.FieldText, "", veoResolutions...),
			provider.SpanField("n", kinora.FieldInteger, "How many videos.", 1, maxVideos),
			provider.MetadataField("lastFrame", kinora.FieldImage, "The last frame."),
			provider.MetadataField("negativePrompt", kinora.FieldLongText, "What is not to be seen."),
			provider.MetadataField("generateAudio", kinora.FieldBoolean, ""), provider.MetadataField("enhancePrompt", kinora.FieldBoolean, ""),
			provider.MetadataField("seed", kinora.FieldInteger, ""),
		}
	case omni:
		return []kinora.Field{
			provider.PromptField(), shapes, provider.ImagesField("Frames or references."), provider.DurationField(),
			provider.MetadataField("resolution", kinora.FieldText, "", omniResolutions...),
			provider.MetadataField("task", kinora.FieldText, "What the video is made of; when absent the model tells by what it is given.", omniTasks...),
		}
	}
	mask := provider.MetadataField("mask_url", kinora.FieldImage, "Shows where the image is to be changed.")
	mask.Needs = map[string]string{"input.images": ""}
	fields := []kinora.Field{
		provider.PromptField(), provider.SizeField(append([]string{"auto"}, ratiosOf(modelID(upstreamModel))...)...),
		provider.ImagesField("Sources and references."), mask,
		provider.MetadataField("resolution", kinora.FieldText, "", imageResolutions...),
		provider.SpanField("n", kinora.FieldInteger, "How many images.", 1, maxN),
	}
	if isPro(upstreamModel) {
		return fields
	}
	return append(fields,
		provider.MetadataField("google_search", kinora.FieldBoolean, "Looks facts up."),
		provider.MetadataField("google_image_search", kinora.FieldBoolean, "Looks images up."))
}
