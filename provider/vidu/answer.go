package vidu

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// task is a task as Vidu shows it: in the answer to a submit (id in task_id), to a
// query (older texts show no id at all), in a list and in a callback.
type task struct {
	TaskID    lenient.Word  `json:"task_id"`
	ID        lenient.Word  `json:"id"`
	State     *lenient.Word `json:"state"` // nil = not shown
	ErrCode   lenient.Word  `json:"err_code"`
	Payload   lenient.Word  `json:"payload"`
	Prompt    *lenient.Word `json:"prompt"` // nil = not shown
	OffPeak   lenient.Truth `json:"off_peak"`
	CreatedAt lenient.Word  `json:"created_at"` // RFC 3339
	Creations creations     `json:"creations"`
}

// creations are a task's files. The list of tasks documents an object where the query
// has an array.
type creations []creation

type creation struct {
	URL            string `json:"url"`
	WatermarkedURL string `json:"watermarked_url"`
}

func (c *creations) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		list = []json.RawMessage{b}
	}
	for _, raw := range list {
		var one creation
		if json.Unmarshal(raw, &one) == nil {
			*c = append(*c, one)
		}
	}
	return nil
}

// id is the task's, wherever it stands; empty where the answer does not say.
func (t *task) id() string {
	if t.TaskID != "" {
		return string(t.TaskID)
	}
	return string(t.ID)
}

// handle is what Poll wants to know of a submit. Its zero value is stored as nothing.
type handle struct {
	OffPeak   bool   `json:"off_peak,omitempty"`
	CreatedAt string `json:"created_at,omitempty"` // of an off-peak task, as Vidu wrote it
	// OwnPayload says that the payload is the caller's, so that it proves nothing.
	OwnPayload bool `json:"own_payload,omitempty"`
}

// accepted is what a task that was created for req means.
func (t *task) accepted(req provider.Request) provider.Accepted {
	h := handle{OffPeak: offPeak(req), OwnPayload: ownPayload(req)}
	if h.OffPeak {
		h.CreatedAt = string(t.CreatedAt)
	}
	out := provider.Accepted{UpstreamID: t.id()}
	if h != (handle{}) {
		out.Handle, _ = json.Marshal(h) // plain fields, which can always be marshalled
	}
	return out
}

func ownPayload(req provider.Request) bool {
	_, ok := req.Metadata["payload"]
	return ok
}

func handleOf(job provider.Job) (h handle) {
	if len(job.Handle) > 0 {
		_ = json.Unmarshal(job.Handle, &h) // our own; without it only off-peak's comforts are lost
	}
	return h
}

// reference is the shape of our own references, the attempts' ids.
var reference = regexp.MustCompile(`^(task|job)_[0-9A-HJKMNP-TV-Z]{26}_[0-9]+$`)

// foreign says that the task was made for another attempt: its payload is a reference
// of ours, and not this job's. A callback's body is not signed, so that an id from one
// must not lead to somebody else's outputs.
func (t *task) foreign(job provider.Job) bool {
	payload := string(t.Payload)
	return payload != job.ClientRef && reference.MatchString(payload) && !handleOf(job).OwnPayload
}

// state is the task's status word in lower case; empty where it is not shown.
func (t *task) state() string {
	if t.State == nil {
		return ""
	}
	return strings.ToLower(string(*t.State))
}

// couldBe says that a listed task without a payload may be the one that req made, by its
// prompt, which the documents name among a list item's fields.
func (t *task) couldBe(req provider.Request) bool {
	prompt := req.Prompt
	if own, ok := lenient.Text(req.Metadata["prompt"]); ok {
		prompt = own
	}
	return t.Payload == "" && t.id() != "" &&
		(t.Prompt == nil || strings.TrimSpace(string(*t.Prompt)) == strings.TrimSpace(prompt))
}

// report translates what Vidu shows of a job.
func (t *task) report(up provider.Upstream, job provider.Job, now time.Time) provider.Report {
	r := provider.Report{UpstreamID: job.UpstreamID, Progress: -1}
	h := handleOf(job)
	switch t.state() {
	case "created", "queueing":
		r.State = provider.StateQueued
	case "success":
		r.State, r.Progress, r.Outputs = provider.StateSucceeded, 100, t.outputs(job.Kind)
		if len(r.Outputs) == 0 {
			r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the upstream reports success without an output")
		}
	case "failed":
		r.State, r.Err = t.end(up, h, now)
	default:
		r.State = provider.StateRunning
	}
	if !r.State.Final() && (h.OffPeak || bool(t.OffPeak)) {
		r.PollAfter = offPeakPause
	}
	return r
}

func (t *task) outputs(kind kinora.Kind) (out []provider.Output) {
	for _, c := range t.Creations {
		url := c.URL
		if url == "" {
			url = c.WatermarkedURL
		}
		if url != "" {
			out = append(out, provider.Output{URL: url, Kind: kind})
		}
	}
	return out
}

// end is what "failed" means: err_code has the words of the error answers, and one more
// that is no failure.
func (t *task) end(up provider.Upstream, h handle, now time.Time) (provider.State, *provider.Error) {
	reason := string(t.ErrCode)
	e := &provider.Error{Class: classOf(reason), Code: reasonWord(up, reason)}
	if created, err := time.Parse(time.RFC3339, h.CreatedAt); err == nil && e.Class == "" && now.Sub(created) >= offPeakLife {
		// How Vidu's own cancel of an off-peak task looks is not documented. It cannot be
		// ours: nobody looks any more at a task that we have cancelled.
		e.Class, e.Message = provider.Generation, "the upstream found no off-peak time for it"
		return provider.StateExpired, e
	}
	switch e.Class {
	case provider.Invalid, provider.Moderation, provider.Balance, provider.ModelGone:
		e.Message = messageFor(reason, e.Class)
		return provider.StateFailed, e
	}
	if reason == userCancelled {
		return provider.StateCancelled, nil
	}
	e.Class, e.Message = provider.Generation, "the generation failed"
	return provider.StateFailed, e
}
