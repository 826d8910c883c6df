package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/provider"
)

// minAdminToken is the shortest admin token, in characters.
const minAdminToken = 16

// Validate checks c as Load does, for a Config that was made in code. Its error is an *Error.
// providers are as in Options.
func (c *Config) Validate(providers map[string][]provider.Setting) error {
	var found problems
	c.validate(providers, &found)
	if len(found) > 0 {
		return &Error{File: c.file, Problems: found}
	}
	return nil
}

func (c *Config) validate(providers map[string][]provider.Setting, found *problems) {
	c.validateServer(found)
	c.validateStorage(found)
	c.validateTimes(found)
	c.validateWebhooks(found)
	c.validateNetwork(found)
	c.validateAccounts(providers, found)
	c.validateModels(providers, found)
}

func (c *Config) validateServer(found *problems) {
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) || strings.ContainsAny(host, " /") {
		found.add("listen", "must be host:port", "for instance 127.0.0.1:8080, or :8080 for all interfaces")
	}
	if c.PublicURL != "" {
		checkURL(found, "public_url", c.PublicURL)
	}
	if c.DataDir == "" {
		found.add("data_dir", "must not be empty", "name a folder that survives restarts")
	}
	if d := string(c.Database); strings.Contains(d, "://") && !strings.HasPrefix(d, "postgres://") && !strings.HasPrefix(d, "postgresql://") {
		found.add("database", "must be postgres://… or the path of a SQLite file", "")
	} else if _, err := url.Parse(d); err != nil && strings.Contains(d, "://") {
		found.add("database", "is not a readable URL", "write special characters of user and password percent-encoded")
	}
	between(found, "database_max_conns", c.DatabaseMaxConns, 0, 1000)
	for i, key := range slices.Concat([]Secret{c.MasterKey}, c.OldMasterKeys) {
		if _, err := seal.ParseKey(key.Reveal()); err != nil && (i > 0 || key != "") {
			name := "master_key"
			if i > 0 {
				name = fmt.Sprintf("old_master_keys[%d]", i-1)
			}
			found.add(name, "must be 32 bytes, as 64 hexadecimal digits or base64", "make one with: openssl rand -base64 32")
		}
	}
	if c.MasterKey == "" && len(c.OldMasterKeys) > 0 {
		found.add("old_master_keys", "needs master_key, the key that replaces them", "earlier keys of a key file stand in the file itself, below the current one")
	}
	if c.AdminToken != "" && (len(c.AdminToken) < minAdminToken || strings.ContainsFunc(c.AdminToken.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' })) {
		found.add("admin_token", fmt.Sprintf("must be at least %d visible ASCII characters", minAdminToken), "make one with: openssl rand -hex 24")
	}
	for i, p := range c.HTTP.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			found.add(fmt.Sprintf("http.trusted_proxies[%d]", i), "must be an address or a range such as 10.0.0.0/8", "")
		}
	}
	if c.HTTP.MaxBody < 1<<10 || c.HTTP.MaxBody > 64<<20 {
		found.add("http.max_body", "must be between 1KiB and 64MiB", "")
	}
	between(found, "http.max_in_flight", c.HTTP.MaxInFlight, 1, 1_000_000)
	between(found, "http.max_downloads", c.HTTP.MaxDownloads, 1, 1_000_000)
	oneOf(found, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(found, "log.format", c.Log.Format, "text", "json")
	for _, l := range []struct {
		name  string
		value int
	}{
		{"submit", c.Limits.Submit}, {"status", c.Limits.Status}, {"upload", c.Limits.Upload},
		{"generation", c.Limits.Generation}, {"file", c.Limits.File}, {"callback", c.Limits.Callback},
	} {
		if l.value < 1 && l.value != -1 {
			found.add("limits."+l.name, "must be at least 1, or -1 for no limit", "")
		}
	}
}

func (c *Config) validateStorage(found *problems) {
	s := c.Storage.S3
	switch {
	case s.Bucket == "" && s != (S3{}):
		found.add("storage.s3.bucket", "is missing", "remove storage.s3 to keep files in a folder")
		return
	case s.Bucket != "" && c.Storage.Folder != "":
		found.add("storage", "has both folder and s3", "keep one of them")
	}
	if s.Bucket != "" {
		endpoint, err := url.Parse(s.URL())
		switch {
		case s.Endpoint == "":
			found.add("storage.s3.endpoint", "is missing", "for instance https://s3.eu-central-1.amazonaws.com")
		case err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https":
			found.add("storage.s3.endpoint", "must be an http or https URL, or a host", "")
		case endpoint.User != nil:
			found.add("storage.s3.endpoint", "must not hold credentials", "use access_key and secret_key")
		case strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.Fragment != "":
			found.add("storage.s3.endpoint", "must not have a path", "use bucket and prefix")
		case s.Insecure && strings.HasPrefix(s.Endpoint, "https://"):
			found.add("storage.s3.insecure", "contradicts an https endpoint", "")
		}
		if (s.AccessKey == "") != (s.SecretKey == "") {
			found.add("storage.s3", "needs both access_key and secret_key, or neither", "")
		}
		if p := s.Prefix; p != "" && (path.Clean(p) != p || strings.HasPrefix(p, "/") || strings.HasPrefix(p, ".")) {
			found.add("storage.s3.prefix", "must be a plain path such as kinora/prod, without slashes at its ends", "")
		}
	}
	if c.Storage.MaxOutput < 1<<20 {
		found.add("storage.max_output", "must be at least 1MiB", "")
	}
	if c.Uploads.MaxImage < 1<<10 || c.Uploads.MaxImage > 1<<30 {
		found.add("uploads.max_image", "must be between 1KiB and 1GiB", "")
	}
	if c.Uploads.MaxVideo < 1<<10 || c.Uploads.MaxVideo > 16<<30 {
		found.add("uploads.max_video", "must be between 1KiB and 16GiB", "")
	}
}

