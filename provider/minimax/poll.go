package minimax

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// read asks for something and decodes the answer; an answer that is an error becomes one.
func read(ctx context.Context, up provider.Upstream, path string, into any) (provider.Answer, error) {
	call, err := newRequest(up, http.MethodGet, path, nil)
	if err != nil {
		return provider.Answer{}, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	if err != nil {
		return a, err
	}
	if a.Status != http.StatusOK {
		return a, refusal(a, provider.Reads)
	}
	if !decode(a.Body, into) {
		return a, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return a, nil
}

// Poll implements provider.Provider. One task of V2 is asked for by its id, several by the
// list. Images have ended when they were submitted, and get no report.
func (*MiniMax) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	var r provider.Report
	var err error
	switch f := familyOf(jobs[0].UpstreamModel); {
	case f == images:
		return nil, nil
	case f == h3 && len(jobs) > 1:
		return pollList(ctx, up, jobs)
	case f == h3:
		var t *videoTask
		if t, err = queryTask(ctx, up, jobs[0]); err == nil {
			r = t.report(jobs[0].UpstreamID)
		}
	default:
		r, err = pollHailuo(ctx, up, jobs[0])
	}
	if err != nil {
		return nil, err
	}
	return []provider.Report{r}, nil
}

// queryTask asks for one task of V2.
func queryTask(ctx context.Context, up provider.Upstream, job provider.Job) (*videoTask, error) {
	var got struct {
		Task *videoTask `json:"task"`
	}
	a, err := read(ctx, up, "/v2/query/video_generation/"+url.PathEscape(job.UpstreamID), &got)
	switch {
	case err != nil:
		return nil, err
	case got.Task == nil || got.Task.ID == "":
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	case string(got.Task.ID) != job.UpstreamID:
		return nil, provider.Errorf(provider.Unavailable, "the upstream answered about another job")
	}
	return got.Task, nil
}

// pollList asks for several tasks of V2 in one call. A task that the list lacks is left out
// of the reports, and so asked for by its id the next time.
func pollList(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	asked := make(map[string]bool, len(jobs))
	query := url.Values{"page_num": {"1"}, "page_size": {strconv.Itoa(len(jobs))}}
	for _, j := range jobs {
		asked[j.UpstreamID] = true
		query.Add("filter.task_ids", j.UpstreamID)
	}
	var got struct {
		Items *[]videoTask `json:"items"`
	}
	a, err := read(ctx, up, "/v2/query/video_generation?"+query.Encode(), &got)
	if err != nil {
		return nil, err
	}
	if got.Items == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	reports := make([]provider.Report, 0, len(jobs))
	for _, t := range *got.Items {
		if id := string(t.ID); asked[id] {
			delete(asked, id) // one that is listed twice counts once
			reports = append(reports, t.report(id))
		}
	}
	return reports, nil
}

// report translates a task of V2.
func (t *videoTask) report(id string) provider.Report {
	r := provider.Report{UpstreamID: id, Progress: -1, State: provider.StateRunning}
	switch strings.ToLower(string(t.Status)) {
	case "queued":
		r.State = provider.StateQueued
	case "succeeded":
		succeed(&r, string(t.Content.URL))
	case "failed":
		r.State, r.Err = provider.StateFailed, failure(digits(string(t.Error.Code)))
	case "cancelled", "canceled":
		r.State = provider.StateCancelled
	case "expired": // on older pages of the reference only
		r.State, r.Err = provider.StateExpired, provider.Errorf(provider.Generation, "the upstream gave up on time")
	}
	return r
}

// succeed gives a report its output. Success without one has nothing to show.
func succeed(r *provider.Report, url string) {
	if url == "" {
		r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the upstream reports success without an output")
		return
	}
	r.State, r.Outputs = provider.StateSucceeded, []provider.Output{{URL: url, Kind: kinora.KindVideo}}
}

// pollHailuo asks for one task of V1, and, once it has succeeded, for its file's address,
// which is good for an hour; each further poll makes a new one.
func pollHailuo(ctx context.Context, up provider.Upstream, job provider.Job) (provider.Report, error) {
	r := provider.Report{UpstreamID: job.UpstreamID, Progress: -1, State: provider.StateRunning}
	var got struct {
		TaskID   text      `json:"task_id"`
		Status   text      `json:"status"`
		FileID   text      `json:"file_id"`
		BaseResp *baseResp `json:"base_resp"`
	}
	a, err := read(ctx, up, "/v1/query/video_generation?"+url.Values{"task_id": {job.UpstreamID}}.Encode(), &got)
	if err != nil {
		return r, err
	}
	status := strings.ToLower(string(got.Status))
	switch failed := status == "fail" || status == "failed"; {
	case got.TaskID != "" && string(got.TaskID) != job.UpstreamID:
		return r, provider.Errorf(provider.Unavailable, "the upstream answered about another job")
	case got.BaseResp == nil && got.TaskID == "":
		return r, provider.Unreadable(provider.Unavailable, a.Status)
	case failed:
		r.State, r.Err = provider.StateFailed, failure(got.BaseResp.code())
	case got.BaseResp.code() != "":
		return r, refusal(a, provider.Reads)
	case status == "preparing", status == "queueing":
		r.State = provider.StateQueued
	case status == "success":
		if got.FileID == "" {
			succeed(&r, "")
			break
		}
		address, err := fileURL(ctx, up, string(got.FileID))
		if err != nil {
			return r, err
		}
		succeed(&r, address)
	}
	return r, nil
}

// fileURL asks where a file of V1 can be fetched. The file is there and paid for: an answer
// without an address is one to ask again for.
func fileURL(ctx context.Context, up provider.Upstream, fileID string) (string, error) {
	var got struct {
		File struct {
			DownloadURL text `json:"download_url"`
		} `json:"file"`
		BaseResp *baseResp `json:"base_resp"`
	}
	a, err := read(ctx, up, "/v1/files/retrieve?"+url.Values{"file_id": {fileID}}.Encode(), &got)
	switch {
	case err != nil:
		return "", err
	case got.BaseResp.code() != "":
		return "", refusal(a, provider.Reads)
	case got.File.DownloadURL == "":
		return "", provider.Unreadable(provider.Unavailable, a.Status)
	}
	return string(got.File.DownloadURL), nil
}
