package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

const opStream = "GET /api/v1/events/stream"

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
	s := &eventSource{client: c, op: opStream, last: o.After, onConnect: o.OnConnect, onBreak: o.OnBreak}
	s.path = func() string {
		path := "/api/v1/events/stream"
		if s.last == "" && !o.Since.IsZero() {
			path += "?" + url.Values{"since": {o.Since.UTC().Format(time.RFC3339)}}.Encode()
		}
		return path
	}
	s.handle = func(e serverEvent) error {
		var w struct {
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body"`
		}
		if err := json.Unmarshal([]byte(e.data), &w); err != nil || w.Headers == nil {
			return errors.New("an event of the stream cannot be read")
		}
		header := make(http.Header, len(w.Headers))
		for name, value := range w.Headers {
			header.Set(name, value)
		}
		if err := handle(StreamedWebhook{ID: e.id, Header: header, Body: []byte(w.Body)}); err != nil {
			return handleError{err}
		}
		return nil
	}
	return s.run(ctx)
}
