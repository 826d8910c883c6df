package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

const (
	minAdminToken = 32 // characters
	day           = 24 * time.Hour
)

// Validate checks what can be known without opening anything, and reports all that is
// wrong at once, as Load does.
func (c *Config) Validate() error {
	var found problems
	c.validate(&found)
	return found.err("configuration")
}

func (c *Config) validate(found *problems) {
	c.validateServer(found)
	c.validateStorage(found)
	c.validateTimes(found)
	c.validateNetwork(found)
	c.validateDashboard(found)
	c.validateAccounts(found)
	c.validateModels(found)
}

func (c *Config) validateServer(found *problems) {
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || !isPort(port) || strings.ContainsAny(host, "/ ") {
		found.add("listen", "must be host:port", "such as 127.0.0.1:8080, or :8080 for all addresses")
	}
	if c.DataDir == "" {
		found.add("data_dir", "must not be empty", "name a folder that outlives a restart")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.PublicURL != "" {
		checkURL(found, "public_url", c.PublicURL)
	}
	c.validateDatabase(found)
	if t := c.AdminToken.Reveal(); t != "" && (len(t) < minAdminToken || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' })) {
		found.add("admin_token", fmt.Sprintf("must have at least %d characters, without spaces", minAdminToken), "make one with: openssl rand -hex 32")
	}
	if c.MasterKey == "" && len(c.OldMasterKeys) > 0 {
		found.add("old_master_keys", "needs master_key, the key that replaces them", "keys before that of a key file stand in the file itself, below it")
	}
	if i := slices.Index(c.OldMasterKeys, ""); i >= 0 {
		found.add(fmt.Sprintf("old_master_keys[%d]", i), "is empty", "")
	}
	oneOf(found, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(found, "log.format", c.Log.Format, "text", "json")
	for _, n := range []struct {
		name  string
		n     int
		least int
	}{
		{"limits.in_flight", c.Limits.InFlight, 0}, {"limits.per_organisation", c.Limits.PerOrganisation, 0}, {"limits.submit_per_minute", c.Limits.SubmitPerMinute, 0},
		{"limits.read_per_minute", c.Limits.ReadPerMinute, 0}, {"limits.jobs_in_flight", c.Limits.JobsInFlight, 0}, {"limits.reviews_waiting", c.Limits.ReviewsWaiting, 0},
		{"limits.api.source_assets_create", c.Limits.API.SourceAssetsCreate, 0}, {"limits.api.source_assets_read", c.Limits.API.SourceAssetsRead, 0},
		{"limits.api.generations_create", c.Limits.API.GenerationsCreate, 0}, {"limits.api.generations_read", c.Limits.API.GenerationsRead, 0},
		{"limits.api.generations_regenerate", c.Limits.API.GenerationsRegenerate, 0}, {"limits.api.usage_summary", c.Limits.API.UsageSummary, 0},
		{"limits.api.billing_events", c.Limits.API.BillingEvents, 0}, {"limits.api.source_url_fetches", c.Limits.API.SourceURLFetches, 0},
		{"limits.api.per_address", c.Limits.API.PerAddress, 0},
		{"uploads.per_minute", c.Uploads.PerMinute, 0},
		{"sandbox.max_in_flight", c.Sandbox.MaxInFlight, 0}, {"database_max_conns", c.DatabaseMaxConns, 0},
		{"webhooks.disable_attempts", c.Webhooks.DisableAttempts, 1},
	} {
		between(found, n.name, n.n, n.least, math.MaxInt32)
	}
	between(found, "assets.min_side", c.Assets.MinSide, 1, 16384)
	between(found, "assets.max_side", c.Assets.MaxSide, max(1, c.Assets.MinSide), 65535)
	between(found, "assets.max_redirects", c.Assets.MaxRedirects, 0, 10)
	between(found, "webhooks.max_endpoints", c.Webhooks.MaxEndpoints, 1, 999) // each event reads all of an organisation's
}

func (c *Config) validateDatabase(found *problems) {
	scheme, _, isURL := strings.Cut(c.Database, "://")
	if !isURL {
		if strings.HasPrefix(c.Database, "postgres:") || strings.HasPrefix(c.Database, "postgresql:") {
			found.add("database", "the PostgreSQL address cannot be read", "use postgres://user:password@host:5432/name")
		}
		return
	}
	u, err := url.Parse(c.Database)
	switch {
	case scheme != "postgres" && scheme != "postgresql":
		found.add("database", "must be postgres://… or the path of a SQLite file", "")
	case err != nil:
		found.add("database", "the PostgreSQL address cannot be read", "write special characters of user and password percent-encoded")
	case strings.Trim(u.Path, "/") == "":
		found.add("database", "does not name a database", "use postgres://user:password@host:5432/name")
	}
}

func (c *Config) validateStorage(found *problems) {
	s := c.Storage.S3
	if s.Bucket == "" && s != (S3{}) {
		found.add("storage.s3.bucket", "must be named", "remove storage.s3 to keep files in a folder")
	}
	if s.Bucket != "" {
		if c.Storage.Folder != "" {
			found.add("storage", "has both folder and s3", "keep one of them")
		}
		switch {
		case s.Endpoint == "":
			found.add("storage.s3.endpoint", "must be named", "such as s3.eu-central-1.amazonaws.com")
		case strings.Contains(s.Endpoint, "@"):
			found.add("storage.s3.endpoint", "must not hold credentials", "use access_key and secret_key")
		case s.Insecure && strings.Contains(s.Endpoint, "://"):
			found.add("storage.s3.endpoint", "must be host:port when insecure is set", "leave the scheme out")
		case strings.ContainsAny(strings.TrimPrefix(strings.TrimPrefix(s.Endpoint, "https://"), "http://"), "/?# "):
			found.add("storage.s3.endpoint", "must be host:port without a path", "use bucket and prefix")
		}
		if (s.AccessKey == "") != (s.SecretKey == "") {
			found.add("storage.s3", "access_key and secret_key go together", "")
		}
	}
	for _, size := range []struct {
		name  string
		bytes Size
	}{
		{"uploads.max_image", c.Uploads.MaxImage}, {"uploads.max_video", c.Uploads.MaxVideo}, {"assets.max_size", c.Assets.MaxSize},
		{"limits.max_body", c.Limits.MaxBody}, {"limits.max_output", c.Limits.MaxOutput},
	} {
		if size.bytes <= 0 {
			found.add(size.name, "must be above 0", "")
		}
	}
	if c.Assets.MaxSize > 256<<20 {
		found.add("assets.max_size", "must be at most 256MB", "")
	}
	if c.Assets.Memory < 64<<20 {
		found.add("assets.memory", "must be at least 64MB", "a photograph of 12 megapixels takes up to 100")
	}
	if c.Limits.MaxBody > 64<<20 {
		found.add("limits.max_body", "must be at most 64MB", "files go through the uploads, which have limits of their own")
	}
}

func (c *Config) validateTimes(found *problems) {
	for _, t := range []struct {
		name        string
		d           Duration
		least, most time.Duration
	}{
		{"retention.outputs", c.Retention.Outputs, time.Minute, maxDays * day}, {"retention.file_urls", c.Retention.FileURLs, time.Second, 7 * day},
		{"retention.records", c.Retention.Records, 25 * time.Hour, maxDays * day}, // an idempotency key stands for its record for a day
		{"retention.delivery_log", c.Retention.DeliveryLog, time.Minute, maxDays * day},
		{"uploads.keep_image", c.Uploads.KeepImage, time.Minute, maxDays * day}, {"uploads.keep_video", c.Uploads.KeepVideo, time.Minute, maxDays * day},
		{"webhooks.timeout", c.Webhooks.Timeout, 100 * time.Millisecond, 5 * time.Minute}, {"shutdown_grace", c.ShutdownGrace, 0, time.Hour},
		{"drain_time", c.DrainTime, 0, 10 * time.Minute}, {"limits.max_wait", c.Limits.MaxWait, time.Second, time.Hour},
		{"node_beat", c.NodeBeat, 10 * time.Millisecond, time.Minute}, {"upkeep_interval", c.UpkeepInterval, 10 * time.Millisecond, day},
	} {
		span(found, t.name, t.d, t.least, t.most)
	}
	span(found, "assets.fetch_timeout", c.Assets.FetchTimeout, time.Second, 10*time.Minute)
	if c.Retention.Assets != 0 { // an idempotency key stands for its asset for a day
		span(found, "retention.assets", c.Retention.Assets, 25*time.Hour, maxDays*day)
	}
	if c.Retention.Audit != 0 {
		span(found, "retention.audit", c.Retention.Audit, day, maxDays*day)
	}
	span(found, "webhooks.disable_after", c.Webhooks.DisableAfter, 0, maxDays*day)
	if n := len(c.Webhooks.Schedule); n == 0 || n > 50 {
		found.add("webhooks.schedule", "must have 1 to 50 waits", "")
	}
	for i, d := range c.Webhooks.Schedule {
		span(found, fmt.Sprintf("webhooks.schedule[%d]", i), d, time.Millisecond, 7*day)
	}
}

func (c *Config) validateDashboard(found *problems) {
	span(found, "dashboard.session_longest", c.Dashboard.SessionLongest, time.Minute, 366*day)
	span(found, "dashboard.session_idle", c.Dashboard.SessionIdle, time.Minute, max(time.Minute, c.Dashboard.SessionLongest.Std()))
	o := c.Dashboard.OIDC
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" || len(o.AllowedDomains) > 0 || o.DefaultOrganisation != "" {
			found.add("dashboard.oidc.issuer", "must be named with the rest of dashboard.oidc", "")
		}
		return
	}
	checkURL(found, "dashboard.oidc.issuer", o.Issuer)
	if strings.HasPrefix(o.Issuer, "http://") && !loopback(o.Issuer) {
		found.add("dashboard.oidc.issuer", "must use https", "plain http is for an issuer on this machine alone")
	}
	if o.ClientID == "" {
		found.add("dashboard.oidc.client_id", "must be given", "the identity provider gives one when Kinora is registered there")
	}
	if (len(o.AllowedDomains) > 0) != (o.DefaultOrganisation != "") {
		found.add("dashboard.oidc.allowed_domains", "needs default_organisation, and that needs allowed_domains", "leave both out where everybody is invited")
	}
	for i, name := range o.AllowedDomains {
		if name == "" || strings.ContainsAny(name, "@*/: ") || name != strings.ToLower(name) {
			found.add(fmt.Sprintf("dashboard.oidc.allowed_domains[%d]", i), "must be a domain in lower case, such as example.com", "each is meant without those below it")
		}
	}
	if id := o.DefaultOrganisation; id != "" && !strings.HasPrefix(id, "org_") {
		found.add("dashboard.oidc.default_organisation", "must be an id such as org_…", "kinora org list shows it")
	}
}

