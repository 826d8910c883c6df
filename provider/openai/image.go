package openai

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// imageOwned are metadata keys that do not reach the body as they are. How the answer comes is
// not the caller's to choose.
var (
	imageOwned = []string{
		"model", "prompt", "callback_url", "size", "resolution", "n", "image", "images", "mask", "mask_url",
		"response_format", "stream", "partial_images", "durationSeconds",
	}
	imageNumbers = []string{"output_compression", "seed"}
)

// imageOrder is one image call.
type imageOrder struct {
	body     body
	path     string
	streamed bool
	partials int
	n        int
}

func imageOrderOf(up provider.Upstream, req provider.Request, t target) imageOrder {
	o := imageOrder{path: generationsPath, n: max(1, wanted(req)), body: body{"model": t.model, "prompt": req.Prompt}}
	o.body.pass(req.Metadata, imageOwned, imageNumbers)
	if n := wanted(req); n > 0 {
		o.body["n"] = n
	}
	o.body.size(req)
	settings := up.Account.Settings
	if format := settings[SettingResponseFormat]; format != "" {
		o.body["response_format"] = format
	}
	if len(req.Images) > 0 {
		o.path = editsPath
	}
	// Whether a stream can bring several images is not documented: it is for one.
	o.streamed = o.n == 1 && (settings[SettingStream] == "on" || settings[SettingStream] == "" && gptImage(t.model))
	if o.streamed {
		o.partials = partials(settings, req)
		o.body["stream"], o.body["partial_images"] = true, o.partials
	}
	return o
}

// partials is how many unfinished images are asked for: what the request says, else the account.
func partials(settings map[string]string, req provider.Request) int {
	if raw, ok := given(req, "partial_images"); ok {
		if n, whole := lenient.Whole(raw); whole {
			return max(0, min(n, maxPartials))
		}
	}
	if n, err := strconv.Atoi(settings[SettingPartialImages]); err == nil {
		return max(0, min(n, maxPartials))
	}
	return 1
}

// call is the request of an order.
func (o imageOrder) call(ctx context.Context, in *references, req provider.Request, t target) (*http.Request, error) {
	switch {
	case o.path == generationsPath:
		return post(in.up, o.path, o.body)
	case in.up.Account.Settings[SettingEdits] == asForm:
		return o.form(ctx, in.up, req, t)
	}
	images, err := in.images(ctx, req)
	if err != nil {
		return nil, err
	}
	list := make([]map[string]string, len(images))
	for i, image := range images {
		list[i] = map[string]string{"image_url": image}
	}
	o.body["images"] = list
	mask, err := in.mask(ctx, req, t)
	if err != nil {
		return nil, err
	}
	if mask != "" {
		o.body["mask"] = map[string]string{"image_url": mask}
	}
	return in.post(o.path, o.body)
}

// form is the request of an order with its sources as files.
func (o imageOrder) form(ctx context.Context, up provider.Upstream, req provider.Request, t target) (*http.Request, error) {
	f := newForm()
	if err := f.fields(o.body); err != nil {
		return nil, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	name := "image"
	if len(req.Images) > 1 {
		name = "image[]"
	}
	if err := f.sources(ctx, up, req, func(int) string { return name }); err != nil {
		return nil, err
	}
	if mask := maskURL(req); mask != "" {
		if err := f.source(ctx, up, maskField, mask, "mask", maskTypesOf(t)); err != nil {
			return nil, err
		}
	}
	return postForm(up, o.path, f)
}

// submitImages makes the one call that lasts as long as its images take.
func submitImages(ctx context.Context, in *references, req provider.Request, t target) (provider.Accepted, error) {
	up := in.up
	o := imageOrderOf(up, req, t)
	call, err := o.call(ctx, in, req, t)
	if err != nil {
		return provider.Accepted{}, err
	}
	if o.streamed {
		call.Header.Set("Accept", "text/event-stream, application/json")
	}
	res, a, err := provider.Stream(ctx, up, provider.Creates, call)
	if err != nil {
		return provider.Accepted{}, quoted(up, a, req, withCode(err, up, a))
	}
	if res == nil {
		return provider.Accepted{}, quoted(up, a, req, refusal(up, a, req))
	}
	defer res.Body.Close()
	answer := &imageAnswer{ctx: ctx, up: up, req: req, order: o, status: res.StatusCode}
	// An upstream that does not stream answers a request to do so as usual.
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		err = answer.events(res.Body)
	} else {
		err = answer.document(res.Body)
	}
	return answer.accepted(err)
}
