package localai

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Fields implements provider.Fielder.
func (*LocalAI) Fields(string, kinora.Kind) []kinora.Field {
	size := provider.SizeField("auto", "832x480", "1280x720", "720x1280")
	size.Help = "Pixels such as 1280x720, or auto."
	fields := []kinora.Field{provider.PromptField(), size, provider.ImagesField("The first frame, and behind it the last one."), provider.DurationField()}
	for _, key := range []string{"fps", "num_frames", "step", "seed"} {
		f := provider.MetadataField(key, kinora.FieldInteger, "")
		f.Minimum = new(float64)
		fields = append(fields, f)
	}
	return fields
}
