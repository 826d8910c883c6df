package ark

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/kinora/kinora/provider"
)

// named is the Handle of a task whose id came in a callback, and not in a submit's answer.
var named = json.RawMessage(`{"named_by":"callback"}`)

// VerifyCallback implements provider.CallbackVerifier. The vendor documents no signature: the
// token in the path is the only proof, and what the body says is worth no more than a look.
// The body is that of a query for the task.
func (*Ark) VerifyCallback(_ provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	var t task
	if err := json.Unmarshal(in.Body, &t); err != nil || t.ID == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: t.ID, Handle: named, Hint: !t.goesOn()}, nil
}

// goesOn says that the task is in one of the documented states that are no end.
func (t *task) goesOn() bool {
	status := t.status()
	return status == "queued" || status == "running"
}

// ourReference is the form of the references that Kinora gives to tasks.
var ourReference = regexp.MustCompile(`^(?:task|job)_[0-9A-Z]{26}_\d+$`)

// callersOwn is the Handle of a task that carries a reference of the caller's which looks like
// one of ours.
var callersOwn = json.RawMessage(`{"reference":"caller"}`)

// foreign says that the task was made for another attempt: it carries a reference of ours, and
// not this job's. An id that came in an unsigned callback, or that a hand has mixed up, must
// not lead to somebody else's video.
func (t *task) foreign(job provider.Job) bool {
	ref, _ := word(t.Reference)
	return job.ClientRef != "" && ref != job.ClientRef && ourReference.MatchString(ref) && !bytes.Equal(job.Handle, callersOwn)
}
