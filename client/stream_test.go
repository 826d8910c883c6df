package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
)

// patientClock counts pauses and lets them pass at once.
type patientClock struct{ pauses int }

func (*patientClock) Now() time.Time { return time.Now() }

func (c *patientClock) Sleep(ctx context.Context, _ time.Duration) error {
	c.pauses++
	return ctx.Err()
}

func block(id int, body string) string {
	return fmt.Sprintf("id: %d\nevent: webhook\ndata: {\"headers\":{\"webhook-id\":\"evt_%d\"},\"body\":%q}\n\n", id, id, body)
}

// Each connection says a little and breaks; the next goes on behind the last whole event.
func TestStreamGoesOnWhereItBroke(t *testing.T) {
	scripts := []string{
		"retry: 1000\n\n", // no id yet: it begins as before
		"retry: 1000\nid: 10\n\n",
		block(11, "a") + ": still here\n\n" + "id: 12\ndata: {\"head", // broken in the middle
		"", // no stream at all: 503
		block(12, "b") + block(13, "c"),
		block(14, "d"),
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Last-Event-ID")+r.URL.RawQuery)
		script := scripts[min(len(asked), len(scripts))-1]
		if r.Header.Get("Authorization") != "Bearer sk-test" || script == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(script))
	}))
	defer server.Close()
	clock := &patientClock{}
	c, err := client.New(server.URL, "sk-test", client.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	enough := errors.New("enough")
	var got []string
	breaks, connects := 0, 0
	since := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	err = c.Stream(t.Context(), client.StreamOptions{Since: since, OnConnect: func() { connects++ }, OnBreak: func(error, time.Duration) { breaks++ }}, func(w client.StreamedWebhook) error {
		got = append(got, w.ID+w.Header.Get("Webhook-Id")+string(w.Body))
		if len(got) == 4 {
			return enough
		}
		return nil
	})
	if err != enough || !slices.Equal(got, []string{"11evt_11a", "12evt_12b", "13evt_13c", "14evt_14d"}) {
		t.Errorf("%v, got %v", err, got)
	}
	if !slices.Equal(asked, []string{"since=2026-01-31T12%3A00%3A00Z", "since=2026-01-31T12%3A00%3A00Z", "10", "11", "11", "13"}) {
		t.Errorf("asked for %q", asked)
	}
	if breaks != 5 || clock.pauses != 5 || connects != 5 {
		t.Errorf("%d breaks, %d pauses, %d connections", breaks, clock.pauses, connects)
	}
}

func TestStreamEndsForGood(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		kind   string
		says   string
		is     error
	}{
		"wrong key":    {401, "application/json", "", client.ErrUnauthorized},
		"bad id":       {400, "application/json", "", client.ErrInvalid},
		"another page": {200, "text/html", "is this a Kinora server", nil},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.kind)
			w.WriteHeader(tc.status)
		}))
		c, err := client.New(server.URL, "sk-test", client.WithClock(&patientClock{}))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Stream(t.Context(), client.StreamOptions{}, func(client.StreamedWebhook) error { return nil })
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		c.CloseIdleConnections()
		server.Close()
	}
	// With its context it ends in the middle of a connection.
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(block(1, "a")))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	c, err := client.New(server.URL, "sk-test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	if err := c.Stream(ctx, client.StreamOptions{}, func(client.StreamedWebhook) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
