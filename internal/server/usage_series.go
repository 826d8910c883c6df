package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora"
)

type usageSeries struct {
	From   *string          `json:"from"`
	To     *string          `json:"to"` // not included
	Step   kinora.UsageStep `json:"step"`
	By     kinora.UsageBy   `json:"by"`
	Points []usagePoint     `json:"points"`
}

type usagePoint struct {
	At        *string      `json:"at"`
	Name      string       `json:"name"` // "" = no workflow
	Succeeded int64        `json:"succeeded"`
	Failed    int64        `json:"failed"`
	Outputs   int64        `json:"outputs"`
	Amount    kinora.Money `json:"amount_usd"`
}

// usageOverTime tells what ended in each day or hour, by model or workflow.
func (s *Server) usageOverTime(ctx context.Context, x *exchange, r *http.Request) error {
	return s.answerSeries(ctx, x, r, x.organisation.ID)
}

func (s *Server) adminUsageOverTime(ctx context.Context, x *exchange, r *http.Request) error {
	o, err := s.cfg.Admin.Organisation(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	return s.answerSeries(ctx, x, r, o.ID)
}

func (s *Server) answerSeries(ctx context.Context, x *exchange, r *http.Request, organisationID string) error {
	q, err := seriesQuestion(r.URL.Query(), s.now())
	if err != nil {
		return err
	}
	list, err := s.cfg.Usage.UsageSeries(ctx, organisationID, q)
	if err != nil {
		return err
	}
	if wantsCSV(r.Header) {
		return writeSeriesCSV(x, q, list)
	}
	answer := usageSeries{From: apiTime(q.From), To: apiTime(q.To), Step: q.Step, By: q.By, Points: make([]usagePoint, len(list))}
	for i, p := range list {
		answer.Points[i] = usagePoint{apiTime(p.At), p.Name, p.Succeeded, p.Failed, p.Outputs, p.Amount}
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func seriesQuestion(values url.Values, now time.Time) (kinora.UsageQuestion, error) {
	q := kinora.UsageQuestion{Step: kinora.UsageStep(values.Get("step")), By: kinora.UsageBy(values.Get("by"))}
	var err error
	if q.From, err = timeParameter(values, "from"); err != nil {
		return q, err
	}
	if q.To, err = timeParameter(values, "to"); err != nil {
		return q, err
	}
	return q.Settle(now)
}

// timeParameter reads a time, or a day of UTC, which means its beginning; zero = it is absent.
func timeParameter(values url.Values, name string) (time.Time, error) {
	text := values.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 1970 {
			return at, nil
		}
	}
	return time.Time{}, refuse(kinora.ErrInvalid, "%s must be a time such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31", name)
}

func writeSeriesCSV(x *exchange, q kinora.UsageQuestion, list []kinora.UsagePoint) error {
	t := beginCSV(x, "usage.csv", "at", string(q.By), "succeeded", "failed", "outputs", "amount_usd")
	for _, p := range list {
		t.row(p.At.UTC().Format(time.RFC3339), p.Name, strconv.FormatInt(p.Succeeded, 10), strconv.FormatInt(p.Failed, 10), strconv.FormatInt(p.Outputs, 10), p.Amount.String())
	}
	return t.end()
}
