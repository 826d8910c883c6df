package ark

import (
	"encoding/json"
	"strings"

	"github.com/kinora/kinora/provider"
)

// maxImages is how many images one call handles, sources and results together.
const maxImages = 15

func checkImageSize(req provider.Request) *provider.Error {
	field, text, isText := sizeField(req)
	_, _, ok := parseSize(text)
	if !isText || !ok && !strings.EqualFold(text, adaptive) {
		return invalid(field, "pixels such as 2048x2048, a ratio such as 16:9, one of %s, or auto", strings.Join(imageSizes, ", "))
	}
	return nil
}

// checkImageModel wants what only one generation of models has to be left out for the others.
func checkImageModel(req provider.Request) *provider.Error {
	g := generationOf(req.UpstreamModel)
	if !g.known() {
		return nil
	}
	for _, only := range []struct {
		key   string
		major int
	}{{"guidance_scale", 3}, {"output_format", 5}, {"seed", 3}} {
		if _, ok := given(req, only.key); ok && g.major != only.major {
			return provider.Errorf(provider.Invalid, "input.metadata.%s must be left out for this model", only.key)
		}
	}
	return nil
}

// sources are how many source images a generation of models takes.
var sources = map[generation]int{{4, 0}: 10, {4, 5}: 14, {5, 0}: 14}

func checkImageCounts(req provider.Request) *provider.Error {
	field, n := "input.images", inputImages(req)
	if raw, ok := given(req, "image"); ok {
		field = "input.metadata.image"
		var list []string
		if _, one := word(raw); !one && json.Unmarshal(raw, &list) != nil {
			return invalid(field, "a string or an array of strings")
		}
	}
	if most, known := sources[generationOf(req.UpstreamModel)]; known && n > most {
		return invalid(field, "at most %d for this model", most)
	}
	field, results := "input.metadata.n", wanted(req)
	if options, ok := object(req.Metadata["sequential_image_generation_options"]); ok {
		if v, there := options["max_images"]; there {
			field = "input.metadata.sequential_image_generation_options"
			results, _ = whole(v)
		}
	}
	if results > 1 && int64(n)+results > maxImages {
		return provider.Errorf(provider.Invalid, "%s must leave room for the source images: at most %d together", field, maxImages)
	}
	return nil
}
