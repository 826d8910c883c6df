package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora/internal/config"
)

var update = flag.Bool("update", false, "rewrite generated files")

func load(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kinora.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path, environ)
}

func TestDefaultsStand(t *testing.T) {
	c, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.SandboxEnabled() || len(c.Webhooks.Schedule) != 9 || c.DatabaseDSN() != filepath.Join("kinora-data", "kinora.db") {
		t.Errorf("defaults: %+v", c)
	}
}

func TestFileThenEnvironment(t *testing.T) {
	c, err := load(t, `
listen: :9000
retention: {outputs: 3d}
uploads: {max_image: 5MB}
webhooks: {schedule: [1s, 2m]}
accounts:
  - {name: main, provider: kling, settings: {api_key: "${KLING_KEY}"}}
models:
  - {name: kling-v1, kind: video, provider: kling, accounts: [main], deadline: 90m}
`, "KINORA_LISTEN=127.0.0.1:7000", "KINORA_RETENTION_FILE_URLS=1h", "KINORA_NETWORK_ALLOW_PREFIXES=10.0.0.0/8,fd00::/8", "KLING_KEY=sk-very-secret")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:7000" || c.Retention.Outputs.Std() != 72*time.Hour || c.Retention.FileURLs.Std() != time.Hour {
		t.Errorf("got %+v", c)
	}
	if c.Uploads.MaxImage != 5<<20 || len(c.Webhooks.Schedule) != 2 || len(c.Network.AllowPrefixes) != 2 {
		t.Errorf("got %+v", c)
	}
	if c.SandboxEnabled() {
		t.Error("the sandbox is on beside a configured account")
	}
	if got := c.Accounts[0].Settings["api_key"].Reveal(); got != "sk-very-secret" {
		t.Errorf("api_key = %q", got)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	cases := map[string]struct {
		text string
		env  string
		want []string
	}{
		"unknown key":  {text: "listen: :1\nlisen: :2\n", want: []string{"line 2", "lisen"}},
		"wrong type":   {text: "accounts: 7\n", want: []string{"line 1"}},
		"bad duration": {text: "shutdown_grace: soon\n", want: []string{"is not a duration"}},
		"several at once": {text: "log: {level: loud, format: xml}\nlisten: nowhere\nnetwork: {allow_prefixes: [here]}\n",
			want: []string{"log.level", "log.format", "listen", "network.allow_prefixes[0]"}},
		"models":      {text: "models: [{name: a, kind: sound, provider: x, accounts: [none]}]\n", want: []string{"models[0].kind", "no account"}},
		"twice":       {text: "accounts: [{name: a, provider: x}, {name: a, provider: x}]\n", want: []string{"used twice"}},
		"short token": {text: "admin_token: abc\n", want: []string{"admin_token"}},
		"environment": {env: "KINORA_DATABASE_MAX_CONNS=many", want: []string{"DatabaseMaxConns"}},
		"s3":          {text: "storage: {s3: {endpoint: a.example}}\n", want: []string{"storage.s3.bucket"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text, c.env)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	c, err := load(t, "admin_token: tok-0123456789-0123456789-0123456789\nmaster_key: mk-secret\naccounts: [{name: a, provider: x, settings: {api_key: ak-secret}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, _ := json.Marshal(c)
	asYAML, _ := yaml.Marshal(c)
	for _, text := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q %x", c.AdminToken, c.AdminToken, c.AdminToken), string(asJSON), string(asYAML)} {
		for _, secret := range []string{"tok-0123456789", "mk-secret", "ak-secret"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows in %.200s", secret, text)
			}
		}
	}
	// A secret in the wrong place must not be repeated by the error either.
	_, err = load(t, "limits: {in_flight: ak-secret}\n")
	if err == nil || strings.Contains(err.Error(), "ak-secret") {
		t.Errorf("error %v", err)
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(config.Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != config.Reference() {
		t.Error("docs/configuration.md is out of date: go test ./internal/config -update")
	}
}

func TestExampleLoads(t *testing.T) {
	if _, err := config.Load(filepath.Join("..", "..", "kinora.example.yaml"), nil); err != nil {
		t.Fatal(err)
	}
}

func TestValuesReadBack(t *testing.T) {
	for _, s := range []string{"90s", "1h30m", "30d", "15m", "2h", "500ms"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		var again config.Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s → %s → %v", s, d, again)
		}
	}
	for _, s := range []string{"-1s", "x", "", "1e9d", "-3d"} {
		var d config.Duration
		if d.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q was read as %s", s, d)
		}
	}
	for in, want := range map[string]config.Size{"1": 1, "20MB": 20 << 20, "4 gb": 4 << 30, "512KB": 512 << 10} {
		var s config.Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%q = %d, %v", in, s, err)
		}
	}
}
