package kling

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own task.
type orders struct {
	// fail=1303 answers the submit with that code; with times=2 only so many submits of the
	// same reference, and with status=200 under that HTTP status.
	fail, times, status int
	// end=risk lets the task fail at its end for its content, end=fault for a technical reason.
	end string
	// time=2s is how long the task takes.
	time time.Duration // negative = not ordered
	// late=3s holds the submit's answer after the task was created.
	late time.Duration
	// drop=before cuts the submit's connection without any effect, drop=after once the task
	// is created.
	drop string
	// callback=… spoils the callbacks: lost sends none, duplicate each twice, early one
	// before the submit is answered, reordered the end first, unsigned without signature,
	// stale with a timestamp of an hour ago, forged another one signed with a wrong secret
	// that claims a success, liar another one, well signed, about somebody else's task.
	callback string
	// word=warming_up is shown instead of processing.
	word string
	// faults=2 answers so many looks at the task with 5000, broken=2 with half the JSON.
	faults, broken int
	// gone lets the task's record vanish at its end.
	gone bool
	// hidden=2 keeps the task out of so many look-ups by reference, as if it were not there yet.
	hidden int
	// forbid=2 answers so many downloads with 403.
	forbid int
}

var (
	callbackOrders = []string{"", "lost", "duplicate", "early", "reordered", "unsigned", "stale", "forged", "liar"}
	dropOrders     = []string{"", "before", "after"}
	endOrders      = []string{"", "risk", "fault"}
)

// readOrders reads a submit's orders; wrong ones are refused as illegal values, with the
// reason in the message.
func readOrders(h http.Header, texts ...string) (orders, *failure) {
	o := simulator.ReadOrders(h, texts...)
	out := orders{
		times: o.Count("times"), status: o.Count("status"), end: o["end"], time: o.Duration("time", -1), late: o.Duration("late", 0),
		drop: o["drop"], callback: o["callback"], word: o["word"], faults: o.Count("faults"), broken: o.Count("broken"),
		gone: o.Has("gone"), hidden: o.Count("hidden"), forbid: o.Count("forbid"),
	}
	err := o.Check("fail", "times", "status", "end", "time", "late", "drop", "callback", "word", "faults", "broken", "gone", "hidden", "forbid")
	code, notNumber := strconv.Atoi(o["fail"])
	switch {
	case err != nil:
		return out, problem(1201, err.Error())
	case o.Has("fail") && (notNumber != nil || statuses[code] == 0):
		return out, problem(1201, "order fail: no such error code")
	case !slices.Contains(dropOrders, out.drop):
		return out, problem(1201, "order drop: before or after")
	case !slices.Contains(endOrders, out.end):
		return out, problem(1201, "order end: risk or fault")
	case !slices.Contains(callbackOrders, out.callback):
		return out, problem(1201, "order callback: not known")
	}
	out.fail = code
	return out, nil
}
