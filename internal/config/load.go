package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
)

// envPrefix is in front of every variable's name.
const envPrefix = "KINORA_"

// Load reads the file, if one is named, and the environment over the defaults, and checks
// the result. Its errors (*kinora.Error, ErrInvalid) name the field or the file's line and
// never a value that may be secret.
func Load(path string, environ []string) (Config, error) {
	c := Default()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, &kinora.Error{Code: kinora.ErrInvalid, Op: "read configuration", Message: "the configuration file cannot be read",
				Hint: "check the path after --config", Err: err}
		}
		if err := c.parse(text); err != nil {
			return c, &kinora.Error{Code: kinora.ErrInvalid, Op: "read " + filepath.Base(path), Message: err.Error()}
		}
	}
	vars := env.ToMap(environ)
	if err := env.ParseWithOptions(&c, env.Options{Environment: vars, Prefix: envPrefix}); err != nil {
		return c, &kinora.Error{Code: kinora.ErrInvalid, Op: "read environment", Message: envMessage(err)}
	}
	c.expand(vars)
	if err := c.Validate(); err != nil {
		return c, err
	}
	return c, nil
}

// parse reads YAML strictly: an unknown key is an error with its line.
func (c *Config) parse(text []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(c)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		lines := make([]string, len(te.Errors))
		for i, l := range te.Errors {
			lines[i] = quoted.ReplaceAllString(l, "$1…")
		}
		return errors.New(strings.Join(lines, "; "))
	}
	return errors.New(quoted.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "$1…"))
}

// quoted finds the value that yaml repeats when it cannot convert it; it may be a secret.
var quoted = regexp.MustCompile("(cannot unmarshal !!\\w+ )`[^`]*`")

// envMessage names the field of an environment error without its value.
func envMessage(err error) string {
	var agg env.AggregateError
	if !errors.As(err, &agg) {
		return "a variable cannot be read"
	}
	var list []string
	for _, e := range agg.Errors {
		var pe env.ParseError
		if errors.As(e, &pe) {
			list = append(list, fmt.Sprintf("the variable for %s cannot be read as %s", pe.Name, pe.Type))
			continue
		}
		list = append(list, "a variable cannot be read")
	}
	return strings.Join(list, "; ")
}

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// expand reads account settings of the form ${NAME} from the environment.
func (c *Config) expand(vars map[string]string) {
	for i := range c.Accounts {
		for k, v := range c.Accounts[i].Settings {
			if m := variable.FindStringSubmatch(v.Reveal()); m != nil {
				c.Accounts[i].Settings[k] = Secret(vars[m[1]])
			}
		}
	}
}

// DatabaseDSN is the database's address, with the default filled in.
func (c *Config) DatabaseDSN() string {
	if c.Database != "" {
		return c.Database
	}
	return filepath.Join(c.DataDir, "kinora.db")
}

// StorageFolder is the folder for files, with the default filled in.
func (c *Config) StorageFolder() string {
	if c.Storage.Folder != "" {
		return c.Storage.Folder
	}
	return filepath.Join(c.DataDir, "files")
}

// Validate checks what can be known without opening anything, and reports all that is
// wrong at once.
func (c *Config) Validate() error {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen: want host:port, such as 127.0.0.1:8080 or :8080")
	}
	if c.DataDir == "" {
		bad("data_dir: must not be empty")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			bad("public_url: want an http or https address without query, such as https://kinora.example")
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	}
	if strings.HasPrefix(c.Database, "postgres") {
		if _, err := url.Parse(c.Database); err != nil {
			bad("database: the PostgreSQL address cannot be read")
		}
	}
	if c.DatabaseMaxConns < 0 || c.DatabaseMaxConns > 1000 {
		bad("database_max_conns: must be between 0 and 1000")
	}
	if t := c.AdminToken.Reveal(); t != "" && len(t) < 32 {
		bad("admin_token: must have at least 32 characters")
	}
	c.validateStorage(bad)
	c.validateTimes(bad)
	for i, p := range c.Network.AllowPrefixes {
		if _, err := netip.ParsePrefix(p); err != nil {
			bad("network.allow_prefixes[%d]: want an address range such as 10.1.0.0/16", i)
		}
	}
	for i, p := range c.Network.NAT64Prefixes {
		if _, err := netip.ParsePrefix(p); err != nil {
			bad("network.nat64_prefixes[%d]: want an address range such as 64:ff9b::/96", i)
		}
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad("log.level: must be debug, info, warn or error")
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format: must be text or json")
	}
	c.validateRoutes(bad)
	if len(wrong) > 0 {
		return &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: strings.Join(wrong, "; "), Hint: "see docs/configuration.md"}
	}
	return nil
}

