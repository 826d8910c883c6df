// Package openai simulates OpenAI's image and video routes as the vendor documents them, and two
// servers of one's own that speak the same dialect with differences: SGLang and vLLM-Omni. It is
// written from their documentation and knows nothing of the provider that Kinora reaches them with.
//
// It makes real files, drawn from the prompt, and costs nothing. A job's state is reckoned from its
// times whenever somebody looks.
//
// # Routes
//
//	POST   /v1/videos                  submit a video, as JSON or as a form
//	GET    /v1/videos                  many: after, limit, order
//	GET    /v1/videos/{id}             one
//	GET    /v1/videos/{id}/content     its file, with the key
//	DELETE /v1/videos/{id}             forgets an ended one
//	POST   /v1/images/generations      images, in the answer or as a stream
//	POST   /v1/images/edits            likewise, as JSON or as a form
//	POST   /v1/responses               an image in the background
//	GET    /v1/responses/{id}          one, with its image
//	POST   /v1/responses/{id}/cancel   ends one that runs
//	DELETE /v1/responses/{id}          forgets one
//
// What goes wrong on demand is said in the prompt, or in a header: see orders.
package openai

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Dialect is whose server is simulated.
type Dialect string

const (
	Vendor Dialect = ""       // OpenAI itself: seconds are strings
	SGLang Dialect = "sglang" // seconds are integers, nothing between queued and completed is shown
	VLLM   Dialect = "vllm"   // videos are submitted as forms only
)

// Config says how a Simulator behaves. Accounts is required for the vendor's dialect; everything
// else has a default.
type Config struct {
	Dialect Dialect
	// Accounts are who may use it; none = whoever asks, without a key.
	Accounts []Account
	// VideoTime, ImageTime and ResponseTime are how long a job takes; 0 = 10 s, 4 s and 6 s. A
	// fifth of it is spent in the queue.
	VideoTime, ImageTime, ResponseTime time.Duration
	// FileLife is how long a video can be fetched; 0 = 1 h.
	FileLife time.Duration
	// ResponseLife is how long a response is kept that was not to be stored; 0 = 10 min.
	ResponseLife time.Duration
	// MaxSide bounds the longer side of the files in pixels, for speed; 0 = what was asked for,
	// as far as the renderer goes.
	MaxSide int
	// Keep is how many ended jobs are remembered; 0 = all.
	Keep int
	// Retired are models that are answered with model_not_found.
	Retired []string
	// Clock is the time that jobs live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer.
type Account struct {
	// Key is the API key. Required.
	Key string
	// PerMinute is how many submits are taken in a minute; beyond it the answer is 429
	// rate_limit_exceeded. 0 = no limit.
	PerMinute int
	// Broke answers every submit with 429 insufficient_quota.
	Broke bool
	// Unverified answers every image call with 403.
	Unverified bool
}

func (c *Config) setDefaults() {
	for value, usual := range map[*time.Duration]time.Duration{
		&c.VideoTime: 10 * time.Second, &c.ImageTime: 4 * time.Second, &c.ResponseTime: 6 * time.Second,
		&c.FileLife: time.Hour, &c.ResponseLife: 10 * time.Minute,
	} {
		if *value == 0 {
			*value = usual
		}
	}
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
}

func (c *Config) validate() error {
	switch c.Dialect {
	case Vendor:
		if len(c.Accounts) == 0 {
			return errors.New("openai: no account is configured")
		}
	case SGLang, VLLM:
	default:
		return fmt.Errorf("openai: there is no dialect %q", c.Dialect)
	}
	for i, a := range c.Accounts {
		if a.Key == "" || a.PerMinute < 0 {
			return fmt.Errorf("openai: account %d has no key, or a negative limit", i)
		}
	}
	for _, d := range []time.Duration{c.VideoTime, c.ImageTime, c.ResponseTime, c.FileLife, c.ResponseLife} {
		if d < 0 {
			return errors.New("openai: a duration is negative")
		}
	}
	return nil
}

// Simulator is the upstream. It is an http.Handler; its methods are safe for concurrent use.
type Simulator struct {
	cfg      Config
	clock    simulator.Clock
	mux      *http.ServeMux
	accounts []*account
	faults   simulator.Faults
	renderer *render.Renderer
	drawing  chan struct{} // a place for each file that is being drawn

	mu    sync.Mutex
	jobs  map[string]*job
	order []*job // oldest first
	tries map[string]int
	stats Stats
}

// account is an Account with its state.
type account struct {
	Account
	keyHash [sha256.Size]byte
	limit   *rate.Limiter // nil = none
}

// New makes a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	s := &Simulator{cfg: cfg, clock: cfg.Clock, renderer: renderer, drawing: make(chan struct{}, 2), jobs: map[string]*job{}, tries: map[string]int{}}
	for _, a := range cfg.Accounts {
		one := &account{Account: a, keyHash: sha256.Sum256([]byte(a.Key))}
		if a.PerMinute > 0 {
			one.limit = rate.NewLimiter(rate.Limit(float64(a.PerMinute)/60), a.PerMinute)
		}
		s.accounts = append(s.accounts, one)
	}
	s.routes()
	return s, nil
}

// Close ends the simulator, which holds nothing that outlives it.
func (s *Simulator) Close() error { return nil }

// Faults are the things that go wrong for everybody alike. Operations are "submit", "poll",
// "list", "delete", "image", "cancel" and "file".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

func (s *Simulator) routes() {
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, h func(http.ResponseWriter, *http.Request, *account) error) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(h)))
	}
	handle("POST /v1/videos", "submit", s.submitVideo)
	handle("GET /v1/videos", "list", s.listVideos)
	handle("GET /v1/videos/{id}", "poll", s.video)
	handle("GET /v1/videos/{id}/content", "file", s.content)
	handle("DELETE /v1/videos/{id}", "delete", s.deleteVideo)
	handle("POST /v1/images/generations", "image", s.images)
	handle("POST /v1/images/edits", "image", s.images)
	if s.cfg.Dialect == Vendor {
		handle("POST /v1/responses", "submit", s.submitResponse)
		handle("GET /v1/responses/{id}", "poll", s.response)
		handle("POST /v1/responses/{id}/cancel", "cancel", s.cancelResponse)
		handle("DELETE /v1/responses/{id}", "delete", s.deleteResponse)
	}
	s.mux.Handle("/", s.answerErrors(func(http.ResponseWriter, *http.Request) error {
		return &problem{status: http.StatusNotFound, kind: invalidRequest, message: "Invalid URL"}
	}))
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// withAccount finds out who asks.
func (s *Simulator) withAccount(h func(http.ResponseWriter, *http.Request, *account) error) http.HandlerFunc {
	return s.answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		if len(s.accounts) == 0 {
			return h(w, r, &account{})
		}
		scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		hash := sha256.Sum256([]byte(key))
		for _, a := range s.accounts {
			// Comparing hashes in constant time tells nothing about the key.
			if scheme == "Bearer" && subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 {
				return h(w, r, a)
			}
		}
		return refuse("invalid_api_key", "", "Incorrect API key provided.")
	})
}
