package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
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
	"internal/store":                 {""},
	"internal/store/storetest":       {"internal/store"},
	"internal/queue":                 {"internal/store"},
	"internal/masterkey":             {"", "internal/seal", "internal/store"},
	"internal/tenancy":               {"", "internal/id", "internal/seal", "internal/store"},
	"internal/asset":                 {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store"},
	"internal/upload":                {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store"},
	"internal/inputs":                {"", "internal/blob", "internal/media", "internal/netguard", "provider"},
	"internal/lifecycle":             {"", "internal/blob", "internal/id", "internal/media", "internal/netguard", "internal/store", "provider"},
	"internal/quality":               {"", "client/webhook", "internal/media"},
	"internal/workflow":              {"", "internal/closest"},
	"internal/webhook":               {"", "client/webhook", "internal/id", "internal/netguard", "internal/store"},
	"internal/server":                {"", "api", "internal/blob", "internal/id", "provider"},
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

func relative(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}
