package kling

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder.
func (*Kling) Fields(upstreamModel string, kind kinora.Kind) []kinora.Field {
	f, model := familyFor(upstreamModel, kind)
	fields := []kinora.Field{provider.PromptField(), provider.SizeField(append([]string{"auto"}, ratiosOf(kind)...)...)}
	switch {
	case kind == kinora.KindImage:
		return append(fields, pictureFields(model)...)
	case omni(model):
		fields = append(fields, provider.ImagesField("References: people, things, scenes, styles."))
	default:
		fields = append(fields, provider.ImagesField("The first frame, and behind it the last one."))
	}
	fields = append(fields, provider.DurationField())
	if f == modern {
		return append(fields, modernFields(model)...)
	}
	mode := provider.MetadataField("mode", kinora.FieldText, "Quality; higher ones cost more.", threeModes...)
	mode.Default = "std"
	fields = append(fields, mode)
	if _, known := videoLimits[model]; known && audible(model) {
		sound := provider.MetadataField("sound", kinora.FieldText, "With sound the mode must be pro.", "off", "on")
		sound.Needs = map[string]string{"input.metadata.mode": "pro"}
		fields = append(fields, sound)
	}
	return append(fields,
		text("negative_prompt", "What is not to be seen.", maxPrompt),
		provider.SpanField("cfg_scale", kinora.FieldNumber, "How closely the prompt is followed.", 0, 1))
}

func modernFields(model string) []kinora.Field {
	l := videoLimits[model]
	fields := []kinora.Field{provider.MetadataField("resolution", kinora.FieldText, "", toUltraHD...)}
	if l.audio == nil {
		return fields
	}
	audio := provider.MetadataField("audio", kinora.FieldText, "native: made with the video; original: that of a reference video.", l.audio...)
	if l.sharpEnds {
		audio.Help += " With native audio the resolution must be 1080p."
		audio.Needs = map[string]string{"input.metadata.resolution": "1080p"}
	}
	return append(fields, audio)
}

func pictureFields(model string) []kinora.Field {
	n := provider.SpanField("n", kinora.FieldInteger, "How many images.", 1, maxImages)
	n.Default = "1"
	fields := []kinora.Field{provider.ImagesField("References."), n,
		provider.MetadataField("resolution", kinora.FieldText, "", imageWords(omniImage)...)}
	if omni(model) {
		return fields
	}
	return append(fields, text("negative_prompt", "What is not to be seen. Not with a reference.", maxPrompt))
}

func text(key, help string, most int) kinora.Field {
	f := provider.MetadataField(key, kinora.FieldLongText, help)
	f.MaxLength = most
	return f
}
