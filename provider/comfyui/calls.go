package comfyui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora/provider"
)

// Submit implements provider.Provider: input images are sent first, under names that depend
// on the attempt, then the filled workflow under an id of our own.
func (c *ComfyUI) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	w, err := c.workflow(req)
	if err != nil {
		return provider.Accepted{}, err
	}
	if len(req.Images) > w.images {
		return provider.Accepted{}, tooMany(w.images)
	}
	images := make([]string, len(req.Images))
	for i, source := range req.Images {
		if images[i], err = upload(ctx, up, req, i, source); err != nil {
			return provider.Accepted{}, err
		}
	}
	values, err := w.values(req, images)
	if err != nil {
		return provider.Accepted{}, err
	}
	graph, err := w.fill(values)
	if err != nil {
		return provider.Accepted{}, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	payload, err := json.Marshal(map[string]any{"prompt": graph, "prompt_id": promptID(req.ClientRef), "client_id": "kinora"})
	if err != nil {
		return provider.Accepted{}, &provider.Error{Class: provider.Invalid, Message: "the workflow is not JSON", Err: err}
	}
	a, err := do(ctx, up, provider.Creates, http.MethodPost, "/prompt", payload)
	if err != nil {
		return provider.Accepted{}, provider.Quote(c, up, req, err, sentence(a))
	}
	if a.Status >= 300 {
		return provider.Accepted{}, provider.Quote(c, up, req, w.refusal(a), sentence(a))
	}
	var accepted struct {
		ID string `json:"prompt_id"`
	}
	if err := json.Unmarshal(a.Body, &accepted); err != nil || accepted.ID == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: accepted.ID}, nil
}

// extensions are those of the image types that ComfyUI's loader reads.
var extensions = map[string]string{"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}

// imageTypes are those types, in the order in which a refusal names them.
var imageTypes = []string{"image/png", "image/jpeg", "image/webp", "image/gif"}

// upload sends an input image and returns what the server calls it. It may be repeated: the
// later file takes the earlier one's place.
func upload(ctx context.Context, up provider.Upstream, req provider.Request, i int, source string) (string, error) {
	field := req.ImageField(i)
	file, contentType, err := up.OpenSource(ctx, field, source, imageTypes)
	if err != nil {
		return "", err
	}
	body, contentType := form(file, fmt.Sprintf("%s-%d%s", req.ClientRef, i, extensions[contentType]))
	call, err := newRequest(up, http.MethodPost, "/upload/image", nil)
	if err != nil {
		return "", errors.Join(err, body.Close())
	}
	call.Body, call.GetBody, call.ContentLength = body, nil, -1
	call.Header.Set("Content-Type", contentType)
	a, err := provider.Do(ctx, up, provider.Reads, call) // it creates nothing that is run
	if err != nil {
		return "", err
	}
	if a.Status >= 300 {
		return "", provider.Refused(a)
	}
	var kept struct{ Name, Subfolder string }
	if err := json.Unmarshal(a.Body, &kept); err != nil || kept.Name == "" {
		return "", provider.Unreadable(provider.Unavailable, a.Status)
	}
	if kept.Subfolder != "" {
		return kept.Subfolder + "/" + kept.Name, nil
	}
	return kept.Name, nil
}

// folder is where on the server our input images are.
const folder = "kinora"

// form streams a file as the form of an upload.
func form(file io.ReadCloser, name string) (body io.ReadCloser, contentType string) {
	r, w := io.Pipe()
	m := multipart.NewWriter(w)
	go func() {
		part, err := m.CreateFormFile("image", name)
		if err == nil {
			_, err = io.Copy(part, file)
		}
		for _, field := range [][2]string{{"type", "input"}, {"subfolder", folder}, {"overwrite", "true"}} {
			if err == nil {
				err = m.WriteField(field[0], field[1])
			}
		}
		if err == nil {
			err = m.Close()
		}
		w.CloseWithError(errors.Join(err, file.Close()))
	}()
	return r, m.FormDataContentType()
}

// Poll implements provider.Provider: what has ended is in the history, what has not is in the
// queue. Both are in the server's memory, so that a restart forgets them. Whose a job is they do not
// show: its id tells, unless a server has chosen one of its own, and Reconcile asks by that.
func (c *ComfyUI) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	var reports []provider.Report
	for _, job := range jobs { // one: see Traits
		ended, err := history(ctx, up, job.UpstreamID)
		if err != nil {
			return nil, err
		}
		if ended != nil {
			reports = append(reports, c.report(job, ended))
			continue
		}
		q, err := queue(ctx, up)
		if err != nil {
			return nil, err
		}
		if state := q.state(job.UpstreamID); state != "" {
			reports = append(reports, provider.Report{UpstreamID: job.UpstreamID, State: state, Progress: -1})
		}
	}
	return reports, nil
}

