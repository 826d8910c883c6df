package main

import (
	"context"
	"encoding/json"
	"net/http"
)

type webhookTestCommand struct {
	URL      string `arg:"" optional:"" help:"Where to; the organisation's default callback URL when absent."`
	Endpoint string `help:"Send it to an endpoint, by its id or name, with its own headers." placeholder:"ENDPOINT"`
	Event    string `help:"Type of the event." enum:"generation.completed,generation.failed" default:"generation.completed" placeholder:"TYPE"`
	Sample   string `help:"What it tells of: image, images or video; for generation.failed upstream_error, content_rejected, timeout or cancelled. The first when absent." placeholder:"SAMPLE"`
	List     bool   `help:"Send nothing; list the newest hundred that were sent."`
	owner

	operator
}

// testShape is the part of the admin API's test event that is shown as text.
type testShape struct {
	ID        string       `json:"id"`
	URL       string       `json:"url"`
	EventID   string       `json:"event_id"`
	EventType string       `json:"event_type"`
	JobID     string       `json:"job_id"`
	Delivered bool         `json:"delivered"`
	Attempt   shownAttempt `json:"attempt"`
}

func (w *webhookTestCommand) Run(ctx context.Context, c *console) error {
	if w.URL != "" && w.Endpoint != "" {
		return usage("a URL and --endpoint can't be used together", "")
	}
	if w.List {
		return w.list(ctx, c)
	}
	var (
		text json.RawMessage
		sent testShape
	)
	err := w.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, w.Org)
		if err != nil {
			return err
		}
		endpoint, err := endpointFilter(ctx, api, org.ID, w.Endpoint)
		if err != nil {
			return err
		}
		return api.call(ctx, http.MethodPost, organisationPath(org.ID)+"/webhook-test", struct {
			EndpointID string `json:"endpoint_id,omitempty"`
			URL        string `json:"url,omitempty"`
			EventType  string `json:"event_type,omitempty"`
			Sample     string `json:"sample,omitempty"`
		}{endpoint, w.URL, w.Event, w.Sample}, &text)
	})
	if err != nil {
		return err
	}
	if json.Unmarshal(text, &sent) != nil {
		return notAdmin()
	}
	if err := c.result(text, func() { c.showTest(sent) }); err != nil {
		return err
	}
	if !sent.Delivered {
		return &failure{exit: exitFailure, message: "the test event did not arrive", shown: true}
	}
	return nil
}

// list shows the test events that were sent, newest first.
func (w *webhookTestCommand) list(ctx context.Context, c *console) error {
	if w.URL != "" || w.Endpoint != "" {
		return usage("--list takes no destination", "")
	}
	return w.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, w.Org)
		if err != nil {
			return err
		}
		var (
			text json.RawMessage
			sent struct {
				Tests []testShape `json:"tests"`
			}
		)
		if err := api.call(ctx, http.MethodGet, organisationPath(org.ID)+"/webhook-test", nil, &text); err != nil {
			return err
		}
		if json.Unmarshal(text, &sent) != nil {
			return notAdmin()
		}
		rows := make([][]string, len(sent.Tests))
		for i, t := range sent.Tests {
			came := "no"
			if t.Delivered {
				came = "yes"
			}
			rows[i] = []string{printable(t.ID), stamp(t.Attempt.StartedAt), came, printable(t.EventType), printable(t.URL)}
		}
		return c.result(text, func() { c.list(false, []string{"ID", "SENT", "DELIVERED", "EVENT", "TO"}, rows) })
	})
}

func (c *console) showTest(t testShape) {
	mark := c.outStyle.bad("✗ not delivered")
	if t.Delivered {
		mark = c.outStyle.good("✓ delivered")
	}
	c.say("%s  %s %s", mark, printable(t.EventType), printable(t.EventID))
	c.say("  %-13s %s", "to", printable(t.URL))
	c.say("  %-13s %s", "job", printable(t.JobID))
	c.say("")
	c.showDeliveryAttempt(t.Attempt)
}
