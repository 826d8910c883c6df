package lifecycle

import (
	"cmp"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// decision is what becomes of a generation none of whose attempts is live any more. Exactly
// one of failure, hold, again and published says so.
type decision struct {
	failure   *kinora.Failure // it fails
	hold      bool            // what has passed waits for a review
	again     bool            // its parts are made anew
	published []kinora.Output // it succeeds with these, in this order
}

// decide looks at the attempts of a generation's last round and at their outputs; earlier
// rounds may be among them. repeatable says that another round could be made at all.
func decide(g *kinora.Generation, attempts []*kinora.Attempt, outputs []kinora.Output, repeatable bool) decision {
	attempts, outputs = lastRound(attempts, outputs)
	passed := eligible(g.Plan, attempts, outputs)
	switch {
	case len(passed) > 0 && g.Plan.Review:
		return decision{hold: true}
	case len(passed) > 0:
		return decision{published: published(g.Plan, passed)}
	case len(outputs) == 0:
		return decision{failure: mostTelling(lastOfParts(attempts))}
	case repeatable && mayRepeat(g, attempts, g.DeadlineAt):
		return decision{again: true}
	}
	return decision{failure: qualityRejected()}
}

// lastRound leaves out what earlier rounds made: all of that was rejected.
func lastRound(attempts []*kinora.Attempt, outputs []kinora.Output) ([]*kinora.Attempt, []kinora.Output) {
	round := 0
	for _, a := range attempts {
		round = max(round, a.Round)
	}
	of := map[int]bool{}
	attempts = slices.DeleteFunc(slices.Clone(attempts), func(a *kinora.Attempt) bool { return a.Round != round })
	for _, a := range attempts {
		of[a.Ordinal] = true
	}
	return attempts, slices.DeleteFunc(slices.Clone(outputs), func(o kinora.Output) bool { return !of[o.Attempt] })
}

func qualityRejected() *kinora.Failure {
	return kinora.NewFailure(kinora.FailureQualityRejected, "no output passed the quality checks")
}

// eligible are the outputs that may be published, the best first: by score where there is a
// gate, else in the order in which they were asked for.
func eligible(plan kinora.Plan, attempts []*kinora.Attempt, outputs []kinora.Output) []kinora.Output {
	part := make(map[int]int, len(attempts))
	for _, a := range attempts {
		part[a.Ordinal] = a.Part
	}
	var list []kinora.Output
	for _, o := range outputs {
		if o.State == kinora.OutputCandidate && o.RemovedAt.IsZero() {
			list = append(list, o)
		}
	}
	slices.SortStableFunc(list, func(a, b kinora.Output) int {
		if plan.Gate != nil && a.Verdict != nil && b.Verdict != nil && a.Verdict.Score != b.Verdict.Score {
			return cmp.Compare(b.Verdict.Score, a.Verdict.Score)
		}
		return cmp.Or(cmp.Compare(part[a.Attempt], part[b.Attempt]), cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Place, b.Place))
	})
	return list
}

// published numbers what callers get.
func published(plan kinora.Plan, list []kinora.Output) []kinora.Output {
	if plan.Publish > 0 && len(list) > plan.Publish {
		list = list[:plan.Publish]
	}
	for i := range list {
		list[i].State, list[i].Ordinal = kinora.OutputPublished, i
	}
	return list
}

// lastOfParts are the attempts that none came after within their part.
func lastOfParts(attempts []*kinora.Attempt) []*kinora.Attempt {
	last := map[int]*kinora.Attempt{}
	for _, a := range attempts {
		if b := last[a.Part]; b == nil || b.Ordinal < a.Ordinal {
			last[a.Part] = a
		}
	}
	list := make([]*kinora.Attempt, 0, len(last))
	for _, a := range last {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *kinora.Attempt) int { return cmp.Compare(a.Part, b.Part) })
	return list
}

// mayRepeat tells whether the parts of a round may be made anew: the plan allows another round, what is
// left until the deadline is as long as the last round took, and no attempt of it may have
// been taken upstream unseen, for that call would be repeated blindly, or have been given up by a person.
func mayRepeat(g *kinora.Generation, attempts []*kinora.Attempt, deadline time.Time) bool {
	var began, ended time.Time
	for _, a := range attempts {
		// A deadline ends an attempt without an upstream's error.
		unknown := a.ErrorClass == string(provider.OutcomeUnknown) || a.Failure != nil && a.Failure.Code == kinora.FailureOutcomeUnknown
		if a.Round+1 >= g.Plan.Rounds || unknown || a.ErrorCode == givenUp {
			return false
		}
		if began.IsZero() || a.CreatedAt.Before(began) {
			began = a.CreatedAt
		}
		if a.FinishedAt.After(ended) {
			ended = a.FinishedAt
		}
	}
	return !ended.Add(ended.Sub(began)).After(deadline)
}

// telling orders the reasons for which parts fail, the one that tells a caller most first:
// what sending the same again cannot mend, then what may have cost money unseen, then what
// may be tried again.
var telling = []kinora.FailureCode{
	kinora.FailureContentRejected, kinora.FailureInvalidRequest, kinora.FailureOutcomeUnknown,
	kinora.FailureModelUnavailable, kinora.FailureTimeout, kinora.FailureUpstream,
}

// mostTelling is the failure that stands for those of all parts; the first one's among equals.
func mostTelling(attempts []*kinora.Attempt) *kinora.Failure {
	rank := func(f *kinora.Failure) int {
		if i := slices.Index(telling, f.Code); i >= 0 {
			return i
		}
		return len(telling)
	}
	var worst *kinora.Failure
	for _, a := range attempts {
		if a.Failure != nil && (worst == nil || rank(a.Failure) < rank(worst)) {
			worst = a.Failure
		}
	}
	if worst == nil {
		worst = kinora.NewFailure(kinora.FailureInternal, "the generation came to no result")
	}
	return worst
}
