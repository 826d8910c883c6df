package workflow_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/workflow"
)

// folder writes workflow files into a folder of their own; names follow from their order.
func folder(t testing.TB, texts ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loaded(t testing.TB, texts ...string) *workflow.Set {
	t.Helper()
	set, err := workflow.Load(folder(t, texts...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestLoad(t *testing.T) {
	dir := folder(t, "name: one\nmodel: m\nprompt: x\n", "name: staging\nmodel: m\nprompt: mine\n")
	for name, text := range map[string]string{"notes.txt": "no", ".hidden.yaml": "no", "README.md": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := workflow.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Names(); !slices.Equal(got, []string{"one", "pro_capture", "staging"}) {
		t.Errorf("workflows %v", got)
	}
	if w := set.Workflow("staging"); w.Model != "m" || len(w.Fields) != 0 || w.File != filepath.Join(dir, "b.yaml") {
		t.Errorf("the operator's own staging does not stand in for the built-in one: %+v", w)
	}
	if _, err := workflow.Load(filepath.Join(dir, "nowhere")); kinora.CodeOf(err) != kinora.ErrInvalid {
		t.Errorf("a folder that is not there: %v", err)
	}
	_, err = workflow.Load(folder(t, "name: one\nmodel: m\nprompt: x\n", "name: one\nmodel: m\nprompt: y\n", "modle: m\n"))
	if kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), "b.yaml: the workflow one is in ") || !strings.Contains(err.Error(), "c.yaml:1:1: unknown key \"modle\"") {
		t.Errorf("not everything is told: %v", err)
	}
}

func TestExtends(t *testing.T) {
	set := loaded(t, `
name: staging
extends: staging
model: gpt-image
fields:
  room_types: {values: [Living Room, Kitchen, Dining Room, Bathroom, Shower, Toilet, Sauna]}
  style_preset: {values: [Alpine]}
  note: {type: string}
gate: {structure: 0.6}
`)
	w, was := set.Workflow("staging"), builtIns(t).Workflow("staging")
	if w.Model != "gpt-image" || len(w.Fields) != 3 || len(w.Rows) != len(was.Rows) || w.Candidates != was.Candidates {
		t.Errorf("extended workflow %+v", w)
	}
	for _, f := range w.Fields {
		if f.Name == "room_types" && (!slices.Contains(f.Values, "Sauna") || len(f.Families) != 2 || f.Label != "Rooms") {
			t.Errorf("extended field %+v", f)
		}
	}
	recipe, err := set.Resolve(kinora.WorkflowRequest{Workflow: "staging", CaptureType: "floorplan", RoomTypes: []string{"Sauna"}, StylePreset: "Alpine"}, workflow.SourceFacts{})
	if err != nil || recipe.Plan.Gate.Structure != 0.6 || recipe.Plan.Gate.MinWidth != 512 || !strings.Contains(recipe.Prompt, "sauna in a alpine style") {
		t.Errorf("recipe %+v, %v", recipe, err)
	}
	if _, err := set.Resolve(kinora.WorkflowRequest{Workflow: "staging", CaptureType: "floorplan", StylePreset: "Modern"}, workflow.SourceFacts{}); err == nil {
		t.Error("a style that was taken away is still there")
	}
}

func TestOffer(t *testing.T) {
	sandbox := []kinora.Model{{Name: "sandbox-image", Kind: kinora.KindImage}, {Name: "sandbox-video", Kind: kinora.KindVideo}}
	if set, err := builtIns(t).Offer(sandbox); err != nil || len(set.Names()) != 2 {
		t.Errorf("with the sandbox: %v, %v", set, err)
	}
	if set, err := builtIns(t).Offer(nil); err != nil || len(set.Names()) != 0 {
		t.Errorf("without it: %v, %v", set, err)
	} else if _, err := set.Resolve(kinora.WorkflowRequest{Workflow: "staging"}, workflow.SourceFacts{}); kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), "offers none") {
		t.Errorf("a request where there are no workflows: %v", err)
	}
	for text, want := range map[string]string{
		"name: one\nmodel: sandbox-imag\nprompt: x\n":  `there is no model "sandbox-imag" (did you mean sandbox-image?)`,
		"name: one\nmodel: sandbox-video\nprompt: x\n": "workflow one makes images, and model sandbox-video videos",
	} {
		if _, err := loaded(t, text).Offer(sandbox); kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
