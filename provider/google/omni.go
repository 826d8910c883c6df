package google

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// omniTypes are the references that Omni takes.
var omniTypes = []string{"image/png", "image/jpeg", "image/webp", "image/heic", "video/mp4", "video/quicktime", "video/webm"}

// omniTuning are the metadata keys whose place is generation_config. Every other one that is not read goes to the top of
// the body by its own name (upstream-rules.md, section 10).
var omniTuning = []string{"seed", "temperature", "top_p"}

// omniRead are the metadata keys that are read here, and so do not go on as they are.
var omniRead = slices.Concat(ratioKeys, []string{
	"callback_url", "resolution", "durationSeconds", "duration", "task", "n", "model_params", "prompt", "size", "image", "images", "seconds",
})

// omniTasks are what a video can be made of (section 3).
var omniTasks = []string{"text_to_video", "image_to_video", "reference_to_video", "edit", "extend"}

// spelled is a word as one of some is documented, whatever its case.
func spelled(word string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
	}
	return word
}

// submitOmni is the create of section 3.
func (g *Google) submitOmni(ctx context.Context, s *site, req provider.Request) (provider.Accepted, error) {
	files := provider.NewInline()
	defer files.Release()
	document, err := omniDocument(ctx, s, req, files)
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := g.request(ctx, s, http.MethodPost, s.base(omni), s.interactions(), nil)
	if err != nil {
		return provider.Accepted{}, err
	}
	if err := files.Attach(call, document); err != nil {
		return provider.Accepted{}, err
	}
	text, a, err := g.readCut(ctx, s, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, g.quoted(s, req, a, err)
	}
	if a.Status >= 300 {
		return provider.Accepted{}, g.quoted(s, req, a, submitRefusal(s, a, req))
	}
	var made interaction
	if err := json.Unmarshal(text, &made); err != nil || !interactionID.MatchString(string(made.ID)) {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: string(made.ID)}, nil
}

func omniDocument(ctx context.Context, s *site, req provider.Request, files *provider.Inline) (object, error) {
	input := []object{{"type": "text", "text": req.Prompt}}
	for i, address := range req.Images {
		f, err := files.Add(ctx, s.up, req.ImageField(i), address, omniTypes)
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(f.ContentType, "/")
		input = append(input, object{"type": kind, "data": f.Mark, "mime_type": f.ContentType})
	}
	// Inline outputs are limited to about 4 MB: an address is asked for wherever there can be one.
	format := object{"type": "video", "delivery": "uri"}
	format["aspect_ratio"], format["resolution"] = videoShape(req)
	if seconds := omniSeconds(req); seconds > 0 {
		format["duration"] = strconv.Itoa(seconds) + "s" // a bare number is refused
	}
	document := object{"model": req.UpstreamModel, "background": true, "input": input, "response_format": format}
	if task, ok := lenient.Text(req.Metadata["task"]); ok {
		document["generation_config"] = object{"video_config": object{"task": spelled(task, omniTasks)}}
	}
	top, tuning := others(req, omniRead, func(key string) bool { return slices.Contains(omniTuning, key) })
	over := object{}
	if len(tuning) > 0 {
		over["generation_config"] = tuning
	}
	document, err := withAll(document, over, top, req.Metadata["model_params"])
	if err != nil {
		return nil, err
	}
	if s.vertex {
		place, err := storagePlace(s.up, req)
		if err != nil {
			return nil, err
		}
		if format, ok := document["response_format"].(object); ok { // the merged one
			if format["gcs_uri"] = place; place == "" {
				format["delivery"] = "inline"
				delete(format, "gcs_uri")
			}
		}
		return document, nil
	}
	if hook := s.hook(req); hook != "" {
		document["webhook_config"] = object{"uris": []string{hook}, "user_metadata": object{"job": req.ClientRef}}
	}
	return document, nil
}

// omniSeconds is the video's length: metadata outranks the request. 0 = the model's own.
func omniSeconds(req provider.Request) int {
	for _, key := range []string{"durationSeconds", "duration"} {
		if n, ok := omniWhole(req.Metadata[key]); ok {
			return n
		}
	}
	return req.Duration
}

