package openai

import (
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// target is where a model's requests go.
type target struct {
	api   api
	model string // of the video, the image, or of the text that orders it
	tool  string // responses only: the image model; empty = the upstream's default
}

// targetOf reads an upstream model's id. "videos:", "images:" and "responses:" before it say
// which shape it has; the last may name the image model behind a plus:
// "responses:gpt-5.6-terra+gpt-image-2". Without them the name tells, and where it
// does not, the kind that the model is configured with.
func targetOf(upstreamModel string, kind kinora.Kind) target {
	if prefix, rest, ok := strings.Cut(upstreamModel, ":"); ok {
		switch a := api(prefix); a {
		case videos, images:
			return target{api: a, model: rest}
		case responses:
			text, tool, _ := strings.Cut(rest, "+")
			return target{api: a, model: text, tool: tool}
		}
	}
	t := target{api: videos, model: upstreamModel}
	if named := shapeOf(upstreamModel); named == images || named == "" && kind == kinora.KindImage {
		t.api = images
	}
	return t
}

// shapeOf is what a name tells; empty = nothing.
func shapeOf(model string) api {
	name := strings.ToLower(model)
	switch {
	case strings.Contains(name, "sora"), strings.Contains(name, "video"), strings.Contains(name, "i2v"), strings.Contains(name, "t2v"):
		return videos
	case strings.Contains(name, "image"), strings.Contains(name, "dall-e"):
		return images
	}
	return ""
}

// traits are decided by the model's id alone.
func traits(upstreamModel string) provider.Traits {
	t := targetOf(upstreamModel, kinora.KindVideo)
	own := provider.Traits{Batch: string(t.api), Synchronous: t.api == images}
	if t.api == responses {
		own.Poll = responsePace
	}
	return own
}

// CheckModel implements provider.ModelChecker: whether a call lasts as long as its images take is
// known by the model's id alone, so that one whose kind makes it a model of images has to say so.
func (*OpenAI) CheckModel(upstreamModel string, kind kinora.Kind) error {
	if targetOf(upstreamModel, kind).api == images && !traits(upstreamModel).Synchronous {
		return provider.Errorf(provider.ModelGone, "does not show by its upstream_model that it makes images: write it with the prefix images:, as in images:NAME")
	}
	return nil
}

// gptImage says that a model is one of OpenAI's own image models, whose limits are documented.
func gptImage(model string) bool {
	return strings.HasPrefix(model, "gpt-image-") || strings.HasPrefix(model, "chatgpt-image-")
}

// sora says that a model is one of OpenAI's own video models; pro, that it is the larger one.
func sora(model string) (is, pro bool) {
	rest, is := strings.CutPrefix(model, "sora-2")
	if !is || rest != "" && rest[0] != '-' {
		return false, false
	}
	return true, strings.HasPrefix(rest, "-pro")
}
