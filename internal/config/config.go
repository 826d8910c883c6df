// Package config is the one place where an operator's choices are read: defaults, then a
// YAML file, then environment variables that start with KINORA_. The result is a value
// that package app hands out to constructors.
//
// Reading is strict: an unknown key in the file is an error with its line, and every wrong
// value is told at once, by the name that the operator wrote. Secrets are of type [Secret]
// or [DSN], which show themselves to nobody who does not ask with Reveal.
//
// Not its duty: opening, creating or reaching anything that it names. It never touches the
// database, the storage or a key file; "kinora doctor" and the constructors do.
package config

import "time"

// Config is everything an operator can choose. The tags are the reference page: yaml is
// the key in the file, env the variable behind KINORA_, doc the meaning, and the default
// is what Default says.
type Config struct {
	Listen           string   `yaml:"listen" env:"LISTEN" doc:"Address to serve HTTP on, host:port. Use :8080 to listen on all interfaces. TLS is a reverse proxy's duty."`
	PublicURL        string   `yaml:"public_url" env:"PUBLIC_URL" doc:"Where clients and upstreams reach this server, such as https://media.example.com. Base of file URLs and of the callback URLs that upstreams are given. Empty: http:// and the listen address, and no callback URLs for upstreams outside this machine."`
	DataDir          string   `yaml:"data_dir" env:"DATA_DIR" doc:"Folder of everything that has no place of its own: the SQLite database, stored files, and the generated master key and admin token."`
	Database         DSN      `yaml:"database" env:"DATABASE" doc:"postgres://user:password@host:5432/name, or the path of a SQLite file. Empty: kinora.db in data_dir. Several servers may share one PostgreSQL; a SQLite file belongs to one."`
	DatabaseMaxConns int      `yaml:"database_max_conns" env:"DATABASE_MAX_CONNS" doc:"Connections that this process holds to PostgreSQL, or readers of the SQLite file. 0: 16, or 4."`
	MasterKey        Secret   `yaml:"master_key" env:"MASTER_KEY" doc:"32 bytes as 64 hexadecimal digits or base64 (openssl rand -base64 32). Seals secrets in the database and signs file URLs. Empty: master.key in data_dir, made on first start with mode 0600. Servers that share a database need the same one."`
	OldMasterKeys    []Secret `yaml:"old_master_keys" env:"OLD_MASTER_KEYS" doc:"Earlier master keys, still accepted while a rotation is under way."`
	AdminToken       Secret   `yaml:"admin_token" env:"ADMIN_TOKEN" doc:"Bearer token of the admin API under /admin/v1, at least 16 characters. Empty: admin.token in data_dir, made on first start with mode 0600."`
	Metrics          bool     `yaml:"metrics" env:"METRICS" doc:"Serve Prometheus metrics at /metrics."`
	ShutdownGrace    Duration `yaml:"shutdown_grace" env:"SHUTDOWN_GRACE" doc:"How long work in hand may take to finish after a stop signal. What is left then is taken up again at the next start."`

	HTTP      HTTP      `yaml:"http" envPrefix:"HTTP_" doc:"The HTTP server."`
	Storage   Storage   `yaml:"storage" envPrefix:"STORAGE_" doc:"Where outputs and uploads are kept."`
	Retention Retention `yaml:"retention" envPrefix:"RETENTION_" doc:"How long things are kept."`
	Uploads   Uploads   `yaml:"uploads" envPrefix:"UPLOADS_" doc:"Temporary uploads of callers."`
	Webhooks  Webhooks  `yaml:"webhooks" envPrefix:"WEBHOOKS_" doc:"Delivery of events."`
	Network   Network   `yaml:"network" envPrefix:"NETWORK_" doc:"Ways out to addresses that callers choose: webhooks, uploads by URL, output URLs. Only public addresses are allowed; open exactly what you host yourself."`
	Limits    Limits    `yaml:"limits" envPrefix:"LIMITS_" doc:"Requests per minute. -1: no limit."`
	Log       Log       `yaml:"log" envPrefix:"LOG_" doc:"The log, on standard error."`
	Sandbox   Sandbox   `yaml:"sandbox" envPrefix:"SANDBOX_" doc:"The built-in offline generator, with the models sandbox-image, sandbox-video, sandbox-image-callback and sandbox-video-callback."`
	Accounts  []Account `yaml:"accounts" env:"-" doc:"Credentials at upstream providers."`
	Models    []Model   `yaml:"models" env:"-" doc:"The names that callers may send, and what each stands for."`

	file     string
	warnings []string
}

// HTTP bounds the server's work.
type HTTP struct {
	TrustedProxies []string `yaml:"trusted_proxies" env:"TRUSTED_PROXIES" doc:"Address ranges of the reverse proxies whose X-Forwarded-For is believed."`
	MaxBody        Size     `yaml:"max_body" env:"MAX_BODY" doc:"Largest JSON body of a request. Uploads have limits of their own."`
	RequestTimeout Duration `yaml:"request_timeout" env:"REQUEST_TIMEOUT" doc:"Longest work on one request, uploads and downloads excepted."`
	MaxInFlight    int      `yaml:"max_in_flight" env:"MAX_IN_FLIGHT" doc:"Requests worked on at once; what exceeds it is answered with 503."`
	MaxDownloads   int      `yaml:"max_downloads" env:"MAX_DOWNLOADS" doc:"Uploads and downloads of files at once, counted apart."`
}

