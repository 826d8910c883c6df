package ark

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Steering is what a prompt asks to go wrong, as "[sim key=value key …]" anywhere in it; the
// rest of the prompt is drawn. Unknown keys are ignored. A call that sends its prompt again
// is steered in the same way again.
type Steering struct {
	// Error refuses the submit with this code ("error=QuotaExceeded"), under the status that is
	// documented for it; Times bounds how many submits of this prompt it refuses ("times=2").
	Error string
	Times int
	// Fail lets the task fail with this code at its end ("fail=OutputVideoSensitiveContentDetected"),
	// and an image call fail for all its images.
	Fail string
	// Bad lets so many images of a call fail, the first ones ("bad=1").
	Bad int
	// Queue and Run replace the configured times ("queue=10s run=1m"); Run is an image call's too.
	Queue, Run *time.Duration
	// Late holds the answer to the submit once it is accepted ("late=3s").
	Late time.Duration
	// Drop cuts the submit's connection: "drop=before" without any effect, "drop=after" once
	// it is accepted and will be paid for.
	Drop string
	// Word is shown instead of "running" ("word=warming_up").
	Word string
	// Expire ends the task as expired when its time would have come ("expire").
	Expire bool
	// Gone lets the task's record vanish at its end ("gone").
	Gone bool
	// Callback spoils the callbacks: "callback=lost", "duplicate", "early" (the first comes
	// before the submit's answer), "reordered" (the end comes before the start), "forged" (one
	// claims an end that is not true).
	Callback string
	// Busy answers so many looks at the task with 503 ("busy=3"), and Cut so many with half an
	// answer ("cut=2").
	Busy, Cut int
	// Unlisted leaves the task out of lists ("unlisted"): they may lag.
	Unlisted bool
	// Broken lets so many downloads break off half way ("broken=1").
	Broken int
}

var steeringPattern = regexp.MustCompile(`\[sim\b([^\]]*)\]`)

// steer takes the steering out of a prompt.
func steer(prompt string) (Steering, string) {
	var s Steering
	for _, m := range steeringPattern.FindAllStringSubmatch(prompt, -1) {
		for _, word := range strings.Fields(m[1]) {
			key, value, _ := strings.Cut(word, "=")
			s.set(key, value)
		}
	}
	return s, strings.TrimSpace(steeringPattern.ReplaceAllString(prompt, ""))
}

func (s *Steering) set(key, value string) {
	number := func() int { n, _ := strconv.Atoi(value); return max(n, 0) }
	duration := func() *time.Duration {
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return nil
		}
		return &d
	}
	switch key {
	case "error":
		s.Error = value
	case "times":
		s.Times = number()
	case "fail":
		s.Fail = value
	case "bad":
		s.Bad = number()
	case "queue":
		s.Queue = duration()
	case "run":
		s.Run = duration()
	case "late":
		if d := duration(); d != nil {
			s.Late = *d
		}
	case "drop":
		s.Drop = value
	case "word":
		s.Word = value
	case "expire":
		s.Expire = true
	case "gone":
		s.Gone = true
	case "callback":
		s.Callback = value
	case "busy":
		s.Busy = number()
	case "cut":
		s.Cut = number()
	case "unlisted":
		s.Unlisted = true
	case "broken":
		s.Broken = number()
	}
}

// or is the steered time, or the usual one.
func or(steered *time.Duration, usual time.Duration) time.Duration {
	if steered != nil {
		return *steered
	}
	return usual
}
