package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora/client"
)

// taskShape is how --json shows a generation of the submit API.
type taskShape struct {
	TaskID          string        `json:"task_id"`
	Status          string        `json:"status"`   // not_started, running, finished or failed
	Progress        int           `json:"progress"` // 0 to 100
	CreatedTime     instant       `json:"created_time"`
	ErrorMessage    *string       `json:"error_message"` // null unless failed
	Failure         *failedShape  `json:"failure"`       // null unless failed
	CallbackIgnored string        `json:"callback_ignored,omitempty"`
	Files           []outputShape `json:"files"` // empty unless finished
}

// failedShape is why a generation failed.
type failedShape struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"` // the same request may succeed when it is submitted again
}

// outputShape is one output.
type outputShape struct {
	URL  string     `json:"url"`
	Type string     `json:"type"` // image or video
	File *fileShape `json:"file"` // null unless it has been downloaded
}

// fileShape is a file on this machine.
type fileShape struct {
	Path            string  `json:"path"` // absolute
	Bytes           int64   `json:"bytes"`
	ContentType     string  `json:"content_type"`     // judged by content
	Width           int     `json:"width"`            // pixels; 0 = not known
	Height          int     `json:"height"`           // pixels; 0 = not known
	DurationSeconds float64 `json:"duration_seconds"` // 0 for images, or when not known

	saved savedFile
}

func (f savedFile) shape() *fileShape {
	return &fileShape{Path: f.Path, Bytes: f.Bytes, ContentType: f.ContentType, Width: f.Width, Height: f.Height,
		DurationSeconds: f.Duration.Seconds(), saved: f}
}

func shapeOf(t *client.Task) taskShape {
	s := taskShape{
		TaskID: t.ID, Status: string(t.Status), Progress: t.Progress, CreatedTime: instant(t.CreatedAt),
		CallbackIgnored: t.CallbackIgnored, Files: []outputShape{},
	}
	if t.Status == client.TaskFailed {
		s.ErrorMessage = &t.ErrorMessage
	}
	for _, f := range t.Files {
		s.Files = append(s.Files, outputShape{URL: f.URL, Type: f.Type})
	}
	return s
}

// follow is what submit and status do with a task that exists.
type follow struct {
	wait    bool
	timeout time.Duration // 0 = none
	out     string        // folder for the outputs; empty = not downloaded
	resume  string        // command that takes up waiting again
}

// run waits for the task, downloads its outputs and shows it.
func (f follow) run(ctx context.Context, c *console, api *client.Client, task *client.Task) error {
	if f.wait && !task.Status.Terminal() {
		var err error
		if task, err = f.await(ctx, c, api, task); err != nil {
			return err
		}
	}
	shape := shapeOf(task)
	if task.Status == client.TaskFailed {
		shape.Failure = reason(ctx, api, task.ID)
	}
	if task.Status == client.TaskFinished && f.out != "" {
		if err := saveAll(ctx, api, &shape, f.out); err != nil {
			return withHint(err, "the generation itself succeeded; fetch its outputs with "+f.resume)
		}
	}
	if err := c.result(shape, func() { c.showTask(shape) }); err != nil {
		return err
	}
	if task.Status == client.TaskFailed {
		return &failure{exit: exitGeneration, message: "the generation failed", shown: true}
	}
	return nil
}

// await shows progress until the task has ended. A task that failed is a result here, not an error.
func (f follow) await(ctx context.Context, c *console, api *client.Client, task *client.Task) (*client.Task, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if f.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, f.timeout)
	}
	defer cancel()
	line := c.startProgress("")
	defer line.finish()
	line.set(0, string(task.Status), task.Progress)
	ended, err := api.Wait(limited, task.ID, client.WaitOptions{OnProgress: func(t client.Task) {
		if t.Status.Terminal() {
			line.end(0, string(t.Status), t.Progress, t.Status == client.TaskFailed)
			return
		}
		line.set(0, string(t.Status), t.Progress)
	}})
	line.finish()
	var failed *client.TaskFailedError
	if err == nil || errors.As(err, &failed) {
		return ended, nil
	}
	return nil, f.gaveUp(ctx, limited, err)
}

// gaveUp tells why the end was not seen, and how to take up waiting again.
func (f follow) gaveUp(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return &failure{exit: exitInterrupted, message: "interrupted; the generation goes on", cause: err, hint: "resume with " + f.resume}
	case limited.Err() != nil:
		return &failure{exit: exitTimeout, message: fmt.Sprintf("not finished after %s; the generation goes on", f.timeout), cause: err, hint: "resume with " + f.resume}
	}
	shown := *explain(err)
	if shown.exit == exitUnavailable {
		shown.hint = "the generation is not affected; resume with " + f.resume
	}
	return &shown
}

// reason reads why a task failed in the closed words of the generations API. It is an addition: a server that has no
// such answer costs nothing but the addition.
func reason(ctx context.Context, api *client.Client, id string) *failedShape {
	g, err := api.Generation(ctx, id)
	if err != nil || g.Failure == nil {
		return nil
	}
	return &failedShape{Code: g.Failure.Code, Message: g.Failure.Message, Retryable: g.Failure.Retryable}
}

// saveAll downloads all outputs as <task id>-<n>.<ext>.
func saveAll(ctx context.Context, api *client.Client, shape *taskShape, dir string) error {
	for i := range shape.Files {
		f := &shape.Files[i]
		saved, err := download(ctx, api, f.URL, dir, fmt.Sprintf("%s-%d", fileStem(shape.TaskID), i+1))
		if err != nil {
			return fmt.Errorf("output %d: %w", i+1, err)
		}
		f.File = saved.shape()
	}
	return nil
}

// showTask writes a task for people.
func (c *console) showTask(s taskShape) {
	state := s.Status
	switch client.TaskStatus(s.Status) {
	case client.TaskFinished:
		state = c.outStyle.good(state)
	case client.TaskFailed:
		state = c.outStyle.bad(state)
	default:
		state = fmt.Sprintf("%s, %d %%", state, s.Progress)
	}
	c.say("%s  %s", c.outStyle.bold(printable(s.TaskID)), state)
	if s.ErrorMessage != nil {
		c.say("  %s", printable(*s.ErrorMessage))
	}
	if s.Failure != nil {
		again := "the same request will fail again"
		if s.Failure.Retryable {
			again = "the same request may succeed when it is submitted again"
		}
		c.say("  %s: %s", printable(s.Failure.Code), again)
	}
	if s.CallbackIgnored != "" {
		c.say("  callback_url is not called: %s", printable(s.CallbackIgnored))
	}
	for _, f := range s.Files {
		if f.File != nil {
			c.say("  %s  %s", printable(nearby(f.File.Path)), f.File.saved.summary())
			continue
		}
		c.say("  %s  %s", printable(f.Type), printable(f.URL))
	}
}
