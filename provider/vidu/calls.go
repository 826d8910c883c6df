package vidu

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora/provider"
)

// prefix stands before every path.
const prefix = "/ent/v2/"

// Submit implements provider.Provider.
func (v *Vidu) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (_ provider.Accepted, err error) {
	var a provider.Answer
	defer func() { err = provider.Quote(v, up, req, err, string(readProblem(a.Body).Message)) }()
	r := chooseRoute(req)
	if err := checkRoute(req, r); err != nil {
		return provider.Accepted{}, err // it would become a path
	}
	payload, err := body(req, r)
	if err != nil {
		return provider.Accepted{}, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	call, err := request(up, http.MethodPost, string(r), payload)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err = provider.Do(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, described(up, a, err)
	}
	if a.Status >= 300 {
		e, p := refusal(up, a), readProblem(a.Body)
		if e.Class == provider.Gone {
			// There is no task yet that could be gone: it is the route or the model.
			e.Class, e.Message = provider.ModelGone, messages[provider.ModelGone]
		}
		p.nameField(e, req)
		return provider.Accepted{}, e
	}
	var created task
	if err := json.Unmarshal(a.Body, &created); err != nil || created.id() == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return created.accepted(req), nil
}

// described adds the upstream's reason and trace to an error that Do has classified.
func described(up provider.Upstream, a provider.Answer, err error) error {
	var e *provider.Error
	if errors.As(err, &e) && a.Status >= 400 {
		p := readProblem(a.Body)
		p.describe(up, e)
	}
	return err
}

// Poll implements provider.Provider: one task by its own query, which is what Vidu's
// documents tell to do, and several by the list of tasks.
func (*Vidu) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	switch len(jobs) {
	case 0:
		return nil, nil
	case 1:
		return pollOne(ctx, up, jobs[0])
	}
	return pollMany(ctx, up, jobs)
}

func pollOne(ctx context.Context, up provider.Upstream, job provider.Job) ([]provider.Report, error) {
	shown, err := query(ctx, up, job.UpstreamID)
	if err != nil || shown == nil || shown.foreign(job) {
		return nil, err
	}
	return []provider.Report{shown.report(up, job, time.Now())}, nil
}

// query reads one task; nil = there is none of that id.
func query(ctx context.Context, up provider.Upstream, id string) (*task, error) {
	a, err := read(ctx, up, "tasks/"+url.PathEscape(id)+"/creations")
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		e := refusal(up, a)
		switch {
		case e.Class == provider.Gone:
			return nil, nil
		case e.Class == provider.ModelGone:
			e.Class, e.Message = provider.Unavailable, messages[provider.Unavailable] // the route is missing, not the task
		}
		return nil, e
	}
	var shown task
	if err := json.Unmarshal(a.Body, &shown); err != nil || shown.State == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return &shown, nil
}

// pollMany leaves out what the list lacks or does not tell about: the documents name no
// state among an item's fields, and its files may be left out. Such jobs are asked for
// alone the next time.
func pollMany(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	page := url.Values{"pager.pagesz": {strconv.Itoa(maxBatch)}}
	asked := make(map[string]provider.Job, len(jobs))
	for _, j := range jobs {
		asked[j.UpstreamID] = j
		page.Add("task_ids", j.UpstreamID)
	}
	found, err := list(ctx, up, page)
	if err != nil {
		return nil, err
	}
	reports := make([]provider.Report, 0, len(found))
	for _, t := range found {
		job, ok := asked[t.id()]
		if !ok || t.state() == "" || t.foreign(job) {
			continue
		}
		r := t.report(up, job, time.Now())
		if t.state() == "success" && r.State != provider.StateSucceeded {
			continue // the list does not show the files
		}
		delete(asked, t.id()) // an id that is listed twice counts once
		reports = append(reports, r)
	}
	return reports, nil
}

// The window of a Reconcile around the moment of the intent: clocks differ, and a call
// may have been under way for long.
const (
	lookBack  = 2 * time.Minute
	lookAhead = 10 * time.Minute
	// maxCandidates is how many listed tasks a Reconcile reads one by one.
	maxCandidates = 10
)

