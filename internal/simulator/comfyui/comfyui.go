// Package comfyui is a simulated ComfyUI server: the routes that a client of its API needs, a
// queue that runs one prompt at a time, and real pictures and clips as outputs, without any
// model. It was written from the server's documented behaviour; provider/comfyui is what it is
// for, and nothing here was taken from there.
//
// # Protocol
//
//	POST /prompt              {prompt, prompt_id?, client_id?}: validated, queued
//	GET  /queue               queue_running and queue_pending
//	POST /queue               {"delete":[id,…]}: only what waits
//	POST /interrupt           {"prompt_id"?}: what runs, if it is that one; without an id whatever runs
//	GET  /history/{id}        what has ended
//	GET  /view                an output or an uploaded file
//	POST /upload/image        multipart
//
// It knows the classes of nodes listed in nodes.go. There is no authentication, unless
// Config.Token is set as for a proxy in front.
//
// # Orders
//
// A caller steers his own prompt by words in any of its texts, "a fox [[time=2s end=oom]]",
// or by the header of simulator.OrdersHeader; see orders.
package comfyui

import (
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Config says how a Simulator behaves; the zero value is ready.
type Config struct {
	// Token is the bearer token that a proxy in front of the server wants; empty = none.
	Token string
	// Checkpoints are the models on the server's disk; nil = "simulated.safetensors".
	Checkpoints []string
	// RunTime is how long a prompt runs; 0 = 2 s.
	RunTime time.Duration
	// Parallel lets every prompt run at once, as many servers behind one address would.
	Parallel bool
	// OwnIDs makes up ids and ignores those of clients, as servers of before 2025 did.
	OwnIDs bool
	// MaxSide is the longest side of the files that are drawn, in pixels; 0 = as asked.
	MaxSide int
	// Clock is the time that prompts live in; nil = the machine's.
	Clock simulator.Clock
}

// Simulator is a simulated ComfyUI. It is an http.Handler.
type Simulator struct {
	cfg      Config
	clock    simulator.Clock
	mux      *http.ServeMux
	faults   simulator.Faults
	renderer *render.Renderer
	drawing  chan struct{} // one file at a time: drawing keeps a processor busy

	mu      sync.Mutex
	number  int
	jobs    map[string]*job
	line    []*job            // waiting and running, by their number
	free    time.Time         // when what runs last ends
	uploads map[string][]byte // by sub-folder and name
	stats   Stats
}

// Stats is what has happened so far.
type Stats struct {
	Prompts int64 // accepted
	Reads   int64 // of history and queue
	Jobs    []JobStats
}

// JobStats is one accepted prompt.
type JobStats struct {
	ID      string
	EndedAt time.Time // zero while queued or running
}

// New starts a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	if cfg.Clock == nil {
		cfg.Clock = simulator.SystemClock{}
	}
	if cfg.RunTime == 0 {
		cfg.RunTime = 2 * time.Second
	}
	if cfg.Checkpoints == nil {
		cfg.Checkpoints = []string{"simulated.safetensors"}
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		cfg: cfg, clock: cfg.Clock, renderer: renderer, drawing: make(chan struct{}, 1),
		jobs: map[string]*job{}, uploads: map[string][]byte{}, mux: http.NewServeMux(),
	}
	handle := func(pattern, op string, h http.HandlerFunc) {
		s.mux.Handle(pattern, s.faults.Wrap(op, s.clock, s.authorized(h)))
	}
	handle("POST /prompt", "prompt", s.prompt)
	handle("GET /queue", "queue", s.queue)
	handle("POST /queue", "delete", s.dequeue)
	handle("POST /interrupt", "interrupt", s.interrupt)
	handle("GET /history/{id}", "history", s.history)
	handle("GET /view", "view", s.view)
	handle("POST /upload/image", "upload", s.upload)
	return s, nil
}

// Close ends nothing that outlives a request. It may be called twice.
func (s *Simulator) Close() error { return nil }

// Faults are the things that go wrong for every prompt alike. Operations are "prompt",
// "queue", "delete", "interrupt", "history", "view" and "upload".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

// Stats returns what has happened so far.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.clock.Now())
	out := s.stats
	for _, j := range s.jobs {
		out.Jobs = append(out.Jobs, JobStats{j.id, j.ended})
	}
	return out
}

// Forget is a restart of the server: the queue and the history are gone, the files are not.
func (s *Simulator) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line, s.free = nil, time.Time{}
	for _, j := range s.jobs {
		j.forgotten = true
	}
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Simulator) authorized(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want := "Bearer " + s.cfg.Token
		if s.cfg.Token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}
