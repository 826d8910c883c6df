package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
)

// The command listens at a remote server behind an https proxy that breaks every connection now and then; the local
// receiver verifies what it gets.
func TestListenForwards(t *testing.T) {
	_, server := startServer(t)
	made := document(t, invoke(t, "", "key", "create", "dev", "--json").out)
	secret := document(t, invoke(t, "", "org", "rotate-secret", "--overlap", "0s", "--json").out)["secret"].(string)
	key := made["key"].(string)

	// In front of it: TLS, and a proxy that takes streams away.
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	var streams atomic.Pointer[context.CancelFunc]
	var resumed atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if r.URL.Path == "/api/v1/events/stream" {
			streams.Store(&cancel)
			if r.Header.Get("Last-Event-ID") != "" {
				resumed.Add(1)
			}
		}
		defer func() { _ = recover() }() // a reverse proxy aborts what breaks in the middle
		proxy.ServeHTTP(w, r.WithContext(ctx))
	}))
	defer front.Close()

	verifier, err := webhook.NewVerifier([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan webhook.Event, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		event, err := verifier.Verify(r.Header, body)
		if err != nil || r.URL.Path != "/hook" || r.Header.Get("Webhook-Id") == "" || r.Header.Get("X-Katalo-Signature") == "" || !strings.HasPrefix(r.UserAgent(), "Kinora/") {
			t.Errorf("%s: %v, %v", r.URL.Path, err, r.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		received <- event
	}))
	defer receiver.Close()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	notes, noted := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		// What Run does, with a client that trusts the test's certificate.
		api, err := client.New(front.URL, key, client.WithHTTPClient(front.Client()), client.WithClock(hastyClock{}))
		if err == nil {
			err = (&listenCommand{ForwardTo: receiver.URL + "/hook"}).listen(ctx, newConsole(strings.NewReader(""), in, noted), api)
		}
		in.Close()
		noted.Close()
		ended <- err
	}()
	progress := bufio.NewReader(notes)
	if line, err := progress.ReadString('\n'); err != nil || line != "listening\n" {
		t.Fatalf("%q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, progress) }()
	lines := bufio.NewScanner(out)
	for range 6 {
		invoke(t, "", "submit", "--server", server, "--key", key, "--model", "sandbox-image", "--prompt", "p", "--size", "64x64", "--no-wait", "--json")
		event := <-received
		if !lines.Scan() || !strings.Contains(lines.Text(), event.JobID+"  202  ") || !strings.Contains(lines.Text(), "generation.completed") {
			t.Errorf("line %q for %s", lines.Text(), event.JobID)
		}
		(*streams.Load())() // break it
	}
	stop()
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if resumed.Load() == 0 {
		t.Error("it never came back")
	}
	if len(received) != 0 {
		t.Errorf("%d webhooks came twice", len(received))
	}
}

// Without a receiver the events are shown, with --json one document a line; a receiver that is not there is said so.
func TestListenShows(t *testing.T) {
	_, server := startServer(t)
	key := document(t, invoke(t, "", "key", "create", "dev", "--json").out)["key"].(string)
	t.Setenv("KINORA_SERVER", server)
	t.Setenv("KINORA_KEY", key)
	task := document(t, invoke(t, "", "submit", "--model", "sandbox-image", "--prompt", "p", "--size", "64x64", "--out", t.TempDir(), "--json").out)["task_id"]
	for _, forward := range []string{"", "http://127.0.0.1:1/hook"} {
		ctx, stop := context.WithCancel(t.Context())
		args := []string{"listen", "--since", "1h", "--json"}
		if forward != "" {
			args = append(args, "--forward-to", forward)
		}
		p := background(t, ctx, args...)
		doc := p.document(t)
		if keysOf(doc) != "body event_id event_type forwarded job_id position received_at" || doc["job_id"] != task || keysOf(doc["body"]) == "" {
			t.Errorf("%v", doc)
		}
		switch forwarded, _ := doc["forwarded"].(map[string]any); {
		case forward == "" && doc["forwarded"] != nil, forward != "" && (forwarded["status"] != 0.0 || !strings.Contains(forwarded["error"].(string), "refused")):
			t.Errorf("forwarded: %v", doc["forwarded"])
		}
		stop()
		if exit := p.wait(); exit != exitOK {
			t.Errorf("exit %d: %s", exit, p.errOut.String())
		}
	}
	for _, test := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"listen", "--forward-to", "localhost:3000"}, exitUsage, "--forward-to"},
		{[]string{"listen", "--key", "sk-wrong-key-that-nobody-has"}, exitUnauthorised, ""},
		{[]string{"listen", "--since", "9000h"}, exitUsage, "30 days"},
	} {
		if got := invoke(t, "", test.args...); got.exit != test.exit || !strings.Contains(got.errOut, test.says) {
			t.Errorf("%v: exit %d, want %d\n%s", test.args, got.exit, test.exit, got.errOut)
		}
	}
}
