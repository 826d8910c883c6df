// Package minimax is a simulated MiniMax: an HTTP server that behaves as the API reference
// of MiniMax says, for whoever develops against it without paying. It speaks the Hailuo
// videos of V1, the MiniMax-H3 videos of V2 and the images, with their challenge, their
// callbacks, their errors and their output addresses that die.
//
//	POST   /v1/video_generation               submit           → {"task_id","base_resp"}
//	GET    /v1/query/video_generation         ?task_id=        → status words Preparing … Success
//	GET    /v1/files/retrieve                 ?file_id=        → an address, new at each read
//	POST   /v2/video_generation               submit           → {"task_id"}
//	GET    /v2/query/video_generation/{id}    one task         → {"task"}
//	GET    /v2/query/video_generation         ?filter.task_ids=… → {"items","total"}
//	DELETE /v2/video_generation/{id}          cancels what is queued, deletes what has ended
//	POST   /v1/image_generation               answers when the images are there
//	GET    /cdn/{name}                        an output, until its address expires
//
// Where the reference is silent (how often a callback is repeated, how long an address of
// V2 lives) it does the least: one try, one hour. It draws outputs when they are fetched
// and keeps none.
//
// A job's prompt may order its own misfortune, as simulator.Orders says:
//
//	time=2s              how long the generation takes
//	queue=1s             how much of that it waits before it begins
//	refuse=1008          the submit is refused with a code; refuse_times=2: only so often per prompt
//	fail=1027            the generation ends with a code
//	drop=before|after    the submit's connection is cut, without or with effect
//	answer=500|half      the submit takes effect and is answered 500, or by half an answer
//	late=5s              the submit takes effect and is answered so late
//	status=word          stands for "in progress" in queries
//	query_5xx=2          so many queries are answered 503
//	query_half=2         so many queries are answered by half an answer
//	callback=lost|duplicate|early|reordered|forged
//	output_404=2         so many downloads are answered 404
//	blocked=1            so many of an image submit's images are refused
package minimax

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// orders are the words that a prompt may order with.
var orders = []string{
	"time", "queue", "refuse", "refuse_times", "fail", "drop", "answer", "late", "status", "query_5xx", "query_half", "callback", "output_404", "blocked",
}

// Config says how a Simulator behaves. Accounts is required; everything else has a default.
type Config struct {
	Accounts []Account
	// VideoTime and ImageTime are how long a generation takes when its prompt does not say;
	// 0 = 3 s and 500 ms.
	VideoTime, ImageTime time.Duration
	// PublicURL is the start of output addresses, without a trailing slash; empty = the host
	// that the submit was sent to.
	PublicURL string
	// URLLife is how long an address of a video is good; 0 = 1 h. Images have 24 times that.
	URLLife time.Duration
	// RecordLife is how long V2 knows a task; 0 = 7 days.
	RecordLife time.Duration
	// Keep is how many jobs are remembered, the latest; 0 = 10,000.
	Keep int
	// MaxSide bounds the drawn videos, in pixels, to save work: 0 = 1920, which only 2K exceeds.
	MaxSide int
	// CallbackClient sends challenges and callbacks; nil = one that reaches this machine only.
	CallbackClient *http.Client
	// Clock is the time that jobs live in; nil = the machine's.
	Clock simulator.Clock
}

// Account is one customer. 0 = no limit.
type Account struct {
	Key             string // required
	VideosPerMinute int    // submits of V1
	H3PerMinute     int    // submits of V2
	ImagesPerMinute int
	MaxInFlight     int // tasks of V2 that have not ended
}