func (c *Config) validateStorage(bad func(string, ...any)) {
	s := c.Storage.S3
	if s.Bucket == "" && (s.Endpoint != "" || s.AccessKey != "") {
		bad("storage.s3.bucket: must be named")
	}
	if s.Bucket != "" && s.Endpoint == "" {
		bad("storage.s3.endpoint: must be named")
	}
	if s.Bucket != "" && (s.AccessKey == "") != (s.SecretKey == "") {
		bad("storage.s3: access_key and secret_key go together")
	}
	for name, n := range map[string]Size{"uploads.max_image": c.Uploads.MaxImage, "uploads.max_video": c.Uploads.MaxVideo,
		"limits.max_body": c.Limits.MaxBody, "limits.max_output": c.Limits.MaxOutput} {
		if n <= 0 {
			bad("%s: must be above 0", name)
		}
	}
}

func (c *Config) validateTimes(bad func(string, ...any)) {
	for _, t := range []struct {
		name string
		d    Duration
	}{
		{"retention.outputs", c.Retention.Outputs}, {"retention.file_urls", c.Retention.FileURLs}, {"retention.delivery_log", c.Retention.DeliveryLog},
		{"uploads.keep_image", c.Uploads.KeepImage}, {"uploads.keep_video", c.Uploads.KeepVideo}, {"webhooks.timeout", c.Webhooks.Timeout},
		{"node_beat", c.NodeBeat}, {"upkeep_interval", c.UpkeepInterval},
	} {
		if t.d <= 0 {
			bad("%s: must be above 0", t.name)
		}
	}
	if len(c.Webhooks.Schedule) == 0 {
		bad("webhooks.schedule: needs at least one wait")
	}
	for i, d := range c.Webhooks.Schedule {
		if d <= 0 {
			bad("webhooks.schedule[%d]: must be above 0", i)
		}
	}
}

var (
	accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	modelName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
)

func (c *Config) validateRoutes(bad func(string, ...any)) {
	accounts := map[string]string{}
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		if !accountName.MatchString(a.Name) {
			bad("%s.name: lower-case letters, digits, dots, dashes; at most 64", at)
		}
		if _, twice := accounts[a.Name]; twice {
			bad("%s.name: %q is used twice", at, a.Name)
		}
		if a.Provider == "" {
			bad("%s.provider: must be named", at)
		}
		if a.BaseURL != "" {
			if u, err := url.Parse(a.BaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				bad("%s.base_url: want an http or https address", at)
			}
		}
		if a.MaxInFlight < 0 || a.PerMinute < 0 || a.Weight < 0 {
			bad("%s: limits and weight must not be below 0", at)
		}
		accounts[a.Name] = a.Provider
	}
	models := map[string]bool{}
	for i, m := range c.Models {
		at := fmt.Sprintf("models[%d]", i)
		if !modelName.MatchString(m.Name) {
			bad("%s.name: letters, digits and . _ : / -; at most 128", at)
		}
		if models[m.Name] {
			bad("%s.name: %q is used twice", at, m.Name)
		}
		models[m.Name] = true
		if m.Kind != string(kinora.KindImage) && m.Kind != string(kinora.KindVideo) {
			bad("%s.kind: must be image or video", at)
		}
		if m.Provider == "" {
			bad("%s.provider: must be named", at)
		}
		for _, name := range m.Accounts {
			if p, ok := accounts[name]; !ok || p != m.Provider {
				bad("%s.accounts: provider %q has no account %q", at, m.Provider, name)
			}
		}
	}
}
