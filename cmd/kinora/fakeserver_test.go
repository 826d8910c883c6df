package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, " ")
}

const (
	fakeKey  = "sk-test-0123456789abcdefghij"
	fakeTask = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
)

// fakeServer answers like the submit API, from a script of states.
type fakeServer struct {
	*httptest.Server
	file []byte

	mu      sync.Mutex
	states  []string // bodies of "data" for status, one per look; the last one stays
	looks   int
	submits []submitted
	onLook  func(look int) // nil = nothing
	failing int            // status to answer every call with; 0 = none
}

type submitted struct {
	key  string // Idempotency-Key
	body map[string]any
}

func newFakeServer(t *testing.T, states ...string) *fakeServer {
	t.Helper()
	s := &fakeServer{file: pngOf(t, 8, 4), states: states}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/generate/submit", s.submit)
	mux.HandleFunc("GET /api/generate/status/{id}", s.status)
	mux.HandleFunc("POST /api/common/upload/stream", s.upload)
	mux.HandleFunc("GET /api/v1/generations/{id}", s.generation)
	mux.HandleFunc("GET /files/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the key was sent to a file's URL")
		}
		http.ServeContent(w, r, "", fileTime, bytes.NewReader(s.file))
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Authorization") != "Bearer "+fakeKey {
			answer(w, 401, `{"code":401,"error":{"message":"missing or wrong API key","type":"authentication_error"}}`)
			return
		}
		if s.failing != 0 {
			answer(w, s.failing, fmt.Sprintf(`{"code":%d,"error":{"message":"scripted","type":"scripted"}}`, s.failing))
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeServer) submit(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	s.submits = append(s.submits, submitted{r.Header.Get("Idempotency-Key"), body})
	s.mu.Unlock()
	if input, _ := body["input"].(map[string]any); input["prompt"] == "bad" {
		answer(w, 400, `{"code":400,"error":{"message":"input.prompt is required","type":"invalid_request_error"}}`)
		return
	}
	answer(w, 200, `{"code":200,"data":{"task_id":"`+fakeTask+`","status":"not_started","created_time":"2026-06-14T10:30:00"}}`)
}

func (s *fakeServer) status(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != fakeTask {
		answer(w, 404, `{"code":404,"error":{"message":"task not found","type":"not_found"}}`)
		return
	}
	s.mu.Lock()
	state := s.states[min(s.looks, len(s.states)-1)]
	s.looks++
	look, then := s.looks, s.onLook
	s.mu.Unlock()
	if then != nil {
		then(look)
	}
	answer(w, 200, `{"code":200,"data":`+strings.ReplaceAll(state, "{base}", s.URL)+`}`)
}

func (s *fakeServer) upload(w http.ResponseWriter, r *http.Request) {
	file, head, err := r.FormFile("file")
	if err != nil {
		answer(w, 422, `{"detail":"no file"}`)
		return
	}
	n, _ := io.Copy(io.Discard, file)
	answer(w, 200, fmt.Sprintf(`{"success":true,"code":200,"data":{"file_id":"f","file_url":"%s/files/%s","file_size":%d,"expires_at":"2026-06-17T10:30:00.000000"}}`,
		s.URL, head.Filename, n))
}

func (s *fakeServer) generation(w http.ResponseWriter, r *http.Request) {
	answer(w, 200, `{"job_id":"`+r.PathValue("id")+`","status":"failed","outputs":[],"failure":{"code":"content_rejected","message":"refused","retryable":false}}`)
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// states of a task, as the status route shows them.
func running(progress int) string {
	return fmt.Sprintf(`{"task_id":"%s","status":"running","progress":%d,"created_time":"2026-06-14T10:30:00","error_message":null}`, fakeTask, progress)
}

const (
	finished = `{"task_id":"` + fakeTask + `","status":"finished","progress":100,"created_time":"2026-06-14T10:30:00","error_message":null,` +
		`"files":[{"file_url":"{base}/files/a.jpg?sig=x","file_type":"image"},{"file_url":"{base}/files/b.jpg?sig=y","file_type":"image"}]}`
	failedState = `{"task_id":"` + fakeTask + `","status":"failed","progress":42,"created_time":"2026-06-14T10:30:00","error_message":"the upstream refused the content"}`
)

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
