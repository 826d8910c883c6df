package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
)

// OpenOutput implements provider.Opener: files of the Gemini API with the key, objects of Cloud
// Storage with a token, and what an answer carries by asking for the answer once more.
func (g *Google) OpenOutput(ctx context.Context, up provider.Upstream, job provider.Job, out provider.Output) (*http.Response, error) {
	s, err := siteOf(up)
	if err != nil {
		return nil, err
	}
	var at place
	if err := json.Unmarshal(out.Handle, &at); err != nil {
		return nil, provider.Errorf(provider.Generation, "the output has no usable address")
	}
	f := familyOf(job.UpstreamModel)
	switch {
	case at.GCS != "":
		return g.openObject(ctx, &s, at.GCS)
	case at.Inline != "":
		return g.openInline(ctx, &s, job, at.Inline)
	case !s.trusts(at.File, f):
		return nil, &provider.Moved{URL: at.File} // the account has another address by now
	}
	return g.openFile(ctx, &s, at.File)
}

// openFile reads an address with the key, and passes a redirect on to where no key goes.
func (g *Google) openFile(ctx context.Context, s *site, address string) (*http.Response, error) {
	call, err := g.request(ctx, s, http.MethodGet, address, "", nil)
	if err != nil {
		return nil, err
	}
	return g.open(ctx, s, call)
}

// openObject reads gs://bucket/object (Cloud Storage's JSON API, objects.get with alt=media).
func (g *Google) openObject(ctx context.Context, s *site, uri string) (*http.Response, error) {
	bucket, object, ok := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	if !ok || bucket == "" || object == "" || !s.vertex {
		return nil, provider.Errorf(provider.Generation, "the output has no usable address")
	}
	path := "/storage/v1/b/" + url.PathEscape(bucket) + "/o/" + url.PathEscape(object) + "?alt=media"
	call, err := g.request(ctx, s, http.MethodGet, s.storage(), path, nil)
	if err != nil {
		return nil, err
	}
	return g.open(ctx, s, call)
}

func (g *Google) open(ctx context.Context, s *site, call *http.Request) (*http.Response, error) {
	call.Header.Del("Accept")
	res, a, err := provider.Stream(ctx, s.up, provider.Reads, call)
	g.note(s, a)
	switch {
	case err != nil:
		return nil, described(s.up, a, err)
	case res != nil:
		return res, nil
	case a.Status < 400:
		to, err := call.URL.Parse(a.Header.Get("Location"))
		if err != nil || a.Header.Get("Location") == "" {
			return nil, refusal(s, a)
		}
		return nil, &provider.Moved{URL: to.String()}
	}
	e := refusal(s, a)
	if a.Status == http.StatusNotFound || a.Status == http.StatusGone {
		e.Class, e.Message = provider.Gone, "the output is not there any more"
	}
	return nil, e
}

// openInline asks for the answer that carries an output and decodes the output while the answer
// arrives, so that neither is ever held in memory.
func (g *Google) openInline(ctx context.Context, s *site, job provider.Job, path string) (*http.Response, error) {
	call, err := g.operationOrInteraction(ctx, s, job)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, s.up, provider.Reads, call)
	g.note(s, a)
	switch {
	case err != nil:
		return nil, described(s.up, a, err)
	case res == nil && gone(a):
		return nil, provider.Errorf(provider.Gone, "the output is not there any more")
	case res == nil:
		return nil, refusal(s, a)
	}
	which := func(at []string) jsonstream.Found {
		switch {
		case strings.Join(at, "/") == path:
			return jsonstream.Wanted
		case holdsFile(at):
			return jsonstream.Unwanted
		}
		return jsonstream.Other
	}
	body := jsonstream.Pick(res.Body, provider.MaxAnswer, which, func(err error) error {
		if errors.Is(err, jsonstream.ErrAbsent) {
			return provider.Errorf(provider.Gone, "the output is not in the answer any more")
		}
		return cutError(provider.Reads, a.Status, err)
	})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body}, nil
}

func (g *Google) operationOrInteraction(ctx context.Context, s *site, job provider.Job) (*http.Request, error) {
	if familyOf(job.UpstreamModel) == omni {
		return g.interactionCall(ctx, s, http.MethodGet, job.UpstreamID, "")
	}
	return g.operationCall(ctx, s, job.UpstreamID)
}
