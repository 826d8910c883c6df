package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/kinora/kinora/client"
)

// gateway plays a server that finishes a task between the first and the second look at it.
func gateway() *httptest.Server {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	answer := func(w http.ResponseWriter, data string) { fmt.Fprintf(w, `{"code":200,"data":%s}`, data) }
	mux.HandleFunc("POST /api/generate/submit", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-example" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":401,"error":{"message":"wrong key","type":"authentication_error"}}`)
			return
		}
		answer(w, `{"task_id":"task_1","status":"not_started","created_time":"2026-06-14T10:30:00"}`)
	})
	looks := 0
	mux.HandleFunc("GET /api/generate/status/task_1", func(w http.ResponseWriter, _ *http.Request) {
		if looks++; looks == 1 {
			answer(w, `{"task_id":"task_1","status":"running","progress":42,"created_time":"2026-06-14T10:30:00","error_message":null}`)
			return
		}
		answer(w, `{"task_id":"task_1","status":"finished","progress":100,"created_time":"2026-06-14T10:30:00","error_message":null,
			"files":[{"file_url":"`+server.URL+`/files/task_1-0.mp4?sig=x","file_type":"video"}]}`)
	})
	mux.HandleFunc("POST /api/common/upload/stream", func(w http.ResponseWriter, r *http.Request) {
		_, header, err := r.FormFile("file")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		answer(w, fmt.Sprintf(`{"file_url":"https://files.example/temp/a.png","original_name":%q,"file_size":%d}`, header.Filename, header.Size))
	})
	mux.HandleFunc("GET /files/task_1-0.mp4", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the video") })
	mux.HandleFunc("GET /api/v1/generations/job_1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"job_id":"job_1","status":"failed","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true}}`)
	})
	mux.HandleFunc("POST /api/v1/source-assets", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"ingest_id":"ing_1","status":"pending","source_asset_id":null,"failure":null}`)
	})
	mux.HandleFunc("GET /api/v1/source-assets/ing_1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ingest_id":"ing_1","status":"ready","source_asset_id":"src_1","failure":null}`)
	})
	record := func(id, status string, progress int, outputs string) string {
		return fmt.Sprintf(`{"job_id":%q,"status":%q,"source_asset_id":"src_1","progress":%d,"outputs":[%s]}`, id, status, progress, outputs)
	}
	mux.HandleFunc("POST /api/v1/generations", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, record("job_2", "queued", 0, ""))
	})
	mux.HandleFunc("POST /api/v1/generations/job_2/regenerate", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, record("job_3", "queued", 0, ""))
	})
	primary := `{"output_id":"out_1","role":"primary","url":"` + server.URL + `/files/task_1-0.mp4?sig=x","width":1024,"height":768}`
	mux.HandleFunc("GET /api/v1/generations/job_2", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, record("job_2", "succeeded", 100, primary))
	})
	mux.HandleFunc("GET /api/v1/generations/job_3/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "id: processing-50\nevent: update\ndata: %s\n\n", record("job_3", "processing", 50, ""))
		fmt.Fprintf(w, "id: succeeded-100\nevent: end\ndata: %s\n\n", record("job_3", "succeeded", 100, primary))
	})
	mux.HandleFunc("GET /api/v1/generations", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"generations":[`+record("job_3", "succeeded", 100, primary)+`,`+record("job_2", "succeeded", 100, primary)+`],"next_cursor":null}`)
	})
	return server
}

// instant makes the examples quick; leave the clock out in earnest.
type instant struct{}

func (instant) Now() time.Time                                   { return time.Now() }
func (instant) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Submit, wait and fetch, with an idempotency key from the caller's own order, so that even a repetition after a
// crash of the caller is never a second, paid generation.
func Example() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "sk-example", client.WithClock(instant{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()
	ctx := context.Background()

	task, err := c.Submit(ctx, client.SubmitRequest{
		Model: "kling-v1",
		Input: client.Input{Prompt: "two kites over a quiet bay"},
	}, client.IdempotencyKey("order-17"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(task.ID, task.Status)

	task, err = c.Wait(ctx, task.ID, client.WaitOptions{
		OnProgress: func(t client.Task) { fmt.Println(t.Status, t.Progress) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var video bytes.Buffer
	n, err := c.Download(ctx, task.Files[0].URL, &video)
	fmt.Println(n, "bytes:", video.String(), err)
	// Output:
	// task_1 not_started
	// running 42
	// finished 100
	// 9 bytes: the video <nil>
}

func ExampleClient_UploadStream() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "sk-example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	upload, err := c.UploadStream(context.Background(), "kite.png", strings.NewReader("the bytes of an image"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(upload.OriginalName, upload.Size, upload.URL)
	// Output: kite.png 21 https://files.example/temp/a.png
}

func ExampleClient_Generation() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "kat_live_example.secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	generation, err := c.Generation(context.Background(), "job_1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(generation.Status, *generation.Reference, generation.Failure.Code, generation.Failure.Retryable)
	// Output: failed listing-123 quality_rejected true
}

// Kinds of errors are found with errors.Is, details with errors.As.
func ExampleError() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "sk-mistyped")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	_, err = c.Submit(context.Background(), client.SubmitRequest{Model: "kling-v1", Input: client.Input{Prompt: "a kite"}})
	fmt.Println(errors.Is(err, client.ErrUnauthorized))
	var answered *client.Error
	if errors.As(err, &answered) {
		fmt.Println(answered.StatusCode, answered.Code, answered.Retryable)
	}
	fmt.Println(err)
	// Output:
	// true
	// 401 authentication_error false
	// client: POST /api/generate/submit: 401 authentication_error: wrong key
}

// From a photo to its pictures: the photo once, and any number of generations from it.
func ExampleClient_Create() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "kat_live_example.secret", client.WithClock(instant{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()
	ctx := context.Background()

	ingest, err := c.CreateAsset(ctx, "living-room.jpg", strings.NewReader("the bytes of a photo"), client.IdempotencyKey("listing-123-photo-1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if ingest, err = c.WaitAsset(ctx, ingest.IngestID); err != nil {
		fmt.Println(err)
		return
	}
	g, err := c.Create(ctx, client.GenerationRequest{
		SourceAssetID: ingest.SourceAssetID, Workflow: "staging", CaptureType: "photo", Mode: "furnish",
		RoomTypes: []string{"Living Room"}, StylePreset: "Scandinavian", Reference: "listing-123",
	}, client.IdempotencyKey("listing-123-living-room-1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.JobID, g.Status)
	if g, err = c.WaitGeneration(ctx, g.JobID, client.GenerationWaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Status, g.Outputs[0].Role, g.Outputs[0].Width)
	// Output:
	// job_2 queued
	// succeeded primary 1024
}

// The same again with another style, with its changes as the server tells them.
func ExampleClient_Regenerate() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "kat_live_example.secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()
	ctx := context.Background()

	g, err := c.Regenerate(ctx, "job_2", client.GenerationRequest{StylePreset: "Coastal"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Follow(ctx, g.JobID, func(g client.Generation) error {
		fmt.Println(g.JobID, g.Status, g.Progress)
		return nil
	})
	fmt.Println(err)
	// Output:
	// job_3 processing 50
	// job_3 succeeded 100
	// <nil>
}

func ExampleClient_AllGenerations() {
	server := gateway()
	defer server.Close()
	c, err := client.New(server.URL, "kat_live_example.secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.CloseIdleConnections()

	for g, err := range c.AllGenerations(context.Background(), client.GenerationFilter{Status: client.GenerationSucceeded}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(g.JobID)
	}
	// Output:
	// job_3
	// job_2
}
