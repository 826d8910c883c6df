// Package config is the one configuration of a server: defaults, then a YAML file, then
// the environment. It reads and checks values; it opens nothing.
package config

import (
	"fmt"
	"time"
)

// Config is everything that an operator can set. The tags are its reference: `doc` is the
// text of docs/configuration.md, `env` the variable (with the prefix KINORA_).
type Config struct {
	Listen    string `yaml:"listen" env:"LISTEN" doc:"Address and port to listen on."`
	PublicURL string `yaml:"public_url" env:"PUBLIC_URL" doc:"Where callers and upstreams reach this server, e.g. https://kinora.example. Empty: file URLs use the address the server listens on, and upstreams are not asked to call back."`
	DataDir   string `yaml:"data_dir" env:"DATA_DIR" doc:"Folder for the SQLite database, stored files, and the key files made on first start."`

	Database         string `yaml:"database" env:"DATABASE" doc:"postgres://user:password@host/name, or the path of a SQLite file. Empty: kinora.db in data_dir."`
	DatabaseMaxConns int    `yaml:"database_max_conns" env:"DATABASE_MAX_CONNS" doc:"Most connections to PostgreSQL, or readers of SQLite. 0: 16, or 4."`
	AutoMigrate      bool   `yaml:"auto_migrate" env:"AUTO_MIGRATE" doc:"Bring the schema up to date at start. When false, run kinora migrate."`

	Storage   Storage   `yaml:"storage" envPrefix:"STORAGE_" doc:"Where outputs and uploads are kept."`
	Retention Retention `yaml:"retention" envPrefix:"RETENTION_" doc:"How long things are kept."`
	Uploads   Uploads   `yaml:"uploads" envPrefix:"UPLOADS_" doc:"Files that callers bring."`
	Assets    Assets    `yaml:"assets" envPrefix:"ASSETS_" doc:"Source images of the generations API."`
	Webhooks  Webhooks  `yaml:"webhooks" envPrefix:"WEBHOOKS_" doc:"How events are delivered."`
	Network   Network   `yaml:"network" envPrefix:"NETWORK_" doc:"Where Kinora may connect to when a caller or an upstream chose the address."`
	Limits    Limits    `yaml:"limits" envPrefix:"LIMITS_" doc:"What callers may ask for."`
	Prices    Prices    `yaml:"prices" doc:"What a generation costs that succeeds, however many outputs it has. A price is settled when the generation is accepted; failed ones cost nothing."`
	Sandbox   Sandbox   `yaml:"sandbox" envPrefix:"SANDBOX_" doc:"The built-in generator, for trying things out without an upstream."`

	Dashboard Dashboard `yaml:"dashboard" envPrefix:"DASHBOARD_" doc:"The pages at /dashboard for people. See dashboard.md."`

	ComfyUI ComfyUI `yaml:"comfyui" envPrefix:"COMFYUI_" doc:"ComfyUI servers of your own; their accounts are among accounts."`

	Accounts []Account `yaml:"accounts" doc:"Upstream accounts."`
	Models   []Model   `yaml:"models" doc:"Public models, beside the built-in ones. A model named as a built-in one replaces it."`

	WorkflowsDir string `yaml:"workflows_dir" env:"WORKFLOWS_DIR" doc:"Folder of workflow files (*.yaml) for the generations API, beside the built-in ones; see workflows.md. Read at start. Empty: the built-in ones alone."`

	AdminToken     Secret   `yaml:"admin_token" env:"ADMIN_TOKEN" doc:"Token of the admin API, at least 32 characters. Empty: made on first start in data_dir/admin.token (mode 0600)."`
	MasterKey      Secret   `yaml:"master_key" env:"MASTER_KEY" doc:"32 bytes, base64 or hexadecimal: encrypts secrets at rest and signs file URLs. Empty: made on first start in data_dir/master.key (mode 0600). All nodes on one database need the same."`
	OldMasterKeys  []Secret `yaml:"old_master_keys" env:"OLD_MASTER_KEYS" doc:"Master keys that are accepted but not used: those of before a rotation, or the one to come. See operations.md."`
	Log            Log      `yaml:"log" envPrefix:"LOG_" doc:"What is logged, to standard error."`
	Metrics        bool     `yaml:"metrics" env:"METRICS" doc:"Serve Prometheus metrics at /metrics."`
	DrainTime      Duration `yaml:"drain_time" env:"DRAIN_TIME" doc:"How long a stop goes on as before while /readyz already answers 503 draining, so that load balancers look elsewhere before connections are refused. Longer than their interval of checks. 0: not at all."`
	ShutdownGrace  Duration `yaml:"shutdown_grace" env:"SHUTDOWN_GRACE" doc:"How long a stop waits for work in hand. Requests get half of it before their connections are closed."`
	NodeBeat       Duration `yaml:"node_beat" env:"NODE_BEAT" doc:"Time between two signs of life of a node. Another node takes its work over after five missed ones."`
	UpkeepInterval Duration `yaml:"upkeep_interval" env:"UPKEEP_INTERVAL" doc:"How often expired files and records are removed."`
}

