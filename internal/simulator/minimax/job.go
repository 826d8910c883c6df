package minimax

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// The versions, and what stands for them in Job.
const (
	v1      = "v1"
	v2      = "v2"
	imageV1 = "image"
)

// job is one accepted submit. What was asked and the times are fixed when it is made; the
// rest is guarded by the simulator's lock.
type job struct {
	id, fileID  string
	version     string
	account     *account
	model       string
	prompt      string
	body        json.RawMessage
	callbackURL string
	orders      simulator.Orders
	host        string

	resolution    string
	ratio         string
	seconds       int
	width, height int
	count         int // images
	references    []string

	created, started, finished time.Time

	cancelled time.Time // zero = not
	deleted   bool
	queries   int
	downloads int
	posts     []json.RawMessage // callbacks sent, as sent
}

// state is what a job is at a moment.
type state int

const (
	preparing state = iota
	queued
	running
	succeeded
	failed
	cancelled
)

func (st state) final() bool { return st >= succeeded }

// String is the state in V2's words, which know no difference between the first two.
func (st state) String() string {
	return [...]string{"queued", "queued", "running", "succeeded", "failed", "cancelled"}[st]
}

// state reckons the job's state from its times.
func (j *job) state(now time.Time) state {
	switch {
	case !j.cancelled.IsZero() && !now.Before(j.cancelled):
		return cancelled
	case now.Before(j.created.Add(j.started.Sub(j.created) / 2)):
		return preparing
	case now.Before(j.started):
		return queued
	case now.Before(j.finished):
		return running
	case j.failure() != 0:
		return failed
	}
	return succeeded
}

// endedAt is when the job ended; the zero time while it has not.
func (j *job) endedAt(now time.Time) time.Time {
	switch st := j.state(now); {
	case st == cancelled:
		return j.cancelled
	case st.final():
		return j.finished
	}
	return time.Time{}
}

// failure is the code that the job ends with; 0 = none.
func (j *job) failure() int {
	if !j.orders.Has("fail") {
		return 0
	}
	if code, err := strconv.Atoi(j.orders["fail"]); err == nil && code != 0 {
		return code
	}
	return 1027
}

// refusal is what the prompt orders the submit to be refused with; nil = nothing.
func (s *Simulator) refusal(o simulator.Orders, prompt string) error {
	if err := o.Check(orders...); err != nil {
		return invalid("%s", err)
	}
	if !o.Has("refuse") {
		return nil
	}
	code, err := strconv.Atoi(o["refuse"])
	if err != nil || codeWords[code] == "" {
		return invalid("refuse orders a code that is not documented")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[prompt]++
	if most := o.Count("refuse_times"); most > 0 && s.refusals[prompt] > most {
		return nil
	}
	return refused(code, "%s", codeWords[code])
}

// plan gives a job its times.
func (j *job) plan(now time.Time, takes time.Duration) {
	takes = j.orders.Duration("time", takes)
	j.created = now
	j.started = now.Add(min(j.orders.Duration("queue", min(takes/5, 2*time.Second)), takes))
	j.finished = now.Add(takes)
}

// insert takes a job in, unless the account has too many of its version in flight.
func (s *Simulator) insert(j *job, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := j.account.inFlight; limit > 0 && j.version == v2 && s.inFlight(j.account, now) >= limit {
		return refused(1041, codeWords[1041])
	}
	s.lastID += 2
	j.id, j.fileID = strconv.FormatInt(s.lastID, 10), strconv.FormatInt(s.lastID+98_342_414_094_401, 10)
	if j.version == imageV1 {
		j.id = newTrace()
		j.fileID = j.id
	}
	s.jobs = append(s.jobs, j)
	s.byID[j.id], s.byFile[j.fileID] = j, j
	if len(s.jobs) > s.cfg.Keep {
		old := s.jobs[0]
		s.jobs[0], s.jobs = nil, s.jobs[1:]
		delete(s.byID, old.id)
		delete(s.byFile, old.fileID)
	}
	s.counts.accepted.Add(1)
	return nil
}

// inFlight counts an account's tasks of V2 that have not ended. The lock is held.
func (s *Simulator) inFlight(a *account, now time.Time) (n int) {
	for _, j := range s.jobs {
		if j.account == a && j.version == v2 && !j.state(now).final() {
			n++
		}
	}
	return n
}

// find calls f with an account's job, under the lock; false = there is none.
func (s *Simulator) find(id, version string, a *account, f func(*job)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.byID[id]
	if j == nil || j.version != version || j.account != a || j.deleted {
		return false
	}
	f(j)
	return true
}

// Job is an accepted submit, for tests.
type Job struct {
	ID          string
	Version     string // "v1", "v2" or "image"
	Model       string
	Prompt      string
	CallbackURL string
	Body        json.RawMessage   // of the submit, as it came
	Posts       []json.RawMessage // callbacks, as sent
	Queries     int
	EndedAt     time.Time // zero while in flight
	Cancelled   bool
	Deleted     bool
}

// Jobs lists the remembered jobs, oldest first. MiniMax takes no reference of a client's:
// its own prompt is what tells one client's job from another.
func (s *Simulator) Jobs() []Job {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Job, 0, len(s.jobs))
	for _, j := range s.jobs {
		out = append(out, Job{
			ID: j.id, Version: j.version, Model: j.model, Prompt: j.prompt, CallbackURL: j.callbackURL, Body: j.body,
			Posts: slices.Clone(j.posts), Queries: j.queries, EndedAt: j.endedAt(now), Cancelled: !j.cancelled.IsZero(), Deleted: j.deleted,
		})
	}
	return out
}

// Count returns how many remembered jobs have a text in their prompt.
func (s *Simulator) Count(prompt string) (n int) {
	for _, j := range s.Jobs() {
		if strings.Contains(j.Prompt, prompt) {
			n++
		}
	}
	return n
}

// Stats is what the simulator was asked to do since it was made.
type Stats struct {
	Submits    int64 `json:"submits"` // refused ones too
	Accepted   int64 `json:"accepted"`
	Challenges int64 `json:"challenges"` // answered as wanted
	Queries    int64 `json:"queries"`    // of one task
	Lists      int64 `json:"lists"`
	Files      int64 `json:"files"` // second reads of V1
	Deletes    int64 `json:"deletes"`
	Downloads  int64 `json:"downloads"`

	Callbacks simulator.CallbackCounts `json:"callbacks"`
}

// Stats returns the statistics of now.
func (s *Simulator) Stats() Stats {
	c := &s.counts
	return Stats{
		Submits: c.submits.Load(), Accepted: c.accepted.Load(), Challenges: c.challenges.Load(), Queries: c.queries.Load(),
		Lists: c.lists.Load(), Files: c.files.Load(), Deletes: c.deletes.Load(), Downloads: c.downloads.Load(),
		Callbacks: s.callbacks.Counts(),
	}
}
