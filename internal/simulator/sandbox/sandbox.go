// Package sandbox is an image and video generator that needs nothing but this
// process: an HTTP server with the habits of a real asynchronous upstream (submit,
// poll, cancel, signed callbacks, output URLs that expire, errors of every kind)
// whose outputs are real files, drawn from the prompt by package render.
//
// It is what a newcomer runs before having any account, and what tests and the
// benchmark drive: each job may ask for its own misfortune (see Options), and the
// server counts what it was asked to do, so that a test can prove that nothing was
// submitted twice.
//
// It keeps no pixels: a file is drawn when it is downloaded. It runs no goroutine
// per job: a job's state is reckoned from its times whenever somebody looks. What
// the outside world makes of its answers is not its duty; that is provider/sandbox.
//
// # Protocol
//
//	POST /v1/jobs                     submit            → {"id":"sbx_…","status":"queued"}
//	GET  /v1/jobs/{id}                one job
//	GET  /v1/jobs?ids=a,b,c           up to 200 jobs; unknown ids are left out
//	GET  /v1/jobs?client_ref=…        every job with that reference, oldest first
//	POST /v1/jobs/{id}/cancel         409 once it has ended
//	GET  /v1/files/{name}             an output; 410 once its URL has expired
//	GET  /v1/admin/stats              what was asked of the server; needs the admin key
//
// All but files want "Authorization: Bearer <key>". Errors are
// {"error":{"code","message","param"}}; the codes are the class words of package
// provider, and "internal" for a fault. A submit that is answered 4xx, or 503 with
// the code "unavailable", has created nothing; after any other 5xx the reference
// tells. Times are unix milliseconds.
package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// The models. Those that end in "-callback" call the submit's callback_url; the
// others can only be polled.
const (
	ImageModel         = "sandbox-image"
	VideoModel         = "sandbox-video"
	ImageCallbackModel = "sandbox-image-callback"
	VideoCallbackModel = "sandbox-video-callback"
)

// MaxIDs is how many jobs one query may name.
const MaxIDs = 200

