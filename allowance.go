package kinora

import (
	"maps"
	"slices"
	"strings"
)

// Allowance is what an organisation may use, where it differs from what the server allows
// everybody. The zero value differs in nothing.
type Allowance struct {
	// Limits are requests per minute by kind of route, see RateKinds; 0 = no limit.
	Limits map[string]int `json:"limits,omitempty"`
	// JobsInFlight is how many jobs of the generations API may be in flight; nil = the
	// server's number, 0 = no limit.
	JobsInFlight *int `json:"in_flight_jobs,omitempty"`
	// Budget is the most that generations of a calendar month may cost; nil = no limit.
	Budget *Money `json:"budget_usd,omitempty"`
	// Included is how many billable generations of a month the usage summary calls included.
	// It changes neither the ledger nor the budget.
	Included int64 `json:"included,omitempty"`
}

// AllowanceChange says what of an allowance is to be set; what is absent stays as it is.
type AllowanceChange struct {
	Limits       map[string]int `json:"limits,omitempty"`         // -1 = the server's number
	JobsInFlight *int           `json:"in_flight_jobs,omitempty"` // -1 = the server's number
	Budget       *Money         `json:"budget_usd,omitempty"`
	NoBudget     bool           `json:"no_budget,omitempty"` // takes the budget away
	Included     *int64         `json:"included,omitempty"`
}

// RateKinds are the kinds of routes of the generations API that have a rate limit (generations
// API contract 11), in the order of their documentation.
func RateKinds() []string {
	return []string{"source_assets_create", "source_assets_read", "generations_create", "generations_read",
		"generations_regenerate", "usage_summary", "billing_events", "source_url_fetches"}
}

// maxAllowance bounds what may be set: far above what anybody can use.
const maxAllowance = 1_000_000_000

// With returns the allowance as it is after a change. Errors: ErrInvalid.
func (a Allowance) With(c AllowanceChange) (Allowance, error) {
	a.Limits = maps.Clone(a.Limits)
	for _, kind := range slices.Sorted(maps.Keys(c.Limits)) {
		n := c.Limits[kind]
		switch {
		case !slices.Contains(RateKinds(), kind):
			return a, FieldErrorf(ErrInvalid, "allowance.limits", "allowance.limits: there is no limit of that name; the names are %s", strings.Join(RateKinds(), ", "))
		case n < -1 || n > maxAllowance:
			return a, FieldErrorf(ErrInvalid, "allowance.limits."+kind, "allowance.limits.%s must be between 0 (no limit) and %d, or -1 for the server's number", kind, maxAllowance)
		case n == -1:
			delete(a.Limits, kind)
		default:
			if a.Limits == nil {
				a.Limits = map[string]int{}
			}
			a.Limits[kind] = n
		}
	}
	if n := c.JobsInFlight; n != nil {
		switch {
		case *n < -1 || *n > maxAllowance:
			return a, FieldErrorf(ErrInvalid, "allowance.in_flight_jobs", "allowance.in_flight_jobs must be between 0 (no limit) and %d, or -1 for the server's number", maxAllowance)
		case *n == -1:
			a.JobsInFlight = nil
		default:
			own := *n
			a.JobsInFlight = &own
		}
	}
	switch {
	case c.NoBudget && c.Budget != nil:
		return a, Errorf(ErrInvalid, "allowance: budget_usd and no_budget exclude each other")
	case c.NoBudget:
		a.Budget = nil
	case c.Budget != nil:
		if *c.Budget < 0 || *c.Budget > MaxMoney {
			return a, FieldErrorf(ErrInvalid, "allowance.budget_usd", "allowance.budget_usd must be between 0 and %s", MaxMoney)
		}
		own := *c.Budget
		a.Budget = &own
	}
	if n := c.Included; n != nil {
		if *n < 0 || *n > maxAllowance {
			return a, FieldErrorf(ErrInvalid, "allowance.included", "allowance.included must be between 0 and %d", maxAllowance)
		}
		a.Included = *n
	}
	return a, nil
}
