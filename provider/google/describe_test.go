package google_test

import (
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider/google"
	"github.com/kinora/kinora/provider/providertest"
)

func TestFieldsOfModels(t *testing.T) {
	for model, kind := range map[string]kinora.Kind{
		"veo-3.0-generate-001": kinora.KindVideo, "models/veo-3.1-generate-preview": kinora.KindVideo, "veo-9": kinora.KindVideo,
		"gemini-omni-1.2-flash": kinora.KindVideo, "gemini-2.5-flash-image": kinora.KindImage,
	} {
		providertest.CheckFields(t, google.New(), model, kind)
	}
}
