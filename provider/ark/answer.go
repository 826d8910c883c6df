package ark

import (
	"encoding/json"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// task is a Seedance task as queries, the list and callbacks show it. What may come in
// several forms is read when it is wanted, so that no oddity hides the rest.
type task struct {
	ID        string          `json:"id"`
	Status    json.RawMessage `json:"status"`
	Reference json.RawMessage `json:"safety_identifier"`
	Content   json.RawMessage `json:"content"`
	// A query of one task says why it failed under "error", the list under "failure_reason".
	Error         json.RawMessage `json:"error"`
	FailureReason json.RawMessage `json:"failure_reason"`
}

// state maps the vendor's words. "expired" is missing from the vendor's own SDK; words that
// nobody documents count as running, which the generation's deadline ends.
func (t *task) state() provider.State {
	switch t.status() {
	case "queued":
		return provider.StateQueued
	case "succeeded":
		return provider.StateSucceeded
	case "failed":
		return provider.StateFailed
	case "cancelled", "canceled":
		return provider.StateCancelled
	case "expired":
		return provider.StateExpired
	}
	return provider.StateRunning
}

// status is the task's word in lower case.
func (t *task) status() string {
	status, _ := word(t.Status)
	return strings.ToLower(strings.TrimSpace(status))
}

func (t *task) report(up provider.Upstream) provider.Report {
	r := provider.Report{UpstreamID: t.ID, State: t.state(), Progress: -1}
	switch r.State {
	case provider.StateSucceeded:
		if r.Outputs = t.outputs(); len(r.Outputs) == 0 {
			r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the upstream reports success without an output")
		}
	case provider.StateFailed:
		p := readProblem(t.Error)
		if p.Code == "" {
			p = readProblem(t.FailureReason)
		}
		r.Err = failure(up, p)
	case provider.StateExpired:
		r.Err = provider.Errorf(provider.Generation, "the task ran out of time at the upstream")
		r.Err.Code = "expired"
	}
	return r
}

// outputs are the video and, where it was asked for, its last frame.
func (t *task) outputs() (out []provider.Output) {
	var content struct {
		Video     string `json:"video_url"`
		LastFrame string `json:"last_frame_url"`
		File      string `json:"file_url"`
	}
	if json.Unmarshal(t.Content, &content) != nil {
		return nil
	}
	if content.Video == "" {
		content.Video = content.File
	}
	if content.Video == "" {
		return nil
	}
	out = []provider.Output{{URL: content.Video, Kind: kinora.KindVideo}}
	if content.LastFrame != "" {
		out = append(out, provider.Output{URL: content.LastFrame, Kind: kinora.KindImage})
	}
	return out
}

// acceptedImages reads the answer of the image route. Images that were refused stand among
// those that were made; one good image is a success, and only good ones are paid for.
func acceptedImages(up provider.Upstream, a provider.Answer) (provider.Accepted, error) {
	var answer struct {
		Data []struct {
			URL   string          `json:"url"`
			Error json.RawMessage `json:"error"`
		} `json:"data"`
	}
	if json.Unmarshal(a.Body, &answer) != nil {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	r := &provider.Report{State: provider.StateSucceeded, Progress: 100}
	why := envelope(a)
	for _, image := range answer.Data {
		if image.URL != "" {
			r.Outputs = append(r.Outputs, provider.Output{URL: image.URL, Kind: kinora.KindImage})
		} else if why.Code == "" {
			why = readProblem(image.Error)
		}
	}
	switch {
	case len(r.Outputs) > 0:
	case why.Code == "":
		// Neither an image nor a reason: something may have been made and paid for.
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	default:
		r.State, r.Progress, r.Err = provider.StateFailed, -1, failure(up, why)
	}
	return provider.Accepted{Report: r}, nil
}
