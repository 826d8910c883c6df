// Package localai translates between Kinora and LocalAI servers' own video route, which makes
// a video while the call lasts. Their images are OpenAI's shape, and provider/openai's duty.
// Protocol facts are those of LocalAI's documents (localai.io, video generation).
package localai

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
	"github.com/kinora/kinora/provider/lenient"
)

// Name is the provider's word in configuration.
const Name = "localai"

// SettingAPIKey is the account setting with the key of a server that wants one.
const SettingAPIKey = "api_key"

// New returns the provider. It holds no state.
func New() *LocalAI { return &LocalAI{} }

// LocalAI speaks the video route of LocalAI. It is an Opener for files that a server keeps
// although it was asked for their content.
type LocalAI struct{}

var (
	_ provider.Provider = (*LocalAI)(nil)
	_ provider.Fielder  = (*LocalAI)(nil)
	_ provider.Opener   = (*LocalAI)(nil)
)

// Name implements provider.Provider.
func (*LocalAI) Name() string { return Name }

// Describe implements provider.Provider. There are no public hosts and no models of its own.
func (*LocalAI) Describe() provider.Description {
	return provider.Description{
		Traits: func(string) provider.Traits { return provider.Traits{Synchronous: true} },
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the API key, where the server is configured with one", Secret: true},
		},
	}
}

const maxSeconds = 600

// Validate implements provider.Provider. What a backend can do is the server's to say.
func (*LocalAI) Validate(req provider.Request) error {
	switch {
	case req.Kind != kinora.KindVideo:
		return provider.Errorf(provider.ModelGone, "images of LocalAI are made through provider openai")
	case len(req.Images) > 2:
		return provider.Errorf(provider.Invalid, "input.images must be at most two: the first and the last frame")
	case req.Duration < 0 || req.Duration > maxSeconds:
		return provider.Errorf(provider.Invalid, "input.duration must be from 1 to %d seconds", maxSeconds)
	}
	if s := req.Size; s != "" && !strings.EqualFold(s, "auto") {
		if _, _, pixels, ok := lenient.Size(s); !ok || !pixels {
			return provider.Errorf(provider.Invalid, `input.size must be "WxH" or "auto"`)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(req.Metadata)) {
		if slices.Contains(owned, key) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s cannot be set", key)
		}
		if slices.Contains(pictures, key) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s cannot be set; it is made of input.images", key)
		}
		if provider.HoldsAddress(req.Metadata[key]) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s must not be or hold a URL", key)
		}
		if slices.Contains(whole, key) {
			if n, ok := lenient.Whole(req.Metadata[key]); !ok || n < 0 {
				return provider.Errorf(provider.Invalid, "input.metadata.%s must be a whole number from 0", key)
			}
		}
	}
	return nil
}

var (
	owned    = []string{"model", "prompt", "response_format"}
	pictures = []string{"start_image", "end_image", "input_reference"}
	whole    = []string{"width", "height", "num_frames", "fps", "seed", "step"}
)

// imageTypes are the frames that are sent.
var imageTypes = []string{"image/png", "image/jpeg", "image/webp"}

// document is the body: the caller's own keys as they are, and what the fields say where they do
// not. The frames come with it: a server that is given a URL fetches it, whatever it leads to.
func document(ctx context.Context, up provider.Upstream, req provider.Request, files *provider.Inline) (map[string]any, error) {
	out := map[string]any{}
	if w, h, _, ok := lenient.Size(req.Size); ok {
		out["width"], out["height"] = w, h
	}
	if req.Duration > 0 {
		out["seconds"] = strconv.Itoa(req.Duration)
	}
	for key, value := range req.Metadata {
		out[key] = value
	}
	for i, name := range []string{"start_image", "end_image"} {
		if i >= len(req.Images) {
			break
		}
		f, err := files.Add(ctx, up, req.ImageField(i), req.Images[i], imageTypes)
		if err != nil {
			return nil, err
		}
		out[name] = f.Mark
	}
	out["model"], out["prompt"], out["response_format"] = req.UpstreamModel, req.Prompt, "b64_json"
	return out, nil
}

// maxRest bounds an answer beside the videos in it, in bytes.
const maxRest = 1 << 20

