package openai_test

import (
	"slices"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/openai"
	"github.com/kinora/kinora/provider/providertest"
)

func TestFieldsOfModels(t *testing.T) {
	for model, kind := range map[string]kinora.Kind{
		"gpt-image-2": kinora.KindImage, "images:flux": kinora.KindImage, "responses:gpt-5.4": kinora.KindImage,
		"sora-2": kinora.KindVideo, "sora-2-pro": kinora.KindVideo, "wan2.2": kinora.KindVideo,
	} {
		providertest.CheckFields(t, openai.New(), model, kind)
	}
	// Of a model that is documented, what it takes and nothing else.
	for _, f := range provider.FieldsOf(openai.New(), "sora-2", kinora.KindVideo) {
		switch f.Name {
		case "input.size":
			if f.Open || !slices.Equal(f.Values, []string{"720x1280", "1280x720"}) {
				t.Errorf("size: %+v", f)
			}
		case "input.duration":
			if !slices.Equal(f.Values, []string{"4", "8", "12"}) {
				t.Errorf("duration: %+v", f)
			}
		case "input.images":
			if f.MinItems != 0 || f.MaxItems != 1 {
				t.Errorf("images: %+v", f)
			}
		}
	}
}
