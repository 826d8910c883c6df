package workflow_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/workflow"
)

var (
	namedFile = regexp.MustCompile("(?s)```yaml\n# ([a-z-]+\\.yaml)\n(.*?)```")
	aRequest  = regexp.MustCompile("(?s)```json\n(\\{\"source_asset_id\".*?)```")
)

// TestDocumentedWorkflows: the files of docs/workflows.md are right by parser and schema, and its requests are taken.
func TestDocumentedWorkflows(t *testing.T) {
	page, err := os.ReadFile("../../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	s, dir, n := schema(t), t.TempDir(), 0
	for _, m := range namedFile.FindAllStringSubmatch(string(page), -1) {
		if m[1] == "kinora.yaml" {
			continue
		}
		n++
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(m[2]), 0o600); err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := yaml.Unmarshal([]byte(m[2]), &doc); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	set, err := workflow.Load(dir)
	if err != nil || n != 4 {
		t.Fatalf("%d files, %v", n, err)
	}
	prompts := map[string]string{
		"product-on-white": "A studio packshot of the teapot in the photo, alone on a pure white background, without a shadow.",
		"lifestyle":        "The product in the photo in this place: a kitchen in the morning. Nobody is to be seen.",
	}
	requests := aRequest.FindAllStringSubmatch(string(page), -1)
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	for _, m := range requests {
		var req kinora.WorkflowRequest
		if json.Unmarshal([]byte(m[1]), &req) != nil || json.Unmarshal([]byte(m[1]), &req.Fields) != nil {
			t.Fatalf("not JSON: %s", m[1])
		}
		got, err := set.Resolve(req, workflow.SourceFacts{Width: 4000, Height: 3000})
		if err != nil || !strings.HasPrefix(got.Prompt, prompts[req.Workflow]) {
			t.Errorf("%s: %q, %v", req.Workflow, got.Prompt, err)
		}
	}
	if got, err := set.Resolve(kinora.WorkflowRequest{Workflow: "lifestyle", Mode: "people", Fields: map[string]json.RawMessage{
		"scene": json.RawMessage(`"a garden"`), "seasons": json.RawMessage(`["Spring","Summer"]`)}}, workflow.SourceFacts{}); err != nil || !strings.Contains(got.Prompt, "It is spring and summer.") {
		t.Errorf("lifestyle with people: %q, %v", got.Prompt, err)
	}
	_, err = set.Resolve(kinora.WorkflowRequest{Workflow: "lifestyle", Mode: "alone", Fields: map[string]json.RawMessage{
		"scene": json.RawMessage(`"a garden"`), "seasons": json.RawMessage(`["Spring"]`)}}, workflow.SourceFacts{})
	if got := fieldsOf(t, err); len(got) != 1 || got[0] != "seasons" {
		t.Errorf("lifestyle alone with a season: %v", err)
	}
}

// TestDocumentationNamesEveryKey: what the schema has, the page explains.
func TestDocumentationNamesEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(workflow.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	keys := doc.Properties
	for _, def := range doc.Defs {
		for k, v := range def.Properties {
			keys[k] = v
		}
	}
	for key := range keys {
		if !strings.Contains(string(page), key) {
			t.Errorf("the key %s is not explained", key)
		}
	}
}
