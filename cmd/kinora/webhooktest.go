package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/kinora/kinora"
)

type webhookTestCommand struct {
	URL      string `arg:"" optional:"" help:"Where to; the organisation's default callback URL when absent."`
	Endpoint string `help:"Send it to an endpoint, by its id or name, with its own headers." placeholder:"ENDPOINT"`
	owner

	operator
}

// testShape is the part of the admin API's test event that is shown as text.
type testShape struct {
	ID        string       `json:"id"`
	URL       string       `json:"url"`
	EventID   string       `json:"event_id"`
	JobID     string       `json:"job_id"`
	Delivered bool         `json:"delivered"`
	Attempt   shownAttempt `json:"attempt"`
}

func (w *webhookTestCommand) Run(ctx context.Context, c *console) error {
	if w.URL != "" && w.Endpoint != "" {
		return usage("a URL and --endpoint can't be used together", "")
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
		}{endpoint, w.URL}, &text)
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

func (c *console) showTest(t testShape) {
	mark := c.outStyle.bad("✗ not delivered")
	if t.Delivered {
		mark = c.outStyle.good("✓ delivered")
	}
	c.say("%s  %s %s", mark, printable(string(kinora.EventCompleted)), printable(t.EventID))
	c.say("  %-13s %s", "to", printable(t.URL))
	c.say("  %-13s %s", "job", printable(t.JobID))
	c.say("")
	c.showDeliveryAttempt(t.Attempt)
}
