package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/kinora/kinora/client"
)

type listenCommand struct {
	ForwardTo string        `help:"Where each webhook is posted, such as http://localhost:3000/hook. Without it they are only shown." placeholder:"URL"`
	Since     time.Duration `help:"Begin with what happened this long ago." placeholder:"1h"`
	Timeout   time.Duration `help:"How long the receiver may take to answer." default:"10s"`

	connection
}

const maxReceiverAnswer = 64 << 10 // bytes read of an answer, as a server does

// heardShape is one line of --json.
type heardShape struct {
	Position   string          `json:"position"`
	EventID    string          `json:"event_id"`
	EventType  string          `json:"event_type"`
	JobID      string          `json:"job_id"` // empty = the event is not about a generation
	ReceivedAt instant         `json:"received_at"`
	Forwarded  *forwardedShape `json:"forwarded"` // null without --forward-to
	Body       json.RawMessage `json:"body"`
}

type forwardedShape struct {
	Status    int     `json:"status"` // 0 = no answer
	LatencyMS float64 `json:"latency_ms"`
	Error     string  `json:"error,omitempty"`
}

func (l *listenCommand) Run(ctx context.Context, c *console) error {
	api, err := l.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	return l.listen(ctx, c, api)
}

func (l *listenCommand) listen(ctx context.Context, c *console, api *client.Client) error {
	to, err := l.forwarder()
	if err != nil {
		return err
	}
	defer to.close()
	options := client.StreamOptions{
		OnConnect: func() { c.note("%s", c.errStyle.dim("listening")) },
		OnBreak: func(err error, pause time.Duration) {
			c.note("%s %s; again in %s", c.errStyle.bad("broken:"), printable(withoutPrefix(err.Error())), elapsed(pause))
		},
	}
	if l.Since > 0 {
		options.Since = time.Now().Add(-l.Since)
	}
	err = api.Stream(ctx, options, func(w client.StreamedWebhook) error {
		heard := heardOf(w)
		heard.Forwarded = to.post(ctx, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.showHeard(heard)
	})
	if errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how it is meant to end
	}
	return err
}

func heardOf(w client.StreamedWebhook) heardShape {
	var body struct {
		JobID string `json:"job_id"`
	}
	_ = json.Unmarshal(w.Body, &body) // an event of another kind has none
	return heardShape{Position: w.ID, EventID: w.Header.Get("Webhook-Id"), EventType: w.Header.Get("X-Katalo-Event"), JobID: body.JobID,
		ReceivedAt: instant(time.Now()), Body: w.Body}
}

// showHeard writes one event: a line of text, or of JSON.
func (c *console) showHeard(h heardShape) error {
	if c.json {
		enc := json.NewEncoder(c.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(h)
	}
	outcome := ""
	switch f := h.Forwarded; {
	case f == nil:
	case f.Error != "":
		outcome = c.outStyle.bad(printable(f.Error))
	case f.Status/100 == 2:
		outcome = c.outStyle.good(fmt.Sprint(f.Status)) + "  " + elapsed(time.Duration(f.LatencyMS*float64(time.Millisecond)))
	default:
		outcome = c.outStyle.bad(fmt.Sprint(f.Status)) + "  " + elapsed(time.Duration(f.LatencyMS*float64(time.Millisecond)))
	}
	c.say("%s  %-22s %s  %s", time.Time(h.ReceivedAt).Format("15:04:05"), printable(h.EventType), printable(orDash(h.JobID)), outcome)
	return nil
}

// forwarder posts webhooks to a receiver on this machine or near it. nil posts none.
type forwarder struct {
	url  string
	http *http.Client
}

func (l *listenCommand) forwarder() (*forwarder, error) {
	if l.ForwardTo == "" {
		return nil, nil
	}
	u, err := url.Parse(l.ForwardTo)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--forward-to must be a URL such as http://localhost:3000/hook", "see kinora help listen")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // signed as they are, they go where they were told to
	return &forwarder{url: u.String(), http: &http.Client{Transport: transport, Timeout: l.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (f *forwarder) close() {
	if f != nil {
		f.http.CloseIdleConnections()
	}
}

// post sends body and headers unchanged.
func (f *forwarder) post(ctx context.Context, w client.StreamedWebhook) *forwardedShape {
	if f == nil {
		return nil
	}
	began := time.Now()
	status, err := f.send(ctx, w)
	shape := &forwardedShape{Status: status, LatencyMS: float64(time.Since(began).Microseconds()) / 1000}
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		shape.Error = err.Error()
	}
	return shape
}

func (f *forwarder) send(ctx context.Context, w client.StreamedWebhook) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(w.Body))
	if err != nil {
		return 0, errors.New("the request cannot be made")
	}
	req.Header = w.Header.Clone()
	resp, err := f.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxReceiverAnswer))
	return resp.StatusCode, err
}
