package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/provider"
)

// Authenticator tells whose key a request carries.
type Authenticator interface {
	// Authenticate returns the live key whose text is key, and its organisation.
	//
	// Errors: kinora.ErrUnauthorized for an unknown or revoked key, kinora.ErrForbidden when the organisation may not
	// use the API, kinora.ErrUnavailable.
	Authenticate(ctx context.Context, key string) (*kinora.Key, *kinora.Organisation, error)
}

// Generations accepts generations and reads them.
type Generations interface {
	// Accept makes a generation durable, or answers a repeat with the earlier one.
	//
	// Errors: kinora.ErrInvalid with a message that names the field, kinora.ErrConflict, kinora.ErrForbidden,
	// kinora.ErrRateLimited, kinora.ErrNoUpstream, kinora.ErrUnavailable.
	Accept(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error)
	// Generation reads one generation of an organisation and those of its outputs whose files are still kept, in order.
	//
	// Errors: kinora.ErrNotFound, for a foreign generation too; kinora.ErrUnavailable.
	Generation(ctx context.Context, organisationID, id string) (*kinora.Generation, []kinora.Output, error)
	// Cancel ends a generation of an organisation; one that is cancelled already is returned again.
	//
	// Errors: kinora.ErrNotFound, for a foreign generation too; kinora.ErrConflict when it has ended otherwise;
	// kinora.ErrUnavailable.
	Cancel(ctx context.Context, organisationID, id string) (*kinora.Generation, error)
	// Ended returns a channel that is closed when the generation ends, or soon after. It tells of ends to come: whoever
	// has called it must look once whether the generation has ended already. leave must be called in the end.
	Ended(id string) (ended <-chan struct{}, leave func())
	// Search reads a page of an organisation's generations, newest first. before is what the page before returned as
	// next; next is "" on the last page. A page may be short, or empty, and have a next one.
	//
	// Errors: kinora.ErrUnavailable.
	Search(ctx context.Context, organisationID string, q kinora.GenerationSearch, before string, limit int) (page []kinora.Listed, next string, err error)
	// AcceptCached is Accept for a submission that approved outputs may answer; nil = there are none, and Accept is to be
	// called. Errors as for Accept.
	AcceptCached(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error)
	// Recall answers a repeated write with the generation that its first try made; nil = there is none.
	//
	// Errors: kinora.ErrConflict when the key stands for another request; kinora.ErrUnavailable.
	Recall(ctx context.Context, organisationID string, once kinora.Idempotency) (*kinora.Accepted, error)
	// Outlook tells what is known of the rest of a generation's way; zero for one that has ended.
	//
	// Errors: kinora.ErrUnavailable.
	Outlook(ctx context.Context, g *kinora.Generation) (kinora.Outlook, error)
	// Standings tells how generations stand; those that are not there are left out.
	//
	// Errors: kinora.ErrUnavailable.
	Standings(ctx context.Context, ids []string) (map[string]kinora.Standing, error)
}

// Callbacks takes what upstreams post on the URLs of attempts.
type Callbacks interface {
	// Callback checks an inbound call and acts on it. It must be fast: upstreams give up after about three seconds.
	//
	// Errors: kinora.ErrNotFound when no attempt of that provider has the token, kinora.ErrUnauthorized for a bad
	// signature, kinora.ErrInvalid for a body that cannot be read, kinora.ErrUnavailable.
	Callback(ctx context.Context, providerName, token string, in provider.InboundCallback) (provider.Callback, error)
}

// Files opens stored files. Every blob.Store is a Files.
type Files interface {
	// Open returns the object under key, or an error of kind blob.ErrNotFound, blob.ErrInvalidKey, blob.ErrDenied or
	// blob.ErrUnavailable. The server closes it.
	Open(ctx context.Context, key string) (blob.Object, error)
}

// FileSigner checks the signature of a file's URL. A *blob.Signer is one.
type FileSigner interface {
	// Verify returns when the URL expires, or blob.ErrSignature or blob.ErrExpired. path is the decoded URL path.
	Verify(path, query string, now time.Time) (expires time.Time, err error)
}

