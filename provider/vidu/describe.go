package vidu

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder. Templates, multi-frame videos and what else has a route of its own are left to
// input.metadata.
func (*Vidu) Fields(upstreamModel string, kind kinora.Kind) []kinora.Field {
	seed := provider.MetadataField("seed", kinora.FieldInteger, "")
	watermark := provider.MetadataField("watermark", kinora.FieldBoolean, "")
	if kind == kinora.KindImage {
		return []kinora.Field{
			provider.PromptField(), provider.SizeField(append([]string{"auto"}, ratiosOf(reference2Image, upstreamModel)...)...),
			provider.ImagesField("References."), provider.MetadataField("resolution", kinora.FieldText, "", imageResolutions...), seed, watermark,
		}
	}
	fields := []kinora.Field{
		provider.PromptField(), provider.SizeField(append([]string{"auto"}, ratiosOf(text2Video, upstreamModel)...)...),
		provider.ImagesField("One is the first frame, two are the first and the last, more are references."),
		provider.DurationField(), provider.MetadataField("resolution", kinora.FieldText, "", videoResolutions...),
	}
	f := family(upstreamModel)
	for _, set := range wordSets {
		if set.key == "style" && !styled(f) {
			continue
		}
		fields = append(fields, provider.MetadataField(set.key, kinora.FieldText, "", set.words...))
	}
	fields = append(fields, provider.MetadataField("audio", kinora.FieldBoolean, "On models that make sound."))
	if accompanied(f) {
		fields = append(fields, provider.MetadataField("bgm", kinora.FieldBoolean, "Background music."))
	}
	return append(fields,
		provider.MetadataField("off_peak", kinora.FieldBoolean, "Cheaper; may take two days."), seed, watermark)
}
