package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The probes. They need no key, and tell no more than names and verdicts.
func (s *Server) healthRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/healthz", dialect: &generationsDialect, load: operation, handler: s.healthz},
		{method: http.MethodGet, pattern: "/readyz", dialect: &generationsDialect, load: operation, handler: s.readyz},
	}
}

const (
	checkTime = 2 * time.Second // for one check
	// checkLife is how long a verdict is given out again: the route is public, and checks cost something.
	checkLife = time.Second
)

type healthAnswer struct {
	Status string                 `json:"status"`
	Checks map[string]checkAnswer `json:"checks,omitempty"`
}

type checkAnswer struct {
	Status string `json:"status"` // "ok" or "failed"
}

// healthz says that the process is alive, whatever it can reach.
func (s *Server) healthz(_ context.Context, x *exchange, _ *http.Request) error {
	writeJSON(x, http.StatusOK, healthAnswer{Status: "ok"})
	return nil
}

// readyz says whether requests should be sent here.
func (s *Server) readyz(_ context.Context, x *exchange, _ *http.Request) error {
	status, answer := s.ready.verdict(s)
	writeJSON(x, status, answer)
	return nil
}

// Drain makes /readyz fail from now on, so that a load balancer looks elsewhere while the rest is finished. Streams, which
// would never finish, end: their readers come back to another server, or to the next one here.
func (s *Server) Drain() {
	s.ready.draining.Store(true)
	s.drain()
}

// readiness runs the checks and remembers their verdict for a moment.
type readiness struct {
	checks   []Check
	draining atomic.Bool

	mu      sync.Mutex // held while the checks run: who asks meanwhile gets the same verdict
	at      time.Time
	failed  map[string]bool
	running []atomic.Bool // by check: one that ignores its context is not started twice
}

func (c *readiness) verdict(s *Server) (int, healthAnswer) {
	answer := healthAnswer{Status: "ready", Checks: make(map[string]checkAnswer, len(c.checks))}
	failed := c.run(s)
	for _, check := range c.checks {
		word := "ok"
		if failed[check.Name] {
			word, answer.Status = "failed", "not_ready"
		}
		answer.Checks[check.Name] = checkAnswer{Status: word}
	}
	switch {
	case c.draining.Load():
		answer.Status = "draining"
		return http.StatusServiceUnavailable, answer
	case len(failed) > 0:
		return http.StatusServiceUnavailable, answer
	}
	return http.StatusOK, answer
}

// run returns the names of the checks that fail. The request's context has no part in it: the verdict is for all who ask.
func (c *readiness) run(s *Server) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.now()
	if c.failed != nil && now.Sub(c.at) < checkLife && !now.Before(c.at) {
		return c.failed
	}
	if c.running == nil {
		c.running = make([]atomic.Bool, len(c.checks))
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	results := make([]chan error, len(c.checks))
	for i := range c.checks {
		results[i] = make(chan error, 1)
		if !c.running[i].CompareAndSwap(false, true) {
			results[i] <- fmt.Errorf("the last run has not ended yet")
			continue
		}
		go c.one(ctx, i, results[i])
	}
	failed := make(map[string]bool)
	for i, result := range results {
		err := context.DeadlineExceeded
		select {
		case err = <-result:
		case <-ctx.Done():
		}
		if err != nil {
			failed[c.checks[i].Name] = true
			s.log.LogAttrs(ctx, slog.LevelWarn, "readiness check failed",
				slog.String("check", c.checks[i].Name), slog.String("error", err.Error()))
		}
	}
	c.at, c.failed = s.now(), failed
	return failed
}

// one runs a check. It may be started again before its result is read, so that whoever has the result can rely on it.
func (c *readiness) one(ctx context.Context, i int, result chan<- error) {
	err := c.checks[i].try(ctx)
	c.running[i].Store(false)
	result <- err
}

// try turns a panic into a failed check: it must not be the end of the process.
func (c *Check) try(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("check panicked: %v", p)
		}
	}()
	return c.Run(ctx)
}
