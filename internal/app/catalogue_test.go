package app_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/kinora/kinora/internal/config"
)

// A server describes what it offers: its models with their prices and fields, its workflows with their matrix.
func TestDescriptionsAreTrue(t *testing.T) {
	a := run(t, filepath.Join(t.TempDir(), "kinora.db"), func(c *config.Config) { c.Prices.Models = map[string]config.USD{"sandbox-image": 350_000} })
	d := desk{t, a, a.Bootstrapped().Organisation.ID}
	list := d.must(d.ask("GET", "/api/v1/models", "", "", nil))["models"].([]any)
	if len(list) != 4 || list[0].(map[string]any)["price_usd"] != 0.35 {
		t.Errorf("listed: %v", list)
	}
	model := d.must(d.ask("GET", "/api/v1/models/sandbox-image", "", "", nil))
	byName := map[string]map[string]any{}
	for _, f := range model["fields"].([]any) {
		byName[f.(map[string]any)["name"].(string)] = f.(map[string]any)
	}
	if n := byName["input.metadata.n"]; n["minimum"] != 1.0 || n["maximum"] != 4.0 || byName["input.prompt"]["required"] != true || byName["input.duration"] != nil {
		t.Errorf("fields: %v", model["fields"])
	}
	workflows := d.must(d.ask("GET", "/api/v1/workflows", "", "", nil))["workflows"].([]any)
	var names []string
	for _, w := range workflows {
		names = append(names, w.(map[string]any)["name"].(string))
	}
	if !slices.Equal(names, []string{"pro_capture", "staging"}) {
		t.Errorf("workflows: %v", names)
	}
	staging := d.must(d.ask("GET", "/api/v1/workflows/staging", "", "", nil))
	if staging["price_usd"] != 0.35 || len(staging["matrix"].([]any)) < 4 || len(staging["fields"].([]any)) < 2 {
		t.Errorf("staging: %v", staging)
	}
}
