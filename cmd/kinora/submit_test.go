package main

import (
	"context"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var fileTime = time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)

func TestSubmitWaitsAndDownloads(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, running(10), running(60), finished)
	dir := t.TempDir()
	got := invoke(t, "", "submit", "--server", s.URL, "--key", fakeKey, "--model", "m", "--prompt", "two kites",
		"--size", "16:9", "--duration", "5", "--meta", "n=2", "--meta", "resolution=1K", "--meta", `big={"id":12345678901234567890}`,
		"--image", "https://example.com/a.png?x=1,2", "--webhook", "https://example.com/hook", "--reference", "order-17",
		"--idempotency-key", "once", "--out", dir)
	if got.exit != exitOK {
		t.Fatalf("exit %d: %s", got.exit, got.errOut)
	}
	if !strings.Contains(got.errOut, "running 10 %") || !strings.Contains(got.errOut, "running 60 %") || !strings.Contains(got.errOut, "finished 100 %") {
		t.Errorf("progress was not told line by line:\n%s", got.errOut)
	}
	if strings.Contains(got.errOut+got.out, "\x1b") {
		t.Error("escape codes although this is no terminal")
	}
	// The URL says .jpg, and the content is PNG: the name follows the content.
	for _, name := range []string{fakeTask + "-1.png", fakeTask + "-2.png"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("%d files in the folder, want 2", len(left))
	}

	want := `{"input":{"duration":5,"images":["https://example.com/a.png?x=1,2"],"metadata":{"big":{"id":12345678901234567890},"n":2,"resolution":"1K"},` +
		`"prompt":"two kites","size":"16:9"},"model":"m","reference":"order-17","webhook":{"url":"https://example.com/hook"}}`
	sent := s.submits[0]
	if sent.key != "once" || !sameJSON(t, sent.body, want) {
		t.Errorf("submitted %v with key %q", sent.body, sent.key)
	}
}

func sameJSON(t *testing.T, got any, want string) bool {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(wanted)
	return string(a) == string(b)
}

func TestSubmitJSON(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, running(10), finished)
	t.Setenv("KINORA_KEY", fakeKey)
	t.Setenv("KINORA_SERVER", s.URL)
	dir := t.TempDir()
	got := invoke(t, "a prompt from a pipe\n", "submit", "--model", "m", "--prompt", "-", "--out", dir, "--json")
	if got.exit != exitOK || got.errOut != "" {
		t.Fatalf("exit %d: %s", got.exit, got.errOut)
	}
	if input, _ := s.submits[0].body["input"].(map[string]any); input["prompt"] != "a prompt from a pipe" {
		t.Errorf("prompt %q", input["prompt"])
	}
	if len(s.submits[0].key) < 20 {
		t.Errorf("idempotency key %q", s.submits[0].key)
	}
	doc := document(t, got.out)
	if keysOf(doc) != "created_time error_message failure files progress status task_id" {
		t.Errorf("keys of a task: %s", keysOf(doc))
	}
	files, _ := doc["files"].([]any)
	if len(files) != 2 || keysOf(files[0]) != "file type url" {
		t.Fatalf("files: %v", files)
	}
	first, _ := files[0].(map[string]any)["file"].(map[string]any)
	if keysOf(first) != "bytes content_type duration_seconds height path width" {
		t.Fatalf("keys of a file: %v", first)
	}
	if first["path"] != filepath.Join(dir, fakeTask+"-1.png") || first["content_type"] != "image/png" || first["bytes"] != float64(len(s.file)) ||
		first["width"] != 8.0 || first["height"] != 4.0 || first["duration_seconds"] != 0.0 {
		t.Errorf("first file: %v", first)
	}
	if doc["created_time"] != "2026-06-14T10:30:00Z" || doc["error_message"] != nil || doc["failure"] != nil {
		t.Errorf("document: %v", doc)
	}
}

func TestSubmitUploadsFiles(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, finished)
	picture := filepath.Join(t.TempDir(), "kite.png")
	if err := os.WriteFile(picture, s.file, 0o600); err != nil {
		t.Fatal(err)
	}
	got := invoke(t, "", "submit", "--server", s.URL, "--key", fakeKey, "--model", "m", "--prompt", "p", "--image", picture, "--no-wait")
	if got.exit != exitOK || !strings.Contains(got.out, "not_started") {
		t.Fatalf("exit %d: %s%s", got.exit, got.out, got.errOut)
	}
	input, _ := s.submits[0].body["input"].(map[string]any)
	if images, _ := input["images"].([]any); len(images) != 1 || images[0] != s.URL+"/files/kite.png" {
		t.Errorf("images: %v", input["images"])
	}
	if s.looks != 0 {
		t.Errorf("--no-wait looked %d times", s.looks)
	}
}

