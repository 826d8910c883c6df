package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

const (
	opUsage   = "GET /api/v1/usage/summary"
	opBilling = "GET /api/v1/billing/events"
)

// UsageSummary is what an organisation has used in its billing period (generations API contract, section 11).
type UsageSummary struct {
	Entitlement struct {
		APIAccess bool   `json:"api_access"`
		Plan      string `json:"plan"`
		Status    string `json:"status"`
	} `json:"entitlement"`
	BillingPeriod struct {
		StartAt time.Time `json:"start_at"`
		EndAt   time.Time `json:"end_at"`
	} `json:"billing_period"`
	Usage struct {
		Included  int `json:"included"`
		Consumed  int `json:"consumed"`
		Overage   int `json:"overage"`
		Remaining int `json:"remaining"`
	} `json:"usage"`
	Jobs struct {
		Total           int `json:"total"`
		Succeeded       int `json:"succeeded"`
		Failed          int `json:"failed"`
		OutputsReturned int `json:"outputs_returned"`
		RegenerateCount int `json:"regenerate_count"`
		CacheHitCount   int `json:"cache_hit_count"`
	} `json:"jobs"`
	// RateLimits are the active ones, by kind of request: requests a minute, and jobs for in_flight_jobs.
	RateLimits map[string]int `json:"rate_limits"`
}

// Usage reads the summary of the present billing period. Errors: *Error, ErrUnavailable, the context's.
func (c *Client) Usage(ctx context.Context) (*UsageSummary, error) {
	var summary UsageSummary
	if err := c.read(ctx, opUsage, "/api/v1/usage/summary", nil, &summary); err != nil {
		return nil, err
	}
	return &summary, nil
}

// BillingEvent is an entry of the ledger (generations API contract, section 12). It never changes.
type BillingEvent struct {
	EventID       string `json:"event_id"`
	JobID         string `json:"job_id"`
	SourceAssetID string `json:"source_asset_id"` // empty = none
	UsageType     string `json:"usage_type"`      // "generation", "regeneration" or "cache_hit"
	// ConfigFingerprint is the same for the same configuration and source.
	ConfigFingerprint string    `json:"config_fingerprint"`
	Billable          bool      `json:"billable"`
	UnitPriceUSD      float64   `json:"unit_price_usd"`
	AmountUSD         float64   `json:"amount_usd"`
	CreatedAt         time.Time `json:"created_at"`
}

// BillingPage is a page of the ledger.
type BillingPage struct {
	Events []BillingEvent `json:"events"`
	// NextCursor begins the next page; empty = there is none.
	NextCursor string `json:"next_cursor"`
}

// BillingEvents reads a page of the ledger, newest first. cursor is NextCursor of the page before, empty = the first page;
// limit is at most 100, 0 = the server's default of 50. Errors: *Error, ErrUnavailable, the context's.
func (c *Client) BillingEvents(ctx context.Context, cursor string, limit int) (*BillingPage, error) {
	query := url.Values{}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var page BillingPage
	if err := c.read(ctx, opBilling, "/api/v1/billing/events", query, &page); err != nil {
		return nil, err
	}
	return &page, nil
}
