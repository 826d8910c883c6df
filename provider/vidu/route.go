package vidu

import (
	"encoding/json"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// route is the last segment of a submit's path.
type route string

const (
	text2Video      route = "text2video"
	image2Video     route = "img2video"
	startEnd2Video  route = "start-end2video"
	reference2Video route = "reference2video"
	reference2Image route = "reference2image"
	template        route = "template"
	templateStory   route = "template-story"
	multiFrame      route = "multiframe"
)

// videoRoutes are those that a caller may choose by metadata.route.
var videoRoutes = []route{
	text2Video, image2Video, startEnd2Video, reference2Video, template, templateStory, multiFrame,
}

// The fields that each route documents beside images, those that every route has
// (payload, callback_url) and those that only metadata can set.
var (
	withModel      = []route{text2Video, image2Video, startEnd2Video, reference2Video, reference2Image, multiFrame}
	withPrompt     = []route{text2Video, image2Video, startEnd2Video, reference2Video, reference2Image, template}
	withRatio      = []route{text2Video, reference2Video, reference2Image, template}
	withResolution = []route{text2Video, image2Video, startEnd2Video, reference2Video, reference2Image, multiFrame}
	withDuration   = []route{text2Video, image2Video, startEnd2Video, reference2Video}
)

func (r route) in(list []route) bool { return slices.Contains(list, r) }

// referenceOnly are the models that take images as references alone: neither the image
// nor the start-and-end route lists them.
var referenceOnly = []string{"viduq2", "viduq3", "viduq3-mix"}

// chooseRoute finds the route: by metadata.route, by the fields that only one route
// has, and else by the number of images. A word that is no route is left to Validate.
func chooseRoute(req provider.Request) route {
	if req.Kind == kinora.KindImage {
		return reference2Image
	}
	if word, ok := lenient.Text(req.Metadata["route"]); ok {
		return route(word)
	}
	for _, mark := range []struct {
		key string
		route
	}{
		{"template", template}, {"story", templateStory}, {"image_settings", multiFrame}, {"start_image", multiFrame},
		{"subjects", reference2Video}, {"videos", reference2Video},
	} {
		if _, ok := req.Metadata[mark.key]; ok {
			return mark.route
		}
	}
	switch images := len(imagesOf(req)); {
	case images == 0:
		return text2Video
	case slices.Contains(referenceOnly, req.UpstreamModel):
		return reference2Video
	case images == 1:
		return image2Video
	case images == 2:
		return startEnd2Video
	}
	return reference2Video
}

// modelFor is the id that a route knows a model by: viduq2-turbo's references are
// served by plain viduq2.
func modelFor(r route, model string) string {
	if r == reference2Video && model == "viduq2-turbo" {
		return "viduq2"
	}
	return model
}

// imagesOf are the images that count: metadata's own, else the input's. nil where
// metadata's are no list of strings, which Validate refuses.
func imagesOf(req provider.Request) []string {
	raw, ok := req.Metadata["images"]
	if !ok {
		return req.Images
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}
