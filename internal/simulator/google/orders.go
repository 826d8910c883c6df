package google

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own job.
type orders struct {
	// fail=WORD answers the submit with that google.rpc word; with times=2 only so many submits of
	// the same prompt. array wraps the error as the front end does.
	fail  string
	times int
	array bool
	// end=… is how the job ends: for Veo a google.rpc number, or filtered, or empty; for Omni a
	// status such as failed, or refused (text only), or billed (tokens and no video); for an image
	// a finish reason. block=REASON blocks an image's prompt.
	end, block string
	// time=2s is how long the job takes, processing=2s how long its file is not ready after that.
	time, processing time.Duration // negative = not ordered
	// late=3s holds the submit's answer after the job was created.
	late time.Duration
	// drop=before cuts the submit's connection without any effect, drop=after once the job is
	// created; drop=error creates the job and answers 500.
	drop string
	// callback=… spoils the webhook: lost, duplicate, early (before the submit is answered),
	// unsigned, stale, forged (a wrong key), audience (another one), liar (about a job that
	// does not exist). callback=refused answers a submit with a webhook that it cannot be reached.
	callback string
	// faults=2 answers so many looks with 500, broken=2 with half the JSON, bare=2 with a bare 400.
	faults, broken, bare int
	// word=warming_up is shown instead of in_progress.
	word string
	// gone lets the job's record vanish at its end, inline puts the video into the answer,
	// redirect moves its file to another address, thought adds an interim image.
	gone, inline, redirect, thought bool
	// forbid=2 answers so many downloads with 503.
	forbid int
}

var callbackOrders = []string{"lost", "duplicate", "early", "unsigned", "stale", "forged", "audience", "liar", "refused"}

// readOrders reads a submit's orders; wrong ones are refused with the reason in the message.
func readOrders(h http.Header, prompt string) (orders, *failure) {
	o := simulator.ReadOrders(h, prompt)
	out := orders{
		fail: o["fail"], times: o.Count("times"), array: o.Has("array"), end: o["end"], block: o["block"], time: o.Duration("time", -1),
		processing: o.Duration("processing", -1), late: o.Duration("late", 0), drop: o["drop"], callback: o["callback"], word: o["word"],
		faults: o.Count("faults"), broken: o.Count("broken"), bare: o.Count("bare"), gone: o.Has("gone"), inline: o.Has("inline"),
		redirect: o.Has("redirect"), thought: o.Has("thought"), forbid: o.Count("forbid"),
	}
	err := o.Check("fail", "times", "array", "end", "block", "time", "processing", "late", "drop", "callback", "word", "faults", "broken", "bare",
		"gone", "inline", "redirect", "thought", "forbid")
	switch {
	case err != nil:
		return out, problem("INVALID_ARGUMENT", "%s", err.Error())
	case out.fail != "" && statuses[out.fail][0] == 0:
		return out, problem("INVALID_ARGUMENT", "order fail: no such word of google.rpc")
	case out.drop != "" && out.drop != "before" && out.drop != "after" && out.drop != "error":
		return out, problem("INVALID_ARGUMENT", "order drop: before, after or error")
	case out.callback != "" && !slices.Contains(callbackOrders, out.callback):
		return out, problem("INVALID_ARGUMENT", "order callback: not known")
	}
	return out, nil
}

// rpcEnd is the google.rpc number that a job is to end with; 0 = none.
func (o orders) rpcEnd() int {
	n, err := strconv.Atoi(o.end)
	if err != nil {
		return 0
	}
	return n
}
