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
	var seen *Task
	err = await(ctx, c, "a task", opts.MaxOutage, func(ctx context.Context) (look, error) {
		task, after, err := c.look(ctx, path)
		if err != nil {
			return look{after: after}, err
		}
		if opts.OnProgress != nil && (seen == nil || seen.Status != task.Status || seen.Progress != task.Progress) {
			opts.OnProgress(*task)
		}
		seen = task
		if task.Status == TaskFailed {
			return look{}, &TaskFailedError{Task: *task}
		}
		return look{after: after, ended: task.Status.Terminal()}, nil
	})
	return seen, err
}

// look is what one look at something that is waited for has brought.
type look struct {
	ended bool
	after time.Duration // the least pause before the next look
	held  bool          // the server has waited itself: the next look may follow at once
}

// await looks until what is looked at has ended. Looks that fail for reasons that may pass are borne for maxOutage; 0 =
// DefaultMaxOutage.
func await(ctx context.Context, c *Client, what string, maxOutage time.Duration, once func(context.Context) (look, error)) error {
	if maxOutage <= 0 {
		maxOutage = DefaultMaxOutage
	}
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: longestPause, Multiplier: 1.5, RandomizationFactor: 0.1,
	}
	pauses.Reset()
	var failingSince time.Time // zero while looks succeed
	for {
		now, err := once(ctx)
		switch {
		case err == nil && now.ended:
			return nil
		case err == nil:
			failingSince = time.Time{}
		case !retryable(err):
			return err
		case failingSince.IsZero():
			failingSince = c.clock.Now()
		}
		if err == nil && now.held {
			continue
		}
		pause := max(now.after, min(pauses.NextBackOff(), longestPause))
		if err != nil && c.clock.Now().Add(pause).Sub(failingSince) > maxOutage {
			return err
		}
		if ended := c.clock.Sleep(ctx, pause); ended != nil {
			if err != nil {
				return fmt.Errorf("%w (no further look: %w)", err, ended)
			}
			return fmt.Errorf("client: waiting for %s: %w", what, ended)
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
