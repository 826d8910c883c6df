package client

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

const opStatus = "GET /api/generate/status/{task_id}"

// TaskStatus is where a task stands (submit API contract, section 3.4). Words that are not listed here count
// as running.
type TaskStatus string

// The states of a task. The last two never change.
const (
	TaskNotStarted TaskStatus = "not_started"
	TaskRunning    TaskStatus = "running"
	TaskFinished   TaskStatus = "finished"
	TaskFailed     TaskStatus = "failed" // cancelled and expired ones too; the reason is Task.ErrorMessage
)

// Terminal reports whether s is an end.
func (s TaskStatus) Terminal() bool { return s == TaskFinished || s == TaskFailed }

// Task is a generation as the submit API shows it.
type Task struct {
	// ID is "task_" and more; opaque.
	ID     string
	Status TaskStatus
	// Progress is 0 to 100; on failure the last value.
	Progress int
	// CreatedAt is in UTC and whole seconds; zero when the server's text is no time.
	CreatedAt time.Time
	// ErrorMessage is why the task failed; empty otherwise.
	ErrorMessage string
	// Files are the outputs in the upstream's order; nil unless finished.
	Files []File
	// CallbackIgnored tells why a callback URL will not be called: "polling-only" (the model's upstream cannot),
	// "not-in-metadata" (one stood at the root of the body), both as "polling-only, not-in-metadata", or empty
	// (submit API contract, section 4.3).
	CallbackIgnored string
}

// File is one output of a task.
type File struct {
	// URL is where Download fetches it. It may be signed and expire; Status gives fresh ones.
	URL string
	// Type is "image" or "video".
	Type string
}

// Status reads a task. Errors: *Error, with ErrNotFound for an id that is unknown or another
// organisation's; ErrUnavailable; the context's.
func (c *Client) Status(ctx context.Context, taskID string) (*Task, error) {
	var a answer
	path, err := statusPath(taskID)
	if err == nil {
		a, err = c.get(ctx, opStatus, path)
	}
	if err != nil {
		return nil, err
	}
	return c.decodeTask(opStatus, a)
}

func statusPath(taskID string) (string, error) {
	return "/api/generate/status/" + url.PathEscape(taskID), checkID(opStatus, taskID)
}

// decodeTask reads the answers of submit and status, which differ in the fields that are left out.
func (c *Client) decodeTask(op string, a answer) (*Task, error) {
	var wire struct {
		TaskID       string  `json:"task_id"`
		Status       string  `json:"status"`
		Progress     int     `json:"progress"`
		CreatedTime  string  `json:"created_time"`
		ErrorMessage *string `json:"error_message"`
		Files        []struct {
			FileURL  string `json:"file_url"`
			FileType string `json:"file_type"`
		} `json:"files"`
	}
	if err := c.decodeData(op, a, &wire); err != nil {
		return nil, err
	}
	if wire.TaskID == "" || wire.Status == "" {
		return nil, fmt.Errorf("client: %s: the answer holds no task", op)
	}
	task := &Task{
		ID: wire.TaskID, Status: TaskStatus(wire.Status), Progress: wire.Progress, CreatedAt: parseTime(wire.CreatedTime),
		CallbackIgnored: c.clean(a.header.Get("X-Callback-Ignored"), maxWord),
	}
	if wire.ErrorMessage != nil {
		task.ErrorMessage = *wire.ErrorMessage
	}
	for _, f := range wire.Files {
		task.Files = append(task.Files, File{URL: f.FileURL, Type: f.FileType})
	}
	return task, nil
}
