package google

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/jsonstream"
	"github.com/kinora/kinora/provider/lenient"
)

const (
	maxImages = 14 // submit API contract, 2.4
	maxN      = 4
)

// imageTypes are the references that Gemini takes.
var imageTypes = []string{"image/png", "image/jpeg", "image/webp", "image/heic"}

// maskWords tell the model what the last image is: Gemini has no field for a mask.
const maskWords = "The last image is a mask of the first one. Change only what lies under its white or transparent area, and keep everything else as it is."

// imageConfig are the metadata keys whose place is imageConfig. Every other one that is not read goes to the upstream by its
// own name (upstream-rules.md, section 10): to the body where it is a member of it, else to generationConfig.
var (
	imageConfig  = []string{"personGeneration", "imageSize"}
	imageMembers = []string{"safetysettings", "systeminstruction", "labels", "tools", "toolconfig", "generationconfig"} // as plain writes them
)

// imageRead are the metadata keys that are read here, and so do not go on as they are. The last four are words of OpenAI's
// Images API, whose callers send them to every model, and which say nothing of the file that is to come.
var imageRead = slices.Concat(imageConfig, ratioKeys, []string{
	"callback_url", "resolution", "n", "mask_url", "google_search", "google_image_search", "official_fallback", "model_params",
	"prompt", "size", "image", "images", "duration", "seconds", "durationSeconds",
	"user", "quality", "style", "moderation",
})

// Parts says that every image wants a call of its own: one image per request is the
// safe assumption (section 5).
func (*Google) Parts(req provider.Request) int {
	if familyOf(req.UpstreamModel) != image {
		return 1
	}
	if n, ok := lenient.Whole(req.Metadata["n"]); ok && n > 1 {
		return n
	}
	return 1
}

// submitImage is section 5: the answer carries the image.
func (g *Google) submitImage(ctx context.Context, s *site, req provider.Request) (provider.Accepted, error) {
	files := provider.NewInline()
	defer files.Release()
	document, err := imageDocument(ctx, s, req, files)
	if err != nil {
		return provider.Accepted{}, err
	}
	call, err := g.request(ctx, s, http.MethodPost, s.base(image), s.modelPath(req.UpstreamModel)+":generateContent", nil)
	if err != nil {
		return provider.Accepted{}, err
	}
	if err := files.Attach(call, document); err != nil {
		return provider.Accepted{}, err
	}
	res, a, err := provider.Stream(ctx, s.up, provider.Creates, call)
	g.note(s, a)
	switch {
	case err != nil:
		return provider.Accepted{}, g.quoted(s, req, a, described(s.up, a, err))
	case res == nil:
		return provider.Accepted{}, g.quoted(s, req, a, refusal(s, a))
	}
	defer res.Body.Close()
	kept := keptImages{ctx: ctx, sink: req.Sink, by: map[string]provider.Output{}}
	text, err := jsonstream.Cut(res.Body, provider.MaxAnswer, kept.choose)
	if err != nil {
		var ours *provider.Error
		if errors.As(err, &ours) { // storage: the image is paid for and lost
			return provider.Accepted{}, ours
		}
		return provider.Accepted{}, cutError(provider.Creates, a.Status, err)
	}
	var shown content
	if err := json.Unmarshal(text, &shown); err != nil {
		return provider.Accepted{}, provider.Unreadable(provider.OutcomeUnknown, a.Status)
	}
	if refused := shown.refused(a.Status); refused != nil {
		return provider.Accepted{}, refused
	}
	id := cmp.Or(string(shown.ID), req.ClientRef)
	r := &provider.Report{UpstreamID: id, State: provider.StateSucceeded, Progress: 100}
	if r.Outputs, r.Err = shown.outcome(kept, a.Status); r.Err != nil {
		r.State, r.Progress = provider.StateFailed, -1
	}
	return provider.Accepted{UpstreamID: id, Report: r}, nil
}

