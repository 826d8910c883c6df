package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

const (
	maxAnswer      = 8 << 20  // bytes of a JSON answer; the largest of the contracts are far below
	maxErrorAnswer = 64 << 10 // bytes of an answer that reports a failure
)

// call is one exchange with a JSON answer.
type call struct {
	op     string // method and route without ids: what errors show
	method string
	path   string // escaped, below the base URL
	header http.Header
	body   []byte // nil = none
}

// answer is a 2xx.
type answer struct {
	header http.Header
	body   []byte
}

// get reads path, repeating it as the policy says.
func (c *Client) get(ctx context.Context, op, path string) (answer, error) {
	return c.repeat(ctx, call{op: op, method: http.MethodGet, path: path})
}

// repeat is once, repeated as the policy says. Only for calls that are safe to repeat.
func (c *Client) repeat(ctx context.Context, call call) (answer, error) {
	var a answer
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		a, err = c.once(ctx, call)
		return err
	})
	return a, err
}

// errNoAnswer ends one try; the caller's own context goes on.
var errNoAnswer = errors.New("no answer in time")

// once makes one try, limited by the policy's AttemptTimeout.
func (c *Client) once(ctx context.Context, call call) (answer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.policy.AttemptTimeout, errNoAnswer)
	defer cancel()
	var body io.Reader
	if call.body != nil {
		body = bytes.NewReader(call.body)
	}
	req, err := http.NewRequestWithContext(limited, call.method, c.base+call.path, body)
	if err != nil {
		return answer{}, fmt.Errorf("client: %s: the request cannot be made", call.op)
	}
	for name, values := range call.header {
		req.Header[name] = values
	}
	if call.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.exchange(ctx, call.op, req)
}

// exchange sends req with the key and reads the whole answer; ctx is the caller's, without a limit per try.
// Every status outside 2xx is an *Error.
func (c *Client) exchange(ctx context.Context, op string, req *http.Request) (answer, error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	c.authorise(req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.connectionError(ctx, op, req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer)) // a cut body still has its status
		return answer{}, c.errorFrom(op, resp.StatusCode, resp.Header, body)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, c.connectionError(ctx, op, req, err)
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("client: %s: the answer is larger than %d bytes", op, maxAnswer)
	}
	return answer{header: resp.Header, body: body}, nil
}

// connectionError turns what net/http reports into what a caller may see. ctx is the caller's: when it has ended,
// that is the reason, and not that the server could not be reached.
func (c *Client) connectionError(ctx context.Context, op string, req *http.Request, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("client: %s: %w", op, ended)
	}
	if req.Context().Err() != nil {
		err = context.Cause(req.Context()) // our own limit of this try
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the wrapper's text is the URL, which may be signed
	}
	text := c.clean(err.Error(), maxMessage)
	return &connectionError{op: op, text: text, cause: err}
}

// marshal makes a JSON body; values of a caller's own types may fail.
func marshal(op string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("client: %s: %w: %w", op, ErrInvalid, err)
	}
	return body, nil
}
