// Package walkthrough_test goes the newcomer's way through docs/generations.md, and the TypeScript client's, against a real
// server: the very code that is shown runs.
//
// What the routes answer in detail is tested in internal/server, the whole API's promises in internal/app.
package walkthrough_test

import (
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/npmtest"
)

// patience is for what happens within moments, unless the machine is busy.
const patience = 3 * time.Minute

var npm = npmtest.Packages{From: "../typescript"}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		npm.Remove()
		os.Exit(code)
	}))
}

// serve starts a server that may deliver to this machine, as the page has it, and returns what programs need to use it.
func serve(t *testing.T) (env []string) {
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
	b := a.Bootstrapped()
	return []string{"KINORA_SERVER=" + a.LocalURL(), "KINORA_KEY=" + b.KeyText, "KINORA_WEBHOOK_SECRET=" + b.Secret.Text}
}

// room is a photo of a room, as far as a gate is concerned: walls, a floor, a door and a window.
func room(t *testing.T, dir string) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 800, 600))
	fill := func(x0, y0, x1, y1 int, c color.RGBA) {
		draw.Draw(img, image.Rect(x0, y0, x1, y1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	for x := 0; x < 800; x += 20 {
		fill(x, 0, x+20, 420, color.RGBA{uint8(225 - x/20), uint8(215 - x/25), 200, 255})
	}
	fill(0, 420, 800, 600, color.RGBA{140, 105, 75, 255})
	fill(300, 90, 520, 290, color.RGBA{250, 250, 250, 255})
	for i := range 2 {
		for j := range 2 {
			fill(308+i*106, 98+j*96, 406+i*106, 188+j*96, color.RGBA{170, 205, 240, 255})
		}
	}
	fill(70, 140, 190, 420, color.RGBA{110, 85, 60, 255})
	path := filepath.Join(dir, "living-room.jpg")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := jpeg.Encode(file, img, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// block writes a named block of code of the page to a file of that name.
func block(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/generations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```\\w+ " + regexp.QuoteMeta(name) + "\n(.*?)^```$").FindSubmatch(text)
	if found == nil {
		t.Fatalf("the page has no block %s", name)
	}
	return write(t, dir, name, found[1])
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program to its end, and returns what it says on standard output.
func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), env...), 5*time.Second
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := err.(*exec.ExitError); ok {
			said = string(exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s\n%s", filepath.Base(args[len(args)-1]), err, out, said)
	}
	return string(out)
}
