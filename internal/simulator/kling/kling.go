// Package kling is a simulated Kling: an HTTP server that behaves as Kling's API
// documents say, with real files as outputs, for tests and for whoever develops against
// Kling without paying. What the outside makes of its answers is not its duty; that is
// provider/kling, from which nothing here was taken.
//
// # Protocol
//
// The older family names the model in the body:
//
//	POST /v1/videos/{route}        text2video, image2video, multi-image2video, motion-control, omni-video
//	POST /v1/images/{route}        generations, omni-image, multi-image2image
//	GET  /v1/…/{route}/{id}        one task, by its id or its external_task_id; only where it was submitted
//	GET  /v1/…/{route}             a page of tasks, newest first; pageNum, pageSize
//
// The newer one has the model in the path, and takes API keys only:
//
//	POST /{route}/{model}          text-to-video, image-to-video, motion-control, omni-video
//	GET  /tasks                    tasks by task_ids or external_task_ids, separated by commas
//	POST /tasks                    a page of tasks, newest first
//
// All want "Authorization: Bearer", with the API key or, for the older family, a token
// (HS256) made from access key and secret key. Answers are {code, message, request_id,
// data}; files are read at the URLs that were given out, without any key. A callback
// tells of each state: submitted, processing, and the end.
//
// What the documents leave open is answered like this: an external_task_id that was used
// before with 400 and 1201; a task that is not there with 404 and 1203; callbacks of the
// older family are signed like those of the newer, and none is repeated.
//
// # Orders
//
// A caller steers his own task by words in the prompt, "a fox [[time=2s end=risk]]", or
// by the header of simulator.OrdersHeader; see orders.
package kling

import (
	"errors"
	"net/http"
	"sync"
	"time"

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
	// ImageTime and VideoTime are how long a task takes from its submit to its end; 0 = 5 s
	// and 15 s. A fifth of it, at most two seconds, is spent waiting.
	ImageTime, VideoTime time.Duration
	// URLLife is how long an output can be read after the task's end; 0 = 30 days.
	URLLife time.Duration
	// MaxSide is the longest side of the files that are drawn, in pixels; 0 = as asked. Tests
	// that look at no picture save time with a small one, of at least 128.
	MaxSide int
	// CallbackClient sends the callbacks; nil = one that reaches this machine only.
	CallbackClient *http.Client
	// Clock is the time that tasks and tokens live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer.
type Account struct {
	// Key is the API key. Required.
	Key string
	// AccessKey and SecretKey are the pair that tokens for the older family are made from;
	// both empty = none.
	AccessKey, SecretKey string
	// WebhookSecrets sign callbacks: "whsec_" and base64. During a rotation there are two, and
	// both sign. None = callbacks are not signed. See Simulator.SetWebhookSecrets.
	WebhookSecrets []string
	// Concurrent is how many tasks of one model and kind may be unfinished at once, an image
	// task counting n; beyond it the answer is 1303. 0 = no limit.
	Concurrent int
	// Units are what the account owns: a video costs its seconds, an image task n. A submit
	// that costs more is answered with 1102. 0 = no limit.
	Units int
}

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ImageTime, 5*time.Second)
	def(&c.VideoTime, 15*time.Second)
	def(&c.URLLife, 30*24*time.Hour)
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
}

func (c *Config) validate() error {
	if len(c.Accounts) == 0 {
		return errors.New("kling: at least one account is needed")
	}
	seen := map[string]bool{}
	for _, a := range c.Accounts {
		if a.Key == "" || seen[a.Key] || a.AccessKey != "" && seen[a.AccessKey] {
			return errors.New("kling: every account needs keys of its own")
		}
		if (a.AccessKey == "") != (a.SecretKey == "") {
			return errors.New("kling: an access key and a secret key go together")
		}
		seen[a.Key], seen[a.AccessKey] = true, true
	}
	if c.MaxSide != 0 && c.MaxSide < render.MinVideoSide {
		return errors.New("kling: files cannot be that small")
	}
	return nil
}

// Simulator is a simulated Kling. It is an http.Handler.
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

	mu         sync.Mutex
	tasks      map[string]*task
	order      []*task // by submit
	references map[reference]*task
	refused    map[string]int // by external_task_id and prompt, of those that want to be refused some times
	counts     counts
}

// account is an Account with its state, which the simulator's lock guards.
type account struct {
	Account
	hooks []hookKey
	units int // spent
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
		secret: newSecret(), tasks: map[string]*task{}, references: map[reference]*task{}, refused: map[string]int{},
	}
	for _, a := range cfg.Accounts {
		hooks, err := hookKeys(a.WebhookSecrets)
		if err != nil {
			return nil, err
		}
		s.accounts = append(s.accounts, &account{Account: a, hooks: hooks})
	}
	client := cfg.CallbackClient
	if client == nil {
		s.ownClient = simulator.LoopbackClient()
		client = s.ownClient
	}
	s.schedule = simulator.NewSchedule(s.clock, callbacksAtOnce)
	s.callbacks = simulator.NewCallbacks(s.schedule, s.clock, client, time.Second)
	s.routes()
	return s, nil
}

// callbacksAtOnce bounds how many receivers are waited for at the same time.
const callbacksAtOnce = 32

// Close stops the callbacks. Requests under way end as their listener lets them. It may
// be called twice.
func (s *Simulator) Close() error {
	s.schedule.Close()
	if s.ownClient != nil {
		s.ownClient.CloseIdleConnections()
	}
	return nil
}

// Faults are the things that go wrong for every task alike. Operations are "submit",
// "poll", "list" and "file".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

func (s *Simulator) routes() {
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, f family, h handler) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(f, h)))
	}
	for _, r := range allRoutes {
		submit := func(w http.ResponseWriter, req *http.Request, a *account) error { return s.submit(w, req, a, r) }
		if r.family == modern {
			handle("POST /"+r.name+"/{model}", "submit", modern, submit)
			continue
		}
		handle("POST "+r.path(), "submit", legacy, submit)
		handle("GET "+r.path(), "list", legacy, func(w http.ResponseWriter, req *http.Request, a *account) error {
			return s.page(w, req, a, r)
		})
		handle("GET "+r.path()+"/{id}", "poll", legacy, func(w http.ResponseWriter, req *http.Request, a *account) error {
			return s.one(w, req, a, r)
		})
	}
	handle("GET /tasks", "poll", modern, s.many)
	handle("POST /tasks", "list", modern, s.cursor)
	s.mux.Handle("GET /files/{name}", s.faults.Wrap("file", s.clock, s.file))
	s.mux.Handle("/", answerErrors(s.elsewhere))
}

// elsewhere answers what fits no route: a path that exists for another method, or none.
func (s *Simulator) elsewhere(_ http.ResponseWriter, r *http.Request) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			return problem(1202, "the method of the request is not right")
		}
	}
	return problem(1203, "the requested resource does not exist")
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }
