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
