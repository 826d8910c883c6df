package client_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora/client"
)

const acceptedTask = `{"code": 200, "data": {"task_id": "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "status": "not_started", "created_time": "2026-06-14T10:30:00"}}`

func TestSubmit(t *testing.T) {
	tests := map[string]struct {
		request client.SubmitRequest
		body    string // what is to be sent
	}{
		"least": {client.SubmitRequest{Model: "kling-v1", Input: client.Input{Prompt: "p"}}, `{"model":"kling-v1","input":{"prompt":"p"}}`},
		"an empty prompt is the server's to refuse": {client.SubmitRequest{Model: "m"}, `{"model":"m","input":{"prompt":""}}`},
		"everything": {
			client.SubmitRequest{
				Model: "sora-2",
				Input: client.Input{
					Prompt: "two kites", Size: "1280x720", Image: "https://files.example/a.png?x=1&y=2", Images: []string{"https://files.example/b.png"},
					Duration: 4, Seconds: "4", Metadata: map[string]any{"n": 2, "callback_url": "https://your.domain/h"},
				},
				Webhook: &client.Webhook{URL: "https://your.domain/hooks"}, Reference: "order-17", Metadata: map[string]any{"row": 7},
			},
			`{"model":"sora-2","input":{"prompt":"two kites","size":"1280x720","image":"https://files.example/a.png?x=1&y=2","images":["https://files.example/b.png"],"duration":4,"seconds":"4","metadata":{"callback_url":"https://your.domain/h","n":2}},"webhook":{"url":"https://your.domain/hooks"},"reference":"order-17","metadata":{"row":7}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, reply(200, acceptedTask, "X-Callback-Ignored", "polling-only"))
			task, err := c.Submit(t.Context(), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			want := &client.Task{
				ID: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P", Status: client.TaskNotStarted,
				CreatedAt: time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC), CallbackIgnored: "polling-only",
			}
			if diff := cmp.Diff(want, task); diff != "" {
				t.Error(diff)
			}
			got := s.seen[0]
			if got.method != "POST" || got.path != "/prefix/api/generate/submit" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%+v", got)
			}
			var gotBody, wantBody any
			if err := errors.Join(json.Unmarshal([]byte(got.body), &gotBody), json.Unmarshal([]byte(tt.body), &wantBody)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantBody, gotBody); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSubmitIdempotencyKey: within one call every try carries the same key and body, and two calls never
// share a key.
func TestSubmitIdempotencyKey(t *testing.T) {
	c, s, _ := scripted(t, lost, unavailable, reply(200, acceptedTask))
	request := client.SubmitRequest{Model: "m", Input: client.Input{Prompt: "p", Metadata: map[string]any{"a": 1, "b": 2, "c": 3}}}
	for range 2 {
		if _, err := c.Submit(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Submit(t.Context(), request, client.IdempotencyKey("order 17")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), request, client.NoIdempotencyKey()); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range s.seen {
		keys = append(keys, e.header.Get("Idempotency-Key"))
		if e.body != s.seen[0].body {
			t.Errorf("another body: %s", e.body)
		}
	}
	if len(keys) != 6 {
		t.Fatalf("%d requests", len(keys))
	}
	if len(keys[0]) < 22 || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("the tries of one call: %q", keys[:3])
	}
	if keys[3] == keys[0] || keys[3] == "" {
		t.Errorf("two calls: %q and %q", keys[0], keys[3])
	}
	if keys[4] != "order 17" || keys[5] != "" {
		t.Errorf("given key %q, no key %q", keys[4], keys[5])
	}
}

func TestSubmitRefusesWithoutASingleRequest(t *testing.T) {
	tests := map[string]struct {
		request client.SubmitRequest
		opts    []client.SubmitOption
	}{
		"empty key":       {client.SubmitRequest{}, []client.SubmitOption{client.IdempotencyKey("")}},
		"key too long":    {client.SubmitRequest{}, []client.SubmitOption{client.IdempotencyKey(strings.Repeat("k", client.MaxIdempotencyKey+1))}},
		"line break":      {client.SubmitRequest{}, []client.SubmitOption{client.IdempotencyKey("a\nb")}},
		"outside ASCII":   {client.SubmitRequest{}, []client.SubmitOption{client.IdempotencyKey("é")}},
		"space at an end": {client.SubmitRequest{}, []client.SubmitOption{client.IdempotencyKey("k ")}},
		"not JSON":        {client.SubmitRequest{Metadata: map[string]any{"f": func() {}}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, reply(200, acceptedTask))
			if _, err := c.Submit(t.Context(), tt.request, tt.opts...); !errors.Is(err, client.ErrInvalid) {
				t.Errorf("got %v", err)
			}
			if len(s.seen) != 0 {
				t.Error("a request was sent")
			}
		})
	}
	c, _, _ := scripted(t, reply(200, acceptedTask))
	if _, err := c.Submit(t.Context(), client.SubmitRequest{}, client.IdempotencyKey(strings.Repeat("k", client.MaxIdempotencyKey))); err != nil {
		t.Errorf("a key of the greatest length: %v", err)
	}
}
