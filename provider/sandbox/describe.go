package sandbox

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder.
func (*Sandbox) Fields(_ string, kind kinora.Kind) []kinora.Field {
	fields := []kinora.Field{provider.PromptField(), provider.SizeField("auto", "1:1", "16:9", "9:16", "4:3", "3:4", "512x512", "1280x720"), provider.ImagesField("Pictures to begin from.")}
	sets := wordSets[kind]
	switch kind {
	case kinora.KindVideo:
		fields = append(fields, provider.DurationField())
	default:
		n := provider.SpanField("n", kinora.FieldInteger, "How many images.", 1, maxOutputs)
		n.Default = "1"
		fields = append(fields, n, provider.MetadataField("output_format", kinora.FieldText, "", sets["output_format"]...))
	}
	return append(fields,
		provider.MetadataField("resolution", kinora.FieldText, "", sets["resolution"]...),
		provider.MetadataField("seed", kinora.FieldInteger, "The same one makes the same picture."),
		provider.MetadataField("sandbox", kinora.FieldObject, `How the sandbox is to behave, such as {"delay": "5s"} or {"fail": "moderation"}.`))
}
