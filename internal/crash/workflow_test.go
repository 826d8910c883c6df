package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// gatedWorkflow makes two candidates a round. The upstream spoils the first two with the same
// prompt, so that the first round is rejected, more often than not, and the second passes.
const gatedWorkflow = `
name: gated
model: sandbox-image
fields:
  note: {type: string, max_length: 100, required: true}
prompt: "A picture of {{.note}}"
size: 128x128
metadata: {sandbox: {delay: 100ms, image: blank, image_times: 2}}
candidates: 2
rounds: 2
publish: 1
gate: {min_width: 64, not_blank: true}
`

const noLimits = `
limits: {jobs_in_flight: 0, api: {generations_create: 1000000, generations_read: 1000000, per_address: 0}}
`

// addWorkflow puts the workflow where the program looks for it, and returns the configuration.
func addWorkflow(t *testing.T, dir string) (config string) {
	t.Helper()
	folder := filepath.Join(dir, "workflows")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "gated.yaml"), []byte(gatedWorkflow), 0o600); err != nil {
		t.Fatal(err)
	}
	return "workflows_dir: " + folder + noLimits
}

// bringSource uploads a source and waits until it is ready.
func (w *world) bringSource(t *testing.T) (assetID string) {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 512, 512))
	for i := range 512 * 512 {
		picture.Set(i%512, i/512, color.RGBA{uint8(i), uint8(i / 512), uint8(i / 256), 255})
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "source.png")
	if err == nil {
		err = png.Encode(file, picture)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = form.Close()
	var asset struct {
		IngestID      string `json:"ingest_id"`
		Status        string `json:"status"`
		SourceAssetID string `json:"source_asset_id"`
	}
	w.api(t, http.MethodPost, "/api/v1/source-assets", form.FormDataContentType(), &body, &asset)
	for end := time.Now().Add(time.Minute); asset.Status != "ready"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the source does not come: %+v", asset)
		}
		w.api(t, http.MethodGet, "/api/v1/source-assets/"+asset.IngestID, "", nil, &asset)
	}
	return asset.SourceAssetID
}

// api makes a request of the generations API that has to succeed.
func (w *world) api(t *testing.T, method, path, contentType string, body *bytes.Buffer, into any) {
	t.Helper()
	if body == nil {
		body = &bytes.Buffer{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.Key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", fmt.Sprint("key-", time.Now().UnixNano()))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %v %s", method, path, res.StatusCode, err, answer)
	}
}

// gated is a request for the workflow.
func gated(source, receiver string, round, client, i int) string {
	return fmt.Sprintf(`{"source_asset_id":%q,"workflow":"gated","note":"round %d client %d number %d","webhook":{"url":%q}}`, source, round, client, i, receiver)
}