// Storage is a folder, or a bucket when S3.Bucket is set.
type Storage struct {
	Folder    string `yaml:"folder" env:"FOLDER" doc:"Folder on this machine. Empty: files in data_dir, unless s3 is set."`
	S3        S3     `yaml:"s3" envPrefix:"S3_" doc:"A bucket of S3-compatible storage instead of a folder; needed when several servers share a database. Bucket or prefix must belong to this installation alone."`
	MaxOutput Size   `yaml:"max_output" env:"MAX_OUTPUT" doc:"Largest output file that is copied from an upstream."`
}

// S3 is a bucket.
type S3 struct {
	Endpoint  string `yaml:"endpoint" env:"ENDPOINT" doc:"URL or host of the service, such as https://s3.eu-central-1.amazonaws.com."`
	Bucket    string `yaml:"bucket" env:"BUCKET" doc:"Name of an existing bucket. Setting it chooses S3."`
	Prefix    string `yaml:"prefix" env:"PREFIX" doc:"Put before every key."`
	Region    string `yaml:"region" env:"REGION" doc:"Empty: told by the endpoint, or asked of the service."`
	AccessKey string `yaml:"access_key" env:"ACCESS_KEY" doc:"Empty together with secret_key: credentials from the AWS_… variables, the shared credentials file or the machine's role."`
	SecretKey Secret `yaml:"secret_key" env:"SECRET_KEY" doc:"Secret of the access key."`
	PathStyle bool   `yaml:"path_style" env:"PATH_STYLE" doc:"Put the bucket into the path instead of the host name, as most services other than Amazon's need."`
	Insecure  bool   `yaml:"insecure" env:"INSECURE" doc:"Use plain http where the endpoint has no scheme."`
}

// Retention says how long things are kept. One life holds for outputs of both public APIs:
// the submit API contract asks for 72 hours of our own copy and the generations API contract
// for 30 days, and the longer keeps both.
type Retention struct {
	Outputs     Duration `yaml:"outputs" env:"OUTPUTS" doc:"Output files. Afterwards the generation still reads as succeeded, without outputs. The submit API promises at least 72h, the generations API 30d."`
	Generations Duration `yaml:"generations" env:"GENERATIONS" doc:"Records of finished generations; at least 7d, and no shorter than outputs."`
	Deliveries  Duration `yaml:"deliveries" env:"DELIVERIES" doc:"The log of webhook deliveries and their attempts."`
	URLLife     Duration `yaml:"url_life" env:"URL_LIFE" doc:"Life of a signed file URL. Each read of a generation gives fresh ones."`
}

// Uploads bounds what callers may upload.
type Uploads struct {
	MaxImage  Size     `yaml:"max_image" env:"MAX_IMAGE" doc:"Largest image."`
	MaxVideo  Size     `yaml:"max_video" env:"MAX_VIDEO" doc:"Largest video."`
	ImageLife Duration `yaml:"image_life" env:"IMAGE_LIFE" doc:"How long an uploaded image is kept."`
	VideoLife Duration `yaml:"video_life" env:"VIDEO_LIFE" doc:"How long an uploaded video is kept."`
}

// Webhooks shapes delivery.
type Webhooks struct {
	Timeout          Duration   `yaml:"timeout" env:"TIMEOUT" doc:"For one attempt: connection, TLS, headers and body together."`
	Schedule         []Duration `yaml:"schedule" env:"SCHEDULE" doc:"Waits between attempts. One more attempt than entries is made in all; an empty list means no retry."`
	Jitter           float64    `yaml:"jitter" env:"JITTER" doc:"Spreads each wait by up to this share, either way."`
	AllowHTTP        bool       `yaml:"allow_http" env:"ALLOW_HTTP" doc:"Accept http:// destinations besides https://."`
	Concurrency      int        `yaml:"concurrency" env:"CONCURRENCY" doc:"First attempts under way at once."`
	RetryConcurrency int        `yaml:"retry_concurrency" env:"RETRY_CONCURRENCY" doc:"Retries under way at once; they never take the place of first attempts."`
	PerDestination   int        `yaml:"per_destination" env:"PER_DESTINATION" doc:"Attempts under way at once to one host of one organisation."`
}

// Network opens what is closed by default.
type Network struct {
	AllowPrefixes  []string `yaml:"allow_prefixes" env:"ALLOW_PREFIXES" doc:"Non-public address ranges to allow, on every port, such as 10.20.0.0/16."`
	AllowHosts     []string `yaml:"allow_hosts" env:"ALLOW_HOSTS" doc:"Hosts that may have private addresses, on every port: hooks.corp.internal, or *.corp.internal for all names below."`
	NAT64Prefixes  []string `yaml:"nat64_prefixes" env:"NAT64_PREFIXES" doc:"NAT64 prefixes of this network, such as 64:ff9b::/96."`
	Ports          []uint16 `yaml:"ports" env:"PORTS" doc:"Ports allowed besides 443, and 80 where http is."`
	DNS            []string `yaml:"dns" env:"DNS" doc:"Name servers to ask, host:port. Empty: the system's."`
	ConnectTimeout Duration `yaml:"connect_timeout" env:"CONNECT_TIMEOUT" doc:"Name look-up and connection together."`
}