func (c *Config) validateTimes(found *problems) {
	const year = 3650 * day
	span(found, "shutdown_grace", c.ShutdownGrace, 0, 10*time.Minute)
	span(found, "http.request_timeout", c.HTTP.RequestTimeout, time.Second, 10*time.Minute)
	span(found, "retention.outputs", c.Retention.Outputs, time.Hour, year)
	span(found, "retention.generations", c.Retention.Generations, 7*day, year)
	span(found, "retention.deliveries", c.Retention.Deliveries, time.Hour, year)
	span(found, "retention.url_life", c.Retention.URLLife, time.Minute, 7*day)
	span(found, "uploads.image_life", c.Uploads.ImageLife, time.Minute, 365*day)
	span(found, "uploads.video_life", c.Uploads.VideoLife, time.Minute, 365*day)
	if c.Retention.Generations < c.Retention.Outputs {
		found.add("retention.generations", "must not be shorter than retention.outputs", "a file whose record is gone could not be found any more")
	}
}

func (c *Config) validateWebhooks(found *problems) {
	w := c.Webhooks
	span(found, "webhooks.timeout", w.Timeout, time.Second, time.Minute)
	if len(w.Schedule) > 50 {
		found.add("webhooks.schedule", "must not have more than 50 entries", "")
	}
	for i, d := range w.Schedule {
		span(found, fmt.Sprintf("webhooks.schedule[%d]", i), d, time.Second, 7*day)
	}
	if !(w.Jitter >= 0 && w.Jitter <= 0.5) { // also refuses NaN
		found.add("webhooks.jitter", "must be between 0 and 0.5", "")
	}
	between(found, "webhooks.concurrency", w.Concurrency, 1, 100_000)
	between(found, "webhooks.retry_concurrency", w.RetryConcurrency, 1, 100_000)
	between(found, "webhooks.per_destination", w.PerDestination, 1, 10_000)
}

func (c *Config) validateNetwork(found *problems) {
	n := c.Network
	for i, p := range n.AllowPrefixes {
		prefix, err := parsePrefix(p)
		name := fmt.Sprintf("network.allow_prefixes[%d]", i)
		switch {
		case err != nil:
			found.add(name, "must be an address or a range such as 10.20.0.0/16", "")
		case prefix.Bits() == 0:
			found.add(name, "would allow every address", "name the ranges that you host receivers in")
		}
	}
	for i, p := range n.NAT64Prefixes {
		prefix, err := netip.ParsePrefix(p)
		// The lengths of RFC 6052, section 2.2.
		if err != nil || !prefix.Addr().Is6() || !slices.Contains([]int{32, 40, 48, 56, 64, 96}, prefix.Bits()) {
			found.add(fmt.Sprintf("network.nat64_prefixes[%d]", i), "must be an IPv6 range of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b::/96", "")
		}
	}
	for i, h := range n.AllowHosts {
		name := strings.TrimPrefix(h, "*.")
		if name == "" || strings.ContainsAny(name, "*/:@ ") && !isAddress(name) {
			found.add(fmt.Sprintf("network.allow_hosts[%d]", i), "must be a host such as hooks.corp.internal or *.corp.internal, without scheme and port", "")
		}
	}
	for i, p := range n.Ports {
		if p == 0 {
			found.add(fmt.Sprintf("network.ports[%d]", i), "must be between 1 and 65535", "")
		}
	}
	for i, server := range n.DNS {
		host, port, err := net.SplitHostPort(server)
		if err != nil || !isAddress(host) || !isPort(port) {
			found.add(fmt.Sprintf("network.dns[%d]", i), "must be address:port, such as 10.0.0.2:53 or [fd00::2]:53", "")
		}
	}
	span(found, "network.connect_timeout", n.ConnectTimeout, 100*time.Millisecond, time.Minute)
}

func checkURL(found *problems, name, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		found.add(name, "must be an http or https URL", "for instance https://media.example.com")
	case u.User != nil:
		found.add(name, "must not hold a user name or password", "")
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#"):
		found.add(name, "must not have a query or fragment", "")
	}
}

func isLoopbackURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// parsePrefix also takes a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func isAddress(text string) bool { _, err := netip.ParseAddr(text); return err == nil }

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func between(found *problems, name string, n, least, most int) {
	if n < least || n > most {
		found.add(name, fmt.Sprintf("must be between %d and %d", least, most), "")
	}
}

func span(found *problems, name string, d Duration, least, most time.Duration) {
	if d.Std() < least || d.Std() > most {
		found.add(name, fmt.Sprintf("must be between %s and %s", Duration(least), Duration(most)), "")
	}
}

func oneOf(found *problems, name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		found.add(name, "must be one of "+strings.Join(allowed, ", "), "")
	}
}