// Submit implements provider.Provider: the video comes with the answer, and goes to storage
// while it is read.
func (l *LocalAI) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	files := provider.NewInline()
	defer files.Release()
	body, err := document(ctx, up, req, files)
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := newRequest(up, http.MethodPost, "/video")
	if err != nil {
		return provider.Accepted{}, err
	}
	if err := files.Attach(call, body); err != nil {
		return provider.Accepted{}, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, provider.Quote(l, up, req, err, sentence(a))
	}
	if res == nil {
		return provider.Accepted{}, provider.Quote(l, up, req, provider.Refused(a), sentence(a))
	}
	defer res.Body.Close()
	return read(ctx, req, res)
}

// sentence is what an answer that is an error says in words.
func sentence(a provider.Answer) string {
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &said) // what is no error of the server's says nothing
	return said.Error.Message
}

// answer is what is left of one without the videos in it.
type answer struct {
	ID   string `json:"id"`
	Data *[]struct {
		URL string `json:"url"`
	} `json:"data"`
}

func read(ctx context.Context, req provider.Request, res *http.Response) (provider.Accepted, error) {
	kept := map[int]provider.Output{}
	var spoilt *provider.Error
	rest, err := jsonstream.Cut(res.Body, maxRest, func(path []string) func(io.Reader) error {
		if len(path) != 3 || path[0] != "data" || path[2] != "b64_json" {
			return nil
		}
		i, err := strconv.Atoi(path[1])
		if err != nil {
			return nil
		}
		return func(content io.Reader) error {
			out, err := req.Sink.Keep(ctx, i, jsonstream.Base64(content))
			if err == nil {
				kept[i] = out
			} else if e := provider.Unusable(err); e != nil {
				spoilt = e // the others, if any, are as good as before
				return nil
			}
			return err
		}
	})
	var known *provider.Error
	switch {
	case errors.As(err, &known): // our storage has failed
		return provider.Accepted{}, known
	case err != nil:
		return provider.Accepted{}, provider.Broken(provider.Creates, res.StatusCode, err)
	}
	var a answer
	if json.Unmarshal(rest, &a) != nil || a.Data == nil {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, res.StatusCode)
	}
	var outputs []provider.Output
	for i, made := range *a.Data {
		if out, ok := kept[i]; ok {
			outputs = append(outputs, out)
		} else if path := ownPath(made.URL); path != "" {
			handle, err := json.Marshal(path)
			if err != nil {
				continue
			}
			outputs = append(outputs, provider.Output{Kind: kinora.KindVideo, Handle: handle})
		}
	}
	switch {
	case len(outputs) > 0:
	case spoilt != nil:
		return provider.Accepted{}, spoilt
	default:
		return provider.Accepted{}, &provider.Error{Class: provider.OutcomeUnknown, HTTPStatus: res.StatusCode, Message: "the answer holds no video that can be read"}
	}
	return provider.Accepted{
		UpstreamID: cmp.Or(a.ID, req.ClientRef),
		Report:     &provider.Report{UpstreamID: cmp.Or(a.ID, req.ClientRef), State: provider.StateSucceeded, Progress: 100, Outputs: outputs},
	}, nil
}

// ownPath is the path of a file on the account's own server; empty = the URL leads elsewhere. The
// server may know itself by another name than the account does, so that the path alone counts.
func ownPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(u.EscapedPath(), "/generated-videos/") {
		return ""
	}
	return u.EscapedPath()
}

// Poll implements provider.Provider; there are no jobs to ask for.
func (*LocalAI) Poll(context.Context, provider.Upstream, []provider.Job) ([]provider.Report, error) {
	return nil, provider.Errorf(provider.Gone, "the upstream has no jobs")
}

// OpenOutput implements provider.Opener.
func (*LocalAI) OpenOutput(ctx context.Context, up provider.Upstream, _ provider.Job, out provider.Output) (*http.Response, error) {
	var path string
	if json.Unmarshal(out.Handle, &path) != nil || !strings.HasPrefix(path, "/generated-videos/") {
		return nil, provider.Errorf(provider.Gone, "the output is not known")
	}
	call, err := newRequest(up, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	switch {
	case err != nil:
		return nil, err
	case res != nil:
		return res, nil
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone:
		return nil, &provider.Error{Class: provider.Gone, HTTPStatus: a.Status, Message: "the output is not there any more"}
	}
	return nil, provider.Refused(a)
}

// newRequest builds a call, with a key where the account has one.
func newRequest(up provider.Upstream, method, path string) (*http.Request, error) {
	return provider.NewRequest(up, method, path, provider.Bearer(up.Account.Settings[SettingAPIKey]), nil)
}
