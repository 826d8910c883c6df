package main

import (
	"context"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/kinora/kinora/client"
)

// demoEnvironment keeps the demo's temporary files where the test can see them.
func demoEnvironment(t *testing.T) (temporary string) {
	t.Helper()
	isolate(t)
	temporary = t.TempDir()
	t.Setenv("TMPDIR", temporary)
	return temporary
}

func TestDemoKeepsServing(t *testing.T) {
	temporary := demoEnvironment(t)
	t.Setenv("KINORA_LISTEN", "nonsense") // the environment plays no part
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	dir := filepath.Join(t.TempDir(), "out")
	p := background(t, ctx, "demo", "--keep", "--json", "--out", dir)
	doc := p.document(t)
	checkDemo(t, doc)
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("files: %v", files)
	}

	// It goes on serving, and the key that it printed works.
	api, err := client.New(doc["server"].(string), doc["key"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer api.CloseIdleConnections()
	task, err := api.Submit(ctx, client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "one more", Size: "64x64"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Wait(ctx, task.ID, client.WaitOptions{}); err != nil {
		t.Error(err)
	}
	interrupt()
	if exit := p.wait(); exit != exitOK || p.errOut.String() != "" {
		t.Errorf("exit %d\n%s", exit, p.errOut.String())
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
}

// checkDemo holds the document against its promise, and the files against a decoder.
func checkDemo(t *testing.T, doc map[string]any) {
	t.Helper()
	if keysOf(doc) != "generations key receiver seconds server" {
		t.Errorf("keys of the demo: %s", keysOf(doc))
	}
	list, _ := doc["generations"].([]any)
	if len(list) != 2 {
		t.Fatalf("generations: %v", list)
	}
	events := map[any]bool{}
	for i, kind := range []string{"image", "video"} {
		g, _ := list[i].(map[string]any)
		if g["kind"] != kind || keysOf(g) != "file kind model prompt task_id webhook" {
			t.Fatalf("generation: %v", g)
		}
		hook, _ := g["webhook"].(map[string]any)
		verified, _ := hook["verified"].([]any)
		if hook["event_type"] != "generation.completed" || len(verified) != 2 || !strings.HasPrefix(hook["event_id"].(string), "evt_") {
			t.Errorf("webhook of the %s: %v", kind, hook)
		}
		events[hook["event_id"]] = true
	}
	if len(events) != 2 {
		t.Errorf("events: %v", events)
	}
	checkImage(t, filePath(t, list[0]), 1024, 1024)
	checkVideo(t, filePath(t, list[1]))
}

func filePath(t *testing.T, generation any) string {
	t.Helper()
	g, _ := generation.(map[string]any)
	file, _ := g["file"].(map[string]any)
	name, _ := file["path"].(string)
	return name
}

func checkImage(t *testing.T, name string, width, height int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, format, err := image.Decode(f)
	if err != nil {
		t.Fatalf("the image cannot be decoded: %v", err)
	}
	if b := picture.Bounds(); b.Dx() != width || b.Dy() != height {
		t.Errorf("the image has %d × %d pixels", b.Dx(), b.Dy())
	}
	if want := "." + strings.Replace(format, "jpeg", "jpg", 1); filepath.Ext(name) != want {
		t.Errorf("%s holds %s", name, format)
	}
}

func checkVideo(t *testing.T, name string) {
	t.Helper()
	if filepath.Ext(name) != ".mp4" {
		t.Fatalf("the video is %s", name)
	}
	movie, err := mp4.ReadMP4File(name)
	if err != nil {
		t.Fatalf("the video cannot be read: %v", err)
	}
	if movie.Moov == nil || len(movie.Moov.Traks) == 0 || movie.Mdat == nil || len(movie.Mdat.Data) == 0 {
		t.Fatal("the video has no track or no samples")
	}
	track := movie.Moov.Trak.Mdia
	if n := track.Minf.Stbl.Stsz.GetNrSamples(); n < 24 {
		t.Errorf("the video has %d frames", n)
	}
	if seconds := float64(track.Mdhd.Duration) / float64(track.Mdhd.Timescale); seconds < 3.5 || seconds > 4.5 {
		t.Errorf("the video lasts %.2f s", seconds)
	}
}

func TestDemoForPeople(t *testing.T) {
	temporary := demoEnvironment(t)
	dir := t.TempDir()
	got := invoke(t, "", "demo", "--out", dir)
	if got.exit != exitOK {
		t.Fatalf("exit %d\n%s%s", got.exit, got.out, got.errOut)
	}
	for _, want := range []string{filepath.Join(dir, "image."), filepath.Join(dir, "video.mp4"), "1024 × 1024", "x-katalo-signature", "evt_"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the result does not name %q:\n%s", want, got.out)
		}
	}
	if !strings.Contains(got.errOut, "127.0.0.0/8") {
		t.Errorf("nothing is said about the opened guard:\n%s", got.errOut)
	}
	if strings.Contains(got.out+got.errOut, "sk-") || strings.Contains(got.out+got.errOut, "whsec_") {
		t.Error("secrets are shown although nothing can use them any more")
	}
	if strings.Contains(got.out+got.errOut, "\x1b") {
		t.Error("escape codes although this is no terminal")
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
}

func TestDemoSaysWhatIsWrong(t *testing.T) {
	temporary := demoEnvironment(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		args []string
		exit int
		says string
	}{
		{"address taken", t.Context(), []string{"demo", "--addr", taken.Addr().String()}, exitUnavailable, taken.Addr().String()},
		{"address wrong", t.Context(), []string{"demo", "--addr", "nowhere"}, exitUsage, "listen"},
		{"folder is a file", t.Context(), []string{"demo", "--out", file}, exitFailure, "folder"},
		{"interrupted", ended, []string{"demo"}, exitInterrupted, "interrupted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := invokeContext(t, test.ctx, "", test.args...)
			if got.exit != test.exit || !strings.Contains(got.errOut, test.says) || got.out != "" {
				t.Errorf("exit %d, want %d with %q\n%s%s", got.exit, test.exit, test.says, got.out, got.errOut)
			}
		})
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
}
