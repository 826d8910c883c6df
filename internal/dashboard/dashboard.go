// Package dashboard is the web dashboard: pages for persons who sign in, over the same services as the admin API and the
// command line. One file per area; ui draws what pages are made of. It keeps no state but open streams, and for a while which
// forms were sent and how they were answered (once.go). It decides nothing about generations, deliveries or persons: that is the
// services' own.
package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Prefix is the path that everything of the dashboard is below.
const Prefix = "/dashboard"

// People signs persons in and knows what they may do.
type People interface {
	// Setup makes the first person, who owns every organisation and runs the instance. token is the set-up link's.
	//
	// Errors: kinora.ErrNotFound for a token that is wrong or spent; kinora.ErrInvalid with the fields;
	// kinora.ErrUnavailable.
	Setup(ctx context.Context, token string, p kinora.NewPerson, v kinora.Visitor) (session string, err error)
	// SignIn opens a session. Errors: kinora.ErrUnauthorized, for whatever reason; kinora.ErrRateLimited;
	// kinora.ErrUnavailable.
	SignIn(ctx context.Context, email, password string, v kinora.Visitor) (session string, err error)
	// Session tells who is signed in by a session's token. Errors: kinora.ErrUnauthorized, kinora.ErrUnavailable.
	// It is a use of the session, which moves its end on; PeekSession is none.
	Session(ctx context.Context, session string) (*kinora.SignedIn, error)
	PeekSession(ctx context.Context, session string) (*kinora.SignedIn, error)
	SignOut(ctx context.Context, session string) error
	// UseOrganisation notes whose pages a person uses, so that the next sign-in leads there.
	UseOrganisation(ctx context.Context, personID, organisationID string)

	Sessions(ctx context.Context, personID string) ([]kinora.Session, error)
	EndSession(ctx context.Context, personID, sessionID string) error
	EndOtherSessions(ctx context.Context, personID, keep string) error
	// ChangePassword ends all sessions but keep, an id.
	ChangePassword(ctx context.Context, personID, old, new, keep string) error
	Rename(ctx context.Context, personID, name string) error

	// Invitation reads an open invitation by its link's token. Errors: kinora.ErrNotFound, kinora.ErrUnavailable.
	Invitation(ctx context.Context, token string) (*kinora.Invitation, error)
	// AcceptInvitation takes it up by choosing a password. Errors: kinora.ErrInvalid with the field; kinora.ErrConflict where the
	// address has an account.
	AcceptInvitation(ctx context.Context, token string, p kinora.NewPerson, v kinora.Visitor) (session string, err error)
	// JoinByLink takes it up for a person who is signed in. Errors: kinora.ErrForbidden for somebody else's.
	JoinByLink(ctx context.Context, personID, token string) error
	// Join and Decline answer an invitation of a person who is signed in, without its link. Errors: kinora.ErrNotFound.
	Join(ctx context.Context, personID, organisationID string) error
	Decline(ctx context.Context, personID, organisationID string) error
	// Leave ends a membership of one's own. Errors: kinora.ErrConflict for the last owner who can sign in.
	Leave(ctx context.Context, personID, organisationID string) error
}

// Organisations reads organisations. Errors: kinora.ErrNotFound, kinora.ErrUnavailable.
type Organisations interface {
	Organisation(ctx context.Context, id string) (*kinora.Organisation, error)
	// ListOrganisations returns all of them, oldest first.
	ListOrganisations(ctx context.Context) ([]*kinora.Organisation, error)
	// NewestOrganisations returns the limit made last, newest first.
	NewestOrganisations(ctx context.Context, limit int) ([]*kinora.Organisation, error)
	// OrganisationNames returns names by ids, without those that there are not.
	OrganisationNames(ctx context.Context, ids []string) (map[string]string, error)
}

// Config is all that a Dashboard works with. Everything is needed unless it says otherwise.
type Config struct {
	People          People
	Organisations   Organisations
	Generations     Generations
	Webhooks        Webhooks
	WebhookSettings WebhookSettings
	// WebhookTimeout is how long a receiver may take to answer, a test event's too.
	WebhookTimeout time.Duration
	Members        Members
	Settings       Settings
	Audit          Audit
	Keys           Keys
	Usage          Usage
	Assets         Assets
	Operating      Operating
	Installation   Installation
	Tenants        Tenants
	Persons        Persons
	// RateLimits are the limits that hold for an organisation, by kinora.RateKinds and "in_flight_jobs"; 0 = no limit.
	RateLimits func(*kinora.Organisation) map[string]int
	Reviews    Reviews
	Histories  Histories
	Inputs     Inputs
	API        API
	// Offers are what the playground can have made, in the order of its list.
	Offers func() []Offer
	// FileURL makes an address of a stored file that works for a while.
	FileURL func(key string) (address string, expires time.Time)
	// PreviewURL makes one of the small picture of a stored image, by its size in pixels; "" = it has none.
	PreviewURL func(key string, width, height int) string

	// Provider lets persons sign in by an identity provider. nil = there is none.
	Provider IdentityProvider

	// URL is where browsers reach the server, and what addresses of files begin with: scheme, host, and the path that a proxy
	// takes off, if any.
	URL string
	// ClientAddress tells the network address that a request comes from. nil = that of the peer.
	ClientAddress func(*http.Request) string
	// ClientNetwork tells what one client has of addresses: people who are not signed in are counted by it. nil = ClientAddress.
	ClientNetwork func(*http.Request) string
	Logger        *slog.Logger
	// Now is the clock. nil = time.Now.
	Now func() time.Time
}