// loopback tells whether a URL leads to this machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func (c *Config) validateNetwork(found *problems) {
	n := c.Network
	for i, text := range n.AllowPrefixes {
		at := fmt.Sprintf("network.allow_prefixes[%d]", i)
		switch p, err := netip.ParsePrefix(text); {
		case err != nil:
			found.add(at, "must be an address range such as 10.1.0.0/16", "one address is 10.1.2.3/32")
		case p.Bits() == 0:
			found.add(at, "would open every address", "name the ranges in which you host receivers")
		}
	}
	for i, text := range n.TrustedProxies {
		if _, err := netip.ParsePrefix(text); err != nil {
			found.add(fmt.Sprintf("network.trusted_proxies[%d]", i), "must be an address range such as 10.1.0.0/16", "one address is 10.1.2.3/32")
		}
	}
	for i, text := range n.NAT64Prefixes {
		p, err := netip.ParsePrefix(text)
		// The lengths of RFC 6052, section 2.2.
		if err != nil || !p.Addr().Is6() || !slices.Contains([]int{32, 40, 48, 56, 64, 96}, p.Bits()) {
			found.add(fmt.Sprintf("network.nat64_prefixes[%d]", i), "must be an IPv6 range of 32, 40, 48, 56, 64 or 96 bits", "such as 64:ff9b::/96")
		}
	}
	for i, host := range n.AllowHosts {
		name := strings.TrimPrefix(host, "*.")
		_, err := netip.ParseAddr(name)
		if name == "" || err != nil && strings.ContainsAny(name, "*/:@ ") {
			found.add(fmt.Sprintf("network.allow_hosts[%d]", i), "must be a host without scheme and port", "such as hooks.corp.internal, or *.corp.internal")
		}
	}
	if text := n.EgressProxy.Reveal(); text != "" {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			found.add("network.egress_proxy", "must be http://host:port or https://host:port", "with user:password@ before the host where the proxy wants them")
		}
	}
	if i := slices.Index(n.Ports, 0); i >= 0 {
		found.add(fmt.Sprintf("network.ports[%d]", i), "must be between 1 and 65535", "")
	}
}

