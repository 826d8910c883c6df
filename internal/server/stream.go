package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

const (
	eventsPath      = "/api/v1/events/stream"
	streamHeartbeat = 15 * time.Second
	// streamPatience is how long a write may wait for a reader, who otherwise comes back and goes on where it was.
	streamPatience = 30 * time.Second
	// maxStreams bounds the streams of a node, maxStreamsPerKey those of one key.
	maxStreams       = 256
	maxStreamsPerKey = 8
	// maxStreamSince is how far back a stream may begin.
	maxStreamSince = 30 * 24 * time.Hour
	// sinceGrace is for whoever asks for 30 days: by a clock of his own, and some time ago when it is read.
	sinceGrace = time.Minute
	// streamRetry is what readers are asked to wait before they come back, in milliseconds.
	streamRetry = "1000"
)

// Streams hands out an organisation's events as they become visible.
type Streams interface {
	// Listen writes to sink until ctx ends, sink returns an error, or the database cannot be read.
	Listen(ctx context.Context, organisationID string, at kinora.StreamPlace, heartbeat time.Duration, sink kinora.StreamSink) error
}

// Server-sent events (WHATWG HTML, section 9.2) with the webhooks of an organisation, for development without a public
// address.
func (s *Server) streamRoutes() []route {
	if s.cfg.Streams == nil {
		return nil
	}
	return []route{{method: http.MethodGet, pattern: eventsPath, dialect: &generationsDialect, auth: keyed,
		limit: limitGeneration, load: streaming, handler: s.stream}}
}

// streamedWebhook is the data of one event: a webhook as its receiver would get it.
type streamedWebhook struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"` // every byte of it; a body is UTF-8
}

func (s *Server) stream(ctx context.Context, x *exchange, r *http.Request) error {
	at, err := s.streamStart(r)
	if err != nil {
		return err
	}
	if !s.listening.enter(x.key.ID) {
		return &kinora.Error{Code: kinora.ErrRateLimited, Message: "this key has " + strconv.Itoa(maxStreamsPerKey) + " streams already", RetryAfter: time.Minute}
	}
	defer s.listening.leave(x.key.ID)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)()

	out := &eventWriter{x: x, control: http.NewResponseController(x.w)}
	_ = out.control.SetReadDeadline(time.Time{}) // there is nothing more to read, and its passing would end the request
	err = s.cfg.Streams.Listen(ctx, x.organisation.ID, at, s.heartbeat, kinora.StreamSink{
		Begin: out.begin,
		Event: out.event,
		Idle: func() error {
			if err := s.authenticate(ctx, x, r); err != nil { // the key may have been revoked
				return err
			}
			return out.idle()
		},
	})
	if x.status == 0 {
		return err
	}
	return nil // the stream has begun: its end says enough, and the reader comes back
}

// streamStart reads where the stream is to begin: Last-Event-ID, as a reader that comes back sends it by itself, else
// the parameter since. Neither reaches further back than maxStreamSince; who comes back after so long goes on there.
func (s *Server) streamStart(r *http.Request) (at kinora.StreamPlace, err error) {
	earliest := s.now().Add(-maxStreamSince)
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		if at, err = kinora.ParseStreamPlace(text); err != nil {
			return at, refuse(errMalformed, "Last-Event-ID is not one of this stream")
		}
		if at.Since.Before(earliest) {
			at.Since = earliest
		}
		return at, nil
	}
	text := r.URL.Query().Get("since")
	if text == "" {
		return at, nil
	}
	if at.Since, err = time.Parse(time.RFC3339, text); err != nil {
		return at, refuse(errMalformed, "since must be a time such as 2026-01-31T12:00:00Z")
	}
	if at.Since.Before(earliest.Add(-sinceGrace)) {
		return at, refuse(errMalformed, "since must not be more than 30 days ago")
	}
	return at, nil
}

// eventWriter writes server-sent events. One event at a time is in memory, and a reader that takes none for
// streamPatience loses its connection.
type eventWriter struct {
	x       *exchange
	control *http.ResponseController
	buf     bytes.Buffer
}

func (w *eventWriter) begin(at kinora.StreamPlace) error {
	// An id without data is remembered by the reader and shown to nobody.
	return w.open("id: " + at.String() + "\n")
}

// open begins the stream; first are its first lines.
func (w *eventWriter) open(first string) error {
	h := w.x.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would otherwise collect what comes
	h.Set("Cache-Control", "no-store, no-transform")
	w.x.WriteHeader(http.StatusOK)
	return w.write("retry: " + streamRetry + "\n" + first + "\n")
}

// idle shows that the stream is alive.
func (w *eventWriter) idle() error { return w.write(": still here\n\n") }

func (w *eventWriter) event(e kinora.Streamed) error {
	data := streamedWebhook{Headers: make(map[string]string, len(e.Header)), Body: string(e.Body)}
	for name := range e.Header {
		data.Headers[name] = e.Header.Get(name)
	}
	w.buf.Reset()
	w.buf.WriteString("id: " + e.Place.String() + "\nevent: webhook\ndata: ")
	enc := json.NewEncoder(&w.buf) // one line, with a line end
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return err
	}
	w.buf.WriteByte('\n')
	return w.write(w.buf.String())
}

func (w *eventWriter) write(text string) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := w.x.Write([]byte(text)); err != nil {
		return err
	}
	return w.control.Flush()
}

// perKey counts what each key has open.
type perKey struct {
	mu   sync.Mutex
	open map[string]int
	most int
}

func newPerKey(most int) *perKey { return &perKey{open: map[string]int{}, most: most} }

func (p *perKey) enter(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[key] >= p.most {
		return false
	}
	p.open[key]++
	return true
}

func (p *perKey) leave(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[key]--; p.open[key] == 0 {
		delete(p.open, key)
	}
}
