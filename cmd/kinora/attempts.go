package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/kinora/kinora"
)

type attemptsCommand struct {
	Show   attemptsShowCommand   `cmd:"" default:"withargs" help:"Show a generation's attempts upstream and the deliveries of its event."`
	Stuck  attemptsStuckCommand  `cmd:"" help:"List the attempts that need a person's eye, the newest first."`
	Look   attemptsLookCommand   `cmd:"" help:"Look at an attempt now, not when it is due."`
	Settle attemptsSettleCommand `cmd:"" help:"Name the upstream's job of an attempt of unknown outcome."`
	GiveUp attemptsGiveUpCommand `cmd:"" help:"End an attempt as failed."`
	Cancel attemptsCancelCommand `cmd:"" help:"Cancel the generation of an attempt."`
}

type attemptsShowCommand struct {
	ID string `arg:"" help:"The generation's id, task_… or job_…"`

	operator
}

// attemptsShape is how --json shows them: the two bodies of the admin API, untouched.
type attemptsShape struct {
	Generation json.RawMessage `json:"generation"` // GET /admin/v1/generations/{id}, attempts included
	Deliveries json.RawMessage `json:"deliveries"` // GET /admin/v1/generations/{id}/deliveries, the list alone
}

func (a *attemptsShowCommand) Run(ctx context.Context, c *console) error {
	api, err := a.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	path := "/generations/" + url.PathEscape(a.ID)
	var shape attemptsShape
	if err := api.call(ctx, http.MethodGet, path, nil, &shape.Generation); err != nil {
		return err
	}
	var list struct {
		Deliveries json.RawMessage `json:"deliveries"`
	}
	if err := api.call(ctx, http.MethodGet, path+"/deliveries", nil, &list); err != nil {
		return err
	}
	shape.Deliveries = list.Deliveries
	var g inspectedGeneration
	var deliveries []inspectedDelivery
	if json.Unmarshal(shape.Generation, &g) != nil || json.Unmarshal(shape.Deliveries, &deliveries) != nil {
		return notAdmin()
	}
	return c.result(shape, func() { c.showAttempts(g, deliveries) })
}

// inspectedGeneration and the others are the part of the admin API's bodies that is shown as text.
type inspectedGeneration struct {
	ID             string             `json:"id"`
	OrganisationID string             `json:"organisation_id"`
	Model          string             `json:"model"`
	State          string             `json:"state"`
	Progress       int                `json:"progress"`
	Failure        *kinora.Failure    `json:"failure"`
	Outputs        []inspectedOutput  `json:"outputs"`
	Attempts       []inspectedAttempt `json:"attempts"`
	Reviews        []reviewShape      `json:"reviews"`
	ParentID       string             `json:"parent_id"`
	Regenerated    []struct {
		ID    string `json:"id"`
		State string `json:"state"`
	} `json:"regenerated_as"`
	SubmittedBy *struct {
		Kind string `json:"kind"`
		Name string `json:"name"` // empty = whoever had the admin token
	} `json:"submitted_by"`
	IdempotencyKey string `json:"idempotency_key"`
	Entry          *struct {
		ID     string       `json:"id"`
		Amount kinora.Money `json:"amount_usd"`
	} `json:"usage_entry"`
	CreatedAt   time.Time `json:"created_at"`
	CompletedAt time.Time `json:"completed_at"`
	DeadlineAt  time.Time `json:"deadline_at"`
}

type inspectedOutput struct {
	ID          string             `json:"id"`
	Attempt     string             `json:"attempt"`
	State       kinora.OutputState `json:"state"`
	Role        string             `json:"role"`
	Verdict     *kinora.Verdict    `json:"verdict"`
	ContentType string             `json:"content_type"`
	Bytes       int64              `json:"bytes"`
	Key         string             `json:"key"`
	RemovedAt   time.Time          `json:"removed_at"`
}

type inspectedAttempt struct {
	ID           string    `json:"id"`
	State        string    `json:"state"`
	Part         int       `json:"part"`
	Parts        int       `json:"parts"`
	Round        int       `json:"round"`
	Route        int       `json:"route"`
	Provider     string    `json:"provider"`
	Account      string    `json:"account"`
	UpstreamID   string    `json:"upstream_id"`
	ContestedID  string    `json:"contested_id"`
	Callback     string    `json:"callback"`
	Tries        int       `json:"tries"`
	Polls        int       `json:"polls"`
	ErrorClass   string    `json:"error_class"`
	ErrorCode    string    `json:"error_code"`
	ErrorMessage string    `json:"error_message"`
	Node         string    `json:"node"`
	DueAt        time.Time `json:"due_at"`
	CreatedAt    time.Time `json:"created_at"`
	SubmittedAt  time.Time `json:"submitted_at"`
	AcceptedAt   time.Time `json:"accepted_at"`
	DoneAt       time.Time `json:"done_at"`
	FinishedAt   time.Time `json:"finished_at"`
}

type inspectedDelivery struct {
	ID        string    `json:"id"`
	EventID   string    `json:"event_id"`
	URL       string    `json:"url"`
	State     string    `json:"state"`
	LastError string    `json:"last_error"`
	DueAt     time.Time `json:"due_at"`
	Attempts  []struct {
		Number     int       `json:"number"`
		StartedAt  time.Time `json:"started_at"`
		DurationMS float64   `json:"duration_ms"`
		Status     int       `json:"status"`
		Fault      string    `json:"fault"`
		Error      string    `json:"error"`
		Address    string    `json:"address"`
	} `json:"attempts"`
}

