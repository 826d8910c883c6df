package ark

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/kinora/kinora/provider"
)

// The routes, below an account's base URL.
const (
	tasksPath  = "/contents/generations/tasks"
	imagesPath = "/images/generations"
)

// Submit implements provider.Provider. A task's callback URL goes along as it is; the image
// route takes none.
func (k *Ark) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (_ provider.Accepted, err error) {
	var a provider.Answer
	defer func() { err = provider.Quote(k, up, req, err, envelope(a).Message) }()
	path, b := tasksPath, taskBody(up, req)
	if synchronousRequest(req) {
		path, b = imagesPath, imageBody(req)
	}
	payload, err := b.encode()
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := request(up, http.MethodPost, path, payload)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err = provider.Do(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, withCode(err, up, a)
	}
	if a.Status >= 300 {
		return provider.Accepted{}, refusal(up, a, req)
	}
	if path == imagesPath {
		return acceptedImages(up, a)
	}
	var t task
	if err := json.Unmarshal(a.Body, &t); err != nil || t.ID == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	accepted := provider.Accepted{UpstreamID: t.ID}
	if ref, ours := reference(up, req); !ours && ourReference.MatchString(ref) {
		accepted.Handle = callersOwn
	}
	return accepted, nil
}

// Poll implements provider.Provider: one task by its own route, several by the list. Tasks
// that the vendor does not show, or has made for another attempt, get no report. Images have no record that could be read.
func (*Ark) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	var reports []provider.Report
	asked := make(map[string]provider.Job, len(jobs))
	var ids []string
	for _, j := range jobs {
		if j.UpstreamID == "" || synchronous(j.UpstreamModel, j.Kind) {
			reports = append(reports, provider.Report{
				UpstreamID: j.UpstreamID, State: provider.StateExpired, Progress: -1,
				Err: provider.Errorf(provider.Gone, "the upstream keeps no record of images"),
			})
			continue
		}
		if _, twice := asked[j.UpstreamID]; !twice {
			asked[j.UpstreamID] = j
			ids = append(ids, j.UpstreamID)
		}
	}
	var found []task
	var err error
	switch len(ids) {
	case 0:
		return reports, nil
	case 1:
		found, err = single(ctx, up, ids[0])
	default:
		found, err = list(ctx, up, url.Values{"filter.task_ids": ids, "page_num": {"1"}, "page_size": {strconv.Itoa(len(ids))}})
	}
	if err != nil {
		return nil, err
	}
	for i := range found {
		t := &found[i]
		if job, ok := asked[t.ID]; ok && !t.foreign(job) {
			delete(asked, t.ID) // a task that is listed twice counts once
			reports = append(reports, t.report(up))
		}
	}
	return reports, nil
}

// single reads one task; an empty result means that the vendor does not know it.
func single(ctx context.Context, up provider.Upstream, id string) ([]task, error) {
	call, err := request(up, http.MethodGet, taskPath(id), nil)
	if err != nil {
		return nil, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, withCode(err, up, a)
	case a.Status == http.StatusNotFound && noSuchTask(a):
		return nil, nil
	case a.Status >= 300:
		return nil, unread(up, a)
	}
	var t task
	if err := json.Unmarshal(a.Body, &t); err != nil || t.ID != id {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return []task{t}, nil
}

// list reads many tasks. An answer that is no list is an error: taken for an empty one it
// would say that all jobs are lost.
func list(ctx context.Context, up provider.Upstream, query url.Values) ([]task, error) {
	call, err := request(up, http.MethodGet, tasksPath+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	if err != nil {
		return nil, withCode(err, up, a)
	}
	if a.Status >= 300 {
		return nil, unread(up, a)
	}
	var page struct {
		Total json.RawMessage    `json:"total"`
		Items *[]json.RawMessage `json:"items"`
	}
	err = json.Unmarshal(a.Body, &page)
	total, counted := whole(page.Total)
	switch {
	case err != nil || page.Items == nil && (!counted || total > 0):
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	case page.Items == nil:
		return nil, nil
	}
	found := make([]task, 0, len(*page.Items))
	for _, raw := range *page.Items {
		var t task
		if json.Unmarshal(raw, &t) == nil && t.ID != "" {
			found = append(found, t)
		}
	}
	return found, nil
}

// reconcilePage is the vendor's largest page: an account's latest tasks.
const reconcilePage = 500

// Reconcile implements provider.Reconciler. Of the latest tasks, the one that carries the
// attempt's own id is the attempt's. A page that has none proves nothing, so that nothing is
// ever submitted again for it.
func (*Ark) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	ref, ours := reference(up, req)
	if !ours || synchronousRequest(req) {
		return provider.Accepted{}, provider.ErrUncertain
	}
	found, err := list(ctx, up, url.Values{"page_num": {"1"}, "page_size": {strconv.Itoa(reconcilePage)}})
	if err != nil {
		var e *provider.Error
		if errors.As(err, &e) && e.Class == provider.Invalid {
			return provider.Accepted{}, provider.ErrUncertain // the list itself is refused
		}
		return provider.Accepted{}, err
	}
	id := ""
	for _, t := range found {
		if of, _ := word(t.Reference); of != ref || t.ID == id {
			continue
		}
		if id != "" {
			return provider.Accepted{}, provider.ErrUncertain
		}
		id = t.ID
	}
	if id == "" {
		return provider.Accepted{}, provider.ErrUncertain
	}
	return provider.Accepted{UpstreamID: id}, nil
}

// Cancel implements provider.Canceler. The vendor's DELETE cancels a queued task and destroys
// the record of an ended one, so it is sent only right after a look that says "queued".
func (*Ark) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	if job.UpstreamID == "" || synchronous(job.UpstreamModel, job.Kind) {
		return provider.ErrNotCancellable
	}
	found, err := single(ctx, up, job.UpstreamID)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return &provider.Error{Class: provider.Gone, HTTPStatus: http.StatusNotFound, Message: "the upstream does not know the job"}
	}
	switch found[0].state() {
	case provider.StateQueued:
	case provider.StateCancelled:
		return nil
	default:
		return provider.ErrNotCancellable
	}
	call, err := request(up, http.MethodDelete, taskPath(job.UpstreamID), nil)
	if err != nil {
		return err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return withCode(err, up, a)
	case a.Status < 300:
		return cancelled(ctx, up, job.UpstreamID)
	case a.Status >= 400 && a.Status != http.StatusUnauthorized && a.Status != http.StatusTooManyRequests:
		return provider.ErrNotCancellable // it began meanwhile; which status says so is not documented
	}
	return unread(up, a)
}

// cancelled looks at a task after a DELETE that was taken: one that runs on was not
// cancelled. A record that is gone, or a look that fails, leaves the DELETE's own answer to count.
func cancelled(ctx context.Context, up provider.Upstream, id string) error {
	if found, err := single(ctx, up, id); err == nil && len(found) > 0 {
		switch found[0].state() {
		case provider.StateRunning, provider.StateSucceeded:
			return provider.ErrNotCancellable
		}
	}
	return nil
}

func taskPath(id string) string { return tasksPath + "/" + url.PathEscape(id) }

func request(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	req, err := provider.NewRequest(up, method, path, "Bearer "+up.Account.Settings[SettingAPIKey], payload)
	if err != nil {
		return nil, err
	}
	if project := up.Account.Settings[SettingProject]; project != "" {
		req.Header.Set("X-Project-Name", project)
	}
	return req, nil
}
