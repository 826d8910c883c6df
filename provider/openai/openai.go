// Package openai translates between Kinora and the shapes of OpenAI's API: the Videos dialect,
// which OpenAI itself has shut down and many servers speak, GPT Image, whose pictures come in
// the answer of the submit call, and Responses in the background, the only asynchronous way to
// its pictures.
//
// It speaks to whatever an account's base URL leads to: OpenAI, Azure, vLLM-Omni, SGLang, another
// gateway. Where these differ the account's settings say so. Protocol facts are those of the
// vendor's API reference and description, unless a comment says otherwise.
package openai

import (
	"context"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "openai"

// The account settings that are read.
const (
	SettingAPIKey         = "api_key"
	SettingAuth           = "auth"
	SettingSeconds        = "seconds"
	SettingSubmit         = "submit"
	SettingEdits          = "edits"
	SettingSources        = "sources"
	SettingStream         = "stream"
	SettingPartialImages  = "partial_images"
	SettingResponseFormat = "response_format"
)

// New returns the provider. It holds no state.
func New() *OpenAI { return &OpenAI{} }

// OpenAI speaks the shapes of OpenAI's API. Beside Provider it is a Canceler, for responses in the
// background, and an Opener: videos are read with the account's key, and pictures of
// responses out of the answer. As a ModelChecker it wants image models to be told by their ids, and
// as an AccountChecker settings that go together. Its webhooks are set on an account as a whole and
// name no attempt, so it is no CallbackVerifier. It is a Splitter because a response holds one picture.
type OpenAI struct{}

var (
	_ provider.Provider       = (*OpenAI)(nil)
	_ provider.Fielder        = (*OpenAI)(nil)
	_ provider.Canceler       = (*OpenAI)(nil)
	_ provider.Opener         = (*OpenAI)(nil)
	_ provider.Splitter       = (*OpenAI)(nil)
	_ provider.ModelChecker   = (*OpenAI)(nil)
	_ provider.AccountChecker = (*OpenAI)(nil)
)

// Name implements provider.Provider.
func (*OpenAI) Name() string { return Name }

// Describe implements provider.Provider. The pace is that of videos; responses have their own.
func (*OpenAI) Describe() provider.Description {
	return provider.Description{
		Traits: traits,
		Models: []kinora.Model{{Name: "gpt-image-2", Kind: kinora.KindImage}},
		Poll:   provider.Pace{First: 5 * time.Second, Interval: 10 * time.Second, Ceiling: 20 * time.Second},
		Hosts:  []provider.Host{{Region: "global", BaseURL: "https://api.openai.com/v1"}},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the API key; empty = none is sent, for servers of one's own", Secret: true},
			{Name: SettingAuth, Meaning: "how the key is sent: \"bearer\", the default, or \"api-key\", a header of that name, as Azure has it"},
			{Name: SettingSeconds, Meaning: "how a video's length is sent: \"string\", the default, as OpenAI wants it, or \"integer\", as SGLang does"},
			{Name: SettingSubmit, Meaning: "how videos are submitted: \"json\", the default, or \"multipart\", with images as files, as vLLM-Omni wants it"},
			{Name: SettingEdits, Meaning: "how image edits are submitted: \"json\", the default, or \"multipart\", likewise"},
			{Name: SettingSources, Meaning: "how callers' images go into JSON: \"url\", the default at OpenAI and Azure, or \"bytes\", the default everywhere else: a server within one's network must not fetch what a caller names"},
			{Name: SettingStream, Meaning: "whether images are asked for as a stream, which shows progress: \"on\", \"off\"; empty = for GPT Image models"},
			{Name: SettingPartialImages, Meaning: "how many unfinished images a stream is to bring, 0 to 3, which OpenAI charges for; empty = 1"},
			{Name: SettingResponseFormat, Meaning: "\"b64_json\" or \"url\", for image servers that take it; empty = not sent, as GPT Image refuses it"},
		},
	}
}

// api is one of the three shapes.
type api string

const (
	videos    api = "videos"
	images    api = "images"
	responses api = "responses"
)

// Parts implements provider.Splitter.
func (*OpenAI) Parts(req provider.Request) int {
	if targetOf(req.UpstreamModel, req.Kind).api != responses {
		return 1
	}
	return max(1, wanted(req))
}

// Submit implements provider.Provider.
func (*OpenAI) Submit(ctx context.Context, up provider.Upstream, req provider.Request) (provider.Accepted, error) {
	t := targetOf(req.UpstreamModel, req.Kind)
	owned := imageOwned
	if t.api == videos {
		owned = videoOwned
	}
	if err := checkAddresses(up.Account, req, owned); err != nil {
		return provider.Accepted{}, err
	}
	in := referencesOf(up, req, t)
	defer in.release()
	switch t.api {
	case images:
		return submitImages(ctx, in, req, t)
	case responses:
		return submitResponse(ctx, in, req, t)
	default:
		return submitVideo(ctx, in, req, t)
	}
}

// Poll implements provider.Provider: one job by its own route. What the upstream does not know
// gets no report.
func (*OpenAI) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	var reports []provider.Report
	for _, j := range jobs[:min(1, len(jobs))] { // one, as Traits.BatchPoll says
		var r *provider.Report
		var err error
		switch targetOf(j.UpstreamModel, j.Kind).api {
		case images:
			r = &provider.Report{State: provider.StateExpired, Progress: -1, Err: provider.Errorf(provider.Gone, "the upstream keeps no record of images")}
		case responses:
			r, err = pollResponse(ctx, up, j)
		default:
			r, err = pollVideo(ctx, up, j)
		}
		if err != nil {
			return nil, err
		}
		if r != nil {
			r.UpstreamID = j.UpstreamID
			reports = append(reports, *r)
		}
	}
	return reports, nil
}
