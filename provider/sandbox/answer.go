package sandbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// status is a job as the sandbox shows it, in answers and callbacks.
type status struct {
	ID        string   `json:"id"`
	ClientRef string   `json:"client_ref"`
	Status    string   `json:"status"`
	Progress  *float64 `json:"progress"`
	Outputs   []output `json:"outputs"`
	Error     *problem `json:"error"`
}

type output struct {
	URL  string `json:"url"`
	Type string `json:"type"`
}

type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"`
}

// foreign says that the job was made for another attempt: each carries the reference of its
// own, which no caller can set. An id that a hand has named must not lead to somebody else's outputs.
func (s *status) foreign(job provider.Job) bool {
	return s.ClientRef != "" && job.ClientRef != "" && s.ClientRef != job.ClientRef
}

// report translates a job's state; kind is what its outputs are unless they say.
func (s *status) report(kind kinora.Kind) provider.Report {
	r := provider.Report{UpstreamID: s.ID, Progress: -1}
	if s.Progress != nil {
		r.Progress = int(min(max(*s.Progress, 0), 100))
	}
	switch strings.ToLower(s.Status) {
	case "queued":
		r.State = provider.StateQueued
	case "succeeded":
		r.State, r.Outputs = provider.StateSucceeded, s.outputs(kind)
		if len(r.Outputs) == 0 {
			r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the upstream reports success without an output")
		}
	case "failed":
		r.State, r.Err = provider.StateFailed, s.failure()
	case "cancelled", "canceled":
		r.State = provider.StateCancelled
	default:
		r.State = provider.StateRunning
	}
	return r
}

func (s *status) outputs(kind kinora.Kind) (out []provider.Output) {
	for _, o := range s.Outputs {
		if o.URL == "" {
			continue
		}
		k := kind
		if o.Type == string(kinora.KindImage) || o.Type == string(kinora.KindVideo) {
			k = kinora.Kind(o.Type)
		}
		out = append(out, provider.Output{URL: o.URL, Kind: k})
	}
	return out
}

// failure is why a job ended badly: by its code, else a technical failure.
func (s *status) failure() *provider.Error {
	e := provider.Errorf(provider.Generation, "the generation failed")
	if s.Error == nil {
		return e
	}
	e.Code = code(s.Error.Code)
	if s.Error.Code == string(provider.Moderation) {
		e.Class, e.Message = provider.Moderation, "the content was refused"
	}
	return e
}

// refusal translates an answer outside 2xx that created nothing.
func refusal(a provider.Answer) *provider.Error {
	p := readProblem(a.Body)
	e := &provider.Error{HTTPStatus: a.Status, Code: code(p.Code), RetryAfter: a.RetryAfter(time.Now())}
	class := provider.ClassOfStatus(a.Status)
	switch {
	case slices.Contains(provider.Classes(), provider.Class(p.Code)) && p.Code != string(provider.OutcomeUnknown):
		e.Class = provider.Class(p.Code)
	case class != "":
		e.Class = class
	case a.Status < 400:
		// A redirect is not followed: the key would go along.
		e.Class = provider.Unavailable
	default:
		e.Class = provider.Invalid
	}
	e.Message = messages[e.Class]
	switch {
	case e.Message == "":
		e.Message = fmt.Sprintf("the upstream answered with status %d", a.Status)
	case e.Class == provider.Invalid && callerField(p.Param) != "":
		e.Message = "the upstream refused " + callerField(p.Param)
	}
	return e
}

// messages are constant: the upstream's own text may hold what must not be shown.
var messages = map[provider.Class]string{
	provider.Invalid:    "the upstream refused the request",
	provider.Moderation: "the content was refused",
	provider.Credential: "the upstream refused the key",
	provider.Permission: "the account may not do this",
	provider.Balance:    "the account's balance is used up",
	provider.Rate:       "the upstream has too many requests",
	provider.ModelGone:  "the upstream does not know the model",
	provider.Gone:       "the upstream does not know the job",
}

// readProblem reads the error envelope; its zero value where there is none.
func readProblem(body []byte) problem {
	var envelope struct {
		Error problem `json:"error"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return problem{}
	}
	return envelope.Error
}

// code lets through the codes that the sandbox documents, and nothing that could be a
// secret or a sentence.
func code(s string) string {
	if s == "internal" || s == "not_found" || slices.Contains(provider.Classes(), provider.Class(s)) {
		return s
	}
	return ""
}
