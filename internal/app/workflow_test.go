package app_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
)

// TestSandboxEditsWhatWasUploaded: the sandbox reads this server's own files, by whichever address a URL names them, and
// nothing private besides.
func TestSandboxEditsWhatWasUploaded(t *testing.T) {
	const public = "https://kinora.example/gateway"
	a := run(t, "", func(c *config.Config) { c.PublicURL, c.Network.AllowPrefixes = public, nil })
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	up, err := c.UploadStream(t.Context(), "photo.png", bytes.NewReader(photo(t, 320, 200)))
	if err != nil {
		t.Fatal(err)
	}
	local := func(url string) string { return strings.Replace(url, public, a.LocalURL(), 1) }
	if !strings.HasPrefix(up.URL, public) {
		t.Fatalf("the upload is at %s", up.URL)
	}
	var reached atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = w.Write(photo(t, 320, 200))
	}))
	t.Cleanup(private.Close)
	for name, tc := range map[string]struct {
		url  string
		w, h int
	}{
		"by its public URL": {up.URL, 320, 200}, "by its local URL": {local(up.URL), 320, 200},
		"a private address": {private.URL + "/photo.png", 1024, 1024}, "this server, not a file": {a.LocalURL() + "/metrics", 1024, 1024},
	} {
		task, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "brighter", Images: []string{tc.url}}})
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := c.Wait(t.Context(), task.ID, client.WaitOptions{})
		if err != nil || len(got.Files) != 1 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		var file bytes.Buffer
		if _, err := c.Download(t.Context(), local(got.Files[0].URL), &file); err != nil {
			t.Fatal(name, err)
		}
		if p, _, err := image.DecodeConfig(&file); err != nil || p.Width != tc.w || p.Height != tc.h {
			t.Errorf("%s: %+v, %v; want %d×%d", name, p, err, tc.w, tc.h)
		}
	}
	if reached.Load() > 0 {
		t.Error("a private address was reached")
	}
}

// photo is a PNG with shapes in it.
func photo(t *testing.T, w, h int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{210, 200, 190, 255}
			switch {
			case x > w/6 && x < w/3 && y > h/4 && y < h*3/4, x > w/2 && x < w*4/5 && y > h/3 && y < h/2:
				c = color.RGBA{70, 90, 110, 255}
			case y > h*4/5:
				c = color.RGBA{130, 95, 60, 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStartRefusesBadWorkflows: a server does not start with a workflow that it could not carry out, and says where the fault is.
func TestStartRefusesBadWorkflows(t *testing.T) {
	for text, want := range map[string]string{
		"name: one\nmodel: sandbox-image\nprompt: \"{{.nothing}}\"\n": "one.yaml:3:12: prompt: there is no field \"nothing\"",
		"name: one\nmodel: sandbox-imge\nprompt: x\n":                 "there is no model \"sandbox-imge\" (did you mean sandbox-image?)",
	} {
		cfg := config.Default()
		cfg.Listen, cfg.DataDir, cfg.WorkflowsDir = "127.0.0.1:0", t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(cfg.WorkflowsDir, "one.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := app.New(t.Context(), cfg, app.Options{})
		if err == nil {
			_ = a.Stop(t.Context())
		}
		if kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