// Dashboard answers requests of browsers. It is safe for concurrent use.
type Dashboard struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	origin  string // scheme and host of browsers' addresses
	base    string // path that a proxy takes off; usually empty
	secure  bool   // browsers come by https
	policy  string // content security policy
	files   *staticFiles
	routes  []route
	served  map[string]bool // patterns of the routes
	handler http.Handler

	looks     chan struct{} // places at which streams read
	sent      *sentForms
	streams   *crowd // pages that keep themselves up to date, by person
	persons   *crowd // requests, by person
	strangers *crowd // requests of those who are not signed in, by network
	// strangerTime is for what somebody sends who is not signed in.
	strangerTime time.Duration
	draining     context.Context // ends with Drain
	drain        context.CancelFunc
}

// New makes a Dashboard. It fails when cfg cannot be served.
func New(cfg Config) (*Dashboard, error) {
	if cfg.People == nil || cfg.Organisations == nil || cfg.Generations == nil || cfg.Logger == nil {
		return nil, errors.New("dashboard: a service is missing")
	}
	if cfg.Histories == nil || cfg.Inputs == nil || cfg.Reviews == nil || cfg.Offers == nil || cfg.API == nil || cfg.FileURL == nil {
		return nil, errors.New("dashboard: a service of the pages of generations, reviews or the playground is missing")
	}
	if cfg.Keys == nil || cfg.Usage == nil || cfg.Assets == nil || cfg.PreviewURL == nil || cfg.Members == nil || cfg.Settings == nil || cfg.Audit == nil || cfg.RateLimits == nil {
		return nil, errors.New("dashboard: a service of an organisation's own pages is missing")
	}
	if cfg.Webhooks == nil || cfg.WebhookSettings == nil {
		return nil, errors.New("dashboard: a service for webhooks is missing")
	}
	if cfg.Operating == nil || cfg.Installation == nil || cfg.Tenants == nil || cfg.Persons == nil {
		return nil, errors.New("dashboard: a service of the operator's area is missing")
	}
	at, err := url.Parse(cfg.URL)
	if err != nil || at.Host == "" {
		return nil, errors.New("dashboard: its URL cannot be used")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ClientAddress == nil {
		cfg.ClientAddress = func(r *http.Request) string { return r.RemoteAddr }
	}
	if cfg.ClientNetwork == nil {
		cfg.ClientNetwork = cfg.ClientAddress
	}
	origin := at.Scheme + "://" + at.Host
	d := &Dashboard{cfg: cfg, log: cfg.Logger, now: cfg.Now, origin: origin, base: strings.TrimSuffix(at.Path, "/"), secure: at.Scheme == "https",
		policy: policy(origin), looks: make(chan struct{}, maxLooks), sent: newSentForms(cfg.Now), streams: newCrowd(maxStreams, maxPersonStreams),
		persons: newCrowd(math.MaxInt, maxPersonRequests), strangers: newCrowd(maxStrangers, maxNetworkStrangers), strangerTime: strangerTime}
	if d.files, err = readStatic(); err != nil {
		return nil, err
	}
	d.draining, d.drain = context.WithCancel(context.Background())
	d.routes = d.allRoutes()
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(d.origin); err != nil {
		return nil, err
	}
	protection.SetDenyHandler(http.HandlerFunc(d.crossOrigin))
	mounted, err := d.mount()
	if err != nil {
		return nil, err
	}
	d.handler = protection.Handler(mounted)
	return d, nil
}

// Handler answers everything below Prefix.
func (d *Dashboard) Handler() http.Handler { return d.handler }

// Drain ends all streams, whose browsers come back to another node, or to this one while it still serves.
func (d *Dashboard) Drain() { d.drain() }

// link is the path of a page: the segments behind Prefix, each as it is.
func (d *Dashboard) link(segments ...string) string {
	var b strings.Builder
	b.WriteString(d.base + Prefix)
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// absolute is the whole address of a link, for use outside of the page.
func (d *Dashboard) absolute(link string) string { return d.origin + link }

// api is the whole address of a path of the API.
func (d *Dashboard) api(path string) string { return d.origin + d.base + path }

// has tells whether a page is served, by its pattern behind Prefix.
func (d *Dashboard) has(pattern string) bool { return d.served[Prefix+pattern] }

// policy is what browsers may do on our pages: load what is ours. Addresses of files have the public origin, whichever one the
// browser has come by.
func policy(public string) string {
	files := "'self' " + public
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src " + files + " data: blob:; media-src " + files +
		" blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}
