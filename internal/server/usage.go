package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Usage reads what organisations have used. Errors of all methods: kinora.ErrUnavailable.
type Usage interface {
	// Usage sums up the billing period that an instant lies in; what is in flight counts in the present one.
	Usage(ctx context.Context, organisationID string, at time.Time) (kinora.Usage, error)
	// Ledger reads usage entries, the newest first, those older than the entry before; empty = from the newest on.
	Ledger(ctx context.Context, organisationID, before string, limit int) ([]kinora.UsageEntry, error)
	// UsageSeries sums up what ended, step by step, in the order of time and name.
	UsageSeries(ctx context.Context, organisationID string, q kinora.UsageQuestion) ([]kinora.UsagePoint, error)
}

const (
	defaultEvents = 50
	maxEvents     = 100
)

// The routes of usage and billing (generations API contract 11 and 12).
func (s *Server) usageRoutes() []route {
	if s.cfg.Usage == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, pattern: "/api/v1/usage/summary", dialect: &generationsDialect, auth: keyed, limit: limitUsage, handler: s.usageSummary},
		{method: http.MethodGet, pattern: "/api/v1/usage/series", dialect: &generationsDialect, auth: keyed, limit: limitUsage, handler: s.usageOverTime},
		{method: http.MethodGet, pattern: "/api/v1/billing/events", dialect: &generationsDialect, auth: keyed, limit: limitBilling, load: holding, handler: s.billingEvents},
	}
}

type usageSummary struct {
	Entitlement   entitlement    `json:"entitlement"`
	Access        access         `json:"access"`
	BillingPeriod billingPeriod  `json:"billing_period"`
	Usage         usageCounts    `json:"usage"`
	Jobs          jobCounts      `json:"jobs"`
	RateLimits    map[string]int `json:"rate_limits"` // 0 = no limit
}

type entitlement struct {
	APIAccess bool   `json:"api_access"`
	Plan      string `json:"plan"`
	Status    string `json:"status"`
}

type access struct {
	Enabled bool `json:"enabled"`
}

type billingPeriod struct {
	StartAt *string `json:"start_at"`
	EndAt   *string `json:"end_at"`
}

func periodOf(at time.Time) billingPeriod {
	start, end := kinora.BillingPeriod(at)
	return billingPeriod{apiTime(start), apiTime(end)}
}

// usageCounts are billable generations.
type usageCounts struct {
	Included  int64 `json:"included"`
	Consumed  int64 `json:"consumed"`
	Overage   int64 `json:"overage"`
	Remaining int64 `json:"remaining"`
}

func countUsage(u kinora.Usage, included int64) usageCounts {
	return usageCounts{included, u.Billable, max(0, u.Billable-included), max(0, included-u.Billable)}
}

type jobCounts struct {
	Total           int64 `json:"total"` // ended in the period, and in flight
	Succeeded       int64 `json:"succeeded"`
	Failed          int64 `json:"failed"`
	OutputsReturned int64 `json:"outputs_returned"`
	RegenerateCount int64 `json:"regenerate_count"`
	CacheHitCount   int64 `json:"cache_hit_count"`
}

func countJobs(u kinora.Usage) jobCounts {
	return jobCounts{u.Succeeded + u.Failed + u.InFlight, u.Succeeded, u.Failed, u.Outputs, u.Regenerations, u.CacheHits}
}

// usageSummary tells how the month of UTC stands. An organisation whose access is off is refused before it gets here.
func (s *Server) usageSummary(ctx context.Context, x *exchange, _ *http.Request) error {
	now := s.now()
	u, err := s.cfg.Usage.Usage(ctx, x.organisation.ID, now)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, usageSummary{
		Entitlement: entitlement{APIAccess: true, Plan: "self-hosted", Status: "active"}, Access: access{Enabled: true},
		BillingPeriod: periodOf(now), Usage: countUsage(u, x.organisation.Allowance.Included), Jobs: countJobs(u),
		RateLimits: s.RateLimits(x.organisation),
	})
	return nil
}

