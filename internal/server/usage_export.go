package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

const (
	// exportPage is how many entries of the ledger are read at once.
	exportPage = 500
	// maxExport is how long a span of the ledger may be that is exported in one answer.
	maxExport = kinora.MaxUsageDays * 24 * time.Hour
)

// exportLedger writes a span of an organisation's ledger as CSV, the newest entry first: the present month where from and to are
// left out. It holds a place among the transfers, for it lasts as long as the client takes. Where the database fails on the way it
// breaks the connection off, so that nobody takes a part for the whole.
func (s *Server) exportLedger(ctx context.Context, x *exchange, r *http.Request, organisationID string) error {
	from, to, err := ledgerSpan(r.URL.Query(), s.now())
	if err != nil {
		return err
	}
	if x.route.auth == keyed {
		place := place{gate: s.transfers, owner: organisationID}
		if err := place.take(); err != nil {
			return err
		}
		defer place.give()
		x.place.give()
	}
	var t *csvAnswer
	before := id.Least(id.Usage, to)
	for {
		page, err := s.ledgerRead(ctx, organisationID, before)
		switch {
		case err != nil && t == nil:
			return err
		case err != nil:
			panic(http.ErrAbortHandler)
		case t == nil:
			t = beginCSV(x, "ledger.csv", "created_at", "event_id", "job_id", "source_asset_id", "usage_type", "model", "outputs", "config_fingerprint",
				"billable", "unit_price_usd", "amount_usd")
		}
		for _, e := range page {
			if e.CreatedAt.Before(from.Add(-time.Second)) { // ids sort by time, but not within a millisecond
				return t.end()
			}
			if !e.CreatedAt.Before(from) && e.CreatedAt.Before(to) {
				t.row(e.CreatedAt.UTC().Format(time.RFC3339), e.ID, e.GenerationID, e.SourceAssetID, string(e.Type), e.Model, strconv.Itoa(e.Outputs), e.Fingerprint,
					strconv.FormatBool(e.Billable), e.UnitPrice.String(), e.Amount.String())
			}
		}
		if len(page) < exportPage || t.flush() != nil {
			return t.end()
		}
		before = page[len(page)-1].ID
	}
}

func (s *Server) ledgerRead(ctx context.Context, organisationID, before string) ([]kinora.UsageEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	return s.cfg.Usage.Ledger(ctx, organisationID, before, exportPage)
}

func ledgerSpan(values url.Values, now time.Time) (from, to time.Time, err error) {
	if from, err = timeParameter(values, "from"); err != nil {
		return from, to, err
	}
	if to, err = timeParameter(values, "to"); err != nil {
		return from, to, err
	}
	if to.IsZero() {
		to = now.Add(time.Second) // the second that is not over has entries too
	}
	if from.IsZero() {
		from, _ = kinora.BillingPeriod(to.Add(-time.Second))
	}
	switch {
	case !from.Before(to):
		return from, to, refuse(kinora.ErrInvalid, "from must lie before to")
	case to.Sub(from) > maxExport:
		return from, to, refuse(kinora.ErrInvalid, "from and to must lie at most %d days apart", kinora.MaxUsageDays)
	}
	return from, to, nil
}
