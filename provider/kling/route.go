package kling

import (
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// family is one of Kling's two API generations. Its documents tell them apart by where
// the model stands: in the body's model_name, or in the path.
type family bool

const (
	legacy family = false
	modern family = true
)

// familyOf tells the family of an upstream model and the model's own id. Ids of the
// older family look like kling-v2-6, those of the newer one like kling-2.6; whatever
// looks like neither is taken for the newer, in which models appear. A prefix
// "legacy:" or "new:" decides for an id that is otherwise taken wrongly.
func familyOf(upstreamModel string) (family, string) {
	if model, ok := strings.CutPrefix(upstreamModel, "legacy:"); ok {
		return legacy, model
	}
	if model, ok := strings.CutPrefix(upstreamModel, "new:"); ok {
		return modern, model
	}
	if strings.HasPrefix(upstreamModel, "kling-v") || strings.HasPrefix(upstreamModel, "kling-image-") {
		return legacy, upstreamModel
	}
	return modern, upstreamModel
}

// The routes of the older family: paths to post to, and to read tasks under.
const (
	textToVideo   = "/v1/videos/text2video"
	imageToVideo  = "/v1/videos/image2video"
	imagesToVideo = "/v1/videos/multi-image2video"
	motionControl = "/v1/videos/motion-control"
	omniVideo     = "/v1/videos/omni-video"
	imageRoute    = "/v1/images/generations"
	omniImage     = "/v1/images/omni-image"
)

// routes are what metadata.route may name, by family and kind: its words, and the path
// that each stands for. Paths of the newer family end with the model.
var routes = map[family]map[kinora.Kind]map[string]string{
	legacy: {
		kinora.KindVideo: {
			"text2video": textToVideo, "image2video": imageToVideo, "multi-image2video": imagesToVideo,
			"motion-control": motionControl, "omni-video": omniVideo,
		},
		kinora.KindImage: {"generations": imageRoute, "omni-image": omniImage},
	},
	modern: {
		kinora.KindVideo: {
			"text-to-video": "/text-to-video/", "image-to-video": "/image-to-video/",
			"motion-control": "/motion-control/", "omni-video": "/omni-video/",
		},
	},
}

// routeOf chooses the path of a request: by metadata.route, by the model, and else by
// what the request brings. A word that is no route gives an empty path, which Validate
// refuses.
func routeOf(req provider.Request) string {
	f, model := familyOf(req.UpstreamModel)
	words := routes[f][req.Kind]
	if raw, ok := req.Metadata["route"]; ok {
		word, _ := text(raw)
		return words[word]
	}
	omni := strings.Contains(model, "omni") || strings.Contains(model, "-o1")
	switch {
	case req.Kind == kinora.KindImage && omni:
		return words["omni-image"]
	case req.Kind == kinora.KindImage:
		return words["generations"]
	case omni:
		return words["omni-video"]
	case f == modern && (len(req.Images) > 0 || has(req, "contents")):
		return words["image-to-video"]
	case f == modern:
		return words["text-to-video"]
	case has(req, "image_list") || len(req.Images) > 2:
		return imagesToVideo
	case has(req, "video_url"):
		return motionControl
	case len(req.Images) > 0 || has(req, "image") || has(req, "image_tail"):
		return imageToVideo
	}
	return textToVideo
}

func has(req provider.Request, key string) bool {
	_, ok := req.Metadata[key]
	return ok
}
