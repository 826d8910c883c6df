// Package ark simulates Volcengine Ark and BytePlus ModelArk as their vendor documents them:
// Seedance videos as tasks, with callbacks, lists, cancels and records that vanish, and
// Seedream images within the call. It is written from the vendor's documentation and knows
// nothing of the provider that Kinora reaches the vendor with.
//
// It makes real files, drawn from the prompt, and costs nothing. A task's state is reckoned
// from its times whenever somebody looks. Where the documentation is silent it does what is
// hardest on a client: an answer may be lost, a callback may come early, twice or never.
//
// # Routes
//
//	POST   /api/v3/contents/generations/tasks       submit a video
//	GET    /api/v3/contents/generations/tasks/{id}  one task
//	GET    /api/v3/contents/generations/tasks       many: page_num, page_size, filter.…
//	DELETE /api/v3/contents/generations/tasks/{id}  cancels a queued task, forgets an ended one
//	POST   /api/v3/images/generations               images, in the answer
//	GET    /tos/{name}                              a file, by a signed URL that expires
//
// What goes wrong on demand is said in the prompt, or in a header: see orders.
package ark

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
)

// Config says how a Simulator behaves. Accounts is required; everything else has a default.
type Config struct {
	// Accounts are who may use it.
	Accounts []Account
	// PublicURL is the start of output URLs, without a trailing slash; empty = the host that a
	// request was sent to.
	PublicURL string
	// QueueTime and RunTime are what a task spends waiting and being made; 0 = 1 s and 4 s.
	QueueTime, RunTime time.Duration
	// ImageTime is how long an image call takes; 0 = 1 s.
	ImageTime time.Duration
	// URLLife is how long an output can be fetched; 0 = 24 h, as documented.
	URLLife time.Duration
	// RecordLife is how long tasks can be read, and CancelledLife cancelled ones; 0 = 7 days
	// and 24 h, as documented.
	RecordLife, CancelledLife time.Duration
	// MaxSide bounds the longer side of the files in pixels, for speed; 0 = what was asked for,
	// as far as the renderer goes (1,920 for clips, which last at most 15 s, and 4,096 for images).
	MaxSide int
	// CallbackClient sends the callbacks; nil = one that reaches this machine only.
	CallbackClient *http.Client
	// CallbackPause is the wait before a callback's second send, and twice that before the
	// third; 0 = 1 s. The vendor does not document its own.
	CallbackPause time.Duration
	// Clock is the time that tasks live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer.
type Account struct {
	// Key is the API key. Required.
	Key string
	// PerMinute is how many submits a model takes in a minute; beyond it the answer is 429
	// ModelAccountRpmRateLimitExceeded. 0 = no limit.
	PerMinute int
	// Running is how many tasks of a model run at once; further ones wait in the queue. 0 = no limit.
	Running int
	// Queued is how many tasks may wait; beyond it the answer is 429 QuotaExceeded. 0 = no limit.
	Queued int
	// Overdue answers every submit with 403 AccountOverdueError.
	Overdue bool
	// Closed are models that the account has not opened: 404 ModelNotOpen.
	Closed []string
}

func (c *Config) setDefaults() {
	for value, usual := range map[*time.Duration]time.Duration{
		&c.QueueTime: time.Second, &c.RunTime: 4 * time.Second, &c.ImageTime: time.Second, &c.URLLife: 24 * time.Hour,
		&c.RecordLife: 7 * 24 * time.Hour, &c.CancelledLife: 24 * time.Hour, &c.CallbackPause: time.Second,
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
	if len(c.Accounts) == 0 {
		return errors.New("ark: no account is configured")
	}
	for i, a := range c.Accounts {
		if a.Key == "" || a.PerMinute < 0 || a.Running < 0 || a.Queued < 0 {
			return fmt.Errorf("ark: account %d has no key, or a negative limit", i)
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || strings.HasSuffix(c.PublicURL, "/") {
			return errors.New("ark: PublicURL must be an absolute URL without a trailing slash")
		}
	}
	for _, d := range []time.Duration{c.QueueTime, c.RunTime, c.ImageTime, c.URLLife, c.RecordLife, c.CancelledLife, c.CallbackPause} {
		if d < 0 {
			return errors.New("ark: a duration is negative")
		}
	}
	return nil
}

// Simulator is the upstream. It is an http.Handler; its methods are safe for concurrent use.
type Simulator struct {
	cfg       Config
	clock     simulator.Clock
	mux       *http.ServeMux
	accounts  []*account
	faults    simulator.Faults
	schedule  *simulator.Schedule
	callbacks *simulator.Callbacks
	ownClient *http.Client // nil when the caller gave one
	files     *files

	mu    sync.Mutex
	tasks map[string]*task
	order []*task // oldest first
	calls []ImageCall
	tries map[string]int // of submits that want to be refused a number of times, by account and prompt
	stats counts
}

// account is an Account with its state.
type account struct {
	Account
	keyHash [sha256.Size]byte
	limits  map[string]*rate.Limiter // by model
}

// New starts a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Simulator{cfg: cfg, clock: cfg.Clock, tasks: map[string]*task{}, tries: map[string]int{}}
	var err error
	if s.files, err = newFiles(cfg.MaxSide); err != nil {
		return nil, err
	}
	for _, a := range cfg.Accounts {
		s.accounts = append(s.accounts, &account{Account: a, keyHash: sha256.Sum256([]byte(a.Key)), limits: map[string]*rate.Limiter{}})
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

// Close stops the callbacks. Requests under way end as their listener lets them. It may be
// called twice.
func (s *Simulator) Close() error {
	s.schedule.Close()
	if s.ownClient != nil {
		s.ownClient.CloseIdleConnections()
	}
	return nil
}

// Faults are the things that go wrong for everybody alike. Operations are "submit", "poll",
// "list", "cancel", "image" and "file".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

func (s *Simulator) routes() {
	const tasks = "/api/v3/contents/generations/tasks"
	s.mux = http.NewServeMux()
	handle := func(pattern, op string, h func(http.ResponseWriter, *http.Request, *account) error) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.withAccount(h)))
	}
	handle("POST "+tasks, "submit", s.submit)
	handle("GET "+tasks+"/{id}", "poll", s.query)
	handle("GET "+tasks, "list", s.list)
	handle("DELETE "+tasks+"/{id}", "cancel", s.remove)
	handle("POST /api/v3/images/generations", "image", s.images)
	s.mux.Handle("GET /tos/{name}", s.faults.Wrap("file", s.clock, s.file))
	s.mux.Handle("/", answerErrors(func(http.ResponseWriter, *http.Request) error {
		return refuse("InvalidAction.NotFound", "", "there is nothing at this path")
	}))
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// withAccount finds out who asks. Only Bearer keys are taken on these routes; the vendor's
// other scheme, signing by AK and SK, is not.
func (s *Simulator) withAccount(h func(http.ResponseWriter, *http.Request, *account) error) http.HandlerFunc {
	return answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		hash := sha256.Sum256([]byte(key))
		for _, a := range s.accounts {
			// Comparing hashes in constant time tells nothing about the key.
			if scheme == "Bearer" && subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 {
				return h(w, r, a)
			}
		}
		return refuse("AuthenticationError", "", "the API key in the request is missing or invalid")
	})
}

// host is the start of output URLs for a request.
func (s *Simulator) host(r *http.Request) string {
	if s.cfg.PublicURL != "" {
		return s.cfg.PublicURL
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// newID makes a task's id in the vendor's form.
func newID(now time.Time) string {
	return "cgt-" + now.UTC().Format("20060102150405") + "-" + strings.ToLower(rand.Text()[:8])
}
