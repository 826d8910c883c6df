package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/asset"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/inputs"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/preview"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/server"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
	"github.com/kinora/kinora/internal/upload"
	"github.com/kinora/kinora/internal/webhook"
	"github.com/kinora/kinora/internal/workflow"
	"github.com/kinora/kinora/provider"
)

// minGrace is the least time that a stop gets, so that leases can be given back.
const minGrace = time.Second

func now() time.Time { return time.Now() }

func (a *App) openDatabase(ctx context.Context) error {
	db, err := store.Open(ctx, store.Options{DSN: a.cfg.DatabaseDSN(), MaxConns: a.cfg.DatabaseMaxConns})
	if err != nil {
		return err
	}
	a.db = db
	a.onStop(func(context.Context) error { return db.Close() })
	return nil
}

// openSchema migrates if it may.
func (a *App) openSchema(ctx context.Context) error {
	if a.cfg.AutoMigrate {
		if err := a.db.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		return nil
	}
	list, err := a.db.Migrations(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for _, m := range list {
		if !m.Applied {
			waiting++
		}
	}
	if waiting > 0 {
		return &kinora.Error{Code: kinora.ErrInvalid, Op: "open database",
			Message: fmt.Sprintf("%d of %d schema changes are not applied, and auto_migrate is off", waiting, len(list)), Hint: "run kinora migrate"}
	}
	return nil
}

// OpenStorage opens the configured file storage.
func OpenStorage(cfg config.Config) (blob.Store, func() error, error) {
	if s := cfg.Storage.S3; s.Bucket != "" {
		endpoint := s.Endpoint
		if s.Insecure {
			endpoint = "http://" + endpoint
		}
		files, err := blob.NewS3(blob.S3Config{Endpoint: endpoint, Bucket: s.Bucket, Prefix: s.Prefix, Region: s.Region,
			PathStyle: s.PathStyle, AccessKey: s.AccessKey, SecretKey: s.SecretKey.Reveal()})
		if err != nil {
			return nil, nil, fmt.Errorf("storage: %w", err)
		}
		return files, func() error { return nil }, nil
	}
	files, err := blob.OpenFolder(cfg.StorageFolder())
	if err != nil {
		return nil, nil, fmt.Errorf("storage: %w", err)
	}
	return files, files.Close, nil
}

// previewMemory is what making small pictures of images takes at most, in bytes: images of up to 24 megapixels have one.
const previewMemory = 384 << 20

func (a *App) openStorage() error {
	files, done, err := OpenStorage(a.cfg)
	if err != nil {
		return err
	}
	a.previews = preview.New(files, previewMemory)
	a.files = a.previews
	a.onStop(func(context.Context) error { return done() })
	return nil
}

// prefixes reads address ranges that config.Validate has checked.
func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func newGuard(cfg config.Config, o Options) (*netguard.Guard, error) {
	gc := netguard.Config{
		AllowPrefixes: prefixes(cfg.Network.AllowPrefixes), AllowHosts: cfg.Network.AllowHosts,
		NAT64Prefixes: prefixes(cfg.Network.NAT64Prefixes), AllowHTTP: cfg.Webhooks.AllowHTTP, Ports: cfg.Network.Ports,
		UserAgent: "Kinora/" + o.Version,
	}
	if text := cfg.Network.EgressProxy.Reveal(); text != "" {
		u, err := url.Parse(text)
		if err != nil { // it would quote the password
			return nil, kinora.Errorf(kinora.ErrInvalid, "network.egress_proxy is not a URL")
		}
		gc.Proxy = u
	}
	if o.Guard != nil {
		o.Guard(&gc)
	}
	if err := gc.Validate(); err != nil {
		return nil, &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: "network: " + err.Error(), Hint: "see docs/configuration.md"}
	}
	return netguard.New(gc), nil
}

