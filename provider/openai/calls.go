package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// The routes, below an account's base URL.
const (
	videosPath      = "/videos"
	generationsPath = "/images/generations"
	editsPath       = "/images/edits"
	responsesPath   = "/responses"
)

func videoPath(id string) string    { return videosPath + "/" + url.PathEscape(id) }
func responsePath(id string) string { return responsesPath + "/" + url.PathEscape(id) }

// request makes a call with the account's key; payload is JSON, nil = none.
func request(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	key := up.Account.Settings[SettingAPIKey]
	if up.Account.Settings[SettingAuth] != authAPIKey {
		return provider.NewRequest(up, method, path, provider.Bearer(key), payload)
	}
	req, err := provider.NewRequest(up, method, path, "", payload)
	if err == nil && key != "" {
		req.Header.Set("Api-Key", key)
	}
	return req, err
}

// post makes a call with a JSON body.
func post(up provider.Upstream, path string, b body) (*http.Request, error) {
	payload, err := b.encode()
	if err != nil {
		return nil, err
	}
	return request(up, http.MethodPost, path, payload)
}

// postForm makes a call whose body is a form with files.
func postForm(up provider.Upstream, path string, f *form) (*http.Request, error) {
	content, contentType := f.reader()
	req, err := request(up, http.MethodPost, path, nil)
	if err != nil {
		_ = content.Close() // the files were only read
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	// It cannot be sent twice, and how long it is only its end tells.
	req.Body, req.GetBody, req.ContentLength = content, nil, -1
	return req, nil
}

// read makes a call that changes nothing, and decodes its answer into into. It returns false
// where the upstream does not know what was asked for.
func read(ctx context.Context, up provider.Upstream, path string, into any) (provider.Answer, bool, error) {
	call, err := request(up, http.MethodGet, path, nil)
	if err != nil {
		return provider.Answer{}, false, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return a, false, withCode(err, up, a)
	case a.Status == http.StatusNotFound || a.Status == http.StatusGone:
		return a, false, nil
	case a.Status >= 300:
		return a, false, unread(up, a)
	case json.Unmarshal(a.Body, into) != nil:
		return a, false, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return a, true, nil
}

// pollAfter is the upstream's own wish, in a header that the vendor's SDK obeys; 0 = none.
func pollAfter(h http.Header) time.Duration {
	return max(0, min(milliseconds(h.Get("openai-poll-after-ms")), time.Minute))
}

func milliseconds(text string) time.Duration {
	ms, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || ms < 0 || ms > 1e9 {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// Cancel implements provider.Canceler. Only responses in the background can be cancelled;
// videos know no cancel, and deleting one never stops it.
func (*OpenAI) Cancel(ctx context.Context, up provider.Upstream, job provider.Job) error {
	if job.UpstreamID == "" || targetOf(job.UpstreamModel, job.Kind).api != responses {
		return provider.ErrNotCancellable
	}
	return cancelResponse(ctx, up, job.UpstreamID)
}

// handle is where an output is found.
type handle struct {
	Video    string `json:"video,omitempty"`    // its id
	Response string `json:"response,omitempty"` // its id
	Item     int    `json:"item,omitempty"`     // of the response's output, from 0
}

func (h handle) encode() json.RawMessage {
	b, _ := json.Marshal(h) // plain fields, which can always be marshalled
	return b
}

// OpenOutput implements provider.Opener.
func (*OpenAI) OpenOutput(ctx context.Context, up provider.Upstream, _ provider.Job, out provider.Output) (*http.Response, error) {
	var h handle
	if json.Unmarshal(out.Handle, &h) != nil || h.Video == "" && h.Response == "" {
		return nil, provider.Errorf(provider.Generation, "the output has no usable address")
	}
	if h.Response != "" {
		return openResponse(ctx, up, h)
	}
	call, err := request(up, http.MethodGet, videoPath(h.Video)+"/content", nil)
	if err != nil {
		return nil, err
	}
	call.Header.Set("Accept", "*/*")
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, withCode(err, up, a)
	case res == nil && a.Status >= 300 && a.Status < 400:
		// The file lies at another address, where the key does not go.
		to, err := call.URL.Parse(a.Header.Get("Location"))
		if err != nil || a.Header.Get("Location") == "" {
			return nil, unopened(up, a)
		}
		return nil, &provider.Moved{URL: to.String()}
	case res == nil:
		return nil, unopened(up, a)
	case res.StatusCode != http.StatusOK, strings.Contains(res.Header.Get("Content-Type"), "json"):
		// Not the file, but news of it.
		return nil, errors.Join(&provider.Error{Class: provider.Unavailable, HTTPStatus: res.StatusCode, Message: "the upstream does not hand out the output yet"}, res.Body.Close())
	}
	return res, nil
}

// notReady is how servers say that a file is still being made; SGLang does so under the
// status of one that is gone: "Generation is still in-progress".
var notReady = regexp.MustCompile(`(?i)in[-_ ]progress|not (yet )?(ready|complete|finished)|still (being|generating|processing|running)`)

// unopened is why an output was refused.
func unopened(up provider.Upstream, a provider.Answer) *provider.Error {
	gone := a.Status == http.StatusNotFound || a.Status == http.StatusGone
	e := unread(up, a)
	switch {
	case gone && notReady.Match(bytes.TrimSpace(a.Body)):
		e.Class, e.Message = provider.Unavailable, "the upstream does not hand out the output yet"
	case gone:
		e.Class, e.Message = provider.Gone, "the output is not at the upstream any more"
	}
	return e
}
