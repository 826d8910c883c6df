package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

type healthCommand struct{ operator }

type percentilesShape struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

// text shows two durations that are given in a unit.
func (p percentilesShape) text(unit time.Duration) string {
	if p.P50 == nil || p.P95 == nil {
		return "–"
	}
	in := func(v float64) string { return elapsed(time.Duration(v * float64(unit))) }
	return in(*p.P50) + " / " + in(*p.P95)
}

// healthReport is the part of the admin API's report that is shown as text.
type healthReport struct {
	From      time.Time `json:"from"`
	More      bool      `json:"more"`
	Attempts  int       `json:"attempts"`
	Upstreams []struct {
		Provider  string           `json:"provider"`
		Account   string           `json:"account"`
		Model     string           `json:"model"`
		Succeeded int              `json:"succeeded"`
		Failed    int              `json:"failed"`
		Cancelled int              `json:"cancelled"`
		Errors    map[string]int   `json:"errors"`
		Submits   percentilesShape `json:"submit_seconds"`
		Jobs      percentilesShape `json:"job_seconds"`
	} `json:"upstreams"`
}

func (h *healthCommand) Run(ctx context.Context, c *console) error {
	var health struct {
		Accounts []accountShape `json:"accounts"`
		Hour     healthReport   `json:"hour"`
		Day      healthReport   `json:"day"`
		// WithoutOwner are the organisations whose members nobody but operators can change.
		WithoutOwner []ownerlessShape `json:"organisations_without_owner"`
	}
	return h.show(ctx, c, "/operator/health", &health, func() {
		c.showAccounts(health.Accounts)
		c.say("")
		c.showReport("the last hour", health.Hour)
		c.say("")
		c.showReport("the last day", health.Day)
		if len(health.WithoutOwner) > 0 {
			c.say("")
			c.showOwnerless(health.WithoutOwner)
		}
	})
}

func (c *console) showReport(span string, r healthReport) {
	c.say("%s", c.outStyle.bold(fmt.Sprintf("%d attempts of generations that ended in %s", r.Attempts, span)))
	if r.More {
		c.say("  of the newest 10,000, which began to end %s", stamp(r.From))
	}
	if len(r.Upstreams) == 0 {
		return
	}
	rows := make([][]string, len(r.Upstreams))
	for i, u := range r.Upstreams {
		var errors []string
		for _, class := range slices.Sorted(maps.Keys(u.Errors)) {
			errors = append(errors, fmt.Sprintf("%s %d", printable(class), u.Errors[class]))
		}
		rows[i] = []string{printable(u.Provider), orDash(printable(u.Account)), printable(u.Model), fmt.Sprint(u.Succeeded), fmt.Sprint(u.Failed), fmt.Sprint(u.Cancelled),
			u.Submits.text(time.Second), u.Jobs.text(time.Second), orDash(strings.Join(errors, ", "))}
	}
	c.table([]string{"PROVIDER", "ACCOUNT", "MODEL", "GOOD", "FAILED", "CANCELLED", "SUBMIT P50 / P95", "JOB P50 / P95", "ERRORS"}, rows)
}

type endpointHealthCommand struct {
	Org   string `help:"The organisation's id or name; not needed where there is only one." placeholder:"ORG"`
	Hours int    `help:"How many hours back, at most 72." default:"24"`
	operator
}

func (h *endpointHealthCommand) Run(ctx context.Context, c *console) error {
	var organisationID string
	err := h.onAPI(ctx, func(api *adminAPI) error {
		o, err := findOrganisation(ctx, api, h.Org)
		if err == nil {
			organisationID = o.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	var report struct {
		More         bool `json:"more"`
		Destinations []struct {
			Destination string           `json:"destination"`
			EndpointID  string           `json:"endpoint_id"`
			Delivered   int              `json:"delivered"`
			Pending     int              `json:"pending"`
			Dead        int              `json:"dead"`
			Backlog     int              `json:"backlog"`
			Answers     percentilesShape `json:"answer_ms"`
			Breaker     string           `json:"breaker"`
			LastFailure *struct {
				At     time.Time `json:"at"`
				Status int       `json:"status"`
				Error  string    `json:"error"`
			} `json:"last_failure"`
		} `json:"destinations"`
	}
	path := fmt.Sprintf("%s/destinations?hours=%d", organisationPath(organisationID), h.Hours)
	return h.show(ctx, c, path, &report, func() {
		if len(report.Destinations) == 0 {
			c.say("Nothing was to be delivered.")
			return
		}
		rows := make([][]string, len(report.Destinations))
		for i, d := range report.Destinations {
			last := "–"
			if f := d.LastFailure; f != nil {
				last = stamp(f.At) + " " + printable(f.Error)
			}
			rows[i] = []string{printable(d.Destination), orDash(printable(d.EndpointID)), fmt.Sprint(d.Delivered), fmt.Sprint(d.Pending), fmt.Sprint(d.Backlog), fmt.Sprint(d.Dead),
				d.Answers.text(time.Millisecond), orDash(printable(d.Breaker)), last}
		}
		c.table([]string{"DESTINATION", "ENDPOINT", "DELIVERED", "PENDING", "HELD", "DEAD", "ANSWER P50 / P95", "BREAKER", "LAST FAILURE"}, rows)
		if report.More {
			c.note("There were more deliveries, or destinations, than are counted.")
		}
	})
}