// Limits are requests per minute: per key and again per organisation where a key is needed,
// per client address elsewhere.
type Limits struct {
	Submit     int `yaml:"submit" env:"SUBMIT" doc:"Submits, per key and per organisation."`
	Status     int `yaml:"status" env:"STATUS" doc:"Status reads of the submit API, per key and per organisation."`
	Upload     int `yaml:"upload" env:"UPLOAD" doc:"Uploads of all three kinds together, per key and per organisation."`
	Generation int `yaml:"generation" env:"GENERATION" doc:"Reads of the generations API, per key and per organisation."`
	File       int `yaml:"file" env:"FILE" doc:"Downloads, per client address."`
	Callback   int `yaml:"callback" env:"CALLBACK" doc:"Inbound upstream callbacks, per client address."`
}

// Log shapes the log.
type Log struct {
	Level  string `yaml:"level" env:"LEVEL" doc:"debug, info, warn or error. Prompts are logged at debug only."`
	Format string `yaml:"format" env:"FORMAT" doc:"text or json."`
}

// Sandbox switches the built-in generator.
type Sandbox struct {
	Enabled *bool `yaml:"enabled" env:"ENABLED" doc:"true or false. Not set: on as long as no account is configured."`
}

// Account is one set of credentials and limits at a provider.
type Account struct {
	Name              string            `yaml:"name" doc:"Lower-case letters, digits, - and _. Shown to operators, never to callers."`
	Provider          string            `yaml:"provider" doc:"The upstream's protocol, such as kling, ark, minimax, vidu, openai or google."`
	BaseURL           string            `yaml:"base_url" doc:"Where the upstream is reached. Empty: the provider's own address."`
	Settings          map[string]Secret `yaml:"settings" doc:"Credentials and what else the provider asks for. Each can come from the environment instead: KINORA_ACCOUNT_<NAME>_<SETTING>, in capitals with _ for -."`
	MaxInFlight       int               `yaml:"max_in_flight" doc:"Generations at the upstream at once, over all servers. 0: 1000."`
	RequestsPerMinute int               `yaml:"requests_per_minute" doc:"Submit calls per minute and server. 0: no limit."`
	Weight            int               `yaml:"weight" doc:"Share among the accounts that a model may use. 0 counts as 1."`
}

// Model is a public name.
type Model struct {
	Name          string   `yaml:"name" doc:"What callers send."`
	Provider      string   `yaml:"provider" doc:"The provider of the accounts that it runs on."`
	UpstreamModel string   `yaml:"upstream_model" doc:"The upstream's id for it. Empty: the name."`
	Accounts      []string `yaml:"accounts" doc:"Names of the accounts it may run on. Empty: all of the provider."`
	Kind          string   `yaml:"kind" doc:"image or video."`
	Deadline      Duration `yaml:"deadline" doc:"Longest time from acceptance to the end; the generation then fails. 0: 10m for images, 60m for videos."`
}

const day = 24 * time.Hour

// Default is the configuration of a server that was told nothing.
func Default() *Config {
	return &Config{
		Listen:        "127.0.0.1:8080",
		DataDir:       "kinora-data",
		Metrics:       true,
		ShutdownGrace: Duration(30 * time.Second),
		HTTP: HTTP{
			MaxBody: 1 << 20, RequestTimeout: Duration(30 * time.Second), MaxInFlight: 1024, MaxDownloads: 512,
		},
		Storage: Storage{MaxOutput: 4 << 30},
		Retention: Retention{
			Outputs: Duration(30 * day), Generations: Duration(90 * day), Deliveries: Duration(30 * day), URLLife: Duration(15 * time.Minute),
		},
		Uploads: Uploads{
			MaxImage: 20 << 20, MaxVideo: 100 << 20, ImageLife: Duration(72 * time.Hour), VideoLife: Duration(24 * time.Hour),
		},
		Webhooks: Webhooks{
			Timeout: Duration(10 * time.Second),
			Schedule: []Duration{
				Duration(5 * time.Second), Duration(5 * time.Minute), Duration(30 * time.Minute), Duration(2 * time.Hour), Duration(5 * time.Hour),
				Duration(10 * time.Hour), Duration(14 * time.Hour), Duration(20 * time.Hour), Duration(24 * time.Hour),
			},
			Jitter: 0.1, Concurrency: 512, RetryConcurrency: 256, PerDestination: 16,
		},
		Network: Network{ConnectTimeout: Duration(5 * time.Second)},
		Limits:  Limits{Submit: 600_000, Status: 600_000, Upload: 60, Generation: 1200, File: 6000, Callback: 60_000},
		Log:     Log{Level: "info", Format: "text"},
	}
}
