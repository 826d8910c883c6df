package minimax

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder.
func (*MiniMax) Fields(upstreamModel string, _ kinora.Kind) []kinora.Field {
	optimizer := provider.MetadataField("prompt_optimizer", kinora.FieldBoolean, "Lets the upstream improve the prompt.")
	watermark := provider.MetadataField("aigc_watermark", kinora.FieldBoolean, "A visible mark that says that it is made by AI.")
	switch familyOf(upstreamModel) {
	case images:
		return []kinora.Field{
			provider.PromptField(), provider.SizeField(append([]string{"auto"}, imageRatios...)...), provider.ImagesField("A person to show."),
			provider.SpanField("n", kinora.FieldInteger, "How many images.", 1, maxImages),
			provider.MetadataField("seed", kinora.FieldInteger, ""), optimizer, watermark,
		}
	case h3:
		return []kinora.Field{
			provider.PromptField(), provider.SizeField(append([]string{"auto"}, h3Ratios...)...),
			provider.ImagesField("One is the first frame, two are the first and the last, more are references."),
			provider.DurationField(), provider.MetadataField("resolution", kinora.FieldText, "", resolutions(h3Steps)...), watermark,
		}
	}
	m := hailuoFacts(upstreamModel)
	frames := "The first frame, and behind it the last one."
	if m.subject {
		frames = "The person to show."
	}
	fields := []kinora.Field{provider.PromptField(), provider.ImagesField(frames), provider.DurationField()}
	if !m.series01 { // the reference's own tables disagree about theirs
		fields = append(fields, provider.MetadataField("resolution", kinora.FieldText, "1080P is for 6 seconds.", resolutions(hailuoSteps[1:])...))
	}
	return append(fields, optimizer,
		provider.MetadataField("fast_pretreatment", kinora.FieldBoolean, "A quicker prompt optimizer."), watermark)
}

func resolutions(steps []step) (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}