func TestSubmitFailures(t *testing.T) {
	isolate(t)
	base := func(s *fakeServer) []string {
		return []string{"submit", "--server", s.URL, "--key", fakeKey, "--model", "m", "--prompt", "p", "--out", t.TempDir()}
	}
	for _, test := range []struct {
		name   string
		states []string
		args   func(s *fakeServer) []string
		exit   int
		says   string // on standard error, or on standard output for results
	}{
		{"generation failed", []string{running(1), failedState}, base, exitGeneration, "content_rejected: the same request will fail again"},
		{"refused", nil, func(s *fakeServer) []string { return append(base(s), "--prompt", "bad") }, exitUsage, "input.prompt is required"},
		{"wrong key", nil, func(s *fakeServer) []string { return append(base(s), "--key", "sk-wrong") }, exitUnauthorised, "missing or wrong API key"},
		{"rate limited", nil, func(s *fakeServer) []string { s.failing = 429; return base(s) }, exitUnavailable, "scripted"},
		{"conflict", nil, func(s *fakeServer) []string { s.failing = 409; return base(s) }, exitConflict, "scripted"},
		{"no balance", nil, func(s *fakeServer) []string { s.failing = 402; return base(s) }, exitUnauthorised, "scripted"},
		{"server fault", nil, func(s *fakeServer) []string { s.failing = 503; return base(s) }, exitUnavailable, "--idempotency-key"},
		{"no server", nil, func(s *fakeServer) []string { return append(base(s), "--server", "http://127.0.0.1:1") }, exitUnavailable, "is it running"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newFakeServer(t, test.states...)
			got := invoke(t, "", test.args(s)...)
			if got.exit != test.exit || !strings.Contains(got.out+got.errOut, test.says) {
				t.Errorf("exit %d, want %d with %q\nout: %s\nerr: %s", got.exit, test.exit, test.says, got.out, got.errOut)
			}
			if strings.Contains(got.out+got.errOut, fakeKey) {
				t.Error("the key is shown")
			}
		})
	}
}

func TestFailedGenerationInJSON(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, failedState)
	got := invoke(t, "", "status", fakeTask, "--server", s.URL, "--key", fakeKey, "--json")
	if got.exit != exitGeneration || got.errOut != "" {
		t.Fatalf("exit %d: %s", got.exit, got.errOut)
	}
	doc := document(t, got.out)
	if doc["error_message"] != "the upstream refused the content" || keysOf(doc["failure"]) != "code message retryable" {
		t.Errorf("document: %v", doc)
	}
}

func TestStatus(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, running(42))
	args := []string{"--server", s.URL, "--key", fakeKey}
	if got := invoke(t, "", append(args, "status", fakeTask)...); got.exit != exitUsage {
		t.Errorf("flags of a command before it: exit %d", got.exit)
	}
	if got := invoke(t, "", append([]string{"status", fakeTask}, args...)...); got.exit != exitOK || !strings.Contains(got.out, "running, 42 %") {
		t.Errorf("status: exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	if got := invoke(t, "", append([]string{"status", "task_unknown"}, args...)...); got.exit != exitNotFound || !strings.Contains(got.errOut, "task not found") {
		t.Errorf("unknown id: exit %d\n%s", got.exit, got.errOut)
	}
	if s.looks != 1 {
		t.Errorf("%d looks without --wait", s.looks)
	}
}

func TestInterruptedWaitTellsHowToResume(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, running(10))
	ctx, interrupt := context.WithCancel(t.Context())
	s.onLook = func(look int) {
		if look == 3 {
			interrupt()
		}
	}
	got := invokeContext(t, ctx, "", "submit", "--server", s.URL, "--key", fakeKey, "--model", "m", "--prompt", "p", "--out", "/tmp/a b")
	want := "kinora status " + fakeTask + " --wait --server " + s.URL + " --out '/tmp/a b'"
	if got.exit != exitInterrupted || !strings.Contains(got.errOut, want) {
		t.Errorf("exit %d, want %q in:\n%s", got.exit, want, got.errOut)
	}
	if strings.Contains(got.errOut, fakeKey) {
		t.Error("the key is shown")
	}
}

func TestTimeoutOfWait(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, running(10))
	ctx := t.Context()
	s.onLook = func(look int) {
		if look > 1 {
			<-time.After(time.Millisecond) // the hasty clock must not make this a busy loop
		}
	}
	got := invokeContext(t, ctx, "", "status", fakeTask, "--wait", "--timeout", "20ms", "--server", s.URL, "--key", fakeKey, "--json")
	failed, _ := document(t, got.errOut)["error"].(map[string]any)
	if got.exit != exitTimeout || failed["code"] != "timeout" || !strings.Contains(failed["hint"].(string), "kinora status "+fakeTask+" --wait") {
		t.Errorf("exit %d: %v", got.exit, failed)
	}
}

func TestDownloadFailureKeepsNothingHalf(t *testing.T) {
	isolate(t)
	s := newFakeServer(t, strings.ReplaceAll(finished, "/files/b.jpg", "/files/nested/b.jpg")) // no such route
	dir := t.TempDir()
	got := invoke(t, "", "status", fakeTask, "--out", dir, "--server", s.URL, "--key", fakeKey)
	if got.exit != exitNotFound || !strings.Contains(got.errOut, "output 2") || !strings.Contains(got.errOut, "the generation itself succeeded") {
		t.Errorf("exit %d: %s", got.exit, got.errOut)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || entries[0].Name() != fakeTask+"-1.png" {
		t.Errorf("left behind: %v", entries)
	}
}
