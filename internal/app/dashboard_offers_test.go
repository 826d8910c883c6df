package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard"
)

// A model's description becomes a form: what is closed is a choice, what is open is told of.
func TestModelsDrawTheirForms(t *testing.T) {
	least, most := 1.0, 4.0
	got := modelFields([]kinora.Field{
		{Name: "input.prompt", Type: kinora.FieldLongText, Label: "Prompt", Required: true, MaxLength: 2500},
		{Name: "input.size", Type: kinora.FieldSize, Label: "Size", Help: "Ratio or pixels.", Values: []string{"auto", "16:9"}, Open: true},
		{Name: "input.images", Type: kinora.FieldImages, Label: "Images", MaxItems: 2},
		{Name: "input.duration", Type: kinora.FieldInteger, Label: "Duration", Values: []string{"5", "10"}},
		{Name: "input.metadata.n", Type: kinora.FieldInteger, Label: "N", Default: "1", Minimum: &least, Maximum: &most},
		{Name: "input.metadata.sound", Type: kinora.FieldText, Label: "Sound", Values: []string{"off", "on"}, Needs: map[string]string{"input.metadata.mode": "pro", "input.images": ""}},
		{Name: "input.metadata.watermark", Type: kinora.FieldBoolean, Label: "Watermark"},
		{Name: "input.metadata.mask_url", Type: kinora.FieldImage, Label: "Mask"},
	})
	want := []dashboard.OfferField{
		{Name: "input.prompt", Type: dashboard.FieldLong, Label: "Prompt", Required: true, Length: 2500},
		{Name: "input.size", Type: dashboard.FieldText, Label: "Size", Help: "Ratio or pixels. Such as auto, 16:9."},
		{Name: "input.images", Type: dashboard.FieldImages, Label: "Images", Help: "At most 2."},
		{Name: "input.duration", Type: dashboard.FieldChoice, Label: "Duration", Values: []string{"5", "10"}, Whole: true},
		{Name: "input.metadata.n", Type: dashboard.FieldNumber, Label: "N", Default: "1", Least: &least, Most: &most, Whole: true},
		{Name: "input.metadata.sound", Type: dashboard.FieldChoice, Label: "Sound", Values: []string{"off", "on"}, Help: "Needs input.images. Needs input.metadata.mode = pro."},
		{Name: "input.metadata.watermark", Type: dashboard.FieldSwitch, Label: "Watermark"},
		{Name: "input.metadata.mask_url", Type: dashboard.FieldText, Label: "Mask"},
		{Name: "input.metadata", Type: dashboard.FieldObject, Label: "The model's own fields", Help: `A JSON object, such as {"key": "value"}.`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if modelFields(nil) != nil {
		t.Error("a model without a description has a form of its own")
	}
}