// Storage is a folder or an S3 bucket.
type Storage struct {
	Folder string `yaml:"folder" env:"FOLDER" doc:"Folder for files. Empty: files in data_dir. Not used with s3."`
	S3     S3     `yaml:"s3" envPrefix:"S3_" doc:"S3-compatible object storage, used when a bucket is named."`
}

// S3 is a bucket and the way to it.
type S3 struct {
	Endpoint  string `yaml:"endpoint" env:"ENDPOINT" doc:"Host and port, e.g. s3.eu-central-1.amazonaws.com, or its https or http URL without a path."`
	Bucket    string `yaml:"bucket" env:"BUCKET" doc:"Bucket; it must exist."`
	Prefix    string `yaml:"prefix" env:"PREFIX" doc:"Put in front of every key."`
	Region    string `yaml:"region" env:"REGION" doc:"Region. Empty: asked of the server."`
	AccessKey string `yaml:"access_key" env:"ACCESS_KEY" doc:"Access key. Empty: from the AWS variables, files or instance role."`
	SecretKey Secret `yaml:"secret_key" env:"SECRET_KEY" doc:"Secret key."`
	PathStyle bool   `yaml:"path_style" env:"PATH_STYLE" doc:"Bucket in the path instead of in the host name, as most servers other than AWS want it."`
	Insecure  bool   `yaml:"insecure" env:"INSECURE" doc:"Plain http where the endpoint has no scheme. Only for a server on the same machine or network."`
}

// Retention says how long things are kept.
type Retention struct {
	Outputs     Duration `yaml:"outputs" env:"OUTPUTS" doc:"Output files. Afterwards a generation still reads as succeeded, without files."`
	FileURLs    Duration `yaml:"file_urls" env:"FILE_URLS" doc:"Life of a signed file URL. Each read of a generation gives fresh ones."`
	Assets      Duration `yaml:"assets" env:"ASSETS" doc:"Source images, from the day on which they became ready; at least 25h. One that a generation needs which has not ended stays. 0: for ever. What failed to become one is forgotten with the records."`
	Records     Duration `yaml:"records" env:"RECORDS" doc:"Records of ended generations, with their events and attempts; at least 25h. The usage ledger stays."`
	Audit       Duration `yaml:"audit" env:"AUDIT" doc:"Entries of the audit log; at least 1d. 0: for ever."`
	DeliveryLog Duration `yaml:"delivery_log" env:"DELIVERY_LOG" doc:"Log of delivery attempts, delivered deliveries, and records of replays and test events. Dead deliveries stay as long as their generation."`
}

// Uploads bounds what callers upload.
type Uploads struct {
	MaxImage  Size     `yaml:"max_image" env:"MAX_IMAGE" doc:"Largest image, uploaded or fetched for an upstream that takes no URLs."`
	MaxVideo  Size     `yaml:"max_video" env:"MAX_VIDEO" doc:"Largest video, likewise."`
	KeepImage Duration `yaml:"keep_image" env:"KEEP_IMAGE" doc:"How long an uploaded image is kept."`
	KeepVideo Duration `yaml:"keep_video" env:"KEEP_VIDEO" doc:"How long an uploaded video is kept."`
	PerMinute int      `yaml:"per_minute" env:"PER_MINUTE" doc:"Uploads per key and minute."`
}

