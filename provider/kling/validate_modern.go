package kling

import (
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// checkModern checks the settings of the newer family.
func checkModern(req provider.Request, path string) *provider.Error {
	if path == newMotionControl {
		return checkMotion(req)
	}
	l, known := limitsOf(req.UpstreamModel)
	if known {
		if err := words(req, "resolution", l.words...); err != nil {
			return err
		}
	}
	allowed := eitherAudio
	if l.audio != nil {
		allowed = l.audio
	}
	if err := words(req, "audio", allowed...); err != nil {
		return err
	}
	if raw, field := given(req, "multi_shot"); raw != nil && string(raw) != "true" && string(raw) != "false" {
		return invalid(field, "true or false")
	}
	if raw, field := given(req, "multi_shot"); raw != nil && known && !strings.HasPrefix(modelOf(req), "kling-3.") {
		return provider.Errorf(provider.Invalid, "%s is not known to this model", field)
	}
	return checkSharpness(req, path, l)
}

func modelOf(req provider.Request) string {
	_, model := familyOf(req.UpstreamModel)
	return model
}

// checkSharpness: native audio on 2.6, and a last frame on 2.5 and 2.6, need 1080p.
func checkSharpness(req provider.Request, path string, l limits) *provider.Error {
	said, _ := videoResolution(req)
	if wordOr(req, "resolution", said) == "1080p" || !l.sharpEnds {
		return nil
	}
	if _, field := given(req, "audio"); wordOr(req, "audio", "off") == "native" {
		return invalid(field, "off, or the resolution 1080p")
	}
	ends := len(req.Images) > 1 && !has(req, "contents") || hasType(list(req.Metadata["contents"]), "last_frame")
	if path == newImageToVideo && ends {
		_, field := given(req, "resolution")
		return invalid(field, "1080p for a first and a last frame")
	}
	return nil
}

// checkMotion: a motion is copied from a video onto the image of a character.
func checkMotion(req provider.Request) *provider.Error {
	raw, field := given(req, "character_orientation")
	if raw == nil {
		return invalid(field, "image or video: motion control needs it")
	}
	if err := words(req, "character_orientation", "image", "video"); err != nil {
		return err
	}
	if err := words(req, "audio", "original", "off"); err != nil {
		return err
	}
	if has(req, "contents") {
		return nil
	}
	if video, ok := lenient.Text(req.Metadata["video_url"]); !ok || !strings.Contains(video, "://") {
		return invalid(meta("video_url"), "the URL of a video")
	}
	if len(req.Images) == 0 {
		return invalid("input.images", "the image of a character for motion control")
	}
	return nil
}
