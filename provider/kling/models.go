package kling

import (
	"slices"
	"strings"
)

// limits are what Kling documents of a video model, beside what holds for all.
type limits struct {
	seconds []int    // durations
	words   []string // the older family's modes, the newer one's resolutions
	audio   []string // the newer family's words; nil = no such setting, or none is known
	prompt  int      // characters
	frames  int      // images that are frames
	// sharpEnds says that a first and a last frame together need 1080p.
	sharpEnds bool
}

var (
	fiveOrTen    = []int{5, 10}
	threeToTen   = []int{3, 4, 5, 6, 7, 8, 9, 10}
	threeTo15    = []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	twoModes     = []string{"std", "pro"}
	threeModes   = []string{"std", "pro", "4k"}
	toFullHD     = []string{"720p", "1080p"}
	toUltraHD    = []string{"720p", "1080p", "4k"}
	nativeAudio  = []string{"native", "off"}
	keptAudio    = []string{"original", "off"}
	eitherAudio  = []string{"native", "original", "off"}
	longPrompt   = 3072 // of the 3.0 models, whose pages recommend no more than 2,500
	legacyLimits = limits{seconds: fiveOrTen, words: twoModes, prompt: maxPrompt, frames: 2}
)

// videoLimits are those of the documented video models, by Kling's id.
var videoLimits = map[string]limits{
	"kling-v1": legacyLimits, "kling-v1-5": legacyLimits, "kling-v1-6": legacyLimits,
	"kling-v2-master": legacyLimits, "kling-v2-1": legacyLimits, "kling-v2-1-master": legacyLimits,
	"kling-v2-5-turbo": legacyLimits, "kling-v2-6": legacyLimits,
	"kling-v3":       {seconds: threeTo15, words: threeModes, prompt: maxPrompt, frames: 2},
	"kling-v3-omni":  {seconds: threeTo15, words: threeModes, prompt: maxPrompt},
	"kling-video-o1": {seconds: threeToTen, words: twoModes, prompt: maxPrompt},

	"kling-2.5-turbo": {seconds: fiveOrTen, words: toFullHD, prompt: maxPrompt, frames: 2, sharpEnds: true},
	"kling-2.6":       {seconds: fiveOrTen, words: toFullHD, audio: nativeAudio, prompt: maxPrompt, frames: 2, sharpEnds: true},
	"kling-3.0":       {seconds: threeTo15, words: toUltraHD, audio: nativeAudio, prompt: longPrompt, frames: 2},
	"kling-3.0-turbo": {seconds: threeTo15, words: toFullHD, prompt: longPrompt, frames: 1},
	"kling-3.0-omni":  {seconds: threeTo15, words: toUltraHD, audio: eitherAudio, prompt: longPrompt},
	"kling-o1":        {seconds: threeToTen, words: toFullHD, audio: keptAudio, prompt: maxPrompt},
}

// limitsOf are the limits of an upstream model; false = it is not one of the documented,
// so that only what holds for all is checked.
func limitsOf(upstreamModel string) (limits, bool) {
	_, model := familyOf(upstreamModel)
	l, ok := videoLimits[model]
	return l, ok
}

// sharp are the older models whose modes stand for resolutions: std for 720p, pro for
// 1080p, and 4k.
func sharp(model string) bool {
	return slices.Contains([]string{"kling-v2-5-turbo", "kling-v2-6", "kling-v3", "kling-v3-omni", "kling-video-o1"}, model)
}

// older says that a model is of Kling's first or second generation in the older family.
func older(model, generation string) bool { return strings.HasPrefix(model, "kling-v"+generation) }

// third says that a model may have what came with the third generation: shots, voices and elements. What is not documented
// may have it too.
func third(model string) bool {
	_, known := videoLimits[model]
	return !known || !older(model, "1") && !older(model, "2")
}

// audible says that a model of the older family may have sound, which came with 2.6.
func audible(model string) bool { return third(model) || model == "kling-v2-6" }
