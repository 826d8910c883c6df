package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	isolate(t)
	folder := t.TempDir()
	t.Setenv("KINORA_DATA_DIR", folder)
	t.Setenv("KINORA_DATABASE", "")

	if got := invoke(t, "", "migrate", "--status"); got.exit != exitNotFound || !strings.Contains(got.errOut, filepath.Join(folder, "kinora.db")) {
		t.Errorf("status of no database: exit %d\n%s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "migrate"); got.exit != exitOK || !strings.Contains(got.out, "applied") {
		t.Fatalf("first: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	if got := invoke(t, "", "migrate"); got.exit != exitOK || got.out != "The sqlite database is up to date.\n" {
		t.Errorf("second: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	if got := invoke(t, "", "migrate", "--status"); got.exit != exitOK || !strings.Contains(got.out, "applied") || strings.Contains(got.out, "waiting") {
		t.Errorf("status: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	doc := document(t, invoke(t, "", "migrate", "--status", "--json").out)
	list, _ := doc["migrations"].([]any)
	if keysOf(doc) != "database migrations pending" || doc["pending"] != 0.0 || len(list) == 0 || keysOf(list[0]) != "applied name version" {
		t.Errorf("document: %v", doc)
	}
}

func TestConfigurationMistakesAreUsage(t *testing.T) {
	isolate(t)
	t.Setenv("KINORA_LOG_LEVEL", "loud")
	if got := invoke(t, "", "migrate"); got.exit != exitUsage || !strings.Contains(got.errOut, "log.level") {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "migrate", "--config", "/no/such/file.yaml"); got.exit != exitUsage || !strings.Contains(got.errOut, "--config") {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
}
