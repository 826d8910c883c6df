package workflow_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora/internal/workflow"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(workflow.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("workflow.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("workflow.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// base is a workflow that is right; cases change a line of it.
const base = `name: product
model: sandbox-image
fields:
  background: {type: enum, values: [white, grey], default: white}
  note: {type: string, max_length: 100}
  room_types: {type: list, values: [Hall, Bath, Shower], families: [[Bath, Shower]], max_items: 2}
  distance: {type: number, minimum: 0, maximum: 10, whole: true}
matrix:
  - capture_type: photo
    mode: clean
    fields: {background: required, note: forbidden}
    gate: {structure: 0.2}
  - capture_type: photo
    mode: furnish
  - capture_type: plan
    derived_mode: furnish
    size: auto
    prompt: A plan, {{.mode}}.
prompt: A photo on {{.background}} {{range .room_types}}{{.}}{{end}} {{with .note}}{{.}}{{end}}
size: source
max_side: 1024
images: ["https://cdn.example/logo.png"]
metadata: {quality: high}
candidates: 3
rounds: 2
publish: 2
gate: {min_width: 512, min_height: 512, aspect: "4:3", aspect_tolerance: 0.1, not_blank: true, changed: 4, structure: 0.4, hook: {url: "https://checks.example/k", timeout: 5s}}
review: true
cache_approved: true
price_usd: 0.25
`

// cases are changes of base, what the parser says of them, and whether the schema can know.
var cases = []struct {
	old, new string
	problem  string // empty = it is right
	schema   bool   // the schema refuses it too
}{
	{"", "", "", false},
	{"size: source\nmax_side: 1024", "size: [1:1, 3:2, 1024x1536]", "", false},
	{"price_usd: 0.25", "price_usd: 0", "", false},
	{", timeout: 5s", "", "", false},
	{"name: product", "nmae: product", `unknown key "nmae" (did you mean name?)`, true},
	{"name: product", "name: My Product", "name must be lower-case letters", true},
	{"name: product", "name: [a]", "name must be a text", true},
	{"model: sandbox-image\n", "", `the key "model" is missing`, true},
	{"model: sandbox-image", "model: \"\"", "model is empty", true},
	{"model: sandbox-image", "model: m\nmodel: m", `the key "model" is given twice, first in line 2`, false},
	{"model: sandbox-image", "model: m\nkind: audio", "kind must be image or video", true},
	{"model: sandbox-image", "model: m\nkind: video", "a video's gate has", false},
	{"model: sandbox-image", "model: m\nextends: stageing", "extends must name a built-in workflow", true},
	{"type: enum, values: [white, grey], default: white", "type: enum, values: [white, grey], default: red", `default must be one of white, grey, not "red"`, false},
	{"type: enum, values: [white, grey], default: white", "type: enum", `the key "values" is missing`, false},
	{"type: enum, values: [white, grey]", "type: enum, values: []", "values is empty", true},
	{"type: enum, values: [white, grey]", "type: enum, values: [white, white]", `values has "white" twice`, true},
	{"type: enum, values: [white, grey]", "type: word", "type must be enum, list, string or number", true},
	{"type: enum, values: [white, grey]", "values: [white, grey]", `the key "type" is missing`, false},
	{"{type: string, max_length: 100}", "{type: string, values: [a]}", "values does not go with type string", true},
	{"{type: string, max_length: 100}", "{type: string, max_length: 0}", "max_length must be a whole number from 1 to 2000", true},
	{"{type: string, max_length: 100}", "{type: string, required: maybe}", "required must be true or false", true},
	{"{type: string, max_length: 100}", "text", "fields.note must be keys and values", true},
	{"  note:", "  metadata:", "metadata is a word of the API", true},
	{"  note:", "  Note:", "a field's name must be", true},
	{"type: list,", "type: enum,", "room_types must be of type list", true},
	{"families: [[Bath, Shower]]", "families: [[Bath, Shwer]]", `the family names "Shwer", which is not among values (did you mean Shower?)`, false},
	{"minimum: 0, maximum: 10", "minimum: 20, maximum: 10", "minimum is above maximum", false},
	{"minimum: 0, maximum: 10", "minimum: near", "minimum must be a number", true},
	{"background: required", "backgrund: required", `the workflow has no field "backgrund" (did you mean background?)`, false},
	{"background: required", "background: needed", "a rule must be required, optional or forbidden", true},
	{"mode: furnish\n  - capture_type: plan", "mode: clean\n  - capture_type: plan", "the matrix has the row photo clean twice", false},
	{"  - capture_type: plan\n    derived_mode", "  - derived_mode", "either every row of the matrix names a capture_type", false},
	{"    mode: furnish\n", "    label: x\n", "either every row of a capture_type names a mode", false},
	{"    mode: furnish\n", "    mode: furnish\n    derived_mode: clean\n", "a row has mode, which callers send, or derived_mode", true},
	{"    mode: furnish\n", "    mode: Furnish!\n", "mode must be lower-case letters", true},
	{"size: source\n", "size: big\n", "size must be source, auto, WxH", true},
	{"size: source\n", "size: auto\n", "max_side goes with size: source", false},
	{"max_side: 1024", "max_side: 9000", "max_side must be a whole number from 64 to 4096", true},
	{"https://cdn.example/logo.png", "ftp://cdn.example/logo.png", "an entry of images must be an http or https URL", true},
	{"quality: high", "callback_url: x", "metadata cannot hold callback_url", true},
	{"candidates: 3", "candidates: 1", "publish is 2 and only 1 candidates are made", false},
	{"candidates: 3", "candidates: 3.5", "candidates must be a whole number", true},
	{"candidates: 3", "candidates: 9", "candidates must be a whole number from 1 to 8", true},
	{"rounds: 2", "rounds: 0", "rounds must be a whole number from 1 to 5", true},
	{"publish: 2", "publish: 3", "publish must be a whole number from 1 to 2", true},
	{"not_blank: true", "not_blank: sometimes", "not_blank must be true or false", true},
	{"changed: 4", "changed: 65", "changed must be a whole number from 0 to 64", true},
	{"structure: 0.4", "structure: 40", "structure must be a number from 0 to 1", true},
	{`aspect: "4:3"`, "aspect: 1.33", "aspect must be a ratio W:H", true},
	{`url: "https://checks.example/k", `, "", `the key "url" is missing`, true},
	{"https://checks.example/k", "https://user:pw@checks.example/k", "url must be an http or https address", true},
	{"timeout: 5s", "timeout: 5 seconds", "timeout must be a duration", true},
	{"timeout: 5s", "timeout: 5h", "timeout must be a duration", true},
	{"review: true", "review: 1", "review must be true or false", true},
	{"price_usd: 0.25", "price_usd: -1", "price_usd must be an amount", true},
	{"price_usd: 0.25", "price_usd: 0.1234567", "price_usd must be an amount", false},
	{"prompt: A photo", "prompt: [A photo]\nx: A photo", "prompt must be a text", true},
	{"{{.background}}", "{{.backgruond}}", `prompt: there is no field "backgruond" (did you mean background?)`, false},
	{"{{.background}}", "{{.background", "prompt: unexpected", false},
	{"{{.background}}", "{{printf \"%s\" .background}}", `prompt: the function "printf" is not allowed`, false},
	{"{{.background}}", "{{call .background}}", `prompt: the function "call" is not allowed`, false},
	{"{{.background}}", "{{.background.x}}", `the field "background" has no parts`, false},
	{"{{.background}}", "{{nothing}}", `function "nothing" not defined`, false},
	{"{{.background}}", "{{define \"x\"}}{{end}}", "prompt must not define templates", false},
	{"{{.background}}", "{{template \"x\"}}", "is not allowed", false},
	{"{{.background}}", "{{range 1000000000}}x{{end}}", "range goes over a list field only", false},
	{"{{.background}}", "{{lower .room_types}}", "prompt: ", false},
	{"{{.background}}", "{{range .room_types}}{{.note}}{{end}}", "write $.note", false},
	{"{{.background}}", "{{range .room_types}}{{$.note}}{{end}}", "", false},
	{"A plan, {{.mode}}.", "'{{if eq .mode \"x\"}}y{{end}}'", "the prompt is empty for plan", false},
	{"A plan, {{.mode}}.", "\"{{.mdoe}}\"", "did you mean mode?", false},
	{"review: true", "review: &x true", "anchors and aliases are not allowed", false},
	{"review: true", "---\nreview: true", "more than one YAML document", false},
	{"review: true", "review: true: true", "this is not YAML", false},
}

// TestSchemaAndParserAgree: what the parser takes the schema takes; what the schema can know it refuses as the parser does.
func TestSchemaAndParserAgree(t *testing.T) {
	s := schema(t)
	dir := t.TempDir()
	for _, tc := range cases {
		text := strings.Replace(base, tc.old, tc.new, 1)
		if tc.old != "" && text == base {
			t.Fatalf("%q is not in the base", tc.old)
		}
		file := filepath.Join(dir, "w.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		workflows, found := workflow.CheckFiles([]string{file})
		var said []string
		for _, p := range found {
			said = append(said, p.String())
			if p.Line < 1 {
				t.Errorf("%q: a problem without a line: %s", tc.new, p)
			}
		}
		all := strings.Join(said, "\n")
		if (tc.problem == "") != (len(workflows) == 1) || !strings.Contains(all, tc.problem) {
			t.Errorf("%q → %q: want %q, got\n%s", tc.old, tc.new, tc.problem, all)
		}
		var doc any
		if yaml.Unmarshal([]byte(text), &doc) != nil {
			continue // no YAML, so no editor gets as far as the schema
		}
		if err := s.Validate(doc); (err != nil) != tc.schema {
			t.Errorf("%q → %q: the schema says %v", tc.old, tc.new, err)
		}
	}
}

func TestSchemaTakesTheBuiltIns(t *testing.T) {
	s := schema(t)
	for _, w := range builtIns(t).Describe() {
		var doc any
		if err := yaml.Unmarshal(w.Text(), &doc); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
}

// FuzzCheck: whatever a file holds, it is read without a panic, and what is taken can be resolved.
func FuzzCheck(f *testing.F) {
	f.Add(base)
	for _, tc := range cases {
		f.Add(strings.Replace(base, tc.old, tc.new, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "w.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		workflows, found := workflow.CheckFiles([]string{file})
		if (len(workflows) == 1) == (len(found) > 0) {
			t.Errorf("%d workflows and problems %v", len(workflows), found)
		}
	})
}
