package comfyui_test

import (
	"slices"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/comfyui"
	"github.com/kinora/kinora/provider/providertest"
)

// The fields of a model are the places of its workflow.
func TestFieldsOfWorkflows(t *testing.T) {
	workflow := func(inputs string) *comfyui.Workflow {
		t.Helper()
		w, err := comfyui.ParseWorkflow([]byte(`{"1":{"class_type":"X","inputs":` + inputs + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	p := comfyui.New(map[string]*comfyui.Workflow{
		"text": workflow(`{"a":"{{prompt}}"}`),
		"much": workflow(`{"a":"{{prompt}}","b":"{{width|1024}}","c":"{{image}}","d":"{{image2|none.png}}","e":"{{metadata.style}}",
			"f":"{{metadata.steps|20}}","g":"{{metadata.tiled|false}}","h":"{{duration*16+1}}","i":"{{seed}}","j":"{{n|1}}"}`),
	})
	for model, want := range map[string][]string{
		"text": {"input.prompt"},
		"much": {"input.prompt", "input.size", "input.images", "input.duration", "input.metadata.steps", "input.metadata.style", "input.metadata.tiled", "input.metadata.n", "input.metadata.seed"},
	} {
		providertest.CheckFields(t, p, model, kinora.KindVideo)
		var names []string
		for _, f := range provider.FieldsOf(p, model, kinora.KindVideo) {
			names = append(names, f.Name)
			required := slices.Contains([]string{"input.prompt", "input.images", "input.duration", "input.metadata.style"}, f.Name)
			if f.Required != required || f.Name == "input.images" && (f.MinItems != 1 || f.MaxItems != 2) || f.Name == "input.metadata.steps" && (f.Default != "20" || f.Type != kinora.FieldNumber) {
				t.Errorf("%s: %+v", model, f)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s has the fields %q", model, names)
		}
	}
	if fields := provider.FieldsOf(p, "none", kinora.KindImage); fields != nil {
		t.Errorf("a model without a workflow has the fields %+v", fields)
	}
}