// omniWhole reads seconds, also in Omni's own form, "8s".
func omniWhole(raw json.RawMessage) (int, bool) {
	if text, ok := lenient.Text(raw); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), "s"))
		return n, err == nil
	}
	return lenient.Whole(raw)
}

// interactionID is what an interaction is called. It becomes a path.
var interactionID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,512}$`)

// interaction is the answer to create and get. The contents of inline files were cut out.
type interaction struct {
	ID     lenient.Word `json:"id"`
	Status lenient.Word `json:"status"`
	Error  *problem     `json:"error"`
	Steps  []struct {
		Type    lenient.Word  `json:"type"`
		Content []omniContent `json:"content"`
	} `json:"steps"`
	Video *omniContent `json:"output_video"` // the SDKs' flattened form
	Usage struct {
		Tokens []struct {
			Modality lenient.Word `json:"modality"`
			Tokens   lenient.Word `json:"tokens"`
		} `json:"output_tokens_by_modality"`
	} `json:"usage"`
}

type omniContent struct {
	Type lenient.Word `json:"type"`
	URI  string       `json:"uri"`
	Data *string      `json:"data"`
}

func (g *Google) interactionCall(ctx context.Context, s *site, method, id, suffix string) (*http.Request, error) {
	if !interactionID.MatchString(id) {
		return nil, provider.Errorf(provider.Gone, "the task is not one of this account's")
	}
	return g.request(ctx, s, method, s.base(omni), s.interactions()+"/"+url.PathEscape(id)+suffix, nil)
}

func (g *Google) pollOmni(ctx context.Context, s *site, job provider.Job) ([]provider.Report, error) {
	call, err := g.interactionCall(ctx, s, http.MethodGet, job.UpstreamID, "")
	if err != nil {
		return nil, err
	}
	text, a, err := g.readCut(ctx, s, provider.Reads, call)
	if err != nil {
		return nil, err
	}
	if a.Status >= 300 {
		return nil, lookRefused(s, a)
	}
	var shown interaction
	if err := json.Unmarshal(text, &shown); err != nil || shown.Status == "" && string(shown.ID) != job.UpstreamID ||
		shown.ID != "" && string(shown.ID) != job.UpstreamID {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	r := shown.report(s)
	r.UpstreamID = job.UpstreamID
	if r.State == provider.StateSucceeded {
		if err := g.awaitFiles(ctx, s, &r); err != nil {
			return nil, err
		}
	}
	return []provider.Report{r}, nil
}

// lookRefused is an answer to a look that is no interaction; nil = there is none of that id
// (section 3). A bare 400 has been seen on jobs that were alive.
func lookRefused(s *site, a provider.Answer) error {
	p := readProblem(a.Body)
	if gone(a) || a.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(string(p.Message)), "invalid interaction name") {
		return nil
	}
	e := refusal(s, a)
	if e.Class == provider.Invalid || e.Class == provider.Moderation || e.Class == provider.ModelGone {
		e.Class, e.Message = provider.Unavailable, messages[provider.Unavailable]
	}
	return e
}

// report is the table of section 3.
func (i *interaction) report(s *site) provider.Report {
	r := provider.Report{State: provider.StateRunning, Progress: -1}
	fail := func(class provider.Class, code, message string) provider.Report {
		r.State, r.Err = provider.StateFailed, &provider.Error{Class: class, Code: code, Message: message}
		return r
	}
	switch status := strings.ToLower(string(i.Status)); status {
	case "queued":
		r.State = provider.StateQueued
	case "cancelled", "canceled":
		r.State = provider.StateCancelled
	case "completed":
		if r.Outputs = i.outputs(s); len(r.Outputs) > 0 {
			r.State, r.Progress = provider.StateSucceeded, 100
			return r
		}
		if i.videoTokens() {
			// It was billed: an operator should hear of it.
			return fail(provider.Generation, "video_not_found", "the upstream counts a video that its answer does not show")
		}
		return fail(provider.Moderation, "no_video", messages[provider.Moderation])
	case "failed":
		if i.Error != nil {
			return i.Error.ended(s.up)
		}
		return fail(provider.Generation, status, messages[provider.Generation])
	case "incomplete", "requires_action":
		return fail(provider.Generation, status, messages[provider.Generation])
	case "budget_exceeded":
		return fail(provider.Balance, status, messages[provider.Balance])
	}
	return r
}

func (i *interaction) videoTokens() bool {
	return slices.ContainsFunc(i.Usage.Tokens, func(t struct {
		Modality lenient.Word `json:"modality"`
		Tokens   lenient.Word `json:"tokens"`
	}) bool {
		return strings.EqualFold(string(t.Modality), "video") && t.Tokens != "" && t.Tokens != "0"
	})
}

func (i *interaction) outputs(s *site) (out []provider.Output) {
	for n, step := range i.Steps {
		if step.Type != "model_output" {
			continue
		}
		for m, c := range step.Content {
			if c.Type == "video" {
				out = c.add(out, s, fmt.Sprintf("steps/%d/content/%d/data", n, m))
			}
		}
	}
	if len(out) == 0 && i.Video != nil {
		out = i.Video.add(out, s, "output_video/data")
	}
	return out
}

func (c *omniContent) add(out []provider.Output, s *site, inline string) []provider.Output {
	switch {
	case c.URI != "":
		return append(out, fileOutput(s, omni, c.URI))
	case c.Data != nil:
		return append(out, place{Inline: inline}.output())
	}
	return out
}

// fileName is the resource behind the address of a file at the Gemini API.
var fileName = regexp.MustCompile(`/v1beta/(files/[A-Za-z0-9_-]+)(:download)?(\?|$)`)

// awaitFiles turns a success into one that still runs while one of its files is being
// processed (section 6, trap 5).
func (g *Google) awaitFiles(ctx context.Context, s *site, r *provider.Report) error {
	for _, o := range r.Outputs {
		var at place
		_ = json.Unmarshal(o.Handle, &at) // it was made here
		name := fileName.FindStringSubmatch(at.File)
		if name == nil || s.vertex {
			continue
		}
		state, err := g.fileState(ctx, s, name[1])
		switch {
		case err != nil:
			return err
		case state == "PROCESSING":
			r.State, r.Outputs, r.Progress = provider.StateRunning, nil, 99
			return nil
		case state == "FAILED":
			r.State, r.Outputs, r.Progress = provider.StateFailed, nil, -1
			r.Err = &provider.Error{Class: provider.Generation, Code: "file_failed", Message: messages[provider.Generation]}
			return nil
		}
	}
	return nil
}

// fileState reads a file's state. What cannot be asked about is left to the download.
func (g *Google) fileState(ctx context.Context, s *site, name string) (string, error) {
	call, err := g.request(ctx, s, http.MethodGet, s.base(omni), "/v1beta/"+name, nil)
	if err != nil {
		return "", err
	}
	a, err := g.do(ctx, s, provider.Reads, call)
	if err != nil {
		return "", err
	}
	var shown struct {
		State lenient.Word `json:"state"`
		File  struct {
			State lenient.Word `json:"state"`
		} `json:"file"`
	}
	switch {
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusUnauthorized:
		return "", refusal(s, a)
	case a.Status >= 300 || json.Unmarshal(a.Body, &shown) != nil:
		return "", nil
	case shown.State == "":
		shown.State = shown.File.State
	}
	return strings.ToUpper(string(shown.State)), nil
}

// cancelOmni ends an interaction. What has ended already is refused, in a way that is not
// documented: every refusal of the request itself is taken for that.
func (g *Google) cancelOmni(ctx context.Context, s *site, job provider.Job) error {
	call, err := g.interactionCall(ctx, s, http.MethodPost, job.UpstreamID, "/cancel")
	if err != nil {
		return err
	}
	_, a, err := g.readCut(ctx, s, provider.Reads, call)
	switch {
	case err != nil:
		return err
	case a.Status < 300:
		return nil
	case a.Status == http.StatusBadRequest || a.Status == http.StatusConflict || a.Status == http.StatusPreconditionFailed:
		if e := refusal(s, a); e.Class != provider.Credential && e.Class != provider.Balance {
			return provider.ErrNotCancellable
		}
	case gone(a):
		return provider.Errorf(provider.Gone, "%s", messages[provider.Gone])
	}
	return refusal(s, a)
}
