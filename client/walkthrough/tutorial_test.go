package walkthrough_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/npmtest"
)

// TestTheTutorial does what docs/generations.md says, in its order.
func TestTheTutorial(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "curl", "sed", "go"} {
		npmtest.Needs(t, program)
	}
	env, dir := serve(t), t.TempDir()
	photo := room(t, dir)
	bash := func(name string, args ...string) string {
		t.Helper()
		return strings.TrimSpace(run(t, dir, env, append([]string{"bash", block(t, dir, name)}, args...)...))
	}
	asset := bash("asset.sh", photo)
	if !regexp.MustCompile(`^src_[0-9A-Z]{26}$`).MatchString(asset) {
		t.Fatalf("asset.sh says %q", asset)
	}
	if again := bash("asset.sh", photo); again != asset {
		t.Errorf("the same key gave %s, then %s", asset, again)
	}

	url, says := receiver(t, dir, env)
	job, status, _ := strings.Cut(bash("create.sh", asset, url), " ")
	if !strings.HasPrefix(job, "job_") || status != "queued" {
		t.Fatalf("create.sh says %q %q", job, status)
	}
	select {
	case line := <-says:
		if line != "generation.completed listing-123 2 outputs" {
			t.Errorf("the receiver says %q", line)
		}
	case <-time.After(patience):
		t.Fatal("no webhook came")
	}
	furnished := filepath.Join(dir, "furnished.jpg")
	bash("fetch.sh", job, furnished)
	content, err := os.ReadFile(furnished)
	if err != nil || len(content) < 1000 || string(content[:3]) != "\xff\xd8\xff" {
		t.Errorf("fetched %d bytes, %v", len(content), err)
	}
	if again := bash("regenerate.sh", job); again == job || !strings.HasPrefix(again, "job_") {
		t.Errorf("regenerate.sh says %q", again)
	}
	select {
	case line := <-says:
		if line != "generation.completed listing-123 2 outputs" {
			t.Errorf("of the second generation the receiver says %q", line)
		}
	case <-time.After(patience):
		t.Fatal("no second webhook came")
	}
}

// receiver runs the page's receiver, and returns its URL and what it says.
func receiver(t *testing.T, dir string, env []string) (url string, says <-chan string) {
	t.Helper()
	program := filepath.Join(dir, "receiver")
	// From within this module, so that its imports are this very client.
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, block(t, dir, "receiver.go")).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program)
	cmd.Env, cmd.WaitDelay = append(append(os.Environ(), env...), "PORT=0"), 5*time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		_ = cmd.Wait() // it is killed in the end
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case first := <-lines:
		address, found := strings.CutPrefix(first, "listening on ")
		if !found {
			t.Fatalf("the receiver says %q", first)
		}
		return "http://" + address + "/", lines
	case <-time.After(patience):
		t.Fatal("the receiver does not listen")
		return "", nil
	}
}

// Every block of the page that is a program is named, and what is named is run above.
func TestEveryBlockIsRun(t *testing.T) {
	text, err := os.ReadFile("../../docs/generations.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, opening := range regexp.MustCompile("(?m)^```(bash|go|ts|js|python)(?: (\\S+))?$").FindAllStringSubmatch(string(text), -1) {
		names = append(names, opening[2])
	}
	if want := []string{"asset.sh", "receiver.go", "create.sh", "fetch.sh", "regenerate.sh"}; !slices.Equal(names, want) {
		t.Errorf("the page's programs are %q, run are %q", names, want)
	}
}
