package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora/provider"
)

// Submit implements provider.Provider.
func (s *Sandbox) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (_ provider.Accepted, err error) {
	var a provider.Answer
	defer func() { err = provider.Quote(s, up, req, err, readProblem(a.Body).Message) }()
	payload, err := json.Marshal(body(req))
	if err != nil {
		return provider.Accepted{}, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	call, err := request(up, http.MethodPost, "/v1/jobs", payload)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err = provider.Do(ctx, up, provider.Creates, call)
	if err != nil {
		if a.Status == http.StatusServiceUnavailable && readProblem(a.Body).Code == string(provider.Unavailable) {
			return provider.Accepted{}, refusal(a) // by its protocol nothing was created
		}
		return provider.Accepted{}, err
	}
	if a.Status >= 300 {
		return provider.Accepted{}, refusal(a)
	}
	var accepted status
	if err := json.Unmarshal(a.Body, &accepted); err != nil || accepted.ID == "" {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	return provider.Accepted{UpstreamID: accepted.ID}, nil
}

// Poll implements provider.Provider. Jobs that the sandbox does not know, or has made for
// another attempt, get no report.
func (*Sandbox) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	asked := make(map[string]provider.Job, len(jobs))
	ids := make([]string, 0, len(jobs))
	for _, j := range jobs {
		asked[j.UpstreamID] = j
		ids = append(ids, j.UpstreamID)
	}
	found, err := query(ctx, up, "ids", strings.Join(ids, ","))
	if err != nil {
		return nil, err
	}
	reports := make([]provider.Report, 0, len(found))
	for _, s := range found {
		job, ok := asked[s.ID]
		if !ok || s.foreign(job) {
			continue
		}
		delete(asked, s.ID) // an id that is listed twice counts once
		reports = append(reports, s.report(job.Kind))
	}
	return reports, nil
}

// Reconcile implements provider.Reconciler. A reference belongs to one attempt, so
// whatever job carries it is that attempt's; were there several, the first is the one
// that the lost answer was about.
func (*Sandbox) Reconcile(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	found, err := query(ctx, up, "client_ref", req.ClientRef)
	if err != nil {
		return provider.Accepted{}, err
	}
	if len(found) == 0 {
		return provider.Accepted{}, provider.ErrNotSubmitted
	}
	if found[0].ID == "" || found[0].ClientRef != req.ClientRef {
		return provider.Accepted{}, provider.Errorf(provider.Unavailable, "the upstream answered about another job")
	}
	return provider.Accepted{UpstreamID: found[0].ID}, nil
}

// Cancel implements provider.Canceler.
func (*Sandbox) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	call, err := request(up, http.MethodPost, "/v1/jobs/"+url.PathEscape(job.UpstreamID)+"/cancel", nil)
	if err != nil {
		return err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusConflict:
		return provider.ErrNotCancellable
	case a.Status == http.StatusNotFound && readProblem(a.Body).Code == string(provider.Gone):
		return &provider.Error{Class: provider.Gone, HTTPStatus: a.Status, Message: "the upstream does not know the job"}
	case a.Status >= 300:
		return refusal(a)
	}
	return nil
}

// query asks for jobs. An answer that does not list jobs is an error: taken for an
// empty list it would say that nothing was ever submitted.
func query(ctx context.Context, up provider.Upstream, key, value string) ([]status, error) {
	call, err := request(up, http.MethodGet, "/v1/jobs?"+url.Values{key: {value}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		e := refusal(a)
		if e.Class == provider.Gone || e.Class == provider.ModelGone {
			// The route is missing, not the jobs.
			e.Class = provider.Unavailable
		}
		return nil, e
	}
	var list struct {
		Jobs *[]status `json:"jobs"`
	}
	if err := json.Unmarshal(a.Body, &list); err != nil || list.Jobs == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return *list.Jobs, nil
}

func request(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	return provider.NewRequest(up, method, path, "Bearer "+up.Account.Settings[SettingAPIKey], payload)
}
