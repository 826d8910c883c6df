package sandbox

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// maxDelay is the longest duration that the sandbox takes.
const maxDelay = 48 * time.Hour

// option is what one key of metadata.sandbox may hold.
type option struct {
	rule  string
	holds func(raw json.RawMessage) bool
}

// apart is the one option that is not the sandbox's own: with it the provider makes each of
// n outputs in a call of its own, as it has to be done at upstreams that make one in a call.
const apart = "apart"

// options are the sandbox's documented ones.
func options() map[string]option {
	duration := option{`seconds, or a text such as "1.5s", up to 48 hours`, isDuration}
	count := option{"a whole number from 0", func(raw json.RawMessage) bool { n, ok := whole(raw); return ok && n >= 0 }}
	times := option{"true, false or a whole number from 0", func(raw json.RawMessage) bool {
		return string(raw) == "true" || string(raw) == "false" || count.holds(raw)
	}}
	return map[string]option{
		"delay": duration, "late_answer": duration, "slow_download": duration, "retry_after": duration,
		"fail_times": count, "status_5xx": count, "truncate_download": times, "output_404": times, "image_times": count,
		apart:   {"true or false", func(raw json.RawMessage) bool { return string(raw) == "true" || string(raw) == "false" }},
		"image": words("blank", "identical", "unrelated", "small"),
		"fail": words("invalid", "moderation", "credential", "balance", "permission", "model_gone", "rate", "unavailable",
			"generation", "gone", "outcome_unknown"),
		"moderation": words("input", "output"),
		"drop":       words("before_accept", "after_accept"),
		"callback":   words("lost", "duplicate", "early", "reordered", "forged"),
		"status_word": {"a text of at most 64 bytes", func(raw json.RawMessage) bool {
			var text string
			return json.Unmarshal(raw, &text) == nil && len(text) <= 64
		}},
	}
}

// forUpstream are the given options without what the sandbox does not know.
func forUpstream(raw json.RawMessage) json.RawMessage {
	var given map[string]json.RawMessage
	if json.Unmarshal(raw, &given) != nil || given[apart] == nil {
		return raw
	}
	delete(given, apart)
	rest, err := json.Marshal(given)
	if err != nil {
		return raw
	}
	return rest
}

// words is an option that takes one of a few words, or the empty one.
func words(list ...string) option {
	return option{"one of " + strings.Join(list, ", "), func(raw json.RawMessage) bool {
		var word string
		return json.Unmarshal(raw, &word) == nil && (word == "" || slices.Contains(list, word))
	}}
}

// isDuration takes a number of seconds, also as a text, and what time.ParseDuration reads.
func isDuration(raw json.RawMessage) bool {
	text := string(raw)
	if strings.HasPrefix(text, `"`) && json.Unmarshal(raw, &text) != nil {
		return false
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds >= 0 && seconds <= maxDelay.Seconds()
	}
	d, err := time.ParseDuration(text)
	return err == nil && d >= 0 && d <= maxDelay
}

// checkOptions names the first option, by name, that the sandbox would refuse or not know.
func checkOptions(req provider.Request) *provider.Error {
	raw, ok := req.Metadata["sandbox"]
	if !ok {
		return nil
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(raw, &given) != nil || given == nil {
		return invalid("input.metadata.sandbox", "an object")
	}
	known := options()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		o, ok := known[name]
		switch {
		case !ok:
			return provider.Errorf(provider.Invalid, "input.metadata.sandbox.%s is not known; there are %s",
				shortened(name), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case string(given[name]) != "null" && !o.holds(given[name]):
			return invalid("input.metadata.sandbox."+name, "%s", o.rule)
		}
	}
	return nil
}

// shortened is a caller's word as an error can bear it.
func shortened(s string) string {
	if runes := []rune(s); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return s
}
