package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

type usageCommand struct {
	Org   string `arg:"" optional:"" help:"Id or name; may be left out while there is only one."`
	Month string `help:"A month of UTC; the present one when absent." placeholder:"2026-09"`
	By    string `help:"Over time in place of the month's sums: by model or workflow." enum:",model,workflow" default:"" placeholder:"model"`
	Step  string `help:"With --by: for each day or hour. Hours are of the last day, or since --since." enum:"day,hour" default:"day" placeholder:"day"`
	Since moment `help:"With --by: since when, in place of --month: how long ago (7d), or a time. When neither is given: the last 30 days." placeholder:"WHEN"`
	CSV   bool   `help:"As CSV: with --by the usage over time, else the ledger of the month, newest first."`

	operator
}

// usageBody is the admin API's answer.
type usageBody struct {
	OrganisationID string `json:"organisation_id"`
	BillingPeriod  struct {
		StartAt time.Time `json:"start_at"`
		EndAt   time.Time `json:"end_at"`
	} `json:"billing_period"`
	Usage struct {
		Included  int64 `json:"included"`
		Consumed  int64 `json:"consumed"`
		Overage   int64 `json:"overage"`
		Remaining int64 `json:"remaining"`
	} `json:"usage"`
	Jobs struct {
		Total           int64 `json:"total"`
		Succeeded       int64 `json:"succeeded"`
		Failed          int64 `json:"failed"`
		OutputsReturned int64 `json:"outputs_returned"`
		RegenerateCount int64 `json:"regenerate_count"`
		CacheHitCount   int64 `json:"cache_hit_count"`
	} `json:"jobs"`
	InFlight   int64          `json:"in_flight"`
	Spent      kinora.Money   `json:"spent_usd"`
	Reserved   kinora.Money   `json:"reserved_usd"`
	Budget     *kinora.Money  `json:"budget_usd"`
	RateLimits map[string]int `json:"rate_limits"`
}

func (u *usageCommand) Run(ctx context.Context, c *console) error {
	if u.CSV && c.json {
		return usage("--csv and --json can't be used together", "the ledger is CSV, the sums may be JSON")
	}
	if since := !time.Time(u.Since).IsZero(); since && (u.By == "" || u.Month != "") {
		return usage("--since is for --by, and stands in place of --month", "")
	}
	query := ""
	if u.Month != "" {
		if _, err := time.Parse("2006-01", u.Month); err != nil {
			return usage("--month must be a month such as 2026-09", "")
		}
		query = "?" + url.Values{"month": {u.Month}}.Encode()
	}
	if u.By != "" {
		return u.onAPI(ctx, func(api *adminAPI) error { return u.overTime(ctx, c, api) })
	}
	return u.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, u.Org)
		if err != nil {
			return err
		}
		var b usageBody
		if err := api.call(ctx, http.MethodGet, organisationPath(org.ID)+"/usage"+query, nil, &b); err != nil {
			return err
		}
		if u.CSV {
			return writeLedger(ctx, c, api, org.ID, b.BillingPeriod.StartAt, b.BillingPeriod.EndAt)
		}
		return c.result(b, func() { c.showUsage(org, b) })
	})
}

// seriesBody is the admin API's answer about usage over time.
type seriesBody struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Step   string    `json:"step"`
	By     string    `json:"by"`
	Points []struct {
		At        time.Time    `json:"at"`
		Name      string       `json:"name"` // empty = no workflow
		Succeeded int64        `json:"succeeded"`
		Failed    int64        `json:"failed"`
		Outputs   int64        `json:"outputs"`
		Amount    kinora.Money `json:"amount_usd"`
	} `json:"points"`
}

