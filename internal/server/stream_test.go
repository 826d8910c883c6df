package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// documentedStreams begins, sends one event, and ends.
type documentedStreams struct{ err error }

func (d documentedStreams) Listen(_ context.Context, _ string, _ kinora.StreamPlace, _ time.Duration, sink kinora.StreamSink) error {
	if d.err != nil {
		return d.err
	}
	return errors.Join(sink.Begin(streamPlace(7)), sink.Event(streamedEvent(8)))
}

func streamPlace(position int64) kinora.StreamPlace {
	return kinora.StreamPlace{Position: position, Since: time.UnixMicro(1_781_400_000_000_000).UTC()}
}

func streamedEvent(position int64) kinora.Streamed {
	return kinora.Streamed{Place: streamPlace(position), Type: "generation.completed", Header: http.Header{"Webhook-Id": {"evt_1"}}, Body: []byte("{\"text\":\"<ä>\\n\"}\n")}
}

// fakeStreams lets a test play the events.
type fakeStreams struct {
	from  chan kinora.StreamPlace
	steps chan func(kinora.StreamSink) error
}

func (f *fakeStreams) Listen(ctx context.Context, organisation string, from kinora.StreamPlace, heartbeat time.Duration, sink kinora.StreamSink) error {
	if organisation != ownID || heartbeat != streamHeartbeat {
		return errors.New("asked for something else")
	}
	f.from <- from
	if from.IsZero() {
		from = streamPlace(1)
	}
	if err := sink.Begin(from); err != nil {
		return err
	}
	for {
		select {
		case step := <-f.steps:
			if err := step(sink); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// streamFixture is a server on a real connection: streams need one. A request and its answer have the time of timeout each.
func streamFixture(t *testing.T, timeout time.Duration) (*fixture, *fakeStreams, string) {
	t.Helper()
	streams := &fakeStreams{from: make(chan kinora.StreamPlace, 20), steps: make(chan func(kinora.StreamSink) error)}
	f := newFixture(t, func(c *Config) { c.Streams = streams })
	h := HTTPServer(HTTPConfig{ReadTimeout: timeout, WriteTimeout: timeout}, f.Handler())
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = h
	ts.Start()
	t.Cleanup(ts.Close)
	return f, streams, ts.URL
}

func openStream(t *testing.T, url, apiKey string, header ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

// block reads up to the next empty line.
func block(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended after %q: %v", text.String(), err)
		}
		if line == "\n" {
			return text.String()
		}
		text.WriteString(line)
	}
}

func TestStream(t *testing.T) {
	const timeout = time.Second
	f, streams, url := streamFixture(t, timeout)
	resp, r := openStream(t, url+eventsPath, testKey, "Last-Event-ID", "41-1781400000000000")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" ||
		resp.Header.Get("Cache-Control") != "no-store, no-transform" {
		t.Errorf("%d, %v", resp.StatusCode, resp.Header)
	}
	if from := <-streams.from; from != streamPlace(41) {
		t.Errorf("begins %+v", from)
	}
	if got := block(t, r); got != "retry: 1000\nid: 41-1781400000000000\n" {
		t.Errorf("%q", got)
	}
	time.Sleep(timeout + timeout/10) // no deadline of the server's may end it
	streams.steps <- func(s kinora.StreamSink) error { return s.Event(streamedEvent(42)) }
	if got := block(t, r); got != "id: 42-1781400000000000\nevent: webhook\ndata: "+`{"headers":{"Webhook-Id":"evt_1"},"body":"{\"text\":\"<ä>\\n\"}\n"}`+"\n" {
		t.Errorf("%s", got)
	}
	streams.steps <- func(s kinora.StreamSink) error { return s.Idle() }
	if got := block(t, r); got != ": still here\n" {
		t.Errorf("%q", got)
	}
	f.Drain() // the server stops: the stream ends, and nothing waits for it
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestStreamStart(t *testing.T) {
	for name, tc := range map[string]struct {
		query, last string
		status      int
		since       string
	}{
		"now":          {"", "", 200, ""},
		"since":        {"?since=2026-06-14T09:00:00Z", "", 200, "2026-06-14T09:00:00Z"},
		"back":         {"", "5-1781400000000000", 200, "2026-06-14T01:20:00Z"},
		"back early":   {"", "0-1781400000000000", 200, "2026-06-14T01:20:00Z"},
		"back late":    {"", "5-1577836800000000", 200, "2026-05-15"},
		"made up":      {"", "2", 400, ""},
		"30 days":      {"?since=2026-05-15T10:29:59Z", "", 200, "2026-05-15T10:29:59Z"},
		"long ago":     {"?since=2020-06-14T09:00:00Z", "", 400, ""},
		"no time":      {"?since=1h", "", 400, ""},
		"no position":  {"", "evt_1", 400, ""},
		"minus":        {"", "-4", 400, ""},
		"back to zero": {"", "0", 400, ""},
	} {
		_, streams, url := streamFixture(t, time.Hour)
		resp, _ := openStream(t, url+eventsPath+tc.query, testKey, "Last-Event-ID", tc.last)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: answered %d", name, resp.StatusCode)
		}
		if tc.status == 200 {
			from := <-streams.from
			if tc.since == "" && !from.Since.IsZero() || tc.since != "" && !strings.HasPrefix(from.Since.Format(time.RFC3339), tc.since) {
				t.Errorf("%s: begins %+v", name, from)
			}
		}
	}
}

func TestStreamsPerKeyAreLimited(t *testing.T) {
	f, streams, url := streamFixture(t, time.Hour)
	var first *http.Response
	for i := range maxStreamsPerKey {
		resp, _ := openStream(t, url+eventsPath, testKey)
		if resp.StatusCode != 200 {
			t.Fatalf("stream %d: answered %d", i, resp.StatusCode)
		}
		if first == nil {
			first = resp
		}
		<-streams.from
	}
	if resp, _ := openStream(t, url+eventsPath, testKey); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: answered %d, %v", resp.StatusCode, resp.Header)
	}
	first.Body.Close()
	for { // its place is free once the server has seen it go
		if f.listening.enter("key_1") {
			f.listening.leave("key_1")
			break
		}
		time.Sleep(time.Millisecond)
	}
	if resp, _ := openStream(t, url+eventsPath, testKey); resp.StatusCode != 200 {
		t.Errorf("after one has gone: answered %d", resp.StatusCode)
	}
}

// A key that was revoked in between ends its stream with the next heartbeat.
func TestStreamEndsWithItsKey(t *testing.T) {
	var revoked bool
	streams := &fakeStreams{from: make(chan kinora.StreamPlace, 1), steps: make(chan func(kinora.StreamSink) error)}
	f := newFixture(t, func(c *Config) {
		inner := c.Authenticator
		c.Streams = streams
		c.Authenticator = authenticatorFunc(func(ctx context.Context, text string) (*kinora.Key, *kinora.Organisation, error) {
			if revoked {
				return nil, nil, kinora.Errorf(kinora.ErrUnauthorized, "revoked")
			}
			return inner.Authenticate(ctx, text)
		})
	})
	ts := httptest.NewServer(f.Handler())
	defer ts.Close()
	_, r := openStream(t, ts.URL+eventsPath, testKey)
	block(t, r)
	streams.steps <- func(s kinora.StreamSink) error { revoked = true; return s.Idle() }
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

type authenticatorFunc func(context.Context, string) (*kinora.Key, *kinora.Organisation, error)

func (f authenticatorFunc) Authenticate(ctx context.Context, text string) (*kinora.Key, *kinora.Organisation, error) {
	return f(ctx, text)
}