// Assets bounds the source images of the generations API.
type Assets struct {
	MaxSize      Size     `yaml:"max_size" env:"MAX_SIZE" doc:"Largest file."`
	MinSide      int      `yaml:"min_side" env:"MIN_SIDE" doc:"Least width and height, in pixels."`
	MaxSide      int      `yaml:"max_side" env:"MAX_SIDE" doc:"Greatest width and height, in pixels."`
	Memory       Size     `yaml:"memory" env:"MEMORY" doc:"Memory that all decoding of source images on a node may take at once. An image that alone takes more is refused: a plain JPEG takes about 2 bytes a pixel, a progressive one 8 to 15, a PNG next to nothing, and 8 more where the image has to be turned."`
	FetchTimeout Duration `yaml:"fetch_timeout" env:"FETCH_TIMEOUT" doc:"One fetch of a source_url. A fetch that fails for a passing reason is made three times within about 15 seconds and the time that they take."`
	MaxRedirects int      `yaml:"max_redirects" env:"MAX_REDIRECTS" doc:"Redirects that a fetch follows, each checked like the source_url itself."`
}

// Webhooks says how events are delivered.
type Webhooks struct {
	Timeout   Duration   `yaml:"timeout" env:"TIMEOUT" doc:"One attempt: name look-up, connection, TLS, answer and body together."`
	Schedule  []Duration `yaml:"schedule" env:"SCHEDULE" doc:"Waits before the second and every further attempt. A delivery is dead after the last."`
	AllowHTTP bool       `yaml:"allow_http" env:"ALLOW_HTTP" doc:"Deliver to plain http destinations too."`

	MaxEndpoints    int      `yaml:"max_endpoints" env:"MAX_ENDPOINTS" doc:"Endpoints that an organisation may have beside its default callback URL."`
	DisableAfter    Duration `yaml:"disable_after" env:"DISABLE_AFTER" doc:"An endpoint, or a default callback URL, is disabled after nothing but failure for so long and disable_attempts. 0: only by an answer of 410."`
	DisableAttempts int      `yaml:"disable_attempts" env:"DISABLE_ATTEMPTS" doc:"Failed attempts in a row, beside disable_after, that disable an endpoint."`
}

// Network opens what the guard keeps shut.
type Network struct {
	AllowPrefixes  []string `yaml:"allow_prefixes" env:"ALLOW_PREFIXES" doc:"Private address ranges that callers' URLs may lead to, e.g. 10.1.0.0/16. Empty: public addresses only."`
	AllowHosts     []string `yaml:"allow_hosts" env:"ALLOW_HOSTS" doc:"Host names that may resolve to private addresses."`
	TrustedProxies []string `yaml:"trusted_proxies" env:"TRUSTED_PROXIES" doc:"Addresses of reverse proxies whose X-Forwarded-For is believed. Empty: the peer is the client."`
	NAT64Prefixes  []string `yaml:"nat64_prefixes" env:"NAT64_PREFIXES" doc:"IPv6 translation prefixes of this network. A host behind DNS64 needs 64:ff9b::/96 here."`
	EgressProxy    Secret   `yaml:"egress_proxy" env:"EGRESS_PROXY" doc:"HTTP proxy through which all of them are reached, by CONNECT: http://host:port or https://host:port, with user:password@ where it wants them. Names are still resolved and judged by Kinora. HTTP_PROXY and its like are never read for these."`
	Ports          []uint16 `yaml:"ports" env:"PORTS" doc:"Ports allowed beside 443 (and 80 where http is)."`
}