func imageDocument(ctx context.Context, s *site, req provider.Request, files *provider.Inline) (object, error) {
	parts := []object{{"text": req.Prompt}}
	inline := func(field, address string) error {
		f, err := files.Add(ctx, s.up, field, address, imageTypes)
		parts = append(parts, object{"inlineData": object{"mimeType": f.ContentType, "data": f.Mark}})
		return err
	}
	for i, address := range req.Images {
		if err := inline(req.ImageField(i), address); err != nil {
			return nil, err
		}
	}
	if mask, ok := lenient.Text(req.Metadata["mask_url"]); ok && mask != "" {
		if err := inline("input.metadata.mask_url", mask); err != nil {
			return nil, err
		}
		parts = append(parts, object{"text": maskWords})
	}
	shape, config := object{}, object{"responseModalities": []string{"IMAGE"}}
	if ratio := imageRatio(req); ratio != "" {
		shape["aspectRatio"] = ratio
	}
	if size := imageSize(req); size != "" {
		shape["imageSize"] = size
	}
	pass(shape, req, imageConfig)
	if len(shape) > 0 {
		config["imageConfig"] = shape
	}
	document := object{"generationConfig": config}
	if tools := imageTools(req); tools != nil {
		document["tools"] = tools
	}
	top, tuning := others(req, imageRead, func(key string) bool { return !slices.Contains(imageMembers, plain(key)) })
	document, err := withAll(document, object{"generationConfig": tuning}, top, req.Metadata["model_params"])
	if err != nil {
		return nil, err
	}
	document["contents"] = []object{{"role": "user", "parts": parts}}
	return document, nil
}

func pass(to object, req provider.Request, keys []string) {
	for _, key := range keys {
		if value, ok := req.Metadata[key]; ok {
			to[key] = value
		}
	}
}

// imageTools grounds the image in what a search finds, of the web, of images, or of both. The
// flags are listed for the flash model alone; the other one takes them where they are true.
func imageTools(req provider.Request) []object {
	web, _ := lenient.Boolean(req.Metadata["google_search"])
	pictures, _ := lenient.Boolean(req.Metadata["google_image_search"])
	if !web && !pictures {
		return nil
	}
	search := object{}
	if pictures {
		types := object{"imageSearch": object{}}
		if web {
			types["webSearch"] = object{}
		}
		search["searchTypes"] = types
	}
	return []object{{"googleSearch": search}}
}

// others are the metadata keys that are not read here, without those that hold nothing: members of the body, and what tunes
// the generation.
func others(req provider.Request, read []string, tunes func(key string) bool) (top, tuning object) {
	top, tuning = object{}, object{}
	for key, value := range rest(req, read) {
		if tunes(key) {
			tuning[key] = value
		} else {
			top[key] = value
		}
	}
	return top, tuning
}

// rest are the metadata keys that are not read here.
func rest(req provider.Request, read []string) map[string]json.RawMessage {
	left := maps.Clone(req.Metadata)
	maps.DeleteFunc(left, func(key string, value json.RawMessage) bool {
		return slices.Contains(read, key) || string(value) == "null"
	})
	return left
}

// withAll lays what callers say over the body, in order: the keys of their metadata, then model_params. Objects are merged,
// everything else replaces what was there. Validate has refused what is not the caller's to say.
func withAll(document, tuning, top object, params json.RawMessage) (object, error) {
	layers := []any{document, tuning, top}
	if len(params) > 0 {
		layers = append(layers, params)
	}
	laid := object{}
	for i, layer := range layers {
		text, err := json.Marshal(layer)
		if err != nil {
			return nil, provider.Errorf(provider.Invalid, "input.metadata is not JSON")
		}
		var over object
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber() // a number goes on as it was written
		if d.Decode(&over) != nil {
			return nil, invalid(paramsField, "an object")
		}
		if i == 0 {
			laid = over
			continue
		}
		laid = merge(laid, over)
	}
	return laid, nil
}

