package google

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
)

// Submit implements provider.Provider.
func (g *Google) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	s, err := siteOf(up)
	if err != nil {
		return provider.Accepted{}, err
	}
	req.UpstreamModel = modelID(req.UpstreamModel)
	switch familyOf(req.UpstreamModel) {
	case veo:
		return g.submitVeo(ctx, &s, req)
	case omni:
		return g.submitOmni(ctx, &s, req)
	}
	return g.submitImage(ctx, &s, req)
}

// Poll implements provider.Provider. Google asks about one job at a time; image models have none.
func (g *Google) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	s, err := siteOf(up)
	if err != nil {
		return nil, err
	}
	var out []provider.Report
	for _, job := range jobs {
		var reports []provider.Report
		switch familyOf(job.UpstreamModel) {
		case veo:
			reports, err = g.pollVeo(ctx, &s, job)
		case omni:
			reports, err = g.pollOmni(ctx, &s, job)
		default:
			reports = []provider.Report{{
				UpstreamID: job.UpstreamID, State: provider.StateExpired, Progress: -1,
				Err: provider.Errorf(provider.Gone, "the upstream keeps no record of images"),
			}}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, slices.DeleteFunc(reports, func(r provider.Report) bool { return s.foreign(r, job) })...)
	}
	return out, nil
}

// Cancel implements provider.Canceler (section 3). Nothing is ever deleted at Google, and Veo has
// no cancel.
func (g *Google) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	if familyOf(job.UpstreamModel) != omni {
		return provider.ErrNotCancellable
	}
	s, err := siteOf(up)
	if err != nil {
		return err
	}
	return g.cancelOmni(ctx, &s, job)
}

// do is provider.Do for calls whose answers are small.
func (g *Google) do(ctx context.Context, s *site, effect provider.Effect, call *http.Request) (provider.Answer, error) {
	a, err := provider.Do(ctx, s.up, effect, call)
	g.note(s, a)
	return a, described(s.up, a, err)
}

// note forgets a token that was refused.
func (g *Google) note(s *site, a provider.Answer) {
	if s.vertex && a.Status == http.StatusUnauthorized {
		g.tokens.refused(s.up, s.token)
	}
}

// base64Keys are the members that hold files.
var base64Keys = []string{"bytesBase64Encoded", "encodedVideo", "data"}

func holdsFile(path []string) bool {
	return len(path) > 0 && slices.Contains(base64Keys, path[len(path)-1])
}

// readCut makes a call and leaves the files out of its answer: on Vertex it may hold tens of
// megabytes (section 6, trap 6). Where the status is not one of success the answer has a body
// and the text is nil.
func (g *Google) readCut(ctx context.Context, s *site, effect provider.Effect, call *http.Request) ([]byte, provider.Answer, error) {
	res, a, err := provider.Stream(ctx, s.up, effect, call)
	g.note(s, a)
	if err != nil || res == nil {
		return nil, a, described(s.up, a, err)
	}
	defer res.Body.Close()
	text, err := jsonstream.Cut(res.Body, provider.MaxAnswer, func(path []string) func(io.Reader) error {
		if holdsFile(path) {
			return jsonstream.Drop
		}
		return nil
	})
	if err != nil {
		return nil, a, cutError(effect, a.Status, err)
	}
	return text, a, nil
}

// cutError is what is wrong with an answer that could not be read through.
func cutError(effect provider.Effect, status int, err error) *provider.Error {
	if errors.Is(err, jsonstream.ErrSyntax) || errors.Is(err, jsonstream.ErrTooLarge) {
		return provider.Unreadable(provider.Broken(effect, status, nil).Class, status)
	}
	return provider.Broken(effect, status, err)
}
