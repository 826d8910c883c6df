package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// reviewServer is the part of an admin API that reviews need, with two generations that wait,
// one to a page.
func reviewServer(t *testing.T, decided *[]string) {
	const first, second = "job_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "job_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"
	pending := func(id, output string) string {
		return `{"generation_id":"` + id + `","organisation_id":"org_1","round":0,"state":"pending","outputs":[],"reason":"","decided_by":"","created_at":"2026-01-01T00:00:00Z",
			"decided_at":null,"candidates":[{"id":"` + output + `","verdict":{"passed":true,"score":0.875},"url":"http://files.example/` + output + `"}]}`
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/v1/reviews", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("cursor") == "more" || q.Get("organisation_id") == "org_2" {
			_, _ = io.WriteString(w, `{"reviews":[`+pending(second, "out_2")+`],"next_cursor":null}`)
			return
		}
		_, _ = io.WriteString(w, `{"reviews":[`+pending(first, "out_1")+`],"next_cursor":"more"}`)
	})
	mux.HandleFunc("GET /admin/v1/organisations/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"id":"`+r.PathValue("id")+`","name":"Acme"}`)
	})
	mux.HandleFunc("POST /admin/v1/reviews/{id}/decide", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*decided = append(*decided, r.PathValue("id")+" "+string(body))
		if r.PathValue("id") == second {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":{"code":"conflict","message":"the generation waits for no review"}}`)
			return
		}
		var d struct {
			Decision string   `json:"decision"`
			Outputs  []string `json:"outputs"`
		}
		_ = json.Unmarshal(body, &d)
		state, after := "approved", "succeeded"
		if d.Decision == "reject" {
			state, after = "rejected", "running"
		}
		answer, _ := json.Marshal(map[string]any{"generation_id": first, "state": state, "outputs": d.Outputs, "generation_state": after})
		_, _ = w.Write(answer)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Setenv("KINORA_SERVER", server.URL)
	t.Setenv("KINORA_ADMIN_TOKEN", "tok-0123456789-0123456789-0123456789")
}

func TestReview(t *testing.T) {
	serverEnvironment(t)
	var decided []string
	reviewServer(t, &decided)
	people := invoke(t, "", "review", "list")
	for _, want := range []string{"job_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "job_01HF8Z3KQX2A6Y4N3R8M5W7V9Q", "out_1", "0.88", "http://files.example/out_2"} {
		if !strings.Contains(people.out, want) {
			t.Errorf("the list lacks %q:\n%s%s", want, people.out, people.errOut)
		}
	}
	if doc := document(t, invoke(t, "", "review", "list", "--json").out); len(doc["reviews"].([]any)) != 2 {
		t.Errorf("%v", doc)
	}
	if doc := document(t, invoke(t, "", "review", "list", "--org", "org_2", "--json").out); len(doc["reviews"].([]any)) != 1 {
		t.Errorf("of one organisation: %v", doc)
	}
	const id = "job_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	for _, tc := range []struct{ line, body, out string }{
		{"review approve " + id + " --output out_2,out_1 --by ana", `{"decision":"approve","outputs":["out_2","out_1"],"by":"ana"}`, id + "  approved: out_2, out_1; succeeded\n"},
		{"review approve " + id + " --by ana --round 1", `{"decision":"approve","by":"ana","round":0}`, id + "  approved; succeeded\n"},
		{"review reject " + id + " --by ana --reason blurred", `{"decision":"reject","reason":"blurred","by":"ana"}`, id + "  rejected; another round is made\n"},
	} {
		decided = nil
		got := invoke(t, "", strings.Fields(tc.line)...)
		if got.exit != 0 || got.out != tc.out || len(decided) != 1 || decided[0] != id+" "+tc.body {
			t.Errorf("%s: exit %d, %q %q, sent %q", tc.line, got.exit, got.out, got.errOut, decided)
		}
	}
	if got := invoke(t, "", "review", "approve", id, "--round=-1"); got.exit != exitUsage || !strings.Contains(got.errOut, "--round") {
		t.Errorf("no round: exit %d, %s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "review", "approve", "job_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"); got.exit == 0 || !strings.Contains(got.errOut, "waits for no review") {
		t.Errorf("decided too late: exit %d, %s", got.exit, got.errOut)
	}
	if last := decided[len(decided)-1]; !strings.Contains(last, `"by":"`) || strings.Contains(last, `"by":""`) {
		t.Errorf("who decided was not taken from the system: %q", decided)
	}
}