// Limits bounds what callers ask for. 0 means the default where not said otherwise.
type Limits struct {
	MaxBody         Size     `yaml:"max_body" env:"MAX_BODY" doc:"Largest JSON request."`
	InFlight        int      `yaml:"in_flight" env:"IN_FLIGHT" doc:"Requests handled at once; more are answered 503. A request whose body has not arrived does not count. Uploads and downloads, callbacks and the admin API are counted apart."`
	PerOrganisation int      `yaml:"per_organisation" env:"PER_ORGANISATION" doc:"How many of these one organisation may have at once; more are answered 429. 0: a half."`
	SubmitPerMinute int      `yaml:"submit_per_minute" env:"SUBMIT_PER_MINUTE" doc:"Submits per key and minute. 0: no limit."`
	ReadPerMinute   int      `yaml:"read_per_minute" env:"READ_PER_MINUTE" doc:"Reads of tasks per key and minute. 0: no limit."`
	MaxWait         Duration `yaml:"max_wait" env:"MAX_WAIT" doc:"How long POST /v1/images/generations and /v1/images/edits are held at most until the generation ends. A caller who goes away, or whose proxy does, loses the answer and not the generation."`
	MaxOutput       Size     `yaml:"max_output" env:"MAX_OUTPUT" doc:"Largest output file taken from an upstream."`
	JobsInFlight    int      `yaml:"jobs_in_flight" env:"JOBS_IN_FLIGHT" doc:"Jobs of the generations API that an organisation may have in flight; one that waits for a review takes no place. An organisation may have a number of its own. 0: no limit."`
	ReviewsWaiting  int      `yaml:"reviews_waiting" env:"REVIEWS_WAITING" doc:"Generations of an organisation that may wait for a review; beyond, new ones of workflows with a review are refused with 429 until some are decided. What is being made then still comes to wait. 0: no limit."`

	API APILimits `yaml:"api" envPrefix:"API_" doc:"Requests per minute to the generations API. Each number holds for every key and, once more, for all keys of an organisation together, over all nodes. An organisation may have numbers of its own. 0: no limit."`
}

// APILimits are requests per minute by kind of route (generations API contract 9.2).
type APILimits struct {
	SourceAssetsCreate    int `yaml:"source_assets_create" env:"SOURCE_ASSETS_CREATE" doc:"POST /api/v1/source-assets."`
	SourceAssetsRead      int `yaml:"source_assets_read" env:"SOURCE_ASSETS_READ" doc:"GET /api/v1/source-assets/…"`
	GenerationsCreate     int `yaml:"generations_create" env:"GENERATIONS_CREATE" doc:"POST /api/v1/generations."`
	GenerationsRead       int `yaml:"generations_read" env:"GENERATIONS_READ" doc:"GET /api/v1/generations…, and cancels."`
	GenerationsRegenerate int `yaml:"generations_regenerate" env:"GENERATIONS_REGENERATE" doc:"POST /api/v1/generations/…/regenerate."`
	UsageSummary          int `yaml:"usage_summary" env:"USAGE_SUMMARY" doc:"GET /api/v1/usage/summary."`
	BillingEvents         int `yaml:"billing_events" env:"BILLING_EVENTS" doc:"GET /api/v1/billing/events."`
	SourceURLFetches      int `yaml:"source_url_fetches" env:"SOURCE_URL_FETCHES" doc:"Fetches of a source_url, by whichever route it was sent."`
	PerAddress            int `yaml:"per_address" env:"PER_ADDRESS" doc:"How many times these numbers one client address may use, whichever keys it sends. Behind a proxy that trusted_proxies does not name all clients have one address. 0: no limit."`
}

// Prices are what generations cost, for the ledger and for budgets.
type Prices struct {
	Models    map[string]USD `yaml:"models" doc:"US dollars for one succeeded generation, by model: {kling-v1: 0.35}. A model that is not named is free."`
	Workflows map[string]USD `yaml:"workflows" doc:"The same by workflow of the generations API; it stands in place of the model's price."`
}

// Sandbox is the built-in generator.
type Sandbox struct {
	Enabled     *bool `yaml:"enabled" env:"ENABLED" doc:"Offer the sandbox models. Unset: when no account is configured."`
	MaxInFlight int   `yaml:"max_in_flight" env:"MAX_IN_FLIGHT" doc:"Generations at the sandbox at once."`
}

// Dashboard is the pages for people, and how they sign in.
type Dashboard struct {
	Enabled        bool     `yaml:"enabled" env:"ENABLED" doc:"Serve them. A start shows a link by which the first person comes in, as long as there is none."`
	SessionIdle    Duration `yaml:"session_idle" env:"SESSION_IDLE" doc:"Whoever has not used it for so long signs in again."`
	SessionLongest Duration `yaml:"session_longest" env:"SESSION_LONGEST" doc:"Whoever signed in so long ago signs in again."`
	OIDC           OIDC     `yaml:"oidc" envPrefix:"OIDC_" doc:"Sign-in by an identity provider that speaks OpenID Connect, beside passwords. Its redirect URI is public_url with /dashboard/oidc/callback behind it."`
}