func merge(under, over object) object {
	for key, value := range over {
		if inner, ok := value.(object); ok {
			if old, ok := under[key].(object); ok {
				under[key] = merge(old, inner)
				continue
			}
		}
		under[key] = value
	}
	return under
}

// keptImages takes the images out of an answer while it arrives.
type keptImages struct {
	ctx  context.Context
	sink provider.Sink
	by   map[string]provider.Output // by the path of their base64
	odd  *provider.Error
}

// choose implements jsonstream.Choose. Interim images of thinking models are kept like all
// others, for what they are is told only behind them; what no report names is removed.
func (k *keptImages) choose(path []string) func(io.Reader) error {
	if len(path) < 2 || path[len(path)-1] != "data" || path[len(path)-2] != "inlineData" && path[len(path)-2] != "inline_data" {
		return nil
	}
	at := strings.Join(path, "/")
	return func(text io.Reader) error {
		if k.sink == nil {
			return &provider.Error{Class: provider.OutcomeUnknown, Message: "the output could not be stored", Err: errors.New("google: no sink")}
		}
		output, err := k.sink.Keep(k.ctx, len(k.by), jsonstream.Base64(text))
		if e := provider.Unusable(err); e != nil {
			k.odd = e // there may be another
			return nil
		}
		if err == nil {
			k.by[at] = output
		}
		return err
	}
}

// content is the answer of generateContent without its files.
type content struct {
	ID         lenient.Word `json:"responseId"`
	Candidates []struct {
		Reason  lenient.Word `json:"finishReason"`
		Content struct {
			Parts []struct {
				Thought lenient.Truth `json:"thought"`
			} `json:"parts"`
		} `json:"content"`
	} `json:"candidates"`
	Feedback struct {
		Reason lenient.Word `json:"blockReason"`
	} `json:"promptFeedback"`
}

// refusedReasons are finish and block reasons that mean refused content, and emptyReasons
// those that mean a failure of other kinds (section 5).
var (
	refusedReasons = []string{
		"SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "RECITATION", "IMAGE_RECITATION", "BLOCKLIST", "SPII",
	}
	emptyReasons = []string{"NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP"}
)

// refused is why nothing was made at all: the prompt was blocked, or this is no answer of the
// API; nil = something was made.
func (c *content) refused(status int) *provider.Error {
	blocked := string(c.Feedback.Reason)
	switch {
	case len(c.Candidates) > 0:
		return nil
	case blocked == "":
		return provider.Unreadable(provider.OutcomeUnknown, status)
	}
	e := &provider.Error{HTTPStatus: status, Class: provider.Moderation, Message: messages[provider.Moderation]}
	if wordShape.MatchString(blocked) {
		e.Code = blocked
	}
	return e
}

// outcome is section 5's table for what was made: an image, or why there is none. The answer has
// ended either way: nothing can come of it any more.
func (c *content) outcome(kept keptImages, status int) ([]provider.Output, *provider.Error) {
	var outputs []provider.Output
	reason := ""
	for n, candidate := range c.Candidates {
		for m, part := range candidate.Content.Parts {
			if bool(part.Thought) {
				continue
			}
			for _, name := range []string{"inlineData", "inline_data"} {
				if o, ok := kept.by[fmt.Sprintf("candidates/%d/content/parts/%d/%s/data", n, m, name)]; ok {
					outputs = append(outputs, o)
				}
			}
		}
		reason = string(candidate.Reason)
	}
	if len(outputs) > 0 {
		return outputs, nil
	}
	e := &provider.Error{HTTPStatus: status, Class: provider.Generation, Message: messages[provider.Generation]}
	switch {
	case slices.Contains(refusedReasons, reason):
		e.Class, e.Message = provider.Moderation, messages[provider.Moderation]
	case kept.odd != nil:
		return nil, kept.odd
	case reason == "" || !slices.Contains(emptyReasons, reason):
		e.Message = "the upstream ended without an image"
	}
	if wordShape.MatchString(reason) {
		e.Code = reason
	}
	return nil, e
}
