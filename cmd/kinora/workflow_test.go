package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

// golden compares text with a file below testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", name, got)
	}
}

func TestWorkflowCheck(t *testing.T) {
	isolate(t)
	faults := invoke(t, "", "workflow", "check", "testdata/workflows/faults.yaml", "testdata/workflows/product-on-white.yaml", "testdata/workflows/broken.yaml", "testdata/workflows/none.yaml")
	golden(t, "workflow_check.golden", faults.out)
	if faults.exit != exitUsage || faults.errOut != "" {
		t.Errorf("exit %d, %q", faults.exit, faults.errOut)
	}
	good := invoke(t, "", "--json", "workflow", "check", "testdata/workflows/product-on-white.yaml")
	if d := document(t, good.out); good.exit != exitOK || d["ok"] != true || len(d["problems"].([]any)) != 0 || d["workflows"].([]any)[0] != "product-on-white" {
		t.Errorf("exit %d, %s", good.exit, good.out)
	}
	asJSON := invoke(t, "", "--json", "workflow", "check", "testdata/workflows/faults.yaml")
	problem := document(t, asJSON.out)["problems"].([]any)[2].(map[string]any)
	if asJSON.exit != exitUsage || problem["line"] != 3.0 || problem["column"] != 1.0 || problem["hint"] != "did you mean model?" || problem["file"] != "testdata/workflows/faults.yaml" {
		t.Errorf("exit %d, %v", asJSON.exit, problem)
	}
	if got := invoke(t, "", "workflow", "check"); got.exit != exitUsage || !strings.Contains(got.errOut, "no files to check") {
		t.Errorf("without files: %+v", got)
	}
}

// TestWorkflowsOfAConfiguration: with a configuration its folder is what is checked, against its models.
func TestWorkflowsOfAConfiguration(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := file("kinora.yaml", "data_dir: "+dir+"/data\nworkflows_dir: "+dir+"/workflows\nsandbox: {enabled: false}\n")
	file("workflows/mine.yaml", "name: mine\nmodel: nano\nprompt: x\n")
	got := invoke(t, "", "workflow", "check", "--config", cfg)
	if got.exit != exitUsage || !strings.Contains(got.out, `workflow mine: there is no model "nano"`) {
		t.Errorf("check: %+v", got)
	}
	if got := invoke(t, "", "workflow", "check", filepath.Join(dir, "workflows/mine.yaml")); got.exit != exitOK || !strings.Contains(got.errOut, "give --config") {
		t.Errorf("check without a configuration: %+v", got)
	}
	if got := invoke(t, "", "workflow", "list", "--config", cfg); got.exit != exitUsage {
		t.Errorf("list: %+v", got)
	}
	file("kinora.yaml", "data_dir: "+dir+"/data\nworkflows_dir: "+dir+"/workflows\nmodels: [{name: nano, kind: image, provider: sandbox}]\nsandbox: {enabled: false}\n")
	list := document(t, invoke(t, "", "--json", "workflow", "list", "--config", cfg).out)["workflows"].([]any)
	offered := map[string]bool{}
	for _, w := range list {
		w := w.(map[string]any)
		offered[w["name"].(string)] = w["offered"].(bool)
	}
	if len(list) != 3 || !offered["mine"] || offered["staging"] {
		t.Errorf("list: %v", offered)
	}
}

func TestWorkflowShow(t *testing.T) {
	isolate(t)
	got := invoke(t, "", "workflow", "show", "staging")
	for _, part := range []string{"built-in", "style_preset", "Scandinavian", "panorama360", "structure ≥ 0.4"} {
		if got.exit != exitOK || !strings.Contains(got.out, part) {
			t.Errorf("show lacks %q: %+v", part, got)
		}
	}
	if got := invoke(t, "", "workflow", "show", "pro_capture", "--yaml"); got.exit != exitOK || !strings.Contains(got.out, "name: pro_capture\n") {
		t.Errorf("show --yaml: %+v", got)
	}
	if got := invoke(t, "", "workflow", "schema"); got.exit != exitOK || document(t, got.out)["title"] != "Kinora workflow" {
		t.Errorf("schema: %+v", got)
	}
	if got := invoke(t, "", "workflow", "show", "stagin"); got.exit != exitNotFound || !strings.Contains(got.errOut, "pro_capture, staging") {
		t.Errorf("an unknown one: %+v", got)
	}
}
