package ark

import (
	"regexp"
	"strings"
)

// The vendor reads parameters out of a prompt's text, such as "--rs 720p --dur 5", and they
// change what is made and what it costs. A prompt is what a user typed: parameters come from
// the input's fields and metadata only.
var (
	// textParameter is documented names, long or short, with their values.
	textParameter = regexp.MustCompile(`(?i)(?:\s*--(?:resolution|rs|ratio|rt|duration|dur|frames|framespersecond|fps|seed|camerafixed|camera_fixed|cf|watermark|wm)\b` +
		`(?:[\s=:]+(?:-?\d[\w:.]*|true\b|false\b|adaptive\b|keep_ratio\b))?)+\s*`)
	// looksLikeParameter is any other pair of dashes before a letter: a name that is not
	// documented yet, or an author's dash.
	looksLikeParameter = regexp.MustCompile(`-{2,}(\pL)`)
)

// cleanPrompt takes parameters out of a prompt: documented ones go with their value, and
// whatever else looks like one gets a typographic dash. Other prompts are untouched.
func cleanPrompt(prompt string) string {
	if !looksLikeParameter.MatchString(prompt) {
		return prompt
	}
	// The space keeps what stood around a parameter from becoming another one.
	prompt = textParameter.ReplaceAllString(prompt, " ")
	return strings.TrimSpace(looksLikeParameter.ReplaceAllString(prompt, "—$1"))
}
