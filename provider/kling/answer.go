package kling

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// task is a task in either family's shape: the older one nests it in data, or sends it
// flat in a callback, with names that begin with task_; the newer one has plain names.
type task struct {
	ID         lenient.Word  `json:"id"`
	Status     *lenient.Word `json:"status"`
	Message    lenient.Word  `json:"message"`
	ExternalID lenient.Word  `json:"external_id"`
	CreateTime lenient.Word  `json:"create_time"` // milliseconds since 1970
	Outputs    []output      `json:"outputs"`

	TaskID     lenient.Word  `json:"task_id"`
	TaskStatus *lenient.Word `json:"task_status"`
	StatusMsg  lenient.Word  `json:"task_status_msg"`
	CreatedAt  lenient.Word  `json:"created_at"` // milliseconds since 1970
	Info       info          `json:"task_info"`
	Result     result        `json:"task_result"`
}

type info struct {
	ExternalTaskID lenient.Word `json:"external_task_id"`
}

type output struct {
	Type         string `json:"type"`
	URL          string `json:"url"`
	WatermarkURL string `json:"watermark_url"`
}

type result struct {
	Videos []output `json:"videos"`
	Images []output `json:"images"`
	Series []output `json:"series_images"` // of the omni image model
}

// id is the task's own, in whichever shape.
func (t *task) id() string { return string(first(t.ID, t.TaskID)) }

// external is the reference that the task was submitted with.
func (t *task) external() string { return string(first(t.ExternalID, t.Info.ExternalTaskID)) }

// created is when Kling made the task, in milliseconds since 1970; 0 = not shown.
func (t *task) created() int64 {
	n, _ := json.Number(first(t.CreateTime, t.CreatedAt)).Int64()
	return n
}

func first(a, b lenient.Word) lenient.Word {
	if a != "" {
		return a
	}
	return b
}

// status is the task's word in lower case; false where none is shown.
func (t *task) status() (string, bool) {
	for _, w := range []*lenient.Word{t.Status, t.TaskStatus} {
		if w != nil {
			return strings.ToLower(string(*w)), true
		}
	}
	return "", false
}

// reference is the shape of our own references: generations' ids, and attempts'.
var reference = regexp.MustCompile(`^(task|job)_[0-9A-HJKMNP-TV-Z]{26}(_[0-9]+)?$`)

// foreign says that the task was made for another attempt: its reference is one of ours,
// and not this job's. An id that came in an unsigned callback must not lead to somebody
// else's outputs.
func (t *task) foreign(job provider.Job) bool {
	external := t.external()
	return reference.MatchString(external) && external != ourReference(job.ClientRef) && !handleOf(job).OwnReference
}

// report translates a task's state.
func (t *task) report(job provider.Job) provider.Report {
	r := provider.Report{UpstreamID: job.UpstreamID, Progress: -1}
	status, _ := t.status()
	switch status {
	case "submitted":
		r.State = provider.StateQueued
	case "succeed", "succeeded":
		r.State, r.Progress, r.Outputs = provider.StateSucceeded, 100, t.outputs(job.Kind)
		if len(r.Outputs) == 0 {
			r.State, r.Progress, r.Err = provider.StateFailed, -1, provider.Errorf(provider.Generation, "the upstream reports success without an output")
		}
	case "failed":
		r.State, r.Err = provider.StateFailed, t.failure()
	default:
		r.State = provider.StateRunning
	}
	return r
}

func (t *task) outputs(kind kinora.Kind) (out []provider.Output) {
	for _, o := range t.Result.Videos {
		out = appendOutput(out, o, kinora.KindVideo)
	}
	for _, o := range slices.Concat(t.Result.Images, t.Result.Series) {
		out = appendOutput(out, o, kinora.KindImage)
	}
	for _, o := range t.Outputs {
		switch o.Type {
		case "video", "image":
			out = appendOutput(out, o, kinora.Kind(o.Type))
		case "":
			out = appendOutput(out, o, kind)
		}
	}
	return out
}

func appendOutput(out []provider.Output, o output, kind kinora.Kind) []provider.Output {
	url := o.URL
	if url == "" {
		url = o.WatermarkURL
	}
	if url == "" {
		return out
	}
	return append(out, provider.Output{URL: url, Kind: kind})
}

// moderated are parts of the sentences in which a failed task says that its content was
// refused: the documents have no code there.
var moderated = []string{"risk control", "policy", "policies", "sensitive", "safety", "moderation", "violat", "风控", "审核", "敏感", "违规"}

// failure is why a task ended badly. Kling tells it in a sentence, which operators
// cannot be shown: it may hold anything.
func (t *task) failure() *provider.Error {
	said := strings.ToLower(string(first(t.Message, t.StatusMsg)))
	for _, part := range moderated {
		if strings.Contains(said, part) {
			e := provider.Errorf(provider.Moderation, "the content was refused")
			e.Detail = "the reason given has the words " + part
			return e
		}
	}
	return provider.Errorf(provider.Generation, "the generation failed")
}

// envelope is every answer of Kling's.
type envelope struct {
	Code      *json.Number    `json:"code"`
	RequestID lenient.Word    `json:"request_id"`
	Message   lenient.Word    `json:"message"`
	Data      json.RawMessage `json:"data"`
}

// readEnvelope reads an answer; false for what is no answer of Kling's.
func readEnvelope(body []byte) (e envelope, ok bool) {
	if err := json.Unmarshal(body, &e); err != nil || e.Code == nil {
		return envelope{}, false
	}
	return e, true
}

// code is the envelope's number; 0 = all is well.
func (e *envelope) code() int64 {
	n, err := e.Code.Int64()
	if err != nil {
		return -1
	}
	return n
}

// one reads data as a single task.
func (e *envelope) one() (*task, bool) {
	var t task
	if readTask(e.Data, &t) != nil || t.id() == "" {
		return nil, false
	}
	return &t, true
}

// readTask forgives fields of a wrong type: what could not be read says nothing.
func readTask(raw []byte, t *task) error {
	err := json.Unmarshal(raw, t)
	var odd *json.UnmarshalTypeError
	if errors.As(err, &odd) && odd.Field != "" {
		return nil
	}
	return err
}

// many reads data as a list of tasks; what is none in it is left out. A list of nothing
// but that is no list: it must not be taken for an empty one.
func (e *envelope) many() ([]task, bool) {
	var items []json.RawMessage
	if json.Unmarshal(e.Data, &items) != nil || items == nil {
		return nil, false
	}
	var list []task
	for _, raw := range items {
		var t task
		if readTask(raw, &t) == nil && t.id() != "" {
			list = append(list, t)
		}
	}
	return list, len(list) > 0 || len(items) == 0
}
