package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
)

// SandboxProvider is the name of the built-in provider, and of its account.
const SandboxProvider = "sandbox"

// DatabaseDSN is what store.Open takes.
func (c *Config) DatabaseDSN() string {
	if c.Database == "" {
		return filepath.Join(c.DataDir, "kinora.db")
	}
	return c.Database.Reveal()
}

// StorageFolder is the folder of stored files; empty when they are in S3.
func (c *Config) StorageFolder() string {
	switch {
	case c.Storage.S3.Bucket != "":
		return ""
	case c.Storage.Folder != "":
		return c.Storage.Folder
	}
	return filepath.Join(c.DataDir, "files")
}

// MasterKeyFile is where the master key is when MasterKey is empty.
func (c *Config) MasterKeyFile() string { return filepath.Join(c.DataDir, "master.key") }

// AdminTokenFile is where the admin token is when AdminToken is empty.
func (c *Config) AdminTokenFile() string { return filepath.Join(c.DataDir, "admin.token") }

// BaseURL is PublicURL, or what leads to the address that the server listens on: on this
// machine when it listens on all interfaces.
func (c *Config) BaseURL(listening net.Addr) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	address := listening.String()
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		address = netip.AddrPortFrom(loopback, at.Port()).String()
	}
	return "http://" + address
}

// URL is the endpoint with its scheme.
func (s S3) URL() string {
	switch {
	case s.Endpoint == "" || strings.Contains(s.Endpoint, "://"):
		return s.Endpoint
	case s.Insecure:
		return "http://" + s.Endpoint
	}
	return "https://" + s.Endpoint
}

// SandboxEnabled tells whether the built-in generator runs.
func (c *Config) SandboxEnabled() bool {
	if c.Sandbox.Enabled != nil {
		return *c.Sandbox.Enabled
	}
	return len(c.Accounts) == 0
}

// KinoraModels are the models that callers may name: those of the file, then the sandbox's
// when it runs.
func (c *Config) KinoraModels() []kinora.Model {
	list := make([]kinora.Model, 0, len(c.Models)+4)
	for _, m := range c.Models {
		list = append(list, kinora.Model{
			Name: m.Name, Kind: kinora.Kind(m.Kind), Provider: m.Provider, UpstreamModel: m.UpstreamModel,
			Accounts: m.Accounts, Deadline: m.Deadline.Std(),
		})
	}
	if c.SandboxEnabled() {
		list = append(list, sandboxModels()...)
	}
	return list
}

// sandboxModels come in two flavours: found out by polling, and calling back.
func sandboxModels() []kinora.Model {
	model := func(name string, kind kinora.Kind) kinora.Model {
		return kinora.Model{Name: name, Kind: kind, Provider: SandboxProvider}
	}
	return []kinora.Model{
		model("sandbox-image", kinora.KindImage), model("sandbox-video", kinora.KindVideo),
		model("sandbox-image-callback", kinora.KindImage), model("sandbox-video-callback", kinora.KindVideo),
	}
}

// Prefixes returns AllowPrefixes parsed. Entries that Validate complains about are left out.
func (n Network) Prefixes() []netip.Prefix { return parsePrefixes(n.AllowPrefixes) }

// NAT64 returns NAT64Prefixes parsed. Entries that Validate complains about are left out.
func (n Network) NAT64() []netip.Prefix { return parsePrefixes(n.NAT64Prefixes) }

// Proxies returns TrustedProxies parsed. Entries that Validate complains about are left out.
func (h HTTP) Proxies() []netip.Prefix { return parsePrefixes(h.TrustedProxies) }

func parsePrefixes(texts []string) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if p, err := parsePrefix(text); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

// YAML writes the configuration in force as a file, secrets redacted, for an operator to look at.
func (c *Config) YAML() ([]byte, error) { return yaml.Marshal(c) }

// holdsSecrets reports whether a file sets one of the keys whose values are secrets. It looks at
// the text roughly: a warning hangs on it, nothing else.
func holdsSecrets(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found || strings.HasPrefix(key, "#") || strings.TrimSpace(value) == "" && key != "settings" && key != "old_master_keys" {
			continue
		}
		switch strings.TrimSpace(key) {
		case "master_key", "old_master_keys", "admin_token", "secret_key", "settings":
			return true
		case "database":
			if strings.Contains(value, "@") {
				return true
			}
		}
	}
	return false
}
