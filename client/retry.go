package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// RetryPolicy says how calls that are safe to repeat are repeated: reads, downloads (from where they broke
// off) and submits with an Idempotency-Key. Zero fields stand for the defaults.
//
// The n-th pause is drawn evenly from 0 to InitialInterval × 2ⁿ⁻¹, at most MaxInterval ("full jitter"), so that
// many clients of a server that comes back do not come back together. A Retry-After is waited for in addition.
type RetryPolicy struct {
	// MaxTries is the number of tries in all. Default 4; 1 = never repeat.
	MaxTries int
	// InitialInterval is the longest first pause. Default 500 ms.
	InitialInterval time.Duration
	// MaxInterval is the longest pause that is not asked for by the server. Default 10 s; at least
	// InitialInterval.
	MaxInterval time.Duration
	// MaxRetryAfter is the longest Retry-After that is waited for inside a call. Where the server asks for
	// more the call fails at once, and Error.RetryAfter tells. Default 1 minute. It does not limit Wait.
	MaxRetryAfter time.Duration
	// AttemptTimeout limits one try of a call with a JSON answer, and in a download the time without a single
	// byte. Uploads are limited by their context and the HTTP client only. Default 30 s.
	AttemptTimeout time.Duration
}

func (p RetryPolicy) withDefaults() (RetryPolicy, error) {
	if p.MaxTries < 0 || p.InitialInterval < 0 || p.MaxInterval < 0 || p.MaxRetryAfter < 0 || p.AttemptTimeout < 0 {
		return p, errors.New("client: a field of the retry policy is negative")
	}
	if p.MaxTries == 0 {
		p.MaxTries = 4
	}
	if p.InitialInterval == 0 {
		p.InitialInterval = 500 * time.Millisecond
	}
	if p.MaxInterval == 0 {
		p.MaxInterval = 10 * time.Second
	}
	p.MaxInterval = max(p.MaxInterval, p.InitialInterval)
	if p.MaxRetryAfter == 0 {
		p.MaxRetryAfter = time.Minute
	}
	if p.AttemptTimeout == 0 {
		p.AttemptTimeout = 30 * time.Second
	}
	return p, nil
}

// pauses draws full-jitter pauses: the library spreads by ± its factor round the interval, so a factor of 1
// round half the interval is the range from 0 to the interval.
func (p RetryPolicy) pauses() backoff.BackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: p.InitialInterval / 2, MaxInterval: p.MaxInterval / 2, Multiplier: 2, RandomizationFactor: 1,
	}
	b.Reset()
	return b
}

// retry calls try until it succeeds, fails for good, or the policy or ctx ends. The loop is our own because
// the library's knows neither an injected clock nor a limit on Retry-After, and drops the last error when ctx
// ends.
func (c *Client) retry(ctx context.Context, try func(context.Context) error) error {
	pauses := c.policy.pauses()
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || n >= c.policy.MaxTries || !retryable(err) {
			return err
		}
		after := retryAfter(err)
		if after > c.policy.MaxRetryAfter {
			return err
		}
		if ended := c.clock.Sleep(ctx, after+pauses.NextBackOff()); ended != nil {
			return fmt.Errorf("%w (no further try: %w)", err, ended)
		}
	}
}

// retryable reports whether the same request may succeed later. What it says of a POST is not
// permission to repeat it: that takes an Idempotency-Key.
func retryable(err error) bool {
	var ours *writeError
	if errors.As(err, &ours) {
		return false
	}
	var answered *Error
	if errors.As(err, &answered) {
		return answered.Retryable
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return false // waiting does not mend it
	}
	var broken *connectionError
	return errors.As(err, &broken)
}

// retryAfter is what the server asked for in err; 0 = nothing.
func retryAfter(err error) time.Duration {
	var answered *Error
	if errors.As(err, &answered) {
		return answered.RetryAfter
	}
	return 0
}