// overTime shows what ended in each day or hour.
func (u *usageCommand) overTime(ctx context.Context, c *console, api *adminAPI) error {
	q := url.Values{"by": {u.By}, "step": {u.Step}}
	u.Since.put(q, "from")
	if u.Month != "" {
		begin, err := time.Parse("2006-01", u.Month)
		if err != nil {
			return err // has been read before
		}
		q.Set("from", begin.Format(time.DateOnly))
		q.Set("to", begin.AddDate(0, 1, 0).Format(time.DateOnly))
	}
	org, err := findOrganisation(ctx, api, u.Org)
	if err != nil {
		return err
	}
	var b seriesBody
	if err := api.call(ctx, http.MethodGet, organisationPath(org.ID)+"/usage/series?"+q.Encode(), nil, &b); err != nil {
		return err
	}
	layout := time.DateOnly
	if u.Step == "hour" {
		layout = "2006-01-02 15:04Z"
	}
	rows := make([][]string, len(b.Points))
	for i, p := range b.Points {
		rows[i] = []string{p.At.UTC().Format(layout), cmp.Or(p.Name, "–"), strconv.FormatInt(p.Succeeded, 10), strconv.FormatInt(p.Failed, 10), strconv.FormatInt(p.Outputs, 10), p.Amount.String()}
	}
	if u.CSV {
		return writeSeries(c, u.By, rows)
	}
	return c.result(b, func() {
		c.list(false, []string{strings.ToUpper(u.Step), strings.ToUpper(u.By), "SUCCEEDED", "FAILED", "OUTPUTS", "USD"}, rows)
	})
}

func writeSeries(c *console, by string, rows [][]string) error {
	w := csv.NewWriter(c.out)
	if err := w.Write([]string{"at", by, "succeeded", "failed", "outputs", "amount_usd"}); err != nil {
		return err
	}
	return w.WriteAll(rows) // flushes
}

func (c *console) showUsage(org *kinora.Organisation, b usageBody) {
	c.say("%s  %s, %s", c.outStyle.bold(printable(org.ID)), printable(org.Name), b.BillingPeriod.StartAt.UTC().Format("January 2006"))
	c.say("  succeeded        %d, with %d outputs", b.Jobs.Succeeded, b.Jobs.OutputsReturned)
	c.say("  failed           %d", b.Jobs.Failed)
	c.say("  in flight        %d", b.InFlight)
	c.say("  regenerated      %d", b.Jobs.RegenerateCount)
	c.say("  from the cache   %d", b.Jobs.CacheHitCount)
	c.say("  billable         %d, of which %d are beyond the %d included", b.Usage.Consumed, b.Usage.Overage, b.Usage.Included)
	c.say("  spent            %s USD", b.Spent)
	c.say("  reserved         %s USD, for what is in flight", b.Reserved)
	if b.Budget != nil {
		c.say("  budget           %s USD a month", *b.Budget)
	}
}

// ledgerEntry is one of the admin API's billing events.
type ledgerEntry struct {
	EventID           string       `json:"event_id"`
	JobID             string       `json:"job_id"`
	SourceAssetID     *string      `json:"source_asset_id"`
	UsageType         string       `json:"usage_type"`
	ConfigFingerprint string       `json:"config_fingerprint"`
	Billable          bool         `json:"billable"`
	UnitPriceUSD      kinora.Money `json:"unit_price_usd"`
	AmountUSD         kinora.Money `json:"amount_usd"`
	CreatedAt         time.Time    `json:"created_at"`
}

// writeLedger writes the entries of a span of time. It reads the ledger from its newest entry on: what is newer than the
// span is passed over.
func writeLedger(ctx context.Context, c *console, api *adminAPI, organisationID string, from, until time.Time) error {
	w := csv.NewWriter(c.out)
	if err := w.Write([]string{"created_at", "event_id", "job_id", "source_asset_id", "usage_type", "config_fingerprint", "billable", "unit_price_usd", "amount_usd"}); err != nil {
		return err
	}
	q := url.Values{"limit": {"100"}}
	for {
		var page struct {
			Events     []ledgerEntry `json:"events"`
			NextCursor string        `json:"next_cursor"`
		}
		if err := api.call(ctx, http.MethodGet, organisationPath(organisationID)+"/billing-events?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, e := range page.Events {
			if !e.CreatedAt.Before(until) || e.CreatedAt.Before(from) {
				continue
			}
			source := ""
			if e.SourceAssetID != nil {
				source = *e.SourceAssetID
			}
			if err := w.Write([]string{e.CreatedAt.UTC().Format(time.RFC3339), e.EventID, e.JobID, source, e.UsageType, e.ConfigFingerprint,
				strconv.FormatBool(e.Billable), e.UnitPriceUSD.String(), e.AmountUSD.String()}); err != nil {
				return err
			}
		}
		// Ids sort by the time of the end, to the millisecond; times are told in whole seconds.
		over := len(page.Events) > 0 && page.Events[len(page.Events)-1].CreatedAt.Before(from.Add(-time.Minute))
		if page.NextCursor == "" || over {
			w.Flush()
			return w.Error()
		}
		q.Set("cursor", page.NextCursor)
	}
}
