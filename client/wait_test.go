package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora/client"
)

// taskAt is a step that shows a task in a state.
func taskAt(status string, progress int, headers ...string) step {
	extra := `,"error_message":null`
	switch status {
	case "finished":
		extra += `,"files":[{"file_url":"https://files.example/0.mp4","file_type":"video"},{"file_url":"https://files.example/1.png","file_type":"image"}]`
	case "failed":
		extra = `,"error_message":"the upstream refused the content"`
	}
	return reply(200, fmt.Sprintf(`{"code":200,"data":{"task_id":"task_1","status":%q,"progress":%d,"created_time":"2026-06-14T10:30:00"%s}}`, status, progress, extra), headers...)
}

func TestStatus(t *testing.T) {
	created := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	tests := map[string]struct {
		step step
		want client.Task
	}{
		"running":      {taskAt("running", 42), client.Task{ID: "task_1", Status: client.TaskRunning, Progress: 42, CreatedAt: created}},
		"failed":       {taskAt("failed", 42), client.Task{ID: "task_1", Status: client.TaskFailed, Progress: 42, CreatedAt: created, ErrorMessage: "the upstream refused the content"}},
		"unknown word": {taskAt("dreaming", 1), client.Task{ID: "task_1", Status: "dreaming", Progress: 1, CreatedAt: created}},
		"finished": {taskAt("finished", 100), client.Task{ID: "task_1", Status: client.TaskFinished, Progress: 100, CreatedAt: created,
			Files: []client.File{{URL: "https://files.example/0.mp4", Type: "video"}, {URL: "https://files.example/1.png", Type: "image"}}}},
		"time with a zone": {reply(200, `{"code":200,"data":{"task_id":"task_1","status":"running","created_time":"2026-06-14T12:30:00+02:00"}}`),
			client.Task{ID: "task_1", Status: client.TaskRunning, CreatedAt: created}},
		"time that is none": {reply(200, `{"code":200,"data":{"task_id":"task_1","status":"running","created_time":"yesterday"}}`),
			client.Task{ID: "task_1", Status: client.TaskRunning}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, _ := scripted(t, tt.step)
			got, err := c.Status(t.Context(), "task_1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestIDsAreOnePathElement: an id can not address another route.
func TestIDsAreOnePathElement(t *testing.T) {
	c, s, _ := scripted(t, reply(404, "{}"))
	for _, id := range []string{"", ".", ".."} {
		_, statusErr := c.Status(t.Context(), id)
		_, waitErr := c.Wait(t.Context(), id, client.WaitOptions{})
		_, generationErr := c.Generation(t.Context(), id)
		for _, err := range []error{statusErr, waitErr, generationErr} {
			if !errors.Is(err, client.ErrInvalid) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if len(s.seen) != 0 {
		t.Errorf("%d requests", len(s.seen))
	}
	s.steps = []step{func(r *http.Request) (*http.Response, error) {
		if got := r.URL.EscapedPath(); got != "/prefix/api/generate/status/..%2Fsubmit%3Fa=b%23c" {
			t.Errorf("path %s", got)
		}
		return reply(404, "{}")(r)
	}}
	if _, err := c.Status(t.Context(), "../submit?a=b#c"); !errors.Is(err, client.ErrNotFound) {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	progress := func(tasks []client.Task) (text []string) {
		for _, task := range tasks {
			text = append(text, fmt.Sprintf("%s %d", task.Status, task.Progress))
		}
		return text
	}
	hour := reply(429, "{}", "Retry-After", "3600")
	tests := map[string]struct {
		steps    []step
		requests int
		progress []string
		status   client.TaskStatus // of the returned task; empty = none
		want     error
	}{
		"finished at once": {[]step{taskAt("finished", 100)}, 1, []string{"finished 100"}, "finished", nil},
		"all states, told when they change": {
			[]step{taskAt("not_started", 0), taskAt("not_started", 0), taskAt("running", 0), taskAt("running", 40), taskAt("running", 40), taskAt("finished", 100)},
			6, []string{"not_started 0", "running 0", "running 40", "finished 100"}, "finished", nil,
		},
		"unknown words are not the end": {[]step{taskAt("dreaming", 1), taskAt("finished", 100)}, 2, []string{"dreaming 1", "finished 100"}, "finished", nil},
		"outages that pass": {
			[]step{lost, taskAt("running", 1), unavailable, unavailable, unavailable, unavailable, unavailable, unavailable, taskAt("finished", 100)},
			9, []string{"running 1", "finished 100"}, "finished", nil,
		},
		"unknown task":              {[]step{reply(404, "{}")}, 1, nil, "", client.ErrNotFound},
		"key revoked meanwhile":     {[]step{taskAt("running", 7), reply(401, "{}")}, 2, []string{"running 7"}, "running", client.ErrUnauthorized},
		"asked to wait for an hour": {[]step{taskAt("running", 7), hour}, 2, []string{"running 7"}, "running", client.ErrRateLimited},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, tt.steps...)
			var seen []client.Task
			task, err := c.Wait(t.Context(), "task_1", client.WaitOptions{OnProgress: func(task client.Task) { seen = append(seen, task) }})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.status == "" && task != nil || tt.status != "" && (task == nil || task.Status != tt.status) {
				t.Errorf("task %+v, want status %q", task, tt.status)
			}
			if len(s.seen) != tt.requests {
				t.Errorf("%d requests, want %d", len(s.seen), tt.requests)
			}
			if diff := cmp.Diff(tt.progress, progress(seen)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWaitTellsFailure(t *testing.T) {
	c, _, _ := scripted(t, taskAt("running", 42), taskAt("failed", 42))
	task, err := c.Wait(t.Context(), "task_1", client.WaitOptions{})
	var failed *client.TaskFailedError
	if !errors.As(err, &failed) || failed.Task.ErrorMessage != "the upstream refused the content" {
		t.Errorf("got %v", err)
	}
	if task == nil || task.Status != client.TaskFailed {
		t.Errorf("task %+v", task)
	}
	if errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrInvalid) {
		t.Errorf("a failed task is no failed request: %v", err)
	}
}

// TestWaitPauses: from half a second, growing, never beyond five, and never sooner than asked for.
func TestWaitPauses(t *testing.T) {
	steps := []step{taskAt("running", 0), taskAt("running", 0), taskAt("running", 0), taskAt("running", 0, "Retry-After", "30"), reply(429, "{}", "Retry-After", "20")}
	for range 20 {
		steps = append(steps, taskAt("running", 0))
	}
	c, _, clock := scripted(t, append(steps, taskAt("finished", 100))...)
	if _, err := c.Wait(t.Context(), "task_1", client.WaitOptions{}); err != nil {
		t.Fatal(err)
	}
	nominal := 500 * time.Millisecond
	for i, pause := range clock.slept {
		low, high := nominal*9/10, min(nominal*11/10+1, 5*time.Second)
		switch i {
		case 3:
			low, high = 30*time.Second, 30*time.Second
		case 4:
			low, high = 20*time.Second, 20*time.Second
		}
		if pause < low || pause > high {
			t.Errorf("pause %d is %v, want %v to %v", i+1, pause, low, high)
		}
		nominal = min(nominal*3/2, 5*time.Second)
	}
}

func TestWaitGivesUpOnALongOutage(t *testing.T) {
	tests := map[string]time.Duration{"default": 0, "longer": 10 * time.Minute}
	for name, outage := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, clock := scripted(t, taskAt("running", 3), unavailable)
			task, err := c.Wait(t.Context(), "task_1", client.WaitOptions{MaxOutage: outage})
			if !errors.Is(err, client.ErrUnavailable) || task == nil || task.Progress != 3 {
				t.Errorf("%+v, %v", task, err)
			}
			want := max(outage, client.DefaultMaxOutage)
			took := clock.Now().Sub(s.seen[1].at)
			if took > want || took < want-6*time.Second {
				t.Errorf("gave up after %v, want %v", took, want)
			}
		})
	}
}

// TestWaitCountsEachOutageAlone: many short outages in a long wait are not one long outage.
func TestWaitCountsEachOutageAlone(t *testing.T) {
	var steps []step
	for range 30 {
		steps = append(steps, reply(503, "{}", "Retry-After", "50"), reply(503, "{}", "Retry-After", "50"), taskAt("running", 1))
	}
	c, _, clock := scripted(t, append(steps, taskAt("finished", 100))...)
	start := clock.Now()
	task, err := c.Wait(t.Context(), "task_1", client.WaitOptions{})
	if err != nil || task.Status != client.TaskFinished {
		t.Errorf("%+v, %v after %v", task, err, clock.Now().Sub(start))
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	for name, steps := range map[string][]step{"in a pause": {taskAt("running", 3)}, "in an outage": {taskAt("running", 3), unavailable}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c, s, clock := scripted(t, steps...)
			looks := 0
			last := steps[len(steps)-1]
			s.steps[len(steps)-1] = func(r *http.Request) (*http.Response, error) {
				if looks++; looks == 3 {
					clock.mu.Lock()
					clock.cancel = cancel
					clock.mu.Unlock()
				}
				return last(r)
			}
			task, err := c.Wait(ctx, "task_1", client.WaitOptions{})
			if !errors.Is(err, context.Canceled) || task == nil || task.Progress != 3 {
				t.Errorf("%+v, %v", task, err)
			}
		})
	}
}
