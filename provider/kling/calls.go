package kling

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// handle is what Poll needs of a job beside its id.
type handle struct {
	// Path is where a task of the older family was submitted, and can be read. The newer
	// family has one path for all.
	Path string `json:"path,omitempty"`
	// OwnReference says that the task has a reference of the caller's.
	OwnReference bool `json:"own_reference,omitempty"`
}

// Route implements provider.Router.
func (*Kling) Route(req provider.Request) json.RawMessage {
	var h handle
	if f, _ := familyFor(req.UpstreamModel, req.Kind); f == legacy {
		h.Path = routeOf(req)
	}
	_, ours := externalID(req)
	if h.OwnReference = !ours; h == (handle{}) {
		return nil
	}
	out, _ := json.Marshal(h) // a string and a boolean, which can always be marshalled
	return out
}

// handleOf reads what Submit left for Poll. A job of before there was a path has none.
func handleOf(job provider.Job) (h handle) {
	_ = json.Unmarshal(job.Handle, &h) // nothing was left
	return h
}

// Submit implements provider.Provider.
func (k *Kling) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (_ provider.Accepted, err error) {
	var a provider.Answer
	defer func() { err = provider.Quote(k, up, req, err, sentence(a)) }()
	f, model := familyFor(req.UpstreamModel, req.Kind)
	path := routeOf(req)
	if path == "" {
		return provider.Accepted{}, badRoute(req) // it would become a path
	}
	payload, err := body(req, path)
	if err != nil {
		return provider.Accepted{}, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	if f == modern {
		path += url.PathEscape(model)
	}
	a, err = send(ctx, up, f, provider.Creates, http.MethodPost, path, payload)
	if err != nil {
		return provider.Accepted{}, described(a, err)
	}
	env, ours := readEnvelope(a.Body)
	switch {
	case duplicated(a):
		return provider.Accepted{}, duplicate(a, req)
	case a.Status >= 300:
		return provider.Accepted{}, refused(a, req)
	case !ours:
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	case env.code() != 0:
		return provider.Accepted{}, refusedWithin(a, req)
	}
	created, ok := env.one()
	if !ok {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: created.id(), Handle: k.Route(req)}, nil
}

// refusedWithin is a refusal under a status that says otherwise. Faults of the server
// leave open whether it had begun.
func refusedWithin(a provider.Answer, req provider.Request) *provider.Error {
	e := refused(a, req)
	if e.Class == provider.Unavailable || byCode[codeOf(a)] == "" {
		e.Class, e.Message = provider.OutcomeUnknown, "the upstream's answer leaves open whether it took the request"
	}
	return e
}

func codeOf(a provider.Answer) int64 {
	env, ok := readEnvelope(a.Body)
	if !ok {
		return 0
	}
	return env.code()
}

// duplicate is what a refusal means that may be about a reference used before. Our own
// was used for this very attempt only: then the task is there, and settling finds it.
func duplicate(a provider.Answer, req provider.Request) *provider.Error {
	e := refusal(a)
	if _, ours := externalID(req); ours {
		e.Class, e.Message = provider.OutcomeUnknown, "the upstream says that it has the request already"
		return e
	}
	_, field := given(req, "external_task_id")
	e.Class, e.Message = provider.Invalid, field+" must not have been used before"
	return e
}

// Poll implements provider.Provider: one task of the older family, or many of the newer
// one. Tasks that Kling does not know get no report.
func (*Kling) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	asked := make(map[string]provider.Job, len(jobs))
	var ids []string
	for _, j := range jobs {
		if f, _ := familyFor(j.UpstreamModel, j.Kind); f == modern {
			asked[j.UpstreamID] = j
			ids = append(ids, j.UpstreamID)
		}
	}
	switch {
	case len(jobs) == 0:
		return nil, nil
	case len(ids) == 0:
		// An image of a model that looks like the newer family's may come together with
		// others; what is left out here is asked for alone.
		return pollOne(ctx, up, jobs[0])
	}
	found, err := query(ctx, up, "task_ids", ids)
	if err != nil {
		return nil, err
	}
	reports := make([]provider.Report, 0, len(found))
	for _, t := range found {
		job, ok := asked[t.id()]
		if _, shown := t.status(); !ok || !shown || t.foreign(job) {
			continue
		}
		delete(asked, t.id()) // an id that is listed twice counts once
		reports = append(reports, t.report(job))
	}
	return reports, nil
}

