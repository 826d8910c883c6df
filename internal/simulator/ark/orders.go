package ark

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own call, as simulator.Orders carries them:
// "[[fail=OutputVideoSensitiveContentDetected time=20s]]" within the prompt, or a header. A
// call that sends its prompt again orders the same again.
type orders struct {
	// refuse=QuotaExceeded refuses the submit with that code, under the status that is
	// documented for it; with times=2 only so many submits of the same prompt.
	refuse string
	times  int
	// fail=OutputVideoSensitiveContentDetected lets the task fail with that code at its end,
	// and an image call for all its images; bad=1 for so many of them.
	fail string
	bad  int
	// queue=10s is a task's time in the queue, and time=1m that of its making, or of an image
	// call. Negative = not ordered.
	queue, time time.Duration
	// late=3s holds the submit's answer after the task was created.
	late time.Duration
	// drop=before cuts the submit's connection without any effect; drop=after once the task is
	// created, and will be paid for; drop=error creates it and answers 500.
	drop string
	// word=warming_up is shown instead of running.
	word string
	// expire ends the task as expired when its time has come.
	expire bool
	// gone lets the task's record vanish at its end, and unlisted keeps the task out of lists.
	gone, unlisted bool
	// callback=… spoils the callbacks: lost sends none, duplicate each twice, early one before
	// the submit is answered, reordered the start after the end, forged another one that claims
	// an end which is not true.
	callback string
	// busy=2 answers so many looks at the task with 503, and cut=2 so many, after those, with
	// half the JSON.
	busy, cut int
	// broken=1 lets so many downloads break off half way.
	broken int
}

var (
	dropOrders     = []string{"", "before", "after", "error"}
	callbackOrders = []string{"", "lost", "duplicate", "early", "reordered", "forged"}
)

// readOrders reads a submit's orders, and returns the prompt without them. Wrong ones are
// refused as an invalid parameter.
func readOrders(h http.Header, prompt string) (orders, string, error) {
	o := simulator.ReadOrders(h, prompt)
	out := orders{
		refuse: o["refuse"], times: o.Count("times"), fail: o["fail"], bad: o.Count("bad"), queue: o.Duration("queue", -1), time: o.Duration("time", -1),
		late: o.Duration("late", 0), drop: o["drop"], word: o["word"], expire: o.Has("expire"), gone: o.Has("gone"), unlisted: o.Has("unlisted"),
		callback: o["callback"], busy: o.Count("busy"), cut: o.Count("cut"), broken: o.Count("broken"),
	}
	err := o.Check("refuse", "times", "fail", "bad", "queue", "time", "late", "drop", "word", "expire", "gone", "unlisted", "callback", "busy", "cut", "broken")
	switch {
	case err != nil:
		return out, "", invalid("prompt", err.Error())
	case !slices.Contains(dropOrders, out.drop):
		return out, "", invalid("prompt", "order drop: before, after or error")
	case !slices.Contains(callbackOrders, out.callback):
		return out, "", invalid("prompt", "order callback: not known")
	}
	return out, strings.TrimSpace(bracketed.ReplaceAllString(prompt, "")), nil
}

var bracketed = regexp.MustCompile(`\[\[[^\[\]]*\]\]`)

// or is the ordered time, or the usual one.
func or(ordered, usual time.Duration) time.Duration {
	if ordered >= 0 {
		return ordered
	}
	return usual
}
