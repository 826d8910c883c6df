package client

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Pauses of Wait between two looks: growing by half each time, spread by a tenth either way.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 5 * time.Second
)

// DefaultMaxOutage is how long Wait bears a server that cannot be read.
const DefaultMaxOutage = 2 * time.Minute

// WaitOptions changes how Wait waits. The zero value is the default.
type WaitOptions struct {
	// OnProgress, when set, gets the task at the first look and whenever status or progress have changed, the last
	// time with the terminal state. It is called on Wait's own goroutine: looking pauses while it runs.
	OnProgress func(Task)
	// MaxOutage is how long looks may fail one after the other, for reasons that may pass, before Wait gives up.
	// Default DefaultMaxOutage.
	MaxOutage time.Duration
}

// TaskFailedError says that a task reached its end without success.
type TaskFailedError struct {
	Task Task
}

// Error gives the task's id and the server's reason.
func (e *TaskFailedError) Error() string {
	return fmt.Sprintf("client: task %s failed: %s", e.Task.ID, e.Task.ErrorMessage)
}

// Wait looks at a task until it has ended, first after nothing, then after 0.5 s and gradually longer, at
// most 5 s; a Retry-After makes it longer. It costs the server little, but where a webhook can reach you, a
// webhook is sooner and cheaper.
//
// It returns the finished task, or *TaskFailedError together with the failed task. Every other error means
// that the outcome is not known, and comes with the task as last seen (nil when it never was): the context's
// when ctx ended; *Error when the server refused a look, such as ErrNotFound; what the last look met when
// MaxOutage has passed.
func (c *Client) Wait(ctx context.Context, taskID string, opts WaitOptions) (*Task, error) {
	path, err := statusPath(taskID)
	if err != nil {
		return nil, err
	}
	if opts.MaxOutage <= 0 {
		opts.MaxOutage = DefaultMaxOutage
	}
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: longestPause, Multiplier: 1.5, RandomizationFactor: 0.1,
	}
	pauses.Reset()
	var seen *Task
	var failingSince time.Time // zero while looks succeed
	for {
		task, after, err := c.look(ctx, path)
		switch {
		case err == nil:
			failingSince = time.Time{}
			if opts.OnProgress != nil && (seen == nil || seen.Status != task.Status || seen.Progress != task.Progress) {
				opts.OnProgress(*task)
			}
			seen = task
			if task.Status == TaskFailed {
				return task, &TaskFailedError{Task: *task}
			}
			if task.Status.Terminal() {
				return task, nil
			}
		case !retryable(err):
			return seen, err
		case failingSince.IsZero():
			failingSince = c.clock.Now()
		}

		pause := max(after, min(pauses.NextBackOff(), longestPause))
		if err != nil && c.clock.Now().Add(pause).Sub(failingSince) > opts.MaxOutage {
			return seen, err
		}
		if ended := c.clock.Sleep(ctx, pause); ended != nil {
			if err != nil {
				return seen, fmt.Errorf("%w (no further look: %w)", err, ended)
			}
			return seen, fmt.Errorf("client: waiting for a task: %w", ended)
		}
	}
}

// look makes one try; Wait itself is what repeats it. after is what the server asked for, whether it answered
// well or not.
func (c *Client) look(ctx context.Context, path string) (task *Task, after time.Duration, err error) {
	a, err := c.once(ctx, call{op: opStatus, method: "GET", path: path})
	if err != nil {
		return nil, retryAfter(err), err
	}
	task, err = c.decodeTask(opStatus, a)
	return task, parseRetryAfter(a.header.Get("Retry-After"), c.clock.Now()), err
}
