package openai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
	"github.com/kinora/kinora/provider/lenient"
)

// responsePace is that of responses (contract upstream-rules, section 7): a record that is not fetched may vanish after
// ten minutes.
var responsePace = provider.Pace{First: 3 * time.Second, Interval: 5 * time.Second, Ceiling: 30 * time.Second}

// imageTool is the tool's name, and imageItem that of what it puts out.
const (
	imageTool = "image_generation"
	imageItem = "image_generation_call"
)

// responseBody orders a picture from a text model that has the tool for it. It is stored, so
// that it does not vanish before it is fetched.
func responseBody(req provider.Request, t target, images []string, mask string) body {
	tool := body{"type": imageTool}
	tool.pass(req.Metadata, append([]string{"type"}, imageOwned...), imageNumbers)
	if t.tool != "" {
		tool["model"] = t.tool
	}
	tool.size(req)
	if mask != "" {
		tool["input_image_mask"] = map[string]string{"image_url": mask}
	}
	b := body{
		"model": t.model, "background": true, "store": true, "input": req.Prompt,
		"tools": []body{tool}, "tool_choice": map[string]string{"type": imageTool},
	}
	if len(images) > 0 {
		content := []map[string]string{{"type": "input_text", "text": req.Prompt}}
		for _, image := range images {
			content = append(content, map[string]string{"type": "input_image", "image_url": image})
		}
		b["input"] = []map[string]any{{"role": "user", "content": content}}
	}
	return b
}

func submitResponse(ctx context.Context, in *references, req provider.Request, t target) (provider.Accepted, error) {
	up := in.up
	images, err := in.images(ctx, req)
	if err != nil {
		return provider.Accepted{}, err
	}
	mask, err := in.mask(ctx, req, t)
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := in.post(responsesPath, responseBody(req, t, images, mask))
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
	var r response
	if json.Unmarshal(a.Body, &r) != nil || r.ID == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: string(r.ID), PollAfter: pollAfter(a.Header)}, nil
}

// response is one as it is read, without its pictures.
type response struct {
	ID         lenient.Word    `json:"id"`
	Status     lenient.Word    `json:"status"`
	Error      json.RawMessage `json:"error"`
	Incomplete struct {
		Reason lenient.Word `json:"reason"`
	} `json:"incomplete_details"`
	Output []struct {
		Type   lenient.Word `json:"type"`
		Status lenient.Word `json:"status"`
	} `json:"output"`

	pictures map[int]bool // items that have a result
}

// item is the number of the output item whose result a path leads to.
func item(path []string) (int, bool) {
	if len(path) != 3 || path[0] != "output" || path[2] != "result" {
		return 0, false
	}
	i, err := strconv.Atoi(path[1])
	return i, err == nil
}

// pollResponse reads one response; nil = the upstream does not know it, or not any more. A
// picture in it is passed over: it is fetched when it is stored.
func pollResponse(ctx context.Context, up provider.Upstream, job provider.Job) (*provider.Report, error) {
	call, err := request(up, http.MethodGet, responsePath(job.UpstreamID), nil)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, withCode(err, up, a)
	case res != nil:
	case a.Status == http.StatusNotFound || a.Status == http.StatusGone:
		return nil, nil
	default:
		return nil, unread(up, a)
	}
	defer res.Body.Close()
	r := response{pictures: map[int]bool{}}
	rest, err := jsonstream.Cut(res.Body, provider.MaxAnswer, func(path []string) func(io.Reader) error {
		i, ok := item(path)
		if !ok {
			return nil
		}
		return func(content io.Reader) error {
			_, err := content.Read(make([]byte, 1))
			r.pictures[i] = err == nil
			return nil
		}
	})
	switch {
	case errors.Is(err, jsonstream.ErrSyntax), errors.Is(err, jsonstream.ErrTooLarge):
		return nil, provider.Unreadable(provider.Unavailable, res.StatusCode)
	case err != nil:
		return nil, provider.Broken(provider.Reads, res.StatusCode, err)
	case json.Unmarshal(rest, &r) != nil || string(r.ID) != job.UpstreamID:
		return nil, provider.Unreadable(provider.Unavailable, res.StatusCode)
	}
	report := r.report(up)
	report.PollAfter = pollAfter(res.Header)
	return report, nil
}

func (r *response) report(up provider.Upstream) *provider.Report {
	out := &provider.Report{State: provider.StateRunning, Progress: -1}
	switch r.Status {
	case "queued":
		out.State = provider.StateQueued
	case "cancelled", "canceled":
		out.State = provider.StateCancelled
	case "failed":
		out.State, out.Err = provider.StateFailed, failure(up, readProblem(r.Error))
	case "incomplete":
		out.State, out.Err = provider.StateFailed, provider.Errorf(provider.Generation, "it was not completed")
		if r.Incomplete.Reason == "content_filter" {
			out.Err = provider.Errorf(provider.Moderation, "the content was refused")
		}
		out.Err.Code = token(up, string(r.Incomplete.Reason))
	case "completed":
		r.completed(out)
	}
	return out
}

// completed reports a response that came to its end: with pictures or, as a text model does that
// would rather not, without.
func (r *response) completed(out *provider.Report) {
	broken := false
	for i, it := range r.Output {
		if it.Type != imageItem {
			continue
		}
		if !r.pictures[i] {
			broken = broken || it.Status == "failed"
			continue
		}
		out.Outputs = append(out.Outputs, provider.Output{Kind: kinora.KindImage, Handle: handle{Response: string(r.ID), Item: i}.encode()})
	}
	switch {
	case len(out.Outputs) > 0:
		out.State, out.Progress = provider.StateSucceeded, 100
	case broken:
		out.State, out.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the image could not be made")
	default:
		out.State, out.Err = provider.StateFailed, provider.Errorf(provider.Moderation, "the upstream answered without an image")
	}
}

// openResponse reads a response once more and hands out one picture of it, decoded as it arrives.
func openResponse(ctx context.Context, up provider.Upstream, h handle) (*http.Response, error) {
	call, err := request(up, http.MethodGet, responsePath(h.Response), nil)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, withCode(err, up, a)
	case res == nil:
		return nil, unopened(up, a)
	}
	which := func(path []string) jsonstream.Found {
		switch i, ok := item(path); {
		case !ok:
			return jsonstream.Other
		case i == h.Item:
			return jsonstream.Wanted
		}
		return jsonstream.Unwanted
	}
	res.Body, res.ContentLength = jsonstream.Pick(res.Body, provider.MaxAnswer, which, func(err error) error {
		if errors.Is(err, jsonstream.ErrAbsent) {
			return provider.Errorf(provider.Gone, "the output is not at the upstream any more")
		}
		return err
	}), -1
	return res, nil
}

// cancelResponse ends a response in the background; one that has ended stays as it is.
func cancelResponse(ctx context.Context, up provider.Upstream, id string) error {
	call, err := request(up, http.MethodPost, responsePath(id)+"/cancel", nil)
	if err != nil {
		return err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return withCode(err, up, a)
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusTooManyRequests:
		return unread(up, a)
	case a.Status >= 400:
		return provider.ErrNotCancellable // it has ended, or is gone
	case a.Status >= 300:
		return unread(up, a)
	}
	var r response
	if json.Unmarshal(a.Body, &r) == nil && r.Status == "completed" {
		return provider.ErrNotCancellable
	}
	return nil
}
