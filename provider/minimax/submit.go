package minimax

import (
	"context"
	"net/http"

	"github.com/kinora/kinora/provider"
)

// protocol is how a family submits.
type protocol struct {
	path  string
	body  func(provider.Request) fields
	check func(provider.Request) *provider.Error
}

var protocols = map[family]protocol{
	hailuo: {"/v1/video_generation", hailuoBody, checkHailuo},
	h3:     {"/v2/video_generation", h3Body, checkH3},
	images: {"/v1/image_generation", imageBody, checkImage},
}

// Validate implements provider.Provider. What cannot be known without fetching an image
// (the type, size and shape of one behind a URL) is left to the upstream.
func (*MiniMax) Validate(req provider.Request) error {
	if err := protocols[familyOf(req.UpstreamModel)].check(req); err != nil {
		return err
	}
	return nil
}

// Submit implements provider.Provider. The call stays open while MiniMax makes sure that
// the callback URL answers its challenge.
func (m *MiniMax) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (_ provider.Accepted, err error) {
	var a provider.Answer
	defer func() { err = provider.Quote(m, up, req, err, readComplaint(a).words) }()
	f := familyOf(req.UpstreamModel)
	payload, err := encode(protocols[f].body(req))
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := newRequest(up, http.MethodPost, protocols[f].path, payload)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err = provider.Do(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, lost(a, err)
	}
	if a.Status >= 300 {
		return provider.Accepted{}, refusal(a, provider.Creates)
	}
	if f == images {
		return readImages(a, req)
	}
	return readTask(a)
}

// lost adds what the upstream said to a submit that ended in its own fault. Being
// overloaded is the one fault that creates nothing by what it says.
func lost(a provider.Answer, err error) error {
	e := provider.AsError(err, provider.OutcomeUnknown)
	c := readComplaint(a)
	if c.kind == "overloaded_error" {
		return refusal(a, provider.Creates)
	}
	if e.Code = c.code; e.Code == "" {
		e.Code = c.kind
	}
	e.Detail = c.detail()
	return e
}

// readTask reads the answer to a video submit. An id is proof of a task, unless a
// documented code says that it was refused.
func readTask(a provider.Answer) (provider.Accepted, error) {
	var got struct {
		TaskID text `json:"task_id"`
	}
	if !decode(a.Body, &got) {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	c := readComplaint(a)
	refused := c.class(a.Status, provider.Creates) != provider.OutcomeUnknown
	switch {
	case got.TaskID != "" && !refused:
		return provider.Accepted{UpstreamID: string(got.TaskID)}, nil
	case c.code == "" && c.kind == "":
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{}, refusal(a, provider.Creates)
}

// readImages reads the answer to an image submit.
func readImages(a provider.Answer, req provider.Request) (provider.Accepted, error) {
	var got imageAnswer
	if !decode(a.Body, &got) {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	c := readComplaint(a)
	switch {
	case got.readable():
		return got.accepted(c.trace, req.ClientRef), nil
	case c.code == "" && c.kind == "":
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{}, refusal(a, provider.Creates)
}
