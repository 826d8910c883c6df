package openai_test

import (
	"slices"
	"testing"
	"time"

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

// The contract's table (upstream-rules, section 7): first look, least and most time between two.
func TestPaces(t *testing.T) {
	d := openai.New().Describe()
	if want := (provider.Pace{First: 5 * time.Second, Interval: 10 * time.Second, Ceiling: 20 * time.Second}); d.Poll != want || d.Model("sora-2").Poll != (provider.Pace{}) {
		t.Errorf("videos: %+v, and %+v of the model's own", d.Poll, d.Model("sora-2").Poll)
	}
	if want := (provider.Pace{First: 3 * time.Second, Interval: 5 * time.Second, Ceiling: 30 * time.Second}); d.Model("responses:gpt-5.4").Poll != want {
		t.Errorf("responses: %+v", d.Model("responses:gpt-5.4").Poll)
	}
}
