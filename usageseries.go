package kinora

import "time"

// UsageStep is how finely usage over time is summed up.
type UsageStep string

const (
	UsageByDay  UsageStep = "day"  // of UTC
	UsageByHour UsageStep = "hour" // for the last days, see KeepUsageHours
)

// UsageBy is what usage over time is told apart by.
type UsageBy string

const (
	UsageByModel    UsageBy = "model"
	UsageByWorkflow UsageBy = "workflow" // "" stands for what no workflow made
)

// Bounds of usage over time.
const (
	MaxUsageDays  = 400    // of one series by day
	MaxUsageHours = 7 * 24 // of one by hour
	// KeepUsageHours is how long hours are told apart; after that there are days.
	KeepUsageHours = 31 * 24 * time.Hour
)

// UsageQuestion asks for usage over time: of the ends from From on and before To.
type UsageQuestion struct {
	From, To time.Time
	Step     UsageStep
	By       UsageBy
}

// Settle returns the question as it is answered: with what is left out filled in and its bounds on whole steps. Left out are a
// To of now, a From 30 days or 24 hours before, and days by model. Errors: ErrInvalid.
func (q UsageQuestion) Settle(now time.Time) (UsageQuestion, error) {
	if q.Step == "" {
		q.Step = UsageByDay
	}
	if q.By == "" {
		q.By = UsageByModel
	}
	if q.By != UsageByModel && q.By != UsageByWorkflow {
		return q, Errorf(ErrInvalid, "by must be model or workflow")
	}
	length, usual, most := 24*time.Hour, 30, MaxUsageDays
	switch q.Step {
	case UsageByDay:
	case UsageByHour:
		length, usual, most = time.Hour, 24, MaxUsageHours
	default:
		return q, Errorf(ErrInvalid, "step must be day or hour")
	}
	if q.To.IsZero() {
		q.To = now
	}
	if end := q.To.UTC().Truncate(length); end.Before(q.To) {
		q.To = end.Add(length)
	} else {
		q.To = end
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Duration(usual) * length)
	}
	q.From = q.From.UTC().Truncate(length)
	switch {
	case !q.From.Before(q.To):
		return q, Errorf(ErrInvalid, "from must lie before to")
	case q.To.Sub(q.From) > time.Duration(most)*length:
		return q, Errorf(ErrInvalid, "from and to must lie at most %d %ss apart", most, q.Step)
	case q.Step == UsageByHour && q.From.Before(now.Add(-KeepUsageHours)):
		return q, Errorf(ErrInvalid, "from lies more than %d days ago, where there are days and no hours; ask with step=day", KeepUsageHours/(24*time.Hour))
	}
	return q, nil
}

// UsagePoint is what ended in one step. Steps in which nothing ended have none.
type UsagePoint struct {
	At        time.Time // beginning of the step, UTC
	Name      string    // of the model or workflow
	Succeeded int64
	Failed    int64 // cancelled ones too
	Outputs   int64 // published
	Amount    Money // the ledger's sum
}
