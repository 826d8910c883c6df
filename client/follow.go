package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const opFollow = "GET /api/v1/generations/{job_id}/events"

// longestHold is how long one look of WaitGeneration has the server wait.
const longestHold = 20 * time.Second

// GenerationWaitOptions changes how WaitGeneration waits. The zero value is the default.
type GenerationWaitOptions struct {
	// OnProgress, when set, gets the generation at the first look and whenever status or progress have changed, the last
	// time with its end. It is called on WaitGeneration's own goroutine. It makes looks more frequent; Follow is told of
	// changes without looking.
	OnProgress func(Generation)
	// MaxOutage is how long looks may fail one after the other, for reasons that may pass. Default DefaultMaxOutage.
	MaxOutage time.Duration
}

// GenerationFailedError says that a generation reached its end without success: failed or cancelled.
type GenerationFailedError struct {
	Generation Generation
}

// Error gives the generation's id and the reason.
func (e *GenerationFailedError) Error() string {
	code, message := "", ""
	if f := e.Generation.Failure; f != nil {
		code, message = f.Code, f.Message
	}
	return fmt.Sprintf("client: generation %s %s: %s: %s", e.Generation.JobID, e.Generation.Status, code, message)
}

// WaitGeneration waits until a generation has ended. The server holds each look for up to 20 s (Prefer: wait), so that few
// are needed; one that does not know how is looked at every 0.5 to 5 s.
//
// It returns the generation that has succeeded, or *GenerationFailedError together with the one that has not. Every other
// error means that the outcome is not known, and comes with the generation as last seen (nil when it never was).
func (c *Client) WaitGeneration(ctx context.Context, jobID string, opts GenerationWaitOptions) (*Generation, error) {
	if err := checkID(opGeneration, jobID); err != nil {
		return nil, err
	}
	path := "/api/v1/generations/" + url.PathEscape(jobID)
	header := http.Header{}
	if hold := min(longestHold, c.policy.AttemptTimeout*2/3).Truncate(time.Second); opts.OnProgress == nil && hold > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(int(hold.Seconds())))
	}
	var seen *Generation
	err := await(ctx, c, "a generation", opts.MaxOutage, func(ctx context.Context) (look, error) {
		began := time.Now()
		a, err := c.once(ctx, call{op: opGeneration, method: http.MethodGet, path: path, header: header})
		if err != nil {
			return look{after: retryAfter(err)}, err
		}
		g, err := decodeGeneration(opGeneration, a)
		if err != nil {
			return look{}, err
		}
		if opts.OnProgress != nil && (seen == nil || seen.Status != g.Status || seen.Progress != g.Progress) {
			opts.OnProgress(*g)
		}
		seen = g
		// A server that is being stopped answers early, and is not to be asked again at once.
		held := a.header.Get("Preference-Applied") != "" && time.Since(began) > time.Second
		return look{ended: g.Status.Terminal(), held: held, after: parseRetryAfter(a.header.Get("Retry-After"), c.clock.Now())}, nil
	})
	if err != nil {
		return seen, err
	}
	return seen, seen.failure()
}

// failure is the error that a terminal generation stands for; nil when it has succeeded.
func (g *Generation) failure() error {
	if g.Status == GenerationSucceeded {
		return nil
	}
	return &GenerationFailedError{Generation: *g}
}

// Follow hands handle the generation as it is and whenever its status or progress have changed, as the server tells, the
// last time with its end; nil = just wait for it. A connection that breaks is made again, and goes on with what has changed
// since. handle's error ends it and comes back.
//
// It returns like WaitGeneration.
func (c *Client) Follow(ctx context.Context, jobID string, handle func(Generation) error) (*Generation, error) {
	if err := checkID(opFollow, jobID); err != nil {
		return nil, err
	}
	path := "/api/v1/generations/" + url.PathEscape(jobID) + "/events"
	var seen *Generation
	s := &eventSource{client: c, op: opFollow, path: func() string { return path }}
	s.handle = func(e serverEvent) error {
		g, err := decodeGeneration(opFollow, answer{body: json.RawMessage(e.data)})
		if err != nil {
			return err
		}
		seen = g
		if handle != nil {
			if err := handle(*g); err != nil {
				return handleError{err}
			}
		}
		if g.Status.Terminal() {
			return handleError{errNoContent}
		}
		return nil
	}
	err := s.run(ctx)
	if errors.Is(err, errNoContent) {
		return seen, seen.failure()
	}
	return seen, err
}
