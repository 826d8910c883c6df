package minimax

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora/provider"
)

// Cancel implements provider.Canceler, for V2 while the task is queued. The same DELETE
// removes the record of a task that has ended, its result with it: so the task is looked
// at first, it is sent for a queued one only, and the task is looked at again.
func (*MiniMax) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	if familyOf(job.UpstreamModel) != h3 {
		return provider.ErrNotCancellable
	}
	t, err := queryTask(ctx, up, job)
	if err != nil {
		return err
	}
	if t.report(job.UpstreamID).State != provider.StateQueued {
		return provider.ErrNotCancellable
	}
	call, err := newRequest(up, http.MethodDelete, "/v2/video_generation/"+url.PathEscape(job.UpstreamID), nil)
	if err != nil {
		return err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	if err != nil {
		return err
	}
	if a.Status == http.StatusBadRequest {
		return provider.ErrNotCancellable // it has begun meanwhile
	}
	if a.Status != http.StatusOK {
		return refusal(a, provider.Reads)
	}
	var got struct {
		Action text `json:"action"`
	}
	if !decode(a.Body, &got) || got.Action == "" {
		return provider.Unreadable(provider.Unavailable, a.Status)
	}
	// Older pages of the reference have "cancel" and "delete".
	if strings.HasPrefix(strings.ToLower(string(got.Action)), "delete") {
		return &provider.Error{
			Class: provider.Gone, Code: "deleted", Message: "the job ended while it was being cancelled, and its result was deleted", Err: provider.ErrResultLost,
		}
	}
	return cancelled(ctx, up, job)
}

// cancelled looks once more after a DELETE that was taken: a task that runs on was not
// cancelled. Where the look fails, the DELETE's own answer counts.
func cancelled(ctx context.Context, up provider.Upstream, job provider.Job) error {
	t, err := queryTask(ctx, up, job)
	if err != nil {
		return nil
	}
	switch t.report(job.UpstreamID).State {
	case provider.StateRunning, provider.StateSucceeded:
		return provider.ErrNotCancellable
	}
	return nil
}
