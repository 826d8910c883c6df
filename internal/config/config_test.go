package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/kinora/kinora"
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
		env  []string
		want []string
	}{
		"unknown key":        {text: "listen: :1\nlisen: :2\n", want: []string{`line 2: unknown key "lisen" (did you mean listen?)`}},
		"unknown key below":  {text: "webhooks:\n  timout: 5s\n", want: []string{`line 2: unknown key "timout" (did you mean timeout?)`}},
		"unknown to all":     {text: "frobnicate: 1\n", want: []string{`line 1: unknown key "frobnicate"`}},
		"in an account":      {text: "accounts:\n  - {name: a, provider: x, wieght: 1}\n", want: []string{`line 2: unknown key "wieght" (did you mean weight?)`}},
		"wrong type":         {text: "accounts: 7\n", want: []string{"line 1: must be a list"}},
		"wrong number":       {text: "listen: :1\nlimits: {in_flight: many}\n", want: []string{"line 2: must be a whole number"}},
		"group":              {text: "log: info\n", want: []string{"line 1: must be a group of settings"}},
		"bad duration":       {text: "shutdown_grace: soon\n", want: []string{"line 1: is not a duration"}},
		"no unit":            {text: "retention:\n  outputs: 30\n", want: []string{"line 2: is not a duration"}},
		"bad wait":           {text: "webhooks: {schedule: [5s,\n 5x]}\n", want: []string{"line 2: is not a duration"}},
		"bad size":           {text: "limits: {max_body: [1]}\n", want: []string{"line 1: must be one value"}},
		"key twice":          {text: "listen: :1\nlisten: :2\n", want: []string{"line 2", "already defined"}},
		"broken YAML":        {text: "listen: [\n", want: []string{"line"}},
		"two documents":      {text: "listen: :1\n---\nlisten: :2\n", want: []string{"more than one YAML document"}},
		"several in a file":  {text: "lisen: :1\nmetrics: perhaps\nshutdown_grace: soon\n", want: []string{"line 1", "line 2: must be true or false", "line 3"}},
		"several at once":    {text: "log: {level: loud, format: xml}\nlisten: nowhere\nnetwork: {allow_prefixes: [here]}\n", want: []string{"several", "log.level: must be debug, info, warn or error", "log.format", "listen", "network.allow_prefixes[0]"}},
		"models":             {text: "models: [{name: a, kind: sound, provider: x, accounts: [none]}]\n", want: []string{"models[0].kind: must be image or video", `models[0].accounts[0]: there is no account "none"`}},
		"model's account":    {text: "accounts: [{name: main, provider: x}]\nmodels: [{name: a, kind: image, provider: x, accounts: [mian]}]\n", want: []string{"did you mean main?"}},
		"other provider":     {text: "accounts: [{name: main, provider: x}]\nmodels: [{name: a, kind: image, provider: y, accounts: [main]}]\n", want: []string{`models[0].accounts[0]: account "main" is of provider "x"`}},
		"twice":              {text: "accounts: [{name: a, provider: x}, {name: a, provider: x}]\n", want: []string{`accounts[1].name: "a" is used twice`, "accounts[0]"}},
		"model twice":        {text: "models: [{name: a, kind: image, provider: x}, {name: a, kind: image, provider: x}]\n", want: []string{`models[1].name: "a" is used twice`}},
		"account's name":     {text: "accounts: [{name: My Account, provider: ''}]\n", want: []string{"accounts[0].name", "accounts[0].provider"}},
		"account's limits":   {text: "accounts: [{name: a, provider: x, weight: -1, base_url: 'ftp://x'}]\n", want: []string{"accounts[0].weight: must be at least 0", "accounts[0].base_url: must be an http or https address"}},
		"short token":        {text: "admin_token: abc\n", want: []string{"admin_token: must have at least 32 characters"}},
		"old keys only":      {text: "old_master_keys: [x]\n", want: []string{"old_master_keys: needs master_key"}},
		"s3":                 {text: "storage: {s3: {endpoint: a.example}}\n", want: []string{"storage.s3.bucket"}},
		"s3 half a key":      {text: "storage: {s3: {endpoint: a.example, bucket: b, access_key: k}}\n", want: []string{"access_key and secret_key go together"}},
		"s3 and folder":      {text: "storage: {folder: f, s3: {endpoint: a.example, bucket: b}}\n", want: []string{"storage: has both"}},
		"s3 with a path":     {text: "storage: {s3: {endpoint: 'https://a.example/b', bucket: b}}\n", want: []string{"storage.s3.endpoint: must be host:port"}},
		"s3 insecure https":  {text: "storage: {s3: {endpoint: 'https://a.example', bucket: b, insecure: true}}\n", want: []string{"storage.s3.endpoint"}},
		"other database":     {text: "database: mysql://a.example/b\n", want: []string{"database: must be postgres://"}},
		"no database name":   {text: "database: postgres://a.example\n", want: []string{"database: does not name a database"}},
		"database slip":      {text: "database: 'postgres:/a.example/b'\n", want: []string{"database: the PostgreSQL address cannot be read"}},
		"public_url":         {text: "public_url: kinora.example\n", want: []string{"public_url: must be an http or https address"}},
		"public_url's query": {text: "public_url: https://kinora.example/?x\n", want: []string{"public_url: must not have a query"}},
		"port":               {text: "listen: ':http-alt'\n", want: []string{"listen"}},
		"everything open":    {text: "network: {allow_prefixes: [0.0.0.0/0]}\n", want: []string{"network.allow_prefixes[0]: would open every address"}},
		"nat64":              {text: "network: {nat64_prefixes: [64:ff9b::/90]}\n", want: []string{"network.nat64_prefixes[0]"}},
		"proxy with a path":  {text: "network: {egress_proxy: 'http://proxy:3128/x'}\n", want: []string{"network.egress_proxy: must be http://host:port"}},
		"proxy without host": {text: "network: {egress_proxy: 'proxy:3128'}\n", want: []string{"network.egress_proxy"}},
		"host with a port":   {text: "network: {allow_hosts: [a.internal:80], ports: [0]}\n", want: []string{"network.allow_hosts[0]", "network.ports[0]"}},
		"no waits":           {text: "webhooks: {schedule: []}\n", want: []string{"webhooks.schedule: must have 1 to 50"}},
		"too long a wait":    {text: "webhooks: {schedule: [5s, 8d]}\n", want: []string{"webhooks.schedule[1]: must be between 1ms and 7d"}},
		"no time":            {text: "retention: {file_urls: 0s}\n", want: []string{"retention.file_urls: must be between 1s and 7d"}},
		"issuer's rest":      {text: "dashboard: {oidc: {client_id: x}}\n", want: []string{"dashboard.oidc.issuer: must be named"}},
		"issuer without TLS": {text: "dashboard: {oidc: {issuer: 'http://login.example'}}\n", want: []string{"dashboard.oidc.issuer: must use https", "dashboard.oidc.client_id: must be given"}},
		"domains for nobody": {text: "dashboard: {oidc: {issuer: 'http://127.0.0.1:9', client_id: x, allowed_domains: ['@Example.com']}}\n", want: []string{"dashboard.oidc.allowed_domains: needs default_organisation", "dashboard.oidc.allowed_domains[0]: must be a domain"}},
		"its organisation":   {text: "dashboard: {oidc: {issuer: 'https://login.example', client_id: x, allowed_domains: [a.example], default_organisation: acme}}\n", want: []string{"dashboard.oidc.default_organisation: must be an id"}},
		"session's ends":     {text: "dashboard: {session_idle: 2d, session_longest: 1d}\nretention: {audit: 1h}\n", want: []string{"dashboard.session_idle: must be between 1m and 1d", "retention.audit: must be between 1d"}},
		"environment":        {env: []string{"KINORA_DATABASE_MAX_CONNS=many", "KINORA_METRICS=perhaps"}, want: []string{"KINORA_DATABASE_MAX_CONNS: must be a whole number", "KINORA_METRICS: must be true or false"}},
		"list of waits":      {env: []string{"KINORA_WEBHOOKS_SCHEDULE=5s;5m"}, want: []string{"KINORA_WEBHOOKS_SCHEDULE: must be a list of durations", "commas"}},
		"a slip in a name":   {env: []string{"KINORA_LISTN=:1"}, want: []string{"KINORA_LISTN: is no setting (did you mean KINORA_LISTEN?)"}},
		"account's variable": {text: "accounts: [{name: a, provider: x, settings: {api_key: '${NOT_THERE}'}}]\n", want: []string{"accounts[0].settings.api_key: the variable NOT_THERE is not set"}},
		"routes and fields": {text: "accounts: [{name: a, provider: x}]\nmodels: [{name: m, kind: image, provider: x, routes: [{provider: x, accounts: [b]}, {provider: x, accounts: [b]}, {weight: -1}]}]\n",
			want: []string{"models[0].provider: cannot be given beside routes", `models[0].routes[0].accounts[0]: there is no account "b"`, "models[0].routes[1]: is the same route as another one",
				"models[0].routes[2].provider: must be named", "models[0].routes[2].weight"}},
		"routes for one way": {text: "models: [{name: m, kind: image, provider: x, order: best, failover_after: 1s, retry_elsewhere: true}]\n",
			want: []string{"models[0].order: must be", "models[0].failover_after: needs two routes", "models[0].retry_elsewhere: needs two routes"}},
		"a route's key": {text: "models: [{name: m, kind: image, routes: [{provder: x}]}]\n", want: []string{`unknown key "provder" (did you mean provider?)`}},
		"two ways":      {env: []string{"KINORA_ADMIN_TOKEN=x", "KINORA_ADMIN_TOKEN_FILE=y"}, want: []string{"KINORA_ADMIN_TOKEN: is set, and so is KINORA_ADMIN_TOKEN_FILE"}},
		"no such file":  {env: []string{"KINORA_MASTER_KEY_FILE=/nowhere/at/all"}, want: []string{"KINORA_MASTER_KEY_FILE: the file cannot be opened"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text, c.env...)
			if kinora.CodeOf(err) != kinora.ErrInvalid {
				t.Fatalf("%v: want an error of code invalid", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "absent.yaml"), nil); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestWhatIsGood(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("  tok-0123456789-0123456789-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		env  []string
		good func(c config.Config) bool
	}{
		"empty":                     {good: func(c config.Config) bool { return c.Listen == config.Default().Listen }},
		"comments only":             {text: "# nothing\n", good: func(c config.Config) bool { return c.Metrics }},
		"empty variable":            {text: "listen: :1\n", env: []string{"KINORA_LISTEN="}, good: func(c config.Config) bool { return c.Listen == ":1" }},
		"slash behind the address":  {text: "public_url: https://kinora.example/x//\n", good: func(c config.Config) bool { return c.PublicURL == "https://kinora.example/x" }},
		"sandbox beside an account": {text: "sandbox: {enabled: true}\naccounts: [{name: a, provider: x}]\n", good: func(c config.Config) bool { return c.SandboxEnabled() }},
		"no sandbox":                {env: []string{"KINORA_SANDBOX_ENABLED=false"}, good: func(c config.Config) bool { return !c.SandboxEnabled() }},
		"secret in a file":          {env: []string{"KINORA_ADMIN_TOKEN_FILE=" + secret}, good: func(c config.Config) bool { return c.AdminToken.Reveal() == "tok-0123456789-0123456789-0123456789" }},
		"s3 with a scheme":          {text: "storage: {s3: {endpoint: 'http://minio:9000', bucket: b}}\n", good: func(c config.Config) bool { return c.Storage.S3.Bucket == "b" }},
		"platform's variables": {env: []string{"KINORA_PORT=tcp://10.0.0.1:80", "KINORA_SERVICE_HOST=10.0.0.1", "KINORA_PORT_8080_TCP_ADDR=10.0.0.1", "KINORA_CONFIG=x", "KINORA_SERVER=http://x", "KINORA_KEY=sk-x"},
			good: func(config.Config) bool { return true }},
		"lists replace": {text: "network: {ports: [8443]}\nwebhooks: {schedule: [1m]}\n", env: []string{"KINORA_NETWORK_PORTS=9443,9444"},
			good: func(c config.Config) bool {
				return len(c.Webhooks.Schedule) == 1 && len(c.Network.Ports) == 2 && c.Network.Ports[1] == 9444
			}},
		"routes": {text: "accounts: [{name: a, provider: x}, {name: b, provider: y}]\nmodels: [{name: m, kind: image, order: weighted, retry_elsewhere: true, routes: [{provider: x, weight: 3}, {provider: y, upstream_model: n, accounts: [b]}]}]\n",
			good: func(c config.Config) bool {
				ways := c.Models[0].Ways("m")
				return len(ways) == 2 && ways[1].At == "m.routes[1]" && ways[1].Accounts[0] == "b"
			}},
		"S3 has no folder":    {text: "data_dir: d\n", good: func(c config.Config) bool { return c.StorageFolder() == filepath.Join("d", "files") }},
		"a folder of its own": {text: "storage: {folder: f}\ndatabase: x.db\n", good: func(c config.Config) bool { return c.StorageFolder() == "f" && c.DatabaseDSN() == "x.db" }},
	} {
		c, err := load(t, tc.text, tc.env...)
		if err != nil || !tc.good(c) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

// Every variable is named after its key, and sets it.
func TestVariablesAreNamedAfterTheirKeys(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\| `(KINORA_[A-Z0-9_]+)` \\|").FindAllStringSubmatch(config.Reference(), -1)
	if len(rows) < 40 {
		t.Fatalf("only %d variables", len(rows))
	}
	for _, row := range rows {
		if want := "KINORA_" + strings.ToUpper(strings.ReplaceAll(row[1], ".", "_")); row[2] != want {
			t.Errorf("%s is set by %s, want %s", row[1], row[2], want)
		}
		// A value of no type at all: whatever reads it complains by the variable's name, and texts take it.
		if _, err := config.Load("", []string{row[2] + "=\x01"}); err != nil && !strings.Contains(err.Error(), row[2]) && !strings.Contains(err.Error(), row[1][:strings.LastIndex("."+row[1], ".")]) {
			t.Errorf("%s: the error does not name it: %v", row[2], err)
		}
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
	for _, wrong := range []string{
		"limits: {in_flight: ak-secret}\n", "metrics: ak-secret\n", "shutdown_grace: ak-secret\n", "limits: {max_body: ak-secret}\n", "accounts: ak-secret\n", "log: ak-secret\n",
		"webhooks: {schedule: ak-secret}\n", "storage: {s3: {secret_key: [ak-secret]}}\n", "accounts: [{name: a, provider: x, settings: ak-secret}]\n", "database: mysql://u:ak-secret@h/d\n",
		"database: 'postgres://u:ak-secret@h:port/d'\n", "public_url: 'https://u:ak-secret@h'\n", "admin_token: ak-secret\n", "network: {allow_prefixes: [ak-secret], allow_hosts: ['ak-secret@x']}\n",
		"storage: {s3: {endpoint: 'https://u:ak-secret@h', bucket: b}}\n", "network: {egress_proxy: 'socks5://u:ak-secret@h:1'}\n", "network: {egress_proxy: 'http://u:ak-secret@h:1/%zz'}\n", "accounts: [{name: a, provider: x, base_url: 'https://u:ak-secret@h'}]\n",
	} {
		if _, err := load(t, wrong); err == nil || strings.Contains(err.Error(), "ak-secret") {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
	for _, wrong := range []string{"KINORA_LIMITS_IN_FLIGHT", "KINORA_METRICS", "KINORA_SHUTDOWN_GRACE", "KINORA_LIMITS_MAX_BODY", "KINORA_NETWORK_PORTS", "KINORA_WEBHOOKS_SCHEDULE", "KINORA_SANDBOX_ENABLED"} {
		if _, err := load(t, "", wrong+"=ak-secret"); err == nil || strings.Contains(err.Error(), "ak-secret") {
			t.Errorf("%s: error %v", wrong, err)
		}
	}
}

func TestDatabasePasswordShowsNowhere(t *testing.T) {
	for dsn, shows := range map[string]string{
		"postgres://kinora:pw-hush@db.internal:5432/kinora?sslmode=require": "postgres://kinora:redacted@db.internal:5432/kinora?sslmode=require",
		"postgres://db.internal/kinora?user=u&password=pw-hush":             "postgres://db.internal/kinora",
		"postgresql://u:p%40pw-hush@h/d":                                    "postgresql://u:redacted@h/d",
		"some/folder/kinora.db":                                             "some/folder/kinora.db",
	} {
		c := config.Default()
		c.Database = dsn
		asJSON, _ := json.Marshal(c)
		asYAML, _ := yaml.Marshal(c)
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprintf("%+v", struct{ C config.Config }{c}), string(asJSON), string(asYAML), log.String()} {
			if strings.Contains(text, "pw-hush") || !strings.Contains(strings.ReplaceAll(text, `\u0026`, "&"), shows) {
				t.Errorf("%s: %.300s", dsn, text)
			}
		}
		if c.DatabaseDSN() != dsn {
			t.Errorf("the address itself became %q", c.DatabaseDSN())
		}
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

// The example is what a newcomer copies: as it stands, and with everything in it uncommented.
func TestExampleUncommentedLoads(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "kinora.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, string(text), "KLING_ACCESS_KEY=a", "KLING_SECRET_KEY=b", "OPENAI_API_KEY=c"); err != nil {
		t.Errorf("as it stands: %v", err)
	}
	setting := regexp.MustCompile(`(?m)^#( *(?:- )?[a-z0-9_]+:|  +- \{)`)
	all := setting.ReplaceAllString(string(text), "$1")
	c, err := load(t, all, "KLING_ACCESS_KEY=a", "KLING_SECRET_KEY=b", "OPENAI_API_KEY=c")
	if err != nil {
		t.Fatalf("uncommented: %v", err)
	}
	if len(c.Accounts) == 0 || len(c.Models) == 0 || c.Storage.S3.Bucket == "" || !strings.HasPrefix(c.Database, "postgres://") || len(c.Network.AllowPrefixes) == 0 {
		t.Errorf("the example has lost something: %v", c)
	}
}

func TestValuesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := config.Duration(rapid.Int64Range(0, int64(30000*24*time.Hour)).Draw(t, "duration"))
		var again config.Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Fatalf("%d → %s → %d, %v", d, d, again, err)
		}
		s := config.Size(rapid.Int64Range(0, 1<<55).Draw(t, "size"))
		var same config.Size
		if err := same.UnmarshalText([]byte(s.String())); err != nil || same != s {
			t.Fatalf("%d → %s → %d, %v", s, s, same, err)
		}
	})
	for in, want := range map[string]string{
		"90s": "1m30s", "1h30m": "1h30m", "30d": "30d", "24h": "1d", "1d12h": "1d12h", "36h": "1d12h", "1.5d": "1d12h", "0": "0s", "0d": "0s", " 15m ": "15m", "2h": "2h", "500ms": "500ms", "1d1s": "1d1s",
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("%q = %s, %v; want %s", in, d, err, want)
		}
	}
	for _, s := range []string{"-1s", "x", "", "1e9d", "-3d", "d", "1d-1h", "1d+1h", "infd", "0x1d", "1_0d", "30", "1dd", "1h1d", "40000d", "9999999h", "1d 1h"} {
		var d config.Duration
		if d.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q was read as %s", s, d)
		}
	}
	for in, want := range map[string]config.Size{"1": 1, "20MB": 20 << 20, "4 gb": 4 << 30, "512KB": 512 << 10, "512KiB": 512 << 10, "0": 0, "7b": 7} {
		var s config.Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%q = %d, %v", in, s, err)
		}
	}
	for _, in := range []string{"", "-1", "+1", "MB", "1.5MB", "1TB", "99999999999GB", "1MBMB", "0x10"} {
		var s config.Size
		if s.UnmarshalText([]byte(in)) == nil {
			t.Errorf("%q was read as %s", in, s)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"", "listen: :1", "accounts: [{name: a, settings: {k: v}}]", "a: &a [*a]", "---\n---", "\x00", "webhooks: {schedule: [1s, !!int 5]}", "? [a]\n: b", "log: {level: &x y, format: *x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "kinora.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nil)
		if err != nil {
			return
		}
		shown, err := yaml.Marshal(c)
		if err != nil {
			t.Fatalf("%q loads, and cannot be shown: %v", text, err)
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("%q loads, and is not valid (%s): %v", text, shown, err)
		}
	})
}
