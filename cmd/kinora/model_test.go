package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestModels(t *testing.T) {
	isolate(t)
	file := filepath.Join(t.TempDir(), "kinora.yaml")
	text := "accounts: [{name: main, provider: kling, settings: {api_key: made-up-secret}}]\nprices: {models: {kling-v2-6: 0.35}}\n" +
		"models: [{name: mine, kind: video, provider: kling, upstream_model: kling-v1}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list := invoke(t, "", "model", "list", "--config", file)
	if list.exit != exitOK || !strings.Contains(list.out, "kling-v2-6") || !strings.Contains(list.out, "0.35 USD") || strings.Contains(list.out, "sandbox") {
		t.Errorf("list: exit %d\n%s%s", list.exit, list.out, list.errOut)
	}
	shown := invoke(t, "", "model", "show", "kling-v2-6", "--config", file)
	for _, says := range []string{"made by     kling as kling-v2-6", "input.prompt *", "≤ 2500 characters", "5, 10", "off, on"} {
		if shown.exit != exitOK || !strings.Contains(shown.out, says) {
			t.Errorf("show: exit %d, %q is missing\n%s%s", shown.exit, says, shown.out, shown.errOut)
		}
	}
	doc := document(t, invoke(t, "", "model", "show", "mine", "--config", file, "--json").out)
	if keysOf(doc) != "deadline_seconds fields id kind price_usd routes" || len(doc["fields"].([]any)) < 5 || doc["price_usd"] != nil {
		t.Errorf("show: %v", doc)
	}
	all := document(t, invoke(t, "", "model", "list", "--config", file, "--json").out)
	if models := all["models"].([]any); len(models) < 10 || keysOf(models[0]) != "deadline_seconds id kind price_usd routes" {
		t.Errorf("list: %v", all)
	}
	if none := invoke(t, "", "model", "show", "none", "--config", file); none.exit != exitNotFound || !strings.Contains(none.errOut, "there is no model none") {
		t.Errorf("none: exit %d\n%s", none.exit, none.errOut)
	}
}
