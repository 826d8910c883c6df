package dashboard

import (
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// quality is what the gate found, and what people decided.
type quality struct {
	Candidates []candidate // those that were judged, and for operators those that were not published too
	Reviews    []review
	Inside     bool // with what was measured
}

// candidate is a file that was made, with the verdict on it.
type candidate struct {
	Output  output
	Attempt int     // 1 = the first
	Score   string  // empty = not judged
	Words   string  // what came of it
	Checks  []check // for operators
}

type check struct {
	Name   string
	Passed bool
	Words  string // what was measured
	Detail string
}

// review is a time that the generation was held.
type review struct {
	State     kinora.ReviewState
	Round     int // 1 = the first
	By        string
	Reason    string
	CreatedAt time.Time
	DecidedAt time.Time
}

func (v *visit) quality(h *kinora.History) quality {
	q := quality{Inside: v.insider()}
	for i := range h.Outputs {
		o := &h.Outputs[i]
		if o.Verdict == nil && (o.State == kinora.OutputPublished || !q.Inside) {
			continue
		}
		c := candidate{Output: v.output(h.Generation, o, nil), Attempt: o.Attempt + 1, Words: "not judged"}
		if o.Verdict != nil {
			c.Score, c.Words = number(o.Verdict.Score), verdictWords(o.Verdict)
			for _, k := range o.Verdict.Checks {
				if q.Inside {
					c.Checks = append(c.Checks, check{Name: k.Name, Passed: k.Passed, Words: checkWords(k), Detail: k.Detail})
				}
			}
		}
		q.Candidates = append(q.Candidates, c)
	}
	for _, r := range h.Reviews {
		one := review{State: r.State, Round: r.Round + 1, CreatedAt: r.CreatedAt, DecidedAt: r.DecidedAt}
		if v.role.Covers(kinora.RoleAdmin) { // who may decide may know who has
			one.By, one.Reason = r.DecidedBy, r.Reason
		}
		q.Reviews = append(q.Reviews, one)
	}
	return q
}

// verdictWords names the checks that were not passed.
func verdictWords(d *kinora.Verdict) string {
	var failed []string
	for _, k := range d.Checks {
		if !k.Passed {
			failed = append(failed, k.Name)
		}
	}
	switch {
	case d.Passed:
		return count(len(d.Checks), "check") + " passed"
	case len(failed) == 0:
		return "not passed"
	}
	return "failed " + strings.Join(failed, ", ")
}

// checkWords tells what a check has measured, where it measures.
func checkWords(k kinora.Check) string {
	words := "passed"
	if !k.Passed {
		words = "failed"
	}
	if k.Value != 0 || k.Limit != 0 {
		words += ", " + number(k.Value)
	}
	if k.Limit != 0 {
		words += " against " + number(k.Limit)
	}
	return words
}

// number is a measurement with as many digits as say something.
func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }

// outputTone is how the state of a candidate looks.
func outputTone(s kinora.OutputState) ui.Tone {
	switch s {
	case kinora.OutputPublished:
		return ui.Good
	case kinora.OutputRejected:
		return ui.Danger
	}
	return ui.Neutral
}

func reviewTone(s kinora.ReviewState) ui.Tone {
	switch s {
	case kinora.ReviewApproved:
		return ui.Good
	case kinora.ReviewRejected:
		return ui.Danger
	case kinora.ReviewPending:
		return ui.Warning
	}
	return ui.Neutral
}
