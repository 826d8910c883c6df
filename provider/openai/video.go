package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// videoOwned are metadata keys that do not reach the body as they are.
var (
	videoOwned   = []string{"model", "prompt", "callback_url", "size", "seconds", "durationSeconds"}
	videoNumbers = []string{"seed", "width", "height", "num_frames", "fps", "num_inference_steps"}
)

// videoBody is what a video is ordered with, but for a reference image.
func videoBody(up provider.Upstream, req provider.Request, t target) body {
	b := body{"model": t.model, "prompt": req.Prompt}
	b.pass(req.Metadata, videoOwned, videoNumbers)
	if _, seconds, _ := lengthField(req); seconds > 0 {
		b["seconds"] = strconv.Itoa(seconds)
		if up.Account.Settings[SettingSeconds] == "integer" {
			b["seconds"] = seconds
		}
	}
	if size := videoSize(req); size != "" {
		b["size"] = size
	}
	return b
}

// reference is the field of the image that a video starts from.
const reference = "input_reference"

func videoCall(ctx context.Context, in *references, req provider.Request, t target) (*http.Request, error) {
	up := in.up
	b := videoBody(up, req, t)
	if up.Account.Settings[SettingSubmit] != asForm {
		images, err := in.images(ctx, req)
		if err != nil {
			return nil, err
		}
		if len(images) > 0 {
			b[reference] = map[string]string{"image_url": images[0]}
		}
		return in.post(videosPath, b)
	}
	f := newForm()
	if len(req.Images) > 0 {
		delete(b, reference)
	}
	if err := f.fields(b); err != nil {
		return nil, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	if err := f.sources(ctx, up, req, func(int) string { return reference }); err != nil {
		return nil, err
	}
	return postForm(up, videosPath, f)
}

// sources adds the request's images, each under the name that field gives it. Where one cannot
// be had the form is closed.
func (f *form) sources(ctx context.Context, up provider.Upstream, req provider.Request, field func(i int) string) error {
	for i, u := range req.Images {
		if err := f.source(ctx, up, req.ImageField(i), u, field(i), imageTypes); err != nil {
			return err
		}
	}
	return nil
}

func (f *form) source(ctx context.Context, up provider.Upstream, callers, url, field string, types []string) error {
	content, contentType, err := up.OpenSource(ctx, callers, url, types)
	if err == nil {
		err = f.file(field, contentType, content)
	}
	if err != nil {
		_ = f.close() // the files were only read
	}
	return err
}

func submitVideo(ctx context.Context, in *references, req provider.Request, t target) (provider.Accepted, error) {
	up := in.up
	call, err := videoCall(ctx, in, req, t)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err := provider.Do(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, quoted(up, a, req, withCode(err, up, a))
	}
	if a.Status >= 300 {
		return provider.Accepted{}, quoted(up, a, req, refusal(up, a, req))
	}
	var v video
	if json.Unmarshal(a.Body, &v) != nil || v.id() == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: v.id(), PollAfter: pollAfter(a.Header)}, nil
}

// video is a job as the dialect shows it. Look-alikes call its id task_id.
type video struct {
	ID        lenient.Word    `json:"id"`
	TaskID    lenient.Word    `json:"task_id"`
	Status    lenient.Word    `json:"status"`
	Progress  lenient.Word    `json:"progress"`
	ExpiresAt lenient.Word    `json:"expires_at"`
	Error     json.RawMessage `json:"error"`
}

func (v *video) id() string {
	if v.ID != "" {
		return string(v.ID)
	}
	return string(v.TaskID)
}

// words are the states, the dialect's own and those that look-alikes have been seen with. A
// word that says that a job is young must not end it.
var words = map[string]provider.State{
	"queued": provider.StateQueued, "pending": provider.StateQueued, "submitted": provider.StateQueued, "not_start": provider.StateQueued,
	"preparing": provider.StateQueued, "unknown": provider.StateQueued, "created": provider.StateQueued, "starting": provider.StateQueued,
	"in_progress": provider.StateRunning, "processing": provider.StateRunning, "running": provider.StateRunning, "generating": provider.StateRunning,
	"completed": provider.StateSucceeded, "complete": provider.StateSucceeded, "success": provider.StateSucceeded,
	"succeeded": provider.StateSucceeded, "finished": provider.StateSucceeded,
	"failed": provider.StateFailed, "failure": provider.StateFailed, "fail": provider.StateFailed, "error": provider.StateFailed,
	"cancelled": provider.StateCancelled, "canceled": provider.StateCancelled,
}

func stateOf(word lenient.Word) provider.State {
	if s, ok := words[strings.ToLower(strings.TrimSpace(string(word)))]; ok {
		return s
	}
	return provider.StateRunning
}

// pollVideo reads one video; nil = the upstream does not know it. Servers that keep their
// records in memory forget them with a restart.
func pollVideo(ctx context.Context, up provider.Upstream, job provider.Job) (*provider.Report, error) {
	var v video
	a, known, err := read(ctx, up, videoPath(job.UpstreamID), &v)
	if err != nil || !known {
		return nil, err
	}
	if v.id() != job.UpstreamID {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	r := v.report(up, time.Now())
	r.PollAfter = pollAfter(a.Header)
	return r, nil
}

func (v *video) report(up provider.Upstream, now time.Time) *provider.Report {
	r := &provider.Report{State: stateOf(v.Status), Progress: percent(v.Progress)}
	switch r.State {
	case provider.StateSucceeded:
		if expires, ok := lenient.Whole(json.RawMessage(v.ExpiresAt)); ok && expires > 0 && !now.Before(time.Unix(int64(expires), 0)) {
			r.State, r.Err = provider.StateExpired, provider.Errorf(provider.Gone, "the upstream does not keep the video any more")
			break
		}
		r.Outputs = []provider.Output{{Kind: kinora.KindVideo, Handle: handle{Video: v.id()}.encode()}}
	case provider.StateFailed:
		r.Err = failure(up, readProblem(v.Error))
	}
	return r
}

// percent reads a progress; -1 = none is told.
func percent(w lenient.Word) int {
	f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(w)), "%"), 64)
	if err != nil || !(f >= 0) { // not even a number
		return -1
	}
	return int(min(f, 100))
}
