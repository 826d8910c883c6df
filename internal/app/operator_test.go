package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/store/storetest"
)

// asOperator sends a request to the admin API and decodes its answer.
func asOperator(t *testing.T, a *app.App, method, path, body string) (status int, answer map[string]any, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.LocalURL()+"/admin/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.AdminToken())
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&answer); err != nil && len(raw) > 0 {
		t.Fatalf("%s: %v\n%s", path, err, raw)
	}
	return res.StatusCode, answer, string(raw)
}

// A person on call sees a job that does not end, looks at it, gives it up, and finds both in the figures: on a whole server.
func TestAPersonOnCall(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		organisation := a.Bootstrapped().Organisation.ID
		fine := submitImage(t, c, "a kite", "")
		task, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a kite", Size: "64x64",
			Metadata: map[string]any{"sandbox": map[string]any{"delay": "5m"}}}})
		if err != nil {
			t.Fatal(err)
		}
		slow := task.ID
		attempt := "/operator/attempts/" + slow + "_0"
		until(t, "the slow one is watched, the other has ended", func() bool {
			_, g, _ := asOperator(t, a, "GET", "/generations/"+slow, "")
			_, other, _ := asOperator(t, a, "GET", "/generations/"+fine, "")
			return g["state"] == "running" && other["state"] == "succeeded" && g["attempts"].([]any)[0].(map[string]any)["state"] == "open"
		})
		if status, answer, _ := asOperator(t, a, "POST", attempt+"/look", ""); status != 202 || answer["generation_id"] != slow || answer["organisation_id"] != organisation {
			t.Errorf("look: %d %v", status, answer)
		}
		if status, answer, _ := asOperator(t, a, "POST", attempt+"/settle", `{"upstream_id":"x"}`); status != 409 {
			t.Errorf("settle: %d %v", status, answer)
		}
		_, queues, text := asOperator(t, a, "GET", "/operator/queues", "")
		if nodes := queues["nodes"].([]any); len(nodes) != 1 || nodes[0].(map[string]any)["answers"] != true {
			t.Errorf("queues: %s", text)
		}
		if status, _, text := asOperator(t, a, "GET", "/operator/attempts", ""); status != 200 {
			t.Errorf("attempts: %d %s", status, text)
		}
		if status, answer, _ := asOperator(t, a, "POST", attempt+"/give-up", `{"reason":"an hour"}`); status != 200 || answer["attempt"].(map[string]any)["state"] != "failed" {
			t.Errorf("give up: %d %v", status, answer)
		}
		if status, _, _ := asOperator(t, a, "POST", attempt+"/cancel", ""); status != 409 {
			t.Errorf("cancel of what has ended: %d", status)
		}
		_, health, text := asOperator(t, a, "GET", "/operator/health", "")
		hour := health["hour"].(map[string]any)
		if up := hour["upstreams"].([]any); hour["attempts"] != 2.0 || len(up) != 1 || up[0].(map[string]any)["failed"] != 1.0 || up[0].(map[string]any)["succeeded"] != 1.0 {
			t.Errorf("health: %s", text)
		}
		_, storage, text := asOperator(t, a, "GET", "/operator/storage", "")
		if storage["outputs"].(map[string]any)["files"] != 1.0 || storage["folder"] == "" || storage["free_bytes"] == nil {
			t.Errorf("storage: %s", text)
		}
		_, settings, text := asOperator(t, a, "GET", "/operator/config", "")
		if len(settings["settings"].([]any)) < 50 || strings.Contains(text, a.AdminToken()) {
			t.Errorf("config: %s", text)
		}
		if status, _, text := asOperator(t, a, "GET", "/organisations/"+organisation+"/destinations?hours=24", ""); status != 200 {
			t.Errorf("destinations: %d %s", status, text)
		}
		if status, _, _ := asOperator(t, a, "GET", "/organisations/org_00000000000000000000000000/destinations", ""); status != 404 {
			t.Errorf("destinations of nobody: %d", status)
		}
	})
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happened: " + what)
		}
	}
}