// inFlightJobs is the name of that limit beside those of the routes.
const inFlightJobs = "in_flight_jobs"

// RateLimits are the limits that hold for an organisation, by kinora.RateKinds and "in_flight_jobs"; 0 = no limit.
func (s *Server) RateLimits(o *kinora.Organisation) map[string]int {
	limits := map[string]int{inFlightJobs: s.cfg.JobsInFlight}
	if own := o.Allowance.JobsInFlight; own != nil {
		limits[inFlightJobs] = *own
	}
	for _, class := range sharedClasses {
		limits[string(class)] = max(0, s.limits.limitOf(class, o).PerMinute)
	}
	return limits
}

type billingEventList struct {
	Events     []billingEvent `json:"events"`
	NextCursor *string        `json:"next_cursor"` // null = no more
}

type billingEvent struct {
	EventID           string           `json:"event_id"`
	JobID             string           `json:"job_id"`
	SourceAssetID     *string          `json:"source_asset_id"`
	UsageType         kinora.UsageType `json:"usage_type"`
	ConfigFingerprint string           `json:"config_fingerprint"`
	Billable          bool             `json:"billable"`
	UnitPriceUSD      kinora.Money     `json:"unit_price_usd"`
	AmountUSD         kinora.Money     `json:"amount_usd"`
	CreatedAt         *string          `json:"created_at"`
}

func billingEventOf(e kinora.UsageEntry) billingEvent {
	v := billingEvent{
		EventID: e.ID, JobID: e.GenerationID, UsageType: e.Type, ConfigFingerprint: e.Fingerprint, Billable: e.Billable,
		UnitPriceUSD: e.UnitPrice, AmountUSD: e.Amount, CreatedAt: apiTime(e.CreatedAt),
	}
	if e.SourceAssetID != "" {
		v.SourceAssetID = &e.SourceAssetID
	}
	return v
}

// billingEvents reads the ledger page by page. A cursor is the place behind an entry: what is written meanwhile comes
// before the first page. As CSV it comes whole.
func (s *Server) billingEvents(ctx context.Context, x *exchange, r *http.Request) error {
	if wantsCSV(r.Header) {
		return s.exportLedger(ctx, x, r, x.organisation.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	limit, cursor, err := eventsPage(r)
	if err != nil {
		return err
	}
	answer, err := s.ledgerPage(ctx, x.organisation.ID, limit, cursor)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		return refuse(errMalformed, "cursor is not one that was given for this list; send next_cursor of the page before as it was given")
	}
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func eventsPage(r *http.Request) (limit int, cursor string, err error) {
	limit, q := defaultEvents, r.URL.Query()
	if text, given := q["limit"]; given {
		n, wrong := strconv.Atoi(text[0])
		if wrong != nil || len(text) > 1 || n < 1 || n > maxEvents {
			return 0, "", refuse(errMalformed, "limit must be a whole number from 1 to %d", maxEvents)
		}
		limit = n
	}
	return limit, q.Get("cursor"), nil
}

// ledgerPage reads one page of an organisation's ledger. Errors: kinora.ErrInvalid for a cursor of another list.
func (s *Server) ledgerPage(ctx context.Context, organisationID string, limit int, cursor string) (billingEventList, error) {
	answer := billingEventList{Events: []billingEvent{}}
	question := "billing-events " + organisationID
	before := ""
	if cursor != "" {
		var err error
		if before, err = s.cursors.take(question, cursor); err != nil {
			return answer, err
		}
		if !id.WellFormed(before, id.Usage) {
			return answer, refuse(kinora.ErrInvalid, "cursor is not one that was given for this list")
		}
	}
	list, err := s.cfg.Usage.Ledger(ctx, organisationID, before, limit+1)
	if err != nil {
		return answer, err
	}
	if len(list) > limit {
		list = list[:limit]
		next := s.cursors.give(question, list[limit-1].ID)
		answer.NextCursor = &next
	}
	for _, e := range list {
		answer.Events = append(answer.Events, billingEventOf(e))
	}
	return answer, nil
}
