package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// TestWorkflowsRunThroughTheirGate: the built-in workflows and the documented ones run on the sandbox out of the box, from a
// source asset to outputs that passed, and what does not pass is not published.
func TestWorkflowsRunThroughTheirGate(t *testing.T) {
	dir := documentedWorkflows(t)
	if err := os.WriteFile(filepath.Join(dir, "hopeless.yaml"), []byte("name: hopeless\nextends: pro_capture\nrounds: 1\nmetadata: {seed: 7, sandbox: {image: unrelated}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := run(t, "", func(c *config.Config) { c.WorkflowsDir = dir })
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	asset := keptAsset(t, a, photo(t, 900, 600))
	text := func(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }
	type workflowCase struct {
		req                 kinora.WorkflowRequest
		candidates, outputs int
		w, h                int
		failure             string
		rejectedBy          string // the check that some candidate failed
	}
	cases := []workflowCase{
		{kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Living Room"}, StylePreset: "Modern"}, 2, 2, 900, 600, "", ""},
		{kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean"}, 2, 2, 900, 600, "", ""},
		{kinora.WorkflowRequest{Workflow: "pro_capture", CaptureType: "photo"}, 2, 1, 900, 600, "", ""},
		{kinora.WorkflowRequest{Workflow: "staging", CaptureType: "panorama360", StylePreset: "Modern"}, 4, 0, 0, 0, "quality_rejected", "aspect"}, // a photo is no panorama
		{kinora.WorkflowRequest{Workflow: "product-on-white", Fields: map[string]json.RawMessage{"shadow": text("none")}}, 3, 2, 1024, 1024, "", ""},
		{kinora.WorkflowRequest{Workflow: "lifestyle", Mode: "alone", Fields: map[string]json.RawMessage{"scene": text("a kitchen")}}, 2, 1, 900, 600, "", ""},
		{kinora.WorkflowRequest{Workflow: "gate-at-work", CaptureType: "photo", Mode: "clean"}, 4, 2, 900, 600, "", "not_blank"},
		{kinora.WorkflowRequest{Workflow: "hopeless", CaptureType: "photo"}, 2, 0, 0, 0, "quality_rejected", "structure"},
	}
	ids := make([]string, len(cases))
	for i, tc := range cases {
		if ids[i], err = a.Accept(t.Context(), a.Bootstrapped().Organisation.ID, tc.req, asset); err != nil {
			t.Fatal(tc.req.Workflow, err)
		}
	}
	for i, tc := range cases {
		name, id := tc.req.Workflow+" "+tc.req.Mode, ids[i]
		g := ended(t, c, id)
		candidates, err := a.Candidates(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, o := range candidates {
			for _, check := range o.Verdict.Checks {
				if !check.Passed {
					failed = append(failed, check.Name)
				}
				if strings.Contains(check.Detail, "skipped") {
					t.Errorf("%s: %s: %s", name, check.Name, check.Detail)
				}
			}
		}
		code := ""
		if g.Failure != nil {
			code = g.Failure.Code
		}
		if code != tc.failure || len(g.Outputs) != tc.outputs || len(candidates) != tc.candidates || tc.rejectedBy != "" && !slices.Contains(failed, tc.rejectedBy) || tc.rejectedBy == "" && len(failed) > 0 {
			t.Errorf("%s: %s %q, %d outputs of %d candidates, failed checks %v", name, g.Status, code, len(g.Outputs), len(candidates), failed)
		}
		for _, o := range g.Outputs {
			if o.Width != tc.w || o.Height != tc.h {
				t.Errorf("%s: an output of %d×%d", name, o.Width, o.Height)
			}
		}
	}
}

// ended waits for a generation's end.
func ended(t *testing.T, c *client.Client, id string) *client.Generation {
	t.Helper()
	for range 600 {
		g, err := c.Generation(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if g.CompletedAt != nil {
			return g
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("generation %s does not end", id)
	return nil
}

// keptAsset brings a picture and waits until it can be used.
func keptAsset(t *testing.T, a *app.App, content []byte) (id string) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "photo.png")
	if err == nil {
		_, err = part.Write(content)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Ingest string  `json:"ingest_id"`
		Asset  *string `json:"source_asset_id"`
	}
	ask := func(method, path, contentType string, body io.Reader) {
		req, err := http.NewRequestWithContext(t.Context(), method, a.LocalURL()+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+a.Bootstrapped().KeyText)
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Idempotency-Key", "photo")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode > 299 {
			t.Fatalf("%s %s: %d, %v", method, path, res.StatusCode, err)
		}
	}
	ask(http.MethodPost, "/api/v1/source-assets", form.FormDataContentType(), &body)
	for range 600 {
		if got.Asset != nil {
			return *got.Asset
		}
		time.Sleep(50 * time.Millisecond)
		ask(http.MethodGet, "/api/v1/source-assets/"+got.Ingest, "", nil)
	}
	t.Fatal("the asset does not get ready")
	return ""
}

var documentedFile = regexp.MustCompile("(?s)```yaml\n# ([a-z-]+\\.yaml)\n(.*?)```")

// documentedWorkflows writes the files of docs/workflows.md into a folder; staging keeps its own.
func documentedWorkflows(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	page, err := os.ReadFile("../../docs/workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range documentedFile.FindAllStringSubmatch(string(page), -1) {
		if m[1] == "kinora.yaml" || m[1] == "staging.yaml" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(m[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
