package ark

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// The status words.
const (
	queued    = "queued"
	running   = "running"
	succeeded = "succeeded"
	failed    = "failed"
	cancelled = "cancelled"
	expired   = "expired"
)

// task is one accepted video submit. The simulator's lock guards it.
type task struct {
	spec
	id      string
	account *account
	host    string // start of output URLs
	created time.Time
	started time.Time // planned, and moved forward when a task before it is cancelled
	run     time.Duration

	cancelled time.Time // zero = not
	deleted   bool
	told      string // the status that the latest callback told
	looks     int
	notices   int // callbacks sent, repeats included
	downloads int
}

// ends is when the task ends unless it is cancelled, and how.
func (t *task) ends() (at time.Time, status string) {
	at = t.started.Add(t.run)
	deadline := t.created.Add(time.Duration(*t.ExpiresAfter) * time.Second)
	switch {
	case t.orders.expire:
		return at, expired
	case at.After(deadline):
		return deadline, expired
	case t.orders.fail != "":
		return at, failed
	}
	return at, succeeded
}

// state is what the task is at a moment, and since when.
func (t *task) state(now time.Time) (status string, since time.Time) {
	if !t.cancelled.IsZero() {
		return cancelled, t.cancelled
	}
	end, last := t.ends()
	switch {
	case !now.Before(end):
		return last, end
	case !now.Before(t.started):
		return running, t.started
	}
	return queued, t.created
}

// next is when the state changes by itself; the zero time once it does not any more.
func (t *task) next(now time.Time) time.Time {
	switch status, _ := t.state(now); status {
	case queued:
		if end, _ := t.ends(); end.Before(t.started) {
			return end
		}
		return t.started
	case running:
		end, _ := t.ends()
		return end
	}
	return time.Time{}
}

func final(status string) bool { return status != queued && status != running }

// readable says whether the record is still there.
func (t *task) readable(now time.Time, c *Config) bool {
	status, since := t.state(now)
	switch {
	case t.deleted, now.Sub(t.created) >= c.RecordLife:
		return false
	case status == cancelled && now.Sub(since) >= c.CancelledLife:
		return false
	case t.orders.gone && final(status):
		return false
	}
	return true
}

// Task is a task as queries, lists and callbacks show it.
type Task struct {
	ID                    string          `json:"id"`
	Model                 string          `json:"model"`
	Status                string          `json:"status"`
	Error                 json.RawMessage `json:"error,omitempty"`
	FailureReason         *Failure        `json:"failure_reason,omitempty"`
	Content               *Content        `json:"content,omitempty"`
	Usage                 *Usage          `json:"usage,omitempty"`
	Seed                  *int64          `json:"seed,omitempty"`
	Resolution            string          `json:"resolution,omitempty"`
	Ratio                 string          `json:"ratio,omitempty"`
	Duration              int64           `json:"duration,omitempty"`
	Frames                int64           `json:"frames,omitempty"`
	FramesPerSecond       int             `json:"framespersecond,omitempty"`
	OutputFormat          string          `json:"output_format,omitempty"`
	ServiceTier           string          `json:"service_tier"`
	ExecutionExpiresAfter int64           `json:"execution_expires_after"`
	Priority              *int64          `json:"priority,omitempty"`
	GenerateAudio         *bool           `json:"generate_audio,omitempty"`
	Draft                 *bool           `json:"draft,omitempty"`
	SafetyIdentifier      *string         `json:"safety_identifier,omitempty"`
	CreatedAt             int64           `json:"created_at"`
	UpdatedAt             int64           `json:"updated_at"`
}

// Failure is why a task came to nothing.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Content is what a task made.
type Content struct {
	VideoURL     string `json:"video_url"`
	LastFrameURL string `json:"last_frame_url,omitempty"`
}

// Usage is what a task is billed by.
type Usage struct {
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

const framesPerSecond = 24

// show is the task at a moment.
func (t *task) show(now time.Time, sign func(name string) string) Task {
	status, since := t.state(now)
	out := Task{
		ID: t.id, Model: t.Model, Status: status, ServiceTier: t.ServiceTier, ExecutionExpiresAfter: *t.ExpiresAfter, Priority: t.Priority,
		SafetyIdentifier: t.SafetyIdentifier, OutputFormat: t.OutputFormat, CreatedAt: t.created.Unix(), UpdatedAt: since.Unix(),
	}
	switch status {
	case running:
		if t.orders.word != "" {
			out.Status = t.orders.word
		}
	case failed:
		out.Error, _ = json.Marshal(Failure{t.orders.fail, "the task failed, as asked"})
	case succeeded:
		t.showResult(&out, sign)
	}
	return out
}

func (t *task) showResult(out *Task, sign func(name string) string) {
	tokens := int64(t.width) * int64(t.height) * framesPerSecond * t.seconds / 1024
	audio := t.GenerateAudio == nil || *t.GenerateAudio
	out.Error = json.RawMessage("null")
	out.Content = &Content{VideoURL: sign(t.id + ".mp4")}
	if t.ReturnLastFrame {
		out.Content.LastFrameURL = sign(t.id + ".png")
	}
	out.Usage = &Usage{tokens, tokens}
	out.Seed, out.Resolution, out.Ratio, out.FramesPerSecond = &t.seed, t.Resolution, t.Ratio, framesPerSecond
	if out.Frames = t.frames; t.frames == 0 {
		out.Duration = t.seconds
	}
	out.GenerateAudio, out.Draft = &audio, &t.Draft
}

// listed is how a list shows it: it says why under another name.
func (t Task) listed() Task {
	if len(t.Error) > 0 && string(t.Error) != "null" {
		t.FailureReason = new(Failure)
		_ = json.Unmarshal(t.Error, t.FailureReason)
	}
	t.Error = nil
	return t
}

// pixels are the numbers of pixels that a resolution stands for.
var pixels = map[string]float64{"480p": 864 * 480, "720p": 1280 * 720, "1080p": 1920 * 1080, "4k": 3840 * 2160}

// dimensions spreads a resolution's pixels over a ratio, with even sides.
func dimensions(resolution, ratio string) (w, h int) {
	var a, b float64
	if _, err := fmt.Sscanf(strings.ReplaceAll(ratio, ":", " "), "%g %g", &a, &b); err != nil {
		a, b = 16, 9
	}
	scale := math.Sqrt(pixels[resolution] / (a * b))
	even := func(side float64) int { return int(math.Round(side*scale/2)) * 2 }
	return even(a), even(b)
}

func randomSeed() int64 { return rand.Int64N(1 << 32) }