// OIDC is an identity provider.
type OIDC struct {
	Issuer              string   `yaml:"issuer" env:"ISSUER" doc:"The provider's issuer, e.g. https://login.example.com/realms/staff. Empty: passwords alone."`
	ClientID            string   `yaml:"client_id" env:"CLIENT_ID" doc:"Client id that it has given to Kinora."`
	ClientSecret        Secret   `yaml:"client_secret" env:"CLIENT_SECRET" doc:"Secret of that client. Empty: a public client; PKCE is used in any case."`
	Label               string   `yaml:"label" env:"LABEL" doc:"What the button says. Empty: the issuer's host."`
	AllowedDomains      []string `yaml:"allowed_domains" env:"ALLOWED_DOMAINS" doc:"Domains of e-mail addresses whose persons need no invitation: they become members of default_organisation when they first sign in."`
	DefaultOrganisation string   `yaml:"default_organisation" env:"DEFAULT_ORGANISATION" doc:"Id of the organisation that those become members of. Empty: whoever was not invited is refused."`
}

// ComfyUI says what is run on ComfyUI servers.
type ComfyUI struct {
	Workflows string `yaml:"workflows" env:"WORKFLOWS" doc:"Folder of workflows in API format with places for what a generation brings, NAME.json for each; a model's upstream_model is such a NAME. See providers/comfyui.md."`
}

// Account is one set of credentials and limits at a provider.
type Account struct {
	Name        string            `yaml:"name" doc:"Its name; unique."`
	Provider    string            `yaml:"provider" doc:"The provider's name."`
	Region      string            `yaml:"region" doc:"Which of the provider's public addresses, e.g. china. Empty: its default. Not with base_url."`
	BaseURL     string            `yaml:"base_url" doc:"The upstream's address. Empty: the provider's public one."`
	Settings    map[string]Secret `yaml:"settings" doc:"What the provider needs, e.g. api_key. A value of the form ${NAME} is read from the environment."`
	MaxInFlight int               `yaml:"max_in_flight" doc:"Generations at the upstream at once, across all nodes. 0: 1,000."`
	PerMinute   int               `yaml:"per_minute" doc:"Submit calls per minute and node. 0: no limit."`
	PerDay      int               `yaml:"per_day" doc:"Submits that the upstream may take in a day of UTC, across all nodes. 0: no limit. A call whose outcome is not known counts."`
	ReadsPerMin int               `yaml:"reads_per_minute" doc:"Poll calls per minute and node. 0: no limit."`
	Weight      int               `yaml:"weight" doc:"Share of new work among accounts with room. 0: 1."`
	Retired     bool              `yaml:"retired" doc:"Takes no new work: what it has submitted is still polled, cancelled and fetched with its key. For a key that is being rotated out."`
}

// Model is a public name and what stands behind it.
type Model struct {
	Name          string   `yaml:"name" doc:"The name that callers send."`
	Kind          string   `yaml:"kind" doc:"image or video."`
	Provider      string   `yaml:"provider" doc:"The provider's name."`
	UpstreamModel string   `yaml:"upstream_model" doc:"The upstream's id. Empty: the name."`
	Accounts      []string `yaml:"accounts" doc:"Accounts it may run on. Empty: all of the provider."`
	Deadline      Duration `yaml:"deadline" doc:"From acceptance to its end. 0: 10m for images, 60m for videos."`

	Routes         []Route  `yaml:"routes" doc:"Several ways to make the model, in place of provider, upstream_model and accounts. See routes.md."`
	Order          string   `yaml:"order" doc:"How routes are tried: listed (as they stand) or weighted (at random, by weight). Empty: listed."`
	FailoverAfter  Duration `yaml:"failover_after" doc:"How long work waits for a place at a route before the next one is tried. 0: 30s."`
	RetryElsewhere bool     `yaml:"retry_elsewhere" doc:"When an upstream has failed a generation for reasons that are not the caller's, make it anew on the next route. The upstream may charge for both."`
}