var (
	accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	modelName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
)

func (c *Config) validateAccounts(found *problems) {
	first := map[string]int{}
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		before, twice := first[a.Name]
		switch {
		case !accountName.MatchString(a.Name):
			found.add(at+".name", "must be lower-case letters, digits, dots, dashes and underscores, at most 64", "")
		case twice:
			found.add(at+".name", fmt.Sprintf("%q is used twice", a.Name), fmt.Sprintf("accounts[%d] has it", before))
		default:
			first[a.Name] = i
		}
		if a.Provider == "" {
			found.add(at+".provider", "must be named", "")
		}
		if a.BaseURL != "" {
			checkURL(found, at+".base_url", a.BaseURL)
			if a.Region != "" {
				found.add(at+".region", "must be empty beside base_url", "base_url alone names the address")
			}
		}
		between(found, at+".max_in_flight", a.MaxInFlight, 0, math.MaxInt32)
		between(found, at+".per_minute", a.PerMinute, 0, math.MaxInt32)
		between(found, at+".per_day", a.PerDay, 0, math.MaxInt32)
		between(found, at+".reads_per_minute", a.ReadsPerMin, 0, math.MaxInt32)
		between(found, at+".weight", a.Weight, 0, 1000)
	}
}

func (c *Config) validateModels(found *problems) {
	first := map[string]int{}
	for i, m := range c.Models {
		at := fmt.Sprintf("models[%d]", i)
		before, twice := first[m.Name]
		switch {
		case !modelName.MatchString(m.Name):
			found.add(at+".name", "must be letters, digits and . _ : / -, at most 128", "")
		case twice:
			found.add(at+".name", fmt.Sprintf("%q is used twice", m.Name), fmt.Sprintf("models[%d] has it", before))
		default:
			first[m.Name] = i
		}
		oneOf(found, at+".kind", m.Kind, string(kinora.KindImage), string(kinora.KindVideo))
		span(found, at+".deadline", m.Deadline, 0, 7*day)
		c.validateRoutes(found, at, m)
	}
}

