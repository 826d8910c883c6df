package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

type attemptsStuckCommand struct {
	Trouble string `help:"Only those of this trouble: late, unsettled, unreadable, waiting, deadline, outcome_unknown or contested." placeholder:"TROUBLE" enum:",late,unsettled,unreadable,waiting,deadline,outcome_unknown,contested" default:""`
	Since   moment `help:"Those of unknown outcome, and contested ones, that have ended since then: a time, or how long ago. When absent: a week." placeholder:"TIME"`
	Limit   int    `help:"Attempts, at most." default:"50"`
	operator
}

type attemptsLookCommand struct{ oneAttempt }

type attemptsCancelCommand struct{ oneAttempt }

type attemptsGiveUpCommand struct {
	Reason string `help:"Why, for the audit log." placeholder:"TEXT"`
	oneAttempt
}

type attemptsSettleCommand struct {
	UpstreamID string `name:"upstream-id" required:"" help:"The upstream's id of the job." placeholder:"ID"`
	oneAttempt
}

// oneAttempt is an attempt that something is done about.
type oneAttempt struct {
	ID string `arg:"" help:"The attempt's id: that of its generation, _ and its number, such as task_…_0."`
	operator
}

// stuckShape is the part of the admin API's attempts that is shown as text.
type stuckShape struct {
	GenerationID    string           `json:"generation_id"`
	OrganisationID  string           `json:"organisation_id"`
	Model           string           `json:"model"`
	Attempt         inspectedAttempt `json:"attempt"`
	Troubles        []kinora.Trouble `json:"troubles"`
	AgeSeconds      float64          `json:"age_seconds"`
	ExpectedSeconds *float64         `json:"expected_seconds"` // null = not known
	Watched         bool             `json:"watched"`          // of a settled one
}

func (s *attemptsStuckCommand) Run(ctx context.Context, c *console) error {
	q := url.Values{}
	if s.Trouble != "" {
		q.Set("trouble", s.Trouble)
	}
	s.Since.put(q, "since")
	if s.Limit != 50 {
		q.Set("limit", fmt.Sprint(s.Limit))
	}
	path := "/operator/attempts"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var found struct {
		Attempts []stuckShape `json:"attempts"`
		More     bool         `json:"more"`
	}
	return s.operator.show(ctx, c, path, &found, func() {
		if len(found.Attempts) == 0 {
			c.say("Nothing needs a person.")
			return
		}
		rows := make([][]string, len(found.Attempts))
		for i, a := range found.Attempts {
			rows[i] = a.row()
		}
		c.table([]string{"ATTEMPT", "TROUBLE", "STATE", "AGE", "USUAL", "MODEL", "AT", "ORGANISATION", "LAST ERROR"}, rows)
		if found.More {
			c.note("There may be more.")
		}
	})
}

func (a stuckShape) row() []string {
	troubles := make([]string, len(a.Troubles))
	for i, t := range a.Troubles {
		troubles[i] = string(t)
	}
	usual := "–"
	if a.ExpectedSeconds != nil {
		usual = roughly(*a.ExpectedSeconds)
	}
	at := a.Attempt.Provider
	if a.Attempt.Account != "" {
		at += "/" + a.Attempt.Account
	}
	last := strings.TrimSpace(a.Attempt.ErrorClass + " " + a.Attempt.ErrorCode)
	return []string{printable(a.Attempt.ID), printable(strings.Join(troubles, ", ")), printable(a.Attempt.State), roughly(a.AgeSeconds), usual,
		printable(a.Model), printable(at), printable(a.OrganisationID), orDash(printable(last))}
}

// roughly shows seconds as people say them.
func roughly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Minute {
		d = d.Round(time.Second)
	}
	return elapsed(d)
}

// show reads a body of the admin API, and shows it as it is or as text.
func (o operator) show(ctx context.Context, c *console, path string, into any, human func()) error {
	return o.ask(ctx, c, http.MethodGet, path, nil, into, human)
}

func (o operator) ask(ctx context.Context, c *console, method, path string, body, into any, human func()) error {
	return o.onAPI(ctx, func(api *adminAPI) error {
		var text json.RawMessage
		if err := api.call(ctx, method, path, body, &text); err != nil {
			return err
		}
		if json.Unmarshal(text, into) != nil {
			return notAdmin()
		}
		return c.result(text, human)
	})
}

func (a oneAttempt) path(action string) string {
	return "/operator/attempts/" + url.PathEscape(a.ID) + "/" + action
}

func (l *attemptsLookCommand) Run(ctx context.Context, c *console) error {
	var now stuckShape
	return l.ask(ctx, c, http.MethodPost, l.path("look"), nil, &now, func() {
		c.say("%s  %s, looked at now", printable(now.Attempt.ID), printable(now.Attempt.State))
	})
}

func (s *attemptsSettleCommand) Run(ctx context.Context, c *console) error {
	var now stuckShape
	body := struct {
		UpstreamID string `json:"upstream_id"`
	}{s.UpstreamID}
	return s.ask(ctx, c, http.MethodPost, s.path("settle"), body, &now, func() {
		what := "it had ended before, and stays so; the upstream's id is kept, and the job cancelled where that can be done"
		if now.Watched {
			what = "the upstream knows the job; it is watched"
		}
		c.say("%s  %s", printable(now.Attempt.ID), what)
	})
}

func (g *attemptsGiveUpCommand) Run(ctx context.Context, c *console) error {
	var now stuckShape
	body := struct {
		Reason string `json:"reason,omitempty"`
	}{g.Reason}
	return g.ask(ctx, c, http.MethodPost, g.path("give-up"), body, &now, func() {
		c.say("%s  given up", printable(now.Attempt.ID))
	})
}

func (x *attemptsCancelCommand) Run(ctx context.Context, c *console) error {
	var now struct {
		GenerationID string `json:"generation_id"`
		State        string `json:"state"`
	}
	return x.ask(ctx, c, http.MethodPost, x.path("cancel"), nil, &now, func() {
		c.say("%s  %s", printable(now.GenerationID), printable(now.State))
	})
}