func (c *console) showAttempts(g inspectedGeneration, deliveries []inspectedDelivery) {
	c.say("%s  %s, %s, %d %%", c.outStyle.bold(printable(g.ID)), printable(g.Model), printable(g.State), g.Progress)
	c.say("  organisation  %s", printable(g.OrganisationID))
	c.say("  created       %s", stamp(g.CreatedAt))
	if g.CompletedAt.IsZero() {
		c.say("  deadline      %s", stamp(g.DeadlineAt))
	} else {
		c.say("  completed     %s", stamp(g.CompletedAt))
	}
	if g.Failure != nil {
		c.say("  failure       %s: %s", printable(string(g.Failure.Code)), printable(g.Failure.Message))
	}
	c.showOrigin(g)
	for _, o := range g.Outputs {
		c.showCandidate(o, len(g.Attempts) > 1)
	}
	for _, r := range g.Reviews {
		c.say("  review        %s", reviewLine(r))
	}
	for i, a := range g.Attempts {
		c.say("")
		c.showAttempt(i+1, a)
	}
	for _, d := range deliveries {
		c.say("")
		c.showDelivery(d)
	}
}

// showOrigin tells where a generation came from, what was made of it and what it cost, as far as that is known.
func (c *console) showOrigin(g inspectedGeneration) {
	if g.SubmittedBy != nil {
		c.say("  submitted by  %s", printable(cmp.Or(g.SubmittedBy.Name, g.SubmittedBy.Kind)))
	}
	if g.IdempotencyKey != "" {
		c.say("  key           %s", printable(g.IdempotencyKey))
	}
	if g.ParentID != "" {
		c.say("  made from     %s", printable(g.ParentID))
	}
	for _, r := range g.Regenerated {
		c.say("  made anew as  %s, %s", printable(r.ID), printable(r.State))
	}
	if g.Entry != nil {
		c.say("  cost          $%s, ledger entry %s", g.Entry.Amount, printable(g.Entry.ID))
	}
}

// showCandidate shows an output, with the attempt that made it where there are several.
func (c *console) showCandidate(o inspectedOutput, several bool) {
	c.say("  output        %s  %s, %s, %s", printable(o.ID), printable(o.ContentType), size(o.Bytes), printable(o.Key))
	what := string(o.State)
	if o.Role != "" {
		what += " as " + o.Role
	}
	if !o.RemovedAt.IsZero() {
		what += ", file removed " + stamp(o.RemovedAt)
	}
	if several {
		c.say("    made by     %s, %s", printable(o.Attempt), printable(what))
	} else if o.State != kinora.OutputPublished || !o.RemovedAt.IsZero() {
		c.say("    it is       %s", printable(what))
	}
	if o.Verdict == nil {
		return
	}
	verdict := "failed"
	if o.Verdict.Passed {
		verdict = "passed"
	}
	c.say("    gate        %s, score %.2f", verdict, o.Verdict.Score)
	for _, check := range o.Verdict.Checks {
		if !check.Passed {
			c.say("    check       %s: %.4g, wanted %.4g %s", printable(check.Name), check.Value, check.Limit, printable(check.Detail))
		}
	}
}

func (c *console) showAttempt(n int, a inspectedAttempt) {
	what := a.State
	if a.Parts > 1 {
		what += fmt.Sprintf(", part %d of %d", a.Part+1, a.Parts)
	}
	if a.Round > 0 {
		what += fmt.Sprintf(", round %d", a.Round+1)
	}
	if a.Route > 0 {
		what += fmt.Sprintf(", route %d", a.Route+1)
	}
	c.say("%s  %s", c.outStyle.bold(fmt.Sprintf("Attempt %d", n)), printable(what))
	c.say("  at            %s, account %s", printable(a.Provider), printable(orDash(a.Account)))
	c.say("  upstream id   %s", printable(orDash(a.UpstreamID)))
	if a.ContestedID != "" {
		c.say("  contested     %s, which was named for it and another attempt has", printable(a.ContestedID))
	}
	c.say("  calls         %d refused submits, %d polls, callback: %s", a.Tries, a.Polls, printable(orDash(a.Callback)))
	for _, step := range []struct {
		name string
		at   time.Time
	}{{"submitted", a.SubmittedAt}, {"accepted", a.AcceptedAt}, {"done", a.DoneAt}, {"finished", a.FinishedAt}, {"due", a.DueAt}} {
		if !step.at.IsZero() {
			c.say("  %-13s %s", step.name, stamp(step.at))
		}
	}
	if a.Node != "" {
		c.say("  in hand of    %s", printable(a.Node))
	}
	if a.ErrorClass != "" || a.ErrorMessage != "" {
		c.say("  last error    %s %s: %s", printable(a.ErrorClass), printable(a.ErrorCode), printable(a.ErrorMessage))
	}
}

func (c *console) showDelivery(d inspectedDelivery) {
	c.say("%s  %s", c.outStyle.bold("Delivery"), printable(d.State))
	c.say("  event         %s", printable(d.EventID))
	c.say("  id            %s", printable(d.ID))
	c.say("  to            %s", printable(d.URL))
	if !d.DueAt.IsZero() {
		c.say("  due           %s", stamp(d.DueAt))
	}
	for _, a := range d.Attempts {
		outcome := fmt.Sprint(a.Status)
		if a.Status == 0 {
			outcome = "no answer"
		}
		if a.Fault != "" {
			outcome += ", " + a.Fault + ": " + a.Error
		}
		c.say("  attempt %-5d %s  %s, %.0f ms, %s", a.Number, stamp(a.StartedAt), printable(outcome), a.DurationMS, printable(orDash(a.Address)))
	}
}