// Reconcile implements provider.Reconciler: the tasks of the time in question are listed,
// and the one with our payload is taken over. The documents do not name the payload among
// a list item's fields, but among those of a query: where the list shows none, the tasks
// that could be ours are read. Finding none proves nothing, for a list may lag; and a
// payload of the caller's own tells nothing about the attempt.
func (*Vidu) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	if ownPayload(req) || req.ClientRef == "" {
		return provider.Accepted{}, provider.ErrUncertain
	}
	page := url.Values{"pager.pagesz": {strconv.Itoa(maxBatch)}}
	if at := req.SubmittedAt.UTC(); !at.IsZero() {
		page.Set("created_at.from", at.Add(-lookBack).Format(time.RFC3339))
		page.Set("created_at.to", at.Add(lookAhead).Format(time.RFC3339))
	}
	found, err := list(ctx, up, page)
	if err != nil {
		var e *provider.Error
		if errors.As(err, &e) && e.Class == provider.Invalid {
			return provider.Accepted{}, provider.ErrUncertain // it cannot be asked in this way, ever
		}
		return provider.Accepted{}, err
	}
	match, err := made(ctx, up, req, found)
	if err != nil {
		return provider.Accepted{}, err
	}
	if len(match) != 1 {
		return provider.Accepted{}, provider.ErrUncertain
	}
	return match[0].accepted(req), nil
}

// made returns those of the listed tasks that carry our payload.
func made(ctx context.Context, up provider.Upstream, req provider.Request, listed []task) (match []task, err error) {
	var unclear []task
	for _, t := range listed {
		switch {
		case string(t.Payload) == req.ClientRef && t.id() != "":
			match = append(match, t)
		case t.couldBe(req) && len(unclear) < maxCandidates:
			unclear = append(unclear, t)
		}
	}
	if len(match) > 0 {
		return match, nil
	}
	for _, t := range unclear {
		shown, err := query(ctx, up, t.id())
		if err != nil {
			return nil, err
		}
		if shown != nil && string(shown.Payload) == req.ClientRef {
			match = append(match, t) // with its id, which a query need not show
		}
	}
	return match, nil
}

// list asks for tasks. An answer that lists none because it is no list is an error.
func list(ctx context.Context, up provider.Upstream, asked url.Values) ([]task, error) {
	a, err := read(ctx, up, "tasks?"+asked.Encode())
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		e := refusal(up, a)
		if e.Class == provider.Gone || e.Class == provider.ModelGone {
			e.Class, e.Message = provider.Unavailable, messages[provider.Unavailable]
		}
		return nil, e
	}
	var page struct {
		Tasks *[]json.RawMessage `json:"tasks"`
	}
	if err := json.Unmarshal(a.Body, &page); err != nil || page.Tasks == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	var out []task
	for _, raw := range *page.Tasks {
		var t task
		if json.Unmarshal(raw, &t) == nil {
			out = append(out, t)
		}
	}
	return out, nil
}

// Cancel implements provider.Canceler. Vidu ends a task only before it is scheduled, and
// has no way to remove one.
func (*Vidu) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	payload, err := json.Marshal(map[string]string{"id": job.UpstreamID})
	if err != nil {
		return &provider.Error{Class: provider.Invalid, Message: "the task's id is not text", Err: err}
	}
	call, err := request(up, http.MethodPost, "tasks/"+url.PathEscape(job.UpstreamID)+"/cancel", payload)
	if err != nil {
		return err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	if err != nil {
		return described(up, a, err)
	}
	if a.Status < 300 {
		return nil
	}
	switch p := readProblem(a.Body); p.Reason {
	case "BadRequest", "Conflict": // "task state is scheduled, can not cancel"
		return provider.ErrNotCancellable
	}
	e := refusal(up, a)
	if e.Class == provider.ModelGone {
		e.Class, e.Message = provider.Gone, messages[provider.Gone]
	}
	return e
}

func read(ctx context.Context, up provider.Upstream, path string) (provider.Answer, error) {
	call, err := request(up, http.MethodGet, path, nil)
	if err != nil {
		return provider.Answer{}, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	return a, described(up, a, err)
}

// request builds a call. The scheme is the word Token: Vidu refuses Bearer.
func request(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	return provider.NewRequest(up, method, prefix+path, "Token "+up.Account.Settings[SettingAPIKey], payload)
}
