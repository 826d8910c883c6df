package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxStreamLine = 8 << 20 // bytes; a webhook's body is far below
	// streamSilence is how long a stream may say nothing. The server sends a sign of life every 15 s.
	streamSilence = 45 * time.Second
)

// StreamOptions say where a stream begins; the zero value: with what comes from now on.
type StreamOptions struct {
	// After begins behind a webhook of an earlier stream, by its ID. Nothing in between is missed.
	After string
	// Since begins with events that were created then; at most 30 days ago. After goes first.
	Since time.Time
	// OnConnect is called whenever the stream has begun or goes on; nil = nothing.
	OnConnect func()
	// OnBreak is called when the connection has broken, with the reason and the pause before the next; nil = nothing.
	OnBreak func(err error, pause time.Duration)
}

// StreamedWebhook is a webhook as its receiver would get it: verify it with package client/webhook.
type StreamedWebhook struct {
	ID     string // its place in the stream, for StreamOptions.After
	Header http.Header
	Body   []byte
}

// Stream hands every webhook of the key's organisation to handle, in the order in which they became visible, each once,
// for as long as ctx lasts. A connection that breaks is made again, with growing pauses, and goes on behind the last
// webhook that was handed out.
//
// It ends with ctx's error, with handle's, or with an *Error that says that the server refuses for good.
func (c *Client) Stream(ctx context.Context, o StreamOptions, handle func(StreamedWebhook) error) error {
	s := &stream{client: c, options: o, last: o.After, handle: handle}
	pauses := c.policy.pauses()
	for {
		began := false
		err := s.once(ctx, func() {
			began = true
			pauses.Reset()
			if o.OnConnect != nil {
				o.OnConnect()
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
		if o.OnBreak != nil {
			o.OnBreak(err, pause)
		}
		if ended := c.clock.Sleep(ctx, pause); ended != nil {
			return ended
		}
	}
}

// stream is one Stream on its way through its connections.
type stream struct {
	client  *Client
	options StreamOptions
	last    string // id; empty before the first
	handle  func(StreamedWebhook) error
}

// handleError marks the caller's own.
type handleError struct{ err error }

func (e handleError) Error() string { return e.err.Error() }

const opStream = "GET /api/v1/events/stream"

// errSilent ends a connection that says nothing any more.
var errSilent = errors.New("the stream has fallen silent")

// once reads one connection to its end, which always is an error.
func (s *stream) once(ctx context.Context, began func()) error {
	c := s.client
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	path := "/api/v1/events/stream"
	if s.last == "" && !s.options.Since.IsZero() {
		path += "?" + url.Values{"since": {s.options.Since.UTC().Format(time.RFC3339)}}.Encode()
	}
	req, err := http.NewRequestWithContext(limited, http.MethodGet, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("client: %s: the request cannot be made", opStream)
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
		return c.connectionError(ctx, opStream, req, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
		return c.errorFrom(opStream, resp.StatusCode, resp.Header, body)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("client: %s: the answer is not a stream of events; is this a Kinora server?", opStream)
	}
	began()
	err = s.read(resp.Body, func() { silence.Reset(streamSilence) })
	var own handleError
	if errors.As(err, &own) {
		return err
	}
	return c.connectionError(ctx, opStream, req, err)
}

// read takes server-sent events apart (WHATWG HTML, section 9.2.6), as far as this server sends them.
func (s *stream) read(r io.Reader, alive func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxStreamLine)
	id, data := "", ""
	for lines.Scan() {
		alive()
		line := lines.Text()
		if line == "" {
			if err := s.dispatch(id, data); err != nil {
				return err
			}
			data = ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "data":
			data += value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF // the server has ended it, and will take it up again
}

// dispatch hands an event out, and only then counts it as seen.
func (s *stream) dispatch(id, data string) error {
	if data != "" {
		var w struct {
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body"`
		}
		if err := json.Unmarshal([]byte(data), &w); err != nil || w.Headers == nil {
			return errors.New("an event of the stream cannot be read")
		}
		header := make(http.Header, len(w.Headers))
		for name, value := range w.Headers {
			header.Set(name, value)
		}
		if err := s.handle(StreamedWebhook{ID: id, Header: header, Body: []byte(w.Body)}); err != nil {
			return handleError{err}
		}
	}
	if id != "" {
		s.last = id
	}
	return nil
}
