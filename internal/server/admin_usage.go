package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

// usageView is what an organisation has used in a billing period, for the operator.
type usageView struct {
	OrganisationID string         `json:"organisation_id"`
	BillingPeriod  billingPeriod  `json:"billing_period"`
	Usage          usageCounts    `json:"usage"`
	Jobs           jobCounts      `json:"jobs"`
	InFlight       int64          `json:"in_flight"`    // now, of both APIs
	Spent          kinora.Money   `json:"spent_usd"`    // the ledger's sum
	Reserved       kinora.Money   `json:"reserved_usd"` // what those in flight will cost if they succeed
	Budget         *kinora.Money  `json:"budget_usd"`   // null = none
	RateLimits     map[string]int `json:"rate_limits"`  // as they hold for it
}

// adminUsage sums up a month of an organisation: the present one, or another one of UTC.
func (s *Server) adminUsage(ctx context.Context, x *exchange, r *http.Request) error {
	at := s.now()
	if text := r.URL.Query().Get("month"); text != "" {
		month, err := time.Parse("2006-01", text)
		if err != nil {
			return refuse(kinora.ErrInvalid, "month must be a month such as 2026-09")
		}
		at = month
	}
	o, err := s.cfg.Admin.Organisation(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	u, err := s.cfg.Usage.Usage(ctx, o.ID, at)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, usageView{
		OrganisationID: o.ID, BillingPeriod: periodOf(at), Usage: countUsage(u, o.Allowance.Included), Jobs: countJobs(u), InFlight: u.InFlight,
		Spent: u.Amount, Reserved: u.Reserved, Budget: o.Allowance.Budget, RateLimits: s.RateLimits(o),
	})
	return nil
}

// adminBillingEvents reads an organisation's ledger as its own keys do.
func (s *Server) adminBillingEvents(ctx context.Context, x *exchange, r *http.Request) error {
	work, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	o, err := s.cfg.Admin.Organisation(work, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	if wantsCSV(r.Header) {
		return s.exportLedger(ctx, x, r, o.ID)
	}
	ctx = work
	limit, cursor, err := eventsPage(r)
	if err != nil {
		return err
	}
	answer, err := s.ledgerPage(ctx, o.ID, limit, cursor)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}
