package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const endpointKeys = "created_at default description disabled_at disabled_reason enabled event_types failing_since failures headers id missed_since name " +
	"organisation_id rate_per_second replaying updated_at url"

// tryEndpoints works on what tryOrganisations has left: one organisation, "Acme Ltd".
func tryEndpoints(t *testing.T) {
	org := []string{"--org", "Acme Ltd"}
	run := func(stdin string, args ...string) invocation {
		return invoke(t, stdin, append(append([]string{"endpoint"}, args...), org...)...)
	}
	if got := invoke(t, "", "org", "update", "Acme Ltd", "--default-webhook", "https://hooks.example.com/k", "--operator-hook", "https://ops.example.com/", "--json"); got.exit != exitOK ||
		document(t, got.out)["operator_hook"] != "https://ops.example.com/" {
		t.Fatalf("operator hook: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	added := run("Authorization: Bearer letmein\n\nX-Team: night\n", "add", "ledger", "https://ledger.example.com/k?token=a", "--events", "generation.completed",
		"--rate", "5", "--description", "books it", "--headers", "-", "--json")
	made := document(t, added.out)
	headers, _ := made["headers"].(map[string]any)
	if added.exit != exitOK || keysOf(made) != endpointKeys || made["enabled"] != true || made["rate_per_second"] != 5.0 || keysOf(headers) != "Authorization X-Team" ||
		strings.Contains(added.out, "letmein") {
		t.Fatalf("added: exit %d\n%s%s", added.exit, added.out, added.errOut)
	}
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("X-Team: day"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := document(t, run("", "update", "ledger", "--headers", file, "--remove-header", "authorization", "--all-events", "--rate", "0", "--name", "books", "--json").out)
	headers, _ = changed["headers"].(map[string]any)
	events, _ := changed["event_types"].([]any)
	if keysOf(headers) != "X-Team" || len(events) != 0 || changed["rate_per_second"] != 0.0 || changed["name"] != "books" || changed["description"] != "books it" {
		t.Errorf("changed: %v", changed)
	}
	for _, name := range []string{"books", "default"} {
		off := document(t, run("", "disable", name, "--json").out)
		if off["enabled"] != false || off["disabled_reason"] != "operator" || off["missed_since"] == nil {
			t.Errorf("%s disabled: %v", name, off)
		}
		if text := run("", "show", name); !strings.Contains(text.out, "disabled (by hand)") || !strings.Contains(text.out, "--replay") {
			t.Errorf("%s shown: %s%s", name, text.out, text.errOut)
		}
		on := document(t, run("", "enable", name, "--replay", "--json").out)
		if on["enabled"] != true || on["replaying"] != true || on["missed_since"] != nil {
			t.Errorf("%s enabled: %v", name, on)
		}
	}
	list := run("", "list")
	if !strings.Contains(list.out, "default") || !strings.Contains(list.out, made["id"].(string)) || !strings.Contains(list.out, "books") {
		t.Errorf("listed: %s%s", list.out, list.errOut)
	}
	if doc := document(t, run("", "list", "--json").out); keysOf(doc) != "endpoints truncated" || len(doc["endpoints"].([]any)) != 2 {
		t.Errorf("listed: %v", doc)
	}
	for _, test := range []struct {
		stdin string
		args  []string
		exit  int
		says  string
	}{
		{"", []string{"show", "ep_01HF8Z3KQX2A6Y4N3R8M5W7V9P"}, exitNotFound, "endpoint not found"},
		{"", []string{"update", "books"}, exitUsage, "nothing to change"},
		{"", []string{"update", "default", "--rate", "1"}, exitUsage, "default_webhook"},
		{"", []string{"remove", "default"}, exitUsage, "default_webhook"},
		{"", []string{"add", "x", "http://127.0.0.1/"}, exitUsage, "url"},
		{"", []string{"add", "books", "https://a.example.com"}, exitConflict, "books"},
		{"Host: hush\n", []string{"add", "x", "https://a.example.com", "--headers", "-"}, exitUsage, "Host"},
		{"hush\n", []string{"add", "x", "https://a.example.com", "--headers", "-"}, exitUsage, "line 1"},
		{"\n", []string{"add", "x", "https://a.example.com", "--headers", "-"}, exitUsage, "no headers"},
		{"", []string{"add", "x", "https://a.example.com", "--headers", "/nonexistent"}, exitUsage, "cannot be read"},
		{"", []string{"add", "x", "https://a.example.com", "--events", "generation.started"}, exitUsage, "event_types[0]"},
	} {
		if got := run(test.stdin, test.args...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) || strings.Contains(got.errOut, "hush") {
			t.Errorf("%v: exit %d, want %d with %q\n%s", test.args, got.exit, test.exit, test.says, got.errOut)
		}
	}
	if removed := run("", "remove", "books", "--json"); removed.exit != exitOK || document(t, removed.out)["removed"] != true {
		t.Errorf("removed: exit %d\n%s", removed.exit, removed.errOut)
	}
}