// Route is one way to make a model.
type Route struct {
	Provider      string   `yaml:"provider" doc:"The provider's name."`
	UpstreamModel string   `yaml:"upstream_model" doc:"The upstream's id. Empty: the model's name."`
	Accounts      []string `yaml:"accounts" doc:"Accounts it may run on. Empty: all of the provider."`
	Weight        int      `yaml:"weight" doc:"Share of new work where the order is weighted. 0: 1."`
}

// Way is a route and the key at which it stands in the file.
type Way struct {
	Route
	At string
}

// Ways are the model's routes: those of Routes, or the one that its own fields name. at is
// the model's key.
func (m *Model) Ways(at string) []Way {
	if len(m.Routes) == 0 {
		return []Way{{Route{Provider: m.Provider, UpstreamModel: m.UpstreamModel, Accounts: m.Accounts}, at}}
	}
	ways := make([]Way, len(m.Routes))
	for i, r := range m.Routes {
		ways[i] = Way{r, fmt.Sprintf("%s.routes[%d]", at, i)}
	}
	return ways
}

// Log says what is logged.
type Log struct {
	Level  string `yaml:"level" env:"LEVEL" doc:"debug, info, warn or error. Prompts appear at debug only."`
	Format string `yaml:"format" env:"FORMAT" doc:"text or json."`
}

// Default returns the configuration of a server that was told nothing.
func Default() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		DataDir:     "kinora-data",
		AutoMigrate: true,
		Retention: Retention{
			Outputs:     Duration(30 * 24 * time.Hour),
			FileURLs:    Duration(15 * time.Minute),
			Records:     Duration(180 * 24 * time.Hour),
			Audit:       Duration(400 * 24 * time.Hour),
			DeliveryLog: Duration(30 * 24 * time.Hour),
		},
		Uploads: Uploads{
			MaxImage: 20 << 20, MaxVideo: 100 << 20, PerMinute: 60,
			KeepImage: Duration(72 * time.Hour), KeepVideo: Duration(24 * time.Hour),
		},
		Assets: Assets{
			MaxSize: 25 << 20, MinSide: 512, MaxSide: 12000, Memory: 768 << 20, FetchTimeout: Duration(30 * time.Second), MaxRedirects: 3,
		},
		Webhooks: Webhooks{
			Timeout: Duration(10 * time.Second), MaxEndpoints: 100, DisableAfter: Duration(5 * 24 * time.Hour), DisableAttempts: 10,
			Schedule: []Duration{
				Duration(5 * time.Second), Duration(5 * time.Minute), Duration(30 * time.Minute), Duration(2 * time.Hour), Duration(5 * time.Hour),
				Duration(10 * time.Hour), Duration(14 * time.Hour), Duration(20 * time.Hour), Duration(24 * time.Hour),
			},
		},
		Limits: Limits{MaxBody: 1 << 20, InFlight: 2048, MaxWait: Duration(5 * time.Minute), MaxOutput: 4 << 30, JobsInFlight: 50, ReviewsWaiting: 1000, API: APILimits{
			SourceAssetsCreate: 120, SourceAssetsRead: 1200, GenerationsCreate: 120, GenerationsRead: 1200, GenerationsRegenerate: 120,
			UsageSummary: 120, BillingEvents: 120, SourceURLFetches: 60, PerAddress: 10,
		}},
		Dashboard:      Dashboard{Enabled: true, SessionIdle: Duration(12 * time.Hour), SessionLongest: Duration(30 * 24 * time.Hour)},
		Sandbox:        Sandbox{MaxInFlight: 10_000},
		Log:            Log{Level: "info", Format: "text"},
		Metrics:        true,
		ShutdownGrace:  Duration(20 * time.Second),
		NodeBeat:       Duration(3 * time.Second),
		UpkeepInterval: Duration(5 * time.Minute),
	}
}

// SandboxEnabled tells whether the sandbox models are offered.
func (c *Config) SandboxEnabled() bool {
	if c.Sandbox.Enabled != nil {
		return *c.Sandbox.Enabled
	}
	return len(c.Accounts) == 0
}
