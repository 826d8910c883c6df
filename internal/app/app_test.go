package app_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// run starts a whole server on a database, with the sandbox, reachable from receivers on
// this machine.
func run(t *testing.T, dsn string, change func(*config.Config)) *app.App {
	t.Helper()
	return runTimed(t, dsn, lifecycle.Timing{}, change)
}

// runTimed is run with waits of the test's own.
func runTimed(t *testing.T, dsn string, timing lifecycle.Timing, change func(*config.Config)) *app.App {
	t.Helper()
	// A node that PostgreSQL leaves without a sign of life for four beats breaks off its submit calls, whose outcome is
	// unknown then: a machine that is busy needs seconds for them.
	timing.Idle, timing.Beat = 100*time.Millisecond, 2*time.Second
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Database = dsn
	cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
	cfg.Webhooks.AllowHTTP = true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	if change != nil {
		change(&cfg)
	}
	var log records
	a, err := app.New(t.Context(), cfg, app.Options{Timing: timing, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the program's log:\n%s\nhas not ended:\n%s", log.String(), live(a))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return a
}

// records is a log that is written and read at once.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// live are the attempts that have not ended, for the message of a failure.
func live(a *app.App) string {
	var out strings.Builder
	err := a.View(context.Background(), func(tx *store.Tx) error {
		list, err := tx.LiveAttempts(20)
		for _, a := range list {
			fmt.Fprintf(&out, "%s of %s is %s, accepted %s, due %s, held by %q\n", a.ID(), a.Model, a.State, a.AcceptedAt.Format(time.StampMilli), a.DueAt.Format(time.StampMilli), a.LeaseOwner)
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}

// inbox is a receiver that verifies what it gets.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	events []webhook.Event
	wrong  []error
	came   chan webhook.Event
}

func newInbox(t *testing.T, secret func() string) *inbox {
	in := &inbox{came: make(chan webhook.Event, 1000)}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v, err := webhook.NewVerifier([]string{secret()})
		var e webhook.Event
		if err == nil {
			e, err = v.Verify(r.Header, body)
		}
		in.mu.Lock()
		if err != nil {
			in.wrong = append(in.wrong, err)
		}
		in.events = append(in.events, e)
		in.mu.Unlock()
		in.came <- e
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) next(t *testing.T) webhook.Event {
	t.Helper()
	select {
	case e := <-in.came:
		in.mu.Lock()
		defer in.mu.Unlock()
		if len(in.wrong) > 0 {
			t.Fatalf("a delivery did not verify: %v", in.wrong[0])
		}
		return e
	case <-time.After(time.Minute):
		t.Fatal("no webhook came")
	}
	return webhook.Event{}
}

// The whole way through the public API: submit, wait, webhook, download, on both databases
// and through both kinds of upstream.
func TestSubmitToWebhook(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		in := newInbox(t, func() string { return a.Bootstrapped().Secret.Text })
		c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseIdleConnections)
		for _, model := range []string{"sandbox-image", "sandbox-image-callback", "sandbox-video"} {
			task, err := c.Submit(t.Context(), client.SubmitRequest{Model: model,
				Input:   client.Input{Prompt: "two kites over a quiet bay", Size: "256x128"},
				Webhook: &client.Webhook{URL: in.URL}})
			if err != nil {
				t.Fatal(model, err)
			}
			got, err := c.Wait(t.Context(), task.ID, client.WaitOptions{})
			if err != nil {
				t.Fatal(model, err)
			}
			if got.Status != "finished" || len(got.Files) != 1 {
				t.Fatalf("%s: %+v", model, got)
			}
			e := in.next(t)
			if e.JobID != task.ID || e.EventType != "generation.completed" || len(e.Outputs) != 1 {
				t.Fatalf("%s: event %+v", model, e)
			}
			var file bytes.Buffer
			if _, err := c.Download(t.Context(), e.Outputs[0].URL, &file); err != nil {
				t.Fatal(model, err)
			}
			if model == "sandbox-video" {
				if e.Outputs[0].ContentType != "video/mp4" || filepath.Ext(got.Files[0].URL[:bytes.IndexByte([]byte(got.Files[0].URL), '?')]) != ".mp4" {
					t.Errorf("video came as %s at %s", e.Outputs[0].ContentType, got.Files[0].URL)
				}
				continue
			}
			picture, _, err := image.DecodeConfig(&file)
			if err != nil || picture.Width != 256 || picture.Height != 128 {
				t.Errorf("%s: %+v %v", model, picture, err)
			}
		}
	})
}
