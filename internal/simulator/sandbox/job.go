package sandbox

import (
	"fmt"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// The status words.
const (
	statusQueued    = "queued"
	statusRunning   = "running"
	statusSucceeded = "succeeded"
	statusFailed    = "failed"
	statusCancelled = "cancelled"
)

// job is one accepted submit. What was asked and the times are fixed when it is
// made; the rest is guarded by the registry's lock.
type job struct {
	spec
	id       string
	account  *account
	host     string // start of output URLs in callbacks
	created  time.Time
	started  time.Time
	finished time.Time // when it ends unless it is cancelled

	cancelled time.Time // zero = not
	place     int       // in the registry's heap, while in flight
	polls     int       // looks that named it
	callbacks int       // tries
	downloads int
}

// newJob makes a job that takes delay from now. Times are whole milliseconds, as
// the API and the journal have them.
func newJob(id string, spec *spec, a *account, host string, now time.Time, delay time.Duration) *job {
	now = now.Truncate(time.Millisecond)
	return &job{
		spec: *spec, id: id, account: a, host: host,
		created: now, started: now.Add(queueTime(delay)), finished: now.Add(delay),
	}
}

// queueTime is the part of a generation that passes before it starts.
func queueTime(total time.Duration) time.Duration { return min(total/5, 300*time.Millisecond) }

// state is what the job is at a moment, from its times alone.
func (j *job) state(now time.Time) (status string, progress int) {
	if !j.cancelled.IsZero() && !now.Before(j.cancelled) {
		_, progress = j.unhindered(j.cancelled)
		return statusCancelled, progress
	}
	return j.unhindered(now)
}

// unhindered is the state without regard to a cancel.
func (j *job) unhindered(now time.Time) (status string, progress int) {
	switch {
	case now.Before(j.started):
		return statusQueued, 0
	case now.Before(j.finished):
		return statusRunning, int(99 * now.Sub(j.started) / j.finished.Sub(j.started))
	case j.failure() != nil:
		return statusFailed, 99
	}
	return statusSucceeded, 100
}

// final says whether the job has ended by now, and when.
func (j *job) final(now time.Time) (at time.Time, ok bool) {
	at = j.finished
	if !j.cancelled.IsZero() {
		at = j.cancelled
	}
	return at, !now.Before(at)
}

// failure is why the job fails at its end, or nil.
func (j *job) failure() *Problem {
	switch {
	case j.Options.Moderation == "output":
		return &Problem{Code: "moderation", Message: "the output was refused, as asked"}
	case j.Options.Fail == "generation":
		return &Problem{Code: "generation", Message: "the generation produced nothing usable, as asked"}
	}
	return nil
}

// vanished says whether the job's record is gone, as asked.
func (j *job) vanished(now time.Time) bool {
	return j.Options.Fail == "gone" && !now.Before(j.finished)
}

// Status is a job as the API shows it.
type Status struct {
	ID         string       `json:"id"`
	ClientRef  string       `json:"client_ref,omitempty"`
	Model      string       `json:"model"`
	Status     string       `json:"status"`
	Progress   int          `json:"progress"`
	Seed       int64        `json:"seed"`
	CreatedAt  int64        `json:"created_at"`
	StartedAt  int64        `json:"started_at,omitempty"`
	FinishedAt int64        `json:"finished_at,omitempty"`
	Outputs    []OutputFile `json:"outputs,omitempty"`
	Error      *Problem     `json:"error,omitempty"`
}

// OutputFile is one file of a job that succeeded.
type OutputFile struct {
	URL      string `json:"url"`
	Type     string `json:"type"`            // "image" or "video"
	Width    int    `json:"width,omitempty"` // absent where it is the reference's
	Height   int    `json:"height,omitempty"`
	Duration int    `json:"duration,omitempty"` // seconds
}

// show is the job at a moment; host starts its output URLs.
func (j *job) show(now time.Time, host string) Status {
	word, progress := j.state(now)
	out := Status{
		ID: j.id, ClientRef: j.ClientRef, Model: j.Model, Status: word, Progress: progress,
		Seed: j.Seed, CreatedAt: j.created.UnixMilli(),
	}
	if !now.Before(j.started) {
		out.StartedAt = j.started.UnixMilli()
	}
	if at, ok := j.final(now); ok {
		out.FinishedAt = at.UnixMilli()
	}
	switch word {
	case statusRunning:
		if j.Options.StatusWord != "" {
			out.Status = j.Options.StatusWord
		}
	case statusFailed:
		out.Error = j.failure()
	case statusSucceeded:
		out.Outputs = j.outputs(host)
	}
	return out
}

func (j *job) outputs(host string) []OutputFile {
	out := make([]OutputFile, j.Count)
	for i := range out {
		out[i] = OutputFile{URL: host + "/v1/files/" + j.fileName(i), Type: "image", Width: j.Width, Height: j.Height, Duration: j.Seconds}
		if j.video() {
			out[i].Type = "video"
		}
		if j.OwnSize || j.Options.Image == string(render.Small) {
			out[i].Width, out[i].Height = 0, 0
		}
	}
	return out
}

// fileName is an output's path segment. The job's id is random, so it cannot be
// guessed.
func (j *job) fileName(i int) string { return fmt.Sprintf("%s-%d.%s", j.id, i, extension(j.Format)) }

func extension(format string) string {
	if format == "jpeg" {
		return "jpg"
	}
	return format
}
