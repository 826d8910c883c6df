package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

const (
	dayMicros = int64(24 * time.Hour / time.Microsecond)
	// stripesFor is how long after an hour its stripes stay: no end is written into it any more then, so that
	// nobody waits for the fold.
	stripesFor = 2 * time.Hour
)

// addUsageHour adds an end to the sums of its hour.
func (tx *Tx) addUsageHour(g *kinora.Generation, s usageSums, stripe int) error {
	workflow := ""
	if g.Request != nil {
		workflow = g.Request.Workflow
	}
	return tx.addHour(usageHour{organisation: g.OrganisationID, hour: Micros(g.CompletedAt.Truncate(time.Hour)), model: g.Model, workflow: workflow,
		stripe: stripe, succeeded: s.succeeded, failed: s.failed, outputs: s.outputs, amount: s.amount})
}

// usageHour is a row of usage_hours.
type usageHour struct {
	organisation, model, workflow      string
	hour                               int64 // Micros
	stripe                             int
	succeeded, failed, outputs, amount int64
}

func (tx *Tx) addHour(h usageHour) error {
	_, err := tx.Exec(`INSERT INTO usage_hours (organisation_id, hour, model, workflow, stripe, succeeded, failed, outputs, amount_micros) VALUES (?,?,?,?,?,?,?,?,?)
		ON CONFLICT (organisation_id, hour, model, workflow, stripe) DO UPDATE SET
			succeeded = usage_hours.succeeded + excluded.succeeded,
			failed = usage_hours.failed + excluded.failed,
			outputs = usage_hours.outputs + excluded.outputs,
			amount_micros = usage_hours.amount_micros + excluded.amount_micros`,
		h.organisation, h.hour, h.model, h.workflow, h.stripe, h.succeeded, h.failed, h.outputs, h.amount)
	return err
}

// FoldUsage gives hours that are over one row instead of several, and days that are longer ago than hours are told apart
// one instead of those of their hours. It folds at most limit rows of each kind, and returns how many of the fuller kind.
func (tx *Tx) FoldUsage(now time.Time, limit int) (int64, error) {
	var most int64
	for _, fold := range []struct {
		which string
		until time.Time
		to    func(hour int64) int64
	}{
		{`stripe > 0`, now.Add(-stripesFor), func(hour int64) int64 { return hour }},
		{`hour % 86400000000 > 0`, now.Add(-kinora.KeepUsageHours).Truncate(24 * time.Hour).Add(-24 * time.Hour), func(hour int64) int64 { return hour / dayMicros * dayMicros }},
	} {
		var rows []usageHour
		err := tx.Query(`DELETE FROM usage_hours WHERE (organisation_id, hour, model, workflow, stripe) IN (
				SELECT organisation_id, hour, model, workflow, stripe FROM usage_hours WHERE `+fold.which+` AND hour < ? ORDER BY hour LIMIT ?)
			RETURNING organisation_id, hour, model, workflow, succeeded, failed, outputs, amount_micros`, []any{Micros(fold.until), limit}, func(row Row) error {
			var h usageHour
			err := row.Scan(&h.organisation, &h.hour, &h.model, &h.workflow, &h.succeeded, &h.failed, &h.outputs, &h.amount)
			h.hour = fold.to(h.hour)
			rows = append(rows, h)
			return err
		})
		if err != nil {
			return 0, err
		}
		for _, h := range rows {
			if err := tx.addHour(h); err != nil {
				return 0, err
			}
		}
		most = max(most, int64(len(rows)))
	}
	return most, nil
}

// UsageSeries reads what a settled question asks, in the order of time and name. It costs what the sums of that time
// are, never what has ended in it.
func (tx *Tx) UsageSeries(organisation string, q kinora.UsageQuestion) ([]kinora.UsagePoint, error) {
	var list []kinora.UsagePoint
	err := tx.Query(usageSeriesQuery(q), []any{organisation, Micros(q.From), Micros(q.To)}, func(row Row) error {
		var (
			p          kinora.UsagePoint
			at, amount int64
		)
		err := row.Scan(&at, &p.Name, &p.Succeeded, &p.Failed, &p.Outputs, &amount)
		p.At, p.Amount = Time(at), kinora.Money(amount)
		list = append(list, p)
		return err
	})
	slices.SortFunc(list, func(a, b kinora.UsagePoint) int { // not by the database's collation
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Name, b.Name))
	})
	return list, err
}

func usageSeriesQuery(q kinora.UsageQuestion) string {
	at, name := `hour`, `model`
	if q.Step == kinora.UsageByDay {
		at = `hour / 86400000000 * 86400000000`
	}
	if q.By == kinora.UsageByWorkflow {
		name = `workflow`
	}
	return `SELECT ` + at + `, ` + name + `, CAST(sum(succeeded) AS BIGINT), CAST(sum(failed) AS BIGINT), CAST(sum(outputs) AS BIGINT), CAST(sum(amount_micros) AS BIGINT)
		FROM usage_hours WHERE organisation_id = ? AND hour >= ? AND hour < ? GROUP BY 1, 2`
}