func pollOne(ctx context.Context, up provider.Upstream, job provider.Job) ([]provider.Report, error) {
	path := handleOf(job).Path
	if path == "" {
		return nil, provider.Errorf(provider.Unavailable, "the route of the task is not known")
	}
	t, err := read(ctx, up, path, job.UpstreamID)
	if err != nil || t == nil || t.id() != job.UpstreamID || t.foreign(job) {
		return nil, err
	}
	if _, shown := t.status(); !shown {
		return nil, provider.Errorf(provider.Unavailable, "the upstream's answer shows no state")
	}
	return []provider.Report{t.report(job)}, nil
}

// Reconcile implements provider.Reconciler. A reference of our own making belongs to one
// attempt. One of the caller's may belong to an older task as well: that one is not
// taken over, and proves nothing.
func (k *Kling) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	external, ours := externalID(req)
	found, err := find(ctx, up, req, external)
	switch {
	case err != nil:
		return provider.Accepted{}, err
	case found == nil:
		return provider.Accepted{}, provider.ErrNotSubmitted
	case found.external() != "" && found.external() != external:
		return provider.Accepted{}, provider.Errorf(provider.Unavailable, "the upstream answered about another task")
	case !ours && found.created() < req.SubmittedAt.UnixMilli():
		return provider.Accepted{}, provider.ErrUncertain
	}
	return provider.Accepted{UpstreamID: found.id(), Handle: k.Route(req)}, nil
}

// find asks for the task of a reference; nil = Kling says that there is none.
func find(ctx context.Context, up provider.Upstream, req provider.Request, external string) (*task, error) {
	if f, _ := familyFor(req.UpstreamModel, req.Kind); f == legacy {
		return read(ctx, up, routeOf(req), external)
	}
	list, err := query(ctx, up, "external_task_ids", []string{external})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// read asks the older family for one task, by its own id or by the reference; nil =
// Kling says in its own words that there is none.
func read(ctx context.Context, up provider.Upstream, path, id string) (*task, error) {
	a, err := send(ctx, up, legacy, provider.Reads, http.MethodGet, path+"/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, described(a, err)
	}
	if codeOf(a) == codeMissing && (a.Status == http.StatusNotFound || a.Status == http.StatusOK) {
		return nil, nil
	}
	env, err := envelopeOf(a)
	if err != nil {
		return nil, err
	}
	t, ok := env.one()
	if !ok {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return t, nil
}

// query asks the newer family for tasks. An answer that lists none is certain only when
// it is a list.
func query(ctx context.Context, up provider.Upstream, key string, ids []string) ([]task, error) {
	a, err := send(ctx, up, modern, provider.Reads, http.MethodGet, "/tasks?"+url.Values{key: {strings.Join(ids, ",")}}.Encode(), nil)
	if err != nil {
		return nil, described(a, err)
	}
	env, err := envelopeOf(a)
	if err != nil {
		return nil, err
	}
	list, ok := env.many()
	if !ok {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return list, nil
}

// envelopeOf is a read's answer. One that says the route or the model is missing says
// nothing about the tasks.
func envelopeOf(a provider.Answer) (envelope, error) {
	env, ours := readEnvelope(a.Body)
	if a.Status == http.StatusOK && ours && env.code() == 0 {
		return env, nil
	}
	if a.Status == http.StatusOK && !ours {
		return envelope{}, provider.Unreadable(provider.Unavailable, a.Status)
	}
	e := refusal(a)
	if e.Class == provider.ModelGone || e.Class == provider.Invalid && a.Status < 400 {
		e.Class, e.Message = provider.Unavailable, messages[provider.Unavailable]
	}
	return envelope{}, e
}

// send makes a call. A token that Kling refuses as not valid yet or expired is made once more, by
// the time that its answer shows where it shows one: such a refusal is about this machine's clock,
// and has created nothing.
func send(ctx context.Context, up provider.Upstream, f family, effect provider.Effect, method, path string, payload []byte) (provider.Answer, error) {
	a, err := sendAt(ctx, up, f, effect, method, path, payload, time.Now())
	if err != nil || !untimely(up.Account, a) {
		return a, err
	}
	now, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return sendAt(ctx, up, f, effect, method, path, payload, now)
}

func sendAt(ctx context.Context, up provider.Upstream, f family, effect provider.Effect, method, path string, payload []byte, now time.Time) (provider.Answer, error) {
	auth, ok := authorization(up.Account, f, now)
	if !ok {
		// Not a refused key: other models of the account are served.
		return provider.Answer{}, &provider.Error{Class: provider.ModelGone, Message: "the account has no API key, which this model needs"}
	}
	call, err := provider.NewRequest(up, method, path, auth, payload)
	if err != nil {
		return provider.Answer{}, err
	}
	return provider.Do(ctx, up, effect, call)
}
