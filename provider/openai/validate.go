package openai

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

const (
	// maxPrompt is in characters, of videos and images alike.
	maxPrompt = 32000
	// maxImages is how many images one call makes, and maxSources how many it takes.
	maxImages  = 10
	maxSources = 16
	// maxPartials is how many unfinished images a stream brings.
	maxPartials = 3
)

// Validate implements provider.Provider. Limits are those of OpenAI's own models; other models
// have their own, which their servers judge.
func (o *OpenAI) Validate(req provider.Request) error {
	if err := o.CheckModel(req.UpstreamModel, req.Kind); err != nil {
		named := *provider.AsError(err, provider.ModelGone)
		named.Message = "the model " + named.Message
		return &named
	}
	if n := utf8.RuneCountInString(req.Prompt); n > maxPrompt {
		return provider.Errorf(provider.Invalid, "input.prompt must not be longer than %d characters", maxPrompt)
	}
	t := targetOf(req.UpstreamModel, req.Kind)
	checks := []func(provider.Request, target) *provider.Error{checkVideoSize, checkSeconds, checkReference}
	if t.api != videos {
		checks = []func(provider.Request, target) *provider.Error{checkImageSize, checkCount, checkSources, checkFormat, checkNumbers}
	}
	for _, check := range checks {
		if err := check(req, t); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

var (
	soraSizes    = []string{"720x1280", "1280x720"}
	soraProSizes = []string{"720x1280", "1280x720", "1024x1792", "1792x1024"}
	soraSeconds  = []int{4, 8, 12}
)

func checkVideoSize(req provider.Request, t target) *provider.Error {
	field, _, ok := sizeField(req)
	if !ok {
		return invalid(field, "a string")
	}
	is, pro := sora(t.model)
	sizes := soraSizes
	if pro {
		sizes = soraProSizes
	}
	if size := videoSize(req); is && size != "" && !slices.Contains(sizes, size) {
		return invalid(field, "one of %s", strings.Join(sizes, ", "))
	}
	return nil
}

func checkSeconds(req provider.Request, t target) *provider.Error {
	field, seconds, ok := lengthField(req)
	is, _ := sora(t.model)
	switch {
	case !ok || seconds < 0:
		return invalid(field, "a whole number of seconds")
	case is && seconds != 0 && !slices.Contains(soraSeconds, seconds):
		return invalid(field, "4, 8 or 12 for this model")
	}
	return nil
}

// checkReference: the dialect has one reference image.
func checkReference(req provider.Request, _ target) *provider.Error {
	if len(req.Images) > 1 {
		return invalid("input.images", "at most one image for this model")
	}
	return nil
}

func checkImageSize(req provider.Request, t target) *provider.Error {
	field, text, isText := sizeField(req)
	w, h, pixels, ok := lenient.Size(strings.ReplaceAll(strings.TrimSpace(text), "*", "x"))
	_, resized := areaOf(req) // the pixels are a ratio
	switch {
	case !isText, !ok && text != "" && !strings.EqualFold(strings.TrimSpace(text), auto):
		return invalid(field, "pixels such as 1536x1024, a ratio such as 3:2, or auto")
	case !ok || !ownModel(t):
		return nil
	case w > 3*h || h > 3*w:
		return invalid(field, "between 1:3 and 3:1 for this model")
	case pixels && !resized && (nearest(max(w, h)) > longestSide || nearest(w)*nearest(h) > mostPixels):
		return invalid(field, "at most 3840x2160 or 2160x3840 for this model")
	}
	return nil
}

// ownModel says that an image is made by one of OpenAI's own models.
func ownModel(t target) bool { return t.api == responses || gptImage(t.model) }

func checkCount(req provider.Request, _ target) *provider.Error {
	raw, ok := given(req, "n")
	if !ok {
		return nil
	}
	n, whole := lenient.Whole(raw)
	switch {
	case !whole || n < 1:
		return invalid("input.metadata.n", "a whole number from 1")
	case n > maxImages:
		return invalid("input.metadata.n", "between 1 and %d", maxImages)
	}
	return nil
}

func checkSources(req provider.Request, t target) *provider.Error {
	if raw, ok := given(req, "mask_url"); ok {
		mask, isText := lenient.Text(raw)
		switch {
		case !isText || !strings.HasPrefix(mask, "http://") && !strings.HasPrefix(mask, "https://"):
			return invalid("input.metadata.mask_url", "an http or https URL")
		case len(req.Images) == 0:
			return provider.Errorf(provider.Invalid, "input.metadata.mask_url needs input.image, which it masks")
		}
	}
	if ownModel(t) && len(req.Images) > maxSources {
		return invalid("input.images", "at most %d images", maxSources)
	}
	return nil
}

// checkFormat refuses what could be made and paid for, and not be kept.
func checkFormat(req provider.Request, t target) *provider.Error {
	if raw, ok := given(req, "output_format"); ok {
		if format, isText := lenient.Text(raw); !isText || strings.EqualFold(format, "svg") {
			return invalid("input.metadata.output_format", "a format of pixels, such as png, jpeg or webp")
		}
		background, _ := lenient.Text(req.Metadata["background"])
		format, _ := lenient.Text(raw)
		if ownModel(t) && strings.EqualFold(background, "transparent") && !strings.EqualFold(format, "png") && !strings.EqualFold(format, "webp") {
			return invalid("input.metadata.output_format", "png or webp where the background is transparent")
		}
	}
	return nil
}

func checkNumbers(req provider.Request, t target) *provider.Error {
	for key, most := range map[string]int{"output_compression": 100, "partial_images": maxPartials} {
		raw, ok := given(req, key)
		if !ok || !ownModel(t) {
			continue
		}
		if n, whole := lenient.Whole(raw); !whole || n < 0 || n > most {
			return invalid("input.metadata."+key, "between 0 and %d", most)
		}
	}
	return nil
}