// Models lists the models that callers may name, in the order in which they are to be shown.
type Models interface {
	Models() []kinora.Model
}

// Check is one condition of readiness.
type Check struct {
	Name string // lower-case word, such as "database"
	// Run returns nil when all is well. It must heed ctx. Its error is logged, never shown to who asks.
	Run func(ctx context.Context) error
}

// Config is all that a Server works with. Generations, Authenticator, Files, FileSigner, FileURL and Logger are needed;
// a surface whose service is nil is not served.
type Config struct {
	Authenticator Authenticator
	Organisations Organisations // nil: nobody acts without a key, see As
	Generations   Generations
	Callbacks     Callbacks // nil: no inbound callbacks
	Files         Files
	FileSigner    FileSigner
	// FileURL makes a fresh signed URL for the object under blobKey and says when it expires.
	FileURL func(blobKey string) (url string, expires time.Time)
	// PreviewURL makes one for the small picture of an image, by the image's key and size in pixels; "" = it has none. nil:
	// nothing has one.
	PreviewURL func(blobKey string, width, height int) string
	Models     Models // nil: no model list
	// Catalogue describes models and workflows; nil: nothing does.
	Catalogue Catalogue
	Videos    Videos  // nil: no /v1/videos
	Uploads   Uploads // nil: no uploads
	Assets    Assets  // nil: no source assets, and no generations made from them
	// Workflows is what generations are made by; nil: none are made by the generations API. It needs Assets.
	Workflows Workflows
	Streams   Streams // nil: no streams of events
	Admin     Admin   // nil: no admin API
	// MasterKeys is the admin API's part for them; nil: none.
	MasterKeys MasterKeys
	// Webhooks serves the admin API's deliveries, replays and test events; nil: they are not served.
	Webhooks Webhooks
	// Accounts is the admin API's part for upstream accounts; nil: none.
	Accounts Accounts
	// Reviews is its part for generations that wait for a person; nil: none.
	Reviews Reviews
	// People keeps the persons who sign in to the dashboard, for the admin API; nil: it has no routes for them.
	People People
	// DashboardURL is where browsers find the dashboard: what links for persons begin with.
	DashboardURL string
	// Dashboard answers browsers below DashboardPath, in whatever way it likes; nil: there is none.
	Dashboard http.Handler
	// Operator is its part for whoever runs the server; nil: none.
	Operator Operator
	// Installation is its part for what is installed and offered; nil: none.
	Installation Installation
	// AdminToken opens the admin API. Empty: no admin API. At least MinAdminToken bytes.
	AdminToken string
	// CursorKeys prove that the cursors of lists were given out here; the first one signs, all
	// are accepted. Nodes of one database need the same. nil: cursors end with the process.
	CursorKeys func() [][]byte

	Checks     []Check               // of /readyz
	Gatherer   prometheus.Gatherer   // shown at /metrics; nil: no such route
	Registerer prometheus.Registerer // where the server's own metrics go; nil: nowhere
	Logger     *slog.Logger

	Usage  Usage // nil: no usage and no billing events
	Limits Limits
	// SharedRates counts the limits of the generations API for all nodes. nil: this node is the only one.
	SharedRates SharedRates
	// JobsInFlight is how many jobs of the generations API an organisation may have in flight, for the summary; whoever
	// accepts them holds it. 0: no limit.
	JobsInFlight int
	// MaxBody is the largest JSON body, in bytes. 0 means DefaultMaxBody.
	MaxBody int64
	// MaxInFlight is how many requests are worked on at once; what exceeds it is answered with 503. Uploads and
	// downloads are counted apart, by MaxTransfers; inbound callbacks, the admin API and what comes by As may each be a
	// quarter of MaxInFlight beside it. A request whose body is still awaited is not worked on: see body.go. Neither is one that is
	// held until a generation ends, of which there may be as many again: see wait.go. 0 means DefaultMaxInFlight and
	// DefaultMaxTransfers.
	MaxInFlight, MaxTransfers int
	// OrganisationInFlight is how many of MaxInFlight one organisation may hold; what exceeds it is answered with 429. 0
	// means a half. Of MaxTransfers it is always a half.
	OrganisationInFlight int
	// RequestTimeout bounds the work on one request, uploads and downloads excepted. 0 means DefaultRequestTimeout.
	RequestTimeout time.Duration
	// MaxWait is how long a request is held at most until its generation ends. 0 means DefaultMaxWait.
	MaxWait time.Duration
	// TrustedProxies are the addresses whose X-Forwarded-For is believed. Empty: the peer is the client.
	TrustedProxies []netip.Prefix
	// PublicPath is the path of the public base URL where a proxy takes it off before requests get here; usually
	// empty. Upstreams sign the path that they were given, so inbound callbacks are judged by the whole of it.
	PublicPath string
	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// Defaults and bounds of Config.
const (
	DefaultMaxBody        = 1 << 20
	DefaultMaxInFlight    = 2048
	DefaultMaxTransfers   = 512
	DefaultRequestTimeout = 30 * time.Second
	DefaultMaxWait        = 5 * time.Minute
	MinAdminToken         = 16
)

// Server answers HTTP requests. It is safe for concurrent use and has nothing to close.
type Server struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	routes  []route
	handler http.Handler
	// dashboard is what browsers are answered by; nil = nothing.
	dashboard *route
	limits    *limiter
	metrics   *metrics
	cursors   cursors
	admin     [32]byte // SHA-256 of the admin token

	inFlight, actors, transfers, held, streams, inbound, operators, browsers *gate

	bodies, news, orders *budget // memory for the bodies of requests, of inbound callbacks, and of the admin API

	listening *perKey         // streams of all events
	following *perKey         // streams about one generation
	follows   *follows        // the generations that those are about
	heartbeat time.Duration   // of streams
	draining  context.Context // ends with Drain
	drain     context.CancelFunc

	unheard unheard // generations whose callers were not told of them

	overload sampled // log lines about refusals that can come by the thousand

	ready readiness
}