// validateRoutes checks where a model is made.
func (c *Config) validateRoutes(found *problems, at string, m Model) {
	span(found, at+".failover_after", m.FailoverAfter, 0, day)
	if m.Order != "" {
		oneOf(found, at+".order", m.Order, string(kinora.RoutesListed), string(kinora.RoutesWeighted))
	}
	if len(m.Routes) > 0 {
		for key, set := range map[string]bool{"provider": m.Provider != "", "upstream_model": m.UpstreamModel != "", "accounts": len(m.Accounts) > 0} {
			if set {
				found.add(at+"."+key, "cannot be given beside routes", "each route has its own")
			}
		}
	}
	if len(m.Routes) < 2 {
		for key, set := range map[string]bool{"order": m.Order != "", "failover_after": m.FailoverAfter != 0, "retry_elsewhere": m.RetryElsewhere} {
			if set {
				found.add(at+"."+key, "needs two routes or more", "")
			}
		}
	}
	first := map[string]string{}
	for _, r := range m.Ways(at) {
		if r.Provider == "" {
			found.add(r.At+".provider", "must be named", "")
		}
		between(found, r.At+".weight", r.Weight, 0, 1000)
		for j, name := range r.Accounts {
			c.checkAccountOf(found, fmt.Sprintf("%s.accounts[%d]", r.At, j), r.Route, name)
		}
		same := fmt.Sprintf("%q %q %q", r.Provider, r.UpstreamModel, r.Accounts)
		if before, twice := first[same]; twice {
			found.add(r.At, "is the same route as another one", before+" has it")
		}
		first[same] = r.At
	}
}

func (c *Config) checkAccountOf(found *problems, at string, m Route, name string) {
	var others []string
	for _, a := range c.Accounts {
		switch {
		case a.Name != name:
			others = append(others, a.Name)
		case a.Provider != m.Provider:
			found.add(at, fmt.Sprintf("account %q is of provider %q, and the model of %q", name, a.Provider, m.Provider), "")
			return
		default:
			return
		}
	}
	found.add(at, fmt.Sprintf("there is no account %q", name), didYouMean(name, others))
}

func checkURL(found *problems, at, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		found.add(at, "must be an http or https address", "such as https://kinora.example")
	case u.User != nil:
		found.add(at, "must not hold a user name or password", "")
	case strings.ContainsAny(text, "?#"):
		found.add(at, "must not have a query or fragment", "")
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func between(found *problems, at string, n, least, most int) {
	if n < least {
		found.add(at, fmt.Sprintf("must be at least %d", least), "")
	} else if n > most {
		found.add(at, fmt.Sprintf("must be at most %d", most), "")
	}
}

func span(found *problems, at string, d Duration, least, most time.Duration) {
	if d.Std() < least || d.Std() > most {
		found.add(at, fmt.Sprintf("must be between %s and %s", Duration(least), Duration(most)), "")
	}
}

func oneOf(found *problems, at, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		found.add(at, "must be "+strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1], didYouMean(value, allowed))
	}
}
