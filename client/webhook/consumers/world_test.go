// Package consumers_test holds the receivers of docs/webhooks.md, and the verifiers that others have written, against real
// deliveries: a whole server runs, and its webhooks go to the very code that the page shows.
//
// How the server delivers when receivers fail is not its duty; that is tested in internal/webhook.
package consumers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
)

// patience is for what happens within moments, unless the machine is busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		npm.Remove()
		os.Exit(code)
	}))
}

// world is a server that may deliver to this machine, and its one organisation's client.
type world struct {
	*app.App
	api  *client.Client
	http *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cfg := config.Default()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
	cfg.Webhooks.AllowHTTP = true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	a, err := app.New(t.Context(), cfg, app.Options{Version: "test", Timing: lifecycle.Timing{Idle: 100 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{App: a, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if w.api, err = client.New(a.LocalURL(), a.Bootstrapped().KeyText); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.CloseIdleConnections)
	return w
}

func (w *world) secret() string { return w.Bootstrapped().Secret.Text }

func (w *world) organisation() string { return w.Bootstrapped().Organisation.ID }

// submit asks for a small image whose event goes to url; empty = nowhere. fail is how it ends, as the sandbox has it.
func (w *world) submit(t *testing.T, url, fail string) string {
	t.Helper()
	options := map[string]any{"delay": "100ms"}
	if fail != "" {
		options["fail"] = fail
	}
	req := client.SubmitRequest{Model: "sandbox-image", Reference: "order-17", Metadata: map[string]any{"row": 7, "note": "größer <&>"},
		Input: client.Input{Prompt: "two kites over a quiet bay", Size: "64x64", Metadata: map[string]any{"sandbox": options}}}
	if url != "" {
		req.Webhook = &client.Webhook{URL: url}
	}
	task, err := w.api.Submit(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return task.ID
}

// finished submits a generation that nobody is told of, and waits for its end.
func (w *world) finished(t *testing.T) string {
	t.Helper()
	jobID := w.submit(t, "", "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.api.Wait(ctx, jobID, client.WaitOptions{}); err != nil {
		t.Fatal(err)
	}
	return jobID
}

// delivery is one that was received.
type delivery struct {
	jobID  string
	header http.Header
	body   []byte
}

// record has a generation's event delivered, and returns what arrived.
func (w *world) record(t *testing.T) delivery {
	t.Helper()
	came := make(chan delivery, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a delivery: %v", err)
		}
		came <- delivery{header: r.Header.Clone(), body: body}
	}))
	defer receiver.Close()
	jobID := w.submit(t, receiver.URL, "")
	select {
	case d := <-came:
		d.jobID = jobID
		return d
	case <-time.After(patience):
		t.Fatal("no delivery came")
	}
	return delivery{}
}

// post sends a delivery to a receiver, and returns how it answers.
func (w *world) post(t *testing.T, url string, d delivery) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(d.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = d.header
	res, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// redeliver sends a generation's event again, and waits until that has been answered with 2xx.
func (w *world) redeliver(t *testing.T, jobID string) {
	t.Helper()
	type deliveries struct {
		Deliveries []struct {
			ID       string `json:"id"`
			State    string `json:"state"`
			Attempts int    `json:"attempt_count"`
		} `json:"deliveries"`
	}
	list := func() (out deliveries) {
		w.admin(t, http.MethodGet, "/admin/v1/generations/"+jobID+"/deliveries", &out)
		return out
	}
	waitUntil(t, "the first delivery of "+jobID+" is noted", func() bool {
		d := list().Deliveries
		return len(d) == 1 && d[0].State == "delivered"
	})
	before := list().Deliveries[0]
	w.admin(t, http.MethodPost, "/admin/v1/deliveries/"+before.ID+"/redeliver", nil)
	waitUntil(t, "the repeat of "+jobID+" is delivered", func() bool {
		d := list().Deliveries[0]
		return d.State == "delivered" && d.Attempts == before.Attempts+1
	})
}

// admin calls the operator's API.
func (w *world) admin(t *testing.T, method, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.LocalURL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.AdminToken())
	res, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, body, err)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatal(err)
		}
	}
}

// waitUntil looks again and again, as nothing tells when it is so.
func waitUntil(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to pass that %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// with returns a copy with one header changed; an empty value takes it off.
func (d delivery) with(name, value string) delivery {
	d.header = d.header.Clone()
	d.header.Set(name, value)
	if value == "" {
		d.header.Del(name)
	}
	return d
}

// saying returns a copy with another body.
func (d delivery) saying(body string) delivery {
	d.body = []byte(body)
	return d
}

// signedAt returns a copy that is signed anew, at a time of choice and with any secret.
func (d delivery) signedAt(t *testing.T, at time.Time, secret string) delivery {
	t.Helper()
	signature, err := webhook.SignStandard(secret, d.header.Get(webhook.HeaderID), at, d.body)
	if err != nil {
		t.Fatal(err)
	}
	return d.with(webhook.HeaderTimestamp, fmt.Sprint(at.Unix())).with(webhook.HeaderSignature, signature)
}

// transcript is what a receiver says, line by line.
type transcript struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and renewed with each line
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (tr *transcript) add(line string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lines = append(tr.lines, line)
	close(tr.more)
	tr.more = make(chan struct{})
}

// all returns the lines so far that begin with prefix.
func (tr *transcript) all(prefix string) (found []string, more <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, line := range tr.lines {
		if len(line) >= len(prefix) && line[:len(prefix)] == prefix {
			found = append(found, line)
		}
	}
	return found, tr.more
}

// await returns the first line that begins with prefix, once there is one; false when ended closes first, or it takes too
// long.
func (tr *transcript) await(prefix string, ended <-chan struct{}) (string, bool) {
	late := time.After(patience)
	for {
		found, more := tr.all(prefix)
		if len(found) > 0 {
			return found[0], true
		}
		select {
		case <-more:
		case <-ended:
			found, _ := tr.all(prefix)
			if len(found) > 0 {
				return found[0], true
			}
			return "", false
		case <-late:
			return "", false
		}
	}
}

// faultLog collects what programs complain about; several may write at once.
type faultLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (f *faultLog) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Write(p)
}

func (f *faultLog) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}
