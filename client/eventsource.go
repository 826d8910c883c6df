package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	maxStreamLine = 8 << 20 // bytes; a webhook's body is far below
	// streamSilence is how long a stream may say nothing. The server sends a sign of life every 15 s.
	streamSilence = 45 * time.Second
)

// eventSource reads server-sent events (WHATWG HTML, section 9.2) over as many connections as it takes.
type eventSource struct {
	client *Client
	op     string
	path   func() string // asked before each connection
	last   string        // id of the last event that was handed out
	handle func(serverEvent) error

	onConnect func()                               // nil = nothing
	onBreak   func(err error, pause time.Duration) // nil = nothing
}

// serverEvent is one event that has data.
type serverEvent struct{ id, data string }

// handleError marks the caller's own, and whatever else ends a stream for good.
type handleError struct{ err error }

func (e handleError) Error() string { return e.err.Error() }

// errNoContent says that there is nothing more to come (204).
var errNoContent = errors.New("the stream has ended")

// errSilent ends a connection that says nothing any more.
var errSilent = errors.New("the stream has fallen silent")

// run reads until ctx ends, handle returns a handleError, or the server refuses for good. A connection that breaks is made
// again, with growing pauses.
func (s *eventSource) run(ctx context.Context) error {
	pauses := s.client.policy.pauses()
	for {
		began := false
		err := s.once(ctx, func() {
			began = true
			pauses.Reset()
			if s.onConnect != nil {
				s.onConnect()
			}
		})
		var own handleError
		switch {
		case errors.As(err, &own):
			return own.err
		case ctx.Err() != nil:
			return ctx.Err()
		case !began && !retryable(err):
			return err
		}
		pause := retryAfter(err) + pauses.NextBackOff()
		if s.onBreak != nil {
			s.onBreak(err, pause)
		}
		if ended := s.client.clock.Sleep(ctx, pause); ended != nil {
			return ended
		}
	}
}

// once reads one connection to its end, which always is an error.
func (s *eventSource) once(ctx context.Context, began func()) error {
	c := s.client
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, c.base+s.path(), nil)
	if err != nil {
		return fmt.Errorf("client: %s: the request cannot be made", s.op)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	req.Header.Set("User-Agent", c.userAgent)
	if s.last != "" {
		req.Header.Set("Last-Event-ID", s.last)
	}
	c.authorise(req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.connectionError(ctx, s.op, req, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return handleError{errNoContent}
	case resp.StatusCode != http.StatusOK:
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
		return c.errorFrom(s.op, resp.StatusCode, resp.Header, body)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("client: %s: the answer is not a stream of events; is this a Kinora server?", s.op)
	}
	began()
	err = s.read(resp.Body, func() { silence.Reset(streamSilence) })
	var own handleError
	if errors.As(err, &own) {
		return err
	}
	return c.connectionError(ctx, s.op, req, err)
}

// read takes server-sent events apart (WHATWG HTML, section 9.2.6), as far as this server sends them. What follows the
// last event that was handed out is forgotten.
func (s *eventSource) read(r io.Reader, alive func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxStreamLine)
	id, data, some := "", "", false
	for lines.Scan() {
		alive()
		line := lines.Text()
		if line == "" {
			if err := s.dispatch(serverEvent{id, data}); err != nil {
				return err
			}
			data, some = "", false
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "data":
			if some {
				data += "\n"
			}
			data, some = data+value, true
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF // the server has ended it, and will take it up again
}

// dispatch hands an event out, and only then counts it as seen.
func (s *eventSource) dispatch(e serverEvent) error {
	if e.data != "" {
		if err := s.handle(e); err != nil {
			return err
		}
	}
	if e.id != "" {
		s.last = e.id
	}
	return nil
}
