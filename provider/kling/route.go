package kling

import (
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
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
	for _, prefix := range []string{"kling-v", "kling-image-"} {
		if strings.HasPrefix(upstreamModel, prefix) {
			return legacy, upstreamModel
		}
	}
	return modern, upstreamModel
}

// familyFor is familyOf, but that all images are made by the older family, whatever
// the model looks like.
func familyFor(upstreamModel string, kind kinora.Kind) (family, string) {
	f, model := familyOf(upstreamModel)
	if kind == kinora.KindImage {
		f = legacy
	}
	return f, model
}

// The routes: paths to post to. Those of the older family are also what its tasks are
// read under; those of the newer one end with the model.
const (
	textToVideo   = "/v1/videos/text2video"
	imageToVideo  = "/v1/videos/image2video"
	imagesToVideo = "/v1/videos/multi-image2video"
	motionControl = "/v1/videos/motion-control"
	omniVideo     = "/v1/videos/omni-video"
	imageRoute    = "/v1/images/generations"
	imagesToImage = "/v1/images/multi-image2image"
	omniImage     = "/v1/images/omni-image"

	newTextToVideo   = "/text-to-video/"
	newImageToVideo  = "/image-to-video/"
	newMotionControl = "/motion-control/"
	newOmniVideo     = "/omni-video/"
)

// routes are what metadata.route may name, by family and kind: its words, and the path
// that each stands for.
var routes = map[family]map[kinora.Kind]map[string]string{
	legacy: {
		kinora.KindVideo: {
			"text2video": textToVideo, "image2video": imageToVideo, "multi-image2video": imagesToVideo,
			"motion-control": motionControl, "omni-video": omniVideo,
		},
		kinora.KindImage: {"generations": imageRoute, "multi-image2image": imagesToImage, "omni-image": omniImage},
	},
	modern: {
		kinora.KindVideo: {
			"text-to-video": newTextToVideo, "image-to-video": newImageToVideo,
			"motion-control": newMotionControl, "omni-video": newOmniVideo,
		},
	},
}

// routeOf chooses the path of a request: by metadata.route, by the model, and else by
// what the request brings. A word that is no route gives an empty path, which Validate
// refuses.
func routeOf(req provider.Request) string {
	f, model := familyFor(req.UpstreamModel, req.Kind)
	if raw, ok := req.Metadata["route"]; ok {
		word, _ := lenient.Text(raw)
		return routes[f][req.Kind][word]
	}
	switch {
	case req.Kind == kinora.KindImage:
		return imageRouteOf(req, model)
	case f == modern:
		return modernRouteOf(req, model)
	case omni(model):
		return omniVideo
	case has(req, "video_url"):
		return motionControl
	case has(req, "image_list") || len(req.Images) > 2:
		return imagesToVideo
	case len(req.Images) > 0 || has(req, "image") || has(req, "image_tail"):
		return imageToVideo
	}
	return textToVideo
}

func imageRouteOf(req provider.Request, model string) string {
	switch {
	case omni(model):
		return omniImage
	case len(req.Images) > 1 || has(req, "subject_image_list"):
		return imagesToImage
	}
	return imageRoute
}

func modernRouteOf(req provider.Request, model string) string {
	switch {
	case omni(model):
		return newOmniVideo
	case has(req, "video_url") || has(req, "character_orientation"):
		return newMotionControl
	case len(req.Images) > 0 || has(req, "contents"):
		return newImageToVideo
	}
	return newTextToVideo
}

// omni says that a model takes references of all kinds, on a route of its own.
func omni(model string) bool {
	return strings.Contains(model, "omni") || strings.HasSuffix(model, "-o1")
}

func has(req provider.Request, key string) bool {
	_, ok := req.Metadata[key]
	return ok
}
