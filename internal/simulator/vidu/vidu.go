// Package vidu is a simulated Vidu: an HTTP server that behaves as the API documents of
// platform.vidu.com say, with real files as outputs, for tests and for whoever develops
// against Vidu without paying. What the outside makes of its answers is not its duty;
// that is provider/vidu, from which nothing here was taken.
//
// # Protocol
//
//	POST /ent/v2/{route}                 text2video, img2video, start-end2video, reference2video,
//	                                     reference2image, template, template-story, multiframe
//	GET  /ent/v2/tasks/{id}/creations    one task
//	GET  /ent/v2/tasks                   a page of tasks, newest first; task_ids, states, created_at.from and .to
//	POST /ent/v2/tasks/{id}/cancel       only before it is scheduled
//	GET  /files/{name}                   an output, without any key, under exactly the URL that was given out
//
// All but files want "Authorization: Token <key>"; Bearer is refused. An account runs
// five tasks at once, the others wait in their order. States are created, queueing,
// processing, success and failed; a callback tells of the last three, signed with the
// account's key over method, path, query and time, and not over the body.
//
// # Orders
//
// A caller steers his own task by words in the prompt, "a fox [[time=2s end=CreationPolicyViolation]]",
// or by the header of simulator.OrdersHeader; see orders.
package vidu

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Config says how a Simulator behaves. Accounts is required; everything else has a
// default.
type Config struct {
	// Accounts are who may use it.
	Accounts []Account
	// PublicURL is the start of output URLs, without a trailing slash; empty = the host
	// that a submit was sent to.
	PublicURL string
	// ImageTime and VideoTime are how long a task takes from its submit if no other one is
	// before it; 0 = 4 s and 10 s. A fifth of it, at most two seconds, is spent waiting.
	ImageTime, VideoTime time.Duration
	// OffPeakWait is how long an off-peak task waits instead; 0 = 1 min.
	OffPeakWait time.Duration
	// URLLife is how long an output can be read after the task's end; 0 = 24 h.
	URLLife time.Duration
	// MaxSide is the longest side of the files that are drawn, in pixels; 0 = as asked. Tests
	// that look at no picture save time with a small one, of at least 128.
	MaxSide int
	// Older omits the task's id from queries and callbacks, as older texts have it.
	Older bool
	// BareLists omits from list items what the documents do not name among their fields:
	// state, err_code and payload.
	BareLists bool
	// CallbackClient sends the callbacks; nil = one that reaches this machine only.
	CallbackClient *http.Client
	// CallbackPause is the wait before a callback's second try; the third comes twice as long
	// after that, and so on. 0 = 1 s.
	CallbackPause time.Duration
	// Clock is the time that tasks live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer, an organisation with one key.
type Account struct {
	// Key is the secret that requests carry, and that signs callbacks. Required.
	Key string
	// Concurrent is how many tasks run at once; 0 = 5.
	Concurrent int
	// Waiting is how many more may wait; beyond it the answer is QuotaExceeded. 0 = no limit.
	Waiting int
	// Credits are what the account owns; a submit that costs more is answered with
	// CreditInsufficient. 0 = no limit.
	Credits int
	// SubmitsPerSecond is the highest rate of submits, with bursts of as many; beyond it the
	// answer is TooManyRequests. 0 = no limit.
	SubmitsPerSecond float64
}

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ImageTime, 4*time.Second)
	def(&c.VideoTime, 10*time.Second)
	def(&c.OffPeakWait, time.Minute)
	def(&c.URLLife, 24*time.Hour)
	def(&c.CallbackPause, time.Second)
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
}

func (c *Config) validate() error {
	if len(c.Accounts) == 0 {
		return errors.New("vidu: at least one account is needed")
	}
	seen := map[string]bool{}
	for _, a := range c.Accounts {
		if a.Key == "" || seen[a.Key] {
			return errors.New("vidu: every account needs a key of its own")
		}
		seen[a.Key] = true
	}
	if c.MaxSide != 0 && c.MaxSide < render.MinVideoSide {
		return errors.New("vidu: files cannot be that small")
	}
	return nil
}

// Simulator is a simulated Vidu. It is an http.Handler.
type Simulator struct {
	cfg       Config
	clock     simulator.Clock
	mux       *http.ServeMux
	accounts  []*account
	faults    simulator.Faults
	schedule  *simulator.Schedule
	callbacks *simulator.Callbacks
	ownClient *http.Client // nil when the caller gave one
	renderer  *render.Renderer
	drawing   chan struct{} // one file at a time: drawing keeps a processor busy
	secret    [16]byte      // signs output URLs

	mu      sync.Mutex
	tasks   map[string]*task
	order   []*task // by submit
	events  eventHeap
	refused map[string]int // by payload, of those that want to be refused some times
	counts  counts
}

// account is an Account with its state; of the latter the lock is the simulator's.
type account struct {
	Account
	keyHash [sha256.Size]byte
	keyID   string
	limit   *rate.Limiter // nil = none
	credits int           // spent
	running int
	waiting []*task
}

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
	s := &Simulator{
		cfg: cfg, clock: cfg.Clock, renderer: renderer, drawing: make(chan struct{}, 1),
		secret: newSecret(), tasks: map[string]*task{}, refused: map[string]int{},
	}
	for i, a := range cfg.Accounts {
		if a.Concurrent == 0 {
			a.Concurrent = 5
		}
		acc := &account{Account: a, keyHash: sha256.Sum256([]byte(a.Key)), keyID: keyID(i)}
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
	s.routes()
	return s, nil
}

// callbacksAtOnce bounds how many receivers are waited for at the same time.
const callbacksAtOnce = 32

// Close stops what is planned and the callbacks. Requests under way end as their
// listener lets them. It may be called twice.
func (s *Simulator) Close() error {
	s.schedule.Close()
	if s.ownClient != nil {
		s.ownClient.CloseIdleConnections()
	}
	return nil
}

// Faults are the things that go wrong for every task alike. Operations are "submit",
// "poll", "list", "cancel" and "file".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

func (s *Simulator) routes() {
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, h func(http.ResponseWriter, *http.Request, *account) error) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(h)))
	}
	for word := range routes {
		handle("POST /ent/v2/"+word, "submit", func(w http.ResponseWriter, r *http.Request, a *account) error {
			return s.submit(w, r, a, word)
		})
	}
	handle("GET /ent/v2/tasks", "list", s.list)
	handle("GET /ent/v2/tasks/{id}/creations", "poll", s.query)
	handle("POST /ent/v2/tasks/{id}/cancel", "cancel", s.cancel)
	s.mux.Handle("GET /files/{name}", s.faults.Wrap("file", s.clock, s.file))
	s.mux.Handle("/", answerErrors(func(http.ResponseWriter, *http.Request) error {
		return problem("NotFound", "not found")
	}))
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// withAccount finds out who asks.
func (s *Simulator) withAccount(h func(http.ResponseWriter, *http.Request, *account) error) http.HandlerFunc {
	return answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Token ")
		hash := sha256.Sum256([]byte(key))
		for _, a := range s.accounts {
			// Comparing hashes in constant time tells nothing about the key.
			if subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 && ok {
				return h(w, r, a)
			}
		}
		s.count(func(c *counts) { c.unauthorized++ })
		return problem("Unauthorized", "unauthorized")
	})
}
