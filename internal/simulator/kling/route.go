package kling

// family is one of the two API families: the model stands in the body, or in the path.
type family bool

const (
	legacy family = false
	modern family = true
)

// route is one thing that can be asked for.
type route struct {
	family family
	name   string
	images bool // it makes images
	// models are those that the documents name for it; others are answered with 1203.
	models []string
	read   func(*fields, *order)
}

// path is where the older family's route is; the newer one's path ends with the model.
func (r *route) path() string {
	if r.images {
		return "/v1/images/" + r.name
	}
	return "/v1/videos/" + r.name
}

var (
	legacyVideos = []string{
		"kling-v1", "kling-v1-5", "kling-v1-6", "kling-v2-master", "kling-v2-1", "kling-v2-1-master", "kling-v2-5-turbo", "kling-v2-6", "kling-v3",
	}
	legacyImages = []string{"kling-v1", "kling-v1-5", "kling-v2", "kling-v2-1", "kling-v3"}
	modernVideos = []string{"kling-3.0", "kling-3.0-turbo", "kling-2.6", "kling-2.5-turbo"}
)

// allRoutes are what the simulator serves. An absent model_name means the first model.
var allRoutes = []*route{
	{legacy, "text2video", false, legacyVideos, readText2Video},
	{legacy, "image2video", false, legacyVideos, readImage2Video},
	{legacy, "multi-image2video", false, []string{"kling-v1-6"}, readMultiImage2Video},
	{legacy, "motion-control", false, []string{"kling-v2-6", "kling-v3"}, readMotionControl},
	{legacy, "omni-video", false, []string{"kling-video-o1", "kling-v3-omni"}, readOmniVideo},
	{legacy, "generations", true, legacyImages, readGenerations},
	{legacy, "multi-image2image", true, []string{"kling-v2-1", "kling-v2"}, readMultiImage2Image},
	{legacy, "omni-image", true, []string{"kling-image-o1", "kling-v3-omni"}, readOmniImage},
	{modern, "text-to-video", false, modernVideos, readTextToVideo},
	{modern, "image-to-video", false, modernVideos, readImageToVideo},
	{modern, "motion-control", false, []string{"kling-3.0", "kling-2.6"}, readMotion},
	{modern, "omni-video", false, []string{"kling-3.0-omni", "kling-o1"}, readOmni},
}

// order is a submit that was understood.
type order struct {
	model    string
	prompt   string
	images   []string
	ratio    string // W:H
	short    int    // pixels of the shorter side
	seconds  int    // of a video
	n        int    // images
	external string
	callback string
	marked   bool // a copy with a watermark too
}
