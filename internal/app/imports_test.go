package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/kinora/kinora"

// layers says what a package of the module may import of the module, beside the root
// package: "a ← b" as written in docs/architecture.md. Packages not listed may import
// nothing of it.
var layers = map[string][]string{
	"":                               {},
	"client":                         {"client/webhook"},
	"client/webhook":                 {},
	"client/webhook/consumers":       {},
	"client/openaisdk":               {},
	"client/walkthrough":             {},
	"provider":                       {""},
	"provider/ark":                   {"", "provider", "provider/lenient"},
	"provider/comfyui":               {"", "provider", "provider/lenient"},
	"provider/google":                {"", "provider", "provider/jsonstream", "provider/lenient"},
	"provider/kling":                 {"", "provider", "provider/lenient"},
	"provider/minimax":               {"", "provider", "provider/lenient"},
	"provider/openai":                {"", "provider", "provider/jsonstream", "provider/lenient"},
	"provider/sandbox":               {"", "provider", "provider/lenient", "client/webhook"},
	"provider/vidu":                  {"", "provider", "provider/lenient"},
	"provider/lenient":               {},
	"provider/localai":               {"", "provider", "provider/jsonstream", "provider/lenient"},
	"provider/jsonstream":            {},
	"provider/providertest":          {"", "provider"},
	"internal/id":                    {},
	"internal/seal":                  {},
	"internal/netguard":              {},
	"internal/netguard/netguardtest": {},
	"internal/media":                 {},
	"internal/blob":                  {},
	"internal/blob/blobtest":         {"internal/blob"},
	"internal/closest":               {},
	"internal/config":                {"", "internal/closest"},
	"internal/store":                 {"", "internal/id"},
	"internal/store/storetest":       {"internal/store"},
	"internal/preview":               {"internal/blob", "internal/media"},
	"internal/queue":                 {"internal/store"},
	"internal/masterkey":             {"", "internal/seal", "internal/store"},
	"internal/people":                {"", "internal/id", "internal/seal", "internal/store"},
	"internal/people/issuertest":     {},
	"internal/tenancy":               {"", "internal/id", "internal/seal", "internal/store"},
	"internal/asset":                 {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store"},
	"internal/upload":                {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store"},
	"internal/inputs":                {"", "internal/blob", "internal/media", "internal/netguard", "provider"},
	"internal/lifecycle":             {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store", "provider"},
	"internal/operator":              {"", "internal/store"},
	"internal/quality":               {"", "client/webhook", "internal/media"},
	"internal/workflow":              {"", "internal/closest"},
	"internal/webhook":               {"", "client/webhook", "internal/id", "internal/netguard", "internal/store"},
	"internal/server":                {"", "api", "internal/blob", "internal/id", "provider"},
	"internal/dashboard":             {"", "internal/dashboard/ui"},
	"internal/dashboard/ui":          {},
	"internal/dashboard/browsertest": {"internal/npmtest"},
	"api":                            {},
	"internal/simulator":             {},
	"internal/simulator/ark":         {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/comfyui":     {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/google":      {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/fleet": {"internal/simulator", "internal/simulator/ark", "internal/simulator/comfyui", "internal/simulator/google", "internal/simulator/kling", "internal/simulator/localai", "internal/simulator/minimax", "internal/simulator/openai",
		"internal/simulator/sandbox", "internal/simulator/sandbox/render", "internal/simulator/vidu"},
	"internal/simulator/localai":        {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/openai":         {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/minimax":        {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/kling":          {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/simulator/sandbox":        {"internal/media", "internal/simulator", "internal/simulator/sandbox/h264", "internal/simulator/sandbox/render", "client/webhook"},
	"internal/simulator/vidu":           {"internal/simulator", "internal/simulator/sandbox/render"},
	"internal/rig":                      {"internal/simulator/sandbox"},
	"internal/npmtest":                  {},
	"internal/simulator/sandbox/h264":   {},
	"internal/simulator/sandbox/render": {"internal/simulator/sandbox/h264"},
}

// The programs at the top may use anything below them.
var tops = []string{"cmd/kinora", "internal/app", "internal/bench", "internal/crash"}

func TestImportsKeepToTheMap(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := relative(p.ImportPath)
		top := false
		for _, n := range tops {
			top = top || n == name
		}
		if top {
			continue
		}
		allowed, listed := layers[name]
		if !listed {
			t.Errorf("package %s is not on the map: add it to docs/architecture.md and here", name)
		}
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, module) {
				if name == "" && strings.Contains(i, ".") {
					t.Errorf("the root package imports %s; it may import the standard library only", i)
				}
				continue
			}
			ok := false
			for _, a := range allowed {
				ok = ok || a == relative(i)
			}
			if !ok {
				t.Errorf("%s imports %s, which the map does not allow", name, relative(i))
			}
		}
	}
	if seen < len(layers) {
		t.Errorf("saw %d packages, fewer than the map has", seen)
	}
}

// The page that shows the house leaves no package out. A line may stand for the folders below it, where it says so.
func TestThePageShowsEveryPackage(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, house, _ := strings.Cut(string(page), "## The house")
	house, _, _ = strings.Cut(house, "## ")
	out, err := exec.Command("go", "list", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		name := relative(path)
		folder, last := filepath.Split(name)
		switch {
		case name == "", strings.HasPrefix(name, "provider/") && strings.Contains(house, "/provider/<name>"), strings.HasPrefix(name, "internal/simulator/"):
		case strings.Contains(house, "/"+name+" "), strings.Contains(house, "/"+name+","):
		case lineHas(house, "/"+strings.TrimSuffix(folder, "/")+" ", last): // a part that its parent's line names
		default:
			t.Errorf("docs/architecture.md shows no package %s", name)
		}
	}
}

// lineHas tells whether the line that begins with a word has another one.
func lineHas(text, begin, word string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, word) {
			return true
		}
	}
	return false
}

func relative(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}