// Reconcile implements provider.Reconciler. What is neither queued nor in the history was
// never taken, or is forgotten: in both cases it will not be run.
func (c *ComfyUI) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	if req.ClientRef == "" {
		return provider.Accepted{}, provider.ErrUncertain
	}
	id := promptID(req.ClientRef)
	q, err := queue(ctx, up) // first: a job moves from here to the history, never back
	if err != nil {
		return provider.Accepted{}, err
	}
	if q.state(id) == "" {
		ended, err := history(ctx, up, id)
		if err != nil {
			return provider.Accepted{}, err
		}
		if ended == nil {
			return provider.Accepted{}, provider.ErrNotSubmitted
		}
	}
	return provider.Accepted{UpstreamID: id}, nil
}

// Cancel implements provider.Canceler. A server that does not know the id in an interrupt ends
// whatever it is running, so that one is sent only for a job that was running a moment ago.
func (c *ComfyUI) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	q, err := queue(ctx, up)
	if err != nil {
		return err
	}
	path, body := "/queue", map[string]any{"delete": []string{job.UpstreamID}}
	switch q.state(job.UpstreamID) {
	case provider.StateQueued:
	case provider.StateRunning:
		path, body = "/interrupt", map[string]any{"prompt_id": job.UpstreamID}
	default:
		return provider.ErrNotCancellable // it has ended, or is not known
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return &provider.Error{Class: provider.Invalid, Message: "the job's id is not text", Err: err}
	}
	a, err := do(ctx, up, provider.Reads, http.MethodPost, path, payload)
	if err == nil && a.Status >= 300 {
		return provider.Refused(a)
	}
	return err
}

// OpenOutput implements provider.Opener.
func (c *ComfyUI) OpenOutput(ctx context.Context, up provider.Upstream, _ provider.Job, out provider.Output) (*http.Response, error) {
	var f file
	if err := json.Unmarshal(out.Handle, &f); err != nil || f.Name == "" {
		return nil, provider.Errorf(provider.Gone, "the output is not known")
	}
	call, err := newRequest(up, http.MethodGet, "/view?"+url.Values{"filename": {f.Name}, "subfolder": {f.Subfolder}, "type": {f.Type}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, err
	case res != nil:
		return res, nil
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone:
		return nil, &provider.Error{Class: provider.Gone, HTTPStatus: a.Status, Message: "the output is not there any more"}
	}
	return nil, provider.Refused(a)
}

func do(ctx context.Context, up provider.Upstream, effect provider.Effect, method, path string, payload []byte) (provider.Answer, error) {
	call, err := newRequest(up, method, path, payload)
	if err != nil {
		return provider.Answer{}, err
	}
	return provider.Do(ctx, up, effect, call)
}

// newRequest builds a call, with a token where the account has one.
func newRequest(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	return provider.NewRequest(up, method, path, provider.Bearer(strings.TrimSpace(up.Account.Settings[SettingAPIKey])), payload)
}
