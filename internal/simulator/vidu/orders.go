package vidu

import (
	"net/http"
	"slices"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own task.
type orders struct {
	// fail=REASON answers the submit with that error word; with times=2 only so many
	// submits of the same payload.
	fail  string
	times int
	// end=REASON lets the task fail at its end with that err_code.
	end string
	// time=2s is how long the task takes.
	time time.Duration // negative = not ordered
	// late=3s holds the submit's answer after the task was created.
	late time.Duration
	// drop=before cuts the submit's connection without any effect, drop=after once the task
	// is created; drop=error creates the task and answers 500.
	drop string
	// callback=… spoils the callbacks: lost sends none, duplicate each twice, early one
	// before the submit is answered, reordered the start after the end, unsigned without
	// signature, stale with a Date of an hour ago, forged another one signed with a wrong
	// key, liar another one, well signed, whose body names somebody else's task.
	callback string
	// word=warming_up is shown instead of processing.
	word string
	// faults=2 answers so many looks at the task with 500, broken=2 with half the JSON.
	faults, broken int
	// gone lets the task's record vanish at its end.
	gone bool
	// unlisted keeps the task out of lists.
	unlisted bool
	// never keeps an off-peak task waiting until Vidu cancels it by itself.
	never bool
	// forbid=2 answers so many downloads with 403.
	forbid int
}

var callbackOrders = []string{"lost", "duplicate", "early", "reordered", "unsigned", "stale", "forged", "liar"}

// readOrders reads a submit's orders; wrong ones are refused as bad requests, with the
// reason in the message.
func readOrders(h http.Header, texts ...string) (orders, *failure) {
	o := simulator.ReadOrders(h, texts...)
	out := orders{
		fail: o["fail"], times: o.Count("times"), end: o["end"], time: o.Duration("time", -1), late: o.Duration("late", 0),
		drop: o["drop"], callback: o["callback"], word: o["word"], faults: o.Count("faults"), broken: o.Count("broken"),
		gone: o.Has("gone"), unlisted: o.Has("unlisted"), never: o.Has("never"), forbid: o.Count("forbid"),
	}
	err := o.Check("fail", "times", "end", "time", "late", "drop", "callback", "word", "faults", "broken", "gone", "unlisted", "never", "forbid")
	switch {
	case err != nil:
		return out, problem("BadRequest", err.Error())
	case out.fail != "" && statuses[out.fail] == 0:
		return out, problem("BadRequest", "order fail: no such error word")
	case out.drop != "" && out.drop != "before" && out.drop != "after" && out.drop != "error":
		return out, problem("BadRequest", "order drop: before, after or error")
	case out.callback != "" && !slices.Contains(callbackOrders, out.callback):
		return out, problem("BadRequest", "order callback: not known")
	}
	return out, nil
}
