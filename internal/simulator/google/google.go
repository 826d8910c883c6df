// Package google is a simulated Google: an HTTP server that behaves as the contract
// upstream-google.md says, with real files as outputs, for tests and for whoever develops
// against Veo, Gemini Omni and Gemini images without paying. What the outside makes of its
// answers is not its duty; that is provider/google, from which nothing here was taken.
//
// # Protocol
//
//	POST /v1beta/models/{model}:predictLongRunning      Veo at the Gemini API; x-goog-api-key
//	GET  /v1beta/models/{model}/operations/{id}
//	POST /v1beta/models/{model}:generateContent         images, synchronous
//	POST /v1beta/interactions                           Omni; GET …/{id}, POST …/{id}/cancel, DELETE …/{id}
//	GET  /v1beta/files/{id}, …/{id}:download            with the key; PROCESSING for a while
//	POST /v1/projects/{p}/locations/{l}/publishers/google/models/{model}:predictLongRunning, :fetchPredictOperation, :generateContent
//	POST /v1beta1/projects/{p}/locations/global/interactions …   the same on Vertex, with a bearer token
//	GET  /storage/v1/b/{bucket}/o/{object}?alt=media    Cloud Storage, with a bearer token
//	POST /token                                         a service account's JWT for an access token
//	GET  /.well-known/jwks.json                         the keys of per-request webhooks
//
// A per-request webhook carries an RS256 JWT; it tells of ends that are no cancels, and for
// Veo of successes only.
//
// # Orders
//
// A caller steers his own job by words in the prompt, "a fox [[time=2s end=filtered]]", or by
// the header of simulator.OrdersHeader; see orders.
package google

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Config says how a Simulator behaves. Accounts is required; everything else has a default.
type Config struct {
	// Accounts are who may use it.
	Accounts []Account
	// ImageTime and VideoTime are how long a job takes from its submit; 0 = 4 s and 10 s.
	ImageTime, VideoTime time.Duration
	// FileTime is how long the file of an interaction is PROCESSING after its end; 0 = 1 s.
	FileTime time.Duration
	// TokenLife is how long an access token is good; 0 = 1 h.
	TokenLife time.Duration
	// MaxSide is the longest side of the files that are drawn, in pixels; 0 = as asked, as far as
	// the renderer goes. Tests that look at no picture save time with a small one, of at least 128.
	MaxSide int
	// CallbackClient sends the webhooks; nil = one that reaches this machine only.
	CallbackClient *http.Client
	// CallbackPause is the wait before a webhook's second try; 0 = 1 s.
	CallbackPause time.Duration
	// Clock is the time that jobs live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer: at the Gemini API by a key, or at Vertex by a project.
type Account struct {
	Key     string // of the Gemini API; empty = none
	Project string // on Vertex; empty = none
	// Email and PublicKey are those of the project's service account.
	Email     string
	PublicKey *rsa.PublicKey
}

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ImageTime, 4*time.Second)
	def(&c.VideoTime, 10*time.Second)
	def(&c.FileTime, time.Second)
	def(&c.TokenLife, time.Hour)
	def(&c.CallbackPause, time.Second)
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
}

func (c *Config) validate() error {
	if len(c.Accounts) == 0 {
		return errors.New("google: at least one account is needed")
	}
	for _, a := range c.Accounts {
		if (a.Key == "") == (a.Project == "") || a.Project != "" && (a.Email == "" || a.PublicKey == nil) {
			return errors.New("google: every account needs a key, or a project with a service account")
		}
	}
	if c.MaxSide != 0 && c.MaxSide < render.MinVideoSide {
		return errors.New("google: files cannot be that small")
	}
	return nil
}

// Simulator is a simulated Google. It is an http.Handler.
type Simulator struct {
	cfg       Config
	clock     simulator.Clock
	mux       *http.ServeMux
	faults    simulator.Faults
	schedule  *simulator.Schedule
	callbacks *simulator.Callbacks
	ownClient *http.Client // nil when the caller gave one
	renderer  *render.Renderer
	drawing   chan struct{} // one file at a time: drawing keeps a processor busy
	signer    *rsa.PrivateKey

	mu      sync.Mutex
	tokens  map[string]token // access tokens
	jobs    map[string]*job
	order   []*job // by submit
	refused map[string]int
	counts  counts
}

// callbacksAtOnce bounds how many receivers are waited for at the same time.
const callbacksAtOnce = 32

// New starts a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		cfg: cfg, clock: cfg.Clock, renderer: renderer, drawing: make(chan struct{}, 1), signer: signer,
		tokens: map[string]token{}, jobs: map[string]*job{}, refused: map[string]int{},
	}
	client := cfg.CallbackClient
	if client == nil {
		s.ownClient = simulator.LoopbackClient()
		client = s.ownClient
	}
	s.schedule = simulator.NewSchedule(s.clock, callbacksAtOnce)
	s.callbacks = simulator.NewCallbacks(s.schedule, s.clock, client, cfg.CallbackPause)
	s.routes()
	return s, nil
}

// Close stops what is planned and the webhooks. Requests under way end as their listener
// lets them. It may be called twice.
func (s *Simulator) Close() error {
	s.schedule.Close()
	if s.ownClient != nil {
		s.ownClient.CloseIdleConnections()
	}
	return nil
}

// Faults are the things that go wrong for every job alike. Operations are "submit", "poll",
// "cancel", "image", "file", "token" and "keys".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

// handler answers one call of an account.
type handler func(http.ResponseWriter, *http.Request, *Account) error

func (s *Simulator) routes() {
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, h handler) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(h)))
	}
	// A model and its method stand in one segment, parted by a colon.
	methods := func(pattern string, known map[string]handler, ops map[string]string) {
		byMethod := map[string]http.Handler{}
		for method, h := range known {
			byMethod[method] = s.faults.Wrap(ops[method], s.clock, s.withAccount(h))
		}
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			model, method, _ := strings.Cut(r.PathValue("call"), ":")
			h := byMethod[method]
			if h == nil {
				notFound(w, r)
				return
			}
			r.SetPathValue("model", model)
			h.ServeHTTP(w, r)
		})
	}
	ops := map[string]string{"predictLongRunning": "submit", "fetchPredictOperation": "poll", "generateContent": "image"}
	methods("POST /v1beta/models/{call}", map[string]handler{"predictLongRunning": s.predict, "generateContent": s.generate}, ops)
	methods("POST /v1/projects/{project}/locations/{location}/publishers/google/models/{call}",
		map[string]handler{"predictLongRunning": s.predict, "generateContent": s.generate, "fetchPredictOperation": s.fetchOperation}, ops)
	handle("GET /v1beta/models/{model}/operations/{id}", "poll", s.operation)
	for _, at := range []string{"/v1beta/interactions", "/v1beta1/projects/{project}/locations/global/interactions"} {
		handle("POST "+at, "submit", s.interact)
		handle("GET "+at+"/{id}", "poll", s.interaction)
		handle("POST "+at+"/{id}/cancel", "cancel", s.cancel)
		handle("DELETE "+at+"/{id}", "delete", s.forget)
	}
	handle("GET /v1beta/files/{file}", "file", s.file)
	handle("GET /storage/v1/b/{bucket}/o/{object}", "file", s.object)
	s.mux.Handle("GET /cdn/{id}", s.faults.Wrap("file", s.clock, answerErrors(s.cdn)))
	s.mux.Handle("POST /token", s.faults.Wrap("token", s.clock, s.grant))
	s.mux.Handle("GET /.well-known/jwks.json", s.faults.Wrap("keys", s.clock, s.publish))
	s.mux.HandleFunc("/", notFound)
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }
