package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// MaxDelay is the longest duration that an option may name.
const MaxDelay = 48 * time.Hour

// Options are a job's own misfortunes, and how long it takes. Callers of the
// gateway send them as input.metadata.sandbox.
type Options struct {
	// Delay is how long the generation takes; absent = the server's default.
	Delay *Duration `json:"delay,omitempty"`
	// Fail is a class word. Most refuse the submit; "generation" fails the job at
	// its end; "gone" lets the job's record vanish at its end; "outcome_unknown"
	// accepts the job and answers 500.
	Fail string `json:"fail,omitempty"`
	// FailTimes is how many submits with the same client_ref Fail refuses before
	// one passes; 0 = all.
	FailTimes int `json:"fail_times,omitempty"`
	// RetryAfter goes with a refusal of Fail "rate" or "unavailable"; rounded up to
	// seconds; absent = 1 s for "rate", no such header for "unavailable".
	RetryAfter *Duration `json:"retry_after,omitempty"`
	// Moderation is "input", which refuses the submit, or "output", which fails the
	// job at its end.
	Moderation string `json:"moderation,omitempty"`
	// LateAnswer holds the answer to the submit after the job was accepted.
	LateAnswer Duration `json:"late_answer,omitempty"`
	// Drop cuts the submit's connection: "before_accept" without any effect,
	// "after_accept" once the job is accepted.
	Drop string `json:"drop,omitempty"`
	// Callback spoils the callbacks: "lost" sends none; "duplicate" sends each
	// twice; "early" sends one before the submit is answered; "reordered" sends the
	// end before the start; "forged" also sends one with a wrong signature that
	// claims an end which is not true.
	Callback string `json:"callback,omitempty"`
	// StatusWord is shown instead of "running".
	StatusWord string `json:"status_word,omitempty"`
	// Status5xx is how many looks at the job are answered 503.
	Status5xx int `json:"status_5xx,omitempty"`
	// SlowDownload stretches each download over this time.
	SlowDownload Duration `json:"slow_download,omitempty"`
	// TruncateDownload is how many downloads break off half way.
	TruncateDownload Times `json:"truncate_download,omitempty"`
	// Output404 is how many downloads are answered 404.
	Output404 Times `json:"output_404,omitempty"`
	// Image asks an image model for a poor picture: "blank", "small" (an eighth of the
	// size), "identical" to the first reference, or "unrelated" to it.
	Image string `json:"image,omitempty"`
	// ImageTimes is how many jobs with the same prompt Image spoils before the others
	// are as they should be; 0 = all.
	ImageTimes int `json:"image_times,omitempty"`
}

// optionError is an option that cannot be read.
type optionError struct {
	name string
	err  error
}

func (e *optionError) Error() string { return "options." + e.name + ": " + e.err.Error() }

var (
	errUnknown = errors.New("there is no such option")
	errType    = errors.New("the value has the wrong type")
)

// UnmarshalJSON names the option that is wrong, which encoding/json does not for values that read themselves.
func (o *Options) UnmarshalJSON(b []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil {
		return &optionError{"", errType}
	}
	fields := map[string]any{
		"delay": &o.Delay, "fail": &o.Fail, "fail_times": &o.FailTimes, "retry_after": &o.RetryAfter, "moderation": &o.Moderation,
		"late_answer": &o.LateAnswer, "drop": &o.Drop, "callback": &o.Callback, "status_word": &o.StatusWord, "status_5xx": &o.Status5xx,
		"slow_download": &o.SlowDownload, "truncate_download": &o.TruncateDownload, "output_404": &o.Output404,
		"image": &o.Image, "image_times": &o.ImageTimes,
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		field, ok := fields[name]
		if !ok {
			return &optionError{name, errUnknown}
		}
		switch err := json.Unmarshal(given[name], field); {
		case err == nil:
		case errors.Is(err, errDuration), errors.Is(err, errTimes):
			return &optionError{name, err}
		default:
			return &optionError{name, errType}
		}
	}
	return nil
}

func imageOrders() (words []string) {
	for _, o := range render.Orders() {
		words = append(words, string(o))
	}
	return words
}

// refusal is what Fail makes of a submit.
type refusal struct {
	status  int
	message string
}

// refusedAtSubmit are the values of Fail that create nothing.
var refusedAtSubmit = map[string]refusal{
	"invalid":     {http.StatusBadRequest, "a parameter was refused, as asked"},
	"moderation":  {http.StatusBadRequest, "the content was refused, as asked"},
	"credential":  {http.StatusUnauthorized, "the key was refused, as asked"},
	"balance":     {http.StatusPaymentRequired, "the balance is used up, as asked"},
	"permission":  {http.StatusForbidden, "the key may not do this, as asked"},
	"model_gone":  {http.StatusNotFound, "the model is retired, as asked"},
	"rate":        {http.StatusTooManyRequests, "there are too many requests, as asked"},
	"unavailable": {http.StatusServiceUnavailable, "the sandbox is overloaded, as asked"},
}

// failedLater are the values of Fail that accept the job.
var failedLater = []string{"generation", "gone", "outcome_unknown"}

func (o *Options) validate() *Problem {
	if _, ok := refusedAtSubmit[o.Fail]; !ok && o.Fail != "" && !slices.Contains(failedLater, o.Fail) {
		return invalid("options.fail", "fail is not a class that the sandbox can fail with")
	}
	for _, word := range []struct {
		param, value string
		allowed      []string
	}{
		{"moderation", o.Moderation, []string{"input", "output"}},
		{"drop", o.Drop, []string{"before_accept", "after_accept"}},
		{"callback", o.Callback, []string{"lost", "duplicate", "early", "reordered", "forged"}},
		{"image", o.Image, imageOrders()},
	} {
		if word.value != "" && !slices.Contains(word.allowed, word.value) {
			return invalid("options."+word.param, word.param+" must be one of "+strings.Join(word.allowed, ", "))
		}
	}
	for name, n := range map[string]int{"fail_times": o.FailTimes, "status_5xx": o.Status5xx, "image_times": o.ImageTimes} {
		if n < 0 {
			return invalid("options."+name, "a number of times must not be negative")
		}
	}
	if len(o.StatusWord) > 64 {
		return invalid("options.status_word", "status_word must be at most 64 bytes")
	}
	return nil
}

// Duration reads a JSON number as seconds ("1.5" too, as a string), and a string
// with units as time.ParseDuration does; 0 up to MaxDelay.
type Duration time.Duration

var errDuration = fmt.Errorf("a duration must be seconds, or a string such as \"1.5s\", from 0 up to %v", MaxDelay)

func (d *Duration) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return errDuration
		}
	}
	got, err := time.ParseDuration(text)
	if seconds, numErr := strconv.ParseFloat(text, 64); numErr == nil {
		// The comparison is false for NaN, which leaves the -1.
		got, err = -1, nil
		if seconds >= 0 && seconds <= MaxDelay.Seconds() {
			got = time.Duration(seconds * float64(time.Second))
		}
	}
	if err != nil || got < 0 || got > MaxDelay {
		return errDuration
	}
	*d = Duration(got)
	return nil
}

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Times reads a count from JSON; true means always, false never.
type Times int

// always is what true becomes.
const always Times = -1

var errTimes = errors.New("a number of times must be true, false or a whole number from 0")

func (t *Times) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null":
		return nil
	case "true":
		*t = always
		return nil
	case "false":
		*t = 0
		return nil
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 0 {
		return errTimes
	}
	*t = Times(n)
	return nil
}

func (t Times) MarshalJSON() ([]byte, error) {
	if t == always {
		return []byte("true"), nil
	}
	return strconv.AppendInt(nil, int64(t), 10), nil
}

// hits says whether the n-th event, counted from 1, is among the times.
func (t Times) hits(n int) bool { return t == always || n <= int(t) }