// Config says how a Server behaves. Accounts is required; everything else has a
// default.
type Config struct {
	// Accounts are who may use the server.
	Accounts []Account
	// AdminKey opens the statistics; empty = nobody sees them over HTTP.
	AdminKey string
	// PublicURL is the start of output URLs, without a trailing slash; empty = the
	// host that a request was sent to.
	PublicURL string
	// ImageDelay and VideoDelay are how long a generation takes when the job does
	// not say; 0 = 400 ms and 1.5 s.
	ImageDelay, VideoDelay time.Duration
	// URLLife is how long an output can be downloaded after the job's end; 0 = 1 h.
	URLLife time.Duration
	// KeepFinished is how many ended jobs are remembered, the latest; 0 = 10,000.
	KeepFinished int
	// Journal is a file to which every accepted job is written before it is answered,
	// and from which a new Server takes up the jobs of an earlier one; empty = none.
	Journal string
	// CallbackClient sends the callbacks; nil = one that reaches this machine only.
	// Whoever lets strangers choose callback URLs gives one with a guarded dialer.
	CallbackClient *http.Client
	// ReferenceClient fetches the reference images of image jobs; nil = one that reaches
	// this machine only. As with callbacks, strangers' URLs want a guarded dialer. What
	// cannot be fetched, or is no image, leaves the job a scene drawn from its prompt.
	ReferenceClient *http.Client
	// CallbackPause is the wait before a callback's second try; the third comes after
	// twice that. 0 = 1 s.
	CallbackPause time.Duration
	// Clock is the time that jobs live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer of the sandbox.
type Account struct {
	// Key is the secret that requests carry. Required.
	Key string
	// WebhookSecret signs this account's callbacks by the Standard Webhooks scheme:
	// "whsec_" and base64. Empty = unsigned.
	WebhookSecret string
	// SubmitsPerSecond is the highest rate of submits, with bursts of as many;
	// beyond it the answer is 429. 0 = no limit.
	SubmitsPerSecond float64
	// MaxInFlight is how many jobs may be unfinished at once; beyond it the answer
	// is 429. 0 = no limit.
	MaxInFlight int
}

func (c *Config) setDefaults() {
	if c.ImageDelay == 0 {
		c.ImageDelay = 400 * time.Millisecond
	}
	if c.VideoDelay == 0 {
		c.VideoDelay = 1500 * time.Millisecond
	}
	if c.URLLife == 0 {
		c.URLLife = time.Hour
	}
	if c.KeepFinished == 0 {
		c.KeepFinished = 10_000
	}
	if c.CallbackPause == 0 {
		c.CallbackPause = time.Second
	}
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
}

func (c *Config) validate() error {
	if len(c.Accounts) == 0 {
		return errors.New("sandbox: no account is configured")
	}
	for i, a := range c.Accounts {
		if a.Key == "" {
			return fmt.Errorf("sandbox: account %d has no key", i)
		}
		if _, err := newSigner(a.WebhookSecret); err != nil {
			return fmt.Errorf("sandbox: account %d: %w", i, err)
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || strings.HasSuffix(c.PublicURL, "/") {
			return errors.New("sandbox: PublicURL must be an absolute URL without a trailing slash")
		}
	}
	if c.KeepFinished < 0 || c.ImageDelay < 0 || c.VideoDelay < 0 || c.URLLife < 0 || c.CallbackPause < 0 {
		return errors.New("sandbox: a limit or a duration is negative")
	}
	return nil
}

// Server is the sandbox. It is an http.Handler; its methods are safe for
// concurrent use.
type Server struct {
	cfg       Config
	clock     simulator.Clock
	mux       *http.ServeMux
	accounts  []*account
	jobs      *registry
	faults    simulator.Faults
	journal   *simulator.Journal // nil = none
	schedule  *simulator.Schedule
	callbacks *simulator.Callbacks
	ownClient *http.Client // nil when the caller gave one
	gallery   *gallery
	refusals  refusals
	spoiled   tally // pictures by prompt, for ImageTimes
	counts    counters
}

// account is an Account with its state.
type account struct {
	index   int // in Config.Accounts: what the journal stores
	keyHash [sha256.Size]byte
	signer  signer
	limit   *rate.Limiter // nil = none
	max     int
}

// New starts a Server and takes up the jobs that its journal holds. Close it.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, clock: cfg.Clock, jobs: newRegistry(cfg.KeepFinished), gallery: newGallery(renderer, newReferences(cfg.ReferenceClient))}
	for i, a := range cfg.Accounts {
		signer, err := newSigner(a.WebhookSecret)
		if err != nil {
			return nil, fmt.Errorf("sandbox: account %d: %w", i, err)
		}
		acc := &account{index: i, keyHash: sha256.Sum256([]byte(a.Key)), signer: signer, max: a.MaxInFlight}
		if a.SubmitsPerSecond > 0 {
			acc.limit = rate.NewLimiter(rate.Limit(a.SubmitsPerSecond), max(int(a.SubmitsPerSecond), 1))
		}
		s.accounts = append(s.accounts, acc)
	}
	client := cfg.CallbackClient
	if client == nil {
		s.ownClient = simulator.LoopbackClient()
		client = s.ownClient
	}
	s.schedule = simulator.NewSchedule(s.clock, callbacksAtOnce)
	s.callbacks = simulator.NewCallbacks(s.schedule, s.clock, client, cfg.CallbackPause)
	if err := s.openJournal(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.routes()
	return s, nil
}

// callbacksAtOnce bounds how many receivers are waited for at the same time.
const callbacksAtOnce = 32

// Close stops the callbacks and closes the journal. Requests under way end as
// their listener lets them. It may be called twice.
func (s *Server) Close() error {
	s.schedule.Close()
	s.gallery.references.close()
	if s.ownClient != nil {
		s.ownClient.CloseIdleConnections()
	}
	if s.journal == nil {
		return nil
	}
	j := s.journal
	s.journal = nil
	return j.Close()
}

// Faults are the things that go wrong for every job alike. Operations are
// "submit", "poll", "cancel" and "file".
func (s *Server) Faults() *simulator.Faults { return &s.faults }

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, h func(http.ResponseWriter, *http.Request, *account) error) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(h)))
	}
	handle("POST /v1/jobs", "submit", s.submit)
	handle("GET /v1/jobs", "poll", s.query)
	handle("GET /v1/jobs/{id}", "poll", s.poll)
	handle("POST /v1/jobs/{id}/cancel", "cancel", s.cancel)
	s.mux.Handle("GET /v1/files/{name}", s.faults.Wrap("file", s.clock, answerErrors(s.file)))
	s.mux.Handle("GET /v1/admin/stats", answerErrors(s.adminStats))
	s.mux.Handle("/", answerErrors(func(http.ResponseWriter, *http.Request) error {
		return problem(http.StatusNotFound, "not_found", "", "there is nothing at this path")
	}))
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// withAccount finds out who asks.
func (s *Server) withAccount(h func(http.ResponseWriter, *http.Request, *account) error) http.HandlerFunc {
	return answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		key, ok := bearer(r)
		if !ok {
			return problem(http.StatusUnauthorized, "credential", "", "the Authorization header must be \"Bearer\" and a key")
		}
		hash := sha256.Sum256([]byte(key))
		var found *account
		for _, a := range s.accounts {
			// Comparing hashes in constant time tells nothing about the key.
			if subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 {
				found = a
			}
		}
		if found == nil {
			s.counts.unauthorized.Add(1)
			return problem(http.StatusUnauthorized, "credential", "", "the key is not known")
		}
		return h(w, r, found)
	})
}

func bearer(r *http.Request) (key string, ok bool) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return key, ok && strings.EqualFold(scheme, "Bearer") && key != ""
}

// hold waits while a request's misfortune lasts.
func (s *Server) hold(ctx context.Context, d time.Duration) {
	if simulator.Hold(ctx, s.clock, d) != nil {
		simulator.Abort() // the caller has left
	}
}
