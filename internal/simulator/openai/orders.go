package openai

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own call, as simulator.Orders carries them:
// "[[fail=moderation_blocked time=20s]]" within the prompt, or a header. A call that sends its
// prompt again orders the same again.
type orders struct {
	// refuse=insufficient_quota refuses the submit with that code, under the status that goes
	// with it; with times=2 only so many submits of the same prompt.
	refuse string
	times  int
	// fail=moderation_blocked lets the job fail with that code at its end; of a stream, after
	// its first unfinished image, and with partials=0 at once.
	fail string
	// time=1m is how long the job takes. Negative = not ordered.
	time time.Duration
	// late=3s holds the submit's answer after the job was made.
	late time.Duration
	// drop=before cuts the submit's connection without any effect; drop=after once the job is
	// made, and will be paid for; drop=error makes it and answers 500; drop=half breaks an
	// image's answer off half way.
	drop string
	// word=warming_up is shown instead of in_progress.
	word string
	// gone lets a job's record vanish at its end, and lost only its file.
	gone, lost bool
	// silent lets a response end without an image.
	silent bool
	// partials=0 is how many unfinished images a stream brings, where fewer than it was asked for.
	// Negative = not ordered.
	partials int
	// busy=2 answers so many looks at the job with 503, cut=2 so many, after those, with half the
	// JSON; unready=1 so many downloads with a 404 that says that the file is not there yet, and
	// broken=1 lets so many, after those, break off half way.
	busy, cut, unready, broken int
}

var dropOrders = []string{"", "before", "after", "error", "half"}

// readOrders reads a submit's orders, and returns the prompt without them. Wrong ones are
// refused as an invalid parameter.
func readOrders(h http.Header, prompt string) (orders, string, error) {
	o := simulator.ReadOrders(h, prompt)
	out := orders{
		refuse: o["refuse"], times: o.Count("times"), fail: o["fail"], time: o.Duration("time", -1), late: o.Duration("late", 0), drop: o["drop"],
		word: o["word"], gone: o.Has("gone"), lost: o.Has("lost"), silent: o.Has("silent"), partials: -1,
		busy: o.Count("busy"), cut: o.Count("cut"), unready: o.Count("unready"), broken: o.Count("broken"),
	}
	if o.Has("partials") {
		out.partials = o.Count("partials")
	}
	err := o.Check("refuse", "times", "fail", "time", "late", "drop", "word", "gone", "lost", "silent", "partials", "busy", "cut", "unready", "broken")
	switch {
	case err != nil:
		return out, "", invalid("prompt", err.Error())
	case !slices.Contains(dropOrders, out.drop):
		return out, "", invalid("prompt", "order drop: before, after, error or half")
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

// admit refuses a submit that its account may not make, or that wants to be refused; and cuts
// its connection where that is ordered, before it has any effect.
func (s *Simulator) admit(a *account, model, prompt string, o orders) error {
	if slices.Contains(s.cfg.Retired, model) {
		return refuse("model_not_found", "model", "The model does not exist or you do not have access to it.")
	}
	if model == "" && s.cfg.Dialect == Vendor {
		return refuse("missing_required_parameter", "model", "Missing required parameter: 'model'.")
	}
	if a.Broke {
		return refuse("insufficient_quota", "", "You exceeded your current quota.")
	}
	if a.limit != nil && !a.limit.AllowN(s.clock.Now(), 1) {
		return refuse("rate_limit_exceeded", "", "Rate limit reached.")
	}
	if o.refuse != "" && s.again(prompt, o.times) {
		return refuse(o.refuse, "", "The request was refused, as asked.")
	}
	if o.drop == "before" {
		simulator.Abort()
	}
	return nil
}

// again tells whether a submit that wants to be refused a number of times still is; 0 = always.
func (s *Simulator) again(prompt string, times int) bool {
	if times == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[prompt]++
	return s.tries[prompt] <= times
}

// after does what was ordered for a submit once its job is made.
func (s *Simulator) after(r *http.Request, o orders) error {
	if simulator.Hold(r.Context(), s.clock, o.late) != nil || o.drop == "after" {
		simulator.Abort()
	}
	if o.drop == "error" {
		return refuse("server_error", "", "The server had an error while processing your request.")
	}
	return nil
}