// sampled lets something happen at most once a second.
type sampled struct {
	mu   sync.Mutex
	last time.Time
}

func (s *sampled) allow(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < time.Second {
		return false
	}
	s.last = now
	return true
}

// New returns a Server. It fails when cfg cannot be served.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, now: cfg.Now,
		limits:    newLimiter(cfg.Limits, cfg.SharedRates, cfg.Now),
		cursors:   newCursors(cfg.CursorKeys),
		inFlight:  newGate(cfg.MaxInFlight, cfg.OrganisationInFlight),
		actors:    newGate(max(1, cfg.MaxInFlight/4), 0),
		transfers: newGate(cfg.MaxTransfers, 0),
		held:      newGate(cfg.MaxInFlight, cfg.OrganisationInFlight),
		streams:   newGate(maxStreams, 0),
		listening: newPerKey(maxStreamsPerKey),
		following: newPerKey(maxFollowsPerKey),
		heartbeat: streamHeartbeat,
		inbound:   newGate(max(1, cfg.MaxInFlight/4), 0),
		operators: newGate(max(1, cfg.MaxInFlight/4), 0),
		browsers:  newGate(maxBrowsing, 0),
		bodies:    newBudget(cfg.MaxBody),
		news:      newBudget(maxCallbackBody),
		orders:    newBudget(cfg.MaxBody),
		admin:     tokenDigest(cfg.AdminToken),
	}
	s.draining, s.drain = context.WithCancel(context.Background())
	s.follows = newFollows(s.draining, cfg.Generations.Standings)
	s.ready.checks = cfg.Checks
	s.routes = s.allRoutes()
	var err error
	s.dashboard = s.dashboardRoute()
	if s.metrics, err = newMetrics(cfg.Registerer, s.routes, s.dashboard); err != nil {
		return nil, err
	}
	s.handler = s.mount()
	return s, nil
}

// Handler returns the handler of all routes.
func (s *Server) Handler() http.Handler { return s.handler }
