// Package openaisdk_test holds docs/openai-sdk.md, and what OpenAI's own SDKs do, against a real server.
//
// What the routes answer in detail is tested in internal/server.
package openaisdk_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/npmtest"
)

// patience is for what happens within moments, unless the machine is busy; for the Go SDK that includes compiling it.
const patience = 5 * time.Minute

var npm = npmtest.Packages{From: "npm"}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		npm.Remove()
		os.Exit(code)
	}))
}

func TestLockFileNamesNoRegistry(t *testing.T) { npm.CheckLock(t) }

// serve starts a server that may deliver to this machine, and returns what a program needs to use it.
func serve(t *testing.T) (a *app.App, env []string) {
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
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "boat.png")
	if err := os.WriteFile(file, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return a, []string{"KINORA_SERVER=" + a.LocalURL(), "KINORA_KEY=" + a.Bootstrapped().KeyText, "KINORA_PICTURE=" + file}
}

// run runs a program to its end, and returns what it says.
func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), env...), 5*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// block returns a named block of code of the page.
func block(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/openai-sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```\\w+ " + regexp.QuoteMeta(name) + "\n(.*?)^```$").FindSubmatch(text)
	if found == nil {
		t.Fatalf("the page has no block %s", name)
	}
	return string(found[1])
}

func wantExample(t *testing.T, said string) {
	t.Helper()
	if !regexp.MustCompile(`^a video of \d{4,} bytes and a picture of \d{4,}\n$`).MatchString(said) {
		t.Errorf("the page's example says %q", said)
	}
}

func TestNode(t *testing.T) {
	t.Parallel()
	folder := npm.Folder(t)
	a, env := serve(t)
	came := make(chan webhook.Event, 1)
	verifier, err := webhook.NewVerifier([]string{a.Bootstrapped().Secret.Text})
	if err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewServer(webhook.Handler(verifier, func(_ context.Context, e webhook.Event) error {
		select {
		case came <- e:
		default: // a repeat
		}
		return nil
	}))
	defer receiver.Close()
	checks, err := os.ReadFile("checks.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"example.mjs": block(t, "example.mjs"), "checks.mjs": string(checks)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil { // beside node_modules, where imports are looked for
			t.Fatal(err)
		}
	}
	wantExample(t, run(t, folder, env, "node", "example.mjs"))
	if said := run(t, folder, append(env, "KINORA_RECEIVER="+receiver.URL), "node", "checks.mjs"); !strings.Contains(said, "all checks passed") {
		t.Error(said)
	}
	select {
	case e := <-came:
		if e.EventType != "generation.completed" || e.Reference == nil || *e.Reference != "from Node" || string(e.Metadata) != `{"row":7}` {
			t.Errorf("the event is %+v", e)
		}
	case <-time.After(patience):
		t.Error("no signed event came")
	}
}

func TestGo(t *testing.T) {
	t.Parallel()
	npmtest.Needs(t, "go")
	source, err := os.ReadFile("openaigo/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(source) != block(t, "main.go") {
		t.Error("openaigo/main.go is not what the page shows")
	}
	programs := t.TempDir()
	// Without optimising the SDK, which would take longer than all else here.
	build := exec.CommandContext(t.Context(), "go", "build", "-gcflags=github.com/openai/...=-N -l", "-o", programs, "./...")
	build.Dir, build.Env = "openaigo", append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		if regexp.MustCompile(`dial tcp|no such host|i/o timeout|connection refused|module lookup disabled`).Match(out) {
			npmtest.Lacks(t, "no Go module proxy is reached from here")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	_, env := serve(t)
	wantExample(t, run(t, programs, env, "./openaigo"))
	if said := run(t, programs, env, "./checks"); !strings.Contains(said, "all checks passed") {
		t.Error(said)
	}
}
