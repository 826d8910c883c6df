package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
)

func TestSettingsTellWhereTheyCameFrom(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte(strings.Repeat("t", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kinora.yaml")
	text := `
listen: 127.0.0.1:9000
retention: &kept
  outputs: 3d
public_url: https://user:hush@kinora.example/?key=hush
accounts:
  - name: main
    provider: kling
    base_url: http://someone:hush@127.0.0.1:9701
    settings: {api_key: hush}
prices:
  models: {kling-v1: 0.35}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KINORA_LISTEN=127.0.0.1:9001", "KINORA_DATABASE=postgres://kinora:hush@db.example/kinora", "KINORA_ADMIN_TOKEN_FILE=" + secret, "KINORA_LOG_LEVEL="}
	from, err := config.FindOrigins(path, environ)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, environ)
	if err != nil && !strings.Contains(err.Error(), "public_url") {
		t.Fatal(err)
	}
	got := map[string]kinora.Setting{}
	for _, s := range cfg.Settings(from) {
		if _, twice := got[s.Key]; twice {
			t.Errorf("%s is listed twice", s.Key)
		}
		got[s.Key] = s
		if strings.Contains(fmt.Sprint(s), "hush") || strings.Contains(fmt.Sprint(s), "ttttt") {
			t.Errorf("a secret is shown: %+v", s)
		}
	}
	for key, want := range map[string]kinora.Setting{
		"listen":                       {Value: "127.0.0.1:9001", Origin: kinora.OriginEnvironment, Variable: "KINORA_LISTEN"},
		"retention.outputs":            {Value: "3d", Origin: kinora.OriginFile, Variable: "KINORA_RETENTION_OUTPUTS"},
		"retention.records":            {Value: "180d", Origin: kinora.OriginDefault, Variable: "KINORA_RETENTION_RECORDS"},
		"limits.api.per_address":       {Value: "10", Origin: kinora.OriginDefault, Variable: "KINORA_LIMITS_API_PER_ADDRESS"},
		"admin_token":                  {Value: "set", Secret: true, Origin: kinora.OriginEnvironment, Variable: "KINORA_ADMIN_TOKEN"},
		"master_key":                   {Value: "unset", Secret: true, Origin: kinora.OriginDefault, Variable: "KINORA_MASTER_KEY"},
		"old_master_keys":              {Value: "unset", Secret: true, Origin: kinora.OriginDefault, Variable: "KINORA_OLD_MASTER_KEYS"},
		"database":                     {Value: "postgres://kinora:redacted@db.example/kinora", Origin: kinora.OriginEnvironment, Variable: "KINORA_DATABASE"},
		"public_url":                   {Value: "https://redacted@kinora.example/?redacted", Origin: kinora.OriginFile, Variable: "KINORA_PUBLIC_URL"},
		"accounts[0].name":             {Value: "main", Origin: kinora.OriginFile},
		"accounts[0].base_url":         {Value: "http://redacted@127.0.0.1:9701", Origin: kinora.OriginFile},
		"accounts[0].settings.api_key": {Value: "set", Secret: true, Origin: kinora.OriginFile},
		"accounts[0].weight":           {Value: "0", Origin: kinora.OriginDefault},
		"prices.models.kling-v1":       {Value: "0.35", Origin: kinora.OriginFile},
		"models":                       {Origin: kinora.OriginDefault},
		"sandbox.enabled":              {Origin: kinora.OriginDefault, Variable: "KINORA_SANDBOX_ENABLED"},
		"log.level":                    {Value: "info", Origin: kinora.OriginDefault, Variable: "KINORA_LOG_LEVEL"},
	} {
		want.Key = key
		if got[key] != want {
			t.Errorf("got %+v, want %+v", got[key], want)
		}
	}
	for _, s := range cfg.Settings(nil) {
		if s.Origin != "" {
			t.Errorf("%s came from %s, and nobody looked", s.Key, s.Origin)
		}
	}
	if _, err := config.FindOrigins(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a file that is not there was read")
	}
}
