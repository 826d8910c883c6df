package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// submit is POST /v1/jobs.
func (s *Server) submit(w http.ResponseWriter, r *http.Request, a *account) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return problem(http.StatusRequestEntityTooLarge, "invalid", "", "the body is too large")
		}
		return invalid("", "the body could not be read")
	}
	s.counts.submits.Add(1)
	now := s.clock.Now()
	if a.limit != nil && !a.limit.AllowN(now, 1) {
		return tooMany("there are too many requests", time.Second)
	}
	spec, err := understand(body, randomSeed())
	if err != nil {
		return err
	}
	if spec.Options.Drop == "before_accept" {
		simulator.Abort()
	}
	if err := s.refusals.check(spec); err != nil {
		return err
	}
	j, err := s.accept(spec, a, s.host(r), now)
	if err != nil {
		return err
	}
	if err := s.afterAccept(r.Context(), j); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}{j.id, statusQueued})
	return nil
}

// accept makes the job, records it, and plans its callbacks.
func (s *Server) accept(spec *spec, a *account, host string, now time.Time) (*job, error) {
	delay := s.cfg.ImageDelay
	if spec.video() {
		delay = s.cfg.VideoDelay
	}
	if spec.Options.Delay != nil {
		delay = time.Duration(*spec.Options.Delay)
	}
	if o := &spec.Options; o.Image != "" && o.ImageTimes > 0 && !s.spoiled.take(spec.Prompt, o.ImageTimes) {
		o.Image = ""
	}
	j := newJob("sbx_"+strings.ToLower(rand.Text()), spec, a, host, now, delay)
	if !s.jobs.reserve(a, now) {
		return nil, tooMany("too many jobs are in flight", time.Second)
	}
	if err := s.recordAccepted(j); err != nil {
		s.jobs.release(a)
		return nil, err
	}
	s.jobs.insert(j, now)
	return j, nil
}

// afterAccept does what the job asked for between its acceptance and the answer.
func (s *Server) afterAccept(ctx context.Context, j *job) error {
	if j.Options.Callback == "early" && j.callsBack() {
		s.callbacks.Try(ctx, s.callback(j, j.show))
	}
	s.planCallbacks(j, j.created)
	s.hold(ctx, time.Duration(j.Options.LateAnswer))
	if j.Options.Drop == "after_accept" {
		simulator.Abort()
	}
	if j.Options.Fail == "outcome_unknown" {
		return problem(http.StatusInternalServerError, "internal", "", "the sandbox failed after it had accepted the job, as asked")
	}
	return nil
}

// host is the start of output URLs for a request.
func (s *Server) host(r *http.Request) string {
	if s.cfg.PublicURL != "" {
		return s.cfg.PublicURL
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func randomSeed() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return int64(binary.BigEndian.Uint64(b[:]) & math.MaxUint32)
}

func tooMany(message string, wait time.Duration) *Problem {
	p := problem(http.StatusTooManyRequests, "rate", "", message)
	p.retryAfter = wholeSeconds(wait)
	return p
}

// wholeSeconds rounds up, as Retry-After wants.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// refusals counts, for jobs that want to be refused a number of times, how often
// each client_ref has been.
type refusals struct {
	tally
}

// check returns the refusal that a submit asks for, or nil.
func (r *refusals) check(s *spec) error {
	o := &s.Options
	if o.Moderation == "input" {
		return problem(http.StatusBadRequest, "moderation", "prompt", "the prompt was refused, as asked")
	}
	refusal, ok := refusedAtSubmit[o.Fail]
	if !ok || !r.due(s.ClientRef, o.FailTimes) {
		return nil
	}
	p := problem(refusal.status, o.Fail, "", refusal.message)
	switch {
	case o.RetryAfter != nil:
		p.retryAfter = wholeSeconds(time.Duration(*o.RetryAfter))
	case o.Fail == "rate":
		p.retryAfter = 1
	}
	return p
}

// due says whether a submit with this client_ref is to be refused once more. After it
// has passed, the count starts anew.
func (r *refusals) due(ref string, times int) bool {
	if times == 0 || r.take(ref, times) {
		return true
	}
	r.forget(ref)
	return false
}

// tally counts by name up to a limit.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

// maxTally bounds the memory for names that never come back.
const maxTally = 10_000

// take counts one more; false = there have been as many already.
func (t *tally) take(name string, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[name] >= most {
		return false
	}
	if t.counts == nil || len(t.counts) >= maxTally {
		t.counts = map[string]int{}
	}
	t.counts[name]++
	return true
}

func (t *tally) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.counts, name)
}