func (c *Config) setDefaults() error {
	c.VideoTime = cmp.Or(c.VideoTime, 3*time.Second)
	c.ImageTime = cmp.Or(c.ImageTime, 500*time.Millisecond)
	c.URLLife = cmp.Or(c.URLLife, time.Hour)
	c.RecordLife = cmp.Or(c.RecordLife, 7*24*time.Hour)
	c.Keep = cmp.Or(c.Keep, 10_000)
	c.MaxSide = cmp.Or(c.MaxSide, render.MaxVideoSide)
	if c.Clock == nil {
		c.Clock = simulator.SystemClock{}
	}
	if len(c.Accounts) == 0 {
		return errors.New("minimax: no account is configured")
	}
	for _, a := range c.Accounts {
		if a.Key == "" {
			return errors.New("minimax: an account has no key")
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || strings.HasSuffix(c.PublicURL, "/") {
			return errors.New("minimax: PublicURL must be an absolute URL without a trailing slash")
		}
	}
	if c.Keep < 0 || c.VideoTime < 0 || c.ImageTime < 0 || c.URLLife < 0 || c.RecordLife < 0 || c.MaxSide < render.MinVideoSide || c.MaxSide > render.MaxVideoSide {
		return errors.New("minimax: a limit or a duration is out of range")
	}
	return nil
}

// Simulator is the upstream. It is an http.Handler, safe for concurrent use.
type Simulator struct {
	cfg       Config
	clock     simulator.Clock
	mux       *http.ServeMux
	accounts  []*account
	faults    simulator.Faults
	schedule  *simulator.Schedule
	callbacks *simulator.Callbacks
	client    *http.Client
	ownClient bool
	renderer  *render.Renderer
	drawing   chan struct{} // bounds what is drawn at once
	urlKey    [32]byte
	counts    counters

	mu       sync.Mutex
	jobs     []*job // oldest first
	byID     map[string]*job
	byFile   map[string]*job
	refusals map[string]int // by prompt
	lastID   int64
}

type account struct {
	keyHash             [sha256.Size]byte
	videos, h3s, images *rate.Limiter // nil = none
	inFlight            int
}

type counters struct {
	submits, accepted, challenges, queries, lists, files, deletes, downloads atomic.Int64
}

// callbacksAtOnce bounds how many receivers are waited for at the same time.
const callbacksAtOnce = 32

// New starts a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		cfg: cfg, clock: cfg.Clock, renderer: renderer, drawing: make(chan struct{}, 2), client: cfg.CallbackClient,
		byID: map[string]*job{}, byFile: map[string]*job{}, refusals: map[string]int{}, lastID: 106_916_112_212_032,
	}
	_, _ = rand.Read(s.urlKey[:])
	for _, a := range cfg.Accounts {
		s.accounts = append(s.accounts, &account{
			keyHash: sha256.Sum256([]byte(a.Key)), inFlight: a.MaxInFlight,
			videos: perMinute(a.VideosPerMinute), h3s: perMinute(a.H3PerMinute), images: perMinute(a.ImagesPerMinute),
		})
	}
	if s.client == nil {
		s.client, s.ownClient = simulator.LoopbackClient(), true
	}
	s.schedule = simulator.NewSchedule(s.clock, callbacksAtOnce)
	s.callbacks = simulator.NewCallbacks(s.schedule, s.clock, s.client, time.Second)
	s.routes()
	return s, nil
}

func perMinute(n int) *rate.Limiter {
	if n == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(float64(n)/60), n)
}

// Close stops the callbacks. Requests under way end as their listener lets them. It may be
// called twice.
func (s *Simulator) Close() error {
	s.schedule.Close()
	if s.ownClient {
		s.client.CloseIdleConnections()
	}
	return nil
}

// Faults are the things that go wrong for every job alike. Operations are "submit",
// "query", "list", "file", "delete", "image" and "download".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

type handler func(w http.ResponseWriter, r *http.Request, a *account) error

func (s *Simulator) routes() {
	s.mux = http.NewServeMux()
	route := func(pattern, op string, tell teller, h handler) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.answering(tell, h)))
	}
	route("POST /v1/video_generation", "submit", tellV1, s.submitV1)
	route("GET /v1/query/video_generation", "query", tellV1, s.queryV1)
	route("GET /v1/files/retrieve", "file", tellV1, s.retrieveFile)
	route("POST /v2/video_generation", "submit", tellV2, s.submitV2)
	route("GET /v2/query/video_generation/{id}", "query", tellV2, s.queryV2)
	route("GET /v2/query/video_generation", "list", tellV2, s.listV2)
	route("DELETE /v2/video_generation/{id}", "delete", tellV2, s.deleteV2)
	route("POST /v1/image_generation", "image", tellV1, s.makeImages)
	s.mux.Handle("GET /cdn/{name}", s.faults.Wrap("download", s.clock, s.download))
}

// answering finds out who asks, and tells what went wrong in the words of its version.
func (s *Simulator) answering(tell teller, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trace-Id", newTrace())
		a, err := s.account(r)
		if err == nil {
			err = h(w, r, a)
		}
		if err == nil {
			return
		}
		var p *problem
		if !errors.As(err, &p) {
			p = refused(1000, "unknown error")
		}
		tell(w, p)
	}
}

func (s *Simulator) account(r *http.Request) (*account, error) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || key == "" {
		return nil, refused(1004, "login fail: Please carry the API secret key in the 'Authorization' field of the request header")
	}
	hash := sha256.Sum256([]byte(key))
	for _, a := range s.accounts {
		// Comparing hashes in constant time tells nothing about the key.
		if subtle.ConstantTimeCompare(hash[:], a.keyHash[:]) == 1 {
			return a, nil
		}
	}
	return nil, refused(2049, "invalid api key")
}

// hold waits for d of the clock's time.
func (s *Simulator) hold(ctx context.Context, d time.Duration) {
	if simulator.Hold(ctx, s.clock, d) != nil {
		simulator.Abort() // the caller has left
	}
}

// host is the start of output addresses for a request.
func (s *Simulator) host(r *http.Request) string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
