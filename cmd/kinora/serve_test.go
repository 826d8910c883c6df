package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// process is a run of the program that goes on in the background.
type process struct {
	stdout *io.PipeReader
	errOut syncBuffer
	exit   chan int
}

// background starts the program. It ends with ctx, and with the test.
func background(t *testing.T, ctx context.Context, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	out, in := io.Pipe()
	p := &process{stdout: out, exit: make(chan int, 1)}
	go func() {
		exit := run(ctx, args, strings.NewReader(""), in, &p.errOut)
		in.Close()
		p.exit <- exit
	}()
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
	})
	return p
}

// document reads the JSON document that the program writes once it is ready.
func (p *process) document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.NewDecoder(p.stdout).Decode(&doc); err != nil {
		t.Fatalf("no document: %v\n%s", err, p.errOut.String())
	}
	go func() { _, _ = io.Copy(io.Discard, p.stdout) }() // ends with the program
	return doc
}

// wait returns the exit code once the program has ended.
func (p *process) wait() int {
	exit := <-p.exit
	p.exit <- exit
	return exit
}

// syncBuffer is a buffer that may be read while the program still writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serverEnvironment configures a server that keeps everything in a folder of the test.
func serverEnvironment(t *testing.T) (folder string) {
	t.Helper()
	isolate(t)
	folder = t.TempDir()
	t.Setenv("KINORA_DATA_DIR", folder)
	t.Setenv("KINORA_LISTEN", "127.0.0.1:0")
	return folder
}

func TestServe(t *testing.T) {
	serverEnvironment(t)
	t.Setenv("KINORA_LOG_LEVEL", "debug")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := background(t, ctx, "serve", "--json")
	doc := p.document(t)
	if keysOf(doc) != "address made set_up_link url" || keysOf(doc["made"]) != "key key_id organisation_id webhook_secret" {
		t.Fatalf("document: %v", doc)
	}
	made := doc["made"].(map[string]any)
	key, secret := made["key"].(string), made["webhook_secret"].(string)
	link, _ := doc["set_up_link"].(string)
	address, token, _ := strings.Cut(link, "?token=")
	if address != doc["url"].(string)+"/dashboard/setup" || !strings.HasPrefix(token, "kset_") {
		t.Errorf("set-up link %q", link)
	}
	if status := get(t, doc["url"].(string)+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
	// What was printed opens the door.
	got := invoke(t, "", "submit", "--server", doc["url"].(string), "--key", key, "--model", "sandbox-image", "--prompt", "p", "--no-wait", "--json")
	if got.exit != exitOK {
		t.Errorf("submit with the printed key: exit %d\n%s", got.exit, got.errOut)
	}
	stop()
	if exit := p.wait(); exit != exitOK {
		t.Fatalf("exit %d\n%s", exit, p.errOut.String())
	}
	log := p.errOut.String()
	if !strings.Contains(log, "serving") {
		t.Errorf("the log goes elsewhere:\n%s", log)
	}
	for _, hidden := range []string{key, secret, strings.TrimPrefix(key, "sk-"), strings.TrimPrefix(secret, "whsec_"), token} {
		if strings.Contains(log, hidden) {
			t.Error("a secret is in the log")
		}
	}

	// The second start finds an organisation, and has nothing to print.
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	p = background(t, ctx, "serve", "--json")
	if doc := p.document(t); doc["made"] != nil || doc["set_up_link"] == nil || doc["set_up_link"] == link {
		t.Errorf("second start: %v", doc)
	}
	stop()
	if exit := p.wait(); exit != exitOK {
		t.Errorf("exit %d\n%s", exit, p.errOut.String())
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestServeFailsClearly(t *testing.T) {
	serverEnvironment(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := background(t, ctx, "serve", "--json")
	p.document(t)
	// A second server on the same database.
	got := invoke(t, "", "serve")
	if got.exit != exitUnavailable || !strings.Contains(got.errOut, "in use by another process") {
		t.Errorf("exit %d\n%s", got.exit, got.errOut)
	}
	if strings.Contains(got.out, "sk-") {
		t.Error("a server that did not start printed a key")
	}
	stop()
	p.wait()
}

func TestServePrintsForPeople(t *testing.T) {
	serverEnvironment(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := background(t, ctx, "serve")
	text := make([]byte, 0, 1024)
	for !strings.Contains(string(text), "Try it:") {
		part := make([]byte, 256)
		n, err := p.stdout.Read(part)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, text, p.errOut.String())
		}
		text = append(text, part[:n]...)
	}
	stop()
	go func() { _, _ = io.Copy(io.Discard, p.stdout) }()
	if exit := p.wait(); exit != exitOK {
		t.Errorf("exit %d\n%s", exit, p.errOut.String())
	}
	for _, want := range []string{"serves http://127.0.0.1:", "org_", "sk-", "whsec_", "this once", "/dashboard/setup?token=kset_"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// A start with a key that cannot be the right one is a wrong configuration: it ends at once, with what to do.
func TestServeWithoutItsMasterKey(t *testing.T) {
	folder := serverEnvironment(t)
	t.Setenv("KINORA_LISTEN", "127.0.0.1:0")
	if got := invoke(t, "", "org", "create", "Acme"); got.exit != exitOK {
		t.Fatalf("exit %d\n%s", got.exit, got.errOut)
	}
	if err := os.Remove(filepath.Join(folder, "master.key")); err != nil {
		t.Fatal(err)
	}
	lost := invoke(t, "", "serve")
	if lost.exit != exitUsage || !strings.Contains(lost.errOut, "sealed with master key") || !strings.Contains(lost.errOut, "old_master_keys") {
		t.Errorf("exit %d\n%s", lost.exit, lost.errOut)
	}
	if sick := invoke(t, "", "doctor"); sick.exit != exitFailure || !strings.Contains(sick.out, "✗ master key") {
		t.Errorf("exit %d\n%s", sick.exit, sick.out)
	}
	t.Setenv("KINORA_MASTER_KEY", "not-a-key")
	bad := invoke(t, "", "serve")
	if bad.exit != exitUsage || !strings.Contains(bad.errOut, "master_key is not a master key") || !strings.Contains(bad.errOut, "kinora master-key new") || strings.Contains(bad.errOut, "not-a-key") {
		t.Errorf("exit %d\n%s", bad.exit, bad.errOut)
	}
}