// wire makes the services and gives each what it works with.
func (a *App) wire() error {
	node := a.node()
	// The dispatcher needs the secrets and the tenancy the dispatcher's rules: both only at
	// run time, so the check goes through the field.
	a.tenancy = tenancy.New(a.db, a.ring, tenancy.Options{
		CheckWebhook: func(org *kinora.Organisation, url string) error { return a.dispatcher.Check(org, url) },
		MaxEndpoints: a.cfg.Webhooks.MaxEndpoints, Log: a.log,
	})
	var err error
	a.wireMasterKeys(node)
	a.dispatcher, err = webhook.New(webhook.Config{
		DB: a.db, Node: node, Guard: a.guard, Client: a.guard.WebhookClient(), Secrets: a.tenancy, FileURL: a.fileURL,
		Version: a.version(), Schedule: schedule(a.cfg), Timeout: a.cfg.Webhooks.Timeout.Std(), Limits: a.opts.WebhookLimits,
		Disable: kinora.DisableRule{After: a.cfg.Webhooks.DisableAfter.Std(), Attempts: a.cfg.Webhooks.DisableAttempts},
		Logger:  a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	upstreams := upstreamClient()
	a.onStop(func(context.Context) error { upstreams.CloseIdleConnections(); return nil })
	routes, err := a.routes()
	if err != nil {
		return err
	}
	sources, err := inputs.New(inputs.Config{
		Files: a.files, Signer: a.signer, Fetch: a.guard, Folder: a.cfg.DataDir,
		MaxImage: int64(a.cfg.Uploads.MaxImage), MaxVideo: int64(a.cfg.Uploads.MaxVideo), MaxOwn: int64(a.cfg.Assets.MaxSize),
	})
	if err != nil {
		return err
	}
	if a.workflows, err = Workflows(a.cfg, routes.models); err != nil {
		return err
	}
	a.engine, err = lifecycle.New(lifecycle.Config{
		DB: a.db, Blob: a.files, Node: node, MasterKeys: a.ring.IDs,
		Providers: routes.providers, Accounts: routes.accounts, Models: routes.models,
		Events: a.dispatcher, PublicURL: a.cfg.PublicURL, CallbackURLs: routes.callbackURLs,
		Judge: a.judge(upstreams), Upstreams: upstreams, Downloads: a.guard.FetchClient(maxRedirects), Sources: sources,
		Organisation: a.tenancy.Organisation, Prices: a.prices(routes.models), JobsInFlight: a.cfg.Limits.JobsInFlight, ReviewsWaiting: a.cfg.Limits.ReviewsWaiting,
		Ingests: ingests{a}, SourceURL: a.signedURL,
		OutputRetention: a.cfg.Retention.Outputs.Std(), MaxOutput: int64(a.cfg.Limits.MaxOutput), Timing: a.timing(),
		Logger: a.log, Metrics: a.registry,
	})
	if err != nil {
		return &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: err.Error(), Hint: "see docs/configuration.md"}
	}
	if err := a.wireUploads(); err != nil {
		return err
	}
	if err := a.wireAssets(node); err != nil {
		return err
	}
	a.wireOperator(node)
	a.wirePeople()
	if err := a.wireDashboard(); err != nil {
		return err
	}
	return a.wireHTTP()
}

// Workflows reads a configuration's workflows and returns those whose models there are. Errors: kinora.ErrInvalid.
func Workflows(cfg config.Config, models []kinora.Model) (*workflow.Set, error) {
	all, err := workflow.Load(cfg.WorkflowsDir)
	if err != nil {
		return nil, err
	}
	return all.Offer(models)
}

// maxRedirects is how many redirects a download follows, each checked anew.
const maxRedirects = 3

func (a *App) timing() lifecycle.Timing {
	t := a.opts.Timing
	if t.Beat == 0 {
		t.Beat = a.cfg.NodeBeat.Std()
	}
	return t
}

func schedule(cfg config.Config) *webhook.Schedule {
	s := webhook.DefaultSchedule()
	s.Steps = nil
	for _, d := range cfg.Webhooks.Schedule {
		s.Steps = append(s.Steps, d.Std())
	}
	return &s
}

// upstreamClient reaches configured upstreams, whose addresses the operator chose. It
// follows no redirect, so that a key never travels to another host.
func upstreamClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 512, 128, 0
	t.ResponseHeaderTimeout = 0 // the lifecycle sets one deadline over the whole call
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fileURL makes a fresh signed URL for a stored file.
func (a *App) fileURL(key string) (string, time.Time) {
	expires := now().Add(a.cfg.Retention.FileURLs.Std()).UTC().Truncate(time.Second)
	return a.signedURL(key, expires), expires
}

// previewURL makes a fresh signed URL for the small picture of a stored image; "" = it has none.
func (a *App) previewURL(key string, width, height int) string {
	small := a.previews.Key(key, width, height)
	if small == "" {
		return ""
	}
	u, _ := a.fileURL(small)
	return u
}

func (a *App) signedURL(key string, expires time.Time) string {
	u, err := a.signer.URL(a.URL(), key, expires)
	if err != nil {
		a.log.Error("a file URL could not be made", "error", err)
		return ""
	}
	return u
}

func (a *App) wireUploads() (err error) {
	a.uploads, err = upload.New(upload.Config{
		DB: a.db, Files: a.files, Fetch: a.guard, URL: a.signedURL,
		MaxImage: int64(a.cfg.Uploads.MaxImage), MaxVideo: int64(a.cfg.Uploads.MaxVideo),
		KeepImage: a.cfg.Uploads.KeepImage.Std(), KeepVideo: a.cfg.Uploads.KeepVideo.Std(),
	})
	return err
}

// ingests lets the engine meet the service of source assets, which is made after it.
type ingests struct{ a *App }

func (i ingests) CheckURL(rawURL string) error { return i.a.assets.CheckURL(rawURL) }
func (i ingests) Nudge()                       { i.a.assets.Nudge() }
func (i ingests) Discard(ctx context.Context, a *kinora.SourceAsset) {
	i.a.assets.Discard(ctx, a)
}

func (a *App) wireAssets(node string) (err error) {
	c := a.cfg.Assets
	a.assets, err = asset.New(asset.Config{
		DB: a.db, Files: a.files, Fetch: a.guard, Node: node, Waiting: a.engine,
		MaxSize: int64(c.MaxSize), MinSide: c.MinSide, MaxSide: c.MaxSide, Memory: int64(c.Memory),
		FetchTimeout: c.FetchTimeout.Std(), MaxRedirects: c.MaxRedirects, Backoff: a.opts.Timing.Backoff,
		Logger: a.log, Metrics: a.registry,
	})
	return err
}

func (a *App) wireHTTP() error {
	path := ""
	if u, err := url.Parse(a.cfg.PublicURL); err == nil {
		path = u.Path
	}
	sc := server.Config{
		Authenticator: a.tenancy, Organisations: a.tenancy, Generations: a.engine, Callbacks: a.engine, Models: a.engine, Videos: a.engine,
		Files: a.files, FileSigner: a.signer, FileURL: a.fileURL, PreviewURL: a.previewURL, Catalogue: catalogue{a.engine, a.workflows}, Uploads: a.uploads, Assets: a.assets, Workflows: a.workflows, Streams: a.dispatcher,
		Admin:      a.admin(),
		Webhooks:   a.dispatcher,
		MasterKeys: a.keys,
		Accounts:   a.engine,
		Reviews:    a.engine,
		Operator:   a.operating, Installation: installation{a},
		People: a.people, DashboardURL: a.dashboardURL(),
		AdminToken: a.adminToken, CursorKeys: func() [][]byte { return a.ring.DeriveAll("list-cursors", 32) },
		Checks: []server.Check{
			{Name: "database", Run: a.db.Ping},
			{Name: "storage", Run: a.files.Check},
		},
		Registerer: a.registry, Logger: a.log,
		Limits: limits(a.cfg),
		Usage:  a.engine, JobsInFlight: a.cfg.Limits.JobsInFlight,
		MaxBody: int64(a.cfg.Limits.MaxBody), MaxInFlight: a.cfg.Limits.InFlight, OrganisationInFlight: a.cfg.Limits.PerOrganisation, MaxWait: a.cfg.Limits.MaxWait.Std(), PublicPath: path,
		TrustedProxies: prefixes(a.cfg.Network.TrustedProxies),
	}
	if a.dashboard != nil {
		sc.Dashboard = a.dashboard.Handler()
	}
	if a.cfg.Metrics {
		sc.Gatherer = a.registry
	}
	if a.db.Shared() {
		sc.SharedRates = a.db
	}
	s, err := server.New(sc)
	if err != nil {
		return err
	}
	a.server = s
	a.http = server.HTTPServer(server.HTTPConfig{Logger: a.log}, s.Handler())
	return nil
}

// limits are the rate limits that callers meet.
func limits(cfg config.Config) server.Limits {
	l := server.Limits{
		Submit: perMinute(cfg.Limits.SubmitPerMinute), Status: perMinute(cfg.Limits.ReadPerMinute),
		Upload: server.Limit{PerMinute: cfg.Uploads.PerMinute},
	}
	api := cfg.Limits.API
	l.AssetCreate, l.AssetRead = perMinute(api.SourceAssetsCreate), perMinute(api.SourceAssetsRead)
	l.Create, l.Generation, l.Regenerate = perMinute(api.GenerationsCreate), perMinute(api.GenerationsRead), perMinute(api.GenerationsRegenerate)
	l.Usage, l.Billing, l.SourceURL = perMinute(api.UsageSummary), perMinute(api.BillingEvents), perMinute(api.SourceURLFetches)
	l.PerAddress = api.PerAddress
	return l
}

// prices are what generations cost. A price that names nothing is told of: it may be a slip that costs money.
func (a *App) prices(models []kinora.Model) kinora.Prices {
	p := kinora.Prices{Models: map[string]kinora.Money{}, Workflows: map[string]kinora.Money{}}
	offered := map[string]bool{}
	for _, m := range models {
		offered[m.Name] = true
	}
	for name, price := range a.cfg.Prices.Models {
		p.Models[name] = kinora.Money(price)
		if !offered[name] {
			a.log.Warn("a price names a model that is not offered", "model", name)
		}
	}
	for _, w := range a.workflows.Describe() {
		if w.Price != nil {
			p.Workflows[w.Name] = *w.Price
		}
	}
	for name, price := range a.cfg.Prices.Workflows { // over what the files say
		p.Workflows[name] = kinora.Money(price)
		if a.workflows.Workflow(name) == nil {
			a.log.Warn("a price names a workflow that is not offered", "workflow", name)
		}
	}
	return p
}

// perMinute turns a configured rate, where 0 means none, into a limit.
func perMinute(n int) server.Limit {
	if n == 0 {
		return server.Limit{PerMinute: -1}
	}
	return server.Limit{PerMinute: n}
}

// routes are the providers, accounts and models that configuration names.
type routes struct {
	providers []provider.Provider
	accounts  []lifecycle.Account
	models    []kinora.Model
	// callbackURLs are where upstreams call back that do not need the public URL, by provider.
	callbackURLs map[string]string
}

func (a *App) routes() (routes, error) {
	workflows, err := comfyWorkflows(a.cfg.ComfyUI.Workflows)
	if err != nil {
		return routes{}, err
	}
	r := routes{providers: providers(workflows), callbackURLs: map[string]string{}}
	for _, acc := range a.cfg.Accounts {
		baseURL, err := accountURL(r.providers, acc)
		if err != nil {
			return r, err
		}
		a.warnOf(r.providers, providerAccount(acc, baseURL))
		r.accounts = append(r.accounts, lifecycle.Account{
			Account:     providerAccount(acc, baseURL),
			MaxInFlight: acc.MaxInFlight, PerMinute: acc.PerMinute, PerDay: acc.PerDay, ReadsPerMinute: acc.ReadsPerMin, Weight: acc.Weight, Retired: acc.Retired,
		})
	}
	if a.cfg.SandboxEnabled() {
		if err := a.addSandbox(&r); err != nil {
			return r, err
		}
	}
	r.models = offeredModels(a.cfg, r.providers, func(name string) bool { return hasAccount(r.accounts, name) })
	if err := checkModels(r.providers, r.models); err != nil {
		return r, err
	}
	return r, checkComfy(workflows, r.models)
}

// privateToken reads the token in a file, making it on first start.
func privateToken(path, prefix string) (string, error) {
	token, err := seal.ReadPrivate(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token = prefix + seal.NewKey().Text()
	if err := seal.CreatePrivate(path, token); err != nil {
		// Another start may have been quicker.
		if token, again := seal.ReadPrivate(path); again == nil {
			return token, nil
		}
		return "", err
	}
	return token, nil
}
